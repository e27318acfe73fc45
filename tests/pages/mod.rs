//! Page sync over EdgeReplica's wire, by an imitation of its unmodified client and by raw frames.

mod beside;
mod bounds;
mod check;
mod crash;
mod cut;
mod faults;
mod hostile;
mod isolation;
mod latency;
mod migrations;
mod race;
mod shapes;
mod storage;
mod transfer;
mod version;
