//! Ferry's own JSON of events: the HTTP and SSE view, exports and hooks (sections 2.9 to 2.11). Always on one line:
//! line breaks can only stand between the tokens of stored JSON, where a space means the same.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    Event, EventRef,
    encode::{number, string},
    inbound::{Whole, present},
    mistake::{self, Shape},
};

/// Appends `event` as a client sent it: without what its commit added.
pub fn write_event(out: &mut String, event: &Event) {
    open(out, &event.committed(""));
    out.push('}');
}

/// Appends `event` as it was committed, by the commit `seq`.
pub fn write_committed(out: &mut String, event: &EventRef<'_>, seq: u64) {
    open(out, event);
    out.push_str(",\"createdAt\":");
    string(out, event.created_at);
    out.push_str(",\"seq\":");
    out.push_str(&seq.to_string());
    out.push('}');
}

fn open(out: &mut String, event: &EventRef<'_>) {
    out.push_str("{\"seqNum\":");
    number(out, event.seq_num);
    out.push_str(",\"parentSeqNum\":");
    number(out, event.parent_seq_num);
    out.push_str(",\"name\":");
    string(out, event.name);
    if let Some(args) = event.args {
        out.push_str(",\"args\":");
        one_line(out, args);
    }
    out.push_str(",\"clientId\":");
    string(out, event.client_id);
    out.push_str(",\"sessionId\":");
    string(out, event.session_id);
}

fn one_line(out: &mut String, json: &str) {
    if !json.contains(['\n', '\r']) {
        return out.push_str(json);
    }
    out.extend(json.chars().map(|c| if matches!(c, '\n' | '\r') { ' ' } else { c }));
}

/// Appends `event` as a server-sent event whose id is its number.
pub fn write_sse(out: &mut String, event: &EventRef<'_>, seq: u64) {
    out.push_str("id: ");
    number(out, event.seq_num);
    out.push_str("\nevent: event\ndata: ");
    write_committed(out, event, seq);
    out.push_str("\n\n");
}

/// A body that is not what its endpoint takes; says where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadBody(pub String);

fn read<'a, T: Deserialize<'a>>(text: &'a str, shape: &Shape) -> Result<T, BadBody> {
    serde_json::from_str(text).map_err(|error| BadBody(mistake::find(text, shape, &error)))
}

/// Body of `POST …/events`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppendCall {
    /// Which store; `None`: the database's default.
    pub store: Option<Box<str>>,
    /// Number of the event that it builds on; `None`: whatever is the newest.
    pub parent_seq_num: Option<i64>,
    /// The store's identity as the caller knows it.
    pub backend_id: Option<Box<str>>,
    /// The events; numbered from the parent on where they bring no number of their own.
    pub events: Vec<Event>,
}

const APPEND: &Shape = &Shape::Object(&[
    ("clientId", true, Shape::Text),
    ("sessionId", true, Shape::Text),
    ("events", true, Shape::List(&Shape::Object(&[("name", true, Shape::Text)]))),
]);

impl AppendCall {
    /// Reads a body.
    ///
    /// # Errors
    /// Where it is wrong.
    pub fn decode(text: &str) -> Result<Self, BadBody> {
        let raw: RawAppend<'_> = serde_json::from_str(text).map_err(|error| {
            unknown_member(&error).unwrap_or_else(|| BadBody(mistake::find(text, APPEND, &error)))
        })?;
        let mut parent = raw.parent_seq_num.map_or(0, |number| number.0);
        let mut events = Vec::with_capacity(raw.events.len());
        for (index, event) in raw.events.into_iter().enumerate() {
            if event.seq_num.is_some() && raw.parent_seq_num.is_none() {
                let why = "seqNum: a number of its own needs parentSeqNum in the body";
                return Err(BadBody(format!("events[{index}].{why}")));
            }
            let seq_num = event.seq_num.map_or(parent.saturating_add(1), |number| number.0);
            events.push(Event {
                seq_num,
                parent_seq_num: parent,
                name: event.name.into(),
                args: event.args.map(|raw| raw.get().into()),
                client_id: (&*raw.client_id).into(),
                session_id: (&*raw.session_id).into(),
            });
            parent = seq_num;
        }
        Ok(Self {
            store: raw.store.map(Into::into),
            parent_seq_num: raw.parent_seq_num.map(|number| number.0),
            backend_id: raw.backend_id.map(Into::into),
            events,
        })
    }
}

