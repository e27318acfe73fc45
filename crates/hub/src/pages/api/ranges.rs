//! `Range` of a file (RFC 9110, section 14), and the parameter `pages`.

use ferry_protocol::pages::body::Run;
use ferry_types::{Error, PageCount, PageNo, Reason, Result};

/// What of a file is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WantedBytes {
    /// All of it.
    All,
    /// From this byte up to, not including, that one.
    Part(u64, u64),
    /// Bytes that it does not have.
    Beyond,
}

/// What the value of `Range` wants of `length` bytes. Several ranges, other units and what is malformed are ignored, as the
/// standard allows.
pub(super) fn wanted(range: &str, length: u64) -> WantedBytes {
    let Some((from, to)) = range.strip_prefix("bytes=").and_then(|spec| spec.trim().split_once('-')) else {
        return WantedBytes::All;
    };
    let number = |text: &str| -> Option<Option<u64>> {
        if text.is_empty() {
            return Some(None);
        }
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        // A number that is too large is as good as the largest.
        digits.then(|| Some(text.parse().unwrap_or(u64::MAX)))
    };
    let (from, to) = match (number(from), number(to)) {
        (Some(None), Some(Some(suffix))) => (length.saturating_sub(suffix), length),
        (Some(Some(from)), Some(to)) => {
            let last = to.unwrap_or(u64::MAX);
            if last < from {
                return WantedBytes::All;
            }
            (from, last.saturating_add(1).min(length))
        }
        _ => return WantedBytes::All,
    };
    if from >= to { WantedBytes::Beyond } else { WantedBytes::Part(from, to) }
}

/// Pages as `1-5,9-`: numbers and ranges that ascend; of an open one all that follow.
///
/// # Errors
/// `INVALID_ARGUMENT`, saying how it should look.
pub(super) fn pages(text: &str, count: PageCount) -> Result<Vec<Run>> {
    let bad = || {
        let message = "pages: expected ascending page numbers and ranges such as 1-5,9-";
        Error::new(Reason::InvalidArgument, message)
    };
    let mut runs: Vec<Run> = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let first: PageNo = first.parse().ok().and_then(PageNo::new).ok_or_else(bad)?;
        let last = if last.is_empty() { u32::MAX } else { last.parse().map_err(|_| bad())? };
        let follows = runs.last().is_none_or(|before| before.end() <= u64::from(first.get()));
        if last < first.get() || !follows {
            return Err(bad());
        }
        let last = last.min(count.0.max(first.get()));
        runs.push(Run { first, length: last - first.get() + 1 });
    }
    Ok(runs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_a_file() {
        for (range, expected) in [
            ("bytes=0-9", WantedBytes::Part(0, 10)),
            ("bytes=90-", WantedBytes::Part(90, 100)),
            ("bytes=90-1000", WantedBytes::Part(90, 100)),
            ("bytes=-10", WantedBytes::Part(90, 100)),
            ("bytes=-1000", WantedBytes::Part(0, 100)),
            ("bytes=100-", WantedBytes::Beyond),
            ("bytes=-0", WantedBytes::Beyond),
            ("bytes=99999999999999999999-", WantedBytes::Beyond),
            ("bytes=9-3", WantedBytes::All),
            ("bytes=0-1,5-6", WantedBytes::All),
            ("pages=0-1", WantedBytes::All),
            ("bytes=x-", WantedBytes::All),
            ("bytes=-", WantedBytes::All),
        ] {
            assert_eq!(wanted(range, 100), expected, "{range}");
        }
        assert_eq!(wanted("bytes=0-", 0), WantedBytes::Beyond);
    }

    #[test]
    fn lists_of_pages() {
        let of = |text| {
            let runs = pages(text, PageCount(20)).ok()?;
            Some(runs.iter().map(|run| (run.first.get(), run.length)).collect::<Vec<_>>())
        };
        assert_eq!(of("1-5,9-"), Some(vec![(1, 5), (9, 12)]));
        assert_eq!(of("7"), Some(vec![(7, 1)]));
        assert_eq!(of("30-"), Some(vec![(30, 1)]));
        for bad in ["", "0", "5-3", "3,3", "3-,9", "a", "1-5;7", "-4"] {
            assert_eq!(of(bad), None, "{bad}");
        }
    }
}
