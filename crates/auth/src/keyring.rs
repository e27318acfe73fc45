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

/// A secret that signs tokens. It is wiped when dropped and never printed.
#[derive(Clone)]
pub struct SigningKey {
    bytes: Zeroizing<[u8; KEY_BYTES]>,
    kid: u32,
}

impl SigningKey {
    /// The key with these bytes, which must be random.
    #[must_use]
    pub fn new(bytes: [u8; KEY_BYTES]) -> Self {
        let digest = Sha256::new().chain_update(b"ferry kid\0").chain_update(bytes).finalize();
        let kid = u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]);
        Self { bytes: Zeroizing::new(bytes), kid }
    }

    /// The secret itself.
    #[must_use]
    pub(crate) fn bytes(&self) -> &[u8; KEY_BYTES] {
        &self.bytes
    }

    /// The key's public name: the first 4 bytes, big-endian, of SHA-256(`"ferry kid\0"` ‖ key).
    #[must_use]
    pub const fn kid(&self) -> u32 {
        self.kid
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
    #[error("key {position} of the list must be base64 of exactly 32 bytes")]
    BadKey {
        /// Counted from 1.
        position: usize,
    },
    /// The file is not what [`StoredKeys::to_json`] writes.
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

    /// Whether a key of the ring is called `kid`.
    #[must_use]
    pub fn knows(&self, kid: u32) -> bool {
        self.called(kid).next().is_some()
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
        .map(|(position, part)| {
            decode_key(part.trim()).ok_or(KeyRingError::BadKey { position: position + 1 })
        })
        .collect()
}

fn decode_key(text: &str) -> Option<SigningKey> {
    let bytes = Zeroizing::new(STANDARD.decode(text).ok()?);
    Some(SigningKey::new(bytes.as_slice().try_into().ok()?))
}

/// What a key of the ring is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyState {
    /// It signs.
    Active,
    /// It only verifies.
    Verifying,
}

impl KeyState {
    /// The word in the file and on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Verifying => "verifying",
        }
    }
}

/// A key as operators see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyInfo {
    /// Its name.
    pub kid: u32,
    /// Its use.
    pub state: KeyState,
    /// When it was made, Unix seconds; 0: not known.
    pub created_unix: i64,
}

/// Why a key cannot be retired.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RetireError {
    /// The ring has no key of this name.
    #[error("no signing key has this kid: see the list of signing keys")]
    Unknown,
    /// It signs.
    #[error("this key signs: rotate first, then retire it")]
    Active,
}

/// The keys of `keyring.json`; of them exactly one signs.
#[derive(Clone)]
pub struct StoredKeys {
    active: StoredKey,
    /// Newest first.
    verifying: Vec<StoredKey>,
}

