//! What the black-box tests and the benchmarks share: start, stop and kill the real `ferry` binary, speak to it
//! over plain HTTP, EdgeReplica's and LiveStore's wires, make sample databases and compare them.
//!
//! Everything here is blocking and speaks the wires with code of its own, so that a mistake in Ferry's codecs
//! cannot hide itself. Failures panic with what was expected: this is test code.

pub mod bank;
pub mod collector;
pub mod command;
pub mod dev;
pub mod dump;
pub mod edgereplica;
pub mod first_layout;
pub mod frames;
pub mod functions;
pub mod hephd;
pub mod hooks;
pub mod http;
pub mod hub;
pub mod jwks_server;
pub mod jwt;
pub mod livestore;
pub mod migration_files;
pub mod migrations;
pub mod page_bodies;
pub mod partition;
#[cfg(target_os = "linux")]
pub mod power_cut;
pub mod process;
pub mod provider;
pub mod random_sql;
pub mod records;
pub mod rng;
pub mod rpc;
pub mod s3;
pub mod sample;
pub mod serve;
pub mod smtp;
pub mod socket;
pub mod spoke;
pub mod sse;
pub mod tls;
pub mod token;
pub mod wait;

pub use hub::Hub;
pub use rpc::{Direction, Session};
