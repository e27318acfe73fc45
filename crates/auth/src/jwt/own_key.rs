//! A private key of a database itself, which signs its functions' JWTs (FUN-53): P-256, as ES256 wants it.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use p256::{
    SecretKey,
    ecdsa::{Signature, SigningKey as EcdsaKey, signature::Signer as _},
};
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use super::JWT_MAX_BYTES;

/// Length of the secret number.
pub const OWN_KEY_BYTES: usize = 32;

/// Why something is no private key. Never shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OwnKeyError {
    /// Not a JWK of the right type.
    #[error("jwk must be a private JSON Web Key with kty EC, crv P-256 and the members d, x and y")]
    NotPrivate,
    /// `x` and `y` belong to another key, or `d` is out of range.
    #[error("jwk is damaged: d, x and y do not belong together")]
    Mismatch,
}

/// Why a token cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// Claims are an object.
    #[error("claims must be an object")]
    NoObject,
    /// Nobody would take it.
    #[error("the token would be longer than 8192 bytes: sign fewer claims")]
    TooLong,
}

/// A private P-256 key. It is wiped when dropped, and never printed.
pub struct OwnKey(EcdsaKey);

impl std::fmt::Debug for OwnKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OwnKey")
    }
}

impl OwnKey {
    /// The key of this secret number. `None`: it is none, which random bytes meet once in 2³² times; draw again.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let secret = SecretKey::from_slice(bytes).ok().filter(|_| bytes.len() == OWN_KEY_BYTES)?;
        Some(Self(EcdsaKey::from(secret)))
    }

    /// Its secret number.
    #[must_use]
    pub fn bytes(&self) -> Zeroizing<[u8; OWN_KEY_BYTES]> {
        Zeroizing::new(self.0.to_bytes().into())
    }

    /// Reads a private JWK (RFC 7518, 6.2.2).
    ///
    /// # Errors
    /// When it is no private P-256 key.
    pub fn from_jwk(jwk: &Value) -> Result<Self, OwnKeyError> {
        let text = |name: &str| jwk.get(name).and_then(Value::as_str);
        let number = |name: &str| {
            let bytes = URL_SAFE_NO_PAD.decode(text(name)?.trim_end_matches('=')).ok()?;
            Some(Zeroizing::new(bytes))
        };
        if text("kty") != Some("EC") || text("crv") != Some("P-256") {
            return Err(OwnKeyError::NotPrivate);
        }
        let (Some(d), Some(x), Some(y)) = (number("d"), number("x"), number("y")) else {
            return Err(OwnKeyError::NotPrivate);
        };
        let key = Self::from_bytes(&d).ok_or(OwnKeyError::Mismatch)?;
        let (own_x, own_y) = key.point();
        if (own_x.as_slice(), own_y.as_slice()) == (x.as_slice(), y.as_slice()) {
            Ok(key)
        } else {
            Err(OwnKeyError::Mismatch)
        }
    }

    fn point(&self) -> (Vec<u8>, Vec<u8>) {
        let point = self.0.verifying_key().to_encoded_point(false);
        let coordinate = |bytes: Option<&p256::FieldBytes>| bytes.map(|bytes| bytes.to_vec());
        let both = coordinate(point.x()).zip(coordinate(point.y()));
        both.expect("BUG: a public key is a point, uncompressed as asked")
    }

    /// Its public half, called `kid`.
    #[must_use]
    pub fn public_jwk(&self, kid: &str) -> Value {
        let (x, y) = self.point();
        let [x, y] = [x, y].map(|number| URL_SAFE_NO_PAD.encode(number));
        json!({"kty": "EC", "crv": "P-256", "x": x, "y": y, "kid": kid, "alg": "ES256", "use": "sig"})
    }

    /// A token with these claims, a JSON object; `iss`, `iat` and `exp` are the hub's, whatever the claims say.
    ///
    /// # Errors
    /// Claims that are no object, or too many of them.
    pub fn sign(
        &self,
        kid: &str,
        claims: &str,
        issuer: &str,
        (issued_unix, expires_unix): (i64, i64),
    ) -> Result<String, SignError> {
        let mut claims: Map<String, Value> = serde_json::from_str(claims).map_err(|_| SignError::NoObject)?;
        claims.insert("iss".to_owned(), issuer.into());
        claims.insert("iat".to_owned(), issued_unix.into());
        claims.insert("exp".to_owned(), expires_unix.into());
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(&json!({"alg": "ES256", "kid": kid})), part(&claims.into()));
        let signature: Signature = self.0.sign(signed.as_bytes());
        let token = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.to_bytes()));
        if token.len() > JWT_MAX_BYTES { Err(SignError::TooLong) } else { Ok(token) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jwt::{JwtError, JwtSettings, KeySet, UnverifiedJwt, claims_text};

    const ISSUER: &str = "https://hub.example/v1/databases/db_1";

    fn key(byte: u8) -> OwnKey {
        OwnKey::from_bytes(&[byte; 32]).unwrap()
    }

    fn settings(keys: &[(&str, &OwnKey)]) -> (JwtSettings, KeySet) {
        let set = || {
            let keys: Vec<_> = keys.iter().map(|(kid, key)| key.public_jwk(kid)).collect();
            KeySet::parse(json!({ "keys": keys }).to_string().as_bytes()).unwrap()
        };
        (JwtSettings::of_own_keys(set(), ISSUER.to_owned()), set())
    }

    // Verifies: FUN-50, FUN-53
    #[test]
    fn a_token_that_a_database_signed_is_its_own() {
        let own = key(1);
        let claims = r#"{"sub":"ada","role":"admin","iss":"x","exp":1}"#;
        let token = own.sign("fk_1", claims, ISSUER, (100, 200)).unwrap();
        let (settings, keys) = settings(&[("fk_1", &own)]);
        let jwt = UnverifiedJwt::parse(&token).unwrap();
        let verified = jwt.verify(&keys, &settings).unwrap();
        assert_eq!((&*verified.subject, verified.expires_unix), ("ada", 200));
        let text = claims_text(&token).unwrap();
        let shown: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(shown, json!({"sub": "ada", "role": "admin", "iss": ISSUER, "iat": 100, "exp": 200}));
        assert!(verified.check_times(&settings, 204).is_ok(), "5 s of leeway");
        assert_eq!(verified.check_times(&settings, 205), Err(JwtError::Expired));
        assert_eq!(own.sign("fk_1", "[]", ISSUER, (1, 2)), Err(SignError::NoObject));
        let long = json!({"a": "x".repeat(8000)}).to_string();
        assert_eq!(own.sign("fk_1", &long, ISSUER, (1, 2)), Err(SignError::TooLong));
    }

    // Verifies: FUN-50, FUN-53
    #[test]
    fn foreign_issuers_and_keys_are_refused_and_a_missing_issuer_or_sub_is_not() {
        let (own, other) = (key(1), key(2));
        let (settings, keys) = settings(&[("fk_1", &own)]);
        let verify = |token: &str| UnverifiedJwt::parse(token).unwrap().verify(&keys, &settings);
        let foreign = own.sign("fk_1", "{}", "https://hub.example/v1/databases/db_2", (1, 2)).unwrap();
        assert_eq!(verify(&foreign), Err(JwtError::Issuer));
        let forged = other.sign("fk_1", "{}", ISSUER, (1, 2)).unwrap();
        assert_eq!(verify(&forged), Err(JwtError::Signature));
        let unknown = other.sign("fk_2", "{}", ISSUER, (1, 2)).unwrap();
        assert_eq!(verify(&unknown), Err(JwtError::UnknownKey));
        let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let raw = |claims: Value| {
            let signed = format!("{}.{}", part(json!({"alg": "ES256", "kid": "fk_1"})), part(claims));
            let signature: Signature = own.0.sign(signed.as_bytes());
            format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.to_bytes()))
        };
        let (bare, again) =
            (verify(&raw(json!({"exp": 9}))).unwrap(), verify(&raw(json!({"exp": 10}))).unwrap());
        assert!(bare.subject.len() > 16 && bare.subject != again.subject, "told apart by their claims");
        assert_eq!(verify(&raw(json!({"sub": "ada"}))), Err(JwtError::NoExpiry));
    }

    // Verifies: FUN-54
    #[test]
    fn a_private_jwk_is_read_and_anything_else_refused() {
        let own = key(3);
        let mut jwk = own.public_jwk("edgepod-local-key");
        assert_eq!(OwnKey::from_jwk(&jwk).unwrap_err(), OwnKeyError::NotPrivate);
        jwk["d"] = URL_SAFE_NO_PAD.encode([3; 32]).into();
        assert_eq!(OwnKey::from_jwk(&jwk).unwrap().bytes(), own.bytes());
        jwk["x"] = URL_SAFE_NO_PAD.encode([3; 32]).into();
        assert_eq!(OwnKey::from_jwk(&jwk).unwrap_err(), OwnKeyError::Mismatch);
        jwk["kty"] = "RSA".into();
        assert_eq!(OwnKey::from_jwk(&jwk).unwrap_err(), OwnKeyError::NotPrivate);
        assert!(OwnKey::from_bytes(&[0; 32]).is_none() && OwnKey::from_bytes(&[1; 31]).is_none());
        assert_eq!(format!("{own:?}"), "OwnKey");
    }
}
