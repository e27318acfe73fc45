//! Ferry: testkit.
