//! The `ferry` command line against a real hub.

mod account;
mod credentials;
mod databases;
mod demo;
mod jwt;
mod orgs;
mod profiles;
mod sync;
