//! The control plane: what it costs to be let in (control specification, section 7).

mod login;
mod rpc;
mod start;

use std::path::Path;

use ferry_testkit::{Hub, Session, hub::Options};

use crate::binary;

/// Connections of the keep-alive workloads.
const CONNECTIONS: usize = 64;
/// Seconds of each measured load.
const SECONDS: u64 = 5;

pub(crate) fn run() {
    let ferry = binary::ferry();
    rpc::run(&ferry);
    login::run(&ferry);
    start::run(&ferry);
}

/// A hub without rate limits and with little to log, and a user of it.
fn hub(ferry: &Path) -> (Hub, Session) {
    let hub = Options::new(ferry).env("FERRY_LOG_LEVEL", "warn").start();
    let user = hub.signup("bench@example.com");
    (hub, user)
}
