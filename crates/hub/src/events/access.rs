//! Who connects, to which store, and with which rights (EVT-50, EVT-51).

use std::sync::Arc;

use ferry_auth::AuthContext;
use ferry_core::events::Rights;
use ferry_protocol::events::{ConnectQuery, Transport};
use ferry_types::{Code, DatabaseId, Error, Reason, Result, limits::EVENTS_FULL_RETRY_MS};
use http::{HeaderMap, header, request::Parts};

use super::{
    ahead::whose,
    cors, open_store, refusal, scope,
    store::{Store, Subscriber},
};
use crate::{
    control::{ClientInfo, Credentials, Meter, Origin, Requester},
    database::{ConnectionGuard, Database},
    http::{RequestBody, request_origin},
    hub::Hub,
    rights::{EVENTS_APPEND, EVENTS_READ, Right},
};

/// Keys of the app's payload that carry a credential.
const PAYLOAD_NAMES: &[&str] = &["authToken", "token", "apiKey"];
/// What publishable API keys begin with; everything else in a payload is a bearer.
const KEY_PREFIXES: &[&str] = &["fy_pk_", "ep_pk_"];

/// What a request names.
pub(super) struct Wanted<'r> {
    pub(super) parts: &'r Parts,
    /// `{db}` of its path.
    pub(super) route: Option<&'r str>,
    pub(super) query: &'r ConnectQuery,
}

/// Everything that a connection or call is let in with.
pub(super) struct Entry {
    pub(super) database: Arc<Database>,
    pub(super) store: Arc<Store>,
    pub(super) auth: AuthContext,
    pub(super) rights: Rights,
    /// Whose pushes are committed.
    pub(super) requester: Arc<Requester>,
    /// What it may transfer: every body and frame is charged, in both directions.
    pub(super) meter: Meter,
    _subscriber: Subscriber,
    _connection: ConnectionGuard,
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
pub(super) async fn enter(hub: &Hub, wanted: &Wanted<'_>) -> Result<Entry, NotAdmitted> {
    let store_id = &*wanted.query.store_id;
    if hub.config.events.store_id_pattern.as_ref().is_some_and(|pattern| !pattern.is_match(store_id)) {
        let message = "storeId does not fit this hub's store_id_pattern";
        let error = Error::new(Reason::InvalidArgument, message);
        note_bad_store(hub, wanted, &error).await;
        return Err(error.into());
    }
    let origin = request_origin(wanted.parts);
    let (auth, mapped) = authenticate(hub, wanted, &origin).await?;
    let database = Some(auth.database_id);
    let (asked_in, whose) = (auth.database_id, whose(&auth.principal(), origin.ip));
    match admit(hub, wanted, auth, mapped, origin).await {
        Ok(entry) => {
            hub.event_clients.admitted((entry.database.id(), store_id), &whose);
            Ok(entry)
        }
        Err(error) => {
            note(hub, (asked_in, store_id), &whose, &error);
            Err(NotAdmitted { error, database })
        }
    }
}

/// Notes a connection whose `storeId` can name no store, if its credential is one (see [`enter`]).
pub(super) async fn note_bad_store(hub: &Hub, wanted: &Wanted<'_>, error: &Error) {
    let origin = request_origin(wanted.parts);
    if let Ok((auth, _)) = authenticate(hub, wanted, &origin).await {
        note(hub, (auth.database_id, &wanted.query.store_id), &whose(&auth.principal(), origin.ip), error);
    }
}

fn note(hub: &Hub, store: (DatabaseId, &str), whose: &str, error: &Error) {
    let now = hub.clock.now().to_string();
    hub.event_clients.refused(store, whose, (refusal::word(error), &error.message), &now);
}

/// Whose the credential is, and the database in which the map puts the store of a hub-wide path. The map only says where
/// a store is: a credential of another database does not reach it all the same.
async fn authenticate<'h>(
    hub: &'h Hub,
    wanted: &Wanted<'_>,
    origin: &Origin,
) -> Result<(AuthContext, Option<&'h str>)> {
    let client = ClientInfo::of(origin.ip, &wanted.parts.headers);
    let credentials = credentials(hub, wanted);
    let mapped = hub.config.events.mapped(&wanted.query.store_id).filter(|_| wanted.route.is_none());
    let route = wanted.route.or_else(|| mapped.filter(|name| hub.control.has_own_jwt_settings(name)));
    let auth = hub.control.authenticate(&credentials, &client, route).await?;
    if let (Err(error), Err(_)) = (EVENTS_READ.check(&auth), EVENTS_APPEND.check(&auth)) {
        return Err(error);
    }
    Ok((auth, mapped))
}