#[derive(Clone)]
struct StoredKey {
    key: SigningKey,
    created_unix: i64,
    /// When nothing it signed lives any more; `None`: it signs, or verifies until it is retired.
    verifies_until_unix: Option<i64>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyRingFile {
    version: u32,
    keys: Vec<KeyRow>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyRow {
    kid: String,
    key: Zeroizing<String>,
    created_unix: i64,
    state: KeyState,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    verifies_until_unix: Option<i64>,
}

impl StoredKeys {
    /// A ring of this one key, which signs.
    #[must_use]
    pub const fn with_key(key: SigningKey, created_unix: i64) -> Self {
        Self { active: StoredKey { key, created_unix, verifies_until_unix: None }, verifying: Vec::new() }
    }

    /// The keys in use.
    #[must_use]
    pub fn ring(&self) -> KeyRing {
        let others = self.verifying.iter().map(|stored| stored.key.clone()).collect();
        KeyRing::new(self.active.key.clone(), others)
    }

    /// Every key: the one that signs, then the others, newest first.
    pub fn list(&self) -> impl Iterator<Item = KeyInfo> {
        let info = |stored: &StoredKey, state| KeyInfo {
            kid: stored.key.kid(),
            state,
            created_unix: stored.created_unix,
        };
        let verifying = self.verifying.iter().map(move |stored| info(stored, KeyState::Verifying));
        std::iter::once(info(&self.active, KeyState::Active)).chain(verifying)
    }

    /// Lets `key` sign from `now_unix` on. The key before it verifies until `until_unix`, when nothing that it
    /// signed lives any more.
    pub fn rotate(&mut self, key: SigningKey, now_unix: i64, until_unix: i64) {
        let new = StoredKey { key, created_unix: now_unix, verifies_until_unix: None };
        let mut old = std::mem::replace(&mut self.active, new);
        old.verifies_until_unix = Some(until_unix);
        self.verifying.insert(0, old);
    }

    /// Removes the key called `kid`: whatever it signed is void.
    ///
    /// # Errors
    /// When it signs, or there is none.
    pub fn retire(&mut self, kid: u32) -> Result<(), RetireError> {
        if self.active.key.kid() == kid {
            return Err(RetireError::Active);
        }
        let before = self.verifying.len();
        self.verifying.retain(|stored| stored.key.kid() != kid);
        if self.verifying.len() == before { Err(RetireError::Unknown) } else { Ok(()) }
    }

    /// Removes the keys whose time is over; tells whether there were any.
    pub fn prune(&mut self, now_unix: i64) -> bool {
        let before = self.verifying.len();
        self.verifying.retain(|stored| stored.verifies_until_unix.is_none_or(|until| until > now_unix));
        self.verifying.len() < before
    }

    /// The text of the file.
    #[must_use]
    pub fn to_json(&self) -> Zeroizing<String> {
        let row = |stored: &StoredKey, state| KeyRow {
            kid: format!("{:08x}", stored.key.kid()),
            key: Zeroizing::new(STANDARD.encode(stored.key.bytes())),
            created_unix: stored.created_unix,
            state,
            verifies_until_unix: stored.verifies_until_unix,
        };
        let verifying = self.verifying.iter().map(|stored| row(stored, KeyState::Verifying));
        let keys = std::iter::once(row(&self.active, KeyState::Active)).chain(verifying).collect();
        let file = KeyRingFile { version: FILE_VERSION, keys };
        let text = serde_json::to_string_pretty(&file).expect("BUG: a key ring is always JSON");
        Zeroizing::new(text + "\n")
    }

    /// Reads the text of the file.
    ///
    /// # Errors
    /// When the text is no key ring: the hub then does not start, and never makes a new one in its place.
    pub fn parse(text: &str) -> Result<Self, KeyRingError> {
        // serde's own message could quote a key.
        let file: KeyRingFile = serde_json::from_str(text)
            .map_err(|_| KeyRingError::BadFile("it is not the JSON of a key ring"))?;
        if file.version != FILE_VERSION {
            return Err(KeyRingError::BadFile("its version is not 1: a newer ferry wrote it"));
        }
        let mut active = None;
        let mut verifying = Vec::new();
        for row in file.keys {
            let key =
                decode_key(&row.key).ok_or(KeyRingError::BadFile("a key in it is not base64 of 32 bytes"))?;
            if row.kid != format!("{:08x}", key.kid()) {
                return Err(KeyRingError::BadFile("a kid in it does not belong to its key"));
            }
            let stored = StoredKey {
                key,
                created_unix: row.created_unix,
                verifies_until_unix: row.verifies_until_unix,
            };
            match row.state {
                KeyState::Active if active.is_none() => active = Some(stored),
                KeyState::Active => return Err(KeyRingError::BadFile("it has more than one active key")),
                KeyState::Verifying => verifying.push(stored),
            }
        }
        let active = active.ok_or(KeyRingError::BadFile("it has no active key"))?;
        Ok(Self { active, verifying })
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
        let text = StoredKeys::with_key(key.clone(), 1_700_000_000).to_json();
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(json["version"], 1);
        assert_eq!(json["keys"][0]["kid"], format!("{:08x}", key.kid()));
        assert_eq!(json["keys"][0]["state"], "active");
        assert_eq!(json["keys"][0]["created_unix"], 1_700_000_000);
        let ring = StoredKeys::parse(&text).unwrap().ring();
        assert_eq!(ring.signing().kid(), key.kid());
        let older = text.replacen("active", "verifying", 1);
        assert_eq!(StoredKeys::parse(&older).err(), Some(KeyRingError::BadFile("it has no active key")));
        for bad in [
            "",
            "{}",
            &text.replace("\"version\": 1", "\"version\": 2"),
            &text.replace("active", "resting"),
            &text.replace(&format!("{:08x}", key.kid()), "00000000"),
            &text.replace("\"key\": \"BQ", "\"key\": \"B"),
        ] {
            assert!(StoredKeys::parse(bad).is_err(), "{bad}");
        }
    }

    // Verifies: TOK-10
    #[test]
    fn rotation_keeps_the_old_key_until_its_tokens_are_dead() {
        let kid = |byte| SigningKey::new([byte; 32]).kid();
        let mut keys = StoredKeys::with_key(SigningKey::new([1; 32]), 100);
        keys.rotate(SigningKey::new([2; 32]), 200, 1_000);
        keys.rotate(SigningKey::new([3; 32]), 300, 1_100);
        let mut keys = StoredKeys::parse(&keys.to_json()).unwrap();
        let listed: Vec<_> = keys.list().map(|key| (key.kid, key.state, key.created_unix)).collect();
        let verifying = KeyState::Verifying;
        let expected = [(kid(3), KeyState::Active, 300), (kid(2), verifying, 200), (kid(1), verifying, 100)];
        assert_eq!(listed, expected);
        assert_eq!(keys.ring().signing().kid(), kid(3));
        assert!(!keys.prune(999) && keys.prune(1_000) && !keys.ring().knows(kid(1)));
        assert_eq!(keys.retire(kid(3)), Err(RetireError::Active));
        assert_eq!(keys.retire(kid(1)), Err(RetireError::Unknown));
        assert_eq!(keys.retire(kid(2)), Ok(()));
        assert!(!keys.ring().knows(kid(2)) && keys.ring().knows(kid(3)));
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
        for (bad, position) in
            [("", 1), ("short", 1), (STANDARD.encode([1; 31]).as_str(), 1), (&format!("{first},"), 2)]
        {
            assert_eq!(parse_session_keys(bad).unwrap_err(), KeyRingError::BadKey { position });
        }
    }
}
