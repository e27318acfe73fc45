//! Settings of backups.

use std::{collections::BTreeMap, path::Path, time::Duration};

use ferry_backup::{BackupKey, S3Access, S3Credentials, TargetAccess};
use ferry_core::backup::retention::Retention;

use super::{ConfigError, Key, Raw, Setting, Values, keys, keys::key};

/// Its settings.
pub(super) const KEYS: &[Key] = &[
    key(
        "backup.target",
        "URLS",
        "Where backups go: folders as file:///var/backups/ferry, buckets as s3://bucket/prefix, several with commas between them [default: none, no backups]",
    ),
    key(
        "backup.s3_endpoint",
        "URL",
        "Address of the S3 that has the buckets, as https://s3.example.org [default: Amazon's, of the region]",
    )
    .or(&["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"]),
    key("backup.s3_region", "NAME", "Region of the buckets [default: us-east-1]")
        .or(&["AWS_REGION", "AWS_DEFAULT_REGION"]),
    key(
        "backup.s3_path_style",
        "BOOL",
        "Name the bucket in the path and not in the host name [default: true if an endpoint is set]",
    ),
    key("backup.s3_access_key_id", "TEXT", "Name of the key that S3 is shown").secret().or(&["AWS_ACCESS_KEY_ID"]),
    key("backup.s3_secret_access_key", "TEXT", "The key itself").secret().or(&["AWS_SECRET_ACCESS_KEY"]),
    key("backup.s3_session_token", "TEXT", "Token that belongs to a key that soon ends")
        .secret()
        .or(&["AWS_SESSION_TOKEN"]),
    key(
        "backup.key_file",
        "FILE",
        "Key that backups are encrypted with, as ferry backup key create writes it; keep a copy elsewhere, nothing restores without it [default: none, not encrypted]",
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
    key(
        "backup.restore_if_empty",
        "BOOL",
        "Begin from the newest backup where the data directory is empty; without any backup begin anew, and with none that can be read not at all [default: false]",
    ),
    key(
        "backup.lag_seconds",
        "SECONDS",
        "Ship what changed between backups, at the latest so long after it was written, 1 to 3600; 0 for not at all [default: 0]",
    ),
    key(
        "backup.log_days",
        "DAYS",
        "For how long back every moment can be restored that was shipped so [default: 7]",
    ),
    key(
        "backup.spool_mib",
        "MIB",
        "Most of it that waits on this machine's disk for targets that fail; what is more is dropped, and a new backup taken [default: 1024]",
    ),
];

const DAY_MINUTES: i64 = 24 * 60;

/// What is shipped between backups.
#[derive(Clone, Copy, Debug)]
pub struct LogConfig {
    /// How long after it was written something is shipped at the latest.
    pub lag: Duration,
    /// Most bytes that wait for targets that fail.
    pub spool_bytes: u64,
}

impl LogConfig {
    /// The lag in milliseconds.
    #[must_use]
    pub fn lag_ms(&self) -> i64 {
        i64::try_from(self.lag.as_millis()).unwrap_or(i64::MAX)
    }
}

/// When backups are taken, where they go, which are kept.
#[derive(Clone, Debug)]
pub struct BackupConfig {
    /// Where they go; none: there are none.
    pub targets: Vec<String>,
    /// How they are reached.
    pub access: TargetAccess,
    /// How often one is taken; `None`: only when somebody asks.
    pub every: Option<Duration>,
    /// Minute of the day, in UTC, at which one is taken.
    pub at: Option<i64>,
    /// How often the newest is verified; `None`: only when somebody asks.
    pub verify_every: Option<Duration>,
    /// Which are kept.
    pub keep: Retention,
    /// Whether an empty data directory is filled from the newest.
    pub restore_if_empty: bool,
    /// What is shipped between them; `None`: nothing.
    pub log: Option<LogConfig>,
    /// For how many days that is kept.
    pub log_days: u32,
    /// The settings of the whole hub as a configuration file, without secrets: what a backup holds of them.
    pub settings: String,
}

impl BackupConfig {
    pub(super) fn read(
        values: &Values,
        data_dir: &Path,
        warnings: &mut Vec<String>,
    ) -> Result<Self, ConfigError> {
        if values.text("backup.key_file").is_some_and(|file| lies_in(file.trim().as_ref(), data_dir)) {
            warnings.push(
                "backup.key_file lies in the data directory: whoever loses that loses the key of its backups too; keep a copy elsewhere"
                    .to_owned(),
            );
        }
        let access = access(values)?;
        let target =
            |text: &str| access.check(text).map(|()| text.to_owned()).map_err(|error| error.to_string());
        let targets: Vec<String> = values.list("backup.target", target)?;
        let restore_if_empty = values.truth("backup.restore_if_empty", false)?;
        if restore_if_empty && targets.is_empty() {
            return Err(ConfigError(
                "backup.restore_if_empty is on and backup.target is not set: name where the backups lie"
                    .to_owned(),
            ));
        }
        Ok(Self {
            targets,
            restore_if_empty,
            access,
            every: time(values, "backup.every", 6 * 3600)?,
            at: values.read("backup.at", minute_of_day)?,
            verify_every: time(values, "backup.verify_every", 7 * 86_400)?,
            keep: values
                .read("backup.keep", |text| text.parse::<Retention>().map_err(|error| error.to_string()))?
                .unwrap_or_default(),
            log: log(values)?,
            log_days: values.read("backup.log_days", |text| number(text, 1..=3650))?.unwrap_or(7),
            settings: written(values),
        })
    }
}

/// How targets are reached, as the environment of a command says that asks no hub: by the variables that a hub reads too.
///
/// # Errors
/// For a bad value.
pub fn target_access(environment: &BTreeMap<String, String>) -> Result<TargetAccess, ConfigError> {
    let mut raw = Raw::new();
    for key in KEYS {
        let names = std::iter::once(key.env()).chain(key.legacy.iter().map(|name| (*name).to_owned()));
        let mut given = names.filter_map(|name| Some((environment.get(&name)?.clone(), name)));
        if let Some((value, source)) = given.find(|(value, _)| !value.is_empty()) {
            raw.insert(key.name, Setting { value, source });
        }
    }
    access(&Values(raw))
}

fn access(values: &Values) -> Result<TargetAccess, ConfigError> {
    let text = |name: &str| values.text(name).map(|text| text.trim().to_owned());
    let (id, secret) = (text("backup.s3_access_key_id"), text("backup.s3_secret_access_key"));
    let credentials = id.zip(secret).map(|(access_key_id, secret_access_key)| S3Credentials {
        access_key_id,
        secret_access_key,
        session_token: text("backup.s3_session_token"),
    });
    let path_style = match values.text("backup.s3_path_style") {
        Some(_) => Some(values.truth("backup.s3_path_style", true)?),
        None => None,
    };
    let (endpoint, region) = (text("backup.s3_endpoint"), text("backup.s3_region"));
    let s3 = S3Access { endpoint, region, path_style, credentials };
    let key = values.read("backup.key_file", |text| {
        BackupKey::read_file(text.as_ref()).map_err(|error| error.to_string())
    })?;
    Ok(TargetAccess { s3, key, ..TargetAccess::default() })
}

fn log(values: &Values) -> Result<Option<LogConfig>, ConfigError> {
    let seconds = values.read("backup.lag_seconds", |text| number(text, 0..=3600))?.unwrap_or(0);
    let mib = values.read("backup.spool_mib", |text| number(text, 1..=1 << 20))?.unwrap_or(1024);
    let log = LogConfig { lag: Duration::from_secs(seconds.into()), spool_bytes: u64::from(mib) << 20 };
    Ok((seconds > 0).then_some(log))
}

fn number(text: &str, range: std::ops::RangeInclusive<u32>) -> Result<u32, String> {
    let expected = || format!("expected a whole number from {} to {}", range.start(), range.end());
    text.trim().parse().ok().filter(|number| range.contains(number)).ok_or_else(expected)
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

/// Whether a file lies in a folder, as far as can be told.
fn lies_in(file: &Path, folder: &Path) -> bool {
    let whole = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    whole(file).starts_with(whole(folder))
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
