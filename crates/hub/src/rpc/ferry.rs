//! `ferry.admin.v1.AdminService`: EdgeReplica's RPCs with more fields, and Ferry's own (control.md, 2.3).

use std::sync::Arc;

use crate::{
    control::{Access, CompleteOAuth, Control, DatabaseStats, StartOAuth},
    rpc::{
        Call, api_keys, jwt,
        messages::{auth_response, database, issue_token, session, signing_key, token, whoami},
    },
};
use connectrpc::{RequestContext, Response, ServiceRequest, ServiceResult};
use ferry_protocol::rpc::ferry::admin::v1 as wire;
use ferry_types::Error;

/// The service.
pub(super) struct Service(pub(super) Arc<Control>);

/// Methods that differ only in what they do: the block sees the call and the owned request, and its refusals
/// become errors of the wire.
macro_rules! rpcs {
    ($(async fn $name:ident($call:ident, $request:ident: $Request:ident) -> $Response:ident $body:block)+) => {$(
        async fn $name(
            &self,
            context: RequestContext,
            request: ServiceRequest<'_, wire::$Request>,
        ) -> ServiceResult<wire::$Response> {
            let $call = &Call::new(&self.0, &context);
            let $request = request.to_owned_message();
            let answer: Result<wire::$Response, Error> = async { $body }.await;
            Response::ok(answer.map_err(|error| $call.refuse(&error))?)
        }
    )+};
}

