//! Ferry: hub.
