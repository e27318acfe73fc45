//! Ferry's own messages: what the control plane answers, as the wire carries it.

use std::str::FromStr;

use ferry_auth::{Caveat, keyring::KeyInfo};
use ferry_control::{
    DatabaseEntry, DatabaseStats, IssueToken, OrgMembership, Session, SessionInfo, TokenInfo, Whoami,
};
use ferry_protocol::rpc::ferry::admin::v1 as wire;
use ferry_types::{DatabaseKind, Error, ModelSet, Op, OpSet, Reason, Result, SessionId, UnixMillis};

pub(super) fn org(org: OrgMembership) -> wire::Org {
    wire::Org {
        id: org.id.to_string(),
        name: org.name,
        role: org.role.to_string(),
        personal: org.personal,
        ..Default::default()
    }
}

pub(super) fn whoami(whoami: Whoami) -> wire::WhoamiInfo {
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
        operator: whoami.operator,
        ..Default::default()
    }
}

pub(super) fn auth_response(session: Session) -> wire::AuthResponse {
    wire::AuthResponse {
        session_token: session.token,
        whoami: whoami(session.whoami).into(),
        ..Default::default()
    }
}

fn unix(at: Option<UnixMillis>) -> i64 {
    at.map_or(0, UnixMillis::as_secs)
}

fn model_stats(stats: &ferry_database::ModelStats) -> wire::Lane {
    wire::Lane {
        model: stats.model.to_string(),
        head_seq: stats.head_seq.0,
        items: stats.items,
        bytes: stats.bytes,
        last_activity_unix: unix(stats.last_activity),
        ..Default::default()
    }
}

pub(super) fn database(entry: &DatabaseEntry, stats: &DatabaseStats) -> wire::Database {
    wire::Database {
        id: entry.id.to_string(),
        org_id: entry.org_id.to_string(),
        name: entry.name.to_string(),
        created_at_unix: entry.created.as_secs(),
        size_bytes: stats.size_bytes,
        seq: stats.seq.0,
        lanes: stats.models.iter().map(model_stats).collect(),
        last_activity_unix: unix(stats.last_activity),
        connections: stats.connections,
        tag: stats.tag.map(|tag| tag.to_string()).unwrap_or_default(),
        kind: entry.kind.map(DatabaseKind::as_str).unwrap_or_default().to_owned(),
        ..Default::default()
    }
}

fn invalid(message: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(Reason::InvalidArgument, message)
}

/// A list of words of one vocabulary; empty if none are given.
pub(super) fn words<T, S>(field: &str, list: &[String]) -> Result<S, Error>
where
    T: FromStr<Err: std::fmt::Display>,
    S: FromIterator<T>,
{
    let parse = |word: &String| word.parse().map_err(|error: T::Err| invalid(format!("{field}: {error}")));
    list.iter().map(parse).collect()
}

/// The token that a request asks for: `direction` or `ops`, not both; no models: all (TOK-06).
pub(super) fn issue_token(request: wire::IssueSyncTokenRequest) -> Result<IssueToken, Error> {
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

pub(super) fn session(session: SessionInfo, own: SessionId) -> wire::Session {
    wire::Session {
        id: session.id.to_string(),
        label: session.label,
        ip: session.ip,
        created_unix: session.created.as_secs(),
        last_seen_unix: session.last_seen.as_secs(),
        exp_unix: session.expires.as_secs(),
        current: session.id == own,
        ..Default::default()
    }
}

pub(super) fn token(token: TokenInfo) -> wire::TokenInfo {
    wire::TokenInfo {
        token_id: token.token_id.to_string(),
        user_id: token.user_id.to_string(),
        label: token.label,
        models: token.models.iter().map(|model| model.to_string()).collect(),
        ops: token.ops.iter().map(|op| op.to_string()).collect(),
        issued_unix: token.issued.as_secs(),
        exp_unix: token.expires.as_secs(),
        ..Default::default()
    }
}

pub(super) fn signing_key(key: KeyInfo) -> wire::SigningKey {
    wire::SigningKey {
        kid: format!("{:08x}", key.kid),
        state: key.state.as_str().to_owned(),
        created_unix: key.created_unix,
        ..Default::default()
    }
}
