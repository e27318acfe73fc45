//! Settings of the listener: how many connections, how long they may take, how much of them waits in memory.

use ferry_types::limits::HEADERS_MAX_MS;

use super::{ConfigError, Values};

/// What connections may take of the hub.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionsConfig {
    /// Connections that may be open at once; fewer if the descriptors do not suffice.
    pub max: u64,
    /// Connections of one address that may be open at once.
    pub max_per_ip: u64,
    /// How long the first request of a connection, and the head of each later one, may take.
    pub head_ms: u64,
    /// Memory of request bodies that have not arrived whole, bytes.
    pub body_memory_bytes: u64,
}

impl ConnectionsConfig {
    pub(super) fn read(values: &Values) -> Result<Self, ConfigError> {
        Ok(Self {
            max: values.number("max_connections", 20_000, 1, 10_000_000)?,
            max_per_ip: values.number("max_connections_per_ip", 1_000, 1, 10_000_000)?,
            head_ms: values.number("header_timeout_seconds", HEADERS_MAX_MS / 1000, 1, 3600)? * 1000,
            body_memory_bytes: values.number("body_memory_bytes", 256 << 20, 1 << 20, 1 << 46)?,
        })
    }
}
