//! Record sync (records specification): push, pull, streams and notification sockets of compatible clients at the
//! root, and Ferry's own interface under `/v1/databases/{db}/records`.
//!
//! What a device lacks is read from the state at its cursor; who follows is served by the fan-out task of what it shows
//! (`live`), and nothing is queued for it.

mod access;
mod api;
mod batch;
mod billing;
mod entry;
mod head;
mod live;
mod loss;
mod maintenance;
mod owners;
mod pull;
mod push;
mod refusal;
mod route;
mod service;
mod shell;
mod state;
mod stats;
mod storage;
mod stream;
mod watermark;

pub use service::RecordsService;
pub use state::{ChangedRecords, RecordsEffect, RecordsState};
