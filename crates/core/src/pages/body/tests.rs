//! Bodies over images in memory: whatever changed, a body applied to its base gives the new image; a body that breaks a rule
//! gives nothing.

use ferry_protocol::pages::body::{
    BodyError, BodyHeader, BodyViolation, CopyRun, Flags, Run, copy_entry, data_entry, encode_copy,
    end_entry, runs_of, zero_entry,
};
use ferry_types::{Leaf, PageCount, PageNo, PageSize, Root, Tag, UnixMillis};
use proptest::prelude::*;
use zstd::zstd_safe::{CCtx, CParameter, DCtx, get_error_name};

use super::*;
use crate::pages::tree::{RootBuilder, leaf_of};

struct Zstd;

fn said(code: usize) -> CodecError {
    CodecError(get_error_name(code).to_owned())
}

impl Codec for Zstd {
    fn compress(&mut self, data: &[u8], prefix: &[u8]) -> Result<Vec<u8>, CodecError> {
        let mut context = CCtx::create();
        context.set_parameter(CParameter::CompressionLevel(3)).map_err(said)?;
        context.ref_prefix(prefix).map_err(said)?;
        let mut frame = Vec::with_capacity(zstd::zstd_safe::compress_bound(data.len()));
        context.compress2(&mut frame, data).map_err(said)?;
        Ok(frame)
    }

    fn decompress(&mut self, frame: &[u8], prefix: &[u8], max: usize) -> Result<Vec<u8>, CodecError> {
        let mut context = DCtx::create();
        context.ref_prefix(prefix).map_err(said)?;
        let mut data = Vec::with_capacity(max);
        context.decompress(&mut data, frame).map_err(said)?;
        Ok(data)
    }
}

/// What the tests' sources and sinks fail with.
#[derive(Debug, PartialEq)]
enum Failed {
    Body(BodyError),
    Codec(CodecError),
    /// The body is for another base, or too large.
    Unfit,
}

impl From<BodyError> for Failed {
    fn from(error: BodyError) -> Self {
        Self::Body(error)
    }
}

impl From<CodecError> for Failed {
    fn from(error: CodecError) -> Self {
        Self::Codec(error)
    }
}

/// Pages from 1, page 1 in normal form.
#[derive(Clone, Debug, PartialEq)]
struct MemoryImage {
    size: PageSize,
    pages: Vec<Vec<u8>>,
}

impl MemoryImage {
    fn count(&self) -> PageCount {
        PageCount(u32::try_from(self.pages.len()).unwrap())
    }

    fn leaf(&self, page: PageNo) -> Leaf {
        leaf_of(page, self.count(), &self.pages[page.index()], &mut Vec::new())
    }

    fn root(&self) -> Root {
        let mut root = RootBuilder::default();
        self.count().pages().for_each(|page| root.push(&self.leaf(page)));
        root.finish(self.size)
    }

    /// Page 1 has the count in its header.
    fn settle(&mut self) {
        let count = self.count();
        if let Some(page) = self.pages.first_mut() {
            crate::pages::header::normalize(page, count);
        }
    }
}

/// An image and its base, some of whose pages are no longer kept.
struct Pair<'i> {
    base: &'i MemoryImage,
    new: &'i MemoryImage,
    lost: &'i [PageNo],
}

impl BodySource for Pair<'_> {
    type Error = Failed;

    fn leaves(&mut self, pages: &[PageNo], into: &mut Vec<Leaf>) -> Result<(), Failed> {
        into.extend(pages.iter().map(|page| self.new.leaf(*page)));
        Ok(())
    }

    fn read(&mut self, pages: &[PageNo], into: &mut Vec<u8>) -> Result<(), Failed> {
        pages.iter().for_each(|page| into.extend_from_slice(&self.new.pages[page.index()]));
        Ok(())
    }

    fn base_leaves(&mut self, pages: &[PageNo], into: &mut Vec<Option<Leaf>>) -> Result<(), Failed> {
        into.extend(pages.iter().map(|page| (!self.lost.contains(page)).then(|| self.base.leaf(*page))));
        Ok(())
    }

    fn read_base(&mut self, pages: &[PageNo], into: &mut Vec<u8>) -> Result<(), Failed> {
        for page in pages {
            assert!(!self.lost.contains(page), "page {page} is not kept");
            into.extend_from_slice(&self.base.pages[page.index()]);
        }
        Ok(())
    }
}

