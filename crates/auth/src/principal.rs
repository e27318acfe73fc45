//! Who acts, by the kind of credential that says so.

use std::{fmt, sync::Arc};

use ferry_types::{ApiKeyId, DatabaseId, OrgId, SessionId, TokenId, UserId};

use crate::{Role, jwt::KeyStanding, token::Verified};

/// The kinds of credentials that a data endpoint may meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CredentialKind {
    /// A macaroon for one database.
    SyncToken,
    /// A token of a foreign issuer that the database trusts.
    Jwt,
    /// A key that names an app, not a user.
    ApiKey,
    /// None, on a hub that runs with `--dev`.
    Anonymous,
    /// A login, which opens the admin APIs of the models.
    Session,
}

impl CredentialKind {
    /// Every kind.
    pub const ALL: &'static [Self] =
        &[Self::SyncToken, Self::Jwt, Self::ApiKey, Self::Anonymous, Self::Session];

    /// How messages call it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SyncToken => "token",
            Self::Jwt => "JWT",
            Self::ApiKey => "API key",
            Self::Anonymous => "anonymous caller",
            Self::Session => "session",
        }
    }
}

/// Whose macaroon it is, and everything whose change may revoke it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenHolder {
    /// Name of the key that signed.
    pub kid: u32,
    /// The user.
    pub user_id: UserId,
    /// The user's epoch when the token was minted.
    pub user_epoch: u32,
    /// The organisation whose membership it rests on: that of the database.
    pub org_id: OrgId,
    /// The login: a session's own, or the one that a sync token was minted from.
    pub session_id: SessionId,
    /// The token itself.
    pub token_id: TokenId,
}

impl TokenHolder {
    /// The holder of a verified token that acts in the organisation `org_id`.
    #[must_use]
    pub const fn of(token: &Verified, org_id: OrgId) -> Self {
        let claims = &token.claims;
        Self {
            kid: claims.kid,
            user_id: claims.user_id,
            user_epoch: claims.user_epoch,
            org_id,
            session_id: claims.session_id,
            token_id: claims.token_id,
        }
    }
}

/// By what a database trusts a JWT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JwtTrust {
    /// By its JWT settings, which name a foreign issuer.
    Settings,
    /// By keys of its own (FUN-50).
    OwnKeys,
}

/// The subject of a verified JWT, and what its standing rests on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JwtSubject {
    /// `iss`.
    pub issuer: Arc<str>,
    /// `sub`.
    pub subject: Arc<str>,
    /// `iat`, Unix seconds. A token without one cannot show that it is younger than a revocation.
    pub issued_unix: Option<i64>,
    /// Whose JWT settings let it in: the database's own, or the default one's where each store or user has a database.
    pub settings_of: DatabaseId,
    /// Version of those settings; any change of them ends it.
    pub settings_version: u64,
    /// Whether they are its JWT settings, or those of its own keys.
    pub trust: JwtTrust,
    /// Whether the key that signed is still published; its end is the JWT's.
    pub key: KeyStanding,
}

/// Who acts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Principal {
    /// The holder of a sync token.
    SyncToken {
        /// Whose it is.
        holder: TokenHolder,
        /// The database's epoch when it was minted.
        database_epoch: u32,
    },
    /// The subject of a JWT.
    Jwt(JwtSubject),
    /// An app.
    ApiKey(ApiKeyId),
    /// Nobody in particular (`--dev`).
    Anonymous,
    /// A login, at a model's admin API.
    Session {
        /// Whose it is.
        holder: TokenHolder,
        /// The role in the database's organisation when the request came.
        role: Role,
    },
}

impl Principal {
    /// The kind of credential that named it.
    #[must_use]
    pub const fn kind(&self) -> CredentialKind {
        match self {
            Self::SyncToken { .. } => CredentialKind::SyncToken,
            Self::Jwt(_) => CredentialKind::Jwt,
            Self::ApiKey(_) => CredentialKind::ApiKey,
            Self::Anonymous => CredentialKind::Anonymous,
            Self::Session { .. } => CredentialKind::Session,
        }
    }

