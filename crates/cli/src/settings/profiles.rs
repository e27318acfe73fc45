//! `config.toml`: named hubs. Written by people:
//!
//! ```toml
//! profile = "work"                    # used when --profile is not given
//! [profiles.work]
//! server = "https://ferry.example.com"
//! org = "team"
//! ```

use std::{collections::BTreeMap, path::Path};

use serde::Deserialize;

use super::file;
use crate::failure::Failure;

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

/// The profile called `name`, else the one that `config.toml` names as current, else an empty one.
pub(crate) fn profile(dir: &Path, name: Option<&str>) -> Result<Profile, Failure> {
    let path = dir.join("config.toml");
    let config: Config = match file::read(&path)? {
        Some(text) => toml::from_str(&text)
            .map_err(|error| Failure::Configuration(format!("{}: {error}", path.display())))?,
        None => Config::default(),
    };
    let Some(name) = name.or(config.profile.as_deref()) else {
        return Ok(Profile::default());
    };
    config.profiles.get(name).cloned().ok_or_else(|| {
        let known: Vec<_> = config.profiles.keys().map(String::as_str).collect();
        let known =
            if known.is_empty() { "it has none".into() } else { format!("it has: {}", known.join(", ")) };
        Failure::Configuration(format!("{} has no profile {name:?}; {known}", path.display()))
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
    fn no_file_is_an_empty_profile_and_a_wrong_one_is_named() {
        let empty = tempfile::tempdir().unwrap();
        assert_eq!(profile(empty.path(), None).unwrap(), Profile::default());
        let wrong = dir("[profiles.a]\nsrever = 'x'\n");
        assert!(profile(wrong.path(), None).unwrap_err().to_string().contains("srever"));
    }
}
