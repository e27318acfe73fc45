//! Configuration: step one gathers what was written and where (`sources`), step two makes it a [`Config`].
//! Every mistake ends in exit code 78 and names its source (CFG-01).

mod connections;
mod events;
mod jwt;
mod keys;
mod oauth;
mod public_url;
mod records;
mod sources;

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr, ToSocketAddrs as _},
    path::PathBuf,
    str::FromStr,
};

pub use connections::ConnectionsConfig;
pub use events::{AuthRefusal, EventsConfig, FailMode, HooksConfig};
use ferry_auth::jwt::JwtSettingsText;
pub use keys::{KEYS, Key};
pub use oauth::{GitHubUrls, OAuthClient, OAuthConfig};
pub use records::{BillingFail, RecordsConfig};
pub use sources::{Raw, ServeArgs, Setting, gather};

use crate::http::is_origin;

/// What is wrong with the configuration, naming source and key.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(pub String);

/// Who may sign up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signup {
    /// Everyone.
    Open,
    /// Holders of an invitation.
    Invite,
    /// Nobody.
    Closed,
}

/// Certificate chain and private key, PEM.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// Chain, leaf first.
    pub cert: PathBuf,
    /// Private key.
    pub key: PathBuf,
}

/// Settings of page sync.
#[derive(Clone, Copy, Debug)]
pub struct PagesConfig {
    /// Largest pushed database, bytes.
    pub max_database_bytes: u64,
    /// Largest pushed image that is also checked for torn pages, bytes.
    pub check_max_bytes: u64,
    /// How long staged pages are kept, hours.
    pub stage_hours: u64,
    /// Before-images kept, as a multiple of the database (at least 16 MiB).
    pub history_ratio: f64,
}

/// The validated settings of a hub.
#[derive(Clone, Debug)]
pub struct Config {
    /// Development mode (CFG-04).
    pub dev: bool,
    /// Address to listen on.
    pub listen: SocketAddr,
    /// Folder of all data.
    pub data_dir: PathBuf,
    /// URL under which clients reach the hub.
    pub public_url: Option<String>,
    /// HTTPS, if set.
    pub tls: Option<TlsFiles>,
    /// The database that credentials mean which name none: an id, or a name unique on the hub.
    pub default_database: Option<String>,
    /// What JWTs of the default database must be, unless it has settings of its own.
    pub jwt: Option<JwtSettingsText>,
    /// Signing keys in place of the key ring's, base64, comma-separated.
    pub session_key: Option<String>,
    /// Life of a session, seconds.
    pub session_ttl_seconds: i64,
    /// Life of a sync token that asks for none, seconds.
    pub sync_token_ttl_seconds: i64,
    /// Longest life of a sync token, seconds.
    pub max_sync_token_ttl_seconds: i64,
    /// Login at a provider.
    pub oauth: OAuthConfig,
    /// Whether pending migrations run at start.
    pub auto_migrate: bool,
    /// Who may sign up.
    pub signup: Signup,
    /// Origins that web pages may call from.
    pub cors_origins: Vec<String>,
    /// Whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<Network>,
    /// What connections may take of the hub.
    pub connections: ConnectionsConfig,
    /// Argon2id memory, KiB.
    pub argon2_memory_kib: u32,
    /// Argon2id passes.
    pub argon2_iterations: u32,
    /// Argon2id lanes.
    pub argon2_parallelism: u32,
    /// Password hashes computed at once.
    pub password_concurrency: usize,
    /// Multiplies every rate limit; 0: none.
    pub rate_limit_scale: f64,
    /// Databases of one organisation.
    pub max_databases_per_org: u64,
    /// Days in the trash.
    pub trash_retention_days: u64,
    /// Days of audit rows.
    pub audit_retention_days: u64,
    /// Whether browsers are told to ask its subdomains by https too.
    pub hsts_include_subdomains: bool,
    /// Whether, as far as the settings tell, only this machine is served, and no proxy passes on what others ask.
    pub is_private: bool,
    /// Whether everyone may read `/metrics`.
    pub metrics_public: bool,
    /// Databases that may be open at once; `None`: as many as descriptors and memory allow.
    pub max_open_databases: Option<u64>,
    /// Seconds without use after which a database's files are closed.
    pub idle_close_seconds: u64,
    /// Folder whose files answer paths that no route claims; only with `--dev`.
    pub static_dir: Option<PathBuf>,
    /// Form of log lines; `None`: by the kind of stderr.
    pub log_format: Option<LogFormat>,
    /// Least severe level that is logged.
    pub log_level: tracing::Level,
    /// Page sync.
    pub pages: PagesConfig,
    /// Event sync.
    pub events: EventsConfig,
    /// Record sync.
    pub records: RecordsConfig,
    /// What should be mended, for the log: there is none yet while the settings are read.
    pub warnings: Vec<String>,
}

