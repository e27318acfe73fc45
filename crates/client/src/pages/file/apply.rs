//! Putting a received image in the place of the local one. Readers see the old image or the new one; killed
//! at any step, the file is one of the two.

mod in_place;
mod rebuild;

pub use in_place::in_place;
pub use rebuild::{Rebuild, rebuild};
