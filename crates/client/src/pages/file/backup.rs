//! A copy of the local file before something overwrites its changes (PAG-65).

use std::{
    fs::OpenOptions,
    io::{self, BufWriter, Write as _},
    path::{Path, PathBuf},
};

use ferry_types::UnixMillis;

use super::{image::LocalImage, paths};
use crate::{ClientError, Result};

/// What is added to its name while it is written.
const PART: &str = "-part";

/// Writes the image to `<file>.ferry-<UTC time>.bak`, durable when it returns; the path.
///
/// # Errors
/// When the image cannot be read or the copy not be written.
pub fn write(image: &LocalImage, now: UnixMillis) -> Result<PathBuf> {
    let path = free_name(image.path(), now);
    let part = paths::beside(&path, PART);
    let copied = copy(image, &part, paths::FileMode::of(image.path()));
    let failed = |error: io::Error| ClientError::io(path.display(), &error);
    if let Err(error) = copied {
        let _ = std::fs::remove_file(&part);
        return Err(error);
    }
    paths::place_database(&part, &path).map_err(failed)?;
    Ok(path)
}

fn copy(image: &LocalImage, part: &Path, mode: paths::FileMode) -> Result<()> {
    let failed = |error: io::Error| ClientError::io(part.display(), &error);
    let mut options = OpenOptions::new();
    let file = mode.limit(options.write(true).create_new(true)).open(part).map_err(failed)?;
    let mut out = BufWriter::with_capacity(1 << 20, file);
    let mut outcome = Ok(());
    image.read_all(|_, data| {
        if outcome.is_ok() {
            outcome = out.write_all(data);
        }
    })?;
    outcome.and_then(|()| out.flush()).and_then(|()| out.get_ref().sync_all()).map_err(failed)
}

fn free_name(file: &Path, now: UnixMillis) -> PathBuf {
    let stamp = utc_stamp(now);
    let name = |suffix: &str| paths::beside(file, &format!(".ferry-{stamp}{suffix}.bak"));
    let is_taken = |path: &Path| path.symlink_metadata().is_ok();
    let mut path = name("");
    let mut taken = 1;
    while is_taken(&path) || is_taken(&paths::beside(&path, PART)) {
        taken += 1;
        path = name(&format!("-{taken}"));
    }
    path
}

/// `20260131T235959Z`: sorts by time and is a file name everywhere.
fn utc_stamp(now: UnixMillis) -> String {
    let seconds = now.as_secs();
    let (days, of_day) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = civil_date(days);
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z")
}

/// Year, month and day of a day counted from 1970-01-01 (Howard Hinnant, "chrono-Compatible Low-Level Date
/// Algorithms", `civil_from_days`).
const fn civil_date(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (year_of_era + era * 400 + (month <= 2) as i64, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backup_names_use_utc() {
        for (unix, stamp) in [
            (0, "19700101T000000Z"),
            (951_782_400, "20000229T000000Z"),
            (1_767_225_599, "20251231T235959Z"),
            (1_767_225_600, "20260101T000000Z"),
        ] {
            assert_eq!(utc_stamp(UnixMillis(unix * 1000)), stamp);
        }
    }
}
