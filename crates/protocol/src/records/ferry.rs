//! The wire of Ferry's own clients (docs/records-wire.md): one entry per record, every field with its true time and
//! writer, so that the client can apply the hub's own rule.

use std::{borrow::Cow, str::FromStr};

use ferry_types::{Error, Reason, Result, RunId, limits::RECORDS_PUSH_MAX_CHANGES};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    Change, ConflictOut, Op, UnixNanos, check_name,
    decode::{ChangeLimits, Members, decode_within},
    encode::write_time,
    json::{self, write_string},
};

/// Where a device is: everything up to `since` was given to it, and up to `floor` whole. Between the two, fields of
/// records that changed again meanwhile may be missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecordsCursor {
    /// Position of the last record.
    pub since: UnixNanos,
    /// Where the device was complete.
    pub floor: UnixNanos,
    /// The run of the hub that gave it out; `None`: it does not say.
    pub run: Option<RunId>,
}

impl RecordsCursor {
    /// Of a device that is complete up to `at`.
    #[must_use]
    pub const fn complete(at: UnixNanos, run: Option<RunId>) -> Self {
        Self { since: at, floor: at, run }
    }
}

/// The text is no cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected a cursor as the hub gave it out: a decimal number, after a cut page two of them with a colon between, and a run \
     behind a tilde"
)]
pub struct BadCursor;

impl FromStr for RecordsCursor {
    type Err = BadCursor;

    fn from_str(text: &str) -> Result<Self, BadCursor> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        let number = |text: &str| {
            let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse().ok().filter(|_| is_plain).map(UnixNanos).ok_or(BadCursor)
        };
        let (text, run) = match text.split_once('~') {
            Some((text, run)) => (text, Some(run.parse().map_err(|_| BadCursor)?)),
            None => (text, None),
        };
        match text.split_once(':') {
            Some((since, floor)) => Ok(Self { since: number(since)?, floor: number(floor)?, run }),
            None => number(text).map(|since| Self::complete(since, run)),
        }
    }
}

impl std::fmt::Display for RecordsCursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.since.0)?;
        if self.since != self.floor {
            write!(f, ":{}", self.floor.0)?;
        }
        // The beginning is every run's.
        match self.run {
            Some(run) if self.since > UnixNanos::EPOCH => write!(f, "~{run}"),
            _ => Ok(()),
        }
    }
}

/// What an entry says of its record.
#[derive(Clone, Copy, Debug)]
pub struct RecordEntry<'a> {
    /// The app; `None` where the request named it.
    pub app: Option<&'a str>,
    /// Collection.
    pub collection: &'a str,
    /// Id of the record.
    pub id: &'a str,
    /// Commit time.
    pub cts: UnixNanos,
    /// JSON of `spaceId`.
    pub space: Option<&'a str>,
}

/// A field with its writer.
#[derive(Clone, Copy, Debug)]
pub struct FieldEntry<'a> {
    /// Name, as it stands between the quotes.
    pub key: &'a str,
    /// JSON.
    pub value: &'a str,
    /// When it was written.
    pub at: UnixNanos,
    /// Client that wrote it.
    pub writer: &'a str,
}

/// Writes one entry of `changes`.
pub fn write_entry<'a>(
    out: &mut Vec<u8>,
    entry: &RecordEntry<'_>,
    fields: impl Iterator<Item = FieldEntry<'a>>,
) {
    out.push(b'{');
    if let Some(app) = entry.app {
        out.extend_from_slice(b"\"app\":");
        write_string(out, app);
        out.push(b',');
    }
    out.extend_from_slice(b"\"collection\":");
    write_string(out, entry.collection);
    out.extend_from_slice(b",\"id\":");
    write_string(out, entry.id);
    out.extend_from_slice(b",\"cts\":\"");
    out.extend_from_slice(entry.cts.0.to_string().as_bytes());
    out.push(b'"');
    if let Some(space) = entry.space {
        out.extend_from_slice(b",\"spaceId\":");
        out.extend_from_slice(space.as_bytes());
    }
    out.extend_from_slice(b",\"fields\":");
    write_fields(out, fields);
    out.push(b'}');
}

/// Writes `{name:{value,at,by}}`.
pub fn write_fields<'a>(out: &mut Vec<u8>, fields: impl Iterator<Item = FieldEntry<'a>>) {
    out.push(b'{');
    for (index, field) in fields.enumerate() {
        out.extend_from_slice(if index > 0 { b",\"" } else { b"\"" });
        out.extend_from_slice(field.key.as_bytes());
        out.extend_from_slice(b"\":");
        write_field(out, field.value, field.at, field.writer);
    }
    out.push(b'}');
}

fn write_field(out: &mut Vec<u8>, value: &str, at: UnixNanos, writer: &str) {
    out.extend_from_slice(b"{\"value\":");
    out.extend_from_slice(value.as_bytes());
    out.extend_from_slice(b",\"at\":");
    write_time(out, at);
    out.extend_from_slice(b",\"by\":");
    write_string(out, writer);
    out.push(b'}');
}

