//! `config.toml`: named hubs. Written by people and by `ferry profile`, which leaves their comments in place:
//!
//! ```toml
//! profile = "work"                    # used when --profile is not given
//! [profiles.work]
//! server = "https://ferry.example.com"
//! org = "team"
//! ```

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use ferry_client::{ClientError, ClientErrorCode};
use ferry_types::Code;
use serde::Deserialize;
use toml_edit::{DocumentMut, Item, Table, TableLike, Value};

use super::file;
use crate::failure::Failure;

/// Longest name of a profile, in bytes.
const NAME_MAX_BYTES: usize = 64;

/// A named hub, and the organisation in it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Profile {
    /// Address of the hub.
    pub(crate) server: Option<String>,
    /// Id or name of the organisation.
    pub(crate) org: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    profile: Option<String>,
    #[serde(default)]
    profiles: BTreeMap<String, Profile>,
}

fn path(dir: &Path) -> PathBuf {
    dir.join("config.toml")
}

fn wrong(path: &Path, error: &dyn std::fmt::Display) -> Failure {
    Failure::Configuration(format!("{}: {error}", path.display()))
}

fn parse(path: &Path, text: &str) -> Result<Config, Failure> {
    toml::from_str(text).map_err(|error| wrong(path, &error))
}

/// Every profile by name, and which one is in use.
pub(crate) fn all(dir: &Path) -> Result<(BTreeMap<String, Profile>, Option<String>), Failure> {
    let path = path(dir);
    let config = parse(&path, &file::read(&path)?.unwrap_or_default())?;
    Ok((config.profiles, config.profile))
}

/// The profile called `name`, else the one that `config.toml` names as current, else an empty one.
pub(crate) fn profile(dir: &Path, name: Option<&str>) -> Result<Profile, Failure> {
    let (profiles, current) = all(dir)?;
    let Some(name) = name.or(current.as_deref()) else {
        return Ok(Profile::default());
    };
    profiles.get(name).cloned().ok_or_else(|| {
        Failure::Configuration(format!("{}: {}", path(dir).display(), unknown(name, &profiles)))
    })
}

/// Says that there is no such profile, and which ones there are.
fn unknown(name: &str, profiles: &BTreeMap<String, Profile>) -> String {
    let known: Vec<_> = profiles.keys().map(String::as_str).collect();
    let known = if known.is_empty() { "it has none".into() } else { format!("it has: {}", known.join(", ")) };
    format!("no profile {name:?}; {known}")
}

fn not_found(name: &str, config: &Config) -> Failure {
    ClientError::new(ClientErrorCode::Table(Code::NotFound), "NOT_FOUND", unknown(name, &config.profiles))
        .into()
}

/// Makes `name` the profile in use.
pub(crate) fn select(dir: &Path, name: &str) -> Result<(), Failure> {
    edit(dir, |config, document| {
        if !config.profiles.contains_key(name) {
            return Err(not_found(name, config));
        }
        if let Some(value) = document.get_mut("profile").and_then(Item::as_value_mut) {
            let beside = value.decor().clone();
            *value = Value::from(name);
            *value.decor_mut() = beside;
        } else {
            document.insert("profile", toml_edit::value(name));
        }
        Ok(())
    })
}

/// Adds a profile.
pub(crate) fn add(dir: &Path, name: &str, profile: &Profile) -> Result<(), Failure> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    if !(1..=NAME_MAX_BYTES).contains(&name.len()) || !name.bytes().all(plain) {
        return Err(Failure::Usage("the name must have 1 to 64 of A-Z a-z 0-9 _ - .".into()));
    }
    if profile.server.is_none() && profile.org.is_none() {
        return Err(Failure::Usage("a profile needs --server, --org or both".into()));
    }
    edit(dir, |config, document| {
        if config.profiles.contains_key(name) {
            let message = format!("there is a profile {name:?} already: remove it first");
            let taken =
                ClientError::new(ClientErrorCode::Table(Code::AlreadyExists), "ALREADY_EXISTS", message);
            return Err(taken.into());
        }
        let mut table = Table::new();
        for (key, value) in [("server", &profile.server), ("org", &profile.org)] {
            if let Some(value) = value {
                table.insert(key, toml_edit::value(value.as_str()));
            }
        }
        profiles_of(document).insert(name, Item::Table(table));
        Ok(())
    })
}

