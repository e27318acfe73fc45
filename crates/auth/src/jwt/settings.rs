//! What a database demands of JWTs, and what it grants them (JWT-03, JWT-08).

use std::{str::FromStr, sync::Arc};

use ferry_types::{Model, ModelSet, Op, OpSet, limits::JWKS_MAX_BYTES};
use serde::{Deserialize, Serialize};

use super::{JwtAlgorithm, KeySet};

/// Leeway where none is given, seconds.
const LEEWAY_DEFAULT_SECONDS: i64 = 5;
/// Largest leeway, seconds.
const LEEWAY_MAX_SECONDS: i64 = 300;
/// Audiences of one database.
const AUDIENCES_MAX: usize = 16;
/// Longest issuer or audience, bytes.
const NAME_MAX_BYTES: usize = 512;
/// Accepts every issuer, or every audience.
const ANY: &str = "*";

/// A setting that is wrong; the text names it and says what it takes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadSetting(&'static str);

/// The settings as they travel and are stored: `JwtSettings` of `ferry.admin.v1`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct JwtSettingsText {
    /// Where the issuer publishes its keys.
    pub jwks_url: String,
    /// The keys themselves, in place of a URL.
    pub jwks_json: String,
    /// `iss` that tokens must have; `*`: any.
    pub issuer: String,
    /// Values of `aud` of which tokens must have one; `*`: any or none.
    pub audiences: Vec<String>,
    /// Of `EdDSA`, `ES256`, `RS256`; empty: all.
    pub algorithms: Vec<String>,
    /// Seconds of grace on `exp` and `nbf`; 0: 5.
    pub leeway_seconds: i64,
    /// Largest age since `iat`, seconds; 0: any.
    pub max_age_seconds: i64,
    /// Models that tokens reach; empty: records, events, ops, functions.
    pub models: Vec<String>,
    /// What tokens may do, of `read`, `write`; empty: both.
    pub ops: Vec<String>,
}

/// Where the keys come from.
#[derive(Debug)]
pub enum KeySource {
    /// They are fetched.
    Url(Box<str>),
    /// They stand in the settings.
    Inline(Arc<KeySet>),
}

/// The validated settings.
#[derive(Debug)]
pub struct JwtSettings {
    /// Where the keys come from.
    pub keys: KeySource,
    /// `None`: any.
    issuer: Option<Box<str>>,
    /// `None`: any.
    audiences: Option<Box<[Box<str>]>>,
    algorithms: Box<[JwtAlgorithm]>,
    /// Whether the keys are the database's own (FUN-50): its tokens may lack `iss` and `sub`.
    is_own: bool,
    /// Grace on `exp` and `nbf`.
    pub leeway_seconds: i64,
    /// Largest age since `iat`.
    pub max_age_seconds: Option<i64>,
    /// Models that tokens reach.
    pub models: ModelSet,
    /// What tokens may do.
    pub ops: OpSet,
}

impl JwtSettings {
    /// The issuer that tokens must name; `None`: any.
    #[must_use]
    pub fn issuer(&self) -> Option<&str> {
        self.issuer.as_deref()
    }

    /// What a database that signs with `keys` demands of its tokens. They reach its functions (FUN-50), and its records,
    /// where each user's are apart; not what users share with each other.
    #[must_use]
    pub fn of_own_keys(keys: KeySet, issuer: String) -> Self {
        Self {
            keys: KeySource::Inline(Arc::new(keys)),
            issuer: Some(issuer.into()),
            audiences: None,
            algorithms: [JwtAlgorithm::Es256].into(),
            is_own: true,
            leeway_seconds: LEEWAY_DEFAULT_SECONDS,
            max_age_seconds: None,
            models: ModelSet::of(&[Model::Functions, Model::Records]),
            ops: OpSet::of(&[Op::Read, Op::Write]),
        }
    }

    pub(super) fn accepts_issuer(&self, issuer: Option<&str>) -> bool {
        self.issuer.is_none() || self.issuer.as_deref() == issuer || (self.is_own && issuer.is_none())
    }

    pub(super) const fn needs_subject(&self) -> bool {
        !self.is_own
    }

    pub(super) fn accepts_audiences(&self, given: &[String]) -> bool {
        let Some(wanted) = &self.audiences else { return true };
        given.iter().any(|audience| wanted.iter().any(|one| **one == **audience))
    }

    pub(super) fn accepts_algorithm(&self, algorithm: JwtAlgorithm) -> bool {
        self.algorithms.contains(&algorithm)
    }
}

impl TryFrom<&JwtSettingsText> for JwtSettings {
    type Error = BadSetting;

    fn try_from(text: &JwtSettingsText) -> Result<Self, BadSetting> {
        let models = words(&text.models)
            .ok_or(BadSetting("models must list pages, events, records, ops or functions once each"))?;
        let ops = words(&text.ops).ok_or(BadSetting("ops must list read or write once each"))?;
        if ops.contains(&Op::Admin) {
            return Err(BadSetting("ops must list read or write once each: a JWT never administers"));
        }
        Ok(Self {
            keys: keys(text)?,
            issuer: (name(&text.issuer, "issuer must be what tokens have in iss, or *")? != ANY)
                .then(|| text.issuer.as_str().into()),
            audiences: audiences(&text.audiences)?,
            algorithms: algorithms(&text.algorithms)?,
            is_own: false,
            leeway_seconds: match text.leeway_seconds {
                0 => LEEWAY_DEFAULT_SECONDS,
                seconds if (1..=LEEWAY_MAX_SECONDS).contains(&seconds) => seconds,
                _ => return Err(BadSetting("leeway_seconds must be from 1 to 300; 0 stands for 5")),
            },
            max_age_seconds: match text.max_age_seconds {
                0 => None,
                seconds if seconds > 0 => Some(seconds),
                _ => return Err(BadSetting("max_age_seconds must not be negative; 0 stands for any age")),
            },
            models: if models.is_empty() {
                ModelSet::of(&[Model::Records, Model::Events, Model::Ops, Model::Functions])
            } else {
                models.into_iter().collect()
            },
            ops: if ops.is_empty() { OpSet::of(&[Op::Read, Op::Write]) } else { ops.into_iter().collect() },
        })
    }
}

