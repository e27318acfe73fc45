//! Settings of mail.

use std::sync::Arc;

use ferry_control::MailPolicy;

use super::{ConfigError, Key, ListenerConfig, Values, is_loopback_host, keys::key};
use crate::mail::{Link, MailServer, MailTls, Mailer, Templates};

/// Its settings.
pub(super) const KEYS: &[Key] = &[
    key("mail.host", "HOST", "Server that takes the hub's mail, by SMTP [default: none, no mail]"),
    key("mail.port", "PORT", "Its port [default: 587; 465 if mail.tls is tls]"),
    key(
        "mail.tls",
        "starttls|tls|none",
        "How the connection to it is encrypted; none only to this machine [default: starttls]",
    ),
    key("mail.user", "NAME", "User to log in there as [default: none, no login]"),
    key("mail.password", "TEXT", "Password of that user").secret(),
    key("mail.from", "ADDRESS", "Who mails are from: hub@example.com, or Ferry <hub@example.com>"),
    key(
        "mail.templates_dir",
        "DIR",
        "Folder with texts of your own: verify, invite, reset, changed, each .txt and .html (docs/mail.md) [default: built in]",
    ),
    key(
        "mail.require_verified",
        "BOOL",
        "Let accounts do nothing but sign in and confirm their e-mail address before they have [default: false]",
    ),
];

/// How the hub sends mail.
#[derive(Clone, Debug)]
pub struct MailConfig {
    /// What it sends with.
    pub mailer: Arc<Mailer>,
    /// What the control plane needs to know.
    pub policy: MailPolicy,
}

impl MailConfig {
    /// Reads them; `None`: the hub sends no mail.
    pub(super) fn read(
        values: &Values,
        listener: &ListenerConfig,
        warnings: &mut Vec<String>,
    ) -> Result<Option<Self>, ConfigError> {
        // Templates and verification are judged even where nothing is sent.
        let templates = values.read("mail.templates_dir", |text| Templates::of_folder(text.as_ref()))?;
        let require_verified = values.truth("mail.require_verified", false)?;
        let tls = values.read("mail.tls", tls)?.unwrap_or(MailTls::StartTls);
        let Some(host) = values.read("mail.host", host)? else {
            if require_verified {
                return Err(ConfigError(
                    "mail.require_verified is on and mail.host is not set, so that nobody could confirm an address: set \
                     mail.host, or turn it off"
                        .to_owned(),
                ));
            }
            return Ok(None);
        };
        let from = values.read("mail.from", |text| {
            text.parse().map_err(|_| {
                "expected an address such as hub@example.com or Ferry <hub@example.com>".to_owned()
            })
        })?;
        let (from, public_url) = match (from, &listener.public_url) {
            (Some(from), Some(url)) => (from, url),
            (None, _) => {
                return Err(ConfigError(
                    "mail.host is set and mail.from is not: set it to the address that mails are from, such as \
                     hub@example.com"
                        .to_owned(),
                ));
            }
            (_, None) => {
                return Err(ConfigError(
                    "mail.host is set and public_url is not, to which the links of mails lead: set it to the URL under \
                     which people reach the hub, such as https://hub.example.com"
                        .to_owned(),
                ));
            }
        };
        if tls == MailTls::None && !is_this_machine(&host) {
            let source = values.source("mail.tls").unwrap_or("mail.tls");
            return Err(ConfigError(format!(
                "{source}: none is for a server on this machine, and {host} is another: mails hold codes that open \
                 accounts; use starttls, or tls"
            )));
        }
        warn(listener, public_url, warnings);
        let port = values.number("mail.port", if tls == MailTls::Tls { 465 } else { 587 }, 1, u16::MAX)?;
        let link = Link::new(public_url);
        let hello = link.host().to_owned();
        let server = MailServer { host, port, tls, login: login(values)?, hello };
        let templates = templates.unwrap_or_else(Templates::built_in);
        let mailer = Arc::new(Mailer { server, from, link, templates });
        Ok(Some(Self { mailer, policy: MailPolicy { require_verified } }))
    }
}

/// What makes links of mails lead nowhere.
fn warn(listener: &ListenerConfig, public_url: &str, warnings: &mut Vec<String>) {
    if !listener.dashboard {
        warnings.push(
            "mail.host is set and dashboard is off: the links of mails lead to pages of the dashboard; turn it on, or write \
             templates of your own"
                .to_owned(),
        );
    }
    let host = public_url.strip_prefix("http://").and_then(|rest| rest.split('/').next());
    if host.is_some_and(|host| !is_loopback_host(host)) {
        warnings.push(
            "public_url begins with http: the links of mails lead to a page that takes no password without https".to_owned(),
        );
    }
}

fn login(values: &Values) -> Result<Option<(String, String)>, ConfigError> {
    match (values.text("mail.user"), values.text("mail.password")) {
        (Some(user), Some(password)) => Ok(Some((user.trim().to_owned(), password.to_owned()))),
        (None, None) => Ok(None),
        (user, _) => {
            let missing = if user.is_some() {
                "the password of mail.user, in FERRY_MAIL_PASSWORD"
            } else {
                "mail.user"
            };
            let message =
                format!("mail.user and mail.password belong together: set {missing}, too, or neither");
            Err(ConfigError(message))
        }
    }
}

