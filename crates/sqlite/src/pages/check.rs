//! The check of an image that nobody has opened yet (PAG-07, PAG-19), and what ends it early.

use std::{fs::File, os::unix::fs::FileExt as _, time::Duration};

use ferry_core::pages::structure::{self, Fault, ImagePages};
use ferry_types::{PageCount, PageNo, PageSize};
use rustix::time::{ClockId, clock_gettime};

use crate::{Error, Result, fault};

/// CPU time that one check may take. A quarter of a gigabyte takes about one second.
const CPU_MAX: Duration = Duration::from_secs(10);
/// Pages between two checks of the clock and of whether the result is still wanted.
const PAGES_PER_CLOCK_CHECK: u32 = 64;

/// What the check found.
#[derive(Debug, PartialEq, Eq)]
pub enum CheckOutcome {
    /// Well-formed, as far as it could be checked in time.
    Ok,
    /// Damaged or torn; the first finding.
    Damaged(String),
    /// Nobody waits for the result any more.
    Unwanted,
}

/// Checks `file`, an image of `count` pages. Ends early once `is_wanted` says no.
///
/// # Errors
/// When the file cannot be read.
pub(super) fn check(
    file: &File,
    size: PageSize,
    count: PageCount,
    is_wanted: &dyn Fn() -> bool,
) -> Result<CheckOutcome> {
    check_within(CPU_MAX, file, size, count, is_wanted)
}

fn check_within(
    cpu_max: Duration,
    file: &File,
    size: PageSize,
    count: PageCount,
    is_wanted: &dyn Fn() -> bool,
) -> Result<CheckOutcome> {
    fault::point("push.check")?;
    let mut pages = FilePages { file, size, is_wanted, read: 0, cpu_end: cpu_time() + cpu_max };
    match structure::check(&mut pages, size, count) {
        Ok(()) => Ok(CheckOutcome::Ok),
        Err(Fault::Damaged(finding)) => Ok(CheckOutcome::Damaged(finding)),
        Err(Fault::Source(Stop::Unwanted)) => Ok(CheckOutcome::Unwanted),
        Err(Fault::Source(Stop::Late)) => {
            // Only a finding is a finding.
            tracing::warn!(pages = count.0, "the check of an image was given up: it took too much CPU time");
            Ok(CheckOutcome::Ok)
        }
        Err(Fault::Source(Stop::Failed(error))) => Err(error),
    }
}

struct FilePages<'c> {
    file: &'c File,
    size: PageSize,
    is_wanted: &'c dyn Fn() -> bool,
    read: u32,
    cpu_end: Duration,
}

/// Why a check ended before the image did.
enum Stop {
    Unwanted,
    Late,
    Failed(Error),
}

impl ImagePages for FilePages<'_> {
    type Error = Stop;

    fn read(&mut self, page: PageNo, into: &mut Vec<u8>) -> Result<(), Stop> {
        if self.read.is_multiple_of(PAGES_PER_CLOCK_CHECK) {
            if !(self.is_wanted)() {
                return Err(Stop::Unwanted);
            }
            if cpu_time() > self.cpu_end {
                return Err(Stop::Late);
            }
        }
        self.read = self.read.wrapping_add(1);
        into.resize(self.size.bytes(), 0);
        let at = page.index() as u64 * u64::from(self.size.get());
        self.file.read_exact_at(into, at).map_err(|error| Stop::Failed(error.into()))
    }
}

/// CPU time of this thread so far.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    // Verifies: PAG-19
    #[test]
    fn a_check_ends_at_its_deadline_and_when_its_caller_is_gone() {
        let mut file = tempfile::tempfile().unwrap();
        // One page that is no database, which a check finds at once.
        std::io::Write::write_all(&mut file, &[0; 512]).unwrap();
        let (size, count) = (PageSize::new(512).unwrap(), PageCount(1));
        let run = |cpu_max, is_wanted| check_within(cpu_max, &file, size, count, &|| is_wanted).unwrap();
        assert!(matches!(run(CPU_MAX, true), CheckOutcome::Damaged(_)));
        assert_eq!(run(CPU_MAX, false), CheckOutcome::Unwanted);
        assert_eq!(run(Duration::ZERO, true), CheckOutcome::Ok, "what was not found in time is no finding");
    }
}
