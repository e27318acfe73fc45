//! Settings of the listener: where it listens and is found, whom it believes, what connections may take.

use std::{
    net::{SocketAddr, ToSocketAddrs as _},
    path::PathBuf,
    str::FromStr as _,
};

use ferry_types::limits::{HEADERS_MAX_MS, TRANSFER_STALL_MAX_MS};

use super::{ConfigError, IpNetwork, Key, Values, keys::key, public_url};
use ferry_control::parse_origin;

/// Open connections of one address, where there is room for many.
const CONNECTIONS_PER_IP: u64 = 1_000;

/// Its settings.
pub(super) const KEYS: &[Key] = &[
    key("listen", "ADDR", "Address to listen on [default: 127.0.0.1:8787]"),
    key("public_url", "URL", "URL under which clients reach the hub, if a proxy stands in front"),
    key(
        "tls_cert",
        "FILE",
        "Certificate chain (PEM); with tls_key the hub serves HTTPS; both are read again at SIGHUP and every 10 s",
    ),
    key("tls_key", "FILE", "Private key (PEM) of tls_cert"),
    key(
        "hsts_include_subdomains",
        "true|false",
        "Over https, tell browsers to ask subdomains by https too [default: false]",
    ),
    key("cors_origins", "LIST", "Origins whose web pages may call the hub, comma-separated")
        .or(&["CORS_ORIGINS"]),
    key(
        "trusted_proxies",
        "LIST",
        "Addresses or CIDR ranges whose X-Forwarded-For is believed, comma-separated",
    ),
    key("max_connections", "N", "Open connections; fewer if the limit of open files is low [default: 20000]"),
    key(
        "max_connections_per_ip",
        "N",
        "Open connections of one address; trusted proxies and loopback are not counted [default: 1000, and at most half of those in all]",
    ),
    key(
        "header_timeout_seconds",
        "N",
        "How long a connection may take for its first request, and each later one for its headers [default: 10]",
    ),
    key(
        "stall_timeout_seconds",
        "N",
        "How long an answer may wait of which the client takes nothing, until its connection is closed [default: 60]",
    ),
    key(
        "body_memory_bytes",
        "BYTES",
        "Memory of request bodies that have not arrived whole; a quarter of it for each connection or principal [default: 268435456]",
    ),
    key(
        "dashboard",
        "true|false",
        "Serve the dashboard under /_/ and send browsers there from / [default: true]",
    ),
    key(
        "response_memory_bytes",
        "BYTES",
        "Memory of answers that were made and not taken by their clients; a quarter of it for each principal [default: 536870912]",
    ),
    key("static_dir", "DIR", "With --dev: serve the files of this folder where no route answers"),
];

/// Certificate chain and private key, PEM.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// Chain, leaf first.
    pub cert: PathBuf,
    /// Private key.
    pub key: PathBuf,
}

/// Where the hub listens, and what its connections may take.
#[derive(Clone, Debug)]
pub struct ListenerConfig {
    /// Address to listen on.
    pub listen: SocketAddr,
    /// URL under which clients reach the hub.
    pub public_url: Option<String>,
    /// HTTPS, if set.
    pub tls: Option<TlsFiles>,
    /// Whether browsers are told to ask its subdomains by https too.
    pub hsts_include_subdomains: bool,
    /// Origins that web pages may call from.
    pub cors_origins: Vec<String>,
    /// Whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNetwork>,
    /// Whether, as far as the settings tell, only this machine is served, and no proxy passes on what others ask.
    pub is_private: bool,
    /// Connections that may be open at once; fewer if the descriptors do not suffice.
    pub max_connections: u64,
    /// Connections of one address that may be open at once, if that was set.
    pub max_connections_per_ip: Option<u64>,
    /// How long the first request of a connection, and the head of each later one, may take.
    pub header_timeout_ms: u64,
    /// How long an answer may wait of which the peer takes nothing.
    pub stall_timeout_ms: u64,
    /// Memory of request bodies that have not arrived whole, bytes.
    pub body_memory_bytes: u64,
    /// Whether the dashboard is served.
    pub dashboard: bool,
    /// Memory of answers that were made and not taken, bytes.
    pub response_memory_bytes: u64,
    /// Folder whose files answer paths that no route claims; only with `--dev`.
    pub static_dir: Option<PathBuf>,
}

impl ListenerConfig {
    /// Whether others reach the hub by plain http, over which no browser but this machine's may sign in.
    #[must_use]
    pub fn is_plain_from_afar(&self) -> bool {
        let is_plain = self.public_url.as_ref().is_none_or(|url| url.starts_with("http://"));
        let is_reached = match &self.public_url {
            Some(url) => public_url::is_reached_from_afar(Some(url)),
            None => !self.listen.ip().is_loopback(),
        };
        self.tls.is_none() && is_plain && is_reached
    }

    pub(super) fn read(values: &Values, dev: bool) -> Result<Self, ConfigError> {
        let listen =
            values.read("listen", address)?.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 8787)));
        if dev && !listen.ip().is_loopback() {
            return Err(ConfigError(format!(
                "--dev serves anonymous access and listens on loopback only, not on {listen}: drop --dev or listen on 127.0.0.1"
            )));
        }
        let public_url = values.read("public_url", public_url::parse)?;
        let trusted_proxies = values.list("trusted_proxies", IpNetwork::from_str)?;
        let is_private = listen.ip().is_loopback()
            && trusted_proxies.is_empty()
            && !public_url::is_reached_from_afar(public_url.as_deref());
        Ok(Self {
            listen,
            public_url,
            tls: tls(values)?,
            hsts_include_subdomains: values.truth("hsts_include_subdomains", false)?,
            cors_origins: values.list("cors_origins", parse_origin)?,
            trusted_proxies,
            is_private,
            max_connections: values.number("max_connections", 20_000, 1, 10_000_000)?,
            max_connections_per_ip: values.optional_number("max_connections_per_ip", 1, 10_000_000)?,
            header_timeout_ms: values.number("header_timeout_seconds", HEADERS_MAX_MS / 1000, 1, 3600)?
                * 1000,
            stall_timeout_ms: values.number(
                "stall_timeout_seconds",
                TRANSFER_STALL_MAX_MS / 1000,
                1,
                3600,
            )? * 1000,
            body_memory_bytes: values.number("body_memory_bytes", 256 << 20, 1 << 20, 1 << 46)?,
            dashboard: values.truth("dashboard", true)?,
            response_memory_bytes: values.number("response_memory_bytes", 512 << 20, 1 << 20, 1 << 46)?,
            static_dir: static_dir(values, dev)?,
        })
    }

    /// Connections of one address that may be open at once where there is room for so many in all. Unless that was set, one
    /// address leaves half of the room to others.
    #[must_use]
    pub fn connections_per_ip(&self, in_all: u64) -> u64 {
        self.max_connections_per_ip.unwrap_or_else(|| CONNECTIONS_PER_IP.min(in_all / 2).max(1))
    }

    /// `public_url`; without it, where the hub listens.
    #[must_use]
    pub fn base_url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        self.public_url.clone().unwrap_or_else(|| format!("{scheme}://{}", self.listen))
    }

    /// The path of `public_url`, empty or as `/hub`.
    #[must_use]
    pub fn public_path(&self) -> &str {
        public_url::path(self.public_url.as_deref())
    }
}

fn address(text: &str) -> Result<SocketAddr, String> {
    let expected = "expected an address and port such as 127.0.0.1:8787";
    let mut found = text.to_socket_addrs().map_err(|_| expected.to_owned())?;
    found.next().ok_or_else(|| expected.to_owned())
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
