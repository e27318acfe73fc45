//! The hub: actors, control plane, routes per sync model, configuration, metrics.

pub mod database;