/// Form of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For programs: one object per line.
    Json,
}

/// An address range: an address and how many of its leading bits count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix_bits: u8,
}

impl Network {
    /// Whether `ip` lies in the range. An IPv4 address mapped into IPv6 counts as itself.
    #[must_use]
    pub fn contains(&self, ip: IpAddr) -> bool {
        let shift = |width: u32| width - u32::from(self.prefix_bits);
        match (self.address, ip.to_canonical()) {
            (IpAddr::V4(net), IpAddr::V4(ip)) => {
                (net.to_bits() ^ ip.to_bits()).checked_shr(shift(32)).unwrap_or(0) == 0
            }
            (IpAddr::V6(net), IpAddr::V6(ip)) => {
                (net.to_bits() ^ ip.to_bits()).checked_shr(shift(128)).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (address, prefix) =
            text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)));
        let wrong = || format!("{text:?} is no address or CIDR range such as 10.0.0.0/8");
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        let prefix_bits = prefix.map_or(Ok(width), str::parse).map_err(|_| wrong())?;
        if prefix_bits > width { Err(wrong()) } else { Ok(Self { address, prefix_bits }) }
    }
}

struct Values(Raw);

impl Values {
    fn text(&self, name: &str) -> Option<&str> {
        debug_assert!(Key::find(name).is_some(), "{name} is in the table");
        self.0.get(name).map(|setting| setting.value.as_str())
    }

    /// Where the value was written.
    fn source(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|setting| setting.source.as_str())
    }

    /// The value, read by `parse`, which says what was expected.
    fn read<T>(
        &self,
        name: &str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Option<T>, ConfigError> {
        let Some(setting) = self.0.get(name) else { return Ok(None) };
        let secret = Key::find(name).is_some_and(|key| key.secret);
        parse(setting.value.trim()).map(Some).map_err(|expected| {
            let shown = if secret { String::new() } else { format!(" {:?}", setting.value) };
            ConfigError(format!("{}: bad value{shown}: {expected}", setting.source))
        })
    }

    fn number<T: Copy + FromStr + PartialOrd + std::fmt::Display>(
        &self,
        name: &str,
        default: T,
        least: T,
        most: T,
    ) -> Result<T, ConfigError> {
        Ok(self.optional_number(name, least, most)?.unwrap_or(default))
    }

    fn optional_number<T: Copy + FromStr + PartialOrd + std::fmt::Display>(
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

    fn truth(&self, name: &str, default: bool) -> Result<bool, ConfigError> {
        let parsed = self.read(name, |text| match text.to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" => Ok(true),
            "false" | "0" | "no" => Ok(false),
            _ => Err("expected true or false".to_owned()),
        })?;
        Ok(parsed.unwrap_or(default))
    }

    /// Whether databases are made as they are needed, in the organisation of the default one.
    fn tenants(&self, name: &str, dev: bool) -> Result<bool, ConfigError> {
        let wanted = self.truth(name, false)?;
        if wanted && !dev && self.text("default_database").is_none() {
            let source = self.source(name).unwrap_or(name);
            let problem =
                "databases are made beside default_database, which is not set: set it to an id or name";
            return Err(ConfigError(format!("{source}: {problem}")));
        }
        Ok(wanted)
    }

    fn list<T>(&self, name: &str, parse: impl Fn(&str) -> Result<T, String>) -> Result<Vec<T>, ConfigError> {
        let items =
            |text: &str| text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(&parse).collect();
        Ok(self.read(name, items)?.unwrap_or_default())
    }
}

