//! Bodies and answers of Ferry's own wire of ops (section 2.2), in both directions, and those of the shim (2.1).

use std::borrow::Cow;

use bytes::Bytes;
use ferry_types::{OpSeq, OriginId};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{
    BadOpsMessage,
    canonical::write_string,
    code::{OpCode, OpResult, seq},
};

/// What every answer begins with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogHead {
    /// The log's own id: 32 hex digits.
    pub hub_id: String,
    /// Its epoch: 16 hex digits.
    pub epoch: String,
    /// Its highest op number.
    #[serde(with = "seq")]
    pub head: OpSeq,
    /// The hub's clock.
    pub hub_time_ms: i64,
}

/// Body of a push. Ops are the text they came as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushBody<'a> {
    /// The pushing device.
    pub origin: Option<OriginId>,
    /// The log that the pusher believes to meet.
    pub hub_id: Option<Cow<'a, str>>,
    /// Its epoch.
    pub epoch: Option<Cow<'a, str>>,
    /// The answer shall tell [`PushResults::stamp`].
    pub stamps: bool,
    /// The ops.
    pub ops: Vec<&'a str>,
}

#[derive(Deserialize)]
struct RawPush<'a> {
    #[serde(borrow, default)]
    origin: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    hub_id: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    epoch: Option<Cow<'a, str>>,
    #[serde(default)]
    stamps: bool,
    #[serde(borrow)]
    ops: Vec<&'a RawValue>,
}

fn read<'a, T: Deserialize<'a>>(body: &'a [u8], what: &str) -> Result<T, BadOpsMessage> {
    // A list would be read as the members in their order.
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(BadOpsMessage(format!("{what}: it is no object")));
    }
    serde_json::from_slice(body).map_err(|error| BadOpsMessage(format!("{what}: {error}")))
}

impl<'a> PushBody<'a> {
    /// Reads a body.
    ///
    /// # Errors
    /// Where it is wrong.
    pub fn decode(body: &'a [u8]) -> Result<Self, BadOpsMessage> {
        let raw: RawPush<'a> = read(body, "the body must be {\"origin\",\"ops\":[…]}")?;
        let bad_origin = |_| BadOpsMessage("origin must be 16 hex digits, in lower case".into());
        Ok(Self {
            origin: raw.origin.map(|origin| origin.parse()).transpose().map_err(bad_origin)?,
            hub_id: raw.hub_id,
            epoch: raw.epoch,
            stamps: raw.stamps,
            ops: raw.ops.into_iter().map(RawValue::get).collect(),
        })
    }

    /// The body.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let bytes: usize = self.ops.iter().map(|op| op.len() + 1).sum();
        let mut out = Vec::with_capacity(bytes + 160);
        out.push(b'{');
        let origin = self.origin.map(|origin| Cow::Owned(origin.to_string()));
        for (key, text) in [("origin", &origin), ("hub_id", &self.hub_id), ("epoch", &self.epoch)] {
            if let Some(text) = text {
                write_string(&mut out, key);
                out.push(b':');
                write_string(&mut out, text);
                out.push(b',');
            }
        }
        if self.stamps {
            out.extend_from_slice(b"\"stamps\":true,");
        }
        out.extend_from_slice(b"\"ops\":[");
        for (at, op) in self.ops.iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            out.extend_from_slice(op.as_bytes());
        }
        out.extend_from_slice(b"]}");
        out
    }
}

/// An answer: the head, then the members of `body`, which is an object.
#[must_use]
pub fn answer(head: &LogHead, body: &impl Serialize) -> Vec<u8> {
    let mut out = serde_json::to_vec(head).expect("BUG: texts and numbers are JSON");
    let members = serde_json::to_vec(body).expect("BUG: an answer is JSON");
    if members.len() > 2 {
        out.pop();
        out.push(b',');
        out.extend_from_slice(&members[1..]);
    }
    out
}

/// Reads one part of an answer: its [`LogHead`], or its members.
///
/// # Errors
/// When it is not such an answer.
pub fn read_answer<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, BadOpsMessage> {
    read(body, "the hub's answer is not one of ops")
}

