//! `ferry.admin.v1.AdminService`: EdgeReplica's RPCs with more fields, and Ferry's own (control.md, 2.3).

use std::{str::FromStr, sync::Arc};

use connectrpc::{RequestContext, Response, ServiceRequest, ServiceResult};
use ferry_auth::Caveat;
use ferry_protocol::rpc::ferry::admin::v1 as wire;
use ferry_types::{DatabaseKind, Error, ModelSet, Op, OpSet, Reason, UnixMillis};

use super::{
    Access, Control, DatabaseEntry, DatabaseStats, IssueToken, LaneStats, Session, Whoami,
    accounts::OrgMembership, rpc::Call,
};

/// The service.
pub(super) struct Service(pub(super) Arc<Control>);

fn org(org: OrgMembership) -> wire::Org {
    wire::Org {
        id: org.id.to_string(),
        name: org.name,
        role: org.role.to_string(),
        personal: org.personal,
        ..Default::default()
    }
}

fn whoami(whoami: Whoami) -> wire::WhoamiInfo {
    wire::WhoamiInfo {
        user_id: whoami.user_id.to_string(),
        email: whoami.email,
        org_id: whoami.org_id.to_string(),
        role: whoami.role.map(|role| role.to_string()).unwrap_or_default(),
        email_verified: whoami.email_verified,
        orgs: whoami.orgs.into_iter().map(org).collect(),
        session_id: whoami.session_id.to_string(),
        session_exp_unix: whoami.session_exp_unix,
        server_version: env!("CARGO_PKG_VERSION").to_owned(),
        ..Default::default()
    }
}

fn auth_response(session: Session) -> wire::AuthResponse {
    wire::AuthResponse {
        session_token: session.token,
        whoami: whoami(session.whoami).into(),
        ..Default::default()
    }
}

fn unix(at: Option<UnixMillis>) -> i64 {
    at.map_or(0, UnixMillis::as_secs)
}

fn lane(lane: &LaneStats) -> wire::Lane {
    wire::Lane {
        model: lane.model.to_string(),
        head_seq: lane.head_seq.0,
        items: lane.items,
        bytes: lane.bytes,
        last_activity_unix: unix(lane.last_activity),
        ..Default::default()
    }
}

fn database(entry: &DatabaseEntry, stats: &DatabaseStats) -> wire::Database {
    wire::Database {
        id: entry.id.to_string(),
        org_id: entry.org_id.to_string(),
        name: entry.name.to_string(),
        created_at_unix: entry.created.as_secs(),
        size_bytes: stats.size_bytes,
        seq: stats.seq.0,
        lanes: stats.lanes.iter().map(lane).collect(),
        last_activity_unix: unix(stats.last_activity),
        connections: stats.connections,
        kind: entry.kind.map(DatabaseKind::as_str).unwrap_or_default().to_owned(),
        ..Default::default()
    }
}

fn invalid(message: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(Reason::InvalidArgument, message)
}

/// A list of words of one vocabulary; empty if none are given.
fn words<T, S>(field: &str, list: &[String]) -> Result<S, Error>
where
    T: FromStr<Err: std::fmt::Display>,
    S: FromIterator<T>,
{
    let parse = |word: &String| word.parse().map_err(|error: T::Err| invalid(format!("{field}: {error}")));
    list.iter().map(parse).collect()
}

/// The token that a request asks for: `direction` or `ops`, not both; no models: all (TOK-06).
fn issue_token(request: wire::IssueSyncTokenRequest) -> Result<IssueToken, Error> {
    let named: OpSet = words::<Op, _>("ops", &request.ops)?;
    let ops = match (request.direction, named.is_empty()) {
        (direction, true) if direction == wire::Direction::Push => OpSet::of(&[Op::Write]),
        (direction, true) if direction == wire::Direction::Pull => OpSet::of(&[Op::Read]),
        (direction, false) if direction == wire::Direction::Unspecified => named,
        (direction, true) if direction == wire::Direction::Unspecified => {
            return Err(invalid("ops or direction must say what the token may do"));
        }
        (buffa::EnumValue::Unknown(_), _) => {
            return Err(invalid("direction must be DIRECTION_PUSH or DIRECTION_PULL"));
        }
        _ => return Err(invalid("direction and ops say the same: give one of them")),
    };
    let models: ModelSet = words::<ferry_types::Model, _>("models", &request.models)?;
    Ok(IssueToken {
        database: request.database_id,
        models: if models.is_empty() { ModelSet::ALL } else { models },
        ops,
        ttl_seconds: request.ttl_seconds,
        caveats: words::<Caveat, _>("caveats", &request.caveats)?,
        label: request.label,
    })
}

#[expect(
    refining_impl_trait,
    reason = "every answer is an owned message; callers reach it through the router"
)]
impl wire::AdminService for Service {
    async fn whoami(
        &self,
        context: RequestContext,
        _request: ServiceRequest<'_, wire::WhoamiRequest>,
    ) -> ServiceResult<wire::WhoamiResponse> {
        let call = Call::new(&self.0, &context);
        let caller = call.caller(Access::Read)?;
        let info = self.0.whoami(&caller).map_err(|error| call.refuse(&error))?;
        Response::ok(wire::WhoamiResponse { whoami: whoami(info).into(), ..Default::default() })
    }

    async fn signup(
        &self,
        context: RequestContext,
        request: ServiceRequest<'_, wire::SignupRequest>,
    ) -> ServiceResult<wire::AuthResponse> {
        let call = Call::new(&self.0, &context);
        let session = self.0.signup(request.email, request.password, &call.origin).await;
        Response::ok(auth_response(session.map_err(|error| call.refuse(&error))?))
    }

