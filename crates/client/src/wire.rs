//! The wires by which pages travel.

pub mod edgereplica;