/// Answer of a push.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PushResults {
    /// The stamp of what this push stored, if it was asked for (see [`PageEnd::next_stamp`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stamp: Option<String>,
    /// One per op, in the order of the request.
    pub results: Vec<OpResult>,
}

/// An op with its number.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct NumberedOp<'a> {
    /// Its number.
    #[serde(with = "seq")]
    pub seq: OpSeq,
    /// Its text.
    #[serde(rename = "op", borrow)]
    pub raw: &'a RawValue,
}

/// What a page tells beside its ops.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageEnd {
    /// Highest number of what was dropped (OPS-41).
    pub floor: OpSeq,
    /// Last number that was looked at: the next cursor.
    pub next: OpSeq,
    /// The id of the op with that number.
    pub next_id: Option<String>,
    /// The stamp of that op: when and by which commit this log stored it. A log that was put back and has stored the op
    /// anew, behind others than before, gives it another one. Told to who asks for it.
    pub next_stamp: Option<String>,
    /// Whether there is more behind it.
    pub has_more: bool,
}

/// A page of a pull, as a spoke reads it.
#[derive(Clone, Debug, Deserialize)]
pub struct PageAnswer<'a> {
    /// See [`PageEnd::floor`].
    #[serde(with = "seq")]
    pub floor: OpSeq,
    /// See [`PageEnd::next`].
    #[serde(with = "seq")]
    pub next: OpSeq,
    /// See [`PageEnd::next_id`].
    #[serde(default)]
    pub next_id: Option<String>,
    /// See [`PageEnd::next_stamp`].
    #[serde(default)]
    pub next_stamp: Option<String>,
    /// See [`PageEnd::has_more`].
    pub has_more: bool,
    /// The ops, in order of their numbers.
    #[serde(borrow)]
    pub ops: Vec<NumberedOp<'a>>,
}

/// Bytes in front of the ops of a page: the head, and an id of which each byte may be escaped.
const PAGE_HEAD_MAX_BYTES: usize = 1024;

/// Writes a page of a pull. Each op is copied once, behind room for what the page only knows at its end.
#[derive(Debug)]
pub struct PageBuffer {
    bytes: Vec<u8>,
    count: usize,
}

impl PageBuffer {
    /// An empty page, with room for so many bytes of ops.
    #[must_use]
    pub fn with_capacity(bytes: usize) -> Self {
        let mut buffer = Vec::with_capacity(PAGE_HEAD_MAX_BYTES + bytes + 64);
        buffer.resize(PAGE_HEAD_MAX_BYTES, b' ');
        Self { bytes: buffer, count: 0 }
    }

    /// Appends an op.
    pub fn push(&mut self, seq: OpSeq, raw: &str) {
        if self.count > 0 {
            self.bytes.push(b',');
        }
        self.bytes.extend_from_slice(b"{\"seq\":");
        write_number(&mut self.bytes, seq.0);
        self.bytes.extend_from_slice(b",\"op\":");
        self.bytes.extend_from_slice(raw.as_bytes());
        self.bytes.push(b'}');
        self.count += 1;
    }

    /// How many ops it has.
    #[must_use]
    pub const fn count(&self) -> usize {
        self.count
    }

    /// Bytes of its ops.
    #[must_use]
    pub const fn ops_bytes(&self) -> usize {
        self.bytes.len() - PAGE_HEAD_MAX_BYTES
    }

    /// The answer.
    #[must_use]
    pub fn finish(mut self, head: &LogHead, end: &PageEnd) -> Bytes {
        #[derive(Serialize)]
        struct Members<'a> {
            floor: u64,
            next: u64,
            next_id: Option<&'a str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            next_stamp: Option<&'a str>,
            has_more: bool,
        }
        let members = Members {
            floor: end.floor.0,
            next: end.next.0,
            next_id: end.next_id.as_deref(),
            next_stamp: end.next_stamp.as_deref(),
            has_more: end.has_more,
        };
        let mut front = answer(head, &members);
        front.pop();
        front.extend_from_slice(b",\"ops\":[");
        self.bytes.extend_from_slice(b"]}");
        let Some(start) = PAGE_HEAD_MAX_BYTES.checked_sub(front.len()) else {
            // A head of an unusual hub.
            return [&front, &self.bytes[PAGE_HEAD_MAX_BYTES..]].concat().into();
        };
        self.bytes[start..PAGE_HEAD_MAX_BYTES].copy_from_slice(&front);
        Bytes::from(self.bytes).slice(start..)
    }
}

