//! The way in for every request of data, whatever its model: carriers → credential → rights → database → byte budget →
//! kind.
//!
//! A model says what it asks as data ([`Policy`]) and gets a [`RequestContext`], or an error that it encodes for its wire. Entering
//! changes nothing but what the policy allows to be made. What is read later, and what is committed, is judged again by
//! [`RequestContext::requester`] (TOK-17); a connection that lives on is ended by [`RequestContext::watch`] (TOK-13).

mod carriers;
mod kind;

use std::sync::Arc;

use ferry_auth::AuthContext;
use ferry_types::{DatabaseId, DatabaseKind, Model, Op, Result};
use http::request::Parts;

use crate::{
    connections::{ConnectionHead, ConnectionOwner, OpenConnection, PusherKey},
    database::Database,
    http::{PageRoom, RequestBody, request_origin},
    hub::Hub,
    rights::Right,
};
use ferry_control::{ClientInfo, Meter, Requester, RightsWatch};

pub(crate) use carriers::{Carriers, cookie};
pub(crate) use kind::{FirstWrite, check_kind};

/// What a client calls itself, on the wires that have a name for it.
const CLIENT_HEADER: &str = "x-client-id";
/// Longest such name that is looked at, bytes.
const CLIENT_NAME_MAX_BYTES: usize = 256;

/// On a request of the dashboard that reads data: its session reads as a token of its holder would.
#[derive(Clone, Copy)]
pub(crate) struct SessionReads;

/// On a request of the dashboard.
#[derive(Clone, Copy)]
pub(crate) struct AskedByPage {
    /// How long a session may live that it opens.
    pub(crate) session_max_seconds: i64,
}

/// What an endpoint asks of a request.
pub(crate) struct Policy<'r> {
    /// Where the credential may stand.
    pub(crate) carriers: Carriers<'r>,
    /// `{db}` of the path: an id, a name, or `-` for the credential's. `None`: the wire has no such path.
    pub(crate) path: Option<&'r str>,
    /// Which database is meant by callers whose credential names none; `None`: the default one.
    pub(crate) tenant: Option<Tenant<'r>>,
    /// What the credential must allow.
    pub(crate) needs: Needs<'r>,
    /// What must be allowed still when something is committed.
    pub(crate) commits: &'r [Right],
    /// What else is asked of the credential, before a database is looked for or made.
    pub(crate) condition: &'r (dyn Fn(&AuthContext) -> Result<()> + Sync),
    /// Whoever has this right may have what is missing made: a tenant's database, a store. `None`: nobody.
    pub(crate) creates: Option<Right>,
    /// The kind that the database is of, or may become. `None`: the model asks by [`check_kind`] once it can tell.
    pub(crate) kind: Option<DatabaseKind>,
}

