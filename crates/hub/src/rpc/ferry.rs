//! `ferry.admin.v1.AdminService`: EdgeReplica's RPCs with more fields, and Ferry's own (control.md, 2.3).

use std::sync::Arc;

use connectrpc::{RequestContext, Response, ServiceRequest, ServiceResult};
use ferry_control::{
    Access, Control, CreateDatabase, DatabaseStats, DeleteDatabase, GetDatabase, GetWhoami, IssueSyncToken,
    ListDatabases, LogIn, RenameDatabase, SignUp, SignUpOperator,
};
use ferry_protocol::rpc::ferry::admin::v1 as wire;

use crate::{
    backup::Backups,
    hub::Hub,
    rpc::{
        Call,
        messages::{auth_response, database, issue_token, whoami},
    },
};

/// The service.
pub(super) struct FerryService {
    pub(super) control: Arc<Control>,
    pub(super) backups: Option<Arc<Backups>>,
    pub(super) hub: Option<Arc<Hub>>,
}

/// Methods whose bodies stand in a file of their group.
macro_rules! forwards {
    ($group:ident: $($name:ident($Request:ident) -> $Response:ident;)+) => {$(
        async fn $name(
            &self,
            context: RequestContext,
            request: ServiceRequest<'_, wire::$Request>,
        ) -> ServiceResult<wire::$Response> {
            let (backups, hub) = (self.backups.as_ref(), self.hub.as_ref());
            let call = &Call { backups, hub, ..Call::new(&self.control, &context) };
            let answer = crate::rpc::$group::$name(call, request.to_owned_message()).await;
            Response::ok(answer.map_err(|error| call.refuse(&error))?)
        }
    )+};
}

#[expect(
    refining_impl_trait,
    reason = "every answer is an owned message; callers reach it through the router"
)]
impl wire::AdminService for FerryService {
    async fn whoami(
        &self,
        context: RequestContext,
        _request: ServiceRequest<'_, wire::WhoamiRequest>,
    ) -> ServiceResult<wire::WhoamiResponse> {
        let call = Call::new(&self.control, &context);
        let caller = call.unproven_caller(Access::Read)?;
        let info =
            GetWhoami { caller: &caller }.run(&self.control.db).map_err(|error| call.refuse(&error))?;
        Response::ok(wire::WhoamiResponse { whoami: whoami(info).into(), ..Default::default() })
    }

    async fn signup(
        &self,
        context: RequestContext,
        request: ServiceRequest<'_, wire::SignupRequest>,
    ) -> ServiceResult<wire::AuthResponse> {
        let call = Call::new(&self.control, &context);
        let wire::SignupRequestView { email, password, invite_code, operator_code, .. } = *request;
        let (origin, accounts) = (&call.origin, &self.control.accounts);
        let session = if operator_code.is_empty() {
            SignUp { email, password, invite_code, origin }.run(accounts).await
        } else {
            SignUpOperator { email, password, code: operator_code, origin }.run(accounts).await
        };
        Response::ok(auth_response(session.map_err(|error| call.refuse(&error))?))
    }

    async fn login(
        &self,
        context: RequestContext,
        request: ServiceRequest<'_, wire::LoginRequest>,
    ) -> ServiceResult<wire::AuthResponse> {
        let call = Call::new(&self.control, &context);
        let session = LogIn {
            email: request.email,
            password: request.password,
            label: request.label,
            origin: &call.origin,
        }
        .run(&self.control.accounts)
        .await;
        Response::ok(auth_response(session.map_err(|error| call.refuse(&error))?))
    }

    async fn create_database(
        &self,
        context: RequestContext,
        request: ServiceRequest<'_, wire::CreateDatabaseRequest>,
    ) -> ServiceResult<wire::Database> {
        let call = Call::new(&self.control, &context);
        let caller = call.caller(Access::Full)?;
        let created = CreateDatabase {
            caller: &caller,
            name: request.name,
            org: request.org,
            kind: request.kind,
            origin: &call.origin,
        }
        .run(&self.control.db, self.control.max_databases_per_org)
        .await;
        let entry = created.map_err(|error| call.refuse(&error))?;
        Response::ok(database(&entry, &DatabaseStats::default()))
    }

