//! The primitives of `crypto.subtle`. Bytes come as base64 and go as `Uint8Array`.

use std::sync::Arc;

use aes_gcm::{
    Aes128Gcm, Aes256Gcm, KeyInit as _, Nonce,
    aead::{Aead, Payload},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use hkdf::Hkdf;
use hmac::{Hmac, Mac as _};
use p256::{
    ecdsa::{
        Signature, SigningKey, VerifyingKey,
        signature::hazmat::{PrehashSigner as _, PrehashVerifier as _},
    },
    pkcs8::{DecodePrivateKey as _, DecodePublicKey as _, EncodePrivateKey as _, EncodePublicKey as _},
};
use rquickjs::{Ctx, Error, Exception, FromJs, Function, Object, Result, TypedArray, Value};
use rsa::{BigUint, Pkcs1v15Sign, Pss, RsaPublicKey};
use sha1::Sha1;
use sha2::{Digest as _, Sha256, Sha384, Sha512};

use crate::state::State;

/// Iterations of PBKDF2 between two looks at the clock.
const ITERATIONS_PER_LOOK: u32 = 1000;
/// Longest output of a derivation, bytes.
const DERIVED_MAX: usize = 4096;

/// Bytes that crossed from JavaScript as base64.
struct Bytes(Vec<u8>);

impl<'js> FromJs<'js> for Bytes {
    fn from_js(ctx: &Ctx<'js>, value: Value<'js>) -> Result<Self> {
        let bytes = STANDARD.decode(String::from_js(ctx, value)?);
        bytes.map(Self).map_err(|_| Error::new_from_js("string", "bytes"))
    }
}

type Out<'js> = Result<TypedArray<'js, u8>>;

fn out<'js>(ctx: Ctx<'js>, bytes: impl AsRef<[u8]>) -> Out<'js> {
    TypedArray::new_copy(ctx, bytes)
}

/// Calls `$body` with the type `$hash` of the hash that `$name` names.
macro_rules! with_hash {
    ($name:expr, $hash:ident => $body:expr) => {
        match $name {
            "SHA-1" => {
                type $hash = Sha1;
                $body
            }
            "SHA-384" => {
                type $hash = Sha384;
                $body
            }
            "SHA-512" => {
                type $hash = Sha512;
                $body
            }
            _ => {
                type $hash = Sha256;
                $body
            }
        }
    };
}

pub(super) fn install<'js>(native: &Object<'js>, state: &Arc<State>) -> Result<()> {
    let ctx = native.ctx();
    let digest = |ctx: Ctx<'js>, hash: String, data: Bytes| out(ctx, digest(&hash, &data.0));
    native.set("digest", Function::new(ctx.clone(), digest)?)?;
    let hmac = |ctx: Ctx<'js>, hash: String, key: Bytes, data: Bytes| with_hash!(hash.as_str(), H => out(ctx, mac::<Hmac<H>>(&key.0, &data.0).finalize().into_bytes()));
    native.set("hmac", Function::new(ctx.clone(), hmac)?)?;
    let hmac_verify = |hash: String, key: Bytes, signature: Bytes, data: Bytes| with_hash!(hash.as_str(), H => mac::<Hmac<H>>(&key.0, &data.0).verify_slice(&signature.0).is_ok());
    native.set("hmacVerify", Function::new(ctx.clone(), hmac_verify)?)?;
    let aes = |ctx: Ctx<'js>, is_encrypt: bool, key: Bytes, iv: Bytes, more: Bytes, data: Bytes| {
        aes_gcm(ctx, is_encrypt, &key.0, &iv.0, (&more.0, &data.0))
    };
    native.set("aesGcm", Function::new(ctx.clone(), aes)?)?;
    let of = Arc::clone(state);
    let pbkdf2 =
        move |ctx: Ctx<'js>, hash: String, key: Bytes, salt: Bytes, iterations: u32, length: usize| {
            if iterations == 0 || length > DERIVED_MAX {
                return Err(Exception::throw_range(
                    &ctx,
                    "PBKDF2 takes iterations above 0 and gives up to 4096 bytes",
                ));
            }
            let derived =
                with_hash!(hash.as_str(), H => pbkdf2::<Hmac<H>>(&of, &key.0, &salt.0, iterations, length));
            out(ctx.clone(), derived.ok_or_else(|| Exception::throw_internal(&ctx, "the call was ended"))?)
        };
    native.set("pbkdf2", Function::new(ctx.clone(), pbkdf2)?)?;
    let hkdf = |ctx: Ctx<'js>, hash: String, key: Bytes, salt: Bytes, info: Bytes, length: usize| {
        let mut derived = vec![0; length.min(DERIVED_MAX)];
        let expanded = with_hash!(hash.as_str(), H => Hkdf::<H>::new(Some(&salt.0), &key.0).expand(&info.0, &mut derived).is_ok());
        if !expanded || length > DERIVED_MAX {
            return Err(Exception::throw_range(
                &ctx,
                "HKDF gives up to 255 blocks of its hash, and 4096 bytes",
            ));
        }
        out(ctx, derived)
    };
    native.set("hkdf", Function::new(ctx.clone(), hkdf)?)?;
    p256(native, state)?;
    ed25519(native)?;
    rsa(native)
}

