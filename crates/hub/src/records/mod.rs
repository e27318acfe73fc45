//! Record sync (records specification): push, pull, streams and notification sockets of compatible clients at the
//! root, and Ferry's own interface under `/v1/databases/{db}/records`.
//!
//! What a device lacks is read from the state at its cursor; a stream or socket waits for the bell of its owner, and
//! nothing is queued for it.

mod access;
mod api;
mod billing;
mod decoding;
mod follow;
mod loss;
mod maintenance;
mod news;
mod owners;
mod pull;
mod push;
mod refusal;
mod route;
mod service;
mod shell;
mod socket;
mod stats;
mod storage;
mod stream;
mod tail;
mod watermark;

pub use news::{Publication, RecordsState};
pub use service::RecordsService;
