//! The rows that nearly every op reads and writes: its entity's and its field's.

use std::borrow::Cow;

use ferry_protocol::ops::OpKind;

use super::Fold;
use crate::{
    ops::row::number,
    sql::{Row, Sql, Value},
};

const READ: &str = "SELECT e.hlc, e.dead, e.type_hlc, e.type_id,
        f.winner, f.hlc, f.is_head, f.text_id, f.text_hlc, f.text_is_head, f.text_seq, f.unfolded, f.text_bytes, f.others,
        (SELECT min(hlc) FROM _ferry_op_edges WHERE entity = ?1 AND parent = ?3 AND removes = 0)
    FROM (SELECT 1) LEFT JOIN _ferry_op_entities AS e ON e.entity = ?1
        LEFT JOIN _ferry_op_fields AS f ON f.entity = ?1 AND f.field = ?2";
const PUT_FIELD: &str =
    "INSERT OR REPLACE INTO _ferry_op_fields(entity, field, winner, hlc, is_head, text_id, text_hlc,
        text_is_head, text_seq, unfolded, text_bytes, others, value)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)";
const CHANGE_FIELD: &str = "UPDATE _ferry_op_fields SET winner = ?3, hlc = ?4, is_head = ?5, text_id = ?6,
        text_hlc = ?7, text_is_head = ?8, text_seq = ?9, unfolded = ?10, text_bytes = ?11, others = ?12
    WHERE entity = ?1 AND field = ?2";
const PUT_ENTITY: &str =
    "INSERT OR REPLACE INTO _ferry_op_entities(entity, type, type_hlc, type_id, hlc, dead)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
const RAISE_ENTITY: &str = "UPDATE _ferry_op_entities SET hlc = ?2, dead = ?3 WHERE entity = ?1";

/// An entity's row, without its type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct EntityRow {
    /// Greatest HLC of its ops.
    pub(super) hlc: String,
    pub(super) is_dead: bool,
    /// HLC and id of the `create` that gives its type.
    pub(super) typed: Option<(String, String)>,
}

/// The greatest op of its kind in a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Greatest {
    pub(super) id: String,
    pub(super) hlc: String,
    /// No other op covers it.
    pub(super) is_head: bool,
}

impl Greatest {
    /// Digits of its writer's origin: the end of its HLC.
    pub(super) fn origin(&self) -> &str {
        self.hlc.get(18..).unwrap_or_default()
    }
}

/// A field's row, without the scalar's value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct FieldRow {
    pub(super) is_stored: bool,
    pub(super) is_changed: bool,
    /// The scalar is to get the value of the op in hand.
    pub(super) has_new_value: bool,
    pub(super) winner: Option<Greatest>,
    pub(super) text: Option<Greatest>,
    /// Number of the text op that arrived last.
    pub(super) text_seq: i64,
    /// Bytes of updates that wait to be folded.
    pub(super) unfolded: i64,
    /// Bytes of the text's folded state.
    pub(super) text_bytes: i64,
    /// How many heads have rows of their own.
    pub(super) others: i64,
}

pub(super) struct FoundRows {
    pub(super) entity: Option<EntityRow>,
    pub(super) field: Option<FieldRow>,
    pub(super) named_by: Option<String>,
}

fn greatest<E: From<crate::sql::Damaged>>(row: &dyn Row, first: usize) -> Result<Option<Greatest>, E> {
    let Some(id) = row.optional_text(first)? else { return Ok(None) };
    Ok(Some(Greatest {
        id: id.to_owned(),
        hlc: row.text(first + 1)?.to_owned(),
        is_head: row.integer(first + 2)? == 1,
    }))
}

