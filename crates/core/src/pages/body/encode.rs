//! A body made of two versions of an image (pages specification, section 2.5): pages that the base has elsewhere are
//! copied, the others compressed against those pages of the base that resemble them. No decoder depends on how.

use std::collections::VecDeque;

use ferry_protocol::pages::body::{
    BodyHeader, CopyRun, RUNS_MAX, Run, copy_entry, data_entry, encode_copy, end_entry, runs_of, zero_entry,
};
use ferry_types::{PageNo, PageSize, Root};

use super::{
    base_map::{self, BaseMap},
    codec::Codec,
    full,
    group::{self, Group, Resembling},
    sketch::SketchIndex,
    source::{BodySource, LEAVES_AT_ONCE, zero_leaf},
};

/// Pages that are read at once to be sketched.
const SKETCHED_AT_ONCE_BYTES: usize = 1 << 20;
/// Pages are looked for elsewhere in the base if more than one in so many changed.
const COPY_SHARE: usize = 16;
/// All pages of the base may be references if more than one in so many changed.
const ALL_PAGES_SHARE: usize = 4;

/// What a body is to say.
#[derive(Clone, Debug)]
pub struct BodyPlan {
    /// Its header.
    pub header: BodyHeader,
    /// Its targets, ascending, without the lock page: all pages of a full body; else those that differ from the base.
    pub pages: Vec<PageNo>,
    /// Root of the new image.
    pub root: Root,
}

/// Makes a body, entry by entry.
#[derive(Debug)]
pub struct BodyEncoder {
    plan: BodyPlan,
    step: Step,
}

#[derive(Debug)]
enum Step {
    Header,
    /// The first pages of a full body are sent.
    Full(usize),
    Delta(VecDeque<Entry>),
    End,
    Done,
}

/// An entry of a delta that is not encoded yet.
#[derive(Debug)]
enum Entry {
    Zero(Vec<Run>),
    Copy(Vec<CopyRun>),
    Data(Group),
}

impl BodyEncoder {
    /// Makes the body of `plan`.
    #[must_use]
    pub const fn new(plan: BodyPlan) -> Self {
        Self { plan, step: Step::Header }
    }

    /// The next piece of the body; `None` after the last.
    ///
    /// # Errors
    /// When `source` cannot be read.
    pub fn next_piece<S: BodySource>(
        &mut self,
        source: &mut S,
        codec: &mut impl Codec,
    ) -> Result<Option<Vec<u8>>, S::Error> {
        let plan = &self.plan;
        let size = plan.header.page_size;
        let (piece, next) = match &mut self.step {
            Step::Header => {
                let next = match size {
                    Some(_) if plan.header.flags.full => Step::Full(0),
                    Some(size) => Step::Delta(delta(plan, size, source)?),
                    None => Step::End,
                };
                (plan.header.encode(), next)
            }
            Step::Full(sent) => match (&plan.pages[*sent..], size) {
                (rest, Some(size)) if !rest.is_empty() => {
                    let (piece, pages) = full::entry(rest, size, source, codec)?;
                    (piece, Step::Full(*sent + pages))
                }
                _ => (self.end(), Step::Done),
            },
            Step::Delta(entries) => match entries.pop_front() {
                Some(entry) => {
                    let piece = entry.encode(source, codec)?;
                    (piece, Step::Delta(std::mem::take(entries)))
                }
                None => (self.end(), Step::Done),
            },
            Step::End => (self.end(), Step::Done),
            Step::Done => return Ok(None),
        };
        self.step = next;
        Ok(Some(piece))
    }

    fn end(&self) -> Vec<u8> {
        let targets = u32::try_from(self.plan.pages.len()).expect("BUG: targets are pages, each once");
        end_entry(targets, &self.plan.root)
    }
}

impl Entry {
    fn encode<S: BodySource>(self, source: &mut S, codec: &mut impl Codec) -> Result<Vec<u8>, S::Error> {
        Ok(match self {
            Self::Zero(runs) => zero_entry(&runs),
            Self::Copy(runs) => copy_entry(&codec.compress(&encode_copy(&runs), &[])?),
            Self::Data(Group { targets, prefix }) => {
                let (mut data, mut before) = (Vec::new(), Vec::new());
                source.read(&targets, &mut data)?;
                source.read_base(&prefix, &mut before)?;
                let frame = codec.compress(&data, &before)?;
                data_entry(&runs_of(targets), &runs_of(prefix), &frame)
            }
        })
    }
}

