//! The machine of one stream (REC-20): it drains all pages from its position, then follows; a slow reader lags in the
//! state.

use std::{collections::VecDeque, sync::Arc};

use bytes::Bytes;
use ferry_protocol::records::{Bye, bye, heartbeat};

use super::page::SharedPage;
use crate::{
    records::Whom,
    topic::{Cursor, NextItem, Wake},
};

/// What a stream begins with, so that its reader sees at once that it lives.
const HELLO: &[u8] = b": connected\n\n";

/// What was read of the state.
#[derive(Debug, Default)]
pub struct StreamRead {
    /// To be sent, in order.
    pub events: Vec<Bytes>,
    /// Whether more is there already.
    pub has_more: bool,
    /// Whether the stream ends with these.
    pub is_last: bool,
    /// The position behind them.
    pub until: u64,
    /// Whom they suit, if no device asked.
    pub whom: Whom,
}

/// How often what is done.
#[derive(Clone, Copy, Debug)]
pub struct StreamTimes {
    /// A sign of life.
    pub heartbeat_ms: u64,
    /// Asking whether the account may still sync.
    pub billing_ms: u64,
}

/// What is to be done next.
#[derive(Debug, PartialEq, Eq)]
pub enum StreamOutput {
    /// Send this, and ask again once there is room for more.
    Send(Bytes),
    /// Read a page of the state behind the machine's position, and report with [`LiveStream::read`] or
    /// [`LiveStream::read_failed`].
    Read,
    /// Ask whether the account may still sync, and report with [`LiveStream::admitted`].
    AskBilling,
    /// Nothing, until something is reported, the topic wakes or it is [`LiveStream::deadline_ms`].
    Wait,
    /// Nothing any more.
    End,
}

/// One stream.
#[derive(Debug)]
pub struct LiveStream<W> {
    cursor: Cursor<Arc<SharedPage<Bytes>>, W>,
    device: Option<Box<str>>,
    times: StreamTimes,
    heartbeat_ms: u64,
    billing_ms: u64,
    waiting: VecDeque<Bytes>,
    /// All that was there when it read last has been sent.
    is_drained: bool,
    /// A read, or a question, is under way.
    is_busy: bool,
    asks_billing: bool,
    /// The topic's newest position when the state was read for the last time because of it.
    read_for: u64,
    is_over: bool,
}

impl<W: Wake> LiveStream<W> {
    /// A stream from the position of `cursor`. Its topic was joined before anything is read, so that nothing falls
    /// between the two.
    #[must_use]
    pub fn new(
        cursor: Cursor<Arc<SharedPage<Bytes>>, W>,
        device: Option<&str>,
        times: StreamTimes,
        now_ms: u64,
    ) -> Self {
        Self {
            cursor,
            device: device.map(Box::from),
            times,
            heartbeat_ms: now_ms + times.heartbeat_ms,
            billing_ms: now_ms + times.billing_ms,
            waiting: VecDeque::from([Bytes::from_static(HELLO)]),
            is_drained: false,
            is_busy: false,
            asks_billing: false,
            read_for: 0,
            is_over: false,
        }
    }

    /// What to do next, when the connection has room.
    pub fn next_output(&mut self) -> StreamOutput {
        if let Some(event) = self.waiting.pop_front() {
            if self.waiting.is_empty() {
                // An idle stream holds nothing.
                self.waiting = VecDeque::new();
            }
            return StreamOutput::Send(event);
        }
        if self.is_over {
            return StreamOutput::End;
        }
        if self.is_busy {
            return StreamOutput::Wait;
        }
        if std::mem::take(&mut self.asks_billing) {
            self.is_busy = true;
            return StreamOutput::AskBilling;
        }
        if !self.is_drained { self.begin_read() } else { self.follow() }
    }

    fn follow(&mut self) -> StreamOutput {
        let before = self.cursor.position();
        match self.cursor.next_item() {
            NextItem::Item(page) if page.suits(self.device.as_deref()) => {
                StreamOutput::Send(page.content.clone())
            }
            NextItem::Item(_) => {
                self.cursor.seek(before);
                self.begin_read()
            }
            NextItem::Lagged { head } if head > self.read_for => {
                self.read_for = head;
                self.begin_read()
            }
            // It has read for this already.
            NextItem::Lagged { .. } | NextItem::Nothing => StreamOutput::Wait,
            NextItem::Replaced | NextItem::Closed => {
                // The owner's records were removed.
                self.end(Bye::Revoked);
                self.next_output()
            }
        }
    }

    const fn begin_read(&mut self) -> StreamOutput {
        self.is_busy = true;
        StreamOutput::Read
    }

    /// Takes in the page that [`StreamOutput::Read`] asked for.
    pub fn read(&mut self, read: StreamRead) {
        self.is_busy = false;
        if self.is_over {
            return;
        }
        self.cursor.seek(read.until);
        self.waiting.extend(read.events);
        self.is_drained = !read.has_more;
        self.is_over = read.is_last;
    }

    /// The state cannot be read: the stream breaks off, and its reader comes back with its position.
    pub fn read_failed(&mut self) {
        self.is_busy = false;
        self.waiting.clear();
        self.is_over = true;
    }

    /// Takes in whether the account may still sync.
    pub fn admitted(&mut self, is_admitted: bool) {
        self.is_busy = false;
        if !is_admitted {
            self.end(Bye::PaymentRequired);
        }
        // What its device has got is noted when it reads for itself.
        self.is_drained = false;
    }

    /// Looks at the time.
    pub fn tick(&mut self, now_ms: u64) {
        if self.is_over {
            return;
        }
        if self.billing_ms <= now_ms {
            self.billing_ms = now_ms + self.times.billing_ms;
            self.asks_billing = true;
        }
        if self.heartbeat_ms <= now_ms {
            self.heartbeat_ms = now_ms + self.times.heartbeat_ms;
            // One is enough for a reader that takes nothing.
            if self.waiting.is_empty() {
                self.waiting.push_back(Bytes::from_static(heartbeat()));
            }
        }
    }

    /// When [`Self::tick`] has something to do.
    #[must_use]
    pub fn deadline_ms(&self) -> u64 {
        self.heartbeat_ms.min(self.billing_ms)
    }

    /// Ends the stream, behind what waits to be sent.
    pub fn end(&mut self, reason: Bye) {
        if !self.is_over {
            self.is_over = true;
            self.waiting.push_back(bye(reason).into());
        }
    }

    /// The credential may transfer no more: this stands in place of what was to be sent. The reader comes back with its
    /// position when it may.
    pub fn budget_spent(&mut self) -> Bytes {
        self.waiting.clear();
        self.is_over = true;
        bye(Bye::ByteBudget).into()
    }

    /// Up to where its reader has, or is being sent, everything.
    #[must_use]
    pub const fn position(&self) -> u64 {
        self.cursor.position()
    }
}
