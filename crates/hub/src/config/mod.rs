//! Configuration: step one gathers what was written and where (`sources`), step two makes it a [`Config`].
//! Every mistake ends in exit code 78 and names its source (CFG-01). Each section of the settings has a file, which
//! declares its keys beside the code that reads them; a model is a section.

mod backup;
mod console;
mod control;
mod events;
mod functions;
mod jwt;
mod keys;
mod listener;
mod loopback;
mod mail;
mod network;
mod oauth;
mod ops;
mod otlp;
mod pages;
mod process;
mod public_url;
mod records;
mod shown;
mod sources;
mod values;

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
};

pub use backup::{BackupConfig, LogConfig, target_access};
pub use console::ConsoleConfig;
pub use events::{AuthRefusal, EventsConfig, FailMode, HooksConfig};
pub use functions::{FunctionsConfig, Isolation};
pub use keys::Key;
pub use listener::{ListenerConfig, TlsFiles};
pub(crate) use loopback::is_loopback_host;
pub use mail::MailConfig;
pub use network::IpNetwork;
pub use ops::{OpsConfig, ShimScope};
pub use otlp::OtlpConfig;
pub use pages::PagesConfig;
pub use process::{LogFormat, ProcessConfig};
pub use records::{BillingFail, RecordsConfig};
pub use shown::ShownSetting;
pub use sources::{Raw, ServeArgs, Setting, gather};

use values::Values;

use crate::models::for_each_model;
use ferry_control::ControlConfig;
pub use ferry_control::StoreAccess;

/// All settings, in the order of the help text.
pub fn keys() -> impl Iterator<Item = &'static Key> {
    SECTIONS.iter().copied().flatten()
}

/// The setting called `name`.
fn find(name: &str) -> Option<&'static Key> {
    keys().find(|key| key.name == name)
}

/// What is wrong with the configuration, naming source and key.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(pub String);

macro_rules! config {
    ($($name:ident: $model:ident, $config:ident, $state:ident, $service:ident;)+) => {
        /// The settings of all sections, in the order of the help text.
        const SECTIONS: &[&[Key]] =
            &[
                listener::KEYS, process::KEYS, otlp::KEYS, control::KEYS, jwt::KEYS, oauth::KEYS, console::KEYS, backup::KEYS, mail::KEYS,
                $($name::KEYS),+
            ];

        /// The validated settings of a hub.
        #[derive(Clone, Debug)]
        pub struct Config {
            /// Development mode (CFG-04).
            pub dev: bool,
            /// The listener and its connections.
            pub listener: ListenerConfig,
            /// The process.
            pub process: ProcessConfig,
            /// Traces.
            pub otlp: OtlpConfig,
            /// The store of a spoke, where the hub serves that and nothing else.
            pub store: Option<PathBuf>,
            /// The control plane.
            pub control: ControlConfig,
            /// What members see of databases.
            pub console: ConsoleConfig,
            /// Backups.
            pub backup: BackupConfig,
            /// Mail, if the hub sends any.
            pub mail: Option<MailConfig>,
            $(
                #[doc = concat!("The model `", stringify!($name), "`.")]
                pub $name: $name::$config,
            )+
            /// What each setting is and where that was said, for the operator.
            pub shown: Vec<ShownSetting>,
            /// What should be mended, for the log: there is none yet while the settings are read.
            pub warnings: Vec<String>,
        }

        impl Config {
            fn read(values: &Values, dev: bool) -> Result<Self, ConfigError> {
                let mut warnings = Vec::new();
                let listener = ListenerConfig::read(values, dev)?;
                let process = ProcessConfig::read(values, dev)?;
                let otlp = OtlpConfig::read(values, &mut warnings)?;
                let mail = MailConfig::read(values, &listener, &mut warnings)?;
                let mut control = control::read(values, dev, (&listener, &process), &mut warnings)?;
                control.mail = mail.as_ref().map(|mail| mail.policy);
                let console = ConsoleConfig::read(values)?;
                let backup = BackupConfig::read(values, &process.data_dir, &mut warnings)?;
                $(let $name = $name::$config::read(values, dev)?;)+
                let shown = shown::settings(SECTIONS, values);
                Ok(Self {
                    dev, listener, process, otlp, store: None, control, console, backup, mail, $($name,)+ shown, warnings,
                })
            }
        }
    };
}
for_each_model!(config);

impl Config {
    /// The settings given by flags, the process's environment and the configuration file.
    ///
    /// # Errors
    /// For any bad value, unknown key or impossible combination.
    pub fn load(args: &ServeArgs, environment: &BTreeMap<String, String>) -> Result<Self, ConfigError> {
        Self::read(&Values(gather(args, environment)?), args.dev)
    }

    /// The settings of a hub over a spoke's `store` (OPS-60): those of `[ops]` may be given by the environment, all others
    /// are what one store needs.
    ///
    /// # Errors
    /// For a bad value, and for an address beyond this machine without a token.
    pub fn of_store(
        store: &Path,
        listen: SocketAddr,
        access: StoreAccess,
        environment: &BTreeMap<String, String>,
    ) -> Result<Self, ConfigError> {
        if access == StoreAccess::ThisMachine && !listen.ip().is_loopback() {
            return Err(ConfigError(format!(
                "--http-addr {listen} is reached from other machines, and nobody is asked for a credential: name a file \
                 with a token that others must show (--token-file), or listen on 127.0.0.1"
            )));
        }
        let mut raw = Raw::new();
        let mut set = |name: &'static str, value: String, source: String| {
            raw.insert(name, Setting { value, source });
        };
        for key in ops::KEYS {
            if let Some(value) = environment.get(&key.env()).filter(|value| !value.is_empty()) {
                set(key.name, value.clone(), key.env());
            }
        }
        let data_dir = store_data_dir(store).display().to_string();
        for (name, value) in
            [("listen", listen.to_string()), ("data_dir", data_dir), ("signup", "closed".to_owned())]
        {
            set(name, value, name.to_owned());
        }
        let mut config = Self::read(&Values(raw), false)?;
        config.control.store_access = Some(access);
        config.store = Some(store.to_owned());
        Ok(config)
    }

    /// Whether callers without a credential are let in: no page of the open web may reach such a hub.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.control.anonymous_models().is_some()
    }
}

