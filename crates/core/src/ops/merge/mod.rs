//! Merges one op into what follows from all of them (OPS-20 to OPS-26). The outcome depends on the set of ops alone: the
//! winner of a scalar, the heads, the links and the open conflicts are the same in whatever order ops arrive, and
//! [`refold`] makes the same rows again.
//!
//! The usual write of a scalar or a text covers the one head there is. It reads one row and writes two; whatever takes
//! more, such as concurrent heads, late ops and deletions, pays for itself.

mod conflicts;
mod document;
mod heads;
mod links;
mod lost;
mod refold;
mod scalar;
mod state;
pub mod text;
mod tombstone;
mod update;

use std::borrow::Cow;

use ferry_protocol::ops::{FerryOp, OpCode, OpKind};
use ferry_types::{OpSeq, OriginId};

pub use conflicts::{Standing, is_head, is_losing_head, record_conflicts, standing};
pub use refold::{rebuild, refold};

use super::StoreRole;
use crate::sql::Sql;
use heads::BaseOp;
use state::{EntityRow, FieldRow};

/// What a store asks of ops beside their shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Whose store it is.
    pub role: StoreRole,
    /// The op is written here: it is judged on a spoke, too.
    pub is_own: bool,
    /// Most bytes of one text's state, its updates that wait to be folded included.
    pub text_max_bytes: u64,
}

impl Rules {
    /// Whether an op that breaks a rule is refused; else another store judged it.
    fn judges(&self) -> bool {
        self.role == StoreRole::Hub || self.is_own
    }
}

/// What became of an op.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Integrated {
    /// It is merged, and these conflicts were found by it: on a hub they follow it in the log, in the same commit.
    Merged(Vec<NewConflict>),
    /// Its kind means nothing here: it is stored and delivered.
    Opaque,
    /// It breaks a rule that needs the other ops to be seen; nothing was written.
    Refused {
        /// Which rule.
        code: OpCode,
        /// What is wrong, for people.
        message: Cow<'static, str>,
    },
}

/// A conflict op that a hub has to store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewConflict {
    /// The op.
    pub op: FerryOp,
    /// Its text (OPS-25).
    pub raw: String,
}

/// Merges `op`, which gets number `seq`. The op itself is stored by the caller, after this and in the same transaction.
///
/// # Errors
/// What storage reports.
pub fn integrate<S: Sql>(sql: &S, op: &FerryOp, seq: OpSeq, rules: &Rules) -> Result<Integrated, S::Error> {
    fold(sql, op, seq, rules, false)
}

fn fold<S: Sql>(
    sql: &S,
    op: &FerryOp,
    seq: OpSeq,
    rules: &Rules,
    is_refold: bool,
) -> Result<Integrated, S::Error> {
    let Some(entity) = op.entity.as_deref().filter(|_| op.kind.is_merged()) else {
        return Ok(Integrated::Opaque);
    };
    if op.kind == OpKind::Conflict {
        conflicts::arrived(sql, op, entity)?;
        return Ok(Integrated::Merged(Vec::new()));
    }
    let field =
        if matches!(op.kind, OpKind::Create | OpKind::Tombstone) { None } else { op.field.as_deref() };
    let found = state::read(sql, entity, field, &op.id)?;
    let mut fold = Fold {
        sql,
        rules,
        op,
        seq,
        entity,
        field,
        hlc: op.hlc.to_string(),
        origin: if op.origin == OriginId::ZERO { String::new() } else { op.origin.to_string() },
        entity_row: found.entity,
        field_row: found.field.unwrap_or_default(),
        named_by: found.named_by,
        bases: Vec::new(),
        is_covered: false,
        covered: Vec::new(),
        conflicts: Vec::new(),
        is_refold,
    };
    fold.run()
}

/// One op on its way into the derived tables.
struct Fold<'a, S> {
    sql: &'a S,
    rules: &'a Rules,
    op: &'a FerryOp,
    seq: OpSeq,
    entity: &'a str,
    /// `None`: the op concerns the entity as a whole.
    field: Option<&'a str>,
    hlc: String,
    /// Empty for what hubs derive, which covers nothing by its origin.
    origin: String,
    /// As it was found.
    entity_row: Option<EntityRow>,
    /// The field's row as it is to be.
    field_row: FieldRow,
    /// Lowest HLC of the ops that came before this one and name it in their base.
    named_by: Option<String>,
    bases: Vec<BaseOp<'a>>,
    /// No head from the first.
    is_covered: bool,
    /// Heads that this op covers, of which a conflict may be open.
    covered: Vec<String>,
    conflicts: Vec<NewConflict>,
    /// Other ops of the entity may be in the log and not be merged yet.
    is_refold: bool,
}

impl<S: Sql> Fold<'_, S> {
    fn run(&mut self) -> Result<Integrated, S::Error> {
        self.bases = self.find_bases()?;
        if let Some(refused) = self.refuse_base() {
            return Ok(refused);
        }
        let bytes = match self.read_update()? {
            Ok(bytes) => bytes,
            Err(refused) => return Ok(refused),
        };
        self.is_covered = self.find_coverer()?;
        self.cover()?;
        match self.op.kind {
            OpKind::Set => self.set()?,
            OpKind::Text => self.text(bytes)?,
            OpKind::LinkAdd => self.link()?,
            OpKind::LinkRemove => self.unlink()?,
            OpKind::Tombstone => self.tombstone()?,
            OpKind::Create | OpKind::Conflict | OpKind::Other(_) => {}
        }
        let has_moved = !self.covered.is_empty() || self.op.kind == OpKind::Text;
        self.close_covered()?;
        self.write_field()?;
        self.write_entity()?;
        if self.op.kind == OpKind::Tombstone || (self.is_dead() && has_moved) {
            conflicts::settle_merged_texts(self.sql, self.entity, self.op)?;
        }
        Ok(Integrated::Merged(std::mem::take(&mut self.conflicts)))
    }

    fn is_dead(&self) -> bool {
        self.entity_row.as_ref().is_some_and(|row| row.is_dead)
    }
}
