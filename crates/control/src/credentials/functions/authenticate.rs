//! Who calls a function (FUN-50 to FUN-52). Beside what every model takes, a JWT counts by the mode of the database's
//! auth, and what is wrong is told apart: of the key, or of the bearer.

use std::sync::Arc;

use ferry_auth::{
    AuthContext, FunctionAuth, JwtTrust, KeyRights, Principal,
    api_key::KeyKind,
    jwt::{JwtError, UnverifiedJwt, claims_text},
};
use ferry_types::{DatabaseId, Error, Reason};
use serde_json::json;

use crate::{
    caller::database_not_found,
    credentials::{
        authenticate::{ANY_DATABASE, Authenticator, Bearer},
        carried::{ClientInfo, Credentials},
        jwt::JwtRefusal,
    },
};

/// A caller of functions.
#[derive(Clone, Debug)]
pub struct FunctionCredential {
    /// What it may do, with which database.
    pub auth: AuthContext,
    /// `ctx.user`: a JSON object, or nobody.
    pub claims: Option<Arc<str>>,
}

/// What is wrong with a bearer (FUN-51).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BearerFault {
    /// Its time is over.
    Expired,
    /// No key of its issuer signed it so.
    Signature,
    /// Anything else about it.
    Invalid,
    /// The database takes no JWTs.
    NoKeys,
}

impl BearerFault {
    /// What callers are told.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Expired => "Token expired",
            Self::Signature => "Invalid signature",
            Self::Invalid => "Invalid token",
            Self::NoKeys => "No JWKS URL or local JWKS configured",
        }
    }
}

/// Why a caller is not let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FunctionRefusal {
    /// There is no credential, or the API key is none.
    Key,
    /// The bearer is none.
    Bearer(BearerFault),
    /// Anything else: the credential is good, and not for this.
    Other(Error),
}

impl From<JwtError> for FunctionRefusal {
    fn from(error: JwtError) -> Self {
        Self::Bearer(match error {
            JwtError::Expired => BearerFault::Expired,
            JwtError::Signature => BearerFault::Signature,
            _ => BearerFault::Invalid,
        })
    }
}

impl From<JwtRefusal> for FunctionRefusal {
    fn from(refusal: JwtRefusal) -> Self {
        match refusal {
            JwtRefusal::Bad(error) => error.into(),
            JwtRefusal::NoKeys(no_keys) => {
                let error = Error::new(Reason::Unavailable, "cannot fetch JWKS.");
                Self::Other(error.retry_after_ms(no_keys.retry_after_ms))
            }
            JwtRefusal::Nowhere | JwtRefusal::NoDatabase => Self::Bearer(BearerFault::NoKeys),
            JwtRefusal::Revoked => Self::Bearer(BearerFault::Invalid),
        }
    }
}

/// Of a bearer that is no JWT.
fn of_bearer(error: Error) -> FunctionRefusal {
    match error.reason {
        Reason::TokenExpired => FunctionRefusal::Bearer(BearerFault::Expired),
        Reason::Unauthenticated | Reason::TokenRevoked => FunctionRefusal::Bearer(BearerFault::Invalid),
        _ => FunctionRefusal::Other(error),
    }
}

/// Of an API key.
fn of_key(error: Error) -> FunctionRefusal {
    match error.reason {
        Reason::TokenExpired | Reason::Unauthenticated => FunctionRefusal::Key,
        _ => FunctionRefusal::Other(error),
    }
}

impl Authenticator {
    /// Who calls functions of which database. `route` is the `{db}` of the path, as for
    /// [`authenticate`](Self::authenticate). There is no anonymous caller, with `--dev` neither (CFG-04).
    ///
    /// # Errors
    /// See [`FunctionRefusal`].
    pub async fn authenticate_function_caller(
        &self,
        credentials: &Credentials<'_>,
        client: &ClientInfo<'_>,
        route: Option<&str>,
    ) -> Result<FunctionCredential, FunctionRefusal> {
        let route = route.filter(|name| *name != ANY_DATABASE);
        let traced = ferry_trace::span("auth");
        let outcome = traced.scope(self.verify_function_caller(credentials, client, route)).await;
        let (kind, result) = match &outcome {
            Ok(caller) => (caller.auth.principal.kind().as_str(), "OK"),
            Err(FunctionRefusal::Other(error)) => ("refused", error.reason.as_str()),
            Err(_) => ("refused", Reason::Unauthenticated.as_str()),
        };
        metrics::counter!("ferry_auth_verifications_total", "kind" => kind, "result" => result).increment(1);
        outcome
    }

