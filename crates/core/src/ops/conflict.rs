//! Lists conflicts.

use std::{borrow::Cow, ops::ControlFlow};

use ferry_protocol::ops::{
    ConflictFilter, ConflictPage, ConflictReason, ConflictSide, ConflictStatus, ConflictsListParams,
    OpConflict,
};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    entity::{json, page_limit},
    prefixes::Prefixes,
    row,
};
use crate::sql::{Row, Sql};

const OPEN: &str = "SELECT id, entity, field, loser, open FROM _ferry_op_conflicts
    WHERE open = 1 AND id > ?1 ORDER BY id";
const ALL: &str = "SELECT id, entity, field, loser, open FROM _ferry_op_conflicts WHERE id > ?1 ORDER BY id";
const OF_ENTITY: &str = "SELECT id, entity, field, loser, open FROM _ferry_op_conflicts
    WHERE entity = ?2 AND id > ?1 AND (open = 1 OR ?3) ORDER BY id";
const ONE: &str = "SELECT id, entity, field, loser, open FROM _ferry_op_conflicts WHERE id = ?1";
const COUNT: &str = "SELECT count(*) FROM _ferry_op_conflicts WHERE open = 1";
const WINNER: &str = "SELECT e.dead, f.winner, f.hlc, f.value FROM _ferry_op_entities AS e
    LEFT JOIN _ferry_op_fields AS f ON f.entity = e.entity AND f.field = ?2 WHERE e.entity = ?1";

/// A recorded conflict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Recorded {
    pub(super) id: String,
    pub(super) entity: String,
    pub(super) field: String,
    /// The op that lost.
    pub(super) loser: String,
    pub(super) is_open: bool,
}

impl Recorded {
    fn read<E: From<crate::sql::Damaged>>(row: &dyn Row) -> Result<Self, E> {
        let text = |column| row.text(column).map(str::to_owned);
        Ok(Self {
            id: text(0)?,
            entity: text(1)?,
            field: text(2)?,
            loser: text(3)?,
            is_open: row.integer(4)? == 1,
        })
    }
}

/// What the value of a conflict op says.
#[derive(Deserialize)]
struct LostWrite<'a> {
    #[serde(borrow)]
    origin: Cow<'a, str>,
    #[serde(borrow)]
    value: &'a RawValue,
}

/// The conflict `id`.
pub(super) fn find<S: Sql>(sql: &S, id: &str) -> Result<Option<Recorded>, S::Error> {
    sql.first(ONE, &[id.into()], Recorded::read)
}

/// How many conflicts are open.
///
/// # Errors
/// What storage reports.
pub fn open_count<S: Sql>(sql: &S) -> Result<u64, S::Error> {
    let count = sql.first(COUNT, &[], |row| Ok(row.integer(0)?))?;
    Ok(count.and_then(|count| u64::try_from(count).ok()).unwrap_or(0))
}

/// A page of the conflicts of entities within `prefixes`.
///
/// # Errors
/// What storage reports.
pub fn list<S: Sql>(
    sql: &S,
    asked: &ConflictsListParams,
    prefixes: Prefixes<'_>,
) -> Result<ConflictPage, S::Error> {
    let limit = page_limit(asked.limit);
    let after = asked.after.as_deref().unwrap_or_default();
    let mut found: Vec<Recorded> = Vec::new();
    let mut has_more = false;
    let each = &mut |row: &dyn Row| {
        let conflict = Recorded::read::<S::Error>(row)?;
        if !prefixes.contain(Some(&conflict.entity)) {
            return Ok(ControlFlow::Continue(()));
        }
        if found.len() == limit {
            has_more = true;
            return Ok(ControlFlow::Break(()));
        }
        found.push(conflict);
        Ok(ControlFlow::Continue(()))
    };
    let all = asked.status == ConflictFilter::All;
    match &asked.entity {
        Some(entity) => {
            sql.query(OF_ENTITY, &[after.into(), (**entity).into(), i64::from(all).into()], each)?;
        }
        None => sql.query(if all { ALL } else { OPEN }, &[after.into()], each)?,
    }
    let next = if has_more { found.last().map(|last| last.id.clone()) } else { None };
    let mut conflicts = Vec::with_capacity(found.len());
    for conflict in found {
        conflicts.extend(view(sql, conflict)?);
    }
    Ok(ConflictPage { conflicts, next })
}

fn view<S: Sql>(sql: &S, conflict: Recorded) -> Result<Option<OpConflict>, S::Error> {
    let Some(op) = row::ferry(sql, &conflict.id)? else { return Ok(None) };
    let lost: Option<LostWrite<'_>> = op.value.as_deref().and_then(|value| serde_json::from_str(value).ok());
    let Some(lost) = lost else { return Ok(None) };
    let losing = ConflictSide {
        op: conflict.loser,
        hlc: op.hlc.to_string(),
        origin: lost.origin.into_owned(),
        value: Some(lost.value.to_owned()),
    };
    let winning = winner(sql, &conflict.entity, &conflict.field)?;
    Ok(Some(OpConflict {
        id: conflict.id,
        entity: conflict.entity,
        field: conflict.field,
        reason: if winning.is_some() { ConflictReason::Value } else { ConflictReason::Deleted },
        status: if conflict.is_open { ConflictStatus::Open } else { ConflictStatus::Closed },
        losing,
        winning,
    }))
}

/// The winner of a scalar; `None` in a deleted entity.
pub(super) fn winner<S: Sql>(sql: &S, entity: &str, field: &str) -> Result<Option<ConflictSide>, S::Error> {
    let found = sql.first(WINNER, &[entity.into(), field.into()], |row| {
        let (Some(op), 0) = (row.optional_text(1)?, row.integer(0)?) else { return Ok(None) };
        let hlc = row.text(2)?;
        Ok(Some(ConflictSide {
            op: op.to_owned(),
            hlc: hlc.to_owned(),
            origin: hlc.get(18..).unwrap_or_default().to_owned(),
            value: Some(json(row.text(3)?)),
        }))
    })?;
    Ok(found.flatten())
}

/// JSON of the value that lost.
pub(super) fn lost_value<S: Sql>(sql: &S, conflict: &Recorded) -> Result<Option<Box<RawValue>>, S::Error> {
    let Some(op) = row::ferry(sql, &conflict.id)? else { return Ok(None) };
    let lost: Option<LostWrite<'_>> = op.value.as_deref().and_then(|value| serde_json::from_str(value).ok());
    Ok(lost.map(|lost| lost.value.to_owned()))
}