impl Config {
    /// The path of `public_url`, empty or as `/hub`.
    #[must_use]
    pub fn public_path(&self) -> &str {
        public_url::path(self.public_url.as_deref())
    }

    /// The settings given by flags, the process's environment and the configuration file.
    ///
    /// # Errors
    /// For any bad value, unknown key or impossible combination.
    pub fn load(args: &ServeArgs, environment: &BTreeMap<String, String>) -> Result<Self, ConfigError> {
        let values = Values(gather(args, environment)?);
        let listen =
            values.read("listen", address)?.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 8787)));
        if args.dev && !listen.ip().is_loopback() {
            return Err(ConfigError(format!(
                "--dev serves anonymous access and listens on loopback only, not on {listen}: drop --dev or listen on 127.0.0.1"
            )));
        }
        let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
        let default_dir = if args.dev { "./.ferry-dev" } else { "./ferry-data" };
        let public_url = values.read("public_url", public_url::parse)?;
        let trusted_proxies = values.list("trusted_proxies", Network::from_str)?;
        let is_private = listen.ip().is_loopback()
            && trusted_proxies.is_empty()
            && !public_url::is_reached_from_afar(public_url.as_deref());
        let default_signup = if is_private { Signup::Open } else { Signup::Invite };
        let mut warnings = Vec::new();
        Ok(Self {
            dev: args.dev,
            listen,
            data_dir: values.text("data_dir").unwrap_or(default_dir).into(),
            public_url,
            tls: tls(&values)?,
            default_database: values.text("default_database").map(str::to_owned),
            jwt: jwt::settings(&values, args.dev, &mut warnings)?,
            session_key: values.text("session_key").map(str::to_owned),
            session_ttl_seconds: values.number("session_ttl_seconds", 86_400, 60, YEAR_SECONDS)?,
            sync_token_ttl_seconds: values.number("sync_token_ttl_seconds", 3600, 1, YEAR_SECONDS)?,
            max_sync_token_ttl_seconds: values.number(
                "max_sync_token_ttl_seconds",
                86_400,
                1,
                YEAR_SECONDS,
            )?,
            oauth: values.oauth()?,
            auto_migrate: values.truth("auto_migrate", true)?,
            signup: values.read("signup", signup)?.unwrap_or(default_signup),
            cors_origins: values.list("cors_origins", origin)?,
            trusted_proxies,
            connections: ConnectionsConfig::read(&values)?,
            argon2_memory_kib: values.number("argon2_memory_kib", 19_456, 8, 4 << 20)?,
            argon2_iterations: values.number("argon2_iterations", 2, 1, 64)?,
            argon2_parallelism: values.number("argon2_parallelism", 1, 1, 64)?,
            password_concurrency: values.number("password_concurrency", (cores / 2).max(1), 1, 1024)?,
            rate_limit_scale: values.number("rate_limit_scale", 1.0, 0.0, 1e6)?,
            max_databases_per_org: values.number("max_databases_per_org", 10_000, 1, 100_000_000)?,
            trash_retention_days: values.number("trash_retention_days", 7, 0, 36_500)?,
            audit_retention_days: values.number("audit_retention_days", 400, 1, 36_500)?,
            hsts_include_subdomains: values.truth("hsts_include_subdomains", false)?,
            is_private,
            metrics_public: values.truth("metrics_public", false)?,
            max_open_databases: values.optional_number("max_open_databases", 1, 1_000_000)?,
            idle_close_seconds: values.number("idle_close_seconds", 60, 1, 86_400)?,
            static_dir: static_dir(&values, args.dev)?,
            log_format: values.read("log_format", log_format)?,
            log_level: values.read("log_level", log_level)?.unwrap_or(tracing::Level::INFO),
            pages: PagesConfig {
                max_database_bytes: values.number("pages.max_database_bytes", 16 << 30, 512, 1 << 46)?,
                check_max_bytes: values.number("pages.check_max_bytes", 256 << 20, 0, 1 << 46)?,
                stage_hours: values.number("pages.stage_hours", 24, 1, 24 * 365)?,
                history_ratio: values.number("pages.history_ratio", 1.0, 0.0, 1000.0)?,
            },
            events: EventsConfig::read(&values, args.dev)?,
            records: RecordsConfig::read(&values, args.dev)?,
            warnings,
        })
    }
}

