//! Reading a body: the rules between its entries and those of the images (pages specification, section 2.4). Nothing
//! reaches the sink that breaks one; whether the new image has the root that END names is the receiver's to check, who
//! has the leaves of the pages that did not come.

use ferry_protocol::pages::body::{
    BodyDecoder, BodyError, BodyHeader, BodyViolation, COPY_MAX_BYTES, CopyRun, Item, Run, decode_copy,
    page_total, pages_of,
};
use ferry_types::{Leaf, PageCount, PageNo, PageSize, Root};

use super::codec::{self, Codec};
use crate::pages::{PageSet, header};

/// What a target is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content<'b> {
    /// These bytes; page 1 in normal form.
    Bytes(&'b [u8]),
    /// Zeros.
    Zero,
    /// This page of the base.
    Base(PageNo),
    /// The page of this leaf that the hub has staged.
    Staged(Leaf),
}

/// Where the targets of a body go.
pub trait BodySink {
    /// What it can fail with.
    type Error: From<BodyError>;

    /// The header has come: whether the body is for this image and base.
    ///
    /// # Errors
    /// When it is not.
    fn begin(&mut self, header: &BodyHeader) -> Result<(), Self::Error>;

    /// Appends pages of the base as they were before the body, page 1 in normal form.
    ///
    /// # Errors
    /// When they cannot be read.
    fn read_base(&mut self, pages: &[PageNo], into: &mut Vec<u8>) -> Result<(), Self::Error>;

    /// Takes a target. Each comes once, and never the lock page.
    ///
    /// # Errors
    /// When it cannot be kept.
    fn put(&mut self, page: PageNo, content: Content<'_>) -> Result<(), Self::Error>;
}

/// Reads one body as its bytes come.
#[derive(Debug)]
pub struct BodyReader {
    decoder: BodyDecoder,
    /// Of a partial body: the pages that were asked for.
    asked: Option<Vec<Run>>,
    header: Option<BodyHeader>,
    seen: PageSet,
    last: Option<PageNo>,
    root: Option<Root>,
}

impl BodyReader {
    /// At the first byte of a body; `asked` are the pages that a partial one must have.
    #[must_use]
    pub fn new(asked: Option<Vec<Run>>) -> Self {
        Self {
            decoder: BodyDecoder::new(),
            asked,
            header: None,
            seen: PageSet::default(),
            last: None,
            root: None,
        }
    }

    /// Takes further bytes, and gives what is whole to `sink`.
    ///
    /// # Errors
    /// The rule that the body breaks, or what `sink` says.
    pub fn push<S: BodySink>(
        &mut self,
        bytes: &[u8],
        sink: &mut S,
        codec: &mut impl Codec,
    ) -> Result<(), S::Error> {
        self.decoder.push(bytes);
        self.drain(sink, codec)
    }

    /// Says that no more bytes come. The header, and the root that the new image must have.
    ///
    /// # Errors
    /// The rule that the body breaks, or what `sink` says.
    ///
    /// # Panics
    /// Never: a body that ends well has both.
    pub fn finish<S: BodySink>(
        mut self,
        sink: &mut S,
        codec: &mut impl Codec,
    ) -> Result<(BodyHeader, Root), S::Error> {
        self.decoder.close();
        self.drain(sink, codec)?;
        let header = self.header.expect("BUG: a body that ended has a header");
        Ok((header, self.root.expect("BUG: a body that ended has a root")))
    }

    /// Bytes that came of an entry that is not whole.
    #[must_use]
    pub fn waiting_bytes(&self) -> usize {
        self.decoder.waiting_bytes()
    }

    /// The pages that came, complete entries only.
    #[must_use]
    pub const fn seen(&self) -> &PageSet {
        &self.seen
    }

