//! An op as it is received (section 2.5): its text, kept byte for byte, and what of it Ferry understands.

use std::borrow::Cow;

use ferry_types::{Hlc, OriginId};

use super::{
    canonical::canonical_digest,
    code::OpCode,
    tokens::{JsonFault, JsonMember, Tokens, VALUE_DEPTH_MAX, decode, json_text, members},
};

/// Shortest and longest id of an op.
pub const OP_ID_BYTES: std::ops::RangeInclusive<usize> = 8..=64;
/// What ids of conflict ops begin with.
pub const CONFLICT_ID_PREFIX: &str = "cf-";
/// What ids of compacted text ops begin with.
pub const MERGED_TEXT_ID_PREFIX: &str = "tc-";
/// Longest HLC of a foreign op.
pub const FOREIGN_HLC_MAX_BYTES: usize = 128;
/// Longest kind.
pub const KIND_MAX_BYTES: usize = 64;
/// Longest name of an entity.
pub const ENTITY_MAX_BYTES: usize = 256;
/// Longest name of a field.
pub const FIELD_MAX_BYTES: usize = 128;
/// Ids in `base`, and in `removes`.
pub const OP_LIST_MAX: usize = 256;

/// An op of either sort.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceivedOp<'a> {
    /// Its text, without blanks around it.
    pub raw: &'a str,
    /// Its id; of a foreign op `f:<hlc>:<first 32 hex of SHA-256 of its canonical JSON>`.
    pub id: Cow<'a, str>,
    /// What Ferry understands of it.
    pub body: OpBody,
}

/// What Ferry understands of an op.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpBody {
    /// An op of Ferry's own shape.
    Ferry(Box<FerryOp>),
    /// Any other object with an HLC.
    Foreign {
        /// The clock text by which its writers order it.
        hlc: String,
    },
}

/// An op of Ferry's own shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FerryOp {
    /// Its id.
    pub id: String,
    /// When it was written.
    pub hlc: Hlc,
    /// Who wrote it: the HLC's origin, but [`OriginId::ZERO`] in what hubs derive.
    pub origin: OriginId,
    /// What it does.
    pub kind: OpKind,
    /// What it is about.
    pub entity: Option<String>,
    /// Which field.
    pub field: Option<String>,
    /// JSON, as it was sent.
    pub value: Option<String>,
    /// Target of a `link.add`.
    pub to: Option<String>,
    /// Ops of its entity that its writer had seen.
    pub base: Vec<String>,
    /// Ids of the adds that a `link.remove` undoes.
    pub removes: Vec<String>,
    /// The op that it restamps (OPS-12).
    pub replaces: Option<String>,
    /// Heads that a compacted text op stands for (OPS-40); empty in all others.
    pub merged: Vec<String>,
    /// Their HLCs, in the same order; empty if they are not told. By these a store that never had them knows what covers
    /// them.
    pub merged_hlc: Vec<Hlc>,
}

/// What an op does.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum OpKind {
    /// Names the type of an entity.
    Create,
    /// Writes a scalar.
    Set,
    /// Edits a text.
    Text,
    /// Links to another entity.
    LinkAdd,
    /// Takes links away.
    LinkRemove,
    /// Deletes the entity.
    Tombstone,
    /// Records a lost write; hubs write it.
    Conflict,
    /// Stored and delivered, but not merged.
    Other(String),
}

impl OpKind {
    /// The word on the wire.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Create => "create",
            Self::Set => "set",
            Self::Text => "text",
            Self::LinkAdd => "link.add",
            Self::LinkRemove => "link.remove",
            Self::Tombstone => "tombstone",
            Self::Conflict => "conflict",
            Self::Other(word) => word,
        }
    }

    /// The kind of a word.
    #[must_use]
    pub fn of(word: &str) -> Self {
        match word {
            "create" => Self::Create,
            "set" => Self::Set,
            "text" => Self::Text,
            "link.add" => Self::LinkAdd,
            "link.remove" => Self::LinkRemove,
            "tombstone" => Self::Tombstone,
            "conflict" => Self::Conflict,
            other => Self::Other(other.to_owned()),
        }
    }

    /// Whether ops of this kind change what entities are.
    #[must_use]
    pub const fn is_merged(&self) -> bool {
        !matches!(self, Self::Other(_))
    }
}

