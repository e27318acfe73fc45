//! The hub: actors, control plane, routes per sync model, configuration, metrics.

pub mod clock;
pub mod config;
pub mod data_dir;
pub mod database;
pub mod tls;
