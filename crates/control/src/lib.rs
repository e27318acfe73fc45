//! The control plane: accounts, organisations, databases, credentials (control.md). `control.db` is written by
//! one actor with group commit; everything that a request needs to be let in stands in memory.

mod audit;
mod audit_action;
mod caller;
mod config;
mod control_db;
mod credentials;
mod databases;
mod directory;
mod host;
mod identity;
mod kept_copy;
mod lineage;
mod mail;
mod origin;
mod private_files;
mod random;
mod reads;
mod schema;
mod start;
mod sweep;
#[cfg(test)]
mod tests;
mod web_origins;

use std::sync::Arc;

use ferry_auth::{AuthContext, Role};
use ferry_http_client::HttpClient;
use ferry_types::{DatabaseId, DatabaseKind, Error, OrgId, Reason, Result, UserId};

pub use audit_action::{AuditAction, OperatorAction};
pub use caller::{Access, Caller};
pub use config::{
    ControlConfig, GitHubUrls, MailPolicy, OAuthClient, OAuthConfig, Signup, StartError, StoreAccess,
};
pub use control_db::ControlDb;
pub use credentials::{
    api_keys::{
        NewApiKey, create::CreateApiKey, list::ListApiKeys, revoke::RevokeApiKey, rotate::RotateApiKey,
        spec::ApiKeySpec,
    },
    authenticate::Authenticator,
    budgets::{Budgets, Meter},
    carried::{BEARER_PROTOCOL, ClientInfo, Credentials},
    functions::{
        authenticate::{BearerFault, FunctionCredential, FunctionRefusal},
        import_key::ImportFunctionKey,
        rotate_key::RotateFunctionKey,
        set_auth::SetFunctionAuth,
        set_secrets::SetFunctionSecrets,
        sign::SignJwt,
        verify::VerifyJwt,
        view::FunctionEnv,
    },
    jwt_settings::{
        get::GetJwtSettings,
        set::SetJwtSettings,
        test::{JwtTrial, TestJwt},
    },
    requester::Requester,
    right::{ADMINISTRATION, DATA, DATA_WITH_CREDENTIAL, Right, SYNC_BEARERS},
    signing_keys::{SigningKeys, list::ListSigningKeys, retire::RetireSigningKey, rotate::RotateSigningKey},
    tokens::{
        issue::{IssueSyncToken, IssueToken, IssuedToken, TokenLives},
        list::{ListTokens, TokenInfo},
        revoke::RevokeToken,
        revoke_all::RevokeDatabaseTokens,
    },
    watch::{RightsEnd, RightsWatch},
};
pub use databases::{
    connections::{NoteClosedConnection, SeeConnections},
    create::CreateDatabase,
    delete::DeleteDatabase,
    fork::ForkDatabase,
    get::GetDatabase,
    kinds::{KindClaim, Kinds, wrong_kind},
    list::{ListAllDatabases, ListDatabases},
    query::{LookInto, NoteQuery},
    rename::RenameDatabase,
    restore::{AdministerBackups, NoteRestore},
    storage::{DatabaseStorage, DeletedDatabase},
    tenants::Tenants,
    watermarks::Watermarks,
};
pub use directory::{
    api_key_rows::{ApiKeyInfo, ApiKeyLimits},
    entries::DatabaseEntry,
    load::databases_in,
};
pub use host::{DatabaseHost, DatabaseStats};
pub use identity::{
    accounts::Accounts,
    audit_trail::{AuditEvent, AuditRows, ListAuditEvents, ListHubAuditEvents},
    email::check_email,
    first_operator::SignUpOperator,
    invitations::{
        Invitation,
        accept::AcceptInvitation,
        create::{CreateInvitation, MadeInvitation},
        list::ListInvitations,
        revoke::RevokeInvitation,
    },
    login::LogIn,
    members::{Member, list::ListMembers, remove::RemoveMember, set_role::SetMemberRole},
    oauth::{CompleteOAuth, OAuth, Return, StartOAuth},
    orgs::{create::CreateOrg, delete::DeleteOrg, list::ListOrgs, rename::RenameOrg},
    passwords::{
        change::ChangePassword,
        issue_reset::{IssuePasswordReset, ResetCode},
        request_reset::RequestPasswordReset,
        reset::ResetPassword,
    },
    sessions::{
        SignedInAt,
        list::{ListSessions, SessionInfo},
        refresh::RefreshSession,
        revoke::RevokeSession,
        revoke_all::RevokeAllSessions,
    },
    signup::SignUp,
    users::{
        create::CreateUser,
        delete::DeleteAccount,
        disable::DisableUser,
        list::{ListUsers, UserInfo},
        operator::SetUserOperator,
    },
    verification::{request::RequestVerification, verify::VerifyEmail},
    whoami::{GetWhoami, OrgMembership, Session, Whoami},
};
pub use lineage::{
    BreakRow, DatabaseBreak, KnownLineage, LineageBook, LineageRows, LineageStep, ListLineageSteps, NewRun,
    read_lineage,
};
pub use mail::{ClaimMail, LookAtOutbox, MailBacklog, MailKind, MailRefused, MailSent, WaitingMail};
pub use origin::{ClientIp, OperatingUser, Origin};
pub use private_files::{refuse_wider, shell_word};
pub use schema::{ControlSchema, SchemaStep, read_schema};
pub use web_origins::{origin_matches, parse_origin};