    fn drain<S: BodySink>(&mut self, sink: &mut S, codec: &mut impl Codec) -> Result<(), S::Error> {
        while let Some((offset, item)) = self.decoder.next_item()? {
            let wrong = |fault| BodyError { offset, fault };
            match item {
                Item::Header(header) => {
                    if header.flags.partial != self.asked.is_some() {
                        return Err(wrong(BodyViolation::Header("set of flags")).into());
                    }
                    sink.begin(&header)?;
                    self.header = Some(header);
                }
                Item::Zero { targets } => {
                    self.targets(&targets).map_err(wrong)?;
                    pages_of(&targets).try_for_each(|page| sink.put(page, Content::Zero))?;
                }
                Item::Copy { frame } => {
                    let content = codec::decompress(codec, &frame, &[], COPY_MAX_BYTES).map_err(wrong)?;
                    let runs = decode_copy(&content).map_err(wrong)?;
                    self.copies(&runs).map_err(wrong)?;
                    let mut pairs = runs.iter().flat_map(|run| run.pairs());
                    pairs.try_for_each(|(target, source)| sink.put(target, Content::Base(source)))?;
                }
                Item::Data { targets, prefix, frame } => {
                    let size = self.targets(&targets).map_err(wrong)?;
                    self.sources(&prefix).map_err(wrong)?;
                    let mut before = Vec::new();
                    let prefix: Vec<PageNo> = pages_of(&prefix).collect();
                    sink.read_base(&prefix, &mut before)?;
                    let bytes = usize::try_from(page_total(&targets)).unwrap_or(usize::MAX) * size.bytes();
                    let data = codec::decompress(codec, &frame, &before, bytes).map_err(wrong)?;
                    if data.len() != bytes {
                        return Err(
                            wrong(BodyViolation::Frame("holds fewer bytes than its pages have")).into()
                        );
                    }
                    for (page, data) in pages_of(&targets).zip(data.chunks_exact(size.bytes())) {
                        // Its leaf is that of the normal form, so the root does not tell.
                        if page == PageNo::FIRST && !header::is_normal(data, self.header().page_count) {
                            return Err(
                                wrong(BodyViolation::Target(1, "it travels in normal form only")).into()
                            );
                        }
                        sink.put(page, Content::Bytes(data))?;
                    }
                }
                Item::Staged { targets, leaves } => {
                    self.targets(&targets).map_err(wrong)?;
                    let mut pages = pages_of(&targets).zip(leaves);
                    pages.try_for_each(|(page, leaf)| sink.put(page, Content::Staged(leaf)))?;
                }
                Item::End { targets, root } => {
                    self.end(targets).map_err(wrong)?;
                    self.root = Some(root);
                }
            }
        }
        Ok(())
    }

    fn header(&self) -> &BodyHeader {
        self.header.as_ref().expect("BUG: the decoder gives the header first")
    }

    /// Notes targets, each of which must be one.
    fn targets(&mut self, runs: &[Run]) -> Result<PageSize, BodyViolation> {
        let header = *self.header();
        let count = header.page_count;
        let beyond = |page: u64| {
            BodyViolation::Target(u32::try_from(page).unwrap_or(u32::MAX), "the new image does not have it")
        };
        let Some(size) = header.page_size else { return Err(beyond(1)) };
        // Ends first: a list can name four thousand million pages in ten bytes.
        if let Some(run) = runs.iter().find(|run| run.end() > u64::from(count.0) + 1) {
            return Err(beyond(run.end() - 1));
        }
        if page_total(runs) > u64::from(count.0) {
            return Err(BodyViolation::TooMany("pages"));
        }
        for page in pages_of(runs) {
            let wrong = |rule| Err(BodyViolation::Target(page.get(), rule));
            if page == size.lock_page() {
                return wrong("it covers the lock bytes");
            }
            if header.flags.full && self.last.is_some_and(|last| last >= page) {
                return wrong("pages of a full body ascend");
            }
            if let Some(asked) = &self.asked
                && !asked.iter().any(|run| run.first <= page && u64::from(page.get()) < run.end())
            {
                return wrong("it was not asked for");
            }
            if !self.seen.insert(page) {
                return Err(BodyViolation::Twice(page.get()));
            }
            self.last = Some(page);
        }
        Ok(size)
    }

    /// Whether all these are pages of the base.
    fn sources(&self, runs: &[Run]) -> Result<(), BodyViolation> {
        let header = self.header();
        let lock_page = header.page_size.map(PageSize::lock_page);
        for run in runs {
            if run.end() > u64::from(header.base_count.0) + 1 {
                return Err(BodyViolation::Base(u32::try_from(run.end() - 1).unwrap_or(u32::MAX)));
            }
            if let Some(page) =
                lock_page.filter(|page| run.first <= *page && u64::from(page.get()) < run.end())
            {
                return Err(BodyViolation::Base(page.get()));
            }
        }
        Ok(())
    }

    fn copies(&mut self, runs: &[CopyRun]) -> Result<(), BodyViolation> {
        let as_runs = |first: fn(&CopyRun) -> PageNo| -> Vec<Run> {
            runs.iter().map(|run| Run { first: first(run), length: run.length }).collect()
        };
        self.sources(&as_runs(|run| run.source))?;
        self.targets(&as_runs(|run| run.target)).map(drop)
    }

    /// Whether everything came that had to.
    fn end(&self, targets: u32) -> Result<(), BodyViolation> {
        if targets != self.seen.len() {
            return Err(BodyViolation::Count { stated: targets, found: self.seen.len() });
        }
        let header = self.header();
        let Some(size) = header.page_size else { return Ok(()) };
        let PageCount(known) = if header.flags.full { PageCount(0) } else { header.base_count };
        let all = [Run { first: PageNo::FIRST, length: header.page_count.0 }];
        for run in self.asked.as_deref().unwrap_or(&all) {
            let from = run.first.get().max(known.saturating_add(1));
            let to = run.end().min(u64::from(header.page_count.0) + 1);
            let mut pages = (u64::from(from)..to).filter_map(|page| PageNo::new(u32::try_from(page).ok()?));
            if let Some(page) = pages.find(|page| *page != size.lock_page() && !self.seen.contains(*page)) {
                return Err(BodyViolation::Missing(page.get()));
            }
        }
        Ok(())
    }
}