/// Chooses how each page travels.
fn delta<S: BodySource>(
    plan: &BodyPlan,
    size: PageSize,
    source: &mut S,
) -> Result<VecDeque<Entry>, S::Error> {
    let base = plan.header.base_count;
    let map = if plan.pages.len() > plan.header.page_count.0 as usize / COPY_SHARE {
        Some(BaseMap::read(source, base)?)
    } else {
        None
    };
    let zeros = zero_leaf(size);
    let (mut zero, mut copies, mut rest) = (Vec::new(), Vec::new(), Vec::new());
    let mut leaves = Vec::new();
    for pages in plan.pages.chunks(LEAVES_AT_ONCE) {
        leaves.clear();
        source.leaves(pages, &mut leaves)?;
        for (page, leaf) in pages.iter().zip(&leaves) {
            if *leaf == zeros {
                zero.push(*page);
                continue;
            }
            let after = copies
                .last()
                .and_then(|run: &CopyRun| run.source.get().checked_add(run.length).and_then(PageNo::new));
            match map.as_ref().map(|map| map.find(source, leaf, after)).transpose()?.flatten() {
                Some(found) => base_map::extend(&mut copies, *page, found),
                None => rest.push(*page),
            }
        }
    }
    drop(map);
    let mut entries = VecDeque::new();
    entries.extend(runs_of(zero).chunks(RUNS_MAX as usize).map(|runs| Entry::Zero(runs.to_vec())));
    entries.extend(copies.chunks(RUNS_MAX as usize).map(|runs| Entry::Copy(runs.to_vec())));
    let groups = group::groups(resembling(plan, &rest, size, source)?, size);
    entries.extend(groups.into_iter().map(Entry::Data));
    Ok(entries)
}

/// Finds for each page the pages of the base that resemble it.
fn resembling<S: BodySource>(
    plan: &BodyPlan,
    targets: &[PageNo],
    size: PageSize,
    source: &mut S,
) -> Result<Vec<Resembling>, S::Error> {
    if targets.is_empty() {
        return Ok(Vec::new());
    }
    let base = plan.header.base_count;
    let all = plan.pages.len() > plan.header.page_count.0 as usize / ALL_PAGES_SHARE;
    let mut own = Vec::new();
    let in_base: Vec<PageNo> = targets.iter().copied().filter(|page| base.contains(*page)).collect();
    for pages in in_base.chunks(LEAVES_AT_ONCE) {
        own.extend(kept(source, pages, size)?);
    }
    // A single page has no better reference than itself.
    let candidates: Vec<PageNo> = if targets.len() == 1 && own.len() == 1 && !all {
        Vec::new()
    } else if all {
        base.pages().collect()
    } else {
        plan.pages.iter().copied().filter(|page| base.contains(*page)).collect()
    };
    let mut index = SketchIndex::new(candidates.len() * size.bytes());
    for pages in candidates.chunks(SKETCHED_AT_ONCE_BYTES / size.bytes()) {
        let pages = kept(source, pages, size)?;
        let mut data = Vec::with_capacity(pages.len() * size.bytes());
        source.read_base(&pages, &mut data)?;
        for (page, data) in pages.iter().zip(data.chunks_exact(size.bytes())) {
            index.add(*page, data);
        }
    }
    index.seal();
    let mut found = Vec::with_capacity(targets.len());
    let mut data = Vec::new();
    for pages in targets.chunks(SKETCHED_AT_ONCE_BYTES / size.bytes()) {
        data.clear();
        source.read(pages, &mut data)?;
        for (target, data) in pages.iter().zip(data.chunks_exact(size.bytes())) {
            let mut references = Vec::new();
            index.references(data, &mut references);
            if !all && !references.contains(target) && own.binary_search(target).is_ok() {
                references.push(*target);
            }
            found.push(Resembling { target: *target, references });
        }
    }
    Ok(found)
}

/// Those of the pages of the base that are still kept, without the lock page, which has no content.
fn kept<S: BodySource>(source: &mut S, pages: &[PageNo], size: PageSize) -> Result<Vec<PageNo>, S::Error> {
    let mut leaves = Vec::with_capacity(pages.len());
    source.base_leaves(pages, &mut leaves)?;
    let kept = pages.iter().zip(&leaves).filter(|(page, leaf)| leaf.is_some() && **page != size.lock_page());
    Ok(kept.map(|(page, _)| *page).collect())
}
