//! A change as a client pushes it.

use std::borrow::Cow;

use super::UnixNanos;

/// What a change does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// Writes the members of `data`, and makes the record known.
    Insert,
    /// Writes `fields`.
    Update,
    /// Writes `deletedAt`.
    Delete,
}

impl Op {
    /// The word on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Insert => "insert",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }

    pub(super) fn read(word: &str) -> Option<Self> {
        [Self::Insert, Self::Update, Self::Delete].into_iter().find(|op| op.as_str() == word)
    }
}

/// Who caused a change, as its client says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeOrigin {
    /// A person.
    User,
    /// A program that acts for one.
    Agent,
    /// The application itself.
    System,
    /// A migration of data.
    Migration,
}

impl ChangeOrigin {
    /// The word on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Agent => "agent",
            Self::System => "system",
            Self::Migration => "migration",
        }
    }

    pub(super) fn read(word: &str) -> Option<Self> {
        [Self::User, Self::Agent, Self::System, Self::Migration].into_iter().find(|o| o.as_str() == word)
    }
}

/// A field's new value. Key and value are JSON text: the key as it stands between quotes, in the spelling of
/// [`super::json::escape`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldWrite<'a> {
    /// Name of the field.
    pub key: Cow<'a, str>,
    /// Compact JSON.
    pub value: Cow<'a, str>,
    /// When it was written; `None` if the client gave no readable time.
    pub at: Option<UnixNanos>,
}

/// One change of a push, within all limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change<'a> {
    /// Collection of the record.
    pub table: Cow<'a, str>,
    /// Id of the record in its collection.
    pub id: Cow<'a, str>,
    /// What it does.
    pub op: Op,
    /// Members of `data`, all with the time that `data` gives (REC-05).
    pub data: Option<Vec<FieldWrite<'a>>>,
    /// Members of `fields`, each with its own time.
    pub fields: Option<Vec<FieldWrite<'a>>>,
    /// Time of a delete.
    pub deleted_at: Option<UnixNanos>,
    /// The space that the record says it belongs to.
    pub space: Option<Cow<'a, str>>,
    /// Who did it: compact JSON.
    pub actor: Option<Cow<'a, str>>,
    /// What caused it.
    pub origin: Option<ChangeOrigin>,
    /// The client's own id of the change.
    pub event_id: Option<Cow<'a, str>>,
    /// The cursor that the device had when it made the change, if it says so.
    pub seen: Option<UnixNanos>,
}

fn owned(text: Cow<'_, str>) -> Cow<'static, str> {
    Cow::Owned(text.into_owned())
}

impl FieldWrite<'_> {
    fn into_owned(self) -> FieldWrite<'static> {
        FieldWrite { key: owned(self.key), value: owned(self.value), at: self.at }
    }
}

impl Change<'_> {
    /// The same, independent of the body that it was read from.
    #[must_use]
    pub fn into_owned(self) -> Change<'static> {
        let writes = |writes: Vec<FieldWrite<'_>>| writes.into_iter().map(FieldWrite::into_owned).collect();
        Change {
            table: owned(self.table),
            id: owned(self.id),
            op: self.op,
            data: self.data.map(writes),
            fields: self.fields.map(writes),
            deleted_at: self.deleted_at,
            space: self.space.map(owned),
            actor: self.actor.map(owned),
            origin: self.origin,
            event_id: self.event_id.map(owned),
            seen: self.seen,
        }
    }
}