/// Removes a profile; if it was in use, none is.
pub(crate) fn remove(dir: &Path, name: &str) -> Result<(), Failure> {
    edit(dir, |config, document| {
        profiles_of(document).remove(name).ok_or_else(|| not_found(name, config))?;
        if config.profile.as_deref() == Some(name)
            && let Some((key, _)) = document.remove_entry("profile")
            && let Some(above) = key.leaf_decor().prefix()
        {
            // It was the first line: what stands above it is about the whole file.
            document.decor_mut().set_prefix(above.clone());
        }
        Ok(())
    })
}

/// The table of profiles, made if it is missing.
fn profiles_of(document: &mut DocumentMut) -> &mut dyn TableLike {
    let empty = || {
        let mut table = Table::new();
        table.set_implicit(true);
        Item::Table(table)
    };
    let profiles = document.entry("profiles").or_insert_with(empty);
    profiles.as_table_like_mut().expect("BUG: it was parsed as a table before")
}

/// Changes `config.toml` and leaves everything else in it as it stands.
fn edit(
    dir: &Path,
    change: impl FnOnce(&Config, &mut DocumentMut) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let path = path(dir);
    file::update(&path, |text| {
        let text = text.unwrap_or_default();
        let config = parse(&path, &text)?;
        let mut document: DocumentMut = text.parse().map_err(|error| wrong(&path, &error))?;
        change(&config, &mut document)?;
        Ok(document.to_string())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dir(config: &str) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("config.toml"), config).unwrap();
        dir
    }

    #[test]
    fn a_named_profile_precedes_the_current_one() {
        let dir =
            dir("profile = 'a'\n[profiles.a]\nserver = 'http://a'\n[profiles.b]\nserver = 'http://b'\n");
        let server = |name| profile(dir.path(), name).unwrap().server.unwrap();
        assert_eq!((server(None), server(Some("b"))), ("http://a".into(), "http://b".into()));
        assert!(profile(dir.path(), Some("c")).unwrap_err().to_string().contains("it has: a, b"));
    }

    #[test]
    fn a_missing_file_has_no_profiles_and_a_malformed_one_is_named() {
        let empty = tempfile::tempdir().unwrap();
        assert_eq!(profile(empty.path(), None).unwrap(), Profile::default());
        let wrong = dir("[profiles.a]\nsrever = 'x'\n");
        assert!(profile(wrong.path(), None).unwrap_err().to_string().contains("srever"));
    }

    // Verifies: CLI-05
    #[test]
    fn editing_keeps_comments_and_order() {
        let written = "# mine\nprofile = 'a' # today\n[profiles.a]\nserver = 'http://a' # at home\n";
        let dir = dir(written);
        let text = || std::fs::read_to_string(dir.path().join("config.toml")).unwrap();
        let b = Profile { server: Some("http://b".into()), org: Some("a \"team\"".into()) };
        add(dir.path(), "b.1", &b).unwrap();
        assert!(text().starts_with(written), "{}", text());
        assert!(add(dir.path(), "b.1", &b).is_err() && add(dir.path(), "b 2", &b).is_err());
        assert!(add(dir.path(), "c", &Profile::default()).is_err() && select(dir.path(), "c").is_err());
        select(dir.path(), "b.1").unwrap();
        assert_eq!(profile(dir.path(), None).unwrap(), b);
        assert!(text().contains("profile = \"b.1\" # today\n"), "{}", text());
        remove(dir.path(), "b.1").unwrap();
        assert!(remove(dir.path(), "b.1").is_err());
        let (left, current) = all(dir.path()).unwrap();
        assert_eq!((left.len(), current), (1, None));
        assert!(text().contains("# mine") && text().contains("# at home"), "{}", text());
    }

    #[test]
    fn the_first_profile_makes_the_file() {
        let empty = tempfile::tempdir().unwrap();
        let dir = empty.path().join("new");
        add(&dir, "a", &Profile { server: None, org: Some("team".into()) }).unwrap();
        select(&dir, "a").unwrap();
        assert_eq!(profile(&dir, None).unwrap().org.as_deref(), Some("team"));
        let inline = self::dir("profiles = { a = { org = 'x' } }\n");
        add(inline.path(), "b", &Profile { server: None, org: Some("y".into()) }).unwrap();
        assert_eq!(profile(inline.path(), Some("b")).unwrap().org.as_deref(), Some("y"));
    }
}
