//! What the operator demands of JWTs for the default database (JWT-03, JWT-08).

use ferry_auth::jwt::{JwtSettings, JwtSettingsText};
use ferry_http_client::RemoteUrl;

use super::{ConfigError, Key, Values, keys::key};

/// Its settings.
pub(super) const KEYS: &[Key] = &[
    key("jwks_url", "URL", "Key set that proves JWTs for default_database")
        .or(&["JWKS_URL", "EDGEPOD_JWKS_URL"]),
    key("jwt_issuer", "ISS", "What JWTs for default_database must have in iss; *: any"),
    key("jwt_audience", "LIST", "Of these, JWTs for default_database must have one in aud; *: any"),
];

/// The operator's JWT settings, if `jwks_url` is set. What should be mended, but need not, goes to `warnings`.
///
/// # Errors
/// For a bad URL, and for Ferry's own setting without issuer and audience.
pub(super) fn settings(
    values: &Values,
    dev: bool,
    warnings: &mut Vec<String>,
) -> Result<Option<JwtSettingsText>, ConfigError> {
    let url = values
        .read("jwks_url", |text| RemoteUrl::secure(text).map(|url| url.to_string()).map_err(str::to_owned))?;
    let issuer = values.text("jwt_issuer").map(str::to_owned);
    let audiences = values.list("jwt_audience", |text| Ok(text.to_owned()))?;
    let Some(jwks_url) = url else {
        return match issuer.is_some() || !audiences.is_empty() {
            true => Err(ConfigError("jwt_issuer and jwt_audience belong to jwks_url: set it too".to_owned())),
            false => Ok(None),
        };
    };
    let source = values.source("jwks_url").unwrap_or_default();
    let is_legacy = super::find("jwks_url").is_some_and(|key| key.legacy.contains(&source));
    if values.text("default_database").is_none() && !dev {
        let problem = "applies to default_database, which is not set: set it to an id or name";
        if !is_legacy {
            return Err(ConfigError(format!("{source}: {problem}")));
        }
        warnings.push(format!("{source} {problem}"));
    }
    let is_bare = issuer.is_none() && audiences.is_empty();
    if is_bare && is_legacy {
        // What the systems did whose variable this is; said aloud.
        warnings.push(format!(
            "{source} is set without jwt_issuer and jwt_audience: JWTs of every issuer and audience are taken, if its keys signed them"
        ));
        let any = || "*".to_owned();
        return Ok(Some(JwtSettingsText {
            jwks_url,
            issuer: any(),
            audiences: vec![any()],
            ..Default::default()
        }));
    }
    let text =
        JwtSettingsText { jwks_url, issuer: issuer.unwrap_or_default(), audiences, ..Default::default() };
    match JwtSettings::try_from(&text) {
        Ok(_) => Ok(Some(text)),
        Err(error) => Err(ConfigError(format!("{source}: jwt_{error}"))),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::{Config, ConfigError, ServeArgs};

    fn load(pairs: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let environment: BTreeMap<_, _> =
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Config::load(&ServeArgs::default(), &environment)
    }

    // Verifies: JWT-03, JWT-08
    #[test]
    fn only_the_old_variables_may_stand_alone() {
        let url = "https://id.example/jwks";
        for old in ["JWKS_URL", "EDGEPOD_JWKS_URL"] {
            let jwt = load(&[(old, url), ("FERRY_DEFAULT_DATABASE", "main")]).unwrap().control.jwt.unwrap();
            assert_eq!((jwt.issuer.as_str(), jwt.audiences.as_slice()), ("*", &["*".to_owned()][..]));
            assert!(load(&[(old, url)]).unwrap().control.jwt.is_some(), "a warning is enough");
        }
        let whole = [
            ("FERRY_JWKS_URL", url),
            ("FERRY_JWT_ISSUER", "https://id.example"),
            ("FERRY_JWT_AUDIENCE", "a, b"),
            ("FERRY_DEFAULT_DATABASE", "main"),
        ];
        let jwt = load(&whole).unwrap().control.jwt.unwrap();
        assert_eq!((jwt.issuer.as_str(), jwt.audiences.len()), ("https://id.example", 2));
        for missing in 0..whole.len() {
            let mut rest = whole.to_vec();
            rest.remove(missing);
            assert!(load(&rest).is_err(), "without {}", whole[missing].0);
        }
        assert!(load(&[("JWKS_URL", "http://id.example/jwks")]).unwrap_err().0.contains("JWKS_URL"));
        assert!(load(&[]).unwrap().control.jwt.is_none());
    }
}
