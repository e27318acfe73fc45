//! Proof Key for Code Exchange (RFC 7636), method S256. It is used twice: between hub and provider (OAU-03), and, in
//! the same form, between client and hub (OAU-04).

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest as _, Sha256};

/// Shortest and longest verifier (RFC 7636, section 4.1).
const VERIFIER_CHARS: std::ops::RangeInclusive<usize> = 43..=128;

/// A verifier of 32 random bytes.
#[must_use]
pub fn verifier(random: [u8; 32]) -> String {
    URL_SAFE_NO_PAD.encode(random)
}

/// The challenge of a verifier: what may be shown to others.
#[must_use]
pub fn challenge(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(verifier))
}

/// Whether the text can be a challenge: an unpadded SHA-256.
#[must_use]
pub fn is_challenge(text: &str) -> bool {
    URL_SAFE_NO_PAD.decode(text).is_ok_and(|bytes| bytes.len() == 32)
}

/// Whether `verifier` is the one that `challenged` was made of.
#[must_use]
pub fn proves(verifier: &str, challenged: &str) -> bool {
    let shaped = VERIFIER_CHARS.contains(&verifier.len())
        && verifier.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte));
    // Both sides are digests of what a guesser sends, so that the time of the comparison tells nothing.
    shaped && challenge(verifier) == challenged
}

#[cfg(test)]
mod tests {
    use super::*;

    // Verifies: OAU-03, OAU-04
    #[test]
    fn the_challenge_equals_the_example_of_the_rfc() {
        // RFC 7636, appendix B.
        let (known, hash) =
            ("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
        assert_eq!(challenge(known), hash);
        assert!(proves(known, hash) && is_challenge(hash));
        assert!(proves(&verifier([7; 32]), &challenge(&verifier([7; 32]))));
        assert!(!proves(&known.to_lowercase(), hash));
        for bad in ["", "short", &"x".repeat(129), &format!("{} ", "x".repeat(43))] {
            assert!(!proves(bad, &challenge(bad)), "{bad:?}");
        }
        for bad in
            ["", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM=", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw"]
        {
            assert!(!is_challenge(bad), "{bad:?}");
        }
    }
}
