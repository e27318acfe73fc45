//! Bodies of Ferry's own page wire (pages specification, sections 2.4 and 2.5): what leads from one version of an image to
//! another, made as small as is cheap, and read with every rule checked.
//!
//! Storage is behind [`BodySource`] and [`BodySink`], compression behind [`Codec`].

mod base_map;
mod codec;
mod encode;
mod full;
mod group;
mod read;
mod sketch;
mod source;

pub use codec::{Codec, CodecError};
pub use encode::{BodyEncoder, BodyPlan};
pub use read::{BodyReader, BodySink, Content};
pub use source::BodySource;

#[cfg(test)]
mod tests;
