//! The machine behind one client: frames, results and times go in, frames to send and work to do come out
//! (EVT-20…39). The shell owns the socket, the writer and the clock.

use std::collections::VecDeque;

use bytes::Bytes;
use ferry_protocol::events::{
    Call, ErrorCode, Inbound, PageBody, PageInfo, PullCall, PushCall, Request, RequestId, RpcError,
    Transport, chunk,
    close::{self, Close},
    defect, exit_die, exit_error, exit_pong, exit_void, pong,
};

use super::{
    PULLS_PER_CONNECTION,
    append::check_backend,
    interface::{Limits, Log, Output, ReadPage, Rights},
    page::{HistoryPage, Range},
    pull::Pull,
    recent::Following,
};

/// Frames that are no JSON of this wire before the connection is closed.
const MALFORMED_MAX: u8 = 10;
/// A connection that only pings is closed after this long: its client sleeps (EVT-33).
const ASLEEP_AFTER_MS: u64 = 12_000;
/// How long a client that was told "server ahead" may take to pull (EVT-33).
const PULL_AFTER_AHEAD_MS: u64 = 15_000;

struct WaitingPush {
    id: RequestId,
    call: PushCall,
    bytes: usize,
}

/// The state of one client's connection.
pub struct Connection {
    transport: Transport,
    rights: Rights,
    limits: Limits,
    /// Whether somebody must be asked before a Pull begins.
    asks: bool,
    pulls: Vec<Pull>,
    next_key: u32,
    /// Whose turn it is to send, so that no Pull starves another.
    turn: usize,
    waiting: VecDeque<WaitingPush>,
    waiting_bytes: usize,
    /// The push that is being appended, and the number of its last event.
    appending: Option<(RequestId, i64)>,
    /// Whether a page is being read.
    is_reading: bool,
    opened_ms: u64,
    pings: u8,
    was_asked: bool,
    malformed: u8,
    /// When the client was told "server ahead" though nothing will tell it what is new.
    ahead_ms: Option<u64>,
    /// Highest number of a batch that was refused here: what a client sent behind it, without waiting, builds on it.
    refused_upto: i64,
    /// Who pushed last.
    client_id: Option<Box<str>>,
    is_draining: bool,
    out: VecDeque<Output>,
}

impl Connection {
    /// A connection that was just opened.
    #[must_use]
    pub const fn new(transport: Transport, rights: Rights, limits: Limits, now_ms: u64) -> Self {
        Self {
            transport,
            rights,
            limits,
            asks: false,
            pulls: Vec::new(),
            next_key: 0,
            turn: 0,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            appending: None,
            is_reading: false,
            opened_ms: now_ms,
            pings: 0,
            was_asked: false,
            malformed: 0,
            ahead_ms: None,
            refused_upto: 0,
            client_id: None,
            is_draining: false,
            out: VecDeque::new(),
        }
    }

    /// The same, in which no Pull begins before [`Self::may_pull`] allows it.
    #[must_use]
    pub const fn asking(mut self, asks: bool) -> Self {
        self.asks = asks;
        self
    }

    /// From now on no Pull begins unasked, or each does.
    pub const fn set_asking(&mut self, asks: bool) {
        self.asks = asks;
    }

    /// What is to be done next, in order; ask until there is nothing.
    pub fn next_output(&mut self) -> Option<Output> {
        let next = self.out.pop_front();
        if self.out.is_empty() && self.out.capacity() > 4 {
            // An idle connection holds nothing.
            self.out = VecDeque::new();
        }
        next
    }

    /// Whether [`Self::next_output`] has something.
    #[must_use]
    pub fn has_output(&self) -> bool {
        !self.out.is_empty()
    }

    /// Live Pulls now.
    #[must_use]
    pub fn live_pulls(&self) -> usize {
        self.pulls.iter().filter(|pull| pull.live).count()
    }

    /// The last event that each of its Pulls was sent; `None`: it pulls nothing.
    #[must_use]
    pub fn cursor(&self) -> Option<i64> {
        self.pulls.iter().map(|pull| pull.cursor).min()
    }

    /// Live Pulls whose events wait for an Ack.
    #[must_use]
    pub fn lagging_pulls(&self) -> usize {
        self.pulls.iter().filter(|pull| pull.live && pull.is_blocked).count()
    }

