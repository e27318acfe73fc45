//! Signing keys (TOK-10): one signs, all verify. The file is `keyring.json` (CFG-02); `SESSION_KEY` adds keys
//! in front of those of the file.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

/// Length of a signing key.
pub const KEY_BYTES: usize = 32;
/// Version of `keyring.json`.
const FILE_VERSION: u32 = 1;
/// State of the key that signs. All others only verify.
const ACTIVE: &str = "active";
const VERIFYING: &str = "verifying";

/// A secret that signs tokens. It is wiped when dropped and never printed.
#[derive(Clone)]
pub struct SigningKey(Zeroizing<[u8; KEY_BYTES]>);

impl SigningKey {
    /// The key with these bytes, which must be random.
    #[must_use]
    pub fn new(bytes: [u8; KEY_BYTES]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The secret itself.
    #[must_use]
    pub(crate) fn bytes(&self) -> &[u8; KEY_BYTES] {
        &self.0
    }

    /// The key's public name: the first 4 bytes, big-endian, of SHA-256(`"ferry kid\0"` ‖ key).
    #[must_use]
    pub fn kid(&self) -> u32 {
        let digest = Sha256::new().chain_update(b"ferry kid\0").chain_update(self.0.as_slice()).finalize();
        u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]])
    }
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SigningKey({:08x})", self.kid())
    }
}

/// Why keys cannot be used. Never shows key material.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyRingError {
    /// A part of `SESSION_KEY` is not base64 of 32 bytes.
    #[error("key {place} of the list must be base64 of exactly 32 bytes")]
    BadKey {
        /// Counted from 1.
        place: usize,
    },
    /// The file is not what [`KeyRingFile::to_json`] writes.
    #[error("{0}")]
    BadFile(&'static str),
}

/// The keys in use: the first one signs, every one verifies.
#[derive(Clone, Debug)]
pub struct KeyRing {
    signing: SigningKey,
    others: Vec<SigningKey>,
}

impl KeyRing {
    /// A ring in which `signing` signs and `others` only verify.
    #[must_use]
    pub const fn new(signing: SigningKey, others: Vec<SigningKey>) -> Self {
        Self { signing, others }
    }

    /// The same ring behind the keys of `SESSION_KEY`, of which the first signs.
    #[must_use]
    pub fn behind(self, session_keys: Vec<SigningKey>) -> Self {
        let mut keys = session_keys.into_iter();
        match keys.next() {
            None => self,
            Some(signing) => {
                let others = keys.chain([self.signing]).chain(self.others).collect();
                Self { signing, others }
            }
        }
    }

    /// The key that signs.
    #[must_use]
    pub const fn signing(&self) -> &SigningKey {
        &self.signing
    }

    /// The keys called `kid`: none or one, but for a collision of names.
    pub fn called(&self, kid: u32) -> impl Iterator<Item = &SigningKey> {
        std::iter::once(&self.signing).chain(&self.others).filter(move |key| key.kid() == kid)
    }
}

/// Reads the value of `SESSION_KEY`: base64 keys, separated by commas, of which the first signs.
///
/// # Errors
/// When a part is not base64 of 32 bytes (TOK-11: the hub then does not start).
pub fn parse_session_keys(text: &str) -> Result<Vec<SigningKey>, KeyRingError> {
    text.split(',')
        .enumerate()
        .map(|(place, part)| decode_key(part.trim()).ok_or(KeyRingError::BadKey { place: place + 1 }))
        .collect()
}

fn decode_key(text: &str) -> Option<SigningKey> {
    let bytes = Zeroizing::new(STANDARD.decode(text).ok()?);
    Some(SigningKey::new(bytes.as_slice().try_into().ok()?))
}

/// `keyring.json`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyRingFile {
    version: u32,
    keys: Vec<StoredKey>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredKey {
    kid: String,
    key: Zeroizing<String>,
    created_unix: i64,
    state: String,
}

impl KeyRingFile {
    /// A file with this one key, which signs.
    #[must_use]
    pub fn with_key(key: &SigningKey, created_unix: i64) -> Self {
        let stored = StoredKey {
            kid: format!("{:08x}", key.kid()),
            key: Zeroizing::new(STANDARD.encode(key.bytes())),
            created_unix,
            state: ACTIVE.to_owned(),
        };
        Self { version: FILE_VERSION, keys: vec![stored] }
    }