fn digest(hash: &str, data: &[u8]) -> Vec<u8> {
    with_hash!(hash, H => H::digest(data).to_vec())
}

/// A MAC over `data`; every length of key will do.
fn mac<M: hmac::Mac + hmac::digest::KeyInit>(key: &[u8], data: &[u8]) -> M {
    let mut mac = <M as hmac::Mac>::new_from_slice(key).expect("BUG: HMAC takes keys of every length");
    mac.update(data);
    mac
}

/// PBKDF2 (RFC 8018, 5.2), written here so that it ends with the call: it may be asked for minutes of work.
fn pbkdf2<M>(state: &State, key: &[u8], salt: &[u8], iterations: u32, length: usize) -> Option<Vec<u8>>
where
    M: hmac::Mac + hmac::digest::KeyInit + Clone,
{
    let keyed = mac::<M>(key, &[]);
    let mut derived = Vec::with_capacity(length);
    for block in 1_u32.. {
        if derived.len() >= length {
            break;
        }
        let mut first = keyed.clone();
        first.update(salt);
        first.update(&block.to_be_bytes());
        let mut turn = first.finalize().into_bytes();
        let mut sum = turn.clone();
        for iteration in 1..iterations {
            if iteration.is_multiple_of(ITERATIONS_PER_LOOK) && state.must_stop() {
                return None;
            }
            let mut next = keyed.clone();
            next.update(&turn);
            turn = next.finalize().into_bytes();
            sum.iter_mut().zip(&turn).for_each(|(sum, byte)| *sum ^= byte);
        }
        derived.extend_from_slice(&sum);
    }
    derived.truncate(length);
    Some(derived)
}

/// Undefined where the data cannot be decrypted, or the key or iv has no such length.
fn aes_gcm<'js>(
    ctx: Ctx<'js>,
    is_encrypt: bool,
    key: &[u8],
    iv: &[u8],
    (more, data): (&[u8], &[u8]),
) -> Result<Option<TypedArray<'js, u8>>> {
    fn run<C: Aead>(cipher: &C, is_encrypt: bool, iv: &[u8], payload: Payload<'_, '_>) -> Option<Vec<u8>> {
        let nonce = aes_gcm::aead::Nonce::<C>::from_slice(iv);
        if is_encrypt { cipher.encrypt(nonce, payload) } else { cipher.decrypt(nonce, payload) }.ok()
    }
    if iv.len() != Nonce::<aes_gcm::aead::consts::U12>::default().len() {
        return Ok(None);
    }
    let payload = Payload { msg: data, aad: more };
    let made = if let Ok(cipher) = Aes128Gcm::new_from_slice(key) {
        run(&cipher, is_encrypt, iv, payload)
    } else if let Ok(cipher) = Aes256Gcm::new_from_slice(key) {
        run(&cipher, is_encrypt, iv, payload)
    } else {
        None
    };
    made.map(|made| out(ctx, made)).transpose()
}