    /// Whether a push is with the writer, or on its way to it.
    #[must_use]
    pub const fn is_appending(&self) -> bool {
        self.appending.is_some()
    }

    /// Takes a frame in.
    pub fn receive(&mut self, text: &str, log: &dyn Log, now_ms: u64) {
        match Inbound::decode(text, self.transport) {
            Ok(frame) => self.handle(frame, text.len(), log, now_ms),
            Err(malformed) => self.reject(&malformed.to_string()),
        }
    }

    /// Takes in a frame that was no text at all.
    pub fn reject(&mut self, why: &str) {
        self.malformed += 1;
        if self.malformed == MALFORMED_MAX && self.transport == Transport::Ws {
            return self.end(close::MALFORMED);
        }
        self.out.push_back(Output::Send(defect(why)));
    }

    fn handle(&mut self, frame: Inbound, bytes: usize, log: &dyn Log, now_ms: u64) {
        match frame {
            Inbound::Request(request) => self.request(request, bytes, log, now_ms),
            Inbound::Ack(id) => {
                if let Some(pull) = self.pulls.iter_mut().find(|pull| pull.id == id) {
                    pull.acked(now_ms);
                }
            }
            Inbound::Interrupt(id) => {
                self.pulls.retain(|pull| pull.id != id);
                self.drop_waiting(|push| push.id == id);
            }
            Inbound::Ping => {
                self.pings = self.pings.saturating_add(1);
                self.out.push_back(Output::Send(pong()));
            }
            Inbound::Ignored => {}
            Inbound::Outdated => self.end(close::UPGRADE_CLIENT),
        }
    }

    fn drop_waiting(&mut self, gone: impl Fn(&WaitingPush) -> bool) {
        self.waiting.retain(|push| !gone(push));
        self.waiting_bytes = self.waiting.iter().map(|push| push.bytes).sum();
    }

    fn request(&mut self, request: Request, bytes: usize, log: &dyn Log, now_ms: u64) {
        self.was_asked = true;
        let Request { id, call } = request;
        match call {
            Ok(Call::Push(call)) => self.enqueue(WaitingPush { id, call, bytes }, log, now_ms),
            Ok(Call::Pull(call)) => {
                self.ahead_ms = None;
                let opened = self.open_pull(&id, &call, log);
                let result = opened.as_ref().err().map_or("ok", RpcError::word);
                self.out.push_back(Output::Pulled { live: call.live, result });
                match opened {
                    Ok(()) => drop(self.pump(log, now_ms)),
                    Err(error) => self.fail(&id, &error),
                }
            }
            Ok(Call::Ping(store_id)) => match self.check_store(&store_id, log) {
                Ok(()) => self.out.push_back(Output::Send(exit_pong(&id))),
                Err(error) => self.fail(&id, &error),
            },
            Err(defect) => self.out.push_back(Output::Send(exit_die(&id, &defect))),
        }
    }

    fn fail(&mut self, id: &RequestId, error: &RpcError) {
        if self.transport == Transport::Http {
            self.out.push_back(Output::Failed(error.clone()));
        }
        self.out.push_back(Output::Send(exit_error(id, error)));
    }

    fn check_store(&self, named: &str, log: &dyn Log) -> Result<(), RpcError> {
        // Who was let in only to be told that he is refused is told so whatever he asks.
        if let (Err(refused), Err(_)) = (&self.rights.read, &self.rights.write) {
            return Err(refused.clone());
        }
        if named == log.store_id() {
            return Ok(());
        }
        let message = format!("the frame names the store {named:?}, its URL {:?}", log.store_id());
        Err(RpcError::new(ErrorCode::StoreMismatch, message))
    }

