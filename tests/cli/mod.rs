//! The `ferry` command line against a real hub.

mod account;
mod api_keys;
mod cables;
mod changes;
mod conflicts;
mod connecting;
mod credentials;
mod databases;
mod deltas;
mod demo;
mod doctor;
pub(crate) mod events;
mod follow;
mod history;
mod interrupts;
mod jwt;
mod killed;
mod local_files;
mod oauth;
mod orgs;
mod profiles;
mod prompts;
mod records;
mod restored_hub;
pub(crate) mod sync;
mod terminal;
