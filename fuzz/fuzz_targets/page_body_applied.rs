//! Bodies of pages, applied to an image of 40 pages: whatever they hold, every target is one of the new image, and none
//! comes twice.

#![no_main]

use std::collections::HashSet;

use ferry_core::pages::body::{BodyReader, BodySink, Codec, CodecError, Content};
use ferry_protocol::pages::body::{BodyError, BodyHeader};
use ferry_types::{PageNo, PageSize};
use libfuzzer_sys::fuzz_target;
use zstd::zstd_safe::DCtx;

/// Pages of the base.
const BASE_PAGES: u32 = 40;

struct Zstd;

impl Codec for Zstd {
    fn compress(&mut self, _: &[u8], _: &[u8]) -> Result<Vec<u8>, CodecError> {
        unreachable!("nothing is encoded here")
    }

    fn decompress(&mut self, frame: &[u8], prefix: &[u8], max_bytes: usize) -> Result<Vec<u8>, CodecError> {
        let said = |code| CodecError(zstd::zstd_safe::get_error_name(code).to_owned());
        let mut context = DCtx::create();
        context.ref_prefix(prefix).map_err(said)?;
        let mut data = Vec::with_capacity(max_bytes);
        context.decompress(&mut data, frame).map_err(said)?;
        Ok(data)
    }
}

#[derive(Default)]
struct Image {
    header: Option<BodyHeader>,
    seen: HashSet<PageNo>,
}

struct Refused;

impl From<BodyError> for Refused {
    fn from(_: BodyError) -> Self {
        Self
    }
}

impl BodySink for Image {
    type Error = Refused;

    fn begin(&mut self, header: &BodyHeader) -> Result<(), Refused> {
        if header.base_count.0 > BASE_PAGES || header.page_count.0 > 1 << 16 {
            return Err(Refused);
        }
        self.header = Some(*header);
        Ok(())
    }

    fn read_base(&mut self, pages: &[PageNo], into: &mut Vec<u8>) -> Result<(), Refused> {
        let size = self.header.and_then(|header| header.page_size).map_or(0, PageSize::bytes);
        for page in pages {
            assert!(page.get() <= BASE_PAGES, "a page that the base does not have");
            into.extend((0..size).map(|n| (n as u32 * page.get()) as u8));
        }
        Ok(())
    }

    fn put(&mut self, page: PageNo, content: Content<'_>) -> Result<(), Refused> {
        let header = self.header.expect("the header comes first");
        assert!(header.page_count.contains(page) && self.seen.insert(page));
        match content {
            Content::Bytes(bytes) => assert_eq!(Some(bytes.len()), header.page_size.map(PageSize::bytes)),
            Content::Base(source) => assert!(header.base_count.contains(source)),
            Content::Zero | Content::Staged(_) => {}
        }
        Ok(())
    }
}

fuzz_target!(|body: &[u8]| {
    let (mut image, mut reader) = (Image::default(), BodyReader::new(None));
    for piece in body.chunks(100) {
        if reader.push(piece, &mut image, &mut Zstd).is_err() {
            return;
        }
    }
    let _ = reader.finish(&mut image, &mut Zstd);
});
