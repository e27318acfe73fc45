//! What is shown of entities and conflicts, and what is asked for it: on the spoke's socket, and with the log's head in front
//! at the hub (sections 2.2 and 2.8).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// Entries of a page of entities or conflicts, unless asked otherwise.
pub const VIEW_LIMIT: u32 = 100;
/// Most entries of such a page.
pub const VIEW_LIMIT_MAX: u32 = 1_000;

/// Result of `op.append` and of `conflicts.resolve`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WrittenOps {
    /// In the order of the drafts.
    pub ops: Vec<WrittenOp>,
}

/// An op that was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WrittenOp {
    /// Its id.
    pub id: String,
    /// Its clock.
    pub hlc: String,
}

/// Parameters of `entity.get`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntityGetParams {
    /// Which entity.
    pub entity: String,
}

/// Result of `entity.get`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct EntityView {
    /// Its name.
    pub entity: String,
    /// JSON of its type.
    #[serde(rename = "type")]
    pub kind: Option<Box<RawValue>>,
    /// Whether it is deleted.
    pub deleted: bool,
    /// Scalars: JSON by field.
    pub fields: BTreeMap<String, Box<RawValue>>,
    /// Texts by field.
    pub text: BTreeMap<String, String>,
    /// Targets by field.
    pub links: BTreeMap<String, Vec<String>>,
    /// The greatest HLC of its ops.
    pub hlc: String,
    /// Ids of open conflicts.
    pub conflicts: Vec<String>,
}

/// Parameters of `entity.list`.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct EntityListParams {
    /// What names begin with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// The last name of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// Most entries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// Whether deleted ones are listed, too.
    #[serde(default)]
    pub deleted: bool,
}

/// Result of `entity.list`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct EntityPage {
    /// In order of their names.
    pub entities: Vec<EntityEntry>,
    /// Where the next page begins; `None`: this was the last.
    pub next: Option<String>,
}

/// An entity in a list.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct EntityEntry {
    /// Its name.
    pub entity: String,
    /// JSON of its type.
    #[serde(rename = "type")]
    pub kind: Option<Box<RawValue>>,
    /// Whether it is deleted.
    pub deleted: bool,
}

/// Which conflicts are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConflictFilter {
    /// Those that nobody has resolved.
    #[default]
    Open,
    /// All.
    All,
}

/// Parameters of `conflicts.list`.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ConflictsListParams {
    /// Which.
    #[serde(default)]
    pub status: ConflictFilter,
    /// Of one entity alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entity: Option<String>,
    /// The last id of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// Most entries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

/// Result of `conflicts.list`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ConflictPage {
    /// The conflicts.
    pub conflicts: Vec<OpConflict>,
    /// Where the next page begins; `None`: this was the last.
    pub next: Option<String>,
}

/// A write that lost.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct OpConflict {
    /// Its id.
    pub id: String,
    /// In which entity.
    pub entity: String,
    /// In which field.
    pub field: String,
    /// Why it is one.
    pub reason: ConflictReason,
    /// Whether it waits for a decision.
    pub status: ConflictStatus,
    /// The write that lost.
    pub losing: ConflictSide,
    /// The write that stands; `None` if the entity was deleted.
    pub winning: Option<ConflictSide>,
}

/// Why a write is in conflict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConflictReason {
    /// Another value was written at the same time.
    Value,
    /// The entity was deleted at the same time.
    Deleted,
}

/// Whether a conflict waits for a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConflictStatus {
    /// It does.
    Open,
    /// It does not any more.
    Closed,
}

/// One of two writes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ConflictSide {
    /// Its op.
    pub op: String,
    /// When it was written.
    pub hlc: String,
    /// Who wrote it.
    pub origin: String,
    /// JSON.
    pub value: Option<Box<RawValue>>,
}

/// What a resolution takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResolveTake {
    /// What stands.
    Winner,
    /// What lost.
    Loser,
    /// Another value.
    Value,
}

/// Parameters of `conflicts.resolve`; without the id, the body of `POST conflicts/{id}/resolve`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ResolveParams {
    /// Which conflict.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub id: String,
    /// What to take.
    pub take: ResolveTake,
    /// With `value`: JSON.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present_owned")]
    pub value: Option<Box<RawValue>>,
    /// With `loser`, of a deleted entity: the entity that the copy becomes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub as_entity: Option<String>,
}

/// A member that is there, `null` too.
pub(super) fn present_owned<'de, D: serde::Deserializer<'de>>(
    from: D,
) -> Result<Option<Box<RawValue>>, D::Error> {
    Box::<RawValue>::deserialize(from).map(Some)
}