/// Appends a decimal number.
pub(super) fn write_number(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + u8::try_from(number % 10).expect("BUG: below 10");
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// The same in text.
pub(super) fn push_number(out: &mut String, number: u64) {
    let mut digits = Vec::with_capacity(20);
    write_number(&mut digits, number);
    out.push_str(std::str::from_utf8(&digits).expect("BUG: digits are ASCII"));
}

/// Body of `missing`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MissingBody<'a> {
    /// Ids of ops.
    #[serde(borrow)]
    pub ids: Vec<Cow<'a, str>>,
}

/// Ids of one `missing`.
pub const MISSING_IDS_MAX: usize = 10_000;

impl<'a> MissingBody<'a> {
    /// Reads a body.
    ///
    /// # Errors
    /// Where it is wrong.
    pub fn decode(body: &'a [u8]) -> Result<Self, BadOpsMessage> {
        let read: Self = read(body, "the body must be {\"ids\":[…]}")?;
        if read.ids.len() > MISSING_IDS_MAX {
            return Err(BadOpsMessage(format!("ids: at most {MISSING_IDS_MAX} may be asked about at once")));
        }
        Ok(read)
    }
}

/// Answer of `missing`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MissingIds {
    /// Those that the log does not know.
    pub missing: Vec<String>,
}

/// An op set aside, as an admin sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuarantinedOp {
    /// Its id, or `q:` and a digest where it has none that could be used.
    pub id: String,
    /// Why.
    pub code: OpCode,
    /// When it is due to be released.
    pub release_at_ms: Option<i64>,
    /// Its origin.
    pub origin: Option<String>,
    /// When it came.
    pub received_ms: i64,
    /// Its text.
    pub raw: String,
}

/// A page of the quarantine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuarantinePage {
    /// The ops.
    pub quarantine: Vec<QuarantinedOp>,
    /// Where the next page begins; `None`: this was the last.
    pub next: Option<String>,
}

/// What becomes of an op in quarantine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QuarantineAction {
    /// It is stored, whatever its time.
    Release,
    /// It is forgotten.
    Discard,
}

/// Body of `POST quarantine/{id}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuarantineBody {
    /// What is to be done.
    pub action: QuarantineAction,
}

/// What a new epoch means to spokes (OPS-31, OPS-33).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EpochPolicy {
    /// They push what the log lacks.
    Repush,
    /// They drop what was acknowledged.
    Discard,
}

impl EpochPolicy {
    /// The word on the wire and in storage.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Repush => "repush",
            Self::Discard => "discard",
        }
    }
}

/// Body of `POST epoch`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EpochBody<'a> {
    /// What spokes shall do.
    pub policy: EpochPolicy,
    /// The database's name, typed again.
    #[serde(borrow)]
    pub confirm: Cow<'a, str>,
}

/// Answer of `POST epoch`, beside the head.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EpochBegun {
    /// What spokes shall do.
    pub policy: EpochPolicy,
}

/// Answer of `POST compact`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compacted {
    /// How many ops were dropped.
    pub dropped: u64,
    /// Highest number of what was dropped.
    #[serde(with = "seq")]
    pub floor: OpSeq,
}

/// Reads the body of an admin's call.
///
/// # Errors
/// Where it is wrong.
pub fn read_body<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, BadOpsMessage> {
    read(body, "the body is not what this endpoint takes")
}

/// Answer of the shim's push: exactly these keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShimPushed {
    /// How many ops were newly stored.
    pub applied: u64,
    /// Always 0.
    pub pulled: u64,
    /// Always 0.
    pub pushed: u64,
}

impl ShimPushed {
    /// The answer after so many ops were newly stored.
    #[must_use]
    pub fn body(applied: u64) -> String {
        format!("{{\"pulled\":0,\"applied\":{applied},\"pushed\":0}}")
    }
}
