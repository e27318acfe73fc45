//! What hubs write themselves: the ids and the exact text of derived ops, and the text of any op of Ferry's shape.

use ferry_types::OriginId;
use sha2::{Digest as _, Sha256};

use super::{
    canonical::write_string,
    op::{CONFLICT_ID_PREFIX, FerryOp, MERGED_TEXT_ID_PREFIX, OpKind, push_hex},
};

/// The id of the conflict op of a lost write (OPS-25).
#[must_use]
pub fn conflict_id(loser: &str) -> String {
    let digest = Sha256::new().chain_update("ferry conflict v1\n").chain_update(loser).finalize();
    let mut id = CONFLICT_ID_PREFIX.to_owned();
    push_hex(&mut id, &digest[..16]);
    id
}

/// The id of a compacted text op whose value is the base64 text `update` (OPS-40).
#[must_use]
pub fn merged_text_id(update: &str) -> String {
    let mut id = MERGED_TEXT_ID_PREFIX.to_owned();
    push_hex(&mut id, &Sha256::digest(update)[..16]);
    id
}

/// The conflict op of a lost write, whose text [`FerryOp::encode`] gives (OPS-25).
#[must_use]
pub fn conflict_op(loser: &FerryOp) -> FerryOp {
    let mut value = Vec::from(b"{\"op\":");
    write_string(&mut value, &loser.id);
    value.extend_from_slice(b",\"origin\":\"");
    value.extend_from_slice(loser.origin.to_string().as_bytes());
    value.extend_from_slice(b"\",\"value\":");
    value.extend_from_slice(loser.value.as_deref().unwrap_or("null").as_bytes());
    value.push(b'}');
    FerryOp {
        id: conflict_id(&loser.id),
        hlc: loser.hlc,
        origin: OriginId::ZERO,
        kind: OpKind::Conflict,
        entity: loser.entity.clone(),
        field: loser.field.clone(),
        value: Some(String::from_utf8(value).expect("BUG: JSON of texts")),
        to: None,
        base: Vec::new(),
        removes: Vec::new(),
        replaces: None,
        merged: Vec::new(),
        merged_hlc: Vec::new(),
    }
}

impl FerryOp {
    /// Its text, as a writer of Ferry's spells it: the same for the same op everywhere.
    #[must_use]
    pub fn encode(&self) -> String {
        encode(self)
    }
}

fn encode(op: &FerryOp) -> String {
    let mut out = Vec::with_capacity(256 + op.value.as_ref().map_or(0, String::len));
    out.extend_from_slice(b"{\"v\":1");
    let text = |out: &mut Vec<u8>, key: &str, text: &str| {
        key_of(out, key);
        write_string(out, text);
    };
    text(&mut out, "id", &op.id);
    text(&mut out, "hlc", &op.hlc.to_string());
    text(&mut out, "origin", &op.origin.to_string());
    text(&mut out, "kind", op.kind.as_str());
    for (key, name) in [("entity", &op.entity), ("field", &op.field)] {
        if let Some(name) = name {
            text(&mut out, key, name);
        }
    }
    if let Some(value) = &op.value {
        key_of(&mut out, "value");
        out.extend_from_slice(value.as_bytes());
    }
    let has_base = matches!(op.kind, OpKind::Set | OpKind::Text | OpKind::Tombstone);
    let merged_hlc: Vec<String> = op.merged_hlc.iter().map(ToString::to_string).collect();
    let lists = [
        ("base", &op.base, has_base && op.merged.is_empty()),
        ("removes", &op.removes, op.kind == OpKind::LinkRemove),
        ("merged", &op.merged, false),
        ("merged_hlc", &merged_hlc, false),
    ];
    for (key, ids, is_always) in lists {
        if is_always || !ids.is_empty() {
            key_of(&mut out, key);
            list(&mut out, ids);
        }
    }
    if let Some(replaces) = &op.replaces {
        text(&mut out, "replaces", replaces);
    }
    out.push(b'}');
    String::from_utf8(out).expect("BUG: JSON of texts")
}

fn key_of(out: &mut Vec<u8>, key: &str) {
    out.push(b',');
    write_string(out, key);
    out.push(b':');
}

fn list(out: &mut Vec<u8>, ids: &[String]) {
    out.push(b'[');
    for (at, id) in ids.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        write_string(out, id);
    }
    out.push(b']');
}
