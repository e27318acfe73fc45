//! `edgereplica.admin.v1.AdminService`, frozen: what the unmodified EdgeReplica client calls (control.md, 2.2).

use std::sync::Arc;

use connectrpc::{ConnectError, RequestContext, Response, ServiceRequest, ServiceResult};
use ferry_control::{
    Access, CompleteOAuth, Control, CreateDatabase, DatabaseEntry, DeleteDatabase, GetWhoami, IssueSyncToken,
    IssueToken, ListAllDatabases, LogIn, Session, SignUp, StartOAuth, Whoami,
};
use ferry_protocol::rpc::edgereplica::admin::v1 as wire;
use ferry_types::{Error, Model, ModelSet, Op, OpSet, Reason, Result};

use crate::rpc::Call;

/// The service.
pub(super) struct EdgeReplicaService(pub(super) Arc<Control>);

fn whoami(whoami: Whoami) -> wire::WhoamiInfo {
    wire::WhoamiInfo {
        user_id: whoami.user_id.to_string(),
        email: whoami.email,
        org_id: whoami.org_id.to_string(),
        role: whoami.role.map(|role| role.to_string()).unwrap_or_default(),
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

fn database(entry: &DatabaseEntry) -> wire::Database {
    wire::Database {
        id: entry.id.to_string(),
        org_id: entry.org_id.to_string(),
        name: entry.name.to_string(),
        created_at_unix: entry.created.as_secs(),
        ..Default::default()
    }
}

/// What a direction may do (TOK-06).
fn ops(direction: buffa::EnumValue<wire::Direction>) -> Result<OpSet, Error> {
    if direction == wire::Direction::Push {
        Ok(OpSet::of(&[Op::Write]))
    } else if direction == wire::Direction::Pull {
        Ok(OpSet::of(&[Op::Read]))
    } else {
        Err(Error::new(Reason::InvalidArgument, "direction must be DIRECTION_PUSH or DIRECTION_PULL"))
    }
}

#[expect(
    refining_impl_trait,
    reason = "every answer is an owned message; callers reach it through the router"
)]
impl wire::AdminService for EdgeReplicaService {
    async fn whoami(
        &self,
        context: RequestContext,
        _request: ServiceRequest<'_, wire::WhoamiRequest>,
    ) -> ServiceResult<wire::WhoamiResponse> {
        let call = Call::new(&self.0, &context);
        let caller = call.unproven_caller(Access::Read)?;
        let info = GetWhoami { caller: &caller }.run(&self.0.db).map_err(|error| call.refuse(&error))?;
        Response::ok(wire::WhoamiResponse { whoami: whoami(info).into(), ..Default::default() })
    }

    async fn signup(
        &self,
        context: RequestContext,
        request: ServiceRequest<'_, wire::SignupRequest>,
    ) -> ServiceResult<wire::AuthResponse> {
        let call = Call::new(&self.0, &context);
        let session = SignUp {
            email: request.email,
            password: request.password,
            invite_code: "",
            origin: &call.origin,
        }
        .run(&self.0.accounts)
        .await;
        Response::ok(auth_response(session.map_err(|error| call.refuse(&error))?))
    }

    async fn login(
        &self,
        context: RequestContext,
        request: ServiceRequest<'_, wire::LoginRequest>,
    ) -> ServiceResult<wire::AuthResponse> {
        let call = Call::new(&self.0, &context);
        let session =
            LogIn { email: request.email, password: request.password, label: "", origin: &call.origin }
                .run(&self.0.accounts)
                .await;
        Response::ok(auth_response(session.map_err(|error| call.refuse(&error))?))
    }

    async fn start_o_auth(
        &self,
        context: RequestContext,
        request: ServiceRequest<'_, wire::StartOAuthRequest>,
    ) -> ServiceResult<wire::StartOAuthResponse> {
        let call = Call::new(&self.0, &context);
        let wanted = StartOAuth { provider: request.provider, ..Default::default() };
        let started = wanted.run(&self.0.oauth, None, &call.origin).await;
        let (redirect_url, state) = started.map_err(|error| call.refuse(&error))?;
        Response::ok(wire::StartOAuthResponse { redirect_url, state, ..Default::default() })
    }

    async fn complete_o_auth(
        &self,
        context: RequestContext,
        request: ServiceRequest<'_, wire::CompleteOAuthRequest>,
    ) -> ServiceResult<wire::AuthResponse> {
        let call = Call::new(&self.0, &context);
        let wanted = CompleteOAuth { state: request.state, code: request.code, ..Default::default() };
        let session = wanted.run(&self.0.oauth, None, &call.origin).await;
        Response::ok(auth_response(session.map_err(|error| call.refuse(&error))?))
    }

    async fn create_database(
        &self,
        context: RequestContext,
        request: ServiceRequest<'_, wire::CreateDatabaseRequest>,
    ) -> ServiceResult<wire::Database> {
        let call = Call::new(&self.0, &context);
        let caller = call.caller(Access::Full)?;
        let created =
            CreateDatabase { caller: &caller, name: request.name, org: "", kind: "", origin: &call.origin }
                .run(&self.0.db, self.0.max_databases_per_org)
                .await;
        Response::ok(database(&created.map_err(|error| call.refuse(&error))?))
    }

    async fn list_databases(
        &self,
        context: RequestContext,
        _request: ServiceRequest<'_, wire::ListDatabasesRequest>,
    ) -> ServiceResult<wire::ListDatabasesResponse> {
        let call = Call::new(&self.0, &context);
        let caller = call.caller(Access::Read)?;
        let entries =
            ListAllDatabases { caller: &caller }.run(&self.0.db).map_err(|error| call.refuse(&error))?;
        let databases = entries.iter().map(database).collect();
        Response::ok(wire::ListDatabasesResponse { databases, ..Default::default() })
    }

    async fn delete_database(
        &self,
        context: RequestContext,
        request: ServiceRequest<'_, wire::DeleteDatabaseRequest>,
    ) -> ServiceResult<wire::DeleteDatabaseResponse> {
        let call = Call::new(&self.0, &context);
        let caller = call.caller(Access::Full)?;
        let deleted = DeleteDatabase {
            caller: &caller,
            database: request.database_id,
            confirm_name: "",
            origin: &call.origin,
        }
        .run(&self.0.db, &self.0.storage)
        .await;
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
        let refuse = |error: Error| -> ConnectError { call.refuse(&error) };
        let wanted = IssueToken {
            database: request.database_id.to_owned(),
            models: ModelSet::of(&[Model::Pages]),
            ops: ops(request.direction).map_err(refuse)?,
            ttl_seconds: request.ttl_seconds,
            caveats: Vec::new(),
            label: String::new(),
        };
        let issued = IssueSyncToken { caller: &caller, request: wanted, origin: &call.origin }
            .run(&self.0.db, self.0.token_lives)
            .await
            .map_err(refuse)?;
        Response::ok(wire::IssueSyncTokenResponse {
            token: issued.token,
            exp_unix: issued.exp_unix,
            ..Default::default()
        })
    }
}
