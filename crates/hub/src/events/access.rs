//! Who connects, to which store, and with which rights (EVT-50, EVT-51).

use std::sync::Arc;

use ferry_auth::AuthContext;
use ferry_core::events::Rights;
use ferry_protocol::events::{ConnectQuery, Transport};
use ferry_types::{
    Code, DatabaseId, DatabaseKind, Error, Model, Reason, Result, limits::EVENTS_FULL_RETRY_MS,
};
use http::request::Parts;

use super::{
    ahead::whose,
    cors,
    hooks::PresentedPayload,
    open_store, refusal, scope,
    store::{Store, Subscriber},
};

use crate::{
    connections::{ConnectionHead, OpenConnection},
    entry::{self, Carriers, Needs, Policy, RequestContext, Tenant, cookie},
    http::request_origin,
    hub::Hub,
    rights::{EVENTS_APPEND, EVENTS_READ, Right},
};

/// Keys of the app's payload that carry a credential.
const PAYLOAD_NAMES: &[&str] = &["authToken", "token", "apiKey"];

/// What a request names.
pub(super) struct ConnectRequest<'r> {
    pub(super) parts: &'r Parts,
    /// `{db}` of its path.
    pub(super) route: Option<&'r str>,
    pub(super) query: &'r ConnectQuery,
}

/// Everything that a connection or call is let in with.
pub(super) struct EventsEntry {
    pub(super) context: RequestContext,
    pub(super) store: Arc<Store>,
    pub(super) rights: Rights,
    /// What a hook is shown again at each push, if there was one.
    pub(super) presented: Option<Arc<PresentedPayload>>,
    _subscriber: Subscriber,
    /// It counts as open as long as this lives.
    pub(super) connection: OpenConnection,
}

/// What `auth` lets its holder do here.
pub(super) fn rights(auth: &AuthContext) -> Rights {
    let may = |right: Right| right.check(auth).map_err(|error| refusal::rpc_error(&error));
    Rights { read: may(EVENTS_READ), write: may(EVENTS_APPEND) }
}

/// Why nobody was let in, and in which database he asked, if his credential is one.
pub(super) struct NotAdmitted {
    pub(super) error: Error,
    pub(super) database: Option<DatabaseId>,
}

impl From<Error> for NotAdmitted {
    fn from(error: Error) -> Self {
        Self { error, database: None }
    }
}

/// Checks the credential and opens the store. Whoever has a credential and is not let in all the same is noted: his
/// client tries again in silence.
///
/// # Errors
/// What stands in place of an upgrade (section 2.7).
pub(super) async fn enter(hub: &Arc<Hub>, wanted: &ConnectRequest<'_>) -> Result<EventsEntry, NotAdmitted> {
    let store_id = &*wanted.query.store_id;
    if hub.config.events.store_id_pattern.as_ref().is_some_and(|pattern| !pattern.is_match(store_id)) {
        let message = "storeId does not fit this hub's events.store_id_pattern";
        let error = Error::new(Reason::InvalidArgument, message);
        note_bad_store(hub, wanted, &error).await;
        return Err(error.into());
    }
    let condition = |auth: &AuthContext| scope::check(auth, store_id);
    let policy = policy(hub, wanted, &condition);
    let auth = match entry::authenticate(hub, wanted.parts, &policy).await {
        Ok(auth) => auth,
        Err(error) => {
            if let Some((asked_in, holder)) = entry::holder_of_ended(hub, wanted.parts, &policy) {
                let whose = whose(&holder, request_origin(wanted.parts).ip);
                note(hub, (asked_in, store_id), &whose, &error);
            }
            return Err(error.into());
        }
    };
    let database = Some(auth.database_id);
    let (asked_in, whose) = (auth.database_id, whose_of(wanted.parts, &auth));
    match admit(hub, wanted, &policy, auth).await {
        Ok(entry) => {
            hub.services.events.clients.admitted((entry.context.database.id(), store_id), &whose);
            Ok(entry)
        }
        Err(error) => {
            note(hub, (asked_in, store_id), &whose, &error);
            Err(NotAdmitted { error, database })
        }
    }
}

