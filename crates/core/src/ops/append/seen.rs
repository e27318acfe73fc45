//! What a writer has seen of an entity.

use std::ops::ControlFlow;

use ferry_protocol::ops::{OP_LIST_MAX, canonical_digest};
use ferry_types::{Hlc, HlcState, OriginId};

use crate::sql::{Damaged, Row, Sql, Value};

const ENTITY: &str = "SELECT hlc, dead FROM _ferry_op_entities WHERE entity = ?1";
const SCALAR: &str = "SELECT e.hlc, e.dead, f.winner, f.others FROM _ferry_op_entities AS e
    LEFT JOIN _ferry_op_fields AS f ON f.entity = ?1 AND f.field = ?2 WHERE e.entity = ?1";
const VALUE: &str = "SELECT value FROM _ferry_op_fields WHERE entity = ?1 AND field = ?2";
const HEADS_OF_VALUE: &str =
    "SELECT id FROM _ferry_op_heads WHERE entity = ?1 AND field = ?2 AND digest = ?3";
const ADDS: &str = "SELECT add_id FROM _ferry_op_links
    WHERE entity = ?1 AND field = ?2 AND target = ?3 AND removed = 0";
const HEADS: &str = "SELECT winner FROM _ferry_op_fields WHERE entity = ?1 AND is_head = 1
    UNION SELECT text_id FROM _ferry_op_fields WHERE entity = ?1 AND text_is_head = 1
    UNION SELECT id FROM _ferry_op_heads WHERE entity = ?1";
const OWN_HEADS: &str = "SELECT winner FROM _ferry_op_fields
        WHERE entity = ?1 AND is_head = 1 AND substr(hlc, 19) = ?2
    UNION SELECT text_id FROM _ferry_op_fields
        WHERE entity = ?1 AND text_is_head = 1 AND substr(text_hlc, 19) = ?2
    UNION SELECT id FROM _ferry_op_heads WHERE entity = ?1 AND origin = ?2";

/// The clock of an entity's newest op, and whether the entity is deleted.
pub(super) type SeenEntity = (HlcState, bool);
/// The same, and what a new value of a scalar replaces.
pub(super) type SeenScalar = (Option<SeenEntity>, Vec<String>);

/// The clock of an entity's newest op, and whether the entity is deleted.
pub(super) fn entity<S: Sql>(sql: &S, entity: &str) -> Result<Option<SeenEntity>, S::Error> {
    sql.first(ENTITY, &[entity.into()], |row| read_entity::<S::Error>(row))
}

/// The same, and the scalar's winner with the heads that say the same.
pub(super) fn scalar<S: Sql>(sql: &S, entity: &str, field: &str) -> Result<SeenScalar, S::Error> {
    let key = [entity.into(), field.into()];
    let found = sql.first(SCALAR, &key, |row| {
        let winner = row.optional_text(2)?.map(str::to_owned);
        Ok((read_entity::<S::Error>(row)?, winner, row.optional_integer(3)?.unwrap_or(0)))
    })?;
    let Some((entity_row, winner, others)) = found else { return Ok((None, Vec::new())) };
    let mut base: Vec<String> = winner.into_iter().collect();
    if others > 0 && !base.is_empty() {
        let digest = sql.first(VALUE, &key, |row| Ok(canonical_digest(row.text(0)?)))?;
        if let Some(digest) = digest {
            base.extend(ids(sql, HEADS_OF_VALUE, &[entity.into(), field.into(), digest[..].into()])?);
            base.truncate(OP_LIST_MAX);
        }
    }
    Ok((Some(entity_row), base))
}

fn read_entity<E: From<Damaged>>(row: &dyn Row) -> Result<SeenEntity, E> {
    let hlc: Result<Hlc, _> = row.text(0)?.parse();
    let hlc = hlc.map_err(|_| Damaged { column: 0, expected: "an hlc" })?;
    Ok((hlc.state(), row.integer(1)? == 1))
}

/// The adds of a link that are not removed.
pub(super) fn adds<S: Sql>(
    sql: &S,
    entity: &str,
    field: &str,
    target: &str,
) -> Result<Vec<String>, S::Error> {
    ids(sql, ADDS, &[entity.into(), field.into(), target.into()])
}

/// All heads of an entity.
pub(super) fn heads<S: Sql>(sql: &S, entity: &str) -> Result<Vec<String>, S::Error> {
    ids(sql, HEADS, &[entity.into()])
}

/// The heads of an entity that `own` wrote.
pub(super) fn own_heads<S: Sql>(sql: &S, entity: &str, own: OriginId) -> Result<Vec<String>, S::Error> {
    ids(sql, OWN_HEADS, &[entity.into(), (*own.to_string()).into()])
}

fn ids<S: Sql>(sql: &S, query: &str, parameters: &[Value<'_>]) -> Result<Vec<String>, S::Error> {
    let mut ids = Vec::new();
    sql.query(query, parameters, &mut |row| {
        ids.push(row.text(0)?.to_owned());
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(ids)
}
