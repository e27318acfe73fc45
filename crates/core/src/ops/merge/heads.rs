//! Heads: ops that no other op covers (OPS-20). The greatest `set` and the greatest `text` of a field say in the field's
//! row whether they are heads; all other heads have rows of their own.

use std::ops::ControlFlow;

use ferry_protocol::ops::{MERGED_TEXT_ID_PREFIX, OpCode, OpKind};

use super::{Fold, Integrated, state::Greatest};
use crate::sql::{Row, Sql, Value};

const LOOK_UP: &str = "SELECT hlc, entity, field,
        CASE WHEN kind IN ('create', 'set', 'text', 'link.add', 'link.remove', 'tombstone') THEN op_seq END
    FROM _ferry_ops WHERE id = ?1
    UNION ALL SELECT hlc, entity, field, NULL FROM _ferry_op_seen WHERE id = ?1";
const PUT_EDGE: &str = "INSERT OR IGNORE INTO _ferry_op_edges(entity, parent, removes, child, hlc)
    VALUES (?1, ?2, ?3, ?4, ?5)";
const TAKE_EDGES: &str = "DELETE FROM _ferry_op_edges WHERE entity = ?1 AND parent = ?2 AND removes = ?3";
/// Whether an op of this origin stands above the one in hand: of its field, or a tombstone.
const ABOVE: &str = "SELECT 1 WHERE
    EXISTS (SELECT 1 FROM _ferry_ops WHERE entity = ?1 AND field = ?2 AND origin = ?3 AND hlc > ?4
        AND kind IN ('set', 'text', 'link.add', 'link.remove'))
    OR EXISTS (SELECT 1 FROM _ferry_op_seen WHERE entity = ?1 AND field = ?2 AND origin = ?3 AND hlc > ?4)
    OR EXISTS (SELECT 1 FROM _ferry_ops WHERE entity = ?1 AND field IS NULL AND origin = ?3 AND hlc > ?4
        AND kind = 'tombstone')";
const PUT_HEAD: &str =
    "INSERT OR REPLACE INTO _ferry_op_heads(entity, field, kind, origin, hlc, id, via, digest)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
const HEADS_OF_ID: &str =
    "SELECT field, kind, origin, hlc, id, via FROM _ferry_op_heads WHERE id = ?2 AND entity = ?1";
const HEADS_VIA: &str = "SELECT field, kind, origin, hlc, id, via FROM _ferry_op_heads
    WHERE entity = ?1 AND via = ?2";
const HEADS_BELOW: &str = "SELECT field, kind, origin, hlc, id, via FROM _ferry_op_heads
    WHERE entity = ?1 AND field = ?4 AND kind IN ('set', 'text') AND origin = ?2 AND hlc < ?3";
const HEADS_BELOW_ALL: &str = "SELECT field, kind, origin, hlc, id, via FROM _ferry_op_heads
    WHERE entity = ?1 AND origin = ?2 AND hlc < ?3";
const DROP_HEAD: &str =
    "DELETE FROM _ferry_op_heads WHERE entity = ?1 AND field = ?2 AND kind = ?3 AND origin = ?4
    AND hlc = ?5 AND id = ?6 AND via = ?7";
const TELL_HELD: &str = "UPDATE _ferry_op_heads SET origin = substr(?4, 19), hlc = ?4
    WHERE entity = ?1 AND field = ?2 AND kind = 'text' AND id = ?3 AND via <> ''";
const IS_HEAD_VIA: &str = "SELECT 1 FROM _ferry_op_heads
    WHERE entity = ?1 AND field = ?2 AND kind = 'text' AND via = ?3";
const IS_TEXT_HEAD: &str = "SELECT 1 FROM _ferry_op_heads WHERE id = ?3 AND entity = ?1 AND field = ?2
    UNION ALL SELECT 1 FROM _ferry_op_fields
        WHERE entity = ?1 AND field = ?2 AND text_id = ?3 AND text_is_head = 1";
