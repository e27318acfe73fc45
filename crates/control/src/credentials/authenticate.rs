//! Who uses a data endpoint, whatever the kind of credential (control.md, 2.5). One entry for every model.

use std::sync::Arc;

use ferry_auth::{
    AuthContext, FunctionAuth, Grant, JwtTrust, Purpose, TokenError, TokenHolder, Verified,
    jwt::UnverifiedJwt,
};
use ferry_types::{DatabaseId, Error, ModelSet, Reason, Result, UserId};
use http::HeaderMap;

use crate::{
    caller::{Access, Caller, SESSION_REQUIRED, database_not_found},
    control_db::ControlDb,
    credentials::{
        api_keys::usage::ApiKeys,
        bearer::bearer,
        carried::{ClientInfo, Credentials},
        jwt::{JwtRefusal, Jwts},
        macaroons,
        macaroons::Macaroons,
        operator_token::{OPERATOR_PREFIX, OperatorToken},
        recheck::not_operating,
        session::verify_session,
        throttling::{Limiter, ThrottleKey},
        watch::check_holder,
    },
    origin::{ClientIp, OperatingUser, Origin},
};

/// `{db}` of a path that leaves the database to the credential.
pub(crate) const ANY_DATABASE: &str = "-";

/// What a bearer is, told by its form.
pub(super) enum Bearer<'c> {
    SecretKey(&'c str),
    Operator(&'c str),
    Jwt(&'c str),
    Macaroon(&'c str),
}

/// Tells who calls, whatever the call carries.
pub struct Authenticator {
    pub(crate) db: Arc<ControlDb>,
    pub(crate) macaroons: Macaroons,
    pub(crate) api_keys: ApiKeys,
    pub(crate) jwts: Jwts,
    pub(crate) operator: OperatorToken,
    pub(crate) rates: Arc<Limiter>,
    /// What callers without a credential reach; `None`: they are not let in.
    pub(crate) anonymous: Option<ModelSet>,
}

impl Authenticator {
    /// The session that a request carries.
    ///
    /// # Errors
    /// `session token required` when it is missing, bad, expired or revoked; permission denied for a token of
    /// another purpose, from a forbidden address, or too narrow for the RPC; `EMAIL_UNVERIFIED`; rate limit.
    pub fn session(&self, headers: &HeaderMap, ip: ClientIp, access: Access) -> Result<Caller> {
        let caller = self.unproven_session(headers, ip, access)?;
        self.db.directory().refuse_unverified(caller.user_id)?;
        Ok(caller)
    }

    /// The same, also of an account whose address is to be proven first (OPR-93): for what such a one may do.
    ///
    /// # Errors
    /// As [`Self::session`].
    pub fn unproven_session(&self, headers: &HeaderMap, ip: ClientIp, access: Access) -> Result<Caller> {
        let _traced = ferry_trace::span("auth");
        let outcome = verify_session(&self.macaroons, &self.db, &self.rates, headers, ip, access);
        let result = outcome.as_ref().map_or_else(|error| error.reason.as_str(), |_| "OK");
        metrics::counter!("ferry_auth_verifications_total", "kind" => "session", "result" => result)
            .increment(1);
        outcome
    }

    /// The rights of the sync token or secret API key in the `Authorization` header, for endpoints that take nothing
    /// else.
    ///
    /// # Errors
    /// 401 `missing bearer token` or `invalid sync token: <reason>`; 403 for a session token or a forbidden
    /// address; 404 `database not found`.
    pub fn sync_bearer(&self, headers: &HeaderMap, client_ip: ClientIp) -> Result<AuthContext> {
        let _traced = ferry_trace::span("auth");
        let outcome = self.verify_sync(headers, client_ip);
        let result = outcome.as_ref().map_or_else(|error| error.reason.as_str(), |_| "OK");
        metrics::counter!("ferry_auth_verifications_total", "kind" => "token", "result" => result)
            .increment(1);
        outcome
    }

    fn verify_sync(&self, headers: &HeaderMap, client_ip: ClientIp) -> Result<AuthContext> {
        let text =
            bearer(headers)?.ok_or_else(|| Error::new(Reason::Unauthenticated, "missing bearer token"))?;
        if self.api_keys.is_secret(text) {
            let client = ClientInfo::of(client_ip, headers);
            return Ok(AuthContext::of_key(self.api_keys.rights(text, &client)?));
        }
        let opened = self.macaroons.open(text).map_err(macaroons::refusal)?;
        self.macaroons.of_sync_token(&opened, client_ip)
    }

    /// Whose session that stands, or whose operator's token, the head of a request carries: before its body is read.
    pub fn sender(&self, headers: &HeaderMap) -> Option<Arc<str>> {
        if self.is_operator(headers) {
            return Some("operator".into());
        }
        let token = self.macaroons.open(bearer(headers).ok()??).ok()?;
        token.check(Purpose::Session, self.db.now().as_secs()).ok()?;
        Some(token.claims.user_id.to_string().into())
    }

    /// Refuses a request that does not carry the operator token.
    ///
    /// # Errors
    /// Unauthenticated; rate limit of those who guess.
    pub fn operator(&self, headers: &HeaderMap, origin: &Origin) -> Result<()> {
        if self.is_operator(headers) {
            return Ok(());
        }
        self.rates.charge(ThrottleKey::Public(origin.ip.into()), self.db.now())?;
        let message = "operator token required: it lies in the hub's data directory, in operator.token";
        Err(Error::new(Reason::Unauthenticated, message))
    }

    /// The user whose session a request carries, if that user may operate the hub now.
    ///
    /// # Errors
    /// As of [`Self::session`]; permission denied.
    pub fn operating_user(&self, headers: &HeaderMap, ip: ClientIp) -> Result<OperatingUser> {
        let Caller { user_id, session_id, user_epoch, .. } = self.session(headers, ip, Access::Full)?;
        if self.db.directory().user(user_id).is_some_and(|user| user.operator) {
            return Ok(OperatingUser { user_id, session_id, user_epoch });
        }
        Err(not_operating())
    }

    /// Whether the request carries the operator token.
    #[must_use]
    pub fn is_operator(&self, headers: &HeaderMap) -> bool {
        self.operator.is_in(headers)
    }

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
        let traced = ferry_trace::span("auth");
        let outcome = traced.scope(self.verify(credentials, client, route)).await;
        let (kind, result) = match &outcome {
            Ok(auth) => (auth.principal.kind().as_str(), "OK"),
            Err(error) => ("refused", error.reason.as_str()),
        };
        metrics::counter!("ferry_auth_verifications_total", "kind" => kind, "result" => result).increment(1);
        outcome
    }

    /// Of which database a sync token of this hub was and whose, though it lets nobody in any more; `None` for what this hub did
    /// not make. Only for people who look why a client does not get on: it proves no right.
    #[must_use]
    pub fn holder_of_ended(&self, credentials: &Credentials<'_>) -> Option<(DatabaseId, UserId)> {
        let Bearer::Macaroon(token) = self.classify(credentials.bearer().ok()??) else { return None };
        let claims = &self.macaroons.open(token).ok()?.claims;
        match claims.grant {
            Grant::Sync { database_id, .. } => Some((database_id, claims.user_id)),
            Grant::Session => None,
        }
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
            (None, Some(key)) => AuthContext::of_key(self.api_keys.rights(key, client)?),
            (Some(bearer), None) => self.of_bearer(bearer, client, route).await?,
            (Some(bearer), Some(key)) => {
                let key = self.api_keys.rights(key, client)?;
                let principal = self.of_bearer(bearer, client, route).await?;
                principal.beside_key(key).ok_or_else(database_not_found)?
            }
        };
        match route {
            Some(name) if !self.db.directory().is_called(auth.database_id, name) => Err(database_not_found()),
            _ => Ok(auth),
        }
    }

    pub(super) async fn of_bearer(
        &self,
        bearer: &str,
        client: &ClientInfo<'_>,
        route: Option<&str>,
    ) -> Result<AuthContext> {
        match self.classify(bearer) {
            Bearer::SecretKey(key) => Ok(AuthContext::of_key(self.api_keys.rights(key, client)?)),
            Bearer::Operator(token) if self.operator.is(token) => {
                let message = "the operator token opens no database: issue a sync token and use that";
                Err(Error::new(Reason::WrongPurpose, message))
            }
            Bearer::Operator(_) => Err(Error::new(Reason::Unauthenticated, "invalid operator token")),
            Bearer::Jwt(token) => Ok(self.of_jwt(token, route).await?),
            Bearer::Macaroon(token) => {
                let opened = self.macaroons.open(token).map_err(macaroons::refusal)?;
                match opened.claims.purpose() {
                    Purpose::Session => self.of_session(&opened, client, route),
                    Purpose::Sync => self.macaroons.of_sync_token(&opened, client.ip),
                }
            }
        }
    }

    /// A JWT by the keys of the database that issued it, if that one signs for its users and no JWT settings ask for the
    /// issuer; else by JWT settings.
    async fn of_jwt(&self, token: &str, route: Option<&str>) -> Result<AuthContext, JwtRefusal> {
        let Some(id) = self.signed_by_database(token, route) else {
            return self.jwts.context(token, route).await;
        };
        self.jwts.context_of(JwtTrust::OwnKeys, token, Some(&id.to_string())).await
    }

    fn signed_by_database(&self, token: &str, route: Option<&str>) -> Option<DatabaseId> {
        let jwt = UnverifiedJwt::parse(token).ok()?;
        let directory = self.db.directory();
        let id = directory.functions().issued_by(jwt.issuer()?)?;
        let is_asked_for = directory.jwt().only_match(&jwt).is_some();
        let is_meant = route.is_none_or(|name| directory.is_called(id, name));
        (is_meant && !is_asked_for && directory.function_auth(id) == FunctionAuth::Local).then_some(id)
    }

    /// A token that was checked a moment ago is known; everything else is told by its form.
    pub(super) fn classify<'c>(&self, bearer: &'c str) -> Bearer<'c> {
        if self.macaroons.known(bearer).is_some() {
            return Bearer::Macaroon(bearer);
        }
        if self.api_keys.is_secret(bearer) {
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
        session.check(Purpose::Session, self.db.now().as_secs()).map_err(|error| match error {
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
        directory.refuse_unverified(own.user_id)?;
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

    /// The caller without any credential: let in by `--dev` or to a store of this machine, and only to the default
    /// database.
    fn anonymous(&self, route: Option<&str>) -> Result<AuthContext> {
        let open = self.anonymous.and_then(|models| Some((self.db.directory().default_database()?, models)));
        open.filter(|(id, _)| route.is_none_or(|name| self.db.directory().is_called(*id, name)))
            .map(|(id, models)| AuthContext {
                by_default: route.is_none(),
                models,
                ..AuthContext::anonymous(id)
            })
            .ok_or_else(|| {
                let message = "missing credential: send a sync token, a JWT or an API key of the database";
                Error::new(Reason::Unauthenticated, message)
            })
    }
}
