//! Calls that add nothing to their RPC: request in, answer out.

use connectrpc::client::UnaryResponse;

use super::{AdminClient, LIST_PAGE_ROWS, rpc};
use crate::Result;

macro_rules! calls {
    ($($(#[$doc:meta])+ $name:ident($Request:ident) -> $Response:ident;)+) => {
        impl AdminClient {$(
            $(#[$doc])+
            ///
            /// # Errors
            /// The hub's refusal, or no answer.
            pub async fn $name(&self, request: rpc::$Request) -> Result<rpc::$Response> {
                self.checked(self.rpc.$name(request).await.map(UnaryResponse::into_owned))
            }
        )+}
    };
}

/// Lists, read page by page to their end.
macro_rules! lists {
    ($($(#[$doc:meta])+ $rows:ident: $call:ident($Request:ident) -> $Row:ident;)+) => {
        impl AdminClient {$(
            $(#[$doc])+
            ///
            /// # Errors
            /// The hub's refusal, or no answer.
            pub async fn $call(&self, mut request: rpc::$Request) -> Result<Vec<rpc::$Row>> {
                request.page_size = LIST_PAGE_ROWS;
                let mut rows = Vec::new();
                loop {
                    let answer = self.rpc.$call(request.clone()).await.map(UnaryResponse::into_owned);
                    let answer = self.checked(answer)?;
                    rows.extend(answer.$rows);
                    request.page_token = answer.next_page_token;
                    if request.page_token.is_empty() {
                        return Ok(rows);
                    }
                }
            }
        )+}
    };
}

calls! {
    /// Begins a backup.
    create_backup(CreateBackupRequest) -> Job;
    /// Begins to verify one.
    verify_backup(VerifyBackupRequest) -> Job;
    /// Begins to remove those that are no longer kept.
    prune_backups(PruneBackupsRequest) -> Job;
    /// Begins to put one database back, beside the living one or in its place.
    restore_database(RestoreDatabaseRequest) -> Job;
    /// How far a job is.
    get_job(GetJobRequest) -> Job;
    /// Asks a job to end.
    cancel_job(CancelJobRequest) -> Job;
    /// The backups of a hub.
    list_backups(ListBackupsRequest) -> ListBackupsResponse;
    /// When backups are taken, and how their targets are.
    get_backup_status(GetBackupStatusRequest) -> GetBackupStatusResponse;
    /// Has nothing backed up by itself.
    pause_backups(PauseBackupsRequest) -> GetBackupStatusResponse;
    /// Has backups taken again.
    resume_backups(ResumeBackupsRequest) -> GetBackupStatusResponse;
    /// Begins a login at a provider.
    start_o_auth(StartOAuthRequest) -> StartOAuthResponse;
    /// Completes a login at a provider.
    complete_o_auth(CompleteOAuthRequest) -> AuthResponse;
    /// Another token of this session, which lives longer.
    refresh_session(RefreshSessionRequest) -> AuthResponse;
    /// Ends one of the user's sessions.
    revoke_session(RevokeSessionRequest) -> RevokeSessionResponse;
    /// Ends every session of the user and what was minted from them.
    revoke_all_sessions(RevokeAllSessionsRequest) -> RevokeAllSessionsResponse;
    /// Sets another password.
    change_password(ChangePasswordRequest) -> ChangePasswordResponse;
    /// Sets a new password with a code of the operator.
    reset_password(ResetPasswordRequest) -> ResetPasswordResponse;
    /// Deletes the account, its personal organisation and that one's databases.
    delete_account(DeleteAccountRequest) -> DeleteAccountResponse;
    /// Revokes one sync token.
    revoke_token(RevokeTokenRequest) -> RevokeTokenResponse;
    /// Revokes every sync token of a database.
    revoke_database_tokens(RevokeDatabaseTokensRequest) -> RevokeDatabaseTokensResponse;
    /// Makes an API key of a database.
    create_api_key(CreateApiKeyRequest) -> ApiKey;
    /// Makes a key that replaces another.
    rotate_api_key(RotateApiKeyRequest) -> ApiKey;
    /// Ends an API key.
    revoke_api_key(RevokeApiKeyRequest) -> RevokeApiKeyResponse;
    /// What a database demands of JWTs; empty if it has no settings of its own.
    get_jwt_settings(GetJwtSettingsRequest) -> JwtSettings;
    /// Sets what a database demands of JWTs; empty settings remove it.
    set_jwt_settings(SetJwtSettingsRequest) -> SetJwtSettingsResponse;
    /// Tries a JWT at a database.
    test_jwt(TestJwtRequest) -> TestJwtResponse;
    /// Creates a shared organisation.
    create_org(CreateOrgRequest) -> Org;
    /// Gives an organisation another name.
    rename_org(RenameOrgRequest) -> RenameOrgResponse;
    /// Deletes an organisation that has no databases left.
    delete_org(DeleteOrgRequest) -> DeleteOrgResponse;
    /// Gives a member another role.
    set_member_role(SetMemberRoleRequest) -> SetMemberRoleResponse;
    /// Removes a member, or leaves.
    remove_member(RemoveMemberRequest) -> RemoveMemberResponse;
    /// Makes an invitation; only this answer holds its code.
    create_invitation(CreateInvitationRequest) -> Invitation;
    /// Takes an invitation back.
    revoke_invitation(RevokeInvitationRequest) -> RevokeInvitationResponse;
    /// Joins the organisation that a code invites to.
    accept_invitation(AcceptInvitationRequest) -> Org;
    /// Ends a connection; its client may come again.
    close_connection(CloseConnectionRequest) -> CloseConnectionResponse;
    /// What the hub was started with. Operator only.
    get_settings(GetSettingsRequest) -> GetSettingsResponse;
    /// What the hub's numbers were. Operator only.
    get_series(GetSeriesRequest) -> GetSeriesResponse;
    /// Facts of the hub. Operator only.
    get_server_info(GetServerInfoRequest) -> GetServerInfoResponse;
    /// Lets a new key sign. Operator only.
    rotate_signing_key(RotateSigningKeyRequest) -> SigningKey;
    /// Removes a signing key, which voids what it signed. Operator only.
    retire_signing_key(RetireSigningKeyRequest) -> RetireSigningKeyResponse;
    /// Creates an account. Operator only.
    create_user(CreateUserRequest) -> CreateUserResponse;
    /// Locks a user out, or lets it in again. Operator only.
    disable_user(DisableUserRequest) -> DisableUserResponse;
    /// Lets a user operate the hub on the dashboard, or no longer. Operator only.
    set_user_operator(SetUserOperatorRequest) -> SetUserOperatorResponse;
    /// Has a code for a new password mailed, if there is an account of the address.
    request_password_reset(RequestPasswordResetRequest) -> RequestPasswordResetResponse;
    /// Proves the address to which the code was mailed.
    verify_email(VerifyEmailRequest) -> VerifyEmailResponse;
    /// Has a code mailed that proves the account's address.
    request_verification(RequestVerificationRequest) -> RequestVerificationResponse;
    /// Sends a mail now. Operator only.
    test_mail(TestMailRequest) -> TestMailResponse;
    /// Makes a code that resets a password. Operator only.
    issue_password_reset(IssuePasswordResetRequest) -> IssuePasswordResetResponse;
}

lists! {
    /// The user's sessions, oldest first.
    sessions: list_sessions(ListSessionsRequest) -> Session;
    /// The user's organisations, oldest first.
    orgs: list_orgs(ListOrgsRequest) -> Org;
    /// The members of an organisation.
    members: list_members(ListMembersRequest) -> Member;
    /// Invitations that wait to be accepted, oldest first.
    invitations: list_invitations(ListInvitationsRequest) -> Invitation;
    /// Live sync tokens of a database, oldest first.
    tokens: list_tokens(ListTokensRequest) -> TokenInfo;
    /// Connections of a database, in the order in which they were opened.
    connections: list_connections(ListConnectionsRequest) -> Connection;
    /// Live API keys of a database, oldest first.
    api_keys: list_api_keys(ListApiKeysRequest) -> ApiKey;
    /// The users of the hub, in the order in which they were made. Operator only.
    users: list_users(ListUsersRequest) -> User;
    /// The signing keys. Operator only.
    keys: list_signing_keys(ListSigningKeysRequest) -> SigningKey;
}

impl AdminClient {
    /// Clients of a database that do not get on. For admins.
    ///
    /// # Errors
    /// The hub's refusal, or no answer.
    pub async fn stuck_clients(&self, database: String) -> Result<Vec<rpc::StuckClient>> {
        let request = rpc::ListConnectionsRequest { database, page_size: 1, ..Default::default() };
        let answer = self.rpc.list_connections(request).await.map(UnaryResponse::into_owned);
        Ok(self.checked(answer)?.stuck)
    }
}
