//! A mail as it travels.

use std::{collections::BTreeMap, time::SystemTime};

use ferry_control::{MailKind, WaitingMail};
use lettre::{
    Address, Message,
    message::{
        Mailbox, MultiPart, SinglePart,
        header::{HeaderName, HeaderValue},
    },
};

/// A mail with its words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrittenMail {
    /// Its subject, on one line.
    pub subject: String,
    /// Its text.
    pub plain: String,
    /// The same with markup.
    pub html: Option<String>,
}

/// Where links of mails lead.
#[derive(Clone, Debug)]
pub struct Link {
    /// `public_url`.
    base: String,
}

impl Link {
    /// To the hub at this URL, which ends in no `/`.
    #[must_use]
    pub fn new(public_url: &str) -> Self {
        Self { base: public_url.to_owned() }
    }

    /// How people call the hub: its host.
    #[must_use]
    pub fn host(&self) -> &str {
        let rest = self.base.split_once("://").map_or(self.base.as_str(), |(_, rest)| rest);
        let authority = rest.split('/').next().unwrap_or(rest);
        // The port stands behind the brackets of an IPv6 address, which has colons of its own.
        let end = authority.rfind(']').map_or_else(|| authority.find(':'), |bracket| Some(bracket + 1));
        &authority[..end.unwrap_or(authority.len())]
    }

    /// The page of the dashboard that takes the code. The code stands behind `#`, which no browser sends, so that no log
    /// has it (OPR-92).
    fn of(&self, kind: MailKind, code: &str) -> String {
        let (base, page) = (&self.base, kind.as_str());
        match kind {
            MailKind::Changed => format!("{base}/_/"),
            MailKind::Verify | MailKind::Invite | MailKind::Reset => format!("{base}/_/{page}#{code}"),
        }
    }

    /// All that a mail of this kind may name.
    #[must_use]
    pub fn words(&self, kind: MailKind, email: &str, code: &str) -> BTreeMap<String, String> {
        let valid = match kind {
            MailKind::Reset => "one hour",
            MailKind::Verify => "24 hours",
            MailKind::Invite | MailKind::Changed => "7 days",
        };
        let host = self.host().to_owned();
        let words = [
            ("hub", host),
            ("email", email.to_owned()),
            ("link", self.of(kind, code)),
            ("code", code.to_owned()),
            ("valid", valid.to_owned()),
        ];
        words.into_iter().map(|(name, word)| (name.to_owned(), word)).collect()
    }
}

/// The mail to an address; `None`: that is no address that mail goes to.
pub(super) fn message(
    from: &Mailbox,
    (address, id): (&str, &str),
    date: SystemTime,
    written: WrittenMail,
) -> Option<Message> {
    let to: Address = address.parse().ok()?;
    let automatic = HeaderName::new_from_ascii_str("Auto-Submitted");
    let builder = Message::builder()
        .from(from.clone())
        .to(Mailbox::new(None, to))
        .subject(written.subject)
        .date(date)
        .message_id(Some(format!("<{id}@{}>", from.email.domain())))
        // No holiday greeting answers it (RFC 3834).
        .raw_header(HeaderValue::new(automatic, "auto-generated".to_owned()));
    let message = match written.html {
        Some(html) => builder.multipart(MultiPart::alternative_plain_html(written.plain, html)),
        None => builder.singlepart(SinglePart::plain(written.plain)),
    };
    message.ok()
}

/// What a mail is called: the same however often it is sent, so that mailboxes may drop the second.
pub(super) fn id_of(mail: &WaitingMail) -> String {
    format!("{}.{}.{}", mail.kind.as_str(), mail.id, mail.created_unix_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(subject: &str) -> WrittenMail {
        WrittenMail { subject: subject.to_owned(), plain: "x".to_owned(), html: Some("<p>x</p>".to_owned()) }
    }

    // Verifies: OPR-92
    #[test]
    fn links_lead_to_the_page_with_the_code_in_their_fragment() {
        let link = Link::new("https://example.com:8443/hub");
        assert_eq!(link.host(), "example.com");
        for (url, host) in [
            ("https://hub.example", "hub.example"),
            ("https://hub.example/a:b", "hub.example"),
            ("http://[2001:db8::1]", "[2001:db8::1]"),
            ("http://[2001:db8::1]:8443/hub", "[2001:db8::1]"),
        ] {
            assert_eq!(Link::new(url).host(), host);
        }
        let words = link.words(MailKind::Reset, "a@b", "c0de");
        assert_eq!(words["link"], "https://example.com:8443/hub/_/reset#c0de");
        assert_eq!(link.words(MailKind::Changed, "a@b", "")["link"], "https://example.com:8443/hub/_/");
    }

    // An address and a subject are what strangers choose.
    // Verifies: OPR-94
    #[test]
    fn nobody_adds_a_header() {
        let from: Mailbox = "Ferry <hub@example.com>".parse().unwrap();
        let made = |address, subject: &str| {
            message(&from, (address, "1.2"), SystemTime::UNIX_EPOCH, written(subject))
                .map(|message| String::from_utf8(message.formatted()).unwrap())
        };
        for bad in ["a@b\r\nBcc: c@d", "a@b>\r\nDATA", "a b@c", "<a@b>", "a@b,c@d", "", "@", "a@[x\r\n]"] {
            assert_eq!(made(bad, "Hi"), None, "{bad:?}");
        }
        let sent = made("ada@example.com", "Hi\r\nBcc: eve@example.com\r\n\r\nbody").unwrap();
        let head = sent.split_once("\r\n\r\n").unwrap().0;
        assert!(!head.lines().any(|line| line.to_ascii_lowercase().starts_with("bcc")), "{head}");
        assert!(
            head.contains("To: ada@example.com") && head.contains("Auto-Submitted: auto-generated"),
            "{head}"
        );
        assert!(head.contains("Message-ID: <1.2@example.com>"), "{head}");
    }

    // Whoever gives an address is told at once that no mail goes there, and not the operator later.
    // Verifies: ORG-02, OPR-94
    #[test]
    fn mail_goes_to_whatever_address_accounts_may_have() {
        let from: Mailbox = "Ferry <hub@example.com>".parse().unwrap();
        let is_sent =
            |address: &str| message(&from, (address, "1.2"), SystemTime::UNIX_EPOCH, written("Hi")).is_some();
        let mut taken = 0;
        for c in ('\0'..='\u{ffff}').chain('\u{1f600}'..='\u{1f64f}') {
            for address in [
                format!("{c}@x"),
                format!("a{c}b@x"),
                format!("a@{c}"),
                format!("a@x{c}"),
                format!("a@x{c}y.z"),
                format!("a@x.{c}y"),
            ] {
                // Trimmed.
                let Ok(address) = ferry_control::check_email(&address) else { continue };
                taken += 1;
                assert!(address.parse::<Address>().is_ok(), "{address:?}");
                assert!(!c.is_ascii() || is_sent(address), "{address:?}");
            }
        }
        assert!(taken > 100_000, "{taken}");
        let label = "b".repeat(63);
        assert!(is_sent(&format!("{}@{label}.{label}.{}", "a".repeat(64), "c".repeat(61))));
    }
}