/// Notes a connection whose `storeId` can name no store, if its credential is one (see [`enter`]).
pub(super) async fn note_bad_store(hub: &Hub, wanted: &ConnectRequest<'_>, error: &Error) {
    if let Ok(auth) = entry::authenticate(hub, wanted.parts, &policy(hub, wanted, &entry::anybody)).await {
        let whose = whose_of(wanted.parts, &auth);
        note(hub, (auth.database_id, &wanted.query.store_id), &whose, error);
    }
}

fn whose_of(parts: &Parts, auth: &AuthContext) -> String {
    whose(&auth.principal(), request_origin(parts).ip)
}

fn note(hub: &Hub, store: (DatabaseId, &str), whose: &str, error: &Error) {
    let now = hub.clock.now();
    hub.services.events.clients.refused(store, whose, (refusal::word(error), &error.message), now);
}

/// What LiveStore's wire asks: the right to read or to append, at a hub-wide path in the database where the operator has
/// put the store.
fn policy<'r>(
    hub: &'r Hub,
    wanted: &ConnectRequest<'r>,
    condition: &'r (dyn Fn(&AuthContext) -> Result<()> + Sync),
) -> Policy<'r> {
    let config = &hub.config.events;
    let store_id = &*wanted.query.store_id;
    let tenant = match config.mapped(store_id) {
        _ if wanted.route.is_some() => None,
        Some(name) => Some(Tenant::Mapped(name)),
        None => config.database_per_store.then_some(Tenant::Store(store_id)),
    };
    Policy {
        carriers: carriers(hub, wanted),
        path: wanted.route,
        tenant,
        needs: Needs::Any(&[EVENTS_READ, EVENTS_APPEND]),
        commits: &[EVENTS_APPEND],
        condition,
        creates: config.auto_create.then_some(EVENTS_APPEND),
        kind: Some(DatabaseKind::Hub),
    }
}

async fn admit(
    hub: &Arc<Hub>,
    wanted: &ConnectRequest<'_>,
    policy: &Policy<'_>,
    auth: AuthContext,
) -> Result<EventsEntry> {
    let store_id = &*wanted.query.store_id;
    let context = entry::authorize(hub, wanted.parts, policy, auth).await?;
    let presented = PresentedPayload::admit(hub, &context, wanted.parts, wanted.query).await?;
    let maker = context.may_create.then_some(&*context.requester);
    let store = open_store(hub, &context.database, store_id, maker).await?;
    if store.state() == ferry_core::events::StoreState::Hold {
        return Err(refusal::on_hold());
    }
    let subscriber = store.connect(hub.config.events.connections_per_store).ok_or_else(|| {
        let message = "too many connections to this store: try again in a few seconds";
        Error::new(Reason::RateLimited, message).retry_after_ms(EVENTS_FULL_RETRY_MS)
    })?;
    let head = ConnectionHead::of(wanted.parts).within(store_id);
    let connection = context.connect(hub, head, (Model::Events, wanted.query.transport.as_str()));
    let rights = rights(&context.auth);
    Ok(EventsEntry { context, store, rights, presented, _subscriber: subscriber, connection })
}

/// Whether the caller itself is refused, and not something of ours (EVT-52).
pub(super) fn is_callers_fault(error: &Error) -> bool {
    matches!(error.code(), Code::Unauthenticated | Code::PermissionDenied)
}

/// The first credential found: headers (and what a socket may carry instead), the cookie if the page that sends it is one
/// of ours, the app's payload (EVT-51).
fn carriers<'r>(hub: &Hub, wanted: &ConnectRequest<'r>) -> Carriers<'r> {
    let config = &hub.config.events;
    let is_ours = |origin: &http::HeaderValue| cors::is_listed(origin, &config.cors_origins);
    let name = config.auth_cookie.as_deref();
    let secret = name.and_then(|name| cookie(&wanted.parts.headers, name, is_ours));
    Carriers::Else {
        is_stream: wanted.query.transport == Transport::Ws,
        secret: secret.or_else(|| wanted.query.payload_text(PAYLOAD_NAMES)),
    }
}