/// Methods whose bodies stand in a file of their group.
macro_rules! forwards {
    ($group:ident: $($name:ident($Request:ident) -> $Response:ident;)+) => {$(
        async fn $name(
            &self,
            context: RequestContext,
            request: ServiceRequest<'_, wire::$Request>,
        ) -> ServiceResult<wire::$Response> {
            let call = &Call::new(&self.0, &context);
            let answer = crate::rpc::$group::$name(call, request.to_owned_message()).await;
            Response::ok(answer.map_err(|error| call.refuse(&error))?)
        }
    )+};
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
        let wire::SignupRequestView { email, password, invite_code, .. } = *request;
        let session = self.0.signup_invited(email, password, invite_code, &call.origin).await;
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
        // The rest of each would open every database of the page; GetDatabase tells it.
        let sizes = self.0.database_sizes(&entries).await;
        let stats =
            sizes.into_iter().map(|size_bytes| DatabaseStats { size_bytes, ..DatabaseStats::default() });
        let databases = entries.iter().zip(stats).map(|(entry, stats)| database(entry, &stats)).collect();
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

    rpcs! {
        async fn start_o_auth(call, request: StartOAuthRequest) -> StartOAuthResponse {
            let linker = if request.link { Some(call.session(Access::Full)?) } else { None };
            let wanted = StartOAuth {
                provider: &request.provider,
                client_challenge: &request.client_challenge,
                loopback_port: request.loopback_port,
            };
            let started = call.control.start_oauth(wanted, linker.as_ref(), &call.origin).await?;
            let (redirect_url, state) = started;
            Ok(wire::StartOAuthResponse { redirect_url, state, ..Default::default() })
        }

        async fn complete_o_auth(call, request: CompleteOAuthRequest) -> AuthResponse {
            let linker = if request.confirm_link { Some(call.session(Access::Full)?) } else { None };
            let wanted = CompleteOAuth {
                state: &request.state,
                code: &request.code,
                client_verifier: &request.client_verifier,
                password: &request.password,
            };
            Ok(auth_response(call.control.complete_oauth(wanted, linker.as_ref(), &call.origin).await?))
        }

        async fn refresh_session(call, _request: RefreshSessionRequest) -> AuthResponse {
            let caller = call.session(Access::Full)?;
            Ok(auth_response(call.control.refresh_session(&caller, &call.origin).await?))
        }

        async fn list_sessions(call, request: ListSessionsRequest) -> ListSessionsResponse {
            let caller = call.session(Access::Read)?;
            let (rows, next_page_token) =
                call.control.list_sessions(&caller, request.page_size, &request.page_token).await?;
            let sessions = rows.into_iter().map(|row| session(row, caller.session_id)).collect();
            Ok(wire::ListSessionsResponse { sessions, next_page_token, ..Default::default() })
        }

        async fn revoke_session(call, request: RevokeSessionRequest) -> RevokeSessionResponse {
            let caller = call.session(Access::Full)?;
            let (id, keep) = (&request.session_id, request.keep_sync_tokens);
            call.control.revoke_session(&caller, id, keep, &call.origin).await?;
            Ok(wire::RevokeSessionResponse::default())
        }

        async fn revoke_all_sessions(call, _request: RevokeAllSessionsRequest) -> RevokeAllSessionsResponse {
            let caller = call.session(Access::Full)?;
            call.control.revoke_all_sessions(&caller, &call.origin).await?;
            Ok(wire::RevokeAllSessionsResponse::default())
        }

        async fn change_password(call, request: ChangePasswordRequest) -> ChangePasswordResponse {
            let caller = call.session(Access::Full)?;
            let wire::ChangePasswordRequest { current, new, keep_other_sessions, .. } = &request;
            let changed =
                call.control.change_password(&caller, current, new, *keep_other_sessions, &call.origin);
            changed.await?;
            Ok(wire::ChangePasswordResponse::default())
        }

        async fn reset_password(call, request: ResetPasswordRequest) -> ResetPasswordResponse {
            let wire::ResetPasswordRequest { email, code, new_password, .. } = &request;
            call.control.reset_password(email, code, new_password, &call.origin).await?;
            Ok(wire::ResetPasswordResponse::default())
        }

        async fn delete_account(call, request: DeleteAccountRequest) -> DeleteAccountResponse {
            let caller = call.session(Access::Full)?;
            let wire::DeleteAccountRequest { confirm_email, password, .. } = &request;
            call.control.delete_account(&caller, confirm_email, password, &call.origin).await?;
            Ok(wire::DeleteAccountResponse::default())
        }

        async fn list_tokens(call, request: ListTokensRequest) -> ListTokensResponse {
            let caller = call.session(Access::Read)?;
            let wire::ListTokensRequest { database, page_size, page_token, .. } = &request;
            let (rows, next_page_token) =
                call.control.list_tokens(&caller, database, *page_size, page_token).await?;
            let tokens = rows.into_iter().map(token).collect();
            Ok(wire::ListTokensResponse { tokens, next_page_token, ..Default::default() })
        }

        async fn revoke_token(call, request: RevokeTokenRequest) -> RevokeTokenResponse {
            let caller = call.session(Access::Full)?;
            call.control.revoke_token(&caller, &request.token_id, &request.token, &call.origin).await?;
            Ok(wire::RevokeTokenResponse::default())
        }

        async fn revoke_database_tokens(
            call,
            request: RevokeDatabaseTokensRequest
        ) -> RevokeDatabaseTokensResponse {
            let caller = call.session(Access::Full)?;
            call.control.revoke_database_tokens(&caller, &request.database, &call.origin).await?;
            Ok(wire::RevokeDatabaseTokensResponse::default())
        }

        async fn create_api_key(call, request: CreateApiKeyRequest) -> ApiKey {
            let caller = call.session(Access::Full)?;
            let spec = api_keys::spec(request.spec.into_option().unwrap_or_default())?;
            let made = call.control.create_api_key(&caller, &request.database, spec, &call.origin).await?;
            Ok(api_keys::new_api_key(made))
        }

        async fn list_api_keys(call, request: ListApiKeysRequest) -> ListApiKeysResponse {
            let caller = call.session(Access::Read)?;
            let wire::ListApiKeysRequest { database, page_size, page_token, .. } = &request;
            let (rows, next_page_token) =
                call.control.list_api_keys(&caller, database, *page_size, page_token).await?;
            let api_keys = rows.into_iter().map(api_keys::api_key).collect();
            Ok(wire::ListApiKeysResponse { api_keys, next_page_token, ..Default::default() })
        }

        async fn rotate_api_key(call, request: RotateApiKeyRequest) -> ApiKey {
            let caller = call.session(Access::Full)?;
            let (id, overlap) = (&request.id, request.overlap_seconds);
            let made = call.control.rotate_api_key(&caller, id, overlap, &call.origin).await?;
            Ok(api_keys::new_api_key(made))
        }

        async fn revoke_api_key(call, request: RevokeApiKeyRequest) -> RevokeApiKeyResponse {
            let caller = call.session(Access::Full)?;
            call.control.revoke_api_key(&caller, &request.id, &call.origin).await?;
            Ok(wire::RevokeApiKeyResponse::default())
        }

        async fn get_jwt_settings(call, request: GetJwtSettingsRequest) -> JwtSettings {
            let caller = call.session(Access::Read)?;
            Ok(jwt::settings(call.control.jwt_settings(&caller, &request.database).await?))
        }

        async fn set_jwt_settings(call, request: SetJwtSettingsRequest) -> SetJwtSettingsResponse {
            let caller = call.session(Access::Full)?;
            let text = jwt::settings_text(request.settings.into_option().unwrap_or_default());
            call.control.set_jwt_settings(&caller, &request.database, text, &call.origin).await?;
            Ok(wire::SetJwtSettingsResponse::default())
        }

        async fn test_jwt(call, request: TestJwtRequest) -> TestJwtResponse {
            let caller = call.session(Access::Full)?;
            Ok(jwt::trial(call.control.test_jwt(&caller, &request.database, &request.token).await?))
        }

        async fn get_server_info(call, _request: GetServerInfoRequest) -> GetServerInfoResponse {
            call.operator()?;
            Ok(wire::GetServerInfoResponse {
                version: env!("CARGO_PKG_VERSION").to_owned(),
                hub_id: call.control.hub_id().to_owned(),
                users: call.control.user_count() as u64,
                databases: call.control.database_count() as u64,
                ..Default::default()
            })
        }

        async fn list_signing_keys(call, request: ListSigningKeysRequest) -> ListSigningKeysResponse {
            call.operator()?;
            let (rows, next_page_token) =
                call.control.list_signing_keys(request.page_size, &request.page_token).await?;
            let keys = rows.into_iter().map(signing_key).collect();
            Ok(wire::ListSigningKeysResponse { keys, next_page_token, ..Default::default() })
        }

        async fn rotate_signing_key(call, _request: RotateSigningKeyRequest) -> SigningKey {
            call.operator()?;
            Ok(signing_key(call.control.rotate_signing_key(&call.origin).await?))
        }

        async fn retire_signing_key(call, request: RetireSigningKeyRequest) -> RetireSigningKeyResponse {
            call.operator()?;
            call.control.retire_signing_key(&request.kid, &call.origin).await?;
            Ok(wire::RetireSigningKeyResponse::default())
        }

        async fn create_user(call, request: CreateUserRequest) -> CreateUserResponse {
            call.operator()?;
            let user_id = call.control.create_user(&request.email, &request.password, &call.origin).await?;
            Ok(wire::CreateUserResponse { user_id: user_id.to_string(), ..Default::default() })
        }

        async fn disable_user(call, request: DisableUserRequest) -> DisableUserResponse {
            call.operator()?;
            call.control.disable_user(&request.user_id, request.disabled, &call.origin).await?;
            Ok(wire::DisableUserResponse::default())
        }

        async fn issue_password_reset(
            call,
            request: IssuePasswordResetRequest
        ) -> IssuePasswordResetResponse {
            call.operator()?;
            let issued = call.control.issue_password_reset(&request.email, &call.origin).await?;
            let (code, exp_unix) = (issued.code, issued.exp_unix);
            Ok(wire::IssuePasswordResetResponse { code, exp_unix, ..Default::default() })
        }
    }

    forwards! {
        reserved:
        create_backup(CreateBackupRequest) -> CreateBackupResponse;
        list_backups(ListBackupsRequest) -> ListBackupsResponse;
        restore_database(RestoreDatabaseRequest) -> RestoreDatabaseResponse;
        fork_database(ForkDatabaseRequest) -> ForkDatabaseResponse;
        reset_database(ResetDatabaseRequest) -> ResetDatabaseResponse;
    }

    forwards! {
        orgs:
        create_org(CreateOrgRequest) -> Org;
        list_orgs(ListOrgsRequest) -> ListOrgsResponse;
        rename_org(RenameOrgRequest) -> RenameOrgResponse;
        delete_org(DeleteOrgRequest) -> DeleteOrgResponse;
        list_members(ListMembersRequest) -> ListMembersResponse;
        set_member_role(SetMemberRoleRequest) -> SetMemberRoleResponse;
        remove_member(RemoveMemberRequest) -> RemoveMemberResponse;
        create_invitation(CreateInvitationRequest) -> Invitation;
        list_invitations(ListInvitationsRequest) -> ListInvitationsResponse;
        revoke_invitation(RevokeInvitationRequest) -> RevokeInvitationResponse;
        accept_invitation(AcceptInvitationRequest) -> Org;
        list_audit_events(ListAuditEventsRequest) -> ListAuditEventsResponse;
    }
}
