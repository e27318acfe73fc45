//! The machines that make pages which many subscribers take: one per view of an owner.

use std::sync::Arc;

use bytes::Bytes;
use ferry_protocol::records::ServerMessage;

use super::{
    changes::{Changed, CollectionChanges},
    page::SharedPage,
    socket::Notification,
    stream::StreamRead,
};
use crate::records::Whom;

/// How long commits are gathered before sockets are notified of them (records specification, 2.6).
const MERGE_MS: u64 = 20;

/// What the fan-out task of streams does with what it has read.
#[derive(Debug)]
pub enum StreamPublish {
    /// Reads on at once.
    ReadOn,
    /// Nothing is new to this view.
    Nothing,
    /// Publishes a page that ends here.
    Page(u64, SharedPage<Bytes>),
    /// It was too much for one page, or the beginning: whoever stands before this position reads the state.
    Advance(u64),
    /// Gives up; the subscribers find out for themselves.
    End,
}

/// The machine of the fan-out task of one view's streams: it turns what is read of the state into pages.
#[derive(Debug, Default)]
pub struct StreamFanOut {
    /// Where the page before ended; 0: there is none that another could follow.
    from: u64,
    /// The read under way needed more than one page.
    is_cut: bool,
}

impl StreamFanOut {
    /// Takes in what was read behind the position before.
    pub fn read(&mut self, mut read: StreamRead) -> StreamPublish {
        if read.has_more {
            self.is_cut = true;
            return StreamPublish::ReadOn;
        }
        let is_cut = std::mem::take(&mut self.is_cut);
        if read.is_last {
            return StreamPublish::End;
        }
        let follows = self.from > 0 && !is_cut;
        if !follows {
            self.from = read.until;
            return StreamPublish::Advance(read.until);
        }
        let content = match read.events.len() {
            // What is new is not for this view: the next page covers it too.
            0 => return StreamPublish::Nothing,
            1 => read.events.remove(0),
            _ => read.events.concat().into(),
        };
        self.from = read.until;
        StreamPublish::Page(read.until, SharedPage { whom: read.whom, content })
    }
}

/// The machine of the fan-out task of one owner's sockets: it gathers commits for a moment and says what is told of them.
#[derive(Debug)]
pub struct SocketFanOut {
    notified: u64,
    due_ms: Option<u64>,
}

impl SocketFanOut {
    /// Tells of what comes after `position`.
    #[must_use]
    pub const fn new(position: u64) -> Self {
        Self { notified: position, due_ms: None }
    }

    /// There may be something new. Returns when it is time to look, if there is.
    pub fn woken(&mut self, changes: &CollectionChanges, now_ms: u64) -> Option<u64> {
        if changes.head() > self.notified && self.due_ms.is_none() {
            self.due_ms = Some(now_ms + MERGE_MS);
        }
        self.due_ms
    }

    /// The page of everything that was gathered, where it ends and how many bytes it has, once it is time.
    pub fn due(
        &mut self,
        changes: &CollectionChanges,
        now_ms: u64,
    ) -> Option<(u64, usize, SharedPage<Vec<Notification>>)> {
        if self.due_ms.is_none_or(|due| due > now_ms) {
            return None;
        }
        self.due_ms = None;
        let Changed { apps, writers, upto } = changes.since(self.notified, None);
        self.notified = upto;
        let notify = |(app, tables): (Arc<str>, Vec<String>)| {
            let frame = ServerMessage::SyncAvailable { app: &app, tables: &tables }.encode().into();
            Notification { app, tables, frame }
        };
        let content: Vec<Notification> = apps.into_iter().map(notify).collect();
        let bytes = content.iter().map(|notification| notification.frame.len()).sum();
        Some((upto, bytes, SharedPage { whom: Whom { writers, only_nameless: false }, content }))
    }
}