/// What is known of the entity and field of an op with this id.
pub(super) fn read<S: Sql>(
    sql: &S,
    entity: &str,
    field: Option<&str>,
    id: &str,
) -> Result<FoundRows, S::Error> {
    // No field has an empty name.
    let parameters = [entity.into(), field.unwrap_or_default().into(), id.into()];
    let found = sql.first(READ, &parameters, |row| {
        let entity = match row.optional_text(0)? {
            None => None,
            Some(hlc) => Some(EntityRow {
                hlc: hlc.to_owned(),
                is_dead: row.integer(1)? == 1,
                typed: match (row.optional_text(2)?, row.optional_text(3)?) {
                    (Some(hlc), Some(id)) => Some((hlc.to_owned(), id.to_owned())),
                    _ => None,
                },
            }),
        };
        let field = match row.optional_integer(13)? {
            None => None,
            Some(others) => Some(FieldRow {
                is_stored: true,
                winner: greatest::<crate::sql::Damaged>(row, 4)?,
                text: greatest::<crate::sql::Damaged>(row, 7)?,
                text_seq: row.integer(10)?,
                unfolded: row.integer(11)?,
                text_bytes: row.integer(12)?,
                others,
                ..FieldRow::default()
            }),
        };
        Ok(FoundRows { entity, field, named_by: row.optional_text(14)?.map(str::to_owned) })
    })?;
    Ok(found.expect("BUG: the query has one row"))
}

/// The columns of a field's row but its value.
fn columns<'a>(entity: &'a str, field: &'a str, row: &'a FieldRow) -> [Value<'a>; 12] {
    let part = |greatest: &'a Option<Greatest>| -> [Value<'a>; 3] {
        match greatest {
            None => [Value::Null, Value::Null, Value::Integer(0)],
            Some(it) => [(*it.id).into(), (*it.hlc).into(), Value::Integer(it.is_head.into())],
        }
    };
    let ([winner, hlc, is_head], [text_id, text_hlc, text_is_head]) = (part(&row.winner), part(&row.text));
    [
        entity.into(),
        field.into(),
        winner,
        hlc,
        is_head,
        text_id,
        text_hlc,
        text_is_head,
        row.text_seq.into(),
        row.unfolded.into(),
        row.text_bytes.into(),
        row.others.into(),
    ]
}

impl<S: Sql> Fold<'_, S> {
    pub(super) fn write_field(&self) -> Result<(), S::Error> {
        let row = &self.field_row;
        let Some(field) = self.field.filter(|_| row.is_changed) else { return Ok(()) };
        let columns = columns(self.entity, field, row);
        if row.is_stored && !row.has_new_value {
            return self.sql.execute(CHANGE_FIELD, &columns).map(drop);
        }
        let value = self.op.value.as_deref().filter(|_| row.has_new_value);
        let mut values = [Value::Null; 13];
        values[..12].copy_from_slice(&columns);
        values[12] = value.into();
        self.sql.execute(PUT_FIELD, &values).map(drop)
    }

    pub(super) fn write_entity(&self) -> Result<(), S::Error> {
        let is_dead = self.is_dead() || self.op.kind == OpKind::Tombstone;
        let found = self.entity_row.as_ref();
        let hlc = match found {
            Some(row) if row.hlc >= self.hlc => Cow::Borrowed(&*row.hlc),
            _ => Cow::Borrowed(&*self.hlc),
        };
        let at = (&*self.hlc, &*self.op.id);
        let types = self.op.kind == OpKind::Create
            && found.and_then(|row| row.typed.as_ref()).is_none_or(|(hlc, id)| at < (&**hlc, &**id));
        match found {
            Some(row) if !types => {
                if *row.hlc == *hlc && row.is_dead == is_dead {
                    return Ok(());
                }
                let parameters = [self.entity.into(), (*hlc).into(), Value::Integer(is_dead.into())];
                self.sql.execute(RAISE_ENTITY, &parameters).map(drop)
            }
            _ => {
                let (value, typed) = if types { (self.op.value.as_deref(), Some(at)) } else { (None, None) };
                let parameters = [
                    self.entity.into(),
                    value.into(),
                    typed.map(|(hlc, _)| hlc).into(),
                    typed.map(|(_, id)| id).into(),
                    (*hlc).into(),
                    Value::Integer(is_dead.into()),
                ];
                self.sql.execute(PUT_ENTITY, &parameters).map(drop)
            }
        }
    }

    pub(super) fn seq_value(&self) -> i64 {
        match number(self.seq.0) {
            Value::Integer(seq) => seq,
            _ => i64::MAX,
        }
    }
}
