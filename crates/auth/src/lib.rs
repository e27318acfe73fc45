//! Ferry: auth.