/// Rights that let in.
#[derive(Clone, Copy)]
pub(crate) enum Needs<'r> {
    /// Each of them.
    All(&'r [Right]),
    /// One of them; the refusal is that of the first.
    Any(&'r [Right]),
}

/// How databases are told apart that stand beside the default one.
#[derive(Clone, Copy)]
pub(crate) enum Tenant<'r> {
    /// Each subject of a JWT has one (records specification, 2.1).
    User,
    /// Each event store has one (EVT-50).
    Store(&'r str),
    /// The operator has put the store into this one. Credentials of another database do not reach it (EVT-50).
    Mapped(&'r str),
}

/// Who was let in, and to what.
#[derive(Clone)]
pub(crate) struct RequestContext {
    pub(crate) auth: AuthContext,
    pub(crate) database: Arc<Database>,
    /// Whose request it is, for the audit trail, with the rights that its commits need.
    pub(crate) requester: Arc<Requester>,
    /// What it may transfer: every body and frame is charged, in both directions.
    pub(crate) meter: Meter,
    /// Whether what is missing may be made.
    pub(crate) may_create: bool,
}

impl RequestContext {
    /// How many bytes a page may have of at most `most`: few for somebody who takes nothing of what he asked for.
    pub(crate) fn page_max(&self, hub: &Hub, most: usize) -> usize {
        hub.untaken.page_max(&self.requester.principal, most)
    }

    /// Where pages that are made for this request ask for room.
    pub(crate) fn page_room(&self, hub: &Hub) -> PageRoom {
        hub.untaken.room(&self.requester.principal)
    }

    /// Refuses to make a long answer for somebody who takes nothing of those that he asked for.
    ///
    /// # Errors
    /// `BUSY`.
    pub(crate) fn check_room(&self, hub: &Hub) -> Result<()> {
        hub.untaken.check_room(&self.requester.principal)
    }

    /// Enters the connection that the request with this head has become, for as long as what is returned lives.
    pub(crate) fn connect(
        &self,
        hub: &Hub,
        head: ConnectionHead,
        wire: (Model, &'static str),
    ) -> OpenConnection {
        let owner = ConnectionOwner {
            principal: Arc::clone(&self.requester.principal),
            user: self.auth.principal.user_id(),
            ip: self.requester.origin.ip,
        };
        hub.connections.enter(&self.database, owner, head, wire, hub.clock.now())
    }

    /// Watches the rights while a connection lives.
    pub(crate) fn watch(&self, hub: &Hub) -> RightsWatch {
        hub.control.watch(&self.auth)
    }
}

/// Lets the request with this head in, or says why not. Of whoever has a credential of a database and is not let in to write
/// there it is noted: the client tries again in silence.
///
/// # Errors
/// See [`authenticate`] and [`authorize`].
pub(crate) async fn enter(hub: &Hub, parts: &Parts, policy: &Policy<'_>) -> Result<RequestContext> {
    let verified = verify(hub, parts, policy).await;
    let holder = match &verified {
        Ok(auth) => Some((auth.database_id, auth.principal())),
        Err(_) => holder_of_ended(hub, parts, policy),
    };
    let entered = match verified.and_then(|auth| policy.needs.check(&auth).map(|()| auth)) {
        Ok(auth) => authorize(hub, parts, policy, auth).await,
        Err(error) => Err(error),
    };
    if let (Some((database, principal)), Some(model)) = (holder, policy.needs.written()) {
        let named = parts.headers.get(CLIENT_HEADER).and_then(|value| value.to_str().ok());
        let named = named.filter(|name| (1..=CLIENT_NAME_MAX_BYTES).contains(&name.len())).map(str::to_owned);
        let nameless = || format!("{principal} at {}", request_origin(parts).ip);
        let client = || named.unwrap_or_else(nameless).into();
        let pusher =
            || PusherKey { database, model, scope: Box::default(), client: client(), is_let_in: false };
        hub.stuck.pushed(entered.as_ref().map(drop), pusher, String::new, hub.clock.now());
    }
    entered
}

/// Whose the credential is. The first half of [`enter`], for a wire that keeps account of whom it refuses.
///
/// # Errors
/// 401 for no credential or a bad one, 403 for one that may not do this, 404 for a database that is not its own.
pub(crate) async fn authenticate(hub: &Hub, parts: &Parts, policy: &Policy<'_>) -> Result<AuthContext> {
    let auth = verify(hub, parts, policy).await?;
    policy.needs.check(&auth)?;
    Ok(auth)
}

/// Whose credential it was that lets nobody in any more, and of which database: a sync token of this hub that has ended or was
/// revoked. Of what strangers bring nothing is known.
pub(crate) fn holder_of_ended(hub: &Hub, parts: &Parts, policy: &Policy<'_>) -> Option<(DatabaseId, String)> {
    let credentials = policy.carriers.credentials(parts)?;
    let (database, user) = hub.control.authenticator.holder_of_ended(&credentials)?;
    Some((database, user.to_string()))
}

async fn verify(hub: &Hub, parts: &Parts, policy: &Policy<'_>) -> Result<AuthContext> {
    let origin = request_origin(parts);
    // A map only says where a store is; that database's own settings say whose tokens it takes.
    let mapped = match policy.tenant {
        Some(Tenant::Mapped(name)) if hub.control.tenants.has_own_jwt_settings(name) => Some(name),
        _ => None,
    };
    let auth = match policy.carriers.credentials(parts) {
        Some(credentials) => {
            let client = ClientInfo::of(origin.ip, &parts.headers);
            hub.control.authenticator.authenticate(&credentials, &client, policy.path.or(mapped)).await?
        }
        None => hub.control.authenticator.sync_bearer(&parts.headers, origin.ip)?,
    };
    Ok(if parts.extensions.get::<SessionReads>().is_some() { auth.with_reads() } else { auth })
}

/// What the holder of `auth` is let in to. The second half of [`enter`].
///
/// # Errors
/// What the policy's condition says, 404 for a database that is missing, 409 `WRONG_KIND`, 429 for a byte budget that is
/// spent, 503.
pub(crate) async fn authorize(
    hub: &Hub,
    parts: &Parts,
    policy: &Policy<'_>,
    auth: AuthContext,
) -> Result<RequestContext> {
    (policy.condition)(&auth)?;
    let origin = request_origin(parts);
    let may_create = policy.creates.is_some_and(|right| right.check(&auth).is_ok());
    let control = &hub.control;
    let auth = match policy.tenant {
        Some(Tenant::User) => control.tenants.in_user_database(auth, &origin).await?,
        Some(Tenant::Store(id)) => control.tenants.in_store_database(auth, id, may_create, &origin).await?,
        Some(Tenant::Mapped(name)) => {
            control.tenants.in_mapped_database(auth, name, may_create, &origin).await?
        }
        None => auth,
    };
    let meter = control.budgets.meter(&auth).await?;
    if let Some(kind) = policy.kind {
        check_kind(hub, auth.database_id, kind)?;
    }
    ferry_trace::note("ferry.database", || auth.database_id.to_string());
    let database = hub.databases.get(auth.database_id)?;
    let requester = Arc::new(control.requester(&auth, policy.commits, origin));
    if let Some(body) = parts.extensions.get::<RequestBody>() {
        body.belongs_to(&requester.principal);
    }
    Ok(RequestContext { auth, database, requester, meter, may_create })
}

/// A condition that everybody meets.
pub(crate) fn anybody(_: &AuthContext) -> Result<()> {
    Ok(())
}

impl Needs<'_> {
    /// The model that whoever meets them may write.
    fn written(self) -> Option<Model> {
        let Self::All(rights) = self else { return None };
        rights.iter().find(|right| right.op == Op::Write).map(|right| right.model)
    }

    fn check(self, auth: &AuthContext) -> Result<()> {
        match self {
            Self::All(rights) => rights.iter().try_for_each(|right| right.check(auth)),
            Self::Any(rights) => {
                let refused = |right: &Right| right.check(auth).err();
                let first = rights.first().and_then(refused);
                match first.filter(|_| rights.iter().all(|right| refused(right).is_some())) {
                    Some(error) => Err(error),
                    None => Ok(()),
                }
            }
        }
    }
}
