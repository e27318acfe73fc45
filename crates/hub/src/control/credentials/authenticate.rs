//! Who uses a data endpoint, whatever the kind of credential (control.md, 2.5). One entry for every model.

use crate::control::{
    Control,
    credentials::{
        caller::{SESSION_REQUIRED, database_not_found},
        carried::{ClientInfo, Credentials},
        sync_tokens,
        watch::check_holder,
    },
};
use ferry_auth::{AuthContext, Purpose, TokenError, TokenHolder, Verified};
use ferry_types::{DatabaseId, Error, Reason, Result};

/// What an operator token begins with.
const OPERATOR_PREFIX: &str = "fop_";
/// `{db}` of a path that leaves the database to the credential.
pub(crate) const ANY_DATABASE: &str = "-";

/// What a bearer is, told by its form.
enum Bearer<'c> {
    SecretKey(&'c str),
    Operator(&'c str),
    Jwt(&'c str),
    Macaroon(&'c str),
}

impl Control {
    /// What the request may do with which database. `route` is the `{db}` of its path: an id, a name in the
    /// organisation of the credential's database, or `-`; `None` where the path names none.
    ///
    /// # Errors
    /// 401 for a missing, bad, expired or revoked credential; 403 for one of the wrong kind, from a forbidden
    /// address or Origin; 404 for a database that is not the credential's; 503 when the keys that would prove a
    /// JWT cannot be had now.
    pub async fn authenticate(
        &self,
        credentials: &Credentials<'_>,
        client: &ClientInfo<'_>,
        route: Option<&str>,
    ) -> Result<AuthContext> {
        let route = route.filter(|name| *name != ANY_DATABASE);
        let outcome = self.verify(credentials, client, route).await;
        let (kind, result) = match &outcome {
            Ok(auth) => (auth.principal.kind().as_str(), "OK"),
            Err(error) => ("refused", error.reason.as_str()),
        };
        metrics::counter!("ferry_auth_verifications_total", "kind" => kind, "result" => result).increment(1);
        outcome
    }

    async fn verify(
        &self,
        credentials: &Credentials<'_>,
        client: &ClientInfo<'_>,
        route: Option<&str>,
    ) -> Result<AuthContext> {
        let (bearer, key) = (credentials.bearer()?, credentials.key()?);
        let auth = match (bearer, key) {
            (None, None) => return self.anonymous(route),
            (None, Some(key)) => AuthContext::of_key(self.key_rights(key, client)?),
            (Some(bearer), None) => self.of_bearer(bearer, client, route).await?,
            (Some(bearer), Some(key)) => {
                let key = self.key_rights(key, client)?;
                let principal = self.of_bearer(bearer, client, route).await?;
                principal.beside_key(key).ok_or_else(database_not_found)?
            }
        };
        match route {
            Some(name) if !self.db.directory().is_called(auth.database_id, name) => Err(database_not_found()),
            _ => Ok(auth),
        }
    }

    async fn of_bearer(
        &self,
        bearer: &str,
        client: &ClientInfo<'_>,
        route: Option<&str>,
    ) -> Result<AuthContext> {
        match self.classify(bearer) {
            Bearer::SecretKey(key) => Ok(AuthContext::of_key(self.key_rights(key, client)?)),
            Bearer::Operator(token) if self.is_operator_token(token) => {
                let message = "the operator token opens no database: issue a sync token and use that";
                Err(Error::new(Reason::WrongPurpose, message))
            }
            Bearer::Operator(_) => Err(Error::new(Reason::Unauthenticated, "invalid operator token")),
            Bearer::Jwt(token) => Ok(self.of_jwt(token, route).await?),
            Bearer::Macaroon(token) => {
                let opened = self.open_token(token).map_err(sync_tokens::refusal)?;
                match opened.claims.purpose() {
                    Purpose::Session => self.of_session(&opened, client, route),
                    Purpose::Sync => self.of_sync_token(&opened, client.ip),
                }
            }
        }
    }

    /// A token that was checked a moment ago is known; everything else is told by its form.
    fn classify<'c>(&self, bearer: &'c str) -> Bearer<'c> {
        if self.known_token(bearer).is_some() {
            return Bearer::Macaroon(bearer);
        }
        if self.is_secret_key(bearer) {
            Bearer::SecretKey(bearer)
        } else if bearer.starts_with(OPERATOR_PREFIX) {
            Bearer::Operator(bearer)
        } else if bearer.bytes().filter(|byte| *byte == b'.').count() == 2 {
            Bearer::Jwt(bearer)
        } else {
            Bearer::Macaroon(bearer)
        }
    }

    /// A session at the admin API of the database that the path names, with the role it has now.
    fn of_session(
        &self,
        session: &Verified,
        client: &ClientInfo<'_>,
        route: Option<&str>,
    ) -> Result<AuthContext> {
        let dead = |reason| Error::new(reason, SESSION_REQUIRED);
        session.check(Purpose::Session, self.now().as_secs()).map_err(|error| match error {
            TokenError::Expired => dead(Reason::TokenExpired),
            _ => dead(Reason::Unauthenticated),
        })?;
        if !session.restrictions.allows_address(client.ip.0) {
            let message = "this session may not be used from your address (caveat ip)";
            return Err(Error::new(Reason::PermissionDenied, message));
        }
        let directory = self.db.directory();
        let own = TokenHolder::of(session, session.claims.org_id);
        if !check_holder(&own, &directory) || directory.session_is_revoked(own.session_id) {
            return Err(dead(Reason::TokenRevoked));
        }
        let name = route.ok_or_else(|| {
            let message = "a session opens no database of its own: name one in the path, or use a sync token";
            Error::new(Reason::WrongPurpose, message)
        })?;
        let entry = match name.parse::<DatabaseId>() {
            Ok(id) => directory.database(id),
            Err(_) => directory.database_named(session.claims.org_id, name),
        };
        let entry = entry.ok_or_else(database_not_found)?;
        let role = directory.role(own.user_id, entry.org_id).ok_or_else(database_not_found)?;
        AuthContext::of_session(session, entry.id, entry.org_id, role).ok_or_else(database_not_found)
    }

    /// The caller without any credential: let in by `--dev`, and only to the default database.
    fn anonymous(&self, route: Option<&str>) -> Result<AuthContext> {
        let open = if self.config.dev { self.db.directory().default_database() } else { None };
        open.filter(|id| route.is_none_or(|name| self.db.directory().is_called(*id, name)))
            .map(|id| AuthContext { by_default: route.is_none(), ..AuthContext::anonymous(id) })
            .ok_or_else(|| {
                let message = "missing credential: send a sync token, a JWT or an API key of the database";
                Error::new(Reason::Unauthenticated, message)
            })
    }
}