    fn open_pull(&mut self, id: &RequestId, call: &PullCall, log: &dyn Log) -> Result<(), RpcError> {
        self.check_store(&call.store_id, log)?;
        self.rights.read.clone()?;
        let position = log.position();
        let named = call.cursor.as_ref().map(|cursor| &*cursor.backend_id);
        check_backend(named, &position.backend_id)?;
        let cursor = call.cursor.as_ref().map_or(0, |cursor| cursor.seq_num.max(0));
        if cursor > position.head {
            let backend_id = call.cursor.as_ref().map(|cursor| cursor.backend_id.clone()).unwrap_or_default();
            self.ahead(cursor, backend_id, "pull", true);
            if self.transport == Transport::Ws {
                self.end(close::PULL_AGAIN);
                return Ok(());
            }
            let message = format!("the cursor {cursor} is ahead of the newest event here, {}", position.head);
            return Err(RpcError::new(ErrorCode::CursorAhead, message));
        }
        if self.pulls.len() == PULLS_PER_CONNECTION {
            let message = format!("a connection may have {PULLS_PER_CONNECTION} open Pulls: end one");
            return Err(RpcError::new(ErrorCode::RateLimited, message));
        }
        let key = self.next_key;
        self.next_key = self.next_key.wrapping_add(1);
        if self.pulls.is_empty() {
            // Nearly every connection has one.
            self.pulls.reserve_exact(1);
        }
        let mut pull = Pull::new(id.clone(), key, call.live, cursor, position.head);
        if self.asks {
            pull.is_asking = true;
            self.out.push_back(Output::MayPull { pull: key, cursor: call.cursor.clone(), live: call.live });
        }
        self.pulls.push(pull);
        Ok(())
    }

    /// Sends one Chunk for each Pull that can have one; true if any was sent. Call it when the log has grown, and
    /// again whenever the socket has taken everything, until there is no more: so nothing piles up here.
    pub fn pump(&mut self, log: &dyn Log, now_ms: u64) -> bool {
        let (mut any, mut ended) = (false, false);
        for step in 0..self.pulls.len() {
            let place = (self.turn + step) % self.pulls.len();
            let (sent, over) = self.pump_one(place, log, now_ms);
            any |= sent;
            ended |= over;
        }
        self.turn = self.turn.wrapping_add(1);
        if ended {
            self.pulls.retain(|pull| pull.live || pull.horizon.is_some());
        }
        any
    }

    /// Whether a Chunk was sent, and whether that was the last of its Pull.
    fn pump_one(&mut self, place: usize, log: &dyn Log, now_ms: u64) -> (bool, bool) {
        let pull = &mut self.pulls[place];
        if pull.is_reading || pull.is_asking || (!pull.live && pull.horizon.is_none()) {
            return (false, false);
        }
        let acked = self.transport == Transport::Ws;
        let frame = match pull.horizon {
            Some(horizon) if pull.cursor == horizon => {
                pull.horizon = None;
                chunk(&pull.id, &PageBody::default().finish(PageInfo::NoMore, &log.position().backend_id))
            }
            horizon => match log.following(pull.cursor, horizon) {
                Following::Nothing => return (false, false),
                _ if acked && !pull.has_window() => {
                    pull.is_blocked = true;
                    return (false, false);
                }
                Following::Read => {
                    self.read(place, log);
                    return (false, false);
                }
                Following::Pages(pages) => {
                    pull.cursor = pages.last();
                    let more = horizon.is_some_and(|horizon| pull.cursor < horizon);
                    if !more {
                        pull.horizon = None;
                    }
                    pull.remaining = None;
                    let info = if more { PageInfo::MoreKnown(pages.remaining) } else { PageInfo::NoMore };
                    pages.frame(&pull.id, info)
                }
            },
        };
        self.send_chunk(place, frame, now_ms)
    }

    fn send_chunk(&mut self, place: usize, frame: Bytes, now_ms: u64) -> (bool, bool) {
        let pull = &mut self.pulls[place];
        pull.sent(now_ms);
        self.out.push_back(Output::Chunk(frame));
        let over = !pull.live && pull.horizon.is_none();
        if over {
            self.out.push_back(Output::Send(exit_void(&pull.id)));
        }
        (true, over)
    }

    fn read(&mut self, place: usize, log: &dyn Log) {
        if self.is_reading {
            return;
        }
        let pull = &mut self.pulls[place];
        (self.is_reading, pull.is_reading) = (true, true);
        let range = Range {
            after: pull.cursor,
            upto: pull.horizon.unwrap_or_else(|| log.position().head),
            // A live tail tells nothing of what remains, so it need not be counted.
            count: if pull.horizon.is_some() { pull.remaining } else { Some(u64::MAX) },
            tells_remaining: pull.horizon.is_some(),
        };
        self.out.push_back(Output::Read(ReadPage { pull: pull.key, range }));
    }