const YEAR_SECONDS: i64 = 366 * 86_400;

fn address(text: &str) -> Result<SocketAddr, String> {
    let expected = "expected an address and port such as 127.0.0.1:8787";
    let mut found = text.to_socket_addrs().map_err(|_| expected.to_owned())?;
    found.next().ok_or_else(|| expected.to_owned())
}

/// An origin, or a pattern of origins.
pub(crate) fn origin(text: &str) -> Result<String, String> {
    let lower = text.to_ascii_lowercase();
    // A star stands for the subdomains of what follows, and for nothing else.
    if text == "*" || is_origin(&lower.replacen("://*.", "://", 1)) {
        return Ok(lower);
    }
    Err("expected origins such as https://app.example.com, https://*.example.com or *".to_owned())
}

fn signup(text: &str) -> Result<Signup, String> {
    match text {
        "open" => Ok(Signup::Open),
        "invite" => Ok(Signup::Invite),
        "closed" => Ok(Signup::Closed),
        _ => Err("expected open, invite or closed".to_owned()),
    }
}

fn log_format(text: &str) -> Result<LogFormat, String> {
    match text {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err("expected text or json".to_owned()),
    }
}

fn log_level(text: &str) -> Result<tracing::Level, String> {
    text.parse().map_err(|_| "expected error, warn, info, debug or trace".to_owned())
}

fn static_dir(values: &Values, dev: bool) -> Result<Option<PathBuf>, ConfigError> {
    values.read("static_dir", |text| match PathBuf::from(text) {
        _ if !dev => Err("it is for development: add --dev, or let a web server serve the files".to_owned()),
        dir if dir.is_dir() => Ok(dir),
        _ => Err("expected a folder".to_owned()),
    })
}

fn tls(values: &Values) -> Result<Option<TlsFiles>, ConfigError> {
    match (values.text("tls_cert"), values.text("tls_key")) {
        (Some(cert), Some(key)) => Ok(Some(TlsFiles { cert: cert.into(), key: key.into() })),
        (None, None) => Ok(None),
        _ => Err(ConfigError("tls_cert and tls_key belong together: set both or neither".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(flags: &[(&'static str, &str)], dev: bool) -> Result<Config, ConfigError> {
        let flags = flags.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        Config::load(&ServeArgs { dev, config: None, flags }, &BTreeMap::new())
    }

    // The documented set-up behind a proxy listened on loopback, and let everybody sign up.
    // Verifies: WEB-13
    #[test]
    fn signup_is_open_on_loopback_only() {
        assert_eq!(load(&[], false).unwrap().signup, Signup::Open);
        assert_eq!(load(&[("public_url", "http://localhost:8787")], false).unwrap().signup, Signup::Open);
        for (name, value) in
            [("listen", "0.0.0.0:1"), ("public_url", "https://hub.example"), ("trusted_proxies", "127.0.0.1")]
        {
            assert_eq!(load(&[(name, value)], false).unwrap().signup, Signup::Invite, "{name}");
            assert_eq!(load(&[(name, value), ("signup", "open")], false).unwrap().signup, Signup::Open);
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
        assert_eq!(load(&[("static_dir", here)], true).unwrap().static_dir, Some(here.into()));
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

    #[test]
    fn networks_contain_by_prefix() {
        let net: Network = "10.1.0.0/16".parse().unwrap();
        assert!(net.contains("10.1.200.3".parse().unwrap()) && !net.contains("10.2.0.1".parse().unwrap()));
        assert!(net.contains("::ffff:10.1.2.3".parse().unwrap()));
        let all: Network = "0.0.0.0/0".parse().unwrap();
        assert!(all.contains("8.8.8.8".parse().unwrap()));
    }
}