async fn admit(
    hub: &Hub,
    wanted: &Wanted<'_>,
    auth: AuthContext,
    mapped: Option<&str>,
    origin: Origin,
) -> Result<Entry> {
    let store_id = &*wanted.query.store_id;
    scope::check(&auth, store_id)?;
    let may_create = hub.config.events.auto_create && EVENTS_APPEND.check(&auth).is_ok();
    let auth = match mapped {
        Some(name) => hub.control.in_mapped_database(auth, name, may_create, &origin).await?,
        None if wanted.route.is_none() && hub.config.events.database_per_store => {
            hub.control.in_store_database(auth, store_id, may_create, &origin).await?
        }
        None => auth,
    };
    let meter = hub.control.meter(&auth).await?;
    let database = hub.databases.get(auth.database_id)?;
    let requester = Arc::new(hub.control.requester(&auth, &[EVENTS_APPEND], origin));
    if let Some(body) = wanted.parts.extensions.get::<RequestBody>() {
        body.belongs_to(&requester.principal);
    }
    let store = open_store(hub, &database, store_id, may_create.then_some(&*requester)).await?;
    if store.state() == ferry_core::events::StoreState::Hold {
        return Err(refusal::on_hold());
    }
    let subscriber = store.connect(hub.config.events.connections_per_store).ok_or_else(|| {
        let message = "too many connections to this store: try again in a few seconds";
        Error::new(Reason::RateLimited, message).retry_after_ms(EVENTS_FULL_RETRY_MS)
    })?;
    let connection = database.connect();
    let rights = rights(&auth);
    Ok(Entry {
        database,
        store,
        auth,
        rights,
        requester,
        meter,
        _subscriber: subscriber,
        _connection: connection,
    })
}

/// Whether the caller itself is refused, and not something of ours (EVT-52).
pub(super) fn is_callers_fault(error: &Error) -> bool {
    matches!(error.code(), Code::Unauthenticated | Code::PermissionDenied)
}

/// The first credential found: headers (and what a socket may carry instead), the cookie, the app's payload.
fn credentials<'r>(hub: &Hub, wanted: &Wanted<'r>) -> Credentials<'r> {
    let Parts { headers, uri, .. } = wanted.parts;
    let found = match wanted.query.transport {
        Transport::Ws => Credentials::of_stream(headers, uri.query()),
        Transport::Http => Credentials::of_request(headers, uri.query()),
    };
    if !found.is_empty() {
        return found;
    }
    let secret = hub.config.events.auth_cookie.as_deref().and_then(|name| cookie(hub, headers, name));
    match secret.or_else(|| wanted.query.payload_text(PAYLOAD_NAMES)) {
        Some(key) if KEY_PREFIXES.iter().any(|prefix| key.starts_with(prefix)) => found.with_key(key),
        Some(token) => found.with_bearer(token),
        None => found,
    }
}

/// The cookie called `name`, if the page that sends it is one of ours (EVT-51).
fn cookie<'r>(hub: &Hub, headers: &'r HeaderMap, name: &str) -> Option<&'r str> {
    headers.get(header::ORIGIN).filter(|origin| cors::is_listed(origin, &hub.config.events.cors_origins))?;
    let lists = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = lists.flat_map(|list| list.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(found, _)| *found == name).map(|(_, value)| value)
}
