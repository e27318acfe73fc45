//! Reading settings: each by its name, within its bounds; a bad value is told with its source.

use std::str::FromStr;

use super::{ConfigError, Raw};

/// What was written, to be read under the name of each setting.
pub(super) struct Values(pub(super) Raw);

impl Values {
    /// The value as it was written.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        debug_assert!(super::find(name).is_some(), "{name} is among the keys");
        self.0.get(name).map(|setting| setting.value.as_str())
    }

    /// Where the value was written.
    pub(super) fn source(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|setting| setting.source.as_str())
    }

    /// The value, read by `parse`, which says what was expected.
    pub(super) fn read<T>(
        &self,
        name: &str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Option<T>, ConfigError> {
        let Some(setting) = self.0.get(name) else { return Ok(None) };
        let secret = super::find(name).is_some_and(|key| key.secret);
        parse(setting.value.trim()).map(Some).map_err(|expected| {
            let shown = if secret {
                String::new()
            } else {
                format!(" {:?}", super::shown::without_passwords(&setting.value))
            };
            ConfigError(format!("{}: bad value{shown}: {expected}", setting.source))
        })
    }

    /// A number within its bounds.
    pub(super) fn number<T: Copy + FromStr + PartialOrd + std::fmt::Display>(
        &self,
        name: &str,
        default: T,
        least: T,
        most: T,
    ) -> Result<T, ConfigError> {
        Ok(self.optional_number(name, least, most)?.unwrap_or(default))
    }

    /// The same, for a setting without a default.
    pub(super) fn optional_number<T: Copy + FromStr + PartialOrd + std::fmt::Display>(
        &self,
        name: &str,
        least: T,
        most: T,
    ) -> Result<Option<T>, ConfigError> {
        self.read(name, |text| match text.parse::<T>() {
            Ok(number) if number >= least && number <= most => Ok(number),
            _ => Err(format!("expected a number from {least} to {most}")),
        })
    }

    /// True or false.
    pub(super) fn truth(&self, name: &str, default: bool) -> Result<bool, ConfigError> {
        let parsed = self.read(name, |text| match text.to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" => Ok(true),
            "false" | "0" | "no" => Ok(false),
            _ => Err("expected true or false".to_owned()),
        })?;
        Ok(parsed.unwrap_or(default))
    }

    /// Whether databases are made as they are needed, in the organisation of the default one.
    pub(super) fn tenants(&self, name: &str, dev: bool) -> Result<bool, ConfigError> {
        let wanted = self.truth(name, false)?;
        if wanted && !dev && self.text("default_database").is_none() {
            let source = self.source(name).unwrap_or(name);
            let problem =
                "databases are made beside default_database, which is not set: set it to an id or name";
            return Err(ConfigError(format!("{source}: {problem}")));
        }
        Ok(wanted)
    }

    /// Values with commas between them.
    pub(super) fn list<T>(
        &self,
        name: &str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Vec<T>, ConfigError> {
        let items =
            |text: &str| text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(&parse).collect();
        Ok(self.read(name, items)?.unwrap_or_default())
    }
}
