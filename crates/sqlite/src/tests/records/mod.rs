//! Record sync over native SQLite: a hub in one process, with devices that behave as real clients do.

mod claims;
mod device;
mod hub;
mod migrate;
mod runs;
mod schedule;
mod stories;
