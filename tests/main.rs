//! Black-box tests: they start the real `ferry` binary and speak to it over the wire. What a test proves stands
//! in its `// Verifies:` line; the IDs are listed in `tests/requirements.txt`.

#![allow(clippy::unwrap_used, reason = "a helper of a test may panic as the test itself may")]

mod backup;
mod cli;
mod control;
mod docs;
mod events;
mod functions;
mod functions_cli;
mod observability;
mod ops;
mod packaging;
mod pages;
#[cfg(target_os = "linux")]
mod power_cut;
mod proxies;
mod records;
mod secrets;
mod support;
mod tidy;