/// The control plane of one hub: its parts, which verbs are handed.
pub struct Control {
    config: ControlConfig,
    hub_id: String,
    http_client: Arc<HttpClient>,
    /// `control.db`.
    pub db: Arc<ControlDb>,
    /// Who calls.
    pub authenticator: Authenticator,
    /// Byte budgets of tokens.
    pub budgets: Budgets,
    /// Keys that sign.
    pub signing_keys: SigningKeys,
    /// Kinds of databases.
    pub kinds: Kinds,
    /// Databases of users and stores.
    pub tenants: Tenants,
    /// Positions of logs.
    pub watermarks: Watermarks,
    /// Runs and breaks.
    pub lineage: LineageBook,
    /// Files of databases.
    pub storage: Arc<DatabaseStorage>,
    /// Logins, signups, passwords.
    pub accounts: Arc<Accounts>,
    /// Logins at providers.
    pub oauth: OAuth,
    /// How long sync tokens live.
    pub token_lives: TokenLives,
    /// Databases of one organisation.
    pub max_databases_per_org: u64,
}

impl Control {
    /// What tells this hub from others.
    #[must_use]
    pub fn hub_id(&self) -> &str {
        &self.hub_id
    }

    /// The client with which the hub asks others.
    #[must_use]
    pub const fn http_client(&self) -> &Arc<HttpClient> {
        &self.http_client
    }

    /// A database that exists.
    #[must_use]
    pub fn database(&self, id: DatabaseId) -> Option<DatabaseEntry> {
        self.db.database(id)
    }

    /// The database of this id, or of this name if no other of the hub has it: as the operator names one.
    ///
    /// # Errors
    /// When there is none, or there are several.
    pub fn database_on_hub(&self, text: &str) -> Result<DatabaseId> {
        let directory = self.db.directory();
        if let Some(entry) = text.parse().ok().and_then(|id| directory.database(id)) {
            return Ok(entry.id);
        }
        let mut named = directory.databases().filter(|entry| entry.name.as_ref() == text);
        match (named.next(), named.next()) {
            (Some(entry), None) => Ok(entry.id),
            (None, _) => Err(Error::new(Reason::NotFound, "database not found")),
            (Some(_), Some(_)) => {
                let message = "several databases have this name: give the id of one";
                Err(Error::new(Reason::InvalidArgument, message))
            }
        }
    }

    /// The database that credentials mean which name none.
    #[must_use]
    pub fn default_database(&self) -> Option<DatabaseId> {
        self.db.directory().default_database()
    }

    /// All databases of this kind, in order of their ids.
    #[must_use]
    pub fn databases_of_kind(&self, kind: DatabaseKind) -> Vec<DatabaseId> {
        databases::of_kind(&self.db, kind)
    }

    /// The only issuer whose JWTs reach a database; `None` where any does, or none.
    #[must_use]
    pub fn jwt_issuer(&self, id: DatabaseId) -> Option<Arc<str>> {
        databases::jwt_issuer::jwt_issuer(&self.db, id)
    }

    /// Resolves when there is a mail to send that was not there before.
    pub async fn mail_waits(&self) {
        self.db.outbox().woken().await;
    }

    /// Somebody else may look for mails to send, too.
    pub fn wake_mail(&self) {
        self.db.outbox().wake();
    }

    /// How many users there are.
    #[must_use]
    pub fn user_count(&self) -> usize {
        self.db.directory().user_count()
    }

    /// A new code by which the first account may operate the hub; `None`: there are accounts.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub fn operator_code(&self) -> Result<Option<String>> {
        if self.user_count() > 0 {
            return Ok(None);
        }
        self.accounts.operator_code.renew(self.db.now()).map(Some)
    }

    /// Whether the user is an admin of the organisation now.
    #[must_use]
    pub fn is_admin(&self, user: UserId, org: OrgId) -> bool {
        self.db.directory().role(user, org) == Some(Role::Admin)
    }

    /// Whether the user may operate the hub now.
    #[must_use]
    pub fn operates(&self, user: UserId) -> bool {
        self.db.directory().user(user).is_some_and(|user| user.operator && !user.disabled)
    }

    /// How many databases there are.
    #[must_use]
    pub fn database_count(&self) -> usize {
        self.db.directory().database_count()
    }

    /// The holder of `auth`, for a request that was let in with `rights`.
    #[must_use]
    pub fn requester(&self, auth: &AuthContext, rights: &[Right], origin: Origin) -> Requester {
        Requester::new(&self.db, auth, rights, origin)
    }

    /// Watches what `auth` may lose while its connection lives.
    #[must_use]
    pub fn watch(&self, auth: &AuthContext) -> RightsWatch {
        RightsWatch::new(&self.db, auth)
    }

    /// Whether the last change of `control.db` reached the disk. While it is false, existing tokens still
    /// verify, and asking starts an attempt to write, so that the answer follows once the disk is well.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        self.db.is_healthy()
    }

    /// Stores the bytes that were counted, and when keys were used last. The hub calls it every [`USAGE_FLUSH_MS`] and
    /// at its end.
    ///
    /// [`USAGE_FLUSH_MS`]: ferry_types::limits::USAGE_FLUSH_MS
    pub async fn flush_usage(&self) {
        self.authenticator.api_keys.flush().await;
        self.budgets.flush().await;
    }

    /// Keeps the key sets fresh that open connections rest on (JWT-04). The hub calls it every few seconds.
    pub fn refresh_key_sets(&self) {
        self.authenticator.jwts.refresh_key_sets();
    }

    /// Finishes accepted writes and closes `control.db`.
    pub async fn stop(&self) {
        self.db.stop().await;
    }
}
