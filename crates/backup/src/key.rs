//! The key of encrypted backups, and what is sealed with it.
//!
//! A key is 32 random bytes, in a file of one line: `ferry-backup-key-1:` and base64. Sealed bytes are a random nonce of 24
//! bytes and AES-256-GCM of what they hold, with the name of it as associated data. Each nonce has a key of its own: keyed
//! BLAKE3 of the nonce; its last 12 bytes are AES-GCM's. So no two things are ever sealed with the same pair, however many.

use std::{
    fmt,
    fs::OpenOptions,
    io::{Read as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use aes_gcm::{
    Aes256Gcm, KeyInit as _, Nonce,
    aead::{Aead as _, Payload},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use zeroize::Zeroizing;

use crate::{Error, Result, error::AtPath as _};

/// How a target says that its objects are sealed so.
pub(crate) const CIPHER: &str = "blake3-aes256gcm";
/// What a key file begins with.
const PREFIX: &str = "ferry-backup-key-1:";
const FILE_MAX_BYTES: u64 = 4096;
const NONCE_BYTES: usize = 24;
const TAG_BYTES: usize = 16;
/// Sealed bytes are longer by so many.
pub(crate) const SEAL_BYTES: usize = NONCE_BYTES + TAG_BYTES;
/// What the derived keys are for (BLAKE3's contexts).
const SEALING: &str = "ferry 2026-11-30 seals what a backup holds";
const NAMING: &str = "ferry 2026-11-30 names the key of backups";

/// A key. It is shown by its fingerprint alone.
#[derive(Clone)]
pub struct BackupKey {
    sealing: Zeroizing<[u8; 32]>,
    fingerprint: String,
}

impl fmt::Debug for BackupKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BackupKey({})", self.fingerprint)
    }
}

impl BackupKey {
    fn new(secret: &[u8; 32]) -> Self {
        let name = blake3::derive_key(NAMING, secret);
        Self {
            sealing: Zeroizing::new(blake3::derive_key(SEALING, secret)),
            fingerprint: hex::encode(&name[..16]),
        }
    }

    /// Reads what stands in a key file.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(text: &str) -> Result<Self> {
        let secret =
            text.trim().strip_prefix(PREFIX).and_then(|text| STANDARD.decode(text).ok()).map(Zeroizing::new);
        let secret: Option<Zeroizing<[u8; 32]>> =
            secret.and_then(|secret| Some(Zeroizing::new(secret.as_slice().try_into().ok()?)));
        secret.map(|secret| Self::new(&secret)).ok_or_else(|| {
            Error::Invalid(format!("no key of backups: expected {PREFIX} and base64 of 32 bytes, as `ferry backup key create` writes it"))
        })
    }

    /// Reads a key file.
    ///
    /// # Errors
    /// When it cannot be read, or is none.
    pub fn read_file(path: &Path) -> Result<Self> {
        let mut text = Zeroizing::new(String::new());
        let file = std::fs::File::open(path).at("cannot read", path)?;
        file.take(FILE_MAX_BYTES).read_to_string(&mut text).at("cannot read", path)?;
        Self::parse(&text).map_err(|error| Error::Invalid(format!("{}: {error}", path.display())))
    }

    /// Writes a new key to a new file, readable by its owner alone.
    ///
    /// # Errors
    /// When the file exists or cannot be written, or the machine gives no randomness.
    pub fn create_file(path: &Path) -> Result<Self> {
        let secret = Zeroizing::new(random::<32>()?);
        let text = Zeroizing::new(format!("{PREFIX}{}\n", STANDARD.encode(*secret)));
        let mut file = match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                return Err(Error::Occupied(format!("{} exists already: name a new file", path.display())));
            }
            opened => opened.at("cannot write", path)?,
        };
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).at("cannot write", path)?;
        Ok(Self::new(&secret))
    }

    /// What names it and gives nothing of it away.
    #[must_use]
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    fn cipher(&self, nonce: &[u8; NONCE_BYTES]) -> Aes256Gcm {
        let key = Zeroizing::new(*blake3::keyed_hash(&self.sealing, nonce).as_bytes());
        Aes256Gcm::new((&*key).into())
    }

    /// Seals what is called `name`.
    ///
    /// # Errors
    /// When the machine gives no randomness.
    pub(crate) fn seal(&self, name: &str, content: &[u8]) -> Result<Vec<u8>> {
        let nonce = random::<NONCE_BYTES>()?;
        let payload = Payload { msg: content, aad: name.as_bytes() };
        let sealed = self
            .cipher(&nonce)
            .encrypt(Nonce::from_slice(&nonce[NONCE_BYTES - 12..]), payload)
            .expect("BUG: AES-GCM seals everything below 64 GiB");
        Ok([&nonce[..], &sealed].concat())
    }

    /// Opens what was sealed as `name`; `None`: it was changed, or is called otherwise.
    pub(crate) fn open(&self, name: &str, sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE_BYTES>()?;
        let payload = Payload { msg: sealed, aad: name.as_bytes() };
        self.cipher(nonce).decrypt(Nonce::from_slice(&nonce[NONCE_BYTES - 12..]), payload).ok()
    }
}

fn random<const N: usize>() -> Result<[u8; N]> {
    let mut random = [0; N];
    getrandom::fill(&mut random)
        .map_err(|error| Error::Invalid(format!("the machine gives no randomness: {error}")))?;
    Ok(random)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sealed_opens_under_its_name_with_its_key_and_unchanged() {
        let (key, other) = (BackupKey::new(&[1; 32]), BackupKey::new(&[2; 32]));
        for content in [&b"a row that nobody else may read"[..], b""] {
            let sealed = key.seal("index/x", content).unwrap();
            assert_eq!(sealed.len(), content.len() + SEAL_BYTES);
            assert_ne!(sealed, key.seal("index/x", content).unwrap(), "each has a nonce of its own");
            assert_eq!(key.open("index/x", &sealed).unwrap(), content);
            assert_eq!(key.open("index/y", &sealed), None);
            assert_eq!(other.open("index/x", &sealed), None);
            for at in 0..sealed.len() {
                let mut changed = sealed.clone();
                changed[at] ^= 1;
                assert_eq!(key.open("index/x", &changed), None, "byte {at}");
                assert_eq!(key.open("index/x", &sealed[..at]), None, "cut at {at}");
            }
        }
    }

    #[test]
    fn a_key_file_is_written_once_and_read_again() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("backup.key");
        let key = BackupKey::create_file(&path).unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let read = BackupKey::read_file(&path).unwrap();
        assert_eq!((read.fingerprint(), *read.sealing), (key.fingerprint(), *key.sealing));
        assert!(matches!(BackupKey::create_file(&path), Err(Error::Occupied(_))));
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(!format!("{key:?}").contains(&text[PREFIX.len()..PREFIX.len() + 8]));
        for bad in ["", "x", "ferry-backup-key-1:", "ferry-backup-key-1:AAAA", &text[1..], &text[..40]] {
            assert!(BackupKey::parse(bad).is_err(), "{bad}");
        }
        let missing = BackupKey::read_file(&dir.path().join("none")).unwrap_err().to_string();
        assert!(missing.contains("none"), "{missing}");
    }
}
