//! E-mail addresses of accounts (ORG-02).

use ferry_types::{Error, Reason, Result, limits::EMAIL_MAX_BYTES};
use sha2::{Digest as _, Sha256};

use crate::credentials::throttling::EmailHash;

/// Bytes before the `@` (RFC 5321, section 4.5.3.1.1), and of a label behind it (RFC 1035, section 2.3.4).
const LOCAL_MAX_BYTES: usize = 64;
const LABEL_MAX_BYTES: usize = 63;

/// The e-mail as accounts are told apart: trimmed, Unicode lower case (ORG-02).
pub(crate) fn email_key(email: &str) -> String {
    email.trim().to_lowercase()
}

/// What counts by e-mail.
pub(crate) fn email_hash(email: &str) -> EmailHash {
    let mut hash = [0; 16];
    hash.copy_from_slice(&Sha256::digest(email_key(email))[..16]);
    hash
}

/// An e-mail as it is given for a new account, an invitation or a mail, trimmed: one to which mail can go (ORG-02, OPR-94).
///
/// # Errors
/// What is none, or too long.
pub fn check_email(email: &str) -> Result<&str> {
    let email = check_outline(email)?;
    let is_mailable =
        email.split_once('@').is_some_and(|(local, domain)| is_local(local) && is_domain(domain));
    if is_mailable { Ok(email) } else { wrong("must look like name@example.com") }
}

/// The e-mail by which a provider names a user, trimmed. Whether mail can go there is the provider's affair, who vouches for it; and an
/// account that has such an address goes on to sign in.
///
/// # Errors
/// What is none, or too long.
pub(crate) fn check_outline(email: &str) -> Result<&str> {
    let email = email.trim();
    if email.len() > EMAIL_MAX_BYTES {
        return wrong("is too long: at most 254 bytes");
    }
    if email.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return wrong("must not contain spaces or control characters");
    }
    let mut parts = email.split('@');
    match (parts.next(), parts.next(), parts.next()) {
        (Some(local), Some(domain), None) if !local.is_empty() && !domain.is_empty() => Ok(email),
        _ => wrong("must look like name@example.com"),
    }
}

fn wrong<T>(what: &str) -> Result<T> {
    Err(Error::new(Reason::InvalidArgument, format!("email {what}")))
}

/// What stands before the `@`: atoms with dots between them (RFC 5322, section 3.2.3; RFC 6531), not quoted.
fn is_local(local: &str) -> bool {
    local.len() <= LOCAL_MAX_BYTES
        && local.split('.').all(|atom| !atom.is_empty() && atom.chars().all(is_atext))
}

/// What stands behind it: labels with dots between them (RFC 1035, section 2.3.1; RFC 6531), no address of a machine.
fn is_domain(domain: &str) -> bool {
    domain.split('.').all(|label| {
        let is_inside = |c: char| c == '-' || if c.is_ascii() { c.is_alphanumeric() } else { is_atext(c) };
        (1..=LABEL_MAX_BYTES).contains(&label.len())
            && label.starts_with(char::is_alphanumeric)
            && label.ends_with(char::is_alphanumeric)
            && label.chars().all(is_inside)
    })
}

fn is_atext(c: char) -> bool {
    if c.is_ascii() { c.is_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c) } else { !is_ignorable(c) }
}

/// What is shown as nothing, and so would make another address that looks the same (Unicode, `Default_Ignorable_Code_Point`).
const fn is_ignorable(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fff8}' | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    // Verifies: ORG-02
    #[test]
    fn emails() {
        assert_eq!(check_email("  Ada@Example.com "), Ok("Ada@Example.com"));
        assert_eq!(email_key("  ÄDA@Example.com "), "äda@example.com");
        let label = "b".repeat(63);
        let longest = format!("{}@{label}.{label}.{}", "a".repeat(64), "c".repeat(61));
        assert_eq!(longest.len(), EMAIL_MAX_BYTES);
        let too_long = format!("{longest}c");
        let (long_name, long_label) = (format!("{}@b", "a".repeat(65)), format!("a@{}", "b".repeat(64)));
        for good in [
            "a@b",
            "a+b@localhost",
            "o'hara.{x}|y@mail-1.example.co",
            "1@1.example",
            "ä@bücher.example",
            "संपर्क@डाटामेल.भारत",
            &longest,
        ] {
            assert_eq!(check_email(good), Ok(good));
        }
        let none = ["", "@", "a@", "@b", "ab", "a@b@c", "a b@c", "a\u{0}@b", "a\u{a0}b@c", &too_long];
        let unmailable = [
            "a@x.com>",
            "<a@x.com>",
            "a@x..com",
            "\"><script>@x.com",
            ".a@x.com",
            "a.@x.com",
            "a..b@x.com",
            "a@[127.0.0.1]",
            "a;b@x.com",
            "a,b@x.com",
            "a(b)@x.com",
            "\"a\"@x.com",
            "a@x.com.",
            "a@-x.com",
            "a@x-.com",
            "a@x_y.com",
            "a\u{200b}@x.com",
            "a@x\u{ad}y.com",
            &long_name,
            &long_label,
        ];
        for bad in none.into_iter().chain(unmailable) {
            assert_eq!(check_email(bad).unwrap_err().reason, Reason::InvalidArgument, "{bad:?}");
        }
        // Accounts that have such ones go on to use them.
        assert!(none.iter().all(|bad| check_outline(bad).is_err()));
        assert!(unmailable.iter().all(|odd| check_outline(odd).is_ok()));
    }
}
