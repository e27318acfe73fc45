//! The signing keys of the hub and where they come from.

use ferry_auth::{
    KeyRing, SigningKey, StoredKeys,
    keyring::{self, KeyInfo, KeyState},
};
use ferry_types::{Error, Reason, Result};

/// Signs everything under `--dev`. Public on purpose: whoever wants to may mint tokens for a dev server,
/// which listens on loopback only (CFG-04, CFG-05).
const DEV_KEY: [u8; keyring::KEY_BYTES] = *b"ferry --dev public signing key!!";

/// The key of `--dev`.
pub(crate) fn dev_ring() -> KeyRing {
    KeyRing::new(SigningKey::new(DEV_KEY), Vec::new())
}

/// Where the key ring comes from.
pub(crate) struct Keys {
    /// Those of `keyring.json`; `None`: `--dev`, which has one public key.
    pub(crate) stored: Option<StoredKeys>,
    /// Those of `session_key`, of which the first signs.
    pub(crate) session: Vec<SigningKey>,
}

impl Keys {
    /// All keys in use.
    pub(crate) fn ring(&self) -> KeyRing {
        self.ring_with(self.stored.as_ref())
    }

    pub(crate) fn ring_with(&self, stored: Option<&StoredKeys>) -> KeyRing {
        stored.map_or_else(dev_ring, StoredKeys::ring).behind(self.session.clone())
    }

    pub(crate) fn list(&self) -> Vec<KeyInfo> {
        let fixed = |kid, state| KeyInfo { kid, state, created_unix: 0 };
        let mut keys: Vec<KeyInfo> = match &self.stored {
            Some(stored) => stored.list().collect(),
            None => vec![fixed(dev_ring().signing().kid(), KeyState::Active)],
        };
        if !self.session.is_empty() {
            keys.iter_mut().for_each(|key| key.state = KeyState::Verifying);
        }
        let state = |place| if place == 0 { KeyState::Active } else { KeyState::Verifying };
        let session = self.session.iter().enumerate().map(|(place, key)| fixed(key.kid(), state(place)));
        session.chain(keys).collect()
    }

    /// The keys that can be changed.
    pub(crate) fn changeable(&self) -> Result<&StoredKeys> {
        self.stored.as_ref().ok_or_else(|| {
            Error::new(Reason::FailedPrecondition, "a hub under --dev has one public key, which stays")
        })
    }
}
