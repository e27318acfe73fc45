//! The `ferry` command line against a real hub.

mod account;
mod conflicts;
mod connecting;
mod credentials;
mod databases;
mod demo;
pub(crate) mod events;
mod interrupts;
mod jwt;
mod keys;
mod local_files;
mod oauth;
mod orgs;
mod profiles;
mod prompts;
mod records;
mod restored;
mod sync;
mod terminal;
