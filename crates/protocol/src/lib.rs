//! Every frame and message of every wire that Ferry speaks: encode and decode only. No I/O.

mod json;

pub mod events;
pub mod functions;
pub mod ops;
pub mod pages;
pub mod records;
pub mod rpc;