fn keys(text: &JwtSettingsText) -> Result<KeySource, BadSetting> {
    match (text.jwks_url.as_str(), text.jwks_json.as_str()) {
        ("", "") => Err(BadSetting("jwks_url or jwks_json must say which keys sign")),
        (url, "") => Ok(KeySource::Url(url.into())),
        ("", json) => {
            let bad = BadSetting(
                "jwks_json must be a JSON Web Key Set of at most 256 KiB with an Ed25519, P-256 or RSA key (2048 to 4096 bits)",
            );
            let set = KeySet::parse(json.as_bytes()).ok().filter(|set| !set.is_empty());
            let set = set.filter(|_| json.len() <= JWKS_MAX_BYTES);
            set.map(|set| KeySource::Inline(Arc::new(set))).ok_or(bad)
        }
        _ => Err(BadSetting("jwks_url and jwks_json exclude each other: give one")),
    }
}

fn name<'t>(text: &'t str, wrong: &'static str) -> Result<&'t str, BadSetting> {
    let fits = (1..=NAME_MAX_BYTES).contains(&text.len()) && !text.chars().any(char::is_control);
    fits.then_some(text).ok_or(BadSetting(wrong))
}

fn audiences(list: &[String]) -> Result<Option<Box<[Box<str>]>>, BadSetting> {
    let wrong = "audiences must list 1 to 16 values of aud, or * alone";
    for audience in list {
        name(audience, wrong)?;
    }
    let any = list.iter().any(|audience| audience == ANY);
    match list.len() {
        1 if any => Ok(None),
        1..=AUDIENCES_MAX if !any => Ok(Some(list.iter().map(|audience| audience.as_str().into()).collect())),
        _ => Err(BadSetting(wrong)),
    }
}

fn algorithms(list: &[String]) -> Result<Box<[JwtAlgorithm]>, BadSetting> {
    if list.is_empty() {
        return Ok(JwtAlgorithm::ALL.into());
    }
    let known = list.iter().map(|name| JwtAlgorithm::named(name));
    known.collect::<Option<_>>().ok_or(BadSetting("algorithms must list EdDSA, ES256 or RS256"))
}

/// Known words, none twice.
fn words<T: FromStr + PartialEq>(list: &[String]) -> Option<Vec<T>> {
    let mut items = Vec::new();
    for word in list {
        let item = word.parse().ok()?;
        if items.contains(&item) {
            return None;
        }
        items.push(item);
    }
    Some(items)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text() -> JwtSettingsText {
        JwtSettingsText {
            jwks_url: "https://id.example/jwks".into(),
            issuer: "https://id.example".into(),
            audiences: vec!["notes".into()],
            ..JwtSettingsText::default()
        }
    }

    // Verifies: JWT-03, JWT-08
    #[test]
    fn issuer_and_audiences_are_demanded_and_the_rest_has_defaults() {
        let settings = JwtSettings::try_from(&text()).unwrap();
        assert_eq!(settings.leeway_seconds, 5);
        assert_eq!(settings.models.to_string(), "events,records,ops,functions");
        assert_eq!(settings.ops.to_string(), "read,write");
        let any = JwtSettingsText { issuer: "*".into(), audiences: vec!["*".into()], ..text() };
        let any = JwtSettings::try_from(&any).unwrap();
        assert!(any.accepts_issuer(None) && any.accepts_audiences(&[]));
        let change: [fn(&mut JwtSettingsText); 16] = [
            |text| text.issuer.clear(),
            |text| text.issuer = "x".repeat(513),
            |text| text.issuer = "a\nb".into(),
            |text| text.audiences.clear(),
            |text| text.audiences = vec![String::new()],
            |text| text.audiences = vec!["*".into(), "notes".into()],
            |text| text.audiences = vec!["a".into(); 17],
            |text| text.algorithms = vec!["HS256".into()],
            |text| text.algorithms = vec!["none".into()],
            |text| text.leeway_seconds = 301,
            |text| text.leeway_seconds = -1,
            |text| text.max_age_seconds = -1,
            |text| text.models = vec!["blobs".into()],
            |text| text.ops = vec!["admin".into()],
            |text| text.jwks_url.clear(),
            |text| text.jwks_json = r#"{"keys":[]}"#.into(),
        ];
        for (index, change) in change.into_iter().enumerate() {
            let mut wrong = text();
            change(&mut wrong);
            assert!(JwtSettings::try_from(&wrong).is_err(), "{index}");
        }
        for bad in [r#"{"keys":[]}"#, "<html>", r#"{"keys":[{"kty":"oct","k":"AA"}]}"#] {
            let inline = JwtSettingsText { jwks_url: String::new(), jwks_json: bad.into(), ..text() };
            assert!(JwtSettings::try_from(&inline).is_err(), "{bad}");
        }
    }
}
