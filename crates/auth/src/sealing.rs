//! Secrets at rest: sealed with a key that is derived from the key ring's, bound to what they are, and opened with any
//! key of the ring (functions.md, 4). Whoever retires a key seals anew what it sealed.
//!
//! `0x01` ‖ kid, 4 bytes big-endian ‖ nonce, 12 bytes ‖ AES-256-GCM of the secret, with the context as associated data.
//! The key is HKDF-SHA256 of the ring's key, without salt, with `INFO`.

use aes_gcm::{
    Aes256Gcm, KeyInit as _, Nonce,
    aead::{Aead as _, Payload},
};
use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::keyring::{KEY_BYTES, KeyRing, SigningKey};

const INFO: &[u8] = b"ferry sealed secret";
const VERSION: u8 = 1;
const KID_BYTES: usize = 4;
/// Random bytes that each sealing needs.
pub const NONCE_BYTES: usize = 12;
const HEAD_BYTES: usize = 1 + KID_BYTES + NONCE_BYTES;

/// Why sealed bytes cannot be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The ring has no key of the name.
    #[error("the signing key that sealed it is not in the key ring any more")]
    UnknownKey,
    /// Not what [`seal`] makes, of another context, or changed.
    #[error("it is damaged")]
    Damaged,
}

fn cipher(key: &SigningKey) -> Aes256Gcm {
    let mut derived = Zeroizing::new([0; KEY_BYTES]);
    Hkdf::<Sha256>::new(None, key.bytes())
        .expand(INFO, &mut *derived)
        .expect("BUG: HKDF-SHA256 gives 32 bytes");
    Aes256Gcm::new((&*derived).into())
}

/// Seals `secret`, which is `context` and nothing else.
#[must_use]
pub fn seal(key: &SigningKey, context: &str, nonce: [u8; NONCE_BYTES], secret: &[u8]) -> Vec<u8> {
    let payload = Payload { msg: secret, aad: context.as_bytes() };
    let ciphertext = cipher(key)
        .encrypt(Nonce::from_slice(&nonce), payload)
        .expect("BUG: AES-GCM seals everything below 64 GiB");
    [&[VERSION][..], &key.kid().to_be_bytes(), &nonce, &ciphertext].concat()
}

/// The name of the key that sealed it.
#[must_use]
pub fn sealed_by(sealed: &[u8]) -> Option<u32> {
    let (version, rest) = sealed.split_first()?;
    let kid = rest.first_chunk::<KID_BYTES>()?;
    (*version == VERSION).then(|| u32::from_be_bytes(*kid))
}

/// Opens what [`seal`] made for the same context.
///
/// # Errors
/// When no key of the ring opens it.
pub fn open(ring: &KeyRing, context: &str, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealError> {
    let kid = sealed_by(sealed).filter(|_| sealed.len() >= HEAD_BYTES).ok_or(SealError::Damaged)?;
    let (nonce, ciphertext) = (&sealed[1 + KID_BYTES..HEAD_BYTES], &sealed[HEAD_BYTES..]);
    let mut failure = SealError::UnknownKey;
    for key in ring.called(kid) {
        let payload = Payload { msg: ciphertext, aad: context.as_bytes() };
        match cipher(key).decrypt(Nonce::from_slice(nonce), payload) {
            Ok(secret) => return Ok(Zeroizing::new(secret)),
            Err(_) => failure = SealError::Damaged,
        }
    }
    Err(failure)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_opens_with_its_context_and_a_key_of_the_ring() {
        let (old, new) = (SigningKey::new([1; 32]), SigningKey::new([2; 32]));
        let sealed = seal(&old, "a", [7; 12], b"hush");
        assert_eq!(sealed_by(&sealed), Some(old.kid()));
        assert!(!sealed.windows(4).any(|bytes| bytes == b"hush"));
        let ring = KeyRing::new(new.clone(), vec![old]);
        assert_eq!(open(&ring, "a", &sealed).unwrap().as_slice(), b"hush");
        assert_eq!(open(&ring, "b", &sealed), Err(SealError::Damaged), "it is another secret");
        assert_eq!(open(&KeyRing::new(new, vec![]), "a", &sealed), Err(SealError::UnknownKey));
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(open(&ring, "a", &changed).is_err(), "byte {at}");
            assert!(open(&ring, "a", &sealed[..at]).is_err(), "the first {at} bytes");
        }
        assert_eq!(
            seal(&SigningKey::new([1; 32]), "a", [8; 12], b""),
            seal(&SigningKey::new([1; 32]), "a", [8; 12], b"")
        );
    }
}