fn tls(text: &str) -> Result<MailTls, String> {
    match text {
        "starttls" => Ok(MailTls::StartTls),
        "tls" => Ok(MailTls::Tls),
        "none" => Ok(MailTls::None),
        _ => Err("expected starttls, tls or none".to_owned()),
    }
}

/// A name or an address, without a port.
fn host(text: &str) -> Result<String, String> {
    let expected = "expected a host such as smtp.example.com; its port is mail.port";
    let host = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let is_address = host.parse::<std::net::IpAddr>().is_ok();
    let is_name = !host.is_empty()
        && host.len() <= 253
        && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'));
    if is_address || is_name { Ok(host.to_owned()) } else { Err(expected.to_owned()) }
}

fn is_this_machine(host: &str) -> bool {
    let address = host.parse::<std::net::IpAddr>();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|ip| ip.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::{Config, ServeArgs};
    use super::*;

    fn load(pairs: &[(&str, &str)]) -> Result<Option<MailConfig>, String> {
        let environment: BTreeMap<_, _> =
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Config::load(&ServeArgs::default(), &environment).map(|config| config.mail).map_err(|error| error.0)
    }

    const HOST: (&str, &str) = ("FERRY_MAIL_HOST", "smtp.example.com");
    const FROM: (&str, &str) = ("FERRY_MAIL_FROM", "Ferry <hub@example.com>");
    const URL: (&str, &str) = ("FERRY_PUBLIC_URL", "https://hub.example.com/h");

    // Verifies: OPR-90
    #[test]
    fn it_is_off_until_there_is_a_host_and_then_needs_a_sender_and_a_url() {
        assert!(load(&[]).unwrap().is_none());
        assert!(load(&[FROM, URL]).unwrap().is_none());
        assert!(load(&[HOST, URL]).unwrap_err().contains("mail.from is not"));
        assert!(load(&[HOST, FROM]).unwrap_err().contains("public_url is not"));
        let mail = load(&[HOST, FROM, URL]).unwrap().unwrap();
        assert_eq!(mail.mailer.server.address(), "smtp.example.com:587");
        assert_eq!(
            (mail.mailer.server.tls, mail.mailer.server.hello.as_str()),
            (MailTls::StartTls, "hub.example.com")
        );
        let mail = load(&[HOST, FROM, URL, ("FERRY_MAIL_TLS", "tls")]).unwrap().unwrap();
        assert_eq!(mail.mailer.server.port, 465);
    }

    // Verifies: OPR-90
    #[test]
    fn nothing_goes_to_another_machine_in_the_clear() {
        let none = ("FERRY_MAIL_TLS", "none");
        assert!(load(&[HOST, FROM, URL, none]).unwrap_err().contains("FERRY_MAIL_TLS: none is for"));
        for here in ["localhost", "127.0.0.1", "127.9.9.9", "::1", "[::1]"] {
            assert!(load(&[("FERRY_MAIL_HOST", here), FROM, URL, none]).unwrap().is_some(), "{here}");
        }
        for away in ["localhost.example.com", "10.0.0.1", "0.0.0.0"] {
            assert!(load(&[("FERRY_MAIL_HOST", away), FROM, URL, none]).is_err(), "{away}");
        }
    }

    #[test]
    fn bad_values_are_told_and_no_password_is() {
        for (pair, told) in [
            (("FERRY_MAIL_HOST", "smtp://x"), "mail.port"),
            (("FERRY_MAIL_HOST", "x:25"), "mail.port"),
            (("FERRY_MAIL_FROM", "nobody"), "hub@example.com"),
            (("FERRY_MAIL_PORT", "0"), "from 1 to"),
            (("FERRY_MAIL_TLS", "ssl"), "starttls, tls or none"),
            (
                ("FERRY_MAIL_USER", "ada"),
                "belong together: set the password of mail.user, in FERRY_MAIL_PASSWORD",
            ),
            (("FERRY_MAIL_PASSWORD", "hunter2"), "belong together: set mail.user"),
            (("FERRY_MAIL_TEMPLATES_DIR", "/nowhere"), "/nowhere"),
        ] {
            let mut pairs = vec![HOST, FROM, URL];
            pairs.retain(|(name, _)| *name != pair.0);
            pairs.push(pair);
            let error = load(&pairs).unwrap_err();
            assert!(error.contains(told) && !error.contains("hunter2"), "{error}");
        }
        assert!(
            load(&[("FERRY_MAIL_REQUIRE_VERIFIED", "true")]).unwrap_err().contains("mail.host is not set")
        );
        let mail = load(&[HOST, FROM, URL, ("FERRY_MAIL_USER", "a"), ("FERRY_MAIL_PASSWORD", "hunter2")]);
        assert!(!format!("{:?}", mail.unwrap().unwrap()).contains("hunter2"));
    }
}