    /// The text of the file.
    #[must_use]
    pub fn to_json(&self) -> Zeroizing<String> {
        let text = serde_json::to_string_pretty(self).expect("BUG: a key ring is always JSON");
        Zeroizing::new(text + "\n")
    }

    /// Reads the text of the file into a ring.
    ///
    /// # Errors
    /// When the text is no key ring: the hub then does not start, and never makes a new one in its place.
    pub fn parse(text: &str) -> Result<KeyRing, KeyRingError> {
        // serde's own message could quote a key.
        let file: Self = serde_json::from_str(text)
            .map_err(|_| KeyRingError::BadFile("it is not the JSON of a key ring"))?;
        if file.version != FILE_VERSION {
            return Err(KeyRingError::BadFile("its version is not 1: a newer ferry wrote it"));
        }
        let mut signing = None;
        let mut others = Vec::new();
        for stored in &file.keys {
            let key = decode_key(&stored.key)
                .ok_or(KeyRingError::BadFile("a key in it is not base64 of 32 bytes"))?;
            if stored.kid != format!("{:08x}", key.kid()) {
                return Err(KeyRingError::BadFile("a kid in it does not belong to its key"));
            }
            match stored.state.as_str() {
                ACTIVE if signing.is_none() => signing = Some(key),
                ACTIVE => return Err(KeyRingError::BadFile("it has more than one active key")),
                VERIFYING => others.push(key),
                _ => return Err(KeyRingError::BadFile("a state in it is neither active nor verifying")),
            }
        }
        let signing = signing.ok_or(KeyRingError::BadFile("it has no active key"))?;
        Ok(KeyRing::new(signing, others))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Verifies: TOK-10
    #[test]
    fn kid_is_the_documented_digest() {
        // (printf 'ferry kid\0'; head -c 32 /dev/zero) | sha256sum
        let key = SigningKey::new([0; 32]);
        assert_eq!(format!("{:08x}", key.kid()), "f9d123ac");
        assert!(!format!("{key:?}").contains("0, 0"), "a key is never printed");
    }

    // Verifies: CFG-02, TOK-10
    #[test]
    fn the_file_keeps_the_ring() {
        let key = SigningKey::new([5; 32]);
        let text = KeyRingFile::with_key(&key, 1_700_000_000).to_json();
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(json["version"], 1);
        assert_eq!(json["keys"][0]["kid"], format!("{:08x}", key.kid()));
        assert_eq!(json["keys"][0]["state"], "active");
        assert_eq!(json["keys"][0]["created_unix"], 1_700_000_000);
        let ring = KeyRingFile::parse(&text).unwrap();
        assert_eq!(ring.signing().kid(), key.kid());
        let older = text.replacen(ACTIVE, VERIFYING, 1);
        assert_eq!(KeyRingFile::parse(&older).unwrap_err(), KeyRingError::BadFile("it has no active key"));
        for bad in [
            "",
            "{}",
            &text.replace("\"version\": 1", "\"version\": 2"),
            &text.replace("active", "resting"),
            &text.replace(&format!("{:08x}", key.kid()), "00000000"),
            &text.replace("\"key\": \"BQ", "\"key\": \"B"),
        ] {
            assert!(KeyRingFile::parse(bad).is_err(), "{bad}");
        }
    }

    // Verifies: TOK-10, TOK-11
    #[test]
    fn session_keys_stand_before_those_of_the_file() {
        let (first, second) = (STANDARD.encode([1; 32]), STANDARD.encode([2; 32]));
        let keys = parse_session_keys(&format!("{first},{second}")).unwrap();
        let ring = KeyRing::new(SigningKey::new([3; 32]), vec![]).behind(keys);
        assert_eq!(ring.signing().kid(), SigningKey::new([1; 32]).kid());
        for byte in 1..=3 {
            assert_eq!(ring.called(SigningKey::new([byte; 32]).kid()).count(), 1);
        }
        assert_eq!(ring.called(SigningKey::new([4; 32]).kid()).count(), 0);
        for (bad, place) in
            [("", 1), ("short", 1), (STANDARD.encode([1; 31]).as_str(), 1), (&format!("{first},"), 2)]
        {
            assert_eq!(parse_session_keys(bad).unwrap_err(), KeyRingError::BadKey { place });
        }
    }
}
