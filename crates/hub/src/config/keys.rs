//! A setting of `ferry serve`. Its flag, its environment variable, its name in the configuration file and its line of help
//! follow from one row, which stands beside the code that reads it.

/// A setting.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Name in `ferry.toml`; a model's settings stand in its section: `pages.stage_hours`.
    pub name: &'static str,
    /// Environment variables of compatible systems that mean the same.
    pub legacy: &'static [&'static str],
    /// Whether it holds a secret: such a key has no flag, since command lines are visible to others.
    pub secret: bool,
    /// What to write in place of the value in the help text.
    pub value_name: &'static str,
    /// One line for the help text, ending in the default.
    pub help: &'static str,
}

impl Key {
    /// `--pages-stage-hours`, without the dashes in front.
    #[must_use]
    pub fn flag(&self) -> String {
        self.name.replace(['.', '_'], "-")
    }

    /// `FERRY_PAGES_STAGE_HOURS`.
    #[must_use]
    pub fn env(&self) -> String {
        format!("FERRY_{}", self.name.replace('.', "_").to_uppercase())
    }
}

/// A setting that is no secret and has one name.
pub(super) const fn key(name: &'static str, value_name: &'static str, help: &'static str) -> Key {
    Key { name, legacy: &[], secret: false, value_name, help }
}

impl Key {
    /// The same, under the names of compatible systems too.
    pub(super) const fn or(mut self, legacy: &'static [&'static str]) -> Self {
        self.legacy = legacy;
        self
    }

    /// The same, as a secret.
    pub(super) const fn secret(mut self) -> Self {
        self.secret = true;
        self
    }
}