/// What a body makes of its base.
struct Applied<'i> {
    base: &'i MemoryImage,
    new: MemoryImage,
}

impl BodySink for Applied<'_> {
    type Error = Failed;

    fn begin(&mut self, header: &BodyHeader) -> Result<(), Failed> {
        let (Some(size), PageCount(count)) = (header.page_size, header.page_count) else { return Ok(()) };
        let is_of_base = header.base_count == self.base.count() && size == self.base.size;
        if count > 1000 || !(header.flags.full || is_of_base) {
            return Err(Failed::Unfit);
        }
        self.new.size = size;
        self.new.pages = if header.flags.full { Vec::new() } else { self.base.pages.clone() };
        self.new.pages.resize(count as usize, vec![0; size.bytes()]);
        Ok(())
    }

    fn read_base(&mut self, pages: &[PageNo], into: &mut Vec<u8>) -> Result<(), Failed> {
        pages.iter().for_each(|page| into.extend_from_slice(&self.base.pages[page.index()]));
        Ok(())
    }

    fn put(&mut self, page: PageNo, content: Content<'_>) -> Result<(), Failed> {
        self.new.pages[page.index()] = match content {
            Content::Bytes(bytes) => bytes.to_vec(),
            Content::Zero => vec![0; self.new.size.bytes()],
            Content::Base(source) => self.base.pages[source.index()].clone(),
            Content::Staged(_) => panic!("nothing is staged"),
        };
        Ok(())
    }
}

fn header(base: &MemoryImage, new: &MemoryImage, full: bool) -> BodyHeader {
    BodyHeader {
        flags: Flags { full, ..Flags::default() },
        page_size: (new.count().0 > 0).then_some(new.size),
        database: "db_3f2b9c1e-5d44-4a7b-8e11-0a6c7d902153".parse().unwrap(),
        base_version: if full { 0 } else { 41 },
        version: 42,
        base_count: if full { PageCount(0) } else { base.count() },
        page_count: new.count(),
        base_root: if full { [0; 8] } else { Tag::new(41, &base.root()).root_prefix },
        time: UnixMillis(7),
        volatile: None,
    }
}

fn encoded(base: &MemoryImage, new: &MemoryImage, full: bool, lost: &[PageNo]) -> Vec<u8> {
    let differs = |page: &PageNo| {
        full || base.pages.get(page.index()) != new.pages.get(page.index()) || !base.count().contains(*page)
    };
    let plan = BodyPlan {
        header: header(base, new, full),
        pages: new.count().pages().filter(differs).collect(),
        root: new.root(),
    };
    let (mut encoder, mut body) = (BodyEncoder::new(plan), Vec::new());
    while let Some(piece) = encoder.next_piece(&mut Pair { base, new, lost }, &mut Zstd).unwrap() {
        body.extend(piece);
    }
    body
}

fn applied(base: &MemoryImage, body: &[u8], piece: usize) -> Result<(MemoryImage, Root), Failed> {
    let mut sink = Applied { base, new: MemoryImage { size: base.size, pages: Vec::new() } };
    let mut reader = BodyReader::new(None);
    for bytes in body.chunks(piece) {
        reader.push(bytes, &mut sink, &mut Zstd)?;
    }
    let (_, root) = reader.finish(&mut sink, &mut Zstd)?;
    Ok((sink.new, root))
}

fn noise(seed: u32, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2_654_435_761) | 1;
    let next = |_| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        (state >> 24) as u8
    };
    (0..length).map(next).collect()
}

fn image(size: u32, pages: u32) -> MemoryImage {
    let size = PageSize::new(size).unwrap();
    let mut image = MemoryImage { size, pages: (1..=pages).map(|n| noise(n, size.bytes())).collect() };
    image.settle();
    image
}

