//! Server-sent events of the live stream (section 2.3), written and read. Line breaks between JSON tokens are sent as
//! spaces: none can stand within a token.

use ferry_types::OpSeq;
use serde::{Deserialize, Serialize};

use super::{BadOpsMessage, code::seq};

/// Longest event that a reader takes.
pub const SSE_EVENT_MAX_BYTES: usize = 24 << 20;

/// A comment, which shows that the stream lives.
pub const PING: &str = ": ping\n\n";

/// The first event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveReady {
    /// Whose log it is.
    pub hub_id: String,
    /// Its epoch.
    pub epoch: String,
    /// Its highest op number.
    #[serde(with = "seq")]
    pub head: OpSeq,
}

/// An event of the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LiveEvent {
    /// The stream stands.
    Ready(LiveReady),
    /// There are ops up to this number.
    Nudge(OpSeq),
    /// An op.
    Op {
        /// Its number.
        seq: OpSeq,
        /// Its text.
        raw: String,
    },
    /// The cursor is of no more use: compare epoch and floor.
    Resync,
    /// The stream is over; connect again.
    Bye,
}

impl LiveReady {
    /// The event.
    #[must_use]
    pub fn event(&self) -> String {
        let data = serde_json::to_string(self).expect("BUG: texts and a number are JSON");
        format!("event: ready\ndata: {data}\n\n")
    }
}

/// The event that tells the head.
#[must_use]
pub fn nudge(head: OpSeq) -> String {
    format!("id: {0}\nevent: nudge\ndata: {{\"head\":{0}}}\n\n", head.0)
}

/// The event of an op.
#[must_use]
pub fn op_event(seq: OpSeq, raw: &str) -> String {
    let mut out = String::with_capacity(raw.len() + 64);
    out.push_str(&format!("id: {0}\nevent: op\ndata: {{\"seq\":{0},\"op\":", seq.0));
    push_one_line(&mut out, raw);
    out.push_str("}\n\n");
    out
}

/// The event that ends a stream whose cursor is of no more use.
#[must_use]
pub fn resync() -> &'static str {
    "event: resync\ndata: {}\n\n"
}

/// The event that ends a stream for another reason, which is a word.
#[must_use]
pub fn bye(reason: &str) -> String {
    format!("event: bye\ndata: {{\"reason\":\"{reason}\"}}\n\n")
}

/// Appends JSON on one line.
pub(super) fn push_one_line(out: &mut String, json: &str) {
    let is_break = |byte: u8| byte == b'\n' || byte == b'\r';
    // All bytes are looked at, which is faster than to stop at the first.
    if json.bytes().fold(false, |found, byte| found | is_break(byte)) {
        out.extend(json.chars().map(|c| if matches!(c, '\n' | '\r') { ' ' } else { c }));
    } else {
        out.push_str(json);
    }
}

#[derive(Deserialize)]
struct NudgeData {
    #[serde(with = "seq")]
    head: OpSeq,
}

/// Reads a stream that comes in pieces.
#[derive(Debug, Default)]
pub struct LiveReader {
    buffer: Vec<u8>,
}

impl LiveReader {
    /// Takes a piece; gives the events that it ends. Unknown events are left out.
    ///
    /// # Errors
    /// When an event is longer than [`SSE_EVENT_MAX_BYTES`], or is not what its name says.
    pub fn feed(&mut self, piece: &[u8]) -> Result<Vec<LiveEvent>, BadOpsMessage> {
        let mut searched = self.buffer.len().saturating_sub(1);
        self.buffer.extend_from_slice(piece);
        let mut events = Vec::new();
        let mut start = 0;
        while let Some(at) = self.buffer[searched..].windows(2).position(|pair| pair == b"\n\n") {
            let end = searched + at;
            events.extend(read_event(&self.buffer[start..end])?);
            start = end + 2;
            searched = start;
        }
        self.buffer.drain(..start);
        if self.buffer.len() > SSE_EVENT_MAX_BYTES {
            return Err(BadOpsMessage("an event of the live stream is too long".into()));
        }
        Ok(events)
    }
}

fn read_event(block: &[u8]) -> Result<Option<LiveEvent>, BadOpsMessage> {
    let block =
        std::str::from_utf8(block).map_err(|_| BadOpsMessage("the live stream is not UTF-8".into()))?;
    let (mut name, mut data) = ("", "");
    for line in block.lines() {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => name = value,
            "data" => data = value,
            _ => {}
        }
    }
    let wrong = |error: serde_json::Error| BadOpsMessage(format!("event {name} of the live stream: {error}"));
    Ok(Some(match name {
        "ready" => LiveEvent::Ready(serde_json::from_str(data).map_err(wrong)?),
        "nudge" => LiveEvent::Nudge(serde_json::from_str::<NudgeData>(data).map_err(wrong)?.head),
        "op" => {
            let op: super::messages::NumberedOp<'_> = serde_json::from_str(data).map_err(wrong)?;
            LiveEvent::Op { seq: op.seq, raw: op.raw.get().to_owned() }
        }
        "resync" => LiveEvent::Resync,
        "bye" => LiveEvent::Bye,
        _ => return Ok(None),
    }))
}
