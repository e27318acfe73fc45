//! Ferry's Rust client: calls of the admin service, push, pull and clone of SQLite files, event logs. It prints
//! nothing; clock, progress and credentials are handed in.

pub mod admin;
pub mod error;
pub mod events;
pub mod functions;
mod no_answer;
pub mod ops;
pub mod pages;
pub mod progress;
pub mod records;
pub mod server;
pub mod spoke;
mod sse;
pub mod status;
pub mod tls;
mod v1;

pub use error::{ClientError, ClientErrorCode, FILE_BUSY, Result};
pub use server::ServerUrl;
