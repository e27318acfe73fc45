//! Op-log sync on real SQLite: what follows from a set of ops, in whatever order they come.

#![allow(clippy::unwrap_used, reason = "a helper of a test may panic as the test itself may")]

#[path = "ops/appending.rs"]
mod appending;
#[path = "ops/compacted.rs"]
mod compacted;
#[path = "ops/examples.rs"]
mod examples;
#[path = "ops/model.rs"]
mod model;
#[path = "ops/orders.rs"]
mod orders;
#[path = "ops/store.rs"]
mod store;
#[path = "ops/texts.rs"]
mod texts;
