//! A set of public keys (JWKS, RFC 7517): which of its keys are usable, and which one a token means (JWT-02).

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ferry_types::limits::JWKS_MAX_KEYS;
use jsonwebtoken::DecodingKey;
use serde::Deserialize;

use super::{JwtAlgorithm, JwtError};

/// Smallest RSA modulus (JWT-01), bits.
const RSA_MIN_BITS: usize = 2048;
/// Largest RSA modulus that the backend verifies with, bits.
const RSA_MAX_BITS: usize = 4096;
/// Length of an Ed25519 key and of a P-256 coordinate.
const POINT_BYTES: usize = 32;

/// Why bytes are no key set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeySetError {
    /// Not a JSON object with a list `keys`.
    #[error("not a JSON Web Key Set")]
    Malformed,
    /// Over [`JWKS_MAX_KEYS`].
    #[error("more than 100 keys")]
    TooMany,
}

struct VerifyingKey {
    kid: Option<Box<str>>,
    algorithm: JwtAlgorithm,
    key: DecodingKey,
}

/// The usable keys of a set; the others are as if they were not there.
pub struct KeySet(Vec<VerifyingKey>);

/// Tells how many keys there are.
impl std::fmt::Debug for KeySet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "KeySet({} keys)", self.0.len())
    }
}

#[derive(Deserialize)]
struct Document {
    keys: Vec<serde_json::Value>,
}

/// The members of a key that matter here.
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    used_for: Option<String>,
    key_ops: Option<Vec<String>>,
    crv: Option<String>,
    x: Option<String>,
    y: Option<String>,
    n: Option<String>,
    e: Option<String>,
}

impl KeySet {
    /// Reads a set. Keys of other types, for other uses, or too weak are left out.
    ///
    /// # Errors
    /// When the bytes are no key set, or it is too large.
    pub fn parse(bytes: &[u8]) -> Result<Self, KeySetError> {
        let document: Document = serde_json::from_slice(bytes).map_err(|_| KeySetError::Malformed)?;
        if document.keys.len() > JWKS_MAX_KEYS {
            return Err(KeySetError::TooMany);
        }
        let usable = document.keys.into_iter().filter_map(|key| usable(serde_json::from_value(key).ok()?));
        Ok(Self(usable.collect()))
    }

    /// Whether no key can be used.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The key that a token with this header means.
    pub(super) fn find(&self, kid: Option<&str>, algorithm: JwtAlgorithm) -> Result<&DecodingKey, JwtError> {
        let named = |key: &&VerifyingKey| kid.is_none() || key.kid.as_deref() == kid;
        let mut fitting = self.0.iter().filter(named).filter(|key| key.algorithm == algorithm);
        match (fitting.next(), fitting.next()) {
            (Some(key), None) => Ok(&key.key),
            (Some(_), Some(_)) => Err(JwtError::AmbiguousKey),
            // The key is there, for another algorithm: no other set will make that right.
            (None, _) if kid.is_some() && self.0.iter().any(|key| named(&key)) => Err(JwtError::Algorithm),
            (None, _) => Err(JwtError::UnknownKey),
        }
    }
}

fn usable(jwk: Jwk) -> Option<VerifyingKey> {
    let verifies = jwk.used_for.is_none_or(|used| used == "sig")
        && jwk.key_ops.is_none_or(|ops| ops.iter().any(|op| op == "verify"));
    if !verifies {
        return None;
    }
    let (algorithm, key) = match (jwk.kty.as_str(), jwk.crv.as_deref()) {
        ("OKP", Some("Ed25519")) => (JwtAlgorithm::EdDsa, DecodingKey::from_ed_der(&point(&jwk.x?)?)),
        ("EC", Some("P-256")) => {
            // The uncompressed form of SEC 1: 0x04, x, y.
            let encoded = [&[0x04], &point(&jwk.x?)?[..], &point(&jwk.y?)?[..]].concat();
            (JwtAlgorithm::Es256, DecodingKey::from_ec_der(&encoded))
        }
        ("RSA", _) => {
            let (modulus, exponent) = (decode(&jwk.n?)?, decode(&jwk.e?)?);
            let bits = bits(&modulus);
            let fits = (RSA_MIN_BITS..=RSA_MAX_BITS).contains(&bits);
            (JwtAlgorithm::Rs256, fits.then(|| DecodingKey::from_rsa_raw_components(&modulus, &exponent))?)
        }
        _ => return None,
    };
    let agrees = jwk.alg.is_none_or(|alg| alg == algorithm.as_str());
    agrees.then(|| VerifyingKey { kid: jwk.kid.map(Into::into), algorithm, key })
}

fn decode(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

fn point(text: &str) -> Option<[u8; POINT_BYTES]> {
    decode(text)?.try_into().ok()
}

/// Significant bits of a big-endian number.
fn bits(number: &[u8]) -> usize {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    let Some(first) = number.get(zeros) else { return 0 };
    (number.len() - zeros) * 8 - first.leading_zeros() as usize
}
