//! What those share who follow the records of one owner.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use bytes::Bytes;
use ferry_core::{
    records::live::{CollectionChanges, Notification, SharedPage},
    topic::{Cursor, Retained, Topic, Topics, Wake as _},
};
use ferry_database::Wakeup;
use ferry_types::limits::{RECORDS_RECENT_MAX_BYTES, RECORDS_RECENT_MAX_PAGES};
use tokio::sync::futures::Notified;

use crate::fanout::Subscribers;

const RETAINED: Retained = Retained { items: RECORDS_RECENT_MAX_PAGES, weight: RECORDS_RECENT_MAX_BYTES };

/// One owner, while somebody follows its records.
#[derive(Default)]
pub(in crate::records) struct OwnerTopics {
    changes: Mutex<CollectionChanges>,
    /// Wakes the fan-out tasks.
    wakeup: Wakeup,
    is_removed: AtomicBool,
    /// Its streams, by what they show.
    streams: Topics<Box<str>, ViewTopic<Bytes>>,
    /// Its sockets.
    sockets: Topics<(), ViewTopic<Vec<Notification>>>,
}

/// Subscribers to whom the same is new: their recent pages, and who is served with them.
pub(super) struct ViewTopic<T> {
    pub(super) topic: Arc<Topic<Arc<SharedPage<T>>, ()>>,
    pub(super) subscribers: Subscribers,
}

impl<T> AsRef<Subscribers> for ViewTopic<T> {
    fn as_ref(&self) -> &Subscribers {
        &self.subscribers
    }
}

impl<T> ViewTopic<T> {
    fn new(head: u64) -> Self {
        Self { topic: Arc::new(Topic::new(head, RETAINED, ())), subscribers: Subscribers::default() }
    }

    /// A cursor that has seen everything up to `position`.
    pub(super) fn cursor(&self, position: u64) -> Cursor<Arc<SharedPage<T>>, ()> {
        self.topic.cursor(position)
    }
}

impl OwnerTopics {
    /// Takes in a commit of the device `client`, and wakes those who serve its subscribers.
    pub(in crate::records) fn publish(&self, app: &Arc<str>, collections: &[String], client: &Arc<str>) {
        self.changes().commit(app, collections, client);
        self.wakeup.wake();
    }

    /// Its records were removed: whoever follows them is told so.
    pub(in crate::records) fn remove(&self) {
        self.is_removed.store(true, Ordering::SeqCst);
        self.streams.all().iter().for_each(|view| view.topic.close());
        self.sockets.all().iter().for_each(|view| view.topic.close());
        self.wakeup.wake();
    }

    /// The streams that show `view`.
    pub(super) fn streams(&self, view: &str) -> Arc<ViewTopic<Bytes>> {
        let view = self.streams.get_or_make(view.into(), || ViewTopic::new(0));
        self.close_if_removed(&view);
        view
    }

    /// The sockets.
    pub(super) fn sockets(&self) -> Arc<ViewTopic<Vec<Notification>>> {
        let view = self.sockets.get_or_make((), || ViewTopic::new(self.changes().head()));
        self.close_if_removed(&view);
        view
    }

    /// A view that is made while the owner is removed may be too late to be found.
    fn close_if_removed<T>(&self, view: &ViewTopic<T>) {
        if self.is_removed.load(Ordering::SeqCst) {
            view.topic.close();
        }
    }

    /// What has changed.
    pub(super) fn changes(&self) -> MutexGuard<'_, CollectionChanges> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends with the next commit; from the moment on at which it is first polled or enabled.
    pub(super) fn notified(&self) -> Notified<'_> {
        self.wakeup.notified()
    }
}