/// A text that is no op that can be stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct UnfitOp {
    /// Its id, as far as it can be read.
    pub id: Option<String>,
    /// Which rule it breaks.
    pub code: OpCode,
    /// What is wrong, for people.
    pub message: String,
    /// Whether it is at least an object with a usable HLC.
    pub has_hlc: bool,
}

/// Reads an op. Looks at its shape alone: names, lengths, forms and what its kind needs.
///
/// # Errors
/// What is wrong with it.
pub fn parse_op(raw: &str) -> Result<ReceivedOp<'_>, UnfitOp> {
    let raw = raw.trim_matches([' ', '\n', '\r', '\t']);
    let members = members(raw, VALUE_DEPTH_MAX).map_err(|fault| {
        let message = match fault {
            JsonFault::NotJson => "an op must be a JSON object".to_owned(),
            JsonFault::TooDeep => {
                format!("an op's values may nest {VALUE_DEPTH_MAX} deep, this one nests deeper")
            }
        };
        UnfitOp { id: None, code: OpCode::BadOp, message, has_hlc: false }
    })?;
    let fields = Fields { raw, members };
    if let Some(name) = fields.repeated() {
        let message = format!("the key {:?} is repeated: each may stand once", String::from_utf8_lossy(name));
        return Err(fields.unfit(OpCode::BadOp, message));
    }
    if fields.get("v") == Some("1") { fields.ferry() } else { fields.foreign() }
}

struct Fields<'a> {
    raw: &'a str,
    members: Vec<JsonMember<'a>>,
}