const ONE_FEWER: &str = "UPDATE _ferry_op_fields SET others = others - 1 WHERE entity = ?1 AND field = ?2";
const COVER_WINNER: &str = "UPDATE _ferry_op_fields SET is_head = 0
    WHERE entity = ?1 AND field = ?2 AND winner = ?3 AND is_head = 1";
const COVER_TEXT: &str = "UPDATE _ferry_op_fields SET text_is_head = 0
    WHERE entity = ?1 AND field = ?2 AND text_id = ?3 AND text_is_head = 1";

/// What an id in `base` names.
pub(super) struct BaseOp<'a> {
    pub(super) id: &'a str,
    /// Its time, if it is known.
    hlc: Option<String>,
    place: Place,
}

enum Place {
    /// The greatest scalar or text of the same field.
    Row,
    /// An op of the entity, of this field if of any.
    Log(Option<String>),
    /// No merged op of this entity that is there: dropped, still to come, of another entity or of a kind that means nothing.
    Away,
}

/// A head with a row of its own.
pub(super) struct Other {
    field: String,
    kind: String,
    origin: String,
    hlc: String,
    id: String,
    via: String,
}

impl Other {
    fn read<E: From<crate::sql::Damaged>>(row: &dyn Row) -> Result<Self, E> {
        let text = |column| row.text(column).map(str::to_owned);
        Ok(Self {
            field: text(0)?,
            kind: text(1)?,
            origin: text(2)?,
            hlc: text(3)?,
            id: text(4)?,
            via: text(5)?,
        })
    }
}

