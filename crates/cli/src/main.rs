//! Ferry.

fn main() {}