    /// Takes in the page that an [`Output::Read`] asked for; `None`: there is none, though there should be.
    pub fn page_read(&mut self, key: u32, page: Option<HistoryPage>, now_ms: u64) {
        self.is_reading = false;
        if let Some(place) = self.pulls.iter().position(|pull| pull.key == key) {
            let pull = &mut self.pulls[place];
            pull.is_reading = false;
            let Some(page) = page else { return self.end(close::PULL_AGAIN) };
            pull.cursor = page.last;
            pull.remaining = Some(page.remaining);
            if pull.horizon.is_some_and(|horizon| page.last >= horizon || page.remaining == 0) {
                pull.horizon = None;
            }
            let frame = chunk(&pull.id, &page.body);
            if self.send_chunk(place, frame, now_ms).1 {
                self.pulls.remove(place);
            }
        }
    }

    /// Takes in what became of an [`Output::MayPull`]: the Pull begins, or fails.
    pub fn may_pull(&mut self, key: u32, verdict: Result<(), RpcError>, log: &dyn Log, now_ms: u64) {
        let Some(place) = self.pulls.iter().position(|pull| pull.key == key) else { return };
        match verdict {
            Ok(()) => {
                self.pulls[place].is_asking = false;
                self.pump(log, now_ms);
            }
            Err(error) => {
                let id = self.pulls.remove(place).id;
                self.fail(&id, &error);
            }
        }
    }

    /// Ends a Pull whose page cannot be read; its id, if it is still open.
    pub fn give_up(&mut self, key: u32) -> Option<RequestId> {
        self.is_reading = false;
        let place = self.pulls.iter().position(|pull| pull.key == key)?;
        Some(self.pulls.remove(place).id)
    }

    /// Looks at the time.
    pub fn tick(&mut self, now_ms: u64) {
        if self.transport == Transport::Http {
            return;
        }
        let reached = |at: Option<u64>| at.is_some_and(|at| at <= now_ms);
        if reached(self.asleep_at()) {
            self.end(close::ASLEEP);
        } else if reached(self.ahead_ms.map(|at| at + PULL_AFTER_AHEAD_MS)) {
            self.end(close::PULL_AGAIN);
        } else if reached(self.too_slow_at()) {
            self.end(close::TOO_SLOW);
        }
    }

    /// When [`Self::tick`] has something to do, as far as is known now.
    #[must_use]
    pub fn deadline_ms(&self) -> Option<u64> {
        let ahead = self.ahead_ms.map(|at| at + PULL_AFTER_AHEAD_MS);
        [self.asleep_at(), ahead, self.too_slow_at()].into_iter().flatten().min()
    }

    fn asleep_at(&self) -> Option<u64> {
        (!self.was_asked && self.pings >= 2).then(|| self.opened_ms + ASLEEP_AFTER_MS)
    }

    fn too_slow_at(&self) -> Option<u64> {
        self.pulls.iter().filter_map(|pull| pull.too_slow_at(self.limits.ack_ms)).min()
    }

    /// The rights are over, and the client shall see it: open calls fail, and all later ones (EVT-53).
    pub fn refuse(&mut self, error: &RpcError) {
        self.rights = Rights { read: Err(error.clone()), write: Err(error.clone()) };
        for pull in std::mem::take(&mut self.pulls) {
            self.fail(&pull.id, error);
        }
        for push in std::mem::take(&mut self.waiting) {
            self.answer_push(&push.id, &Err(error.clone()), 0);
        }
        self.waiting_bytes = 0;
    }

    /// The hub stops: no push is taken any more; the one under way is finished (EVT-37).
    pub fn drain(&mut self) {
        self.is_draining = true;
        self.drop_waiting(|_| true);
    }

    /// Ends the connection.
    pub fn end(&mut self, close: Close) {
        self.pulls.clear();
        self.drop_waiting(|_| true);
        self.out.push_back(Output::Close(close));
    }
}

mod pushes;
#[cfg(test)]
mod tests;
