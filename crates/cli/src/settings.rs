//! The two files of the command line (CLI-05): `config.toml` with profiles, written by people and by us, and
//! `credentials.toml`, written by us alone.

mod credentials;
mod file;
pub(crate) mod profiles;

use std::{ffi::OsString, path::PathBuf};

pub(crate) use credentials::{PendingLogin, SavedCredentials, SavedSession};
pub(crate) use profiles::{Profile, profile};

use crate::failure::Failure;

/// FERRY_CONFIG_DIR, else `$XDG_CONFIG_HOME/ferry`, else `~/.config/ferry` (`%APPDATA%\ferry` on Windows).
pub(crate) fn directory() -> Result<PathBuf, Failure> {
    let set =
        |name: &str| std::env::var_os(name).filter(|value: &OsString| !value.is_empty()).map(PathBuf::from);
    let standard = if cfg!(windows) {
        set("APPDATA").map(|dir| dir.join("ferry"))
    } else {
        set("XDG_CONFIG_HOME")
            .or_else(|| set("HOME").map(|home| home.join(".config")))
            .map(|dir| dir.join("ferry"))
    };
    set("FERRY_CONFIG_DIR").or(standard).ok_or_else(|| {
        Failure::Configuration("no home directory is known: set FERRY_CONFIG_DIR to a directory".into())
    })
}