/// A change of an image.
#[derive(Clone, Debug)]
enum Edit {
    /// Some bytes of a page.
    Bytes(u32, u16, u8),
    /// Another content.
    Replace(u32, u32),
    Zero(u32),
    Swap(u32, u32),
    /// A page's cells move by some bytes.
    Shift(u32, u8),
    Resize(u32),
}

fn edits() -> impl Strategy<Value = Vec<Edit>> {
    let edit = prop_oneof![
        (any::<u32>(), any::<u16>(), any::<u8>()).prop_map(|(page, at, byte)| Edit::Bytes(page, at, byte)),
        (any::<u32>(), any::<u32>()).prop_map(|(page, seed)| Edit::Replace(page, seed)),
        any::<u32>().prop_map(Edit::Zero),
        (any::<u32>(), any::<u32>()).prop_map(|(one, other)| Edit::Swap(one, other)),
        (any::<u32>(), any::<u8>()).prop_map(|(page, by)| Edit::Shift(page, by)),
        (0..200_u32).prop_map(Edit::Resize),
    ];
    prop::collection::vec(edit, 0..60)
}

fn edited(base: &MemoryImage, edits: &[Edit]) -> MemoryImage {
    let mut new = base.clone();
    let bytes = new.size.bytes();
    for edit in edits {
        let count = new.pages.len();
        let at = |page: u32| page as usize % count.max(1);
        match *edit {
            Edit::Resize(pages) => {
                let grown = (count..pages as usize).map(|n| noise(n as u32 + 7, bytes));
                let grown: Vec<_> = grown.collect();
                new.pages.truncate(pages as usize);
                new.pages.extend(grown);
            }
            _ if count == 0 => {}
            Edit::Bytes(page, offset, byte) => new.pages[at(page)][usize::from(offset) % bytes] = byte,
            Edit::Replace(page, seed) => new.pages[at(page)] = noise(seed, bytes),
            Edit::Zero(page) => new.pages[at(page)].fill(0),
            Edit::Swap(one, other) => new.pages.swap(at(one), at(other)),
            Edit::Shift(page, by) => new.pages[at(page)].rotate_right(usize::from(by)),
        }
    }
    new.settle();
    new
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]
    /// Verifies: PAG-21, PAG-22
    #[test]
    fn a_body_applied_to_its_base_gives_the_new_image(
        log2 in 9..=13_u32, pages in 0..150_u32, edits in edits(), lost in prop::collection::vec(1..150_u32, 0..20),
        piece in 1..5000_usize,
    ) {
        let base = image(1 << log2, pages);
        let new = edited(&base, &edits);
        let lost: Vec<PageNo> = lost.into_iter().filter_map(PageNo::new).collect();
        for full in [false, true] {
            let body = encoded(&base, &new, full, &lost);
            let (found, root) = applied(&base, &body, piece).unwrap();
            prop_assert_eq!(root, if new.pages.is_empty() { crate::pages::tree::empty_root() } else { new.root() });
            prop_assert!(found == new, "another image, full: {}", full);
        }
    }

    /// Whatever becomes of a body on its way: it is refused, or leads to an image whose root tells.
    #[test]
    fn a_body_with_changed_bytes_is_refused_or_has_another_root(
        edits in edits(), changes in prop::collection::vec((any::<u32>(), any::<u8>()), 1..4),
    ) {
        let base = image(512, 60);
        let new = edited(&base, &edits);
        let mut body = encoded(&base, &new, false, &[]);
        let good = body.clone();
        for (at, byte) in changes {
            let at = at as usize % body.len();
            body[at] = byte;
        }
        if body != good
            && let Ok((found, root)) = applied(&base, &body, 700)
            && found.count().0 > 0
            && found.root() == root
        {
            // Of the header, the version, the time and the like are no part of the image.
            prop_assert!(found == new, "another image passes");
        }
    }
}