impl<'a> Fields<'a> {
    fn get(&self, name: &str) -> Option<&'a str> {
        self.members.iter().find(|(key, _)| key.as_ref() == name.as_bytes()).map(|(_, value)| *value)
    }

    fn text(&self, name: &str) -> Option<Cow<'a, str>> {
        self.get(name).and_then(json_text)
    }

    fn repeated(&self) -> Option<&[u8]> {
        // Few keys are compared faster than they are sorted.
        const FEW: usize = 16;
        let keys = || self.members.iter().map(|(key, _)| key.as_ref());
        if self.members.len() <= FEW {
            return keys()
                .enumerate()
                .find(|(at, key)| keys().take(*at).any(|other| other == *key))
                .map(|(_, key)| key);
        }
        let mut sorted: Vec<&[u8]> = keys().collect();
        sorted.sort_unstable();
        sorted.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0])
    }

    fn unfit(&self, code: OpCode, message: impl Into<String>) -> UnfitOp {
        let id = self.text("id").filter(|id| is_op_id(id)).map(Cow::into_owned);
        UnfitOp { id, code, message: message.into(), has_hlc: self.foreign_hlc().is_some() }
    }

    fn foreign_hlc(&self) -> Option<Cow<'a, str>> {
        let is_usable = |hlc: &Cow<'_, str>| {
            (1..=FOREIGN_HLC_MAX_BYTES).contains(&hlc.len())
                && hlc.bytes().all(|b| (0x21..=0x7e).contains(&b))
        };
        self.text("hlc").filter(is_usable)
    }

    fn foreign(self) -> Result<ReceivedOp<'a>, UnfitOp> {
        let Some(hlc) = self.foreign_hlc() else {
            let message = "hlc must be a string of 1 to 128 bytes 0x21 to 0x7e; Ferry's own ops have \"v\":1";
            return Err(UnfitOp { id: None, ..self.unfit(OpCode::BadHlc, message) });
        };
        let id = foreign_id(&hlc, self.raw);
        Ok(ReceivedOp { raw: self.raw, id: id.into(), body: OpBody::Foreign { hlc: hlc.into_owned() } })
    }

    fn ferry(self) -> Result<ReceivedOp<'a>, UnfitOp> {
        let unfit = |code, message: &str| self.unfit(code, message);
        let bad = |message: &str| self.unfit(OpCode::BadOp, message);
        let id = self.text("id").filter(|id| is_op_id(id));
        let id = id.ok_or_else(|| bad("id must be 8 to 64 of A-Z a-z 0-9 _ . -"))?;
        let hlc: Option<Hlc> = self.text("hlc").and_then(|hlc| hlc.parse().ok());
        let form = "hlc must be <12 hex ms>-<4 hex counter>-<16 hex origin>, in lower case";
        let hlc = hlc.ok_or_else(|| unfit(OpCode::BadHlc, form))?;
        let origin: Option<OriginId> = self.text("origin").and_then(|origin| origin.parse().ok());
        let origin = origin.ok_or_else(|| bad("origin must be 16 hex digits, in lower case"))?;
        let kind = self.name("kind", KIND_MAX_BYTES)?.ok_or_else(|| bad("kind is missing"))?;
        let kind = OpKind::of(&kind);
        let mut op = FerryOp {
            id: id.clone().into_owned(),
            hlc,
            origin,
            entity: self.name("entity", ENTITY_MAX_BYTES)?,
            field: self.name("field", FIELD_MAX_BYTES)?,
            value: self.get("value").map(str::to_owned),
            to: None,
            base: self.ids("base", OP_LIST_MAX)?,
            removes: self.ids("removes", OP_LIST_MAX)?,
            replaces: self.replaces()?,
            merged: Vec::new(),
            merged_hlc: Vec::new(),
            kind,
        };
        self.check_origin(&mut op)?;
        self.check_kind(&mut op)?;
        if op.base.contains(&op.id) {
            return Err(unfit(OpCode::BadBase, "base must not name the op itself"));
        }
        Ok(ReceivedOp { raw: self.raw, id, body: OpBody::Ferry(Box::new(op)) })
    }

    /// Ids that hubs derive go with origin zero, and with the one kind.
    fn check_origin(&self, op: &mut FerryOp) -> Result<(), UnfitOp> {
        let derived = if op.id.starts_with(CONFLICT_ID_PREFIX) {
            Some(OpKind::Conflict)
        } else if op.id.starts_with(MERGED_TEXT_ID_PREFIX) {
            op.merged = self.ids("merged", usize::MAX)?;
            op.merged_hlc = self.merged_hlc(op.merged.len());
            Some(OpKind::Text)
        } else {
            None
        };
        let message = match derived {
            Some(kind) if op.kind != kind => "ids that begin with cf- or tc- are a hub's own",
            Some(_) if op.origin != OriginId::ZERO => "what a hub derives has an origin of zeros",
            None if op.kind == OpKind::Conflict => "ops of kind conflict are written by hubs alone",
            None if op.origin == OriginId::ZERO => "an origin of zeros is a hub's own",
            None if op.origin != op.hlc.origin => "origin must be the last 16 digits of hlc",
            _ => return Ok(()),
        };
        Err(self.unfit(OpCode::BadOp, message))
    }

    fn check_kind(&self, op: &mut FerryOp) -> Result<(), UnfitOp> {
        let needs: &[&str] = match op.kind {
            OpKind::Other(_) => return Ok(()),
            OpKind::Create | OpKind::Tombstone => &["entity"],
            OpKind::Set | OpKind::Text | OpKind::LinkAdd | OpKind::Conflict => &["entity", "field", "value"],
            OpKind::LinkRemove => &["entity", "field", "removes"],
        };
        if let Some(missing) = needs.iter().find(|name| self.get(name).is_none()) {
            let message = format!("{missing} is missing: an op of kind {} needs it", op.kind.as_str());
            return Err(self.unfit(OpCode::BadOp, message));
        }
        let value = op.value.as_deref();
        match op.kind {
            OpKind::Text if !value.is_some_and(|value| value.starts_with('"')) => {
                Err(self.unfit(OpCode::BadText, "value must be a string: an update of yrs (v1) in base64"))
            }
            OpKind::LinkAdd => {
                op.to = value.and_then(link_target);
                let form = "value must be {\"to\":entity}, an entity of at most 256 bytes without controls";
                if op.to.is_some() { Ok(()) } else { Err(self.unfit(OpCode::BadOp, form)) }
            }
            _ => Ok(()),
        }
    }

    /// A name, of which ids and columns are made.
    fn name(&self, key: &str, max_bytes: usize) -> Result<Option<String>, UnfitOp> {
        let Some(raw) = self.get(key) else { return Ok(None) };
        match json_text(raw).filter(|name| is_name(name, max_bytes)) {
            Some(name) => Ok(Some(name.into_owned())),
            None => {
                let message = format!("{key} must be a string of 1 to {max_bytes} bytes without controls");
                Err(self.unfit(OpCode::BadOp, message))
            }
        }
    }

    fn ids(&self, key: &str, most: usize) -> Result<Vec<String>, UnfitOp> {
        let Some(raw) = self.get(key) else { return Ok(Vec::new()) };
        let mut scan = Tokens::new(raw);
        let mut ids = Vec::new();
        let read = if scan.take(b'[') {
            scan.each(b']', |scan| {
                let id =
                    String::from_utf8(decode(scan.string()?).into_owned()).map_err(|_| JsonFault::NotJson)?;
                if !is_op_id(&id) || ids.len() == most {
                    return Err(JsonFault::NotJson);
                }
                ids.push(id);
                Ok(())
            })
        } else {
            Err(JsonFault::NotJson)
        };
        let message = format!("{key} must be a list of ids of Ferry's ops, at most {OP_LIST_MAX} of them");
        read.map_err(|_| self.unfit(OpCode::BadOp, message))?;
        Ok(ids)
    }

    /// A list of HLCs of this length; what is none is told as one of the keys that mean nothing.
    fn merged_hlc(&self, length: usize) -> Vec<Hlc> {
        let Some(raw) = self.get("merged_hlc") else { return Vec::new() };
        let mut scan = Tokens::new(raw);
        let mut hlcs = Vec::new();
        let read = scan.take(b'[')
            && scan
                .each(b']', |scan| {
                    let text = String::from_utf8(decode(scan.string()?).into_owned());
                    let hlc = text.ok().and_then(|text| text.parse().ok());
                    hlcs.push(hlc.ok_or(JsonFault::NotJson)?);
                    Ok(())
                })
                .is_ok();
        if read && hlcs.len() == length { hlcs } else { Vec::new() }
    }

    fn replaces(&self) -> Result<Option<String>, UnfitOp> {
        let Some(raw) = self.get("replaces") else { return Ok(None) };
        match json_text(raw).filter(|id| is_op_id(id)) {
            Some(id) => Ok(Some(id.into_owned())),
            None => Err(self.unfit(OpCode::BadOp, "replaces must be the id of the op that is restamped")),
        }
    }
}

