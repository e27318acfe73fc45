//! What each setting is, for whoever operates the hub: secrets are only said to be set.

use super::{Key, Values};

/// A setting as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownSetting {
    /// Its name.
    pub key: &'static str,
    /// Its value, or what stands for it.
    pub value: String,
    /// Where that was said; `default` where nobody said anything.
    pub source: String,
    /// What it is about.
    pub help: &'static str,
}

/// All settings, in the order of the help text.
pub(super) fn settings(sections: &[&[Key]], values: &Values) -> Vec<ShownSetting> {
    let of = |key: &Key| {
        let (help, default) = default_of(key.help);
        let (value, source) = match values.0.get(key.name) {
            None => (default.to_owned(), "default".to_owned()),
            Some(given) if key.secret => ("set".to_owned(), given.source.clone()),
            Some(given) => (without_passwords(&given.value), given.source.clone()),
        };
        ShownSetting { key: key.name, value, source, help }
    };
    sections.iter().flat_map(|keys| keys.iter()).map(of).collect()
}

/// A line of help and the default that it ends in.
fn default_of(help: &'static str) -> (&'static str, &'static str) {
    match help.rsplit_once(" [default: ").map(|(help, rest)| (help, rest.strip_suffix(']'))) {
        Some((help, Some(default))) => (help, default),
        _ => (help, ""),
    }
}

/// The same text, without the passwords of its URLs.
pub(super) fn without_passwords(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("://") {
        shown.push_str(before);
        shown.push_str("://");
        let authority = &after[..after.find(['/', '?', '#', ',', ' ']).unwrap_or(after.len())];
        rest = match authority.rfind('@') {
            Some(at) => {
                shown.push('…');
                &after[at..]
            }
            None => after,
        };
    }
    shown + rest
}

#[cfg(test)]
mod tests {
    use super::{
        super::{SECTIONS, sources::Setting},
        *,
    };

    // Verifies: OPR-56
    #[test]
    fn a_setting_tells_its_value_and_source_and_no_secret() {
        let given =
            |value: &str, source: &str| Setting { value: value.to_owned(), source: source.to_owned() };
        let raw = [
            ("query_rows", given("7", "ferry.toml: query_rows")),
            ("backup.s3_secret_access_key", given("hunter2", "FERRY_BACKUP_S3_SECRET_ACCESS_KEY")),
            (
                "records.billing_url",
                given("https://user:hunter2@pay.example/x?y=a@b", "--records-billing-url"),
            ),
        ];
        let shown = settings(SECTIONS, &Values(raw.into_iter().collect()));
        let of = |key: &str| {
            let one = shown.iter().find(|one| one.key == key).unwrap();
            (one.value.as_str(), one.source.as_str())
        };
        assert_eq!(of("query_rows"), ("7", "ferry.toml: query_rows"));
        assert_eq!(of("query_seconds"), ("5", "default"));
        assert_eq!(of("backup.s3_secret_access_key").0, "set");
        assert_eq!(of("records.billing_url").0, "https://…@pay.example/x?y=a@b");
        assert!(
            shown.len() > 50
                && shown.iter().all(|one| !one.value.contains("hunter2") && !one.help.is_empty())
        );
        assert_eq!(without_passwords("s3://a/b,file:///c, https://k@d"), "s3://a/b,file:///c, https://…@d");
    }
}
