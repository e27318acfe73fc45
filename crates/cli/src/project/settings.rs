//! `project.toml`: what a project is called, where it is deployed, how callers are known.

use std::{fmt::Write as _, fs, path::Path};

use serde::{Deserialize, Serialize};

use crate::failure::Failure;

/// What `project.toml` says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProjectSettings {
    pub(crate) project: NamedProject,
    #[serde(default)]
    pub(crate) hub: DeployHub,
    #[serde(default)]
    pub(crate) auth: AuthSettings,
    #[serde(default)]
    pub(crate) dev: DevSettings,
}

/// `[project]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NamedProject {
    pub(crate) name: String,
}

/// `[hub]`: where `ferry deploy` goes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DeployHub {
    pub(crate) url: Option<String>,
    pub(crate) database: Option<String>,
}

/// `[auth]`: how callers of functions are known. Its members are those of a deployment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AuthSettings {
    #[serde(default)]
    pub(crate) mode: AuthMode,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) jwks_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) issuer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) audience: Option<String>,
}

/// How callers of functions are known (FUN-50).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum AuthMode {
    /// Nobody is
    #[default]
    None,
    /// By JWTs that the database signs
    Local,
    /// By the JWTs of another issuer, whose keys are at --jwks-url
    Remote,
}

impl AuthMode {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Local => "local",
            Self::Remote => "remote",
        }
    }
}

/// `[dev]`: of `ferry dev`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DevSettings {
    pub(crate) port: Option<u16>,
    /// The API key that pages call with.
    pub(crate) key: Option<String>,
}

impl ProjectSettings {
    pub(crate) fn read(path: &Path) -> Result<Self, Failure> {
        let wrong = |error: &dyn std::fmt::Display| {
            Failure::Configuration(format!("{}: {}", path.display(), error.to_string().trim_end()))
        };
        let text = fs::read_to_string(path).map_err(|error| wrong(&error))?;
        toml::from_str(&text).map_err(|error| wrong(&error))
    }

    /// The file's text.
    pub(crate) fn written(&self) -> String {
        let Self { project, hub, auth, dev } = self;
        let quoted = |text: &str| toml::Value::String(text.to_owned()).to_string();
        let mut text = format!("[project]\nname = {}\n\n[hub]\n", quoted(&project.name));
        let mut line = |name: &str, value: Option<&str>, example: &str| {
            let done = match value {
                Some(value) => writeln!(text, "{name} = {}", quoted(value)),
                None if example.is_empty() => Ok(()),
                None => writeln!(text, "# {name} = {}", quoted(example)),
            };
            done.expect("BUG: a String takes all");
        };
        line("url", hub.url.as_deref(), "https://hub.example");
        line("database", hub.database.as_deref(), "");
        text.push_str(
            "\n[auth]\n# none, local: JWTs that the database signs, or remote: those of another issuer\n",
        );
        let mut line = |name: &str, value: Option<&str>, example: &str| {
            let done = match value {
                Some(value) => writeln!(text, "{name} = {}", quoted(value)),
                None => writeln!(text, "# {name} = {}", quoted(example)),
            };
            done.expect("BUG: a String takes all");
        };
        line("mode", Some(auth.mode.as_str()), "");
        line("jwks_url", auth.jwks_url.as_deref(), "https://issuer.example/.well-known/jwks.json");
        line("issuer", auth.issuer.as_deref(), "https://issuer.example");
        line("audience", auth.audience.as_deref(), "my-app");
        if dev.port.is_some() || dev.key.is_some() {
            text.push_str("\n[dev]\n");
        }
        if let Some(port) = dev.port {
            writeln!(text, "port = {port}").expect("BUG: a String takes all");
        }
        if let Some(key) = &dev.key {
            writeln!(text, "key = {}", quoted(key)).expect("BUG: a String takes all");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let settings = ProjectSettings {
            project: NamedProject { name: "my \"app\"".into() },
            hub: DeployHub { url: None, database: Some("app".into()) },
            auth: AuthSettings {
                mode: AuthMode::Remote,
                jwks_url: Some("https://a.example/keys".into()),
                ..AuthSettings::default()
            },
            dev: DevSettings { port: Some(8989), key: Some("ep_pk_x".into()) },
        };
        assert_eq!(toml::from_str::<ProjectSettings>(&settings.written()).unwrap(), settings);
        let plain =
            ProjectSettings { dev: DevSettings::default(), auth: AuthSettings::default(), ..settings };
        assert_eq!(toml::from_str::<ProjectSettings>(&plain.written()).unwrap(), plain);
        assert!(toml::from_str::<ProjectSettings>("[project]\nname='a'\n[hubs]\n").is_err());
    }
}