fn link_target(value: &str) -> Option<String> {
    let members = members(value, VALUE_DEPTH_MAX).ok()?;
    let mut targets = members.iter().filter(|(key, _)| key.as_ref() == b"to");
    let (_, target) = targets.next()?;
    let target = json_text(target).filter(|name| is_name(name, ENTITY_MAX_BYTES))?;
    targets.next().is_none().then(|| target.into_owned())
}

fn is_name(name: &str, max_bytes: usize) -> bool {
    (1..=max_bytes).contains(&name.len()) && !name.chars().any(char::is_control)
}

/// Whether `id` may name an op of Ferry's shape.
#[must_use]
pub fn is_op_id(id: &str) -> bool {
    OP_ID_BYTES.contains(&id.len())
        && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
}

/// The id of the foreign op that `raw` is.
#[must_use]
pub fn foreign_id(hlc: &str, raw: &str) -> String {
    let mut id = String::with_capacity(hlc.len() + 35);
    id.push_str("f:");
    id.push_str(hlc);
    id.push(':');
    push_hex(&mut id, &canonical_digest(raw)[..16]);
    id
}

/// Appends lower-case hex.
pub(super) fn push_hex(out: &mut String, bytes: &[u8]) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    for byte in bytes {
        out.push(HEX[usize::from(byte >> 4)].into());
        out.push(HEX[usize::from(byte & 15)].into());
    }
}
