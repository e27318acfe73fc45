//! A set of public keys (JWKS, RFC 7517): which of its keys are usable, and which one a token means (JWT-02).

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
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

/// The base64url of RFC 7515, with or without the padding that some issuers write all the same.
const BASE64URL: GeneralPurpose = GeneralPurpose::new(
    &alphabet::URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A public key.
pub(super) struct VerifyingKey {
    kid: Option<Box<str>>,
    algorithm: JwtAlgorithm,
    pub(super) key: DecodingKey,
    /// The key itself, by which two entries are known to be one.
    material: Vec<u8>,
    pub(super) standing: KeyStanding,
}

impl VerifyingKey {
    fn is(&self, other: &Self) -> bool {
        self.algorithm == other.algorithm && self.material == other.material
    }
}

/// Whether the issuer still publishes the key that proved something; shared by all that it proved. One that is made by
/// default never changes.
#[derive(Clone, Default)]
pub struct KeyStanding(Arc<AtomicBool>);

impl KeyStanding {
    /// Whether the issuer took the key away (JWT-04).
    #[must_use]
    pub fn is_withdrawn(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    fn withdraw(&self) {
        self.0.store(true, Ordering::Release);
    }

    fn is_in_use(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }
}

/// The same key of the same set.
impl PartialEq for KeyStanding {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for KeyStanding {}

impl std::fmt::Debug for KeyStanding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.is_withdrawn() { "withdrawn" } else { "published" })
    }
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

    /// Whether something that lives on was proven by one of its keys.
    pub(super) fn is_in_use(&self) -> bool {
        self.0.iter().any(|key| key.standing.is_in_use())
    }

    /// Takes the place of `old`: keys that both have stand on, the others of `old` are withdrawn. Whether there were
    /// any of these.
    pub fn replace(&mut self, old: &Self) -> bool {
        let mut withdrawn = false;
        for former in &old.0 {
            // Under another name it is still published.
            let same = self.0.iter_mut().filter(|key| key.is(former));
            let kept = same.map(|key| key.standing = former.standing.clone()).count() > 0;
            if !kept {
                former.standing.withdraw();
                withdrawn = true;
            }
        }
        withdrawn
    }

    /// The key that a token with this header means. One that is listed twice is one key.
    pub(super) fn find(&self, kid: Option<&str>, algorithm: JwtAlgorithm) -> Result<&VerifyingKey, JwtError> {
        let named = |key: &&VerifyingKey| kid.is_none() || key.kid.as_deref() == kid;
        let mut fitting = self.0.iter().filter(named).filter(|key| key.algorithm == algorithm);
        match fitting.next() {
            Some(key) if fitting.all(|other| other.is(key)) => Ok(key),
            Some(_) => Err(JwtError::AmbiguousKey),
            // The key is there, for another algorithm: no other set will make that right.
            None if kid.is_some() && self.0.iter().any(|key| named(&key)) => Err(JwtError::Algorithm),
            None => Err(JwtError::UnknownKey),
        }
    }
}

fn usable(jwk: Jwk) -> Option<VerifyingKey> {
    let verifies = jwk.used_for.is_none_or(|used| used == "sig")
        && jwk.key_ops.is_none_or(|ops| ops.iter().any(|op| op == "verify"));
    if !verifies {
        return None;
    }
    let (algorithm, key, material) = match (jwk.kty.as_str(), jwk.crv.as_deref()) {
        ("OKP", Some("Ed25519")) => {
            let encoded = point(&jwk.x?)?;
            (JwtAlgorithm::EdDsa, DecodingKey::from_ed_der(&encoded), encoded.to_vec())
        }
        ("EC", Some("P-256")) => {
            // The uncompressed form of SEC 1: 0x04, x, y.
            let encoded = [&[0x04], &point(&jwk.x?)?[..], &point(&jwk.y?)?[..]].concat();
            (JwtAlgorithm::Es256, DecodingKey::from_ec_der(&encoded), encoded)
        }
        ("RSA", _) => {
            let (modulus, exponent) = (decode(&jwk.n?)?, decode(&jwk.e?)?);
            let bits = bits(&modulus);
            let fits = (RSA_MIN_BITS..=RSA_MAX_BITS).contains(&bits);
            let key = fits.then(|| DecodingKey::from_rsa_raw_components(&modulus, &exponent))?;
            // The exponent is short, and the modulus of its length: together they say which key it is.
            (JwtAlgorithm::Rs256, key, [modulus, exponent].concat())
        }
        _ => return None,
    };
    let agrees = jwk.alg.is_none_or(|alg| alg == algorithm.as_str());
    let standing = KeyStanding::default();
    agrees.then(|| VerifyingKey { kid: jwk.kid.map(Into::into), algorithm, key, material, standing })
}

fn decode(text: &str) -> Option<Vec<u8>> {
    BASE64URL.decode(text).ok()
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
