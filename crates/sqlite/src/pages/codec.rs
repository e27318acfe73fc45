//! zstd for bodies of pages.

use ferry_core::pages::body::{Codec, CodecError};
use zstd::zstd_safe::{CCtx, CParameter, DCtx, compress_bound, get_error_name};

/// Larger groups are made for this level; see `ferry_core::pages::body`.
const LEVEL: i32 = 3;

/// The library, as bodies of pages need it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Zstd;

fn said(code: usize) -> CodecError {
    CodecError(get_error_name(code).to_owned())
}

impl Codec for Zstd {
    fn compress(&mut self, data: &[u8], prefix: &[u8]) -> Result<Vec<u8>, CodecError> {
        let mut context = CCtx::create();
        context.set_parameter(CParameter::CompressionLevel(LEVEL)).map_err(said)?;
        context.ref_prefix(prefix).map_err(said)?;
        let mut frame = Vec::with_capacity(compress_bound(data.len()));
        context.compress2(&mut frame, data).map_err(said)?;
        frame.shrink_to_fit();
        Ok(frame)
    }

    fn decompress(&mut self, frame: &[u8], prefix: &[u8], max_bytes: usize) -> Result<Vec<u8>, CodecError> {
        let mut context = DCtx::create();
        context.ref_prefix(prefix).map_err(said)?;
        let mut data = Vec::with_capacity(max_bytes);
        context.decompress(&mut data, frame).map_err(said)?;
        Ok(data)
    }
}
