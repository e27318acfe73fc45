//! Entries of the history: one JSON array per record and commit, with one object per change of the push.

use ferry_protocol::records::{Change, UnixNanos, history_fields, json};

use super::merge::Write;

/// An entry in the making.
#[derive(Debug, Default)]
pub(super) struct HistoryEntry {
    text: Vec<u8>,
    in_fields: bool,
}

impl HistoryEntry {
    /// Adds a field of a change, which is begun with its first one.
    pub(super) fn add(&mut self, write: &Write<'_>, change: &Change<'_>, client: &str, now: UnixNanos) {
        if self.in_fields {
            self.text.push(b',');
        } else {
            self.begin(change, client, now);
        }
        write_field(&mut self.text, &write.key, &write.value, write.at);
    }

    fn begin(&mut self, change: &Change<'_>, client: &str, now: UnixNanos) {
        self.in_fields = true;
        self.text.extend_from_slice(if self.text.is_empty() { b"[" } else { b"," });
        self.text.extend_from_slice(b"{\"op\":\"");
        self.text.extend_from_slice(change.op.as_str().as_bytes());
        self.text.extend_from_slice(b"\",");
        write_client(&mut self.text, client);
        self.text.extend_from_slice(b",\"received\":\"");
        now.write(&mut self.text);
        self.text.push(b'"');
        let origin = change.origin.map(|origin| json::string(origin.as_str()));
        let event_id = change.event_id.as_deref().map(json::string);
        for (name, value) in [
            ("actor", change.actor.as_deref()),
            ("origin", origin.as_deref()),
            ("eventId", event_id.as_deref()),
        ] {
            if let Some(value) = value {
                self.text.extend_from_slice(format!(",\"{name}\":").as_bytes());
                self.text.extend_from_slice(value.as_bytes());
            }
        }
        self.text.extend_from_slice(b",\"fields\":{");
    }

    /// Ends the change.
    pub(super) fn end_change(&mut self) {
        if std::mem::take(&mut self.in_fields) {
            self.text.extend_from_slice(b"}}");
        }
    }

    /// The whole entry; `None` if nothing was added.
    pub(super) fn finish(mut self) -> Option<String> {
        if self.text.is_empty() {
            return None;
        }
        self.text.push(b']');
        Some(String::from_utf8(self.text).expect("BUG: an entry is made of texts"))
    }
}

fn write_field(out: &mut Vec<u8>, key: &str, value: &str, at: UnixNanos) {
    out.push(b'"');
    out.extend_from_slice(key.as_bytes());
    out.extend_from_slice(b"\":{\"value\":");
    out.extend_from_slice(value.as_bytes());
    out.extend_from_slice(b",\"at\":\"");
    at.write(out);
    out.extend_from_slice(b"\"}");
}

/// The fragments of all that an entry accepted; see [`fragment`].
pub(super) fn accepted(entry: &str) -> impl Iterator<Item = String> {
    let fields = history_fields(entry).unwrap_or_default();
    fields.into_iter().map(|(key, value, at)| format!("\"{key}\":{{\"value\":{value},\"at\":\"{at}\"}}"))
}

fn write_client(out: &mut Vec<u8>, client: &str) {
    out.extend_from_slice(b"\"client\":");
    json::write_string(out, client);
}

/// The text that an entry holds if it accepted this write. Quotes inside of values are escaped, so that no value
/// can imitate it.
pub(super) fn fragment(key: &str, value: &str, at: UnixNanos) -> String {
    let mut out = Vec::new();
    write_field(&mut out, key, value, at);
    String::from_utf8(out).expect("BUG: a field is made of texts")
}

/// The text that an entry holds if this client's write was accepted.
pub(super) fn client_fragment(client: &str) -> String {
    let mut out = Vec::new();
    write_client(&mut out, client);
    String::from_utf8(out).expect("BUG: a client is a text")
}
