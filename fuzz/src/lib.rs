//! What the fuzz targets do with a decoder's input. The tests do the same with changed inputs of the corpus.

use std::collections::HashSet;

use ferry_core::pages::{
    body::{BodyReader, BodySink, Codec, CodecError, Content},
    header,
    structure::{self, ImagePages},
};
use ferry_protocol::pages::{
    Frame,
    body::{BodyDecoder, BodyError, BodyHeader, Item, decode_copy},
};
use ferry_types::{PageCount, PageNo, PageSize};
use zstd::zstd_safe::DCtx;

/// Bodies of pages, as bytes: in pieces or whole, the same comes of them.
pub fn page_body(body: &[u8]) {
    let _ = decode_copy(body);
    let whole = items(body, usize::MAX);
    assert_eq!(items(body, 7), whole);
}

fn items(body: &[u8], piece: usize) -> Option<Vec<Item>> {
    let (mut decoder, mut items) = (BodyDecoder::new(), Vec::new());
    for piece in body.chunks(piece) {
        decoder.push(piece);
        while let Some((_, item)) = decoder.next_item().ok()? {
            items.push(item);
        }
    }
    decoder.close();
    while let Some((_, item)) = decoder.next_item().ok()? {
        items.push(item);
    }
    Some(items)
}

/// Bodies of pages, applied to an image of 40 pages: whatever they hold, every target is one of the new image, and none
/// comes twice.
pub fn page_body_applied(body: &[u8]) {
    let (mut image, mut reader) = (Applied::default(), BodyReader::new(None));
    for piece in body.chunks(100) {
        if reader.push(piece, &mut image, &mut Zstd).is_err() {
            return;
        }
    }
    let _ = reader.finish(&mut image, &mut Zstd);
}

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
struct Applied {
    header: Option<BodyHeader>,
    seen: HashSet<PageNo>,
}

struct Refused;

impl From<BodyError> for Refused {
    fn from(_: BodyError) -> Self {
        Self
    }
}

impl BodySink for Applied {
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

/// Frames of EdgeReplica's page wire: what can be read can be written and read again.
pub fn page_frame(bytes: &[u8]) {
    if let Ok(frame) = Frame::decode(bytes) {
        let again = frame.encode();
        assert_eq!(Frame::decode(&again).expect("what was encoded can be decoded"), frame);
    }
}

/// Images of databases that nobody has opened: whether their pages hang together is found without a read beyond them, and
/// each page is read once.
pub fn page_image(bytes: &[u8]) {
    let Some(stated) = bytes.get(16..18) else { return };
    let stated = u32::from(u16::from_be_bytes([stated[0], stated[1]]));
    let Some(size) = PageSize::new(if stated == 1 { 1 << 16 } else { stated }) else { return };
    let Ok(count) = u32::try_from(bytes.len() / size.bytes()) else { return };
    if count == 0 || header::check_image(&bytes[..size.bytes()], PageCount(count)).is_err() {
        return;
    }
    let _ = structure::check(&mut Image { bytes, size, read: HashSet::new() }, size, PageCount(count));
}

struct Image<'i> {
    bytes: &'i [u8],
    size: PageSize,
    read: HashSet<PageNo>,
}

impl ImagePages for Image<'_> {
    type Error = std::convert::Infallible;

    fn read(&mut self, page: PageNo, into: &mut Vec<u8>) -> Result<(), Self::Error> {
        let size = self.size.bytes();
        // Page 1 holds both the header and the schema.
        assert!(self.read.insert(page) || page == PageNo::FIRST, "page {page} is read twice");
        into.clear();
        into.extend_from_slice(&self.bytes[page.index() * size..][..size]);
        Ok(())
    }
}
