//! Ferry's Rust client: calls of the admin service, and push, pull and clone of SQLite files. It prints
//! nothing; clock, progress and credentials are handed in.

pub mod admin;
pub mod error;
pub mod local;
pub mod progress;
pub mod replica;
pub mod server;
mod tls;
pub mod wire;

pub use error::{ClientError, ErrorCode, Result};
pub use server::ServerUrl;
