//! Ferry: core.