    async fn get_database(
        &self,
        context: RequestContext,
        request: ServiceRequest<'_, wire::GetDatabaseRequest>,
    ) -> ServiceResult<wire::Database> {
        let call = Call::new(&self.control, &context);
        let caller = call.caller(Access::Read)?;
        let found = GetDatabase { caller: &caller, database: request.database }
            .run(&self.control.db, &self.control.storage)
            .await;
        let (entry, stats) = found.map_err(|error| call.refuse(&error))?;
        Response::ok(database(&entry, &stats))
    }

    async fn list_databases(
        &self,
        context: RequestContext,
        request: ServiceRequest<'_, wire::ListDatabasesRequest>,
    ) -> ServiceResult<wire::ListDatabasesResponse> {
        let call = Call::new(&self.control, &context);
        let caller = call.caller(Access::Read)?;
        let page = ListDatabases {
            caller: &caller,
            org: request.org,
            name_prefix: request.name_prefix,
            page_size: request.page_size,
            page_token: request.page_token,
        }
        .run(&self.control.db);
        let (entries, next_page_token) = page.map_err(|error| call.refuse(&error))?;
        let stats = self.control.storage.stats_of_each(&entries).await;
        let databases = entries.iter().zip(&stats).map(|(entry, stats)| database(entry, stats)).collect();
        Response::ok(wire::ListDatabasesResponse { databases, next_page_token, ..Default::default() })
    }

    async fn rename_database(
        &self,
        context: RequestContext,
        request: ServiceRequest<'_, wire::RenameDatabaseRequest>,
    ) -> ServiceResult<wire::Database> {
        let call = Call::new(&self.control, &context);
        let caller = call.caller(Access::Full)?;
        let renamed = RenameDatabase {
            caller: &caller,
            database: request.database,
            name: request.name,
            origin: &call.origin,
        }
        .run(&self.control.db)
        .await;
        let entry = renamed.map_err(|error| call.refuse(&error))?;
        Response::ok(database(&entry, &DatabaseStats::default()))
    }

    async fn delete_database(
        &self,
        context: RequestContext,
        request: ServiceRequest<'_, wire::DeleteDatabaseRequest>,
    ) -> ServiceResult<wire::DeleteDatabaseResponse> {
        let call = Call::new(&self.control, &context);
        let caller = call.caller(Access::Full)?;
        let deleted = DeleteDatabase {
            caller: &caller,
            database: request.database_id,
            confirm_name: request.confirm_name,
            origin: &call.origin,
        }
        .run(&self.control.db, &self.control.storage)
        .await;
        deleted.map_err(|error| call.refuse(&error))?;
        Response::ok(wire::DeleteDatabaseResponse::default())
    }

    async fn issue_sync_token(
        &self,
        context: RequestContext,
        request: ServiceRequest<'_, wire::IssueSyncTokenRequest>,
    ) -> ServiceResult<wire::IssueSyncTokenResponse> {
        let call = Call::new(&self.control, &context);
        let caller = call.caller(Access::Mint)?;
        let wanted = issue_token(request.to_owned_message()).map_err(|error| call.refuse(&error))?;
        let issued = IssueSyncToken { caller: &caller, request: wanted, origin: &call.origin }
            .run(&self.control.db, self.control.token_lives)
            .await;
        let issued = issued.map_err(|error| call.refuse(&error))?;
        Response::ok(wire::IssueSyncTokenResponse {
            token: issued.token,
            exp_unix: issued.exp_unix,
            token_id: issued.token_id.to_string(),
            ..Default::default()
        })
    }

    forwards! {
        oauth:
        start_o_auth(StartOAuthRequest) -> StartOAuthResponse;
        complete_o_auth(CompleteOAuthRequest) -> AuthResponse;
    }