impl<'a, S: Sql> Fold<'a, S> {
    /// Looks up what the op's base names.
    pub(super) fn find_bases(&self) -> Result<Vec<BaseOp<'a>>, S::Error> {
        self.op.base.iter().map(|id| self.find_base(id)).collect()
    }

    fn find_base(&self, id: &'a str) -> Result<BaseOp<'a>, S::Error> {
        let row = &self.field_row;
        let near = [&row.winner, &row.text].into_iter().flatten().find(|greatest| greatest.id == id);
        if let Some(greatest) = near {
            return Ok(BaseOp { id, hlc: Some(greatest.hlc.clone()), place: Place::Row });
        }
        let seq = self.seq_value();
        let found = self.sql.first(LOOK_UP, &[id.into()], |row| {
            if row.optional_text(1)? != Some(self.entity) {
                return Ok((None, Place::Away));
            }
            let hlc = Some(row.text(0)?.to_owned());
            // A later one is in the log and still to be merged: the entity is folded anew.
            Ok(match row.optional_integer(3)? {
                Some(stored) if stored < seq => (hlc, Place::Log(row.optional_text(2)?.map(str::to_owned))),
                _ => (hlc, Place::Away),
            })
        })?;
        let (hlc, place) = found.unwrap_or((None, Place::Away));
        Ok(BaseOp { id, hlc, place })
    }

    /// Whether the op contradicts what others say of it, or it of others (OPS-21). A spoke takes what its hub took.
    pub(super) fn refuse_base(&self) -> Option<Integrated> {
        if !self.rules.judges() || self.is_refold {
            return None;
        }
        let message = if self.bases.iter().any(|base| base.hlc.as_ref().is_some_and(|hlc| *hlc >= self.hlc)) {
            "base names an op that is not older by its hlc: a writer that saw an op writes later ones with greater clocks"
        } else if self.named_by.as_ref().is_some_and(|hlc| *hlc <= self.hlc) {
            "an op that names this one in its base is not newer by its hlc: a writer that saw an op writes later ones \
             with greater clocks"
        } else {
            return None;
        };
        Some(Integrated::Refused { code: OpCode::BadBase, message: message.into() })
    }

    /// Whether an op that came before covers this one.
    pub(super) fn find_coverer(&self) -> Result<bool, S::Error> {
        if self.named_by.is_some() {
            self.take_edges(false)?;
            return Ok(true);
        }
        let Some(field) = self.field.filter(|_| matches!(self.op.kind, OpKind::Set | OpKind::Text)) else {
            return Ok(false);
        };
        let may_be = self.is_refold || self.entity_row.as_ref().is_some_and(|row| row.hlc > self.hlc);
        if self.origin.is_empty() || !may_be {
            return Ok(false);
        }
        self.is_above(field, &self.origin, &self.hlc)
    }

    /// Whether a write of `origin` stands above `hlc` in the field.
    pub(super) fn is_above(&self, field: &str, origin: &str, hlc: &str) -> Result<bool, S::Error> {
        let parameters = [self.entity.into(), field.into(), origin.into(), hlc.into()];
        Ok(self.sql.first(ABOVE, &parameters, |_| Ok(()))?.is_some())
    }

    /// Takes away the edges that wait for this op; tells whether there were any.
    pub(super) fn take_edges(&self, removes: bool) -> Result<bool, S::Error> {
        let parameters = [self.entity.into(), (*self.op.id).into(), Value::Integer(removes.into())];
        Ok(self.sql.execute(TAKE_EDGES, &parameters)? > 0)
    }

    /// Leaves an edge for an op that is not there.
    pub(super) fn put_edge(&self, parent: &str, removes: bool) -> Result<(), S::Error> {
        let parameters = [
            self.entity.into(),
            parent.into(),
            Value::Integer(removes.into()),
            (*self.op.id).into(),
            (*self.hlc).into(),
        ];
        self.sql.execute(PUT_EDGE, &parameters).map(drop)
    }

    /// Covers what this op's writer had seen, and its origin's earlier writes of the field.
    pub(super) fn cover(&mut self) -> Result<(), S::Error> {
        for base in std::mem::take(&mut self.bases) {
            self.cover_base(&base)?;
        }
        let Some(field) = self.field.filter(|_| !self.origin.is_empty()) else { return Ok(()) };
        let (origin, hlc) = (self.origin.clone(), self.hlc.clone());
        self.cover_in_row(|greatest| greatest.origin() == origin && greatest.hlc < hlc);
        if self.field_row.others > 0 {
            self.take(HEADS_BELOW, &[self.entity.into(), (*origin).into(), (*hlc).into(), field.into()])?;
        }
        Ok(())
    }

    fn cover_base(&mut self, base: &BaseOp<'_>) -> Result<(), S::Error> {
        let id = base.id;
        match &base.place {
            Place::Row => self.cover_in_row(|greatest| greatest.id == id),
            Place::Log(field) if field.as_deref() == self.field => {
                if self.field_row.others > 0 {
                    self.take(HEADS_OF_ID, &[self.entity.into(), id.into()])?;
                }
            }
            Place::Log(Some(field)) => self.cover_elsewhere(field, id)?,
            Place::Log(None) => {}
            Place::Away => {
                self.put_edge(id, false)?;
                // A compacted text may hold it.
                self.take(HEADS_OF_ID, &[self.entity.into(), id.into()])?;
            }
        }
        if id.starts_with(MERGED_TEXT_ID_PREFIX) {
            self.take(HEADS_VIA, &[self.entity.into(), id.into()])?;
        }
        Ok(())
    }

    fn cover_in_row(&mut self, is_covered: impl Fn(&Greatest) -> bool) {
        let is_dead = self.is_dead();
        let row = &mut self.field_row;
        for greatest in [&mut row.winner, &mut row.text].into_iter().flatten() {
            if greatest.is_head && is_covered(greatest) {
                greatest.is_head = false;
                row.is_changed = true;
                // In a live entity neither is ever in conflict.
                if is_dead {
                    self.covered.push(greatest.id.clone());
                }
            }
        }
    }

    /// Covers an op of another field.
    fn cover_elsewhere(&mut self, field: &str, id: &str) -> Result<(), S::Error> {
        let parameters = [self.entity.into(), field.into(), id.into()];
        for statement in [COVER_WINNER, COVER_TEXT] {
            if self.sql.execute(statement, &parameters)? > 0 {
                self.covered.push(id.to_owned());
                return Ok(());
            }
        }
        self.take(HEADS_OF_ID, &[self.entity.into(), id.into()])
    }

    /// Covers all earlier heads of the op's origin in the whole entity that have rows of their own.
    pub(super) fn take_below(&mut self) -> Result<(), S::Error> {
        let (origin, hlc) = (self.origin.clone(), self.hlc.clone());
        self.take(HEADS_BELOW_ALL, &[self.entity.into(), (*origin).into(), (*hlc).into()])
    }

    /// Removes the rows of heads that `query` finds.
    fn take(&mut self, query: &str, parameters: &[Value<'_>]) -> Result<(), S::Error> {
        let mut heads: Vec<Other> = Vec::new();
        self.sql.query(query, parameters, &mut |row| {
            heads.push(Other::read::<S::Error>(row)?);
            Ok(ControlFlow::Continue(()))
        })?;
        for head in &heads {
            let key = [
                self.entity.into(),
                (*head.field).into(),
                (*head.kind).into(),
                (*head.origin).into(),
                (*head.hlc).into(),
                (*head.id).into(),
                (*head.via).into(),
            ];
            self.sql.execute(DROP_HEAD, &key)?;
            if self.field == Some(&*head.field) {
                self.field_row.others -= 1;
                self.field_row.is_changed = true;
            } else {
                self.sql.execute(ONE_FEWER, &[self.entity.into(), (*head.field).into()])?;
            }
        }
        for head in heads {
            if head.via.is_empty() {
                self.covered.push(head.id);
                continue;
            }
            if !self.finds(IS_HEAD_VIA, &head.field, &head.via)? {
                self.covered.push(head.via);
            }
            // A log that has not compacted the text records conflicts of the op itself, which may be there and uncovered.
            if !self.finds(IS_TEXT_HEAD, &head.field, &head.id)? {
                self.covered.push(head.id);
            }
        }
        Ok(())
    }

    /// What compacted ops that came before this one hold of it follows it: they may not have told whose it is.
    pub(super) fn settle_held(&mut self, is_head: bool) -> Result<(), S::Error> {
        let (id, field) = ((*self.op.id).into(), self.field.unwrap_or_default());
        if is_head {
            let parameters = [self.entity.into(), field.into(), id, (*self.hlc).into()];
            return self.sql.execute(TELL_HELD, &parameters).map(drop);
        }
        self.take(HEADS_OF_ID, &[self.entity.into(), id])
    }

    fn finds(&self, query: &str, field: &str, id: &str) -> Result<bool, S::Error> {
        let parameters = [self.entity.into(), field.into(), id.into()];
        Ok(self.sql.first(query, &parameters, |_| Ok(()))?.is_some())
    }

    /// Gives a head of this field a row of its own.
    pub(super) fn put_head(&mut self, kind: &OpKind, head: &NewHead<'_>) -> Result<(), S::Error> {
        let field = self.field.expect("BUG: heads are of a field");
        let row = [
            self.entity.into(),
            field.into(),
            kind.as_str().into(),
            head.origin.into(),
            head.hlc.into(),
            head.id.into(),
            head.via.into(),
            head.digest.map(|digest| &digest[..]).into(),
        ];
        self.sql.execute(PUT_HEAD, &row)?;
        self.field_row.others += 1;
        self.field_row.is_changed = true;
        Ok(())
    }
}

/// A head that gets a row of its own.
pub(super) struct NewHead<'a> {
    pub(super) origin: &'a str,
    pub(super) hlc: &'a str,
    pub(super) id: &'a str,
    /// The compacted text that holds it, or empty.
    pub(super) via: &'a str,
    /// SHA-256 of a scalar's canonical value.
    pub(super) digest: Option<&'a [u8; 32]>,
}