/// ECDSA over P-256. Private keys are their 32 bytes, public keys uncompressed points (SEC 1).
fn p256<'js>(native: &Object<'js>, state: &Arc<State>) -> Result<()> {
    let ctx = native.ctx();
    let private = |ctx: Ctx<'js>, key: Bytes, is_der: bool| {
        let key = if is_der {
            p256::SecretKey::from_pkcs8_der(&key.0).ok()
        } else {
            p256::SecretKey::from_slice(&key.0).ok()
        };
        key.map(|key| out(ctx, key.to_bytes())).transpose()
    };
    native.set("p256Private", Function::new(ctx.clone(), private)?)?;
    let public = |ctx: Ctx<'js>, key: Bytes, is_der: bool| {
        let key = if is_der {
            p256::PublicKey::from_public_key_der(&key.0).ok()
        } else {
            p256::PublicKey::from_sec1_bytes(&key.0).ok()
        };
        key.map(|key| out(ctx, VerifyingKey::from(key).to_encoded_point(false).as_bytes())).transpose()
    };
    native.set("p256Public", Function::new(ctx.clone(), public)?)?;
    let public_of = |ctx: Ctx<'js>, key: Bytes| {
        let key = SigningKey::from_slice(&key.0).map_err(|_| Error::new_from_js("bytes", "key"))?;
        out(ctx, key.verifying_key().to_encoded_point(false).as_bytes())
    };
    native.set("p256PublicOf", Function::new(ctx.clone(), public_of)?)?;
    let der = |ctx: Ctx<'js>, key: Bytes, is_private: bool| {
        let unreadable = || Error::new_from_js("bytes", "key");
        if is_private {
            let key = p256::SecretKey::from_slice(&key.0).map_err(|_| unreadable())?;
            return out(ctx, key.to_pkcs8_der().map_err(|_| unreadable())?.as_bytes());
        }
        let key = p256::PublicKey::from_sec1_bytes(&key.0).map_err(|_| unreadable())?;
        out(ctx, key.to_public_key_der().map_err(|_| unreadable())?.as_bytes())
    };
    native.set("p256Der", Function::new(ctx.clone(), der)?)?;
    let of = Arc::clone(state);
    let generate = move |ctx: Ctx<'js>| {
        of.call().used.random = true;
        // A draw beyond the curve's order is drawn again; that happens once in 2^32.
        for _ in 0..8 {
            let mut bytes = [0; 32];
            let drawn = getrandom::fill(&mut bytes);
            drawn.map_err(|_| Exception::throw_message(&ctx, "the system gave no random bytes"))?;
            if p256::SecretKey::from_slice(&bytes).is_ok() {
                return out(ctx, bytes);
            }
        }
        Err(Exception::throw_message(&ctx, "no key was found"))
    };
    native.set("p256Generate", Function::new(ctx.clone(), generate)?)?;
    let sign = |ctx: Ctx<'js>, hash: String, key: Bytes, data: Bytes| {
        let key = SigningKey::from_slice(&key.0).map_err(|_| Error::new_from_js("bytes", "key"))?;
        let signature: std::result::Result<Signature, _> = key.sign_prehash(&digest(&hash, &data.0));
        let signature =
            signature.map_err(|_| Exception::throw_message(&ctx, "a hash is too short for P-256"))?;
        out(ctx, signature.to_bytes())
    };
    native.set("p256Sign", Function::new(ctx.clone(), sign)?)?;
    let verify = |hash: String, key: Bytes, signature: Bytes, data: Bytes| {
        let key = VerifyingKey::from_sec1_bytes(&key.0).ok();
        let signature = Signature::from_slice(&signature.0).ok();
        let both = key.zip(signature);
        both.is_some_and(|(key, signature)| key.verify_prehash(&digest(&hash, &data.0), &signature).is_ok())
    };
    native.set("p256Verify", Function::new(ctx.clone(), verify)?)
}

/// Ed25519 (RFC 8032). Both keys are their 32 bytes.
fn ed25519<'js>(native: &Object<'js>) -> Result<()> {
    use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};

    let ctx = native.ctx();
    let signing = |key: &Bytes| {
        let bytes: [u8; 32] = key.0[..].try_into().map_err(|_| Error::new_from_js("bytes", "key"))?;
        Ok::<_, Error>(SigningKey::from_bytes(&bytes))
    };
    let public_of = move |ctx: Ctx<'js>, key: Bytes| out(ctx, signing(&key)?.verifying_key().as_bytes());
    native.set("ed25519PublicOf", Function::new(ctx.clone(), public_of)?)?;
    let sign =
        move |ctx: Ctx<'js>, key: Bytes, data: Bytes| out(ctx, signing(&key)?.sign(&data.0).to_bytes());
    native.set("ed25519Sign", Function::new(ctx.clone(), sign)?)?;
    let verify = |key: Bytes, signature: Bytes, data: Bytes| {
        let key = <[u8; 32]>::try_from(&key.0[..]).ok().and_then(|key| VerifyingKey::from_bytes(&key).ok());
        let signature = ed25519_dalek::Signature::from_slice(&signature.0).ok();
        key.zip(signature).is_some_and(|(key, signature)| key.verify_strict(&data.0, &signature).is_ok())
    };
    native.set("ed25519Verify", Function::new(ctx.clone(), verify)?)
}

/// RSA, for verifying alone. Keys are their SubjectPublicKeyInfo.
fn rsa<'js>(native: &Object<'js>) -> Result<()> {
    use rsa::pkcs8::{DecodePublicKey as _, EncodePublicKey as _};

    let ctx = native.ctx();
    let public = |ctx: Ctx<'js>, key: Bytes, exponent: Option<Bytes>| {
        let key = match exponent {
            Some(e) => RsaPublicKey::new(BigUint::from_bytes_be(&key.0), BigUint::from_bytes_be(&e.0)).ok(),
            None => RsaPublicKey::from_public_key_der(&key.0).ok(),
        };
        let der = key.and_then(|key| key.to_public_key_der().ok());
        der.map(|der| out(ctx, der.as_bytes())).transpose()
    };
    native.set("rsaPublic", Function::new(ctx.clone(), public)?)?;
    let verify =
        |is_pss: bool, hash: String, key: Bytes, salt_length: usize, signature: Bytes, data: Bytes| {
            let Ok(key) = RsaPublicKey::from_public_key_der(&key.0) else { return false };
            let hashed = digest(&hash, &data.0);
            let verified = with_hash!(hash.as_str(), H => if is_pss {
                key.verify(Pss::new_with_salt::<H>(salt_length), &hashed, &signature.0)
            } else {
                key.verify(Pkcs1v15Sign::new::<H>(), &hashed, &signature.0)
            });
            verified.is_ok()
        };
    native.set("rsaVerify", Function::new(ctx.clone(), verify)?)
}
