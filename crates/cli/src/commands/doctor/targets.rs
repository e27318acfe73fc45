//! Where backups go: whether all that a hub needs of it works there (OPR-06), and how old the newest is.

use std::time::Duration;

use ferry_backup::{Error, Repository, TargetAccess, TargetCheck, check_target, open_target};
use ferry_hub::config::Config;

use super::{Findings, Level};
use crate::system::unix_millis;

/// Tries each target with an object that it removes again, and looks at what lies there.
pub(super) async fn check(config: &Config, findings: &mut Findings) {
    for url in &config.backup.targets {
        let (url, access, every) = (url.clone(), config.backup.access.clone(), config.backup.every);
        let tried = tokio::task::spawn_blocking(move || {
            let (level, text) = tried(&url, &access);
            let newest = (level == Level::Ok).then(|| newest(&url, &access, every));
            ((level, text), newest)
        });
        let ((level, text), newest) =
            tried.await.unwrap_or_else(|error| ((Level::Fail, error.to_string()), None));
        findings.add(level, "backup target", text);
        if let Some((level, text)) = newest {
            findings.add(level, "backup age", text);
        }
    }
}

fn tried(url: &str, access: &TargetAccess) -> (Level, String) {
    let tried = open_target(url, access).and_then(|target| check_target(&*target));
    match tried.map(|checks| checks.into_iter().find_map(TargetCheck::failed)) {
        Ok(None) => (Level::Ok, format!("{url} can be written, read and removed from")),
        Ok(Some(error)) | Err(error) => (Level::Fail, error.to_string()),
    }
}

/// Whether backups arrive there as often as they should.
fn newest(url: &str, access: &TargetAccess, every: Option<Duration>) -> (Level, String) {
    let open =
        || Repository::open(open_target(url, access)?, access.key.as_ref(), None)?.newest_hub()?.meant();
    match open() {
        Ok(Some(manifest)) => {
            let age_ms = i64::try_from(unix_millis()).unwrap_or(i64::MAX).saturating_sub(manifest.time_ms);
            aged(url, Duration::from_millis(u64::try_from(age_ms).unwrap_or(0)), every)
        }
        Ok(None) | Err(Error::NotFound(_)) => {
            (Level::Warn, format!("{url} holds no backup of this hub yet: ferry backup create takes one"))
        }
        Err(error) => (Level::Fail, error.to_string()),
    }
}

/// Judges a newest backup of that age, where one is due so often.
fn aged(url: &str, age: Duration, every: Option<Duration>) -> (Level, String) {
    let minutes = age.as_secs() / 60;
    let text = format!("the newest at {url} is {} h {} min old", minutes / 60, minutes % 60);
    match every {
        // One that fails is tried again, and takes its time.
        Some(every) if age > every * 2 => {
            (Level::Warn, format!("{text}, and one is due every {every:?}: ferry backup schedule tells why"))
        }
        _ => (Level::Ok, text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Verifies: OPR-88
    #[test]
    fn a_backup_that_is_overdue_is_told() {
        let hours = |hours: u64| Duration::from_secs(hours * 3600);
        let of = |age, every| aged("file:///b", hours(age), every);
        assert_eq!(of(11, Some(hours(6))).0, Level::Ok);
        assert_eq!(of(1000, None), (Level::Ok, "the newest at file:///b is 1000 h 0 min old".to_owned()));
        let (level, text) = of(13, Some(hours(6)));
        assert!(level == Level::Warn && text.contains("13 h 0 min old") && text.contains("backup schedule"));
    }
}