#[test]
fn changes_cost_what_they_are() {
    let base = image(4096, 400);
    let one_byte = edited(&base, &[Edit::Bytes(77, 1000, 1)]);
    let length = encoded(&base, &one_byte, false, &[]).len();
    assert!(length < 160, "{length} bytes for one");
    let mut moved = base.clone();
    moved.pages[1..].rotate_left(150);
    moved.settle();
    let length = encoded(&base, &moved, false, &[]).len();
    assert!(length < 200, "{length} bytes for pages that moved");
    let mut shifted = base.clone();
    shifted.pages[100..200].iter_mut().for_each(|page| page.rotate_right(300));
    shifted.pages[100..200].rotate_left(30);
    let length = encoded(&base, &shifted, false, &[]).len();
    assert!(length < 100 * 80, "{length} bytes for a hundred pages whose cells moved");
}

/// Verifies: PAG-21
#[test]
fn golden_9_gives_its_root() {
    let size = PageSize::new(512).unwrap();
    let mut page1 = vec![0; 512];
    page1[..16].copy_from_slice(b"SQLite format 3\0");
    page1[16] = 2;
    let page2 = (0..512).map(|i| ((7 * i + 26) % 251) as u8).collect();
    let mut base = MemoryImage { size, pages: vec![page1, page2] };
    base.settle();
    let mut new = base.clone();
    new.pages[1][100] = 0xff;
    let hex = "46525950010009003f2b9c1e5d444a7b8e110a6c7d90215329000000000000002a000000000000000200000002000000\
        07be0dda92683680006c50c4a0010000030104000104001828b52ffd00007d000008ff0300f80182820e501710d21504\
        000100000047059a7efff88c8b3d8fdd42c7084a98d5a427ce255ecc668f160349ccc088fe";
    let digits: Vec<u8> = hex.bytes().collect();
    let body: Vec<u8> = digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect();
    let (found, root) = applied(&base, &body, 10).unwrap();
    assert_eq!(found, new);
    assert_eq!(root, new.root());
    assert_eq!(Tag::new(42, &root).to_string(), "42-47059a7efff88c8b");
}

fn run(first: u32, length: u32) -> Run {
    Run { first: PageNo::new(first).unwrap(), length }
}

/// The fault of entries for an image of 4 pages of 512 bytes on a base of 3, or of a full body of 4.
fn fault(full: bool, entries: &[Vec<u8>]) -> BodyViolation {
    let base = image(512, 3);
    let header = header(&base, &image(512, 4), full);
    let body = [vec![header.encode()], entries.to_vec()].concat().concat();
    match applied(&base, &body, 50) {
        Err(Failed::Body(error)) => error.fault,
        other => panic!("{other:?}"),
    }
}

fn data(targets: &[Run], prefix: &[Run], bytes: usize) -> Vec<u8> {
    data_entry(targets, prefix, &Zstd.compress(&vec![1; bytes], &[]).unwrap())
}

fn copy(target: u32, source: u32, length: u32) -> Vec<u8> {
    let [target, source] = [target, source].map(|page| PageNo::new(page).unwrap());
    copy_entry(&Zstd.compress(&encode_copy(&[CopyRun { target, source, length }]), &[]).unwrap())
}

#[test]
fn bodies_that_break_a_rule() {
    let end = |targets| end_entry(targets, &Root([0; 32]));
    let beyond = BodyViolation::Target(5, "the new image does not have it");
    assert_eq!(fault(false, &[zero_entry(&[run(4, 2)])]), beyond);
    assert_eq!(fault(false, &[zero_entry(&[run(2, 1), run(2, 1)])]), BodyViolation::Twice(2));
    assert_eq!(fault(false, &[zero_entry(&[run(2, 1)]), copy(1, 1, 2)]), BodyViolation::Twice(2));
    assert_eq!(fault(false, &[copy(3, 3, 2)]), BodyViolation::Base(4));
    assert_eq!(fault(false, &[data(&[run(1, 1)], &[run(4, 1)], 512)]), BodyViolation::Base(4));
    assert_eq!(
        fault(false, &[zero_entry(&[run(4, 1)]), end(2)]),
        BodyViolation::Count { stated: 2, found: 1 }
    );
    assert_eq!(fault(false, &[zero_entry(&[run(2, 1)]), end(1)]), BodyViolation::Missing(4));
    assert_eq!(fault(true, &[zero_entry(&[run(1, 2)]), end(2)]), BodyViolation::Missing(3));
    let ascends = BodyViolation::Target(1, "pages of a full body ascend");
    assert_eq!(fault(true, &[zero_entry(&[run(2, 1), run(1, 1)])]), ascends);
    let short = BodyViolation::Frame("holds fewer bytes than its pages have");
    assert_eq!(fault(false, &[data(&[run(1, 1)], &[], 511)]), short);
    let long = BodyViolation::Frame("is damaged, or holds more than it may");
    assert_eq!(fault(false, &[data(&[run(1, 1)], &[], 513)]), long);
    let page1 = BodyViolation::Target(1, "it travels in normal form only");
    assert_eq!(fault(false, &[data(&[run(1, 1)], &[], 512)]), page1);
    assert_eq!(fault(true, &[data(&[run(1, 4)], &[], 4 * 512)]), page1);
    let bomb = copy_entry(&Zstd.compress(&vec![0; 20 << 20], &[]).unwrap());
    assert_eq!(fault(false, &[bomb]), long);
    assert!(matches!(fault(false, &[data_entry(&[run(1, 1)], &[], b"no frame")]), BodyViolation::Frame(_)));
}

