//! What a push brought, for people who look for clients that do not get on.

use ferry_protocol::records::Change;
use ferry_types::{Error, Model};

use super::entry::RecordsEntry;
use crate::{connections::PusherKey, hub::Hub};

/// Whose push it is and what it begins with, as far as that is known.
pub(super) struct PushedBatch {
    pub(super) client: Option<String>,
    pub(super) app: String,
    /// Collection and id.
    pub(super) first: Option<(Box<str>, Box<str>)>,
    /// Why none of its changes was taken, though it was read.
    pub(super) rejection: Option<Error>,
}

impl PushedBatch {
    /// Takes in what was read.
    pub(super) fn read(&mut self, (client, app): (&str, &str), first: Option<&Change<'_>>) {
        app.clone_into(&mut self.app);
        self.client = Some(client.to_owned()).filter(|client| !client.is_empty());
        self.first = first.map(|change| (change.table.as_ref().into(), change.id.as_ref().into()));
    }

    /// Notes how the push ended. A client without a name is known by its credential and address.
    pub(super) fn note(&self, hub: &Hub, entry: &RecordsEntry, outcome: Result<(), &Error>) {
        let requester = &entry.context.requester;
        let nameless = || format!("{} at {}", requester.principal, requester.origin.ip);
        let pusher = || PusherKey {
            database: entry.context.database.id(),
            model: Model::Records,
            scope: self.app.as_str().into(),
            client: self.client.clone().unwrap_or_else(nameless).into(),
            is_let_in: true,
        };
        let first = || self.first.as_ref().map(|(table, id)| format!("{table}/{id}")).unwrap_or_default();
        hub.stuck.pushed(outcome, pusher, first, hub.clock.now());
    }
}
