//! Every frame and message of every wire that Ferry speaks: encode and decode only. No I/O.

pub mod edgereplica;
pub mod events;
pub mod rpc;
