//! Run lists: pages by runs, each relative to the end of the one before.

use ferry_types::PageNo;

use super::{
    RUNS_MAX,
    error::BodyViolation,
    varint::{FieldReader, Stop, put, put_zigzag},
};

/// Neighbouring pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// The first.
    pub first: PageNo,
    /// How many, at least 1.
    pub length: u32,
}

impl Run {
    /// The number after the last page.
    #[must_use]
    pub const fn end(self) -> u64 {
        self.first.get() as u64 + self.length as u64
    }

    /// Its pages, ascending.
    pub fn pages(self) -> impl Iterator<Item = PageNo> + Clone {
        // A run ends with a page: see `run`.
        let last = self.first.get() + (self.length - 1);
        (self.first.get()..=last).filter_map(PageNo::new)
    }
}

/// The pages of a list, in its order.
pub fn pages_of(runs: &[Run]) -> impl Iterator<Item = PageNo> + '_ {
    runs.iter().flat_map(|run| run.pages())
}

/// How many pages a list names.
#[must_use]
pub fn page_total(runs: &[Run]) -> u64 {
    runs.iter().map(|run| u64::from(run.length)).sum()
}

/// Pages as runs, in the order given.
#[must_use]
pub fn runs_of(pages: impl IntoIterator<Item = PageNo>) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for page in pages {
        match runs.last_mut() {
            Some(last) if last.end() == u64::from(page.get()) => last.length += 1,
            _ => runs.push(Run { first: page, length: 1 }),
        }
    }
    runs
}

/// A run that begins `offset` after `end`, of `length_less_one` + 1 pages.
pub(super) fn run(end: u64, offset: i64, length_less_one: u64) -> Result<Run, BodyViolation> {
    let first = i128::from(end) + i128::from(offset);
    let last = first + i128::from(length_less_one);
    let number = |page: i128| u32::try_from(page).map_err(|_| BodyViolation::Page(page));
    let page = PageNo::new(number(first)?).ok_or(BodyViolation::Page(first))?;
    number(last)?;
    let length = u32::try_from(length_less_one + 1).map_err(|_| BodyViolation::Page(last))?;
    Ok(Run { first: page, length })
}

/// How far `to` is from `from`, both page numbers or one beyond.
pub(super) fn distance(from: u64, to: u64) -> i64 {
    to.cast_signed() - from.cast_signed()
}

pub(super) fn encode(into: &mut Vec<u8>, runs: &[Run]) {
    put(into, runs.len() as u64);
    let mut end = 0;
    for run in runs {
        put_zigzag(into, distance(end, u64::from(run.first.get())));
        put(into, u64::from(run.length - 1));
        end = run.end();
    }
}

/// Reads a list of at most `pages_max` pages.
pub(super) fn decode(reader: &mut FieldReader<'_>, pages_max: u64) -> Result<Vec<Run>, Stop> {
    let at = reader.at();
    let count = reader.varint()?;
    if count > u64::from(RUNS_MAX) {
        return Err(Stop::Fault(at, BodyViolation::TooMany("runs")));
    }
    let mut runs = Vec::new();
    let (mut end, mut pages) = (0, 0);
    for _ in 0..count {
        let at = reader.at();
        let (offset, length) = (reader.zigzag()?, reader.varint()?);
        let run = run(end, offset, length).map_err(|fault| Stop::Fault(at, fault))?;
        pages += u64::from(run.length);
        if pages > pages_max {
            return Err(Stop::Fault(at, BodyViolation::TooMany("pages")));
        }
        end = run.end();
        runs.push(run);
    }
    Ok(runs)
}