/// A member that no append has: it was meant to change what is done, and would be left unheard.
fn unknown_member(error: &serde_json::Error) -> Option<BadBody> {
    let text = error.to_string();
    let message = text.split(" at line ").next().filter(|message| message.starts_with("unknown field"))?;
    Some(BadBody(message.replace("unknown field", "unknown member")))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RawAppend<'a> {
    #[serde(borrow, default)]
    store: Option<Cow<'a, str>>,
    #[serde(default)]
    parent_seq_num: Option<Whole>,
    #[serde(borrow, default)]
    backend_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    client_id: Cow<'a, str>,
    #[serde(borrow)]
    session_id: Cow<'a, str>,
    #[serde(borrow)]
    events: Vec<RawNew<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawNew<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow, default, deserialize_with = "present")]
    args: Option<&'a RawValue>,
    #[serde(default)]
    seq_num: Option<Whole>,
}

/// First line of an export.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExportHeader {
    /// What this file is: `events`.
    pub ferry: Box<str>,
    /// Version of the format: 1.
    pub version: u32,
    /// The store.
    pub store_id: Box<str>,
    /// Its identity.
    pub backend_id: Box<str>,
    /// Number of its newest event.
    pub head: i64,
    /// Events up to here are not in the file.
    pub base: i64,
    /// How many events follow.
    pub count: u64,
}

/// What the first line of an export says it is.
pub const EXPORT_FERRY: &str = "events";
/// Version of the export format.
pub const EXPORT_VERSION: u32 = 1;
/// What the tables of LiveStore's own backend begin with: the version of its storage format is part of it.
pub const EXPORT_TABLE_PREFIX: &str = "eventlog_7_";

/// The table of a store's log in LiveStore's own backend, which imports and exports of SQLite files share: the prefix and
/// the id, in which `_` stands for every UTF-16 unit but letters and digits. Different stores may have the same.
#[must_use]
pub fn export_table(store_id: &str) -> String {
    let units = store_id.encode_utf16().map(|unit| {
        let plain = u8::try_from(unit).ok().filter(u8::is_ascii_alphanumeric);
        plain.map_or('_', char::from)
    });
    EXPORT_TABLE_PREFIX.chars().chain(units).collect()
}

impl ExportHeader {
    /// Appends the header's line, without a line feed.
    pub fn write(&self, out: &mut String) {
        out.push_str("{\"ferry\":");
        string(out, &self.ferry);
        out.push_str(",\"version\":");
        out.push_str(&self.version.to_string());
        out.push_str(",\"storeId\":");
        string(out, &self.store_id);
        out.push_str(",\"backendId\":");
        string(out, &self.backend_id);
        out.push_str(",\"head\":");
        number(out, self.head);
        out.push_str(",\"base\":");
        number(out, self.base);
        out.push_str(",\"count\":");
        out.push_str(&self.count.to_string());
        out.push('}');
    }

    /// Reads the first line of an export.
    ///
    /// # Errors
    /// Where it is wrong.
    pub fn decode(line: &str) -> Result<Self, BadBody> {
        const SHAPE: &Shape = &Shape::Object(&[
            ("ferry", true, Shape::Text),
            ("version", true, Shape::Whole),
            ("storeId", true, Shape::Text),
            ("backendId", true, Shape::Text),
            ("head", true, Shape::Whole),
            ("base", true, Shape::Whole),
            ("count", true, Shape::Whole),
        ]);
        let header: Self = read(line, SHAPE)?;
        if *header.ferry != *EXPORT_FERRY || header.version != EXPORT_VERSION {
            return Err(BadBody("expected the header of an export of events, version 1".to_owned()));
        }
        Ok(header)
    }
}

