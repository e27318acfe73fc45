//! The machine of one notification socket (records specification, 2.6; REC-21): it says that something is new, and pulls
//! bring it.

use std::{collections::VecDeque, sync::Arc};

use bytes::Bytes;
use ferry_protocol::records::{ClientMessage, ServerMessage};

use super::{changes::Changed, page::SharedPage};
use crate::topic::{Cursor, NextItem, Wake};

/// How long a socket may live without its credential.
const AUTH_WITHIN_MS: u64 = 10_000;
/// Silence after which a peer is gone, in pings.
const UNANSWERED_PINGS: u64 = 3;

/// What changed in one app, and the frame that tells it.
#[derive(Debug)]
pub struct Notification {
    /// The app.
    pub app: Arc<str>,
    /// Its changed collections.
    pub tables: Vec<String>,
    /// The message, encoded.
    pub frame: Bytes,
}

/// A frame of the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received<'a> {
    /// Text.
    Text(&'a str),
    /// Binary data, which nobody sends here.
    Binary,
    /// About the connection: a Ping or a Pong.
    Control,
    /// The client closes, or has gone.
    Close,
}

/// How a socket ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SocketEnd {
    /// With a word before the close.
    Refused(&'static str),
    /// With this code and reason.
    Close(u16, &'static str),
    /// The peer has gone already.
    Gone,
}

impl SocketEnd {
    /// The credential may transfer no more bytes today.
    pub const BUDGET_SPENT: Self = Self::Close(1008, "byte budget spent: it works again from midnight UTC");
    /// The hub stops.
    pub const SHUTDOWN: Self = Self::Close(1001, "shutdown");
    /// The owner's records were removed.
    const REMOVED: Self = Self::Close(1008, "records deleted");
    const BINARY: Self = Self::Close(1003, "binary frames not supported");
    const MALFORMED: Self = Self::Close(1008, "expected a JSON object with a type");
}

/// What is to be done next.
#[derive(Debug, PartialEq, Eq)]
pub enum SocketOutput {
    /// Send this text, and ask again once there is room for more.
    Send(Bytes),
    /// Send a Ping.
    Ping,
    /// Look whom this credential lets in, and report with [`LiveSocket::entered`] or [`LiveSocket::end`]; empty: none was sent.
    Authenticate(String),
    /// Nothing, until something is reported, the topic wakes or it is [`LiveSocket::deadline_ms`].
    Wait,
    /// Close the connection.
    End(SocketEnd),
}

/// What a socket sees of its owner's records.
pub trait SocketView {
    /// What others than `device` changed after `position`.
    fn changed_since(&self, position: u64, device: Option<&str>) -> Changed;

    /// Whether the credential reaches a collection.
    fn reaches(&self, table: &str) -> bool;
}

/// One socket.
#[derive(Debug)]
pub struct LiveSocket<W> {
    phase: Phase<W>,
    /// Only this app is told of.
    app: Option<Box<str>>,
    /// Its own changes are not told.
    device: Option<Box<str>>,
    ping_every_ms: u64,
    heard_ms: u64,
    ping_ms: u64,
    waiting: VecDeque<SocketOutput>,
    end: Option<SocketEnd>,
}

#[derive(Debug)]
enum Phase<W> {
    /// Until when the credential must come.
    Unknown {
        until_ms: u64,
    },
    /// The credential is being looked at.
    Entering {
        until_ms: u64,
    },
    Open(Cursor<Arc<SharedPage<Vec<Notification>>>, W>),
}

impl<W: Wake> LiveSocket<W> {
    /// A socket that was just opened. `app`: tell of this one only.
    #[must_use]
    pub fn new(app: Option<&str>, device: Option<&str>, ping_every_ms: u64, now_ms: u64) -> Self {
        Self {
            phase: Phase::Unknown { until_ms: now_ms + AUTH_WITHIN_MS },
            app: app.map(Box::from),
            device: device.map(Box::from),
            ping_every_ms,
            heard_ms: now_ms,
            ping_ms: u64::MAX,
            waiting: VecDeque::new(),
            end: None,
        }
    }

    /// The last change that it was told, or need not be told; `None` until it is let in.
    #[must_use]
    pub const fn position(&self) -> Option<u64> {
        match &self.phase {
            Phase::Open(cursor) => Some(cursor.position()),
            Phase::Unknown { .. } | Phase::Entering { .. } => None,
        }
    }

    /// What to do next, when the connection has room.
    pub fn next_output(&mut self, view: &impl SocketView) -> SocketOutput {
        if let Some(output) = self.waiting.pop_front() {
            if self.waiting.is_empty() {
                // An idle socket holds nothing.
                self.waiting = VecDeque::new();
            }
            return output;
        }
        match self.end {
            Some(end) => SocketOutput::End(end),
            None => self.follow(view),
        }
    }

    fn follow(&mut self, view: &impl SocketView) -> SocketOutput {
        let Phase::Open(cursor) = &mut self.phase else { return SocketOutput::Wait };
        loop {
            let before = cursor.position();
            match cursor.next_item() {
                NextItem::Item(page) if page.suits(self.device.as_deref()) => {
                    let wanted = page.content.iter().filter(|one| is_wanted(self.app.as_deref(), &one.app));
                    for one in wanted {
                        let frame = match one.tables.iter().all(|table| view.reaches(table)) {
                            true => Some(one.frame.clone()),
                            false => frame_of_some(view, &one.app, one.tables.clone()),
                        };
                        self.waiting.extend(frame.map(SocketOutput::Send));
                    }
                }
                // What it changed itself, or too much has changed since: it is told what that comes to.
                NextItem::Item(_) | NextItem::Lagged { .. } => {
                    let Changed { apps, upto, .. } = view.changed_since(before, self.device.as_deref());
                    cursor.seek(upto);
                    for (app, tables) in apps {
                        if is_wanted(self.app.as_deref(), &app) {
                            let frame = frame_of_some(view, &app, tables);
                            self.waiting.extend(frame.map(SocketOutput::Send));
                        }
                    }
                }
                NextItem::Nothing => return SocketOutput::Wait,
                NextItem::Replaced | NextItem::Closed => {
                    self.end = Some(SocketEnd::REMOVED);
                    return SocketOutput::End(SocketEnd::REMOVED);
                }
            }
            if let Some(output) = self.waiting.pop_front() {
                if self.waiting.is_empty() {
                    self.waiting = VecDeque::new();
                }
                return output;
            }
        }
    }

    /// Takes a frame in.
    pub fn receive(&mut self, received: Received<'_>, now_ms: u64) {
        self.heard_ms = now_ms;
        let text = match received {
            Received::Text(text) => text,
            Received::Binary => return self.end(SocketEnd::BINARY),
            Received::Control => return,
            Received::Close => return self.end(SocketEnd::Gone),
        };
        match (ClientMessage::decode(text), &self.phase) {
            (Ok(ClientMessage::Auth(token)), Phase::Unknown { until_ms }) => {
                self.phase = Phase::Entering { until_ms: *until_ms };
                self.waiting.push_back(SocketOutput::Authenticate(token));
            }
            (Ok(ClientMessage::Ping), _) => self.send(ServerMessage::Pong),
            (Ok(ClientMessage::Auth(_) | ClientMessage::Unknown), _) => {}
            (Err(_), _) => self.end(SocketEnd::MALFORMED),
        }
    }

    /// The credential is good; news come by this cursor.
    pub fn entered(&mut self, cursor: Cursor<Arc<SharedPage<Vec<Notification>>>, W>, now_ms: u64) {
        self.phase = Phase::Open(cursor);
        self.heard_ms = now_ms;
        self.ping_ms = now_ms + self.ping_every_ms;
        self.send(ServerMessage::AuthOk);
    }

    /// Looks at the time.
    pub fn tick(&mut self, now_ms: u64) {
        match self.phase {
            Phase::Unknown { until_ms } | Phase::Entering { until_ms } => {
                if until_ms <= now_ms {
                    self.end(SocketEnd::Refused("auth timeout"));
                }
            }
            Phase::Open(_) if self.ping_ms <= now_ms => {
                if now_ms - self.heard_ms > UNANSWERED_PINGS * self.ping_every_ms {
                    return self.end(SocketEnd::Gone);
                }
                self.ping_ms = now_ms + self.ping_every_ms;
                self.waiting.push_back(SocketOutput::Ping);
            }
            Phase::Open(_) => {}
        }
    }

    /// When [`Self::tick`] has something to do.
    #[must_use]
    pub const fn deadline_ms(&self) -> u64 {
        match self.phase {
            Phase::Unknown { until_ms } | Phase::Entering { until_ms } => until_ms,
            Phase::Open(_) => self.ping_ms,
        }
    }

    /// Ends the socket: what waits to be sent is not sent any more.
    pub fn end(&mut self, end: SocketEnd) {
        self.waiting.clear();
        self.end.get_or_insert(end);
    }

    fn send(&mut self, message: ServerMessage<'_>) {
        self.waiting.push_back(SocketOutput::Send(message.encode().into()));
    }
}

fn is_wanted(only: Option<&str>, app: &str) -> bool {
    only.is_none_or(|only| app == only)
}

/// The frame that tells of those of the collections that the credential reaches.
fn frame_of_some(view: &impl SocketView, app: &str, mut tables: Vec<String>) -> Option<Bytes> {
    tables.retain(|table| view.reaches(table));
    (!tables.is_empty()).then(|| ServerMessage::SyncAvailable { app, tables: &tables }.encode().into())
}
