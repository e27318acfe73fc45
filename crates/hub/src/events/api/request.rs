//! Who asks, in which database, about which store.

use std::{borrow::Cow, sync::Arc};

use ferry_core::events::{Ahead, StoreState, store};
use ferry_protocol::events::check_store_id;
use ferry_types::{DatabaseKind, Error, Reason, Seq};
use http::{HeaderMap, StatusCode, request::Parts};

use super::{ViewError, text_header};

use crate::{
    entry::{self, Carriers, Needs, Policy, RequestContext},
    events::{ahead::settled, open_store, push::Pusher, refusal, scope, store::Store},
    http::RequestBody,
    hub::Hub,
    rights::{EVENTS_APPEND, Right},
};

/// A caller who is let in.
pub(super) struct EventsApiRequest {
    pub(super) hub: Arc<Hub>,
    pub(super) context: RequestContext,
    /// The request's body, of which the hub holds little in memory.
    pub(super) body: Option<RequestBody>,
}

impl EventsApiRequest {
    /// Checks the credential, and that it may do this.
    pub(super) async fn enter(
        hub: &Arc<Hub>,
        parts: &Parts,
        database: &str,
        right: Right,
        is_stream: bool,
    ) -> Result<Self, ViewError> {
        let policy = Policy {
            carriers: Carriers::of_stream(is_stream),
            path: Some(database),
            tenant: None,
            needs: Needs::All(&[right]),
            commits: &[right],
            condition: &entry::anybody,
            creates: None,
            kind: Some(DatabaseKind::Hub),
        };
        let context = entry::enter(hub, parts, &policy).await?;
        let body = parts.extensions.get::<RequestBody>().cloned();
        Ok(Self { hub: Arc::clone(hub), context, body })
    }

    /// Waits until the database has the commit that is asked for.
    pub(super) async fn reach(&self, headers: &HeaderMap) -> Result<(), ViewError> {
        let Some(text) = text_header(headers, "ferry-min-seq") else { return Ok(()) };
        let least = text.parse().map(Seq);
        let least = least.map_err(|_| ViewError::bad_request("Ferry-Min-Seq: expected a number"))?;
        Ok(self.context.database.reach(least).await?)
    }

    /// A store that exists, for its administrator: it may be on hold, or of an id that none may be made with now.
    pub(super) async fn existing(&self, id: &str) -> Result<Arc<Store>, ViewError> {
        check_store_id(id).map_err(|bad| ViewError::bad_request(bad.0))?;
        Ok(open_store(&self.hub, &self.context.database, id, None).await?)
    }

    /// The store called `named`, else the default one; one that is missing is made if `may_create`.
    pub(super) async fn store(&self, named: Option<&str>, may_create: bool) -> Result<Arc<Store>, ViewError> {
        let id = match named {
            Some(named) => Cow::Borrowed(named),
            None => self.default_store().await?,
        };
        self.check_id(&id)?;
        scope::check(&self.context.auth, &id)?;
        let maker = may_create.then_some(&*self.context.requester);
        let store = open_store(&self.hub, &self.context.database, &id, maker).await?;
        if store.state() == StoreState::Hold {
            let held = refusal::on_hold();
            let retry_after_ms = held.retry_after_ms;
            let refused = ViewError::new(StatusCode::SERVICE_UNAVAILABLE, "store_hold", held.message);
            return Err(refused.retry_after(retry_after_ms));
        }
        Ok(store)
    }

    /// The way of this caller's appends, and of questions about its reads.
    pub(super) fn pusher(&self, store: &Arc<Store>, transport: &'static str) -> Pusher {
        Pusher {
            hub: Arc::clone(&self.hub),
            database: Arc::clone(&self.context.database),
            store: Arc::clone(store),
            requester: Arc::clone(&self.context.requester),
            transport,
        }
    }

    /// Notes that the caller names an event behind the end of the log, and waits until that is written down.
    pub(super) async fn note_ahead(
        &self,
        store: &Arc<Store>,
        at: i64,
        backend_id: Option<&str>,
        call: &'static str,
    ) {
        let ahead = Ahead {
            at,
            backend_id: backend_id.unwrap_or_default().into(),
            client_id: None,
            call,
            is_evidence: backend_id.is_some() && EVENTS_APPEND.check(&self.context.auth).is_ok(),
        };
        if let Some(noting) = self.pusher(store, "v1").ahead(ahead) {
            settled(noting).await;
        }
    }

    /// Whether `id` may name a store here.
    pub(super) fn check_id(&self, id: &str) -> Result<(), ViewError> {
        check_store_id(id).map_err(|bad| ViewError::bad_request(bad.0))?;
        let pattern = self.hub.config.events.store_id_pattern.as_ref();
        if pattern.is_some_and(|pattern| !pattern.is_match(id)) {
            return Err(ViewError::bad_request("storeId does not fit this hub's events.store_id_pattern"));
        }
        Ok(())
    }

    /// The configured store, else the only one, else the one named like the database.
    async fn default_store(&self) -> Result<Cow<'_, str>, ViewError> {
        if let Some(configured) = &self.hub.config.events.default_store {
            return Ok(configured.into());
        }
        let mut ids = self.store_ids().await?;
        if let [_] = ids[..] {
            return Ok(ids.remove(0).into_string().into());
        }
        let entry = self.hub.control.database(self.context.auth.database_id);
        let name = entry.map(|entry| entry.name.to_string()).ok_or_else(Error::internal)?;
        if ids.len() > 1 && !ids.iter().any(|id| **id == *name) {
            let message = "this database has several stores: name one with store=";
            return Err(Error::new(Reason::NotFound, message).into());
        }
        Ok(name.into())
    }

    /// Ids of the stores that are not deleted.
    async fn store_ids(&self) -> Result<Vec<Box<str>>, ViewError> {
        if self.context.database.seq().await? == Seq(0) {
            return Ok(Vec::new());
        }
        let rows = self.context.database.read(|sql| store::list(sql)).await?;
        let live = rows.into_iter().filter(|row| row.state != StoreState::Deleted);
        Ok(live.map(|row| row.key.id).collect())
    }
}