    forwards! {
        sessions:
        refresh_session(RefreshSessionRequest) -> AuthResponse;
        list_sessions(ListSessionsRequest) -> ListSessionsResponse;
        revoke_session(RevokeSessionRequest) -> RevokeSessionResponse;
        revoke_all_sessions(RevokeAllSessionsRequest) -> RevokeAllSessionsResponse;
    }

    forwards! {
        passwords:
        change_password(ChangePasswordRequest) -> ChangePasswordResponse;
        reset_password(ResetPasswordRequest) -> ResetPasswordResponse;
        delete_account(DeleteAccountRequest) -> DeleteAccountResponse;
    }

    forwards! {
        mail:
        request_password_reset(RequestPasswordResetRequest) -> RequestPasswordResetResponse;
        verify_email(VerifyEmailRequest) -> VerifyEmailResponse;
        request_verification(RequestVerificationRequest) -> RequestVerificationResponse;
        test_mail(TestMailRequest) -> TestMailResponse;
    }

    forwards! {
        tokens:
        list_tokens(ListTokensRequest) -> ListTokensResponse;
        revoke_token(RevokeTokenRequest) -> RevokeTokenResponse;
        revoke_database_tokens(RevokeDatabaseTokensRequest) -> RevokeDatabaseTokensResponse;
    }

    forwards! {
        api_keys:
        create_api_key(CreateApiKeyRequest) -> ApiKey;
        list_api_keys(ListApiKeysRequest) -> ListApiKeysResponse;
        rotate_api_key(RotateApiKeyRequest) -> ApiKey;
        revoke_api_key(RevokeApiKeyRequest) -> RevokeApiKeyResponse;
    }

    forwards! {
        jwt:
        get_jwt_settings(GetJwtSettingsRequest) -> JwtSettings;
        set_jwt_settings(SetJwtSettingsRequest) -> SetJwtSettingsResponse;
        test_jwt(TestJwtRequest) -> TestJwtResponse;
    }

    forwards! {
        operator:
        get_server_info(GetServerInfoRequest) -> GetServerInfoResponse;
        list_signing_keys(ListSigningKeysRequest) -> ListSigningKeysResponse;
        rotate_signing_key(RotateSigningKeyRequest) -> SigningKey;
        retire_signing_key(RetireSigningKeyRequest) -> RetireSigningKeyResponse;
        list_users(ListUsersRequest) -> ListUsersResponse;
        create_user(CreateUserRequest) -> CreateUserResponse;
        disable_user(DisableUserRequest) -> DisableUserResponse;
        set_user_operator(SetUserOperatorRequest) -> SetUserOperatorResponse;
        run_doctor(RunDoctorRequest) -> RunDoctorResponse;
        get_lineage(GetLineageRequest) -> GetLineageResponse;
        issue_password_reset(IssuePasswordResetRequest) -> IssuePasswordResetResponse;
        get_settings(GetSettingsRequest) -> GetSettingsResponse;
        get_series(GetSeriesRequest) -> GetSeriesResponse;
    }

    forwards! {
        backups:
        create_backup(CreateBackupRequest) -> Job;
        verify_backup(VerifyBackupRequest) -> Job;
        prune_backups(PruneBackupsRequest) -> Job;
        restore_database(RestoreDatabaseRequest) -> Job;
        get_job(GetJobRequest) -> Job;
        cancel_job(CancelJobRequest) -> Job;
        list_backups(ListBackupsRequest) -> ListBackupsResponse;
        get_backup_status(GetBackupStatusRequest) -> GetBackupStatusResponse;
        pause_backups(PauseBackupsRequest) -> GetBackupStatusResponse;
        resume_backups(ResumeBackupsRequest) -> GetBackupStatusResponse;
    }

    forwards! {
        console:
        list_tables(ListTablesRequest) -> ListTablesResponse;
        query_database(QueryDatabaseRequest) -> QueryDatabaseResponse;
    }

    forwards! {
        connections:
        list_connections(ListConnectionsRequest) -> ListConnectionsResponse;
        close_connection(CloseConnectionRequest) -> CloseConnectionResponse;
    }

    forwards! {
        reserved:
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
