//! Ferry: client.