    /// The user of this hub behind it, if there is one.
    #[must_use]
    pub const fn user_id(&self) -> Option<UserId> {
        match self {
            Self::SyncToken { holder, .. } | Self::Session { holder, .. } => Some(holder.user_id),
            Self::Jwt(_) | Self::ApiKey(_) | Self::Anonymous => None,
        }
    }

    /// Whose data is meant where data belongs to owners (REC-34): `u_…` for a user, `k_…` for an API key, `dev` for the
    /// anonymous caller of `--dev`, `jwt:<iss>#<sub>` for a JWT. No two principals of different kinds or issuers share
    /// one, whatever a JWT's `sub` says: [`subject_of`] leads back.
    #[must_use]
    pub fn owner(&self) -> Arc<str> {
        match self {
            Self::Jwt(jwt) => jwt_owner(&jwt.issuer, &jwt.subject).into(),
            Self::SyncToken { holder, .. } | Self::Session { holder, .. } => {
                holder.user_id.to_string().into()
            }
            Self::ApiKey(id) => id.to_string().into(),
            Self::Anonymous => ANONYMOUS_OWNER.into(),
        }
    }
}

/// Owner of what the anonymous caller of `--dev` writes.
pub const ANONYMOUS_OWNER: &str = "dev";
const JWT_OWNER: &str = "jwt:";

/// The owner that a JWT of `issuer` with `sub` names. A `#` in the issuer is escaped, so that the first one ends it.
#[must_use]
pub fn jwt_owner(issuer: &str, subject: &str) -> String {
    format!("{JWT_OWNER}{}#{subject}", issuer.replace('%', "%25").replace('#', "%23"))
}

/// The name of an owner at its issuer: of a JWT its `sub`, of all others the whole.
#[must_use]
pub fn subject_of(owner: &str) -> &str {
    let rest = owner.strip_prefix(JWT_OWNER).and_then(|rest| rest.split_once('#'));
    rest.map_or(owner, |(_, subject)| subject)
}

/// One string for logs, hooks and audit rows: `u_…`, `jwt:<iss>#<sub>`, `k_…` or `anonymous`.
impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SyncToken { holder, .. } | Self::Session { holder, .. } => holder.user_id.fmt(f),
            Self::Jwt(jwt) => write!(f, "jwt:{}#{}", jwt.issuer, jwt.subject),
            Self::ApiKey(id) => id.fmt(f),
            Self::Anonymous => f.write_str("anonymous"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_a_name_and_an_owner_that_no_other_kind_has() {
        let of = |issuer: &str, subject: &str| {
            Principal::Jwt(JwtSubject {
                issuer: issuer.into(),
                subject: subject.into(),
                issued_unix: None,
                settings_of: "db_3f2b9c1e-5d44-4a7b-8e11-0a6c7d902153".parse().unwrap(),
                settings_version: 1,
                trust: JwtTrust::Settings,
                key: Default::default(),
            })
        };
        let jwt = of("https://id.example", "ada");
        assert_eq!(
            (jwt.to_string().as_str(), &*jwt.owner()),
            ("jwt:https://id.example#ada", "jwt:https://id.example#ada")
        );
        assert_eq!(of("a#b", "c").owner(), "jwt:a%23b#c".into());
        assert_ne!(of("a#b", "c").owner(), of("a", "b#c").owner());
        assert_ne!(of("a#b", "c").owner(), of("a%23b", "c").owner());
        for (owner, subject) in [("jwt:https://id.example#a#b", "a#b"), ("u_1", "u_1"), ("jwt:x", "jwt:x")] {
            assert_eq!(subject_of(owner), subject);
        }
        let key = Principal::ApiKey("k_3f2b9c1e-5d44-4a7b-8e11-0a6c7d902153".parse().unwrap());
        let id = "k_3f2b9c1e-5d44-4a7b-8e11-0a6c7d902153";
        assert_eq!((key.to_string().as_str(), &*key.owner()), (id, id));
        assert_eq!(
            (Principal::Anonymous.to_string().as_str(), &*Principal::Anonymous.owner()),
            ("anonymous", "dev")
        );
        assert_eq!(key.user_id(), None);
    }
}
