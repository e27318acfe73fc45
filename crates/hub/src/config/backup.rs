//! Settings of backups.

use std::{collections::BTreeMap, time::Duration};

use ferry_core::backup::retention::Retention;

use super::{ConfigError, Key, Values, keys, keys::key};

/// Its settings.
pub(super) const KEYS: &[Key] = &[
    key(
        "backup.target",
        "URLS",
        "Where backups go: folders as file:///var/backups/ferry, several with commas between them [default: none, no backups]",
    ),
    key("backup.every", "TIME", "How often one is taken: 30m, 6h, 1d; 0 for never [default: 6h]"),
    key(
        "backup.at",
        "HH:MM",
        "A time of day, in UTC, at which one is taken; the others follow it [default: none]",
    ),
    key(
        "backup.verify_every",
        "TIME",
        "How often the newest is restored into a scratch file and compared; 0 for never [default: 7d]",
    ),
    key(
        "backup.keep",
        "COUNTS",
        "Which are kept, by UTC [default: last=3,hourly=24,daily=7,weekly=4,monthly=6]",
    ),
];

const DAY_MINUTES: i64 = 24 * 60;

/// When backups are taken, where they go, which are kept.
#[derive(Clone, Debug)]
pub struct BackupConfig {
    /// Where they go; none: there are none.
    pub targets: Vec<String>,
    /// How often one is taken; `None`: only when somebody asks.
    pub every: Option<Duration>,
    /// Minute of the day, in UTC, at which one is taken.
    pub at: Option<i64>,
    /// How often the newest is verified; `None`: only when somebody asks.
    pub verify_every: Option<Duration>,
    /// Which are kept.
    pub keep: Retention,
    /// The settings of the whole hub as a configuration file, without secrets: what a backup holds of them.
    pub settings: String,
}

impl BackupConfig {
    pub(super) fn read(values: &Values) -> Result<Self, ConfigError> {
        let target = |text: &str| {
            ferry_backup::open_target(text).map(|_| text.to_owned()).map_err(|error| error.to_string())
        };
        Ok(Self {
            targets: values.list("backup.target", target)?,
            every: time(values, "backup.every", 6 * 3600)?,
            at: values.read("backup.at", minute_of_day)?,
            verify_every: time(values, "backup.verify_every", 7 * 86_400)?,
            keep: values
                .read("backup.keep", |text| text.parse::<Retention>().map_err(|error| error.to_string()))?
                .unwrap_or_default(),
            settings: written(values),
        })
    }
}

/// A time that may be 0, which is never.
fn time(values: &Values, name: &str, default_seconds: u64) -> Result<Option<Duration>, ConfigError> {
    let given = values.read(name, duration)?.unwrap_or(Duration::from_secs(default_seconds));
    Ok((!given.is_zero()).then_some(given))
}

/// `90s`, `30m`, `6h`, `1d`; 0.
fn duration(text: &str) -> Result<Duration, String> {
    const LONGEST_SECONDS: u64 = 366 * 86_400;
    let expected = || "expected a time such as 90s, 30m, 6h or 1d, of a year at most, or 0".to_owned();
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let unit = match text.chars().last() {
        Some('s') => 1,
        Some('m') => 60,
        Some('h') => 3600,
        Some('d') => 86_400,
        _ => return Err(expected()),
    };
    let number: u64 = text[..text.len() - 1].parse().map_err(|_| expected())?;
    match number.checked_mul(unit) {
        Some(seconds @ 1..=LONGEST_SECONDS) => Ok(Duration::from_secs(seconds)),
        _ => Err(expected()),
    }
}

fn minute_of_day(text: &str) -> Result<i64, String> {
    let expected = || "expected a time of day such as 03:30".to_owned();
    let (hours, minutes) = text.split_once(':').ok_or_else(expected)?;
    let number = |part: &str| part.parse::<u16>().ok().filter(|_| part.len() == 2).ok_or_else(expected);
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    let minute = i64::from(hours) * 60 + i64::from(minutes);
    if minutes < 60 && minute < DAY_MINUTES { Ok(minute) } else { Err(expected()) }
}

/// What was set, as `ferry.toml` has it.
fn written(values: &Values) -> String {
    let mut sections: BTreeMap<&str, String> = BTreeMap::new();
    for key in keys().filter(|key| !key.secret) {
        let Some(value) = values.text(key.name) else { continue };
        let (section, name) = key.name.split_once('.').unwrap_or(("", key.name));
        let line = format!("{name} = {}\n", toml::Value::from(value));
        sections.entry(section).or_default().push_str(&line);
    }
    let mut text = String::new();
    for (section, lines) in sections {
        if !section.is_empty() {
            text.push_str(&format!("\n[{section}]\n"));
        }
        text.push_str(&lines);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        for (text, seconds) in [("90s", 90), ("30m", 1800), ("6h", 21_600), ("1d", 86_400), ("0", 0)] {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for bad in ["", "6", "h", "-1h", "6 h", "1y", "99999999999999999999d", "400d", "0h", "é"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
        assert_eq!(minute_of_day("03:30"), Ok(210));
        for bad in ["3:30", "24:00", "03:60", "0330", "03:3", ""] {
            assert!(minute_of_day(bad).is_err(), "{bad}");
        }
    }
}
