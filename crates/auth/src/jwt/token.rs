//! One token: read it, find its key, check its signature, then what it claims (JWT-01…03).

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, MapAccess, Visitor},
};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::{JWT_MAX_BYTES, JwtAlgorithm, JwtError, JwtSettings, KeySet, KeyStanding, StoreScope};

/// Longest `sub` (JWT-03), bytes.
const SUBJECT_MAX_BYTES: usize = 256;

/// What stands in a part of a token. A name that stands there twice makes it malformed: readers of the first would
/// see another value than readers of the last.
struct Members(Map<String, Value>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Once;
        impl<'de> Visitor<'de> for Once {
            type Value = Members;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object whose names are unique")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Members, A::Error> {
                let mut members = Map::new();
                while let Some((name, value)) = access.next_entry()? {
                    if members.insert(name, value).is_some() {
                        return Err(serde::de::Error::custom("a name stands twice"));
                    }
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Once)
    }
}

impl Members {
    /// The member called `name`, read by `read`; `null` is none. What it cannot read is named.
    fn take<T>(
        &mut self,
        name: &'static str,
        what: &'static str,
        read: impl Fn(Value) -> Option<T>,
    ) -> Result<Option<T>, JwtError> {
        match self.0.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => read(value).map(Some).ok_or(JwtError::Type(name, what)),
        }
    }

    fn text(&mut self, name: &'static str) -> Result<Option<String>, JwtError> {
        self.take(name, "a string", string)
    }

    /// Seconds since 1970, with a fraction if the issuer likes (RFC 7519, 2).
    fn date(&mut self, name: &'static str) -> Result<Option<i64>, JwtError> {
        // Saturates; JSON knows no NaN.
        let secs = |value: Value| value.as_i64().or_else(|| Some(value.as_f64()?.floor() as i64));
        self.take(name, "a number", secs)
    }

    /// One string, or a list of them.
    fn texts(&mut self, name: &'static str) -> Result<Vec<String>, JwtError> {
        let read = |value: Value| match value {
            Value::String(one) => Some(vec![one]),
            Value::Array(many) => many.into_iter().map(string).collect(),
            _ => None,
        };
        self.take(name, "a string or a list of strings", read).map(Option::unwrap_or_default)
    }
}

fn string(value: Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text),
        _ => None,
    }
}

struct Payload {
    iss: Option<String>,
    sub: Option<String>,
    aud: Vec<String>,
    exp: Option<i64>,
    nbf: Option<i64>,
    iat: Option<i64>,
}

impl Payload {
    fn read(text: &str) -> Result<Self, JwtError> {
        let mut members: Members = part(text)?;
        Ok(Self {
            iss: members.text("iss")?,
            sub: members.text("sub")?,
            aud: members.texts("aud")?,
            exp: members.date("exp")?,
            nbf: members.date("nbf")?,
            iat: members.date("iat")?,
        })
    }
}

/// A token that nobody has checked yet. What it says serves to find the keys that could prove it.
pub struct UnverifiedJwt<'t> {
    algorithm: JwtAlgorithm,
    kid: Option<String>,
    payload: Payload,
    signed: &'t str,
    signature: &'t str,
}

/// What a token claims that a key of its issuer signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JwtClaims {
    /// `iss`; empty if the token has none, which only settings without an issuer allow.
    pub issuer: Arc<str>,
    /// `sub`.
    pub subject: Arc<str>,
    /// `exp`, Unix seconds.
    pub expires_unix: i64,
    /// `nbf`, Unix seconds.
    pub not_before_unix: Option<i64>,
    /// `iat`, Unix seconds.
    pub issued_unix: Option<i64>,
    /// Whether the key that signed is still published.
    pub key: KeyStanding,
}