/// A page of `GET /changes`.
#[derive(Clone, Copy, Debug)]
pub struct PageOut<'a> {
    /// Of the store.
    pub epoch: &'a str,
    /// Whether it belongs to a pass over everything.
    pub is_snapshot: bool,
    /// The hub's clock.
    pub now: UnixNanos,
    /// Sequence number of the database.
    pub seq: u64,
    /// Entries joined by commas.
    pub changes: &'a [u8],
    /// Where the device is with this page.
    pub cursor: RecordsCursor,
    /// Whether more is there already.
    pub has_more: bool,
}

impl PageOut<'_> {
    /// One line of JSON.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.changes.len() + 256);
        write_head(&mut out, self.epoch, self.now, self.seq);
        out.extend_from_slice(format!(",\"snapshot\":{},\"changes\":[", self.is_snapshot).as_bytes());
        out.extend_from_slice(self.changes);
        out.extend_from_slice(
            format!("],\"cursor\":\"{}\",\"more\":{}}}", self.cursor, self.has_more).as_bytes(),
        );
        out
    }
}

fn write_head(out: &mut Vec<u8>, epoch: &str, now: UnixNanos, seq: u64) {
    out.extend_from_slice(b"{\"epoch\":");
    write_string(out, epoch);
    out.extend_from_slice(b",\"now\":");
    write_time(out, now);
    out.extend_from_slice(format!(",\"seq\":{seq}").as_bytes());
}

/// Why a device must begin anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resync {
    /// Its cursor lies before tombstones that are gone.
    Horizon,
    /// The store is another one than it knew.
    Epoch,
    /// Its cursor is of a history that the hub does not have: the hub was put back to an older state.
    Diverged,
}

/// The answer that tells it so.
#[must_use]
pub fn resync(reason: Resync, epoch: &str) -> Vec<u8> {
    let word = match reason {
        Resync::Horizon => "horizon",
        Resync::Epoch => "epoch",
        Resync::Diverged => "diverged",
    };
    format!("{{\"resync\":true,\"reason\":\"{word}\",\"epoch\":{}}}", json::string(epoch)).into_bytes()
}

/// What is said of one change of a push.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResultOut {
    /// Merged; a JSON object of the fields that the device must take over, if any.
    Ok(Option<String>),
    /// Not merged.
    Rejected {
        /// Stable word.
        reason: &'static str,
        /// For people.
        message: Cow<'static, str>,
    },
}

/// The answer to a push; `head`: the owner's newest commit behind it.
#[must_use]
pub fn push_answer(
    epoch: &str,
    now: UnixNanos,
    seq: u64,
    head: RecordsCursor,
    results: &[ResultOut],
    conflicts: &[ConflictOut],
) -> Vec<u8> {
    let mut out = Vec::new();
    write_head(&mut out, epoch, now, seq);
    out.extend_from_slice(format!(",\"head\":\"{head}\"").as_bytes());
    out.extend_from_slice(b",\"results\":[");
    for (index, result) in results.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        match result {
            ResultOut::Ok(None) => out.extend_from_slice(b"{\"status\":\"ok\"}"),
            ResultOut::Ok(Some(fields)) => {
                out.extend_from_slice(format!("{{\"status\":\"ok\",\"fields\":{fields}}}").as_bytes());
            }
            ResultOut::Rejected { reason, message } => {
                out.extend_from_slice(
                    format!("{{\"status\":\"rejected\",\"reason\":\"{reason}\",\"message\":").as_bytes(),
                );
                write_string(&mut out, message);
                out.push(b'}');
            }
        }
    }
    out.push(b']');
    if !conflicts.is_empty() {
        out.extend_from_slice(b",\"conflicts\":[");
        for (index, conflict) in conflicts.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            write_conflict(&mut out, conflict);
        }
        out.push(b']');
    }
    out.extend_from_slice(b"}\n");
    out
}

fn write_conflict(out: &mut Vec<u8>, conflict: &ConflictOut) {
    for (name, text) in [("{\"collection\":", &conflict.table), (",\"id\":", &conflict.id)] {
        out.extend_from_slice(name.as_bytes());
        write_string(out, text);
    }
    out.extend_from_slice(format!(",\"field\":\"{}\"", conflict.field).as_bytes());
    for (name, (value, at, by)) in [("winner", &conflict.winner), ("loser", &conflict.loser)] {
        out.extend_from_slice(format!(",\"{name}\":").as_bytes());
        write_field(out, value, *at, by);
    }
    out.push(b'}');
}

/// A push of Ferry's own client. A change that cannot be taken stands as its result.
#[derive(Debug)]
pub struct FerryPush {
    /// The app.
    pub app: String,
    /// The epoch that the device knows.
    pub epoch: Option<String>,
    /// Its cursor.
    pub since: RecordsCursor,
    /// The newest commit that it knows of.
    pub head: RecordsCursor,
    /// In the order of the body.
    pub changes: Vec<Result<Change<'static>, ResultOut>>,
}

