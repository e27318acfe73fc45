mod calls;
mod hostile;
mod loading;
mod pools;
mod programs;
mod support;
mod told;
mod web;
