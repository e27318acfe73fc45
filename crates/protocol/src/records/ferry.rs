//! Changes as Ferry's own clients get them: one entry per record, every field with its true time and writer, so
//! that the client can apply the hub's own rule.

use super::{UnixNanos, encode::write_time, json};

/// What an entry says of its record.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// The app.
    pub app: &'a str,
    /// Collection.
    pub collection: &'a str,
    /// Id of the record.
    pub id: &'a str,
    /// Commit time: the cursor behind this entry.
    pub cts: UnixNanos,
    /// Whether the record holds a tombstone.
    pub deleted: bool,
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

/// Writes `{"app","collection","id","cts","deleted","fields":{name:{value,at,writer}},…}`.
pub fn write_entry<'a>(out: &mut Vec<u8>, entry: &Entry<'_>, fields: impl Iterator<Item = FieldEntry<'a>>) {
    for (name, value) in
        [("{\"app\":", entry.app), (",\"collection\":", entry.collection), (",\"id\":", entry.id)]
    {
        out.extend_from_slice(name.as_bytes());
        json::write_string(out, value);
    }
    out.extend_from_slice(b",\"cts\":\"");
    out.extend_from_slice(entry.cts.0.to_string().as_bytes());
    out.extend_from_slice(if entry.deleted { b"\",\"deleted\":true" } else { b"\",\"deleted\":false" });
    if let Some(space) = entry.space {
        out.extend_from_slice(b",\"spaceId\":");
        out.extend_from_slice(space.as_bytes());
    }
    out.extend_from_slice(b",\"fields\":{");
    for (place, field) in fields.enumerate() {
        out.extend_from_slice(if place > 0 { b",\"" } else { b"\"" });
        out.extend_from_slice(field.key.as_bytes());
        out.extend_from_slice(b"\":{\"value\":");
        out.extend_from_slice(field.value.as_bytes());
        out.extend_from_slice(b",\"at\":");
        write_time(out, field.at);
        out.extend_from_slice(b",\"writer\":");
        json::write_string(out, field.writer);
        out.push(b'}');
    }
    out.extend_from_slice(b"}}");
}
