//! Page sync: EdgeReplica's wire, by an imitation of its unmodified client and by raw frames; and Ferry's own over HTTP.

mod captured;
mod captured_readers;
mod concurrent_pushes;
mod concurrent_writer;
mod crash;
mod descriptors;
mod file_formats;
mod full_disk;
mod http;
mod http_faults;
mod http_push;
mod http_reconcile;
mod http_versions;
mod interrupted_push;
mod isolation;
mod latency;
mod limits;
mod migrations;
mod protocol_errors;
mod snapshot_pulls;
mod stalled;
mod storage;
mod structure_check;
mod syncs;
mod transfer;