/// Where a hub over a spoke's store keeps what is not the store's: beside it.
#[must_use]
pub fn store_data_dir(store: &Path) -> PathBuf {
    let mut name = store.as_os_str().to_owned();
    name.push(".hub");
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ferry_control::Signup;

    fn load(flags: &[(&'static str, &str)], dev: bool) -> Result<Config, ConfigError> {
        let flags = flags.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        Config::load(&ServeArgs { dev, config: None, flags }, &BTreeMap::new())
    }

    // The documented set-up behind a proxy listened on loopback, and let everybody sign up.
    // Verifies: WEB-13
    #[test]
    fn signup_is_open_on_loopback_only() {
        assert_eq!(load(&[], false).unwrap().control.signup, Signup::Open);
        assert_eq!(
            load(&[("public_url", "http://localhost:8787")], false).unwrap().control.signup,
            Signup::Open
        );
        for (name, value) in
            [("listen", "0.0.0.0:1"), ("public_url", "https://hub.example"), ("trusted_proxies", "127.0.0.1")]
        {
            assert_eq!(load(&[(name, value)], false).unwrap().control.signup, Signup::Invite, "{name}");
            assert_eq!(
                load(&[(name, value), ("signup", "open")], false).unwrap().control.signup,
                Signup::Open
            );
        }
    }

    #[test]
    fn dev_mode_is_refused_off_loopback() {
        assert!(load(&[("listen", "0.0.0.0:1")], true).unwrap_err().0.contains("loopback"));
        assert!(load(&[("listen", "127.0.0.1:0")], true).is_ok());
    }

    #[test]
    fn files_are_served_in_dev_mode_only_and_from_a_folder() {
        let here = env!("CARGO_MANIFEST_DIR");
        assert_eq!(load(&[("static_dir", here)], true).unwrap().listener.static_dir, Some(here.into()));
        assert!(load(&[("static_dir", here)], false).unwrap_err().0.contains("--dev"));
        assert!(load(&[("static_dir", "/nowhere")], true).unwrap_err().0.contains("static-dir"));
    }

    #[test]
    fn bad_values_name_their_source() {
        for (name, value) in [
            ("session_ttl_seconds", "soon"),
            ("signup", "maybe"),
            ("listen", "nowhere"),
            ("trusted_proxies", "10.0.0.0/99"),
            ("cors_origins", "app.example.com"),
            ("cors_origins", "https://app.example.com/page"),
            ("cors_origins", "https://a*.example.com"),
            ("cors_origins", "https://*.example.com#"),
            ("public_url", "https://ada:secret@hub.example"),
            ("public_url", "https://ada@hub.example/path"),
            ("public_url", "https://hub.example/?a=b"),
            ("public_url", "hub.example"),
            ("tls_cert", "x"),
            ("events.database_per_store", "true"),
            ("records.database_per_user", "maybe"),
        ] {
            let error = load(&[(name, value)], false).unwrap_err().0;
            assert!(error.contains(&name.replace(['_', '.'], "-")) || error.contains(name), "{error}");
        }
    }

    // Verifies: OPR-76
    #[test]
    fn docs_of_settings() {
        let mut page = String::from(
            "# Settings\n\n\
             Each is a flag of `ferry serve` (`--pages-stage-hours`), a variable (`FERRY_PAGES_STAGE_HOURS`) and a key of `ferry.toml`\n\
             (`stage_hours` in the section `[pages]`); the flag counts before the variable, the variable before the file. Secrets have no\n\
             flag, since others see command lines. A mistake ends the start with exit code 78 and names where it stands. This page is\n\
             made of the sources; `ferry serve --help` shows the same.\n",
        );
        let mut section = None;
        for key in keys() {
            let (of, _) = key.name.split_once('.').unwrap_or_default();
            if section != Some(of) {
                section = Some(of);
                let title = if of.is_empty() { "The hub".to_owned() } else { format!("`[{of}]`") };
                page += &format!("\n## {title}\n\n| setting | value | what |\n|---|---|---|\n");
            }
            let cell = |text: &str| text.replace('|', "\\|");
            let secret = if key.secret { "; a secret" } else { "" };
            let also = key.legacy.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
            let also = if also.is_empty() { also } else { format!("; also {also}") };
            page += &format!(
                "| `{}` | {} | {}{secret}{also} |\n",
                key.name,
                cell(key.value_name),
                cell(key.help)
            );
        }
        crate::written_page::compare("docs/settings.md", &page);
    }

    #[test]
    fn flags_and_variables_follow_from_the_name() {
        let key = find("pages.stage_hours").unwrap();
        assert_eq!(
            (key.flag().as_str(), key.env().as_str()),
            ("pages-stage-hours", "FERRY_PAGES_STAGE_HOURS")
        );
        let mut flags: Vec<_> = keys().map(Key::flag).collect();
        let count = flags.len();
        flags.sort();
        flags.dedup();
        assert_eq!(flags.len(), count);
    }
}
