//! Page sync: what an image is: header, leaves, tree.
//! Terms are those of the pages specification, section 2.1.

pub mod header;
mod pageset;
pub mod tree;

pub use header::{Header, Volatile};
pub use pageset::PageSet;