/// Last line of an export.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct ExportTrailer {
    /// Always true.
    pub end: bool,
    /// How many events there were.
    pub count: u64,
    /// SHA-256 of the event lines, each with its line feed, in lower-case hex.
    pub sha256: Box<str>,
}

impl ExportTrailer {
    /// The line, without a line feed.
    #[must_use]
    pub fn line(&self) -> String {
        format!("{{\"end\":{},\"count\":{},\"sha256\":\"{}\"}}", self.end, self.count, self.sha256)
    }

    /// Reads the last line of an export.
    ///
    /// # Errors
    /// Where it is wrong.
    pub fn decode(line: &str) -> Result<Self, BadBody> {
        const SHAPE: &Shape = &Shape::Object(&[
            ("end", true, Shape::Truth),
            ("count", true, Shape::Whole),
            ("sha256", true, Shape::Text),
        ]);
        read(line, SHAPE)
    }
}

/// An event as [`write_committed`] writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommittedEvent {
    /// The event.
    pub event: Event,
    /// When it was committed: RFC 3339, UTC, milliseconds.
    pub created_at: Box<str>,
}

impl CommittedEvent {
    /// Reads one line of an export; unknown keys are skipped.
    ///
    /// # Errors
    /// Where it is wrong.
    pub fn decode(line: &str) -> Result<Self, BadBody> {
        const SHAPE: &Shape = &Shape::Object(&[
            ("seqNum", true, Shape::Whole),
            ("parentSeqNum", true, Shape::Whole),
            ("name", true, Shape::Text),
            ("clientId", true, Shape::Text),
            ("sessionId", true, Shape::Text),
            ("createdAt", true, Shape::Text),
        ]);
        let raw: RawCommitted<'_> = read(line, SHAPE)?;
        let event = Event {
            seq_num: raw.seq_num.0,
            parent_seq_num: raw.parent_seq_num.0,
            name: raw.name.into(),
            args: raw.args.map(|raw| raw.get().into()),
            client_id: raw.client_id.into(),
            session_id: raw.session_id.into(),
        };
        Ok(Self { event, created_at: raw.created_at.into() })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawCommitted<'a> {
    seq_num: Whole,
    parent_seq_num: Whole,
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow, default, deserialize_with = "present")]
    args: Option<&'a RawValue>,
    #[serde(borrow)]
    client_id: Cow<'a, str>,
    #[serde(borrow)]
    session_id: Cow<'a, str>,
    #[serde(borrow)]
    created_at: Cow<'a, str>,
}

#[cfg(test)]
mod tests {
    use super::*;

    // Verifies: EVT-46
    #[test]
    fn logs_are_named_as_the_reference_names_them() {
        assert_eq!(export_table("my-store"), "eventlog_7_my_store");
        assert_eq!(export_table("a b.ü_C9"), "eventlog_7_a_b___C9");
        assert_eq!(export_table("a\u{1f600}b"), "eventlog_7_a__b", "one for each UTF-16 unit");
    }

    const AT: &str = "2026-11-20T10:29:48.311Z";

    fn event(args: Option<&str>) -> Event {
        Event {
            seq_num: 2,
            parent_seq_num: 1,
            name: "v1.\"Made\"".into(),
            args: args.map(Into::into),
            client_id: "c".into(),
            session_id: "s".into(),
        }
    }

