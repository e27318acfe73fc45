//! E-mail addresses of accounts (ORG-02).

use ferry_types::{Error, Reason, Result, limits::EMAIL_MAX_BYTES};

/// The e-mail as accounts are told apart: trimmed, Unicode lower case (ORG-02).
pub(crate) fn email_key(email: &str) -> String {
    email.trim().to_lowercase()
}

/// The e-mail of a new account, trimmed (ORG-02).
pub(crate) fn check_email(email: &str) -> Result<&str> {
    let email = email.trim();
    let wrong = |what: &str| Err(Error::new(Reason::InvalidArgument, format!("email {what}")));
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

#[cfg(test)]
mod tests {
    use super::*;

    // Verifies: ORG-02
    #[test]
    fn emails() {
        assert_eq!(check_email("  Ada@Example.com "), Ok("Ada@Example.com"));
        assert_eq!(email_key("  ÄDA@Example.com "), "äda@example.com");
        let longest = format!("{}@x", "a".repeat(252));
        assert!(check_email(&longest).is_ok());
        let too_long = format!("a{longest}");
        for bad in ["", "@", "a@", "@b", "ab", "a@b@c", "a b@c", "a\u{0}@b", "a\u{a0}b@c", &too_long] {
            assert_eq!(check_email(bad).unwrap_err().reason, Reason::InvalidArgument, "{bad:?}");
        }
    }
}
