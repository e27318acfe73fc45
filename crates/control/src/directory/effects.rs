//! What commits of `control.db` tell the directory.

use std::sync::Arc;

use ferry_auth::{KeyRing, Role, jwt::JwtSettings};
use ferry_types::{DatabaseId, DatabaseKind, OrgId, SessionId, TokenId, UnixMillis, UserId};

use crate::directory::{
    api_keys::ApiKeyEntry,
    entries::{DatabaseEntry, RevokedSession},
    function_rows::FunctionRows,
};

/// What a commit of `control.db` changed.
#[derive(Clone, Debug)]
pub(crate) enum ControlEffect {
    /// Other signing keys.
    KeysChanged(Arc<KeyRing>),
    /// A user with a personal organisation.
    UserCreated {
        user_id: UserId,
        email: String,
        email_verified: bool,
        operator: bool,
        org_id: OrgId,
        org_name: String,
    },
    /// The user may operate the hub, or may no longer.
    OperatorChanged {
        user_id: UserId,
        operator: bool,
    },
    /// The user proved to own the e-mail address.
    EmailVerified {
        user_id: UserId,
    },
    /// All credentials of an older epoch are revoked.
    UserChanged {
        user_id: UserId,
        epoch: u32,
        disabled: bool,
    },
    /// The account is gone.
    UserDeleted {
        user_id: UserId,
    },
    /// A login was ended before its time.
    SessionRevoked {
        session_id: SessionId,
        user_id: UserId,
        revoked: RevokedSession,
    },
    /// A sync token was revoked.
    TokenRevoked {
        token_id: TokenId,
        user_id: UserId,
        /// When it would have ended anyway.
        expires_unix: i64,
    },
    /// A shared organisation.
    OrgCreated {
        id: OrgId,
        name: String,
    },
    OrgRenamed {
        id: OrgId,
        name: String,
    },
    OrgDeleted {
        id: OrgId,
    },
    /// A user joined an organisation, has another role there, or (`None`) left it.
    MembershipChanged {
        user_id: UserId,
        org_id: OrgId,
        role: Option<Role>,
    },
    DatabaseCreated(DatabaseEntry),
    /// All sync tokens of an older epoch, and all older JWTs, are revoked.
    DatabaseEpoch {
        id: DatabaseId,
        epoch: u32,
        /// JWTs issued before are revoked too.
        jwt_not_before: UnixMillis,
    },
    ApiKeyCreated(ApiKeyEntry),
    /// The key ends earlier than it would have: it was rotated.
    ApiKeyExpires {
        digest: [u8; 32],
        database_id: DatabaseId,
        expires: UnixMillis,
    },
    ApiKeyRevoked {
        digest: [u8; 32],
        database_id: DatabaseId,
    },
    DatabaseRenamed {
        id: DatabaseId,
        name: Arc<str>,
    },
    DatabaseDeleted {
        id: DatabaseId,
    },
    /// Other JWT settings, or none.
    JwtChanged {
        id: DatabaseId,
        settings: Option<Arc<JwtSettings>>,
    },
    /// Other settings, keys or secrets of functions.
    FunctionsChanged {
        id: DatabaseId,
        rows: Arc<FunctionRows>,
    },
    KindChanged {
        id: DatabaseId,
        kind: Option<DatabaseKind>,
    },
}