    // Verifies: EVT-08, EVT-71
    #[test]
    fn a_committed_event_is_one_line_and_comes_back_as_it_was() {
        for args in [None, Some("null"), Some("{\"a\":9007199254740993,\"a\":\"\\ud800\"}"), Some("\"\\n\"")]
        {
            let event = event(args);
            let mut line = String::new();
            write_committed(&mut line, &event.committed(AT), 17);
            let read = CommittedEvent::decode(&line).unwrap();
            assert_eq!(read, CommittedEvent { event, created_at: AT.into() }, "{line}");
            assert!(line.ends_with(",\"createdAt\":\"2026-11-20T10:29:48.311Z\",\"seq\":17}"), "{line}");
        }
        let mut frame = String::new();
        write_sse(&mut frame, &event(Some("{\n \"a\":\r\n1}")).committed(AT), 1);
        assert!(frame.starts_with("id: 2\nevent: event\ndata: {\"seqNum\":2,"), "{frame}");
        assert!(frame.contains("\"args\":{  \"a\":  1}"), "{frame}");
        assert_eq!(frame.matches('\n').count(), 4);
    }

    #[test]
    fn appended_events_get_the_numbers_behind_their_parent() {
        let body = r#"{"store":"app","parentSeqNum":5,"clientId":"c","sessionId":"s",
            "events":[{"name":"a"},{"name":"b","args":null,"seqNum":9},{"name":"c","args":{"x":1}}]}"#;
        let call = AppendCall::decode(body).unwrap();
        let numbers: Vec<_> = call.events.iter().map(|event| (event.parent_seq_num, event.seq_num)).collect();
        assert_eq!(numbers, [(5, 6), (6, 9), (9, 10)]);
        let args: Vec<_> = call.events.iter().map(|event| event.args.as_deref()).collect();
        assert_eq!(args, [None, Some("null"), Some("{\"x\":1}")]);
        assert_eq!((call.parent_seq_num, call.store.as_deref()), (Some(5), Some("app")));

        let message = |body| AppendCall::decode(body).unwrap_err().0;
        assert_eq!(message(r#"{"clientId":"c","events":[]}"#), "sessionId: expected a string");
        assert_eq!(
            message(r#"{"clientId":"c","sessionId":"s","events":[{"name":1}]}"#),
            "events[0].name: expected a string"
        );
        assert!(
            message(r#"{"clientId":"c","sessionId":"s","events":[{"name":"a","seqNum":4}]}"#).contains("[0]")
        );
        assert!(message("{").contains("cannot be read"));
        let misspelt = message(r#"{"storeId":"x","clientId":"c","sessionId":"s","events":[]}"#);
        assert!(misspelt.starts_with("unknown member `storeId`, expected one of `store`"), "{misspelt}");
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in ".{0,200}", json in "[\\[\\]{}\":,a-z0-9.]{0,60}") {
            for text in [text, json] {
                let _ = AppendCall::decode(&text);
                let _ = ExportHeader::decode(&text);
                let _ = ExportTrailer::decode(&text);
                let _ = CommittedEvent::decode(&text);
                let _ = crate::events::Verdict::decode(&text);
            }
        }
    }

    #[test]
    fn header_and_trailer_come_back_as_they_were() {
        let header = ExportHeader {
            ferry: EXPORT_FERRY.into(),
            version: EXPORT_VERSION,
            store_id: "a \"b\"".into(),
            backend_id: "id".into(),
            head: 262,
            base: 0,
            count: 3,
        };
        let mut line = String::new();
        header.write(&mut line);
        assert_eq!(ExportHeader::decode(&line).unwrap(), header);
        assert!(ExportHeader::decode(&line.replace("\"version\":1", "\"version\":2")).is_err());
        let trailer = ExportTrailer { end: true, count: 3, sha256: "ab".into() };
        assert_eq!(trailer.line(), r#"{"end":true,"count":3,"sha256":"ab"}"#);
        assert_eq!(ExportTrailer::decode(&trailer.line()).unwrap(), trailer);
        assert!(ExportTrailer::decode(r#"{"seqNum":1}"#).unwrap_err().0.contains("end"));
    }
}
