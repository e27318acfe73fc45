//! Names of the log's objects. All that is decided about the log is decided from them.

use std::{fmt, str::FromStr};

use ferry_types::RunId;
use serde::{Deserialize, Serialize};

use crate::backup::MalformedBackup;

/// The folder of the log's objects.
pub const LOG_FOLDER: &str = "log";

/// Where the log goes on behind a snapshot: the first interval that it need not have all of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LogStart {
    /// Of the run that took it.
    pub run: RunId,
    /// The interval.
    pub interval: u64,
}

/// Intervals of a run that follow each other, by their numbers; the first and the last included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LogSpan {
    /// The run.
    pub run: RunId,
    /// The first.
    pub first: u64,
    /// The last.
    pub last: u64,
}

impl LogSpan {
    /// A single interval.
    #[must_use]
    pub const fn of(run: RunId, number: u64) -> Self {
        Self { run, first: number, last: number }
    }

    /// Whether an interval of the same run is one of them.
    #[must_use]
    pub const fn has(&self, number: u64) -> bool {
        self.first <= number && number <= self.last
    }
}

/// The folder of the run, and the numbers in 10 digits: one, or the first and the last.
impl fmt::Display for LogSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { run, first, last } = self;
        write!(f, "{LOG_FOLDER}/{run}/{first:010}")?;
        if first == last { Ok(()) } else { write!(f, "-{last:010}") }
    }
}

/// The moments that an interval is about, in Unix milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IntervalTimes {
    /// All that was acknowledged before is in it, or in those before it.
    pub from_ms: i64,
    /// Nothing is in it that was committed later.
    pub to_ms: i64,
}

/// An object of the log: a part of an interval, or of several that were merged. The last one has its times, and is written when
/// the others are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogObject {
    /// Of which intervals; they are counted from 1.
    pub span: LogSpan,
    /// From 0.
    pub part: u32,
    /// `None`: more parts follow.
    pub times: Option<IntervalTimes>,
}

impl fmt::Display for LogObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { span, part, times } = self;
        write!(f, "{span}.{part:05}.")?;
        match times {
            None => f.write_str("more"),
            Some(times) => write!(f, "{}-{}", times.from_ms, times.to_ms),
        }
    }
}

impl FromStr for LogObject {
    type Err = MalformedBackup;

    fn from_str(path: &str) -> Result<Self, MalformedBackup> {
        let bad = || MalformedBackup::new(format!("{path} is no object of a log"));
        let (span, fields) = fields_of(path).ok_or_else(bad)?;
        let [part, times] = fields[..] else { return Err(bad()) };
        let times = match times {
            "more" => None,
            times => {
                let (from, to) = times.split_once('-').ok_or_else(bad)?;
                let (from_ms, to_ms) = (from.parse().map_err(|_| bad())?, to.parse().map_err(|_| bad())?);
                Some(IntervalTimes { from_ms, to_ms })
            }
        };
        let object = Self { span, part: part.parse().map_err(|_| bad())?, times };
        let is_in_order = times.is_none_or(|times| times.from_ms <= times.to_ms);
        // Only the one spelling.
        if is_in_order && object.to_string() == path { Ok(object) } else { Err(bad()) }
    }
}

/// What is noted beside the log, so that what is missing later is known to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogMark {
    /// These intervals were all on the target; the last of them ends at this moment, in Unix milliseconds.
    Head(LogSpan, i64),
    /// What this run has below this number, a prune may have removed.
    Pruned(LogStart),
}

impl LogMark {
    /// Of which run.
    #[must_use]
    pub const fn run(&self) -> RunId {
        match self {
            Self::Head(span, _) => span.run,
            Self::Pruned(start) => start.run,
        }
    }
}

impl fmt::Display for LogMark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Head(span, to_ms) => write!(f, "{span}.head.{to_ms}"),
            Self::Pruned(LogStart { run, interval }) => write!(f, "{}.pruned", LogSpan::of(*run, *interval)),
        }
    }
}

impl FromStr for LogMark {
    type Err = MalformedBackup;

    fn from_str(path: &str) -> Result<Self, MalformedBackup> {
        let bad = || MalformedBackup::new(format!("{path} is no mark of a log"));
        let (span, fields) = fields_of(path).ok_or_else(bad)?;
        let mark = match fields[..] {
            ["head", to_ms] => Self::Head(span, to_ms.parse().map_err(|_| bad())?),
            ["pruned"] => Self::Pruned(LogStart { run: span.run, interval: span.first }),
            _ => return Err(bad()),
        };
        if mark.to_string() == path { Ok(mark) } else { Err(bad()) }
    }
}

/// The intervals that a path names, and what stands behind them between dots.
fn fields_of(path: &str) -> Option<(LogSpan, Vec<&str>)> {
    let mut folders = path.split('/');
    let (Some(LOG_FOLDER), Some(run), Some(name), None) =
        (folders.next(), folders.next(), folders.next(), folders.next())
    else {
        return None;
    };
    let mut fields = name.split('.');
    let numbers = fields.next()?;
    let (first, last) = numbers.split_once('-').unwrap_or((numbers, numbers));
    let span = LogSpan { run: run.parse().ok()?, first: first.parse().ok()?, last: last.parse().ok()? };
    (span.first <= span.last && span.last < u64::MAX).then(|| (span, fields.collect()))
}