impl<'t> UnverifiedJwt<'t> {
    /// Reads a token in compact form.
    ///
    /// # Errors
    /// When it is too long, malformed, demands extensions, or is signed with an algorithm that none may use.
    pub fn parse(token: &'t str) -> Result<Self, JwtError> {
        if token.len() > JWT_MAX_BYTES {
            return Err(JwtError::TooLong);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(JwtError::Malformed)?;
        let (header, payload) = signed.split_once('.').ok_or(JwtError::Malformed)?;
        let mut header: Members = part(header)?;
        let algorithm = header.text("alg")?.ok_or(JwtError::Malformed)?;
        let algorithm = JwtAlgorithm::named(&algorithm).ok_or(JwtError::Algorithm)?;
        if header.0.get("crit").is_some_and(|crit| !crit.is_null()) {
            return Err(JwtError::Critical);
        }
        let (kid, payload) = (header.text("kid")?, Payload::read(payload)?);
        Ok(Self { algorithm, kid, payload, signed, signature })
    }

    /// `iss` as claimed.
    #[must_use]
    pub fn issuer(&self) -> Option<&str> {
        self.payload.iss.as_deref()
    }

    /// Whether the settings ask for what it claims in `iss` and `aud`.
    #[must_use]
    pub fn is_meant_for(&self, settings: &JwtSettings) -> bool {
        settings.accepts_issuer(self.issuer()) && self.has_audience(settings)
    }

    fn has_audience(&self, settings: &JwtSettings) -> bool {
        settings.accepts_audiences(&self.payload.aud)
    }

    /// Which event stores the claim called `claim` says that it opens; valid once the token is verified.
    ///
    /// # Errors
    /// Never for a token that was parsed.
    pub fn store_scope(&self, claim: &Arc<str>) -> Result<StoreScope, JwtError> {
        let (_, payload) = self.signed.split_once('.').ok_or(JwtError::Malformed)?;
        Ok(StoreScope::of(&part(payload)?, claim))
    }

    /// Tells tokens apart that name no subject.
    fn claims_digest(&self) -> String {
        let claims = self.signed.split_once('.').map_or("", |(_, payload)| payload);
        format!("claims:{}", hex::encode(Sha256::digest(claims)))
    }

    /// Whether another set might prove it: this one has no key that fits.
    #[must_use]
    pub fn lacks_key(&self, keys: &KeySet) -> bool {
        keys.find(self.kid.as_deref(), self.algorithm).err() == Some(JwtError::UnknownKey)
    }

    /// Finds the key that signed.
    fn check_signature(&self, keys: &KeySet) -> Result<KeyStanding, JwtError> {
        let key = keys.find(self.kid.as_deref(), self.algorithm)?;
        let signed = self.signed.as_bytes();
        match jsonwebtoken::crypto::verify(self.signature, signed, &key.key, self.algorithm.backend()) {
            Ok(true) => Ok(key.standing.clone()),
            Ok(false) | Err(_) => Err(JwtError::Signature),
        }
    }

    /// Checks everything but times, which [`JwtClaims::check_times`] does at each use.
    ///
    /// # Errors
    /// The first check that failed.
    pub fn verify(&self, keys: &KeySet, settings: &JwtSettings) -> Result<JwtClaims, JwtError> {
        if !settings.accepts_algorithm(self.algorithm) {
            return Err(JwtError::Algorithm);
        }
        let key = self.check_signature(keys)?;
        if !settings.accepts_issuer(self.issuer()) {
            return Err(JwtError::Issuer);
        }
        if !self.has_audience(settings) {
            return Err(JwtError::Audience);
        }
        let subject: Arc<str> = match self.payload.sub.as_deref() {
            None if !settings.needs_subject() => self.claims_digest().into(),
            subject => subject.unwrap_or_default().into(),
        };
        if !(1..=SUBJECT_MAX_BYTES).contains(&subject.len()) {
            return Err(JwtError::Subject);
        }
        Ok(JwtClaims {
            issuer: self.issuer().unwrap_or_default().into(),
            subject,
            expires_unix: self.payload.exp.ok_or(JwtError::NoExpiry)?,
            not_before_unix: self.payload.nbf,
            issued_unix: self.payload.iat,
            key,
        })
    }
}

/// The claims of a token that a key of the set signed with `algorithm`. What they say is the caller's to check.
///
/// # Errors
/// The first check that failed.
pub(crate) fn signed_claims<T: DeserializeOwned>(
    token: &str,
    keys: &KeySet,
    algorithm: JwtAlgorithm,
) -> Result<T, JwtError> {
    let unverified = UnverifiedJwt::parse(token)?;
    if unverified.algorithm != algorithm {
        return Err(JwtError::Algorithm);
    }
    unverified.check_signature(keys)?;
    let (_, payload) = unverified.signed.split_once('.').ok_or(JwtError::Malformed)?;
    part(payload)
}

/// The claims of a token as its issuer wrote them, JSON. Nothing is checked: ask for them once the token is verified.
#[must_use]
pub fn claims_text(token: &str) -> Option<String> {
    let (_, payload) = token.rsplit_once('.')?.0.split_once('.')?;
    String::from_utf8(URL_SAFE_NO_PAD.decode(payload).ok()?).ok()
}

fn part<T: DeserializeOwned>(text: &str) -> Result<T, JwtError> {
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| JwtError::Malformed)?;
    serde_json::from_slice(&bytes).map_err(|_| JwtError::Malformed)
}

impl JwtClaims {
    /// Whether the token may be used now.
    ///
    /// # Errors
    /// Expired, not valid yet, or older than the settings allow.
    pub fn check_times(&self, settings: &JwtSettings, now_unix: i64) -> Result<(), JwtError> {
        if self.deadline_unix(settings) <= now_unix {
            return Err(JwtError::Expired);
        }
        let soon = now_unix.saturating_add(settings.leeway_seconds);
        if self.not_before_unix.is_some_and(|nbf| nbf > soon) {
            return Err(JwtError::NotYet);
        }
        let oldest = |max_age: i64| now_unix.saturating_sub(max_age.saturating_add(settings.leeway_seconds));
        let is_too_old = |max_age| self.issued_unix.is_none_or(|iat| iat < oldest(max_age));
        if settings.max_age_seconds.is_some_and(is_too_old) {
            return Err(JwtError::TooOld);
        }
        Ok(())
    }

    /// The token expires at this Unix second: `exp` and the settings' leeway.
    #[must_use]
    pub const fn deadline_unix(&self, settings: &JwtSettings) -> i64 {
        self.expires_unix.saturating_add(settings.leeway_seconds)
    }
}