/// The lock page travels in no way.
#[test]
fn the_lock_page_is_neither_target_nor_source() {
    let lock = PageSize::new(65536).unwrap().lock_page().get();
    let base = image(65536, 1);
    let counts = BodyHeader {
        base_count: PageCount(lock),
        page_count: PageCount(lock),
        ..header(&base, &base, false)
    };
    for (entry, expected) in [
        (zero_entry(&[run(lock, 1)]), BodyViolation::Target(lock, "it covers the lock bytes")),
        (copy(2, lock, 1), BodyViolation::Base(lock)),
        (data(&[run(2, 1)], &[run(lock - 1, 2)], 65536), BodyViolation::Base(lock)),
    ] {
        let mut reader = BodyReader::new(None);
        let mut nobody = Nobody;
        let error = reader.push(&[counts.encode(), entry].concat(), &mut nobody, &mut Zstd).unwrap_err();
        assert!(matches!(error, Failed::Body(BodyError { offset: 64, fault }) if fault == expected));
    }
}

/// A sink that takes everything.
struct Nobody;

impl BodySink for Nobody {
    type Error = Failed;

    fn begin(&mut self, _: &BodyHeader) -> Result<(), Failed> {
        Ok(())
    }

    fn read_base(&mut self, _: &[PageNo], _: &mut Vec<u8>) -> Result<(), Failed> {
        Ok(())
    }

    fn put(&mut self, _: PageNo, _: Content<'_>) -> Result<(), Failed> {
        Ok(())
    }
}

/// Verifies: PAG-25
#[test]
fn a_partial_body_has_the_pages_that_were_asked_for() {
    let base = image(512, 3);
    let new = image(512, 9);
    let partial =
        BodyHeader { flags: Flags { partial: true, ..Flags::default() }, ..header(&base, &new, false) };
    let read = |entries: &[Vec<u8>]| {
        let mut reader = BodyReader::new(Some(vec![run(2, 1), run(5, 2)]));
        let body = [vec![partial.encode()], entries.to_vec()].concat().concat();
        reader.push(&body, &mut Nobody, &mut Zstd)?;
        reader.finish(&mut Nobody, &mut Zstd).map(drop)
    };
    let fault = |entries: &[Vec<u8>]| match read(entries) {
        Err(Failed::Body(error)) => error.fault,
        other => panic!("{other:?}"),
    };
    let end = |targets| end_entry(targets, &new.root());
    assert_eq!(read(&[zero_entry(&[run(5, 2)]), end(2)]), Ok(()));
    assert_eq!(fault(&[zero_entry(&[run(5, 1)]), end(1)]), BodyViolation::Missing(6));
    assert_eq!(fault(&[zero_entry(&[run(4, 1)])]), BodyViolation::Target(4, "it was not asked for"));
    let all = runs_of(new.count().pages());
    assert!(matches!(fault(&[zero_entry(&all)]), BodyViolation::Target(1, _)));
}