    async fn verify_function_caller(
        &self,
        credentials: &Credentials<'_>,
        client: &ClientInfo<'_>,
        route: Option<&str>,
    ) -> Result<FunctionCredential, FunctionRefusal> {
        let key = credentials.key().map_err(of_key)?;
        let key = key.map(|key| self.api_keys.rights(key, client)).transpose().map_err(of_key)?;
        let bearer = credentials.bearer().map_err(of_bearer)?;
        let (auth, claims) = match (bearer, key) {
            (None, None) => return Err(FunctionRefusal::Key),
            (None, Some(key)) => (AuthContext::of_key(key), None),
            (Some(bearer), key) => {
                let (auth, claims) = match self.classify(bearer) {
                    Bearer::Jwt(token) => {
                        let (auth, claims) = self.of_function_jwt(token, key.as_ref(), route).await?;
                        (auth, Some(claims))
                    }
                    _ => (self.of_bearer(bearer, client, route).await.map_err(of_bearer)?, None),
                };
                let foreign = || FunctionRefusal::Other(database_not_found());
                let auth = match key {
                    Some(key) => auth.beside_key(key).ok_or_else(foreign)?,
                    None => auth,
                };
                (auth, claims)
            }
        };
        if route.is_some_and(|name| !self.db.directory().is_called(auth.database_id, name)) {
            return Err(FunctionRefusal::Other(database_not_found()));
        }
        let claims = claims.or_else(|| self.claims_of(&auth.principal));
        Ok(FunctionCredential { auth, claims })
    }

    /// A JWT at the database that the key, the path, or else the token means.
    async fn of_function_jwt(
        &self,
        token: &str,
        key: Option<&KeyRights>,
        route: Option<&str>,
    ) -> Result<(AuthContext, Arc<str>), FunctionRefusal> {
        let id = match (key, route) {
            (Some(key), _) => key.database_id,
            (None, Some(name)) => {
                let named = self.db.directory().anonymously_named(name);
                named.ok_or_else(|| FunctionRefusal::Other(database_not_found()))?
            }
            (None, None) => self.meant_by(token)?,
        };
        self.function_jwt_at(id, token).await
    }

    /// A JWT by the mode of the database's auth, and its claims.
    pub(super) async fn function_jwt_at(
        &self,
        id: DatabaseId,
        token: &str,
    ) -> Result<(AuthContext, Arc<str>), FunctionRefusal> {
        let trust = match self.db.directory().function_auth(id) {
            FunctionAuth::None => return Err(FunctionRefusal::Bearer(BearerFault::NoKeys)),
            FunctionAuth::Remote => JwtTrust::Settings,
            FunctionAuth::Local => JwtTrust::OwnKeys,
        };
        let auth = self.jwts.context_of(trust, token, Some(&id.to_string())).await?;
        let claims = claims_text(token).ok_or(FunctionRefusal::Bearer(BearerFault::Invalid))?;
        Ok((auth, claims.into()))
    }

    /// The database that a JWT alone means: by its issuer, else the default one.
    fn meant_by(&self, token: &str) -> Result<DatabaseId, FunctionRefusal> {
        let jwt = UnverifiedJwt::parse(token)?;
        let directory = self.db.directory();
        let own = jwt.issuer().and_then(|issuer| directory.functions().issued_by(issuer));
        let meant = own.or_else(|| directory.jwt().only_match(&jwt)).or_else(|| directory.default_database());
        meant.ok_or(FunctionRefusal::Bearer(BearerFault::NoKeys))
    }

    /// Whom functions see behind a credential that makes no claims (FUN-52): the user of a token, a secret key itself. A
    /// publishable key is an app, and nobody.
    fn claims_of(&self, principal: &Principal) -> Option<Arc<str>> {
        let is_secret = |id| {
            let directory = self.db.directory();
            directory.api_keys().by_id(id).is_some_and(|entry| entry.kind == KeyKind::Secret)
        };
        let subject = match principal {
            Principal::SyncToken { holder, .. } | Principal::Session { holder, .. } => {
                holder.user_id.to_string()
            }
            Principal::ApiKey(id) if is_secret(*id) => id.to_string(),
            Principal::ApiKey(_) | Principal::Jwt(_) | Principal::Anonymous => return None,
        };
        Some(json!({ "sub": subject }).to_string().into())
    }
}
