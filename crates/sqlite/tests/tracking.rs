//! SQL of functions: what it is told to have read and written, and what it may not do.

#![allow(clippy::unwrap_used, reason = "a helper of a test may panic as the test itself may")]

#[path = "tracking/engine_views.rs"]
mod engine_views;
#[path = "tracking/guards.rs"]
mod guards;
#[path = "tracking/limits.rs"]
mod limits;
#[path = "tracking/ranges.rs"]
mod ranges;
#[path = "tracking/reads.rs"]
mod reads;
#[path = "tracking/soundness.rs"]
mod soundness;
#[path = "tracking/support.rs"]
mod support;
#[path = "tracking/writes.rs"]
mod writes;