/// Reads the body of a push.
///
/// # Errors
/// `INVALID_ARGUMENT` or `TOO_LARGE` for the body as a whole.
pub fn decode(body: &[u8]) -> Result<FerryPush> {
    #[derive(Deserialize)]
    struct Raw<'a> {
        app: Option<String>,
        epoch: Option<String>,
        since: Option<String>,
        head: Option<String>,
        #[serde(borrow)]
        changes: Option<Vec<&'a RawValue>>,
    }
    let raw: Raw<'_> = serde_json::from_slice(body)
        .map_err(|error| Error::new(Reason::InvalidArgument, format!("invalid JSON: {error}")))?;
    let missing = |what: &str| Error::new(Reason::InvalidArgument, format!("missing {what}"));
    let (app, changes) =
        (raw.app.ok_or_else(|| missing("app"))?, raw.changes.ok_or_else(|| missing("changes"))?);
    check_name(&app, "app")?;
    if changes.len() > RECORDS_PUSH_MAX_CHANGES {
        let message = format!("over {RECORDS_PUSH_MAX_CHANGES} changes in one push: send fewer");
        return Err(Error::new(Reason::TooLarge, message));
    }
    let since = cursor(raw.since.as_deref())?;
    let head = cursor(raw.head.as_deref())?;
    Ok(FerryPush {
        app,
        epoch: raw.epoch,
        since,
        head,
        changes: changes.into_iter().map(decode_change).collect(),
    })
}

fn cursor(text: Option<&str>) -> Result<RecordsCursor> {
    let read = text.unwrap_or("").parse();
    read.map_err(|error: BadCursor| Error::new(Reason::InvalidArgument, error.to_string()))
}

fn decode_change(raw: &RawValue) -> Result<Change<'static>, ResultOut> {
    #[derive(Deserialize)]
    struct Beside {
        seen: Option<String>,
    }
    let invalid = |message: String| ResultOut::Rejected { reason: "invalid", message: message.into() };
    let beside: Beside = serde_json::from_str(raw.get()).map_err(|error| invalid(error.to_string()))?;
    let seen = beside.seen.map(|text| text.parse::<RecordsCursor>()).transpose();
    let seen = seen.map_err(|error| invalid(error.to_string()))?;
    // Otherwise the same change as the other wire has.
    let body = format!("{{\"changes\":[{}]}}", raw.get());
    let mut read = decode_within(body.as_bytes(), ChangeLimits::FERRY).map_err(|error| {
        let is_value = error.reason == Reason::TooLarge && error.message.contains("value");
        let reason = if is_value { "too_large" } else { "invalid" };
        ResultOut::Rejected { reason, message: error.message }
    })?;
    let change = read.changes.pop().expect("BUG: the body holds a change").into_owned();
    if change.fields.is_none() {
        return Err(invalid("missing fields".to_owned()));
    }
    Ok(told_apart(Change { seen: seen.map(|cursor| cursor.since), data: None, ..change }))
}

/// A delete that carries `deletedAt` as a field is a write of that field; one that does not happened when the newest
/// of its fields was written.
fn told_apart(mut change: Change<'static>) -> Change<'static> {
    if change.op == Op::Delete {
        let fields = change.fields.as_deref().unwrap_or_default();
        if fields.iter().any(|field| field.key == "deletedAt") {
            change.op = Op::Update;
        } else {
            change.deleted_at = fields.iter().filter_map(|field| field.at).max();
        }
    }
    change
}

/// A line of an export, as a push of one change, and the writers of its fields in their order.
#[derive(Debug)]
pub struct Exported {
    /// The app.
    pub app: String,
    /// The body of a push that updates these fields.
    pub push: String,
    /// Who wrote each field.
    pub writers: Vec<String>,
}

/// Reads a line of an export.
///
/// # Errors
/// `INVALID_ARGUMENT` when it is none.
pub fn decode_exported(line: &str) -> Result<Exported> {
    #[derive(Deserialize)]
    struct Raw<'a> {
        app: String,
        #[serde(borrow)]
        fields: Option<Members<'a, Writer>>,
    }
    #[derive(Deserialize)]
    struct Writer {
        writer: String,
    }
    let wrong = |error: serde_json::Error| {
        Error::new(Reason::InvalidArgument, format!("not a line of an export of records: {error}"))
    };
    let raw: Raw<'_> = serde_json::from_str(line).map_err(wrong)?;
    check_name(&raw.app, "app")?;
    let writers: Vec<String> =
        raw.fields.into_iter().flat_map(Members::into_values).map(|field| field.writer).collect();
    for writer in &writers {
        check_name(writer, "writer")?;
    }
    // A line has all that a change has but its op.
    let body = line.trim().strip_prefix('{').unwrap_or_default();
    Ok(Exported { app: raw.app, push: format!("{{\"changes\":[{{\"op\":\"update\",{body}]}}"), writers })
}

#[cfg(test)]
mod tests;