    async fn login(
        &self,
        context: RequestContext,
        request: ServiceRequest<'_, wire::LoginRequest>,
    ) -> ServiceResult<wire::AuthResponse> {
        let call = Call::new(&self.0, &context);
        let session = self.0.login(request.email, request.password, request.label, &call.origin).await;
        Response::ok(auth_response(session.map_err(|error| call.refuse(&error))?))
    }

    async fn start_o_auth(
        &self,
        context: RequestContext,
        request: ServiceRequest<'_, wire::StartOAuthRequest>,
    ) -> ServiceResult<wire::StartOAuthResponse> {
        let call = Call::new(&self.0, &context);
        let started = self.0.start_oauth(request.provider, &call.origin);
        let (redirect_url, state) = started.map_err(|error| call.refuse(&error))?;
        Response::ok(wire::StartOAuthResponse { redirect_url, state, ..Default::default() })
    }

    async fn complete_o_auth(
        &self,
        context: RequestContext,
        _request: ServiceRequest<'_, wire::CompleteOAuthRequest>,
    ) -> ServiceResult<wire::AuthResponse> {
        let call = Call::new(&self.0, &context);
        let session = self.0.complete_oauth(&call.origin).map_err(|error| call.refuse(&error))?;
        Response::ok(auth_response(session))
    }

    async fn revoke_session(
        &self,
        context: RequestContext,
        request: ServiceRequest<'_, wire::RevokeSessionRequest>,
    ) -> ServiceResult<wire::RevokeSessionResponse> {
        let call = Call::new(&self.0, &context);
        let caller = call.caller(Access::Full)?;
        let revoked =
            self.0.revoke_session(&caller, request.session_id, request.keep_sync_tokens, &call.origin).await;
        revoked.map_err(|error| call.refuse(&error))?;
        Response::ok(wire::RevokeSessionResponse::default())
    }

    async fn create_database(
        &self,
        context: RequestContext,
        request: ServiceRequest<'_, wire::CreateDatabaseRequest>,
    ) -> ServiceResult<wire::Database> {
        let call = Call::new(&self.0, &context);
        let caller = call.caller(Access::Full)?;
        let created =
            self.0.create_database(&caller, request.name, request.org, request.kind, &call.origin).await;
        let entry = created.map_err(|error| call.refuse(&error))?;
        Response::ok(database(&entry, &DatabaseStats::default()))
    }

    async fn get_database(
        &self,
        context: RequestContext,
        request: ServiceRequest<'_, wire::GetDatabaseRequest>,
    ) -> ServiceResult<wire::Database> {
        let call = Call::new(&self.0, &context);
        let caller = call.caller(Access::Read)?;
        let found = self.0.get_database(&caller, request.database).await;
        let (entry, stats) = found.map_err(|error| call.refuse(&error))?;
        Response::ok(database(&entry, &stats))
    }

    async fn list_databases(
        &self,
        context: RequestContext,
        request: ServiceRequest<'_, wire::ListDatabasesRequest>,
    ) -> ServiceResult<wire::ListDatabasesResponse> {
        let call = Call::new(&self.0, &context);
        let caller = call.caller(Access::Read)?;
        let page = self.0.list_databases(
            &caller,
            request.org,
            request.name_prefix,
            request.page_size,
            request.page_token,
        );
        let (entries, next_page_token) = page.map_err(|error| call.refuse(&error))?;
        // Size and activity of each would open every database of the page; GetDatabase tells them.
        let databases = entries.iter().map(|entry| database(entry, &DatabaseStats::default())).collect();
        Response::ok(wire::ListDatabasesResponse { databases, next_page_token, ..Default::default() })
    }

    async fn rename_database(
        &self,
        context: RequestContext,
        request: ServiceRequest<'_, wire::RenameDatabaseRequest>,
    ) -> ServiceResult<wire::Database> {
        let call = Call::new(&self.0, &context);
        let caller = call.caller(Access::Full)?;
        let renamed = self.0.rename_database(&caller, request.database, request.name, &call.origin).await;
        let entry = renamed.map_err(|error| call.refuse(&error))?;
        Response::ok(database(&entry, &DatabaseStats::default()))
    }

    async fn delete_database(
        &self,
        context: RequestContext,
        request: ServiceRequest<'_, wire::DeleteDatabaseRequest>,
    ) -> ServiceResult<wire::DeleteDatabaseResponse> {
        let call = Call::new(&self.0, &context);
        let caller = call.caller(Access::Full)?;
        let deleted =
            self.0.delete_database(&caller, request.database_id, request.confirm_name, &call.origin).await;
        deleted.map_err(|error| call.refuse(&error))?;
        Response::ok(wire::DeleteDatabaseResponse::default())
    }

    async fn issue_sync_token(
        &self,
        context: RequestContext,
        request: ServiceRequest<'_, wire::IssueSyncTokenRequest>,
    ) -> ServiceResult<wire::IssueSyncTokenResponse> {
        let call = Call::new(&self.0, &context);
        let caller = call.caller(Access::Mint)?;
        let wanted = issue_token(request.to_owned_message()).map_err(|error| call.refuse(&error))?;
        let issued = self.0.issue_sync_token(&caller, wanted, &call.origin).await;
        let issued = issued.map_err(|error| call.refuse(&error))?;
        Response::ok(wire::IssueSyncTokenResponse {
            token: issued.token,
            exp_unix: issued.exp_unix,
            token_id: issued.token_id.to_string(),
            ..Default::default()
        })
    }
}
