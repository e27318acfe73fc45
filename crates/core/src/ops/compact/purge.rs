//! What lies behind the horizon is forgotten: ids of dropped ops, and deleted entities with all that they had (OPS-43).

use std::ops::ControlFlow;

use ferry_types::{Hlc, OpSeq, OriginId};

use super::{Compaction, CompactionStep, floor};
use crate::{
    ops::{
        meta::{self, MetaKey},
        schema::DERIVED,
        stamp,
    },
    sql::Sql,
};

const SEEN: &str = "DELETE FROM _ferry_op_seen WHERE id IN
    (SELECT id FROM _ferry_op_seen WHERE hlc < ?1 AND op_seq <> ?2 ORDER BY hlc LIMIT ?3)";
const DEAD: &str = "SELECT entity FROM _ferry_op_entities AS e WHERE dead = 1 AND hlc < ?1
    AND NOT EXISTS (SELECT 1 FROM _ferry_op_conflicts AS c WHERE c.entity = e.entity AND c.open = 1) LIMIT 1";
const NEWEST: &str = "SELECT max(op_seq) FROM _ferry_ops WHERE entity = ?1";
const REMEMBER: &str = "INSERT OR IGNORE INTO _ferry_op_seen(id, op_seq, hlc, origin, entity, field)
    SELECT id, op_seq, hlc, origin, NULL, NULL FROM _ferry_ops WHERE op_seq = ?1";
const OPS: &str = "DELETE FROM _ferry_ops WHERE op_seq IN
    (SELECT op_seq FROM _ferry_ops WHERE entity = ?1 ORDER BY op_seq LIMIT ?2)";
const SEEN_OF: &str = "DELETE FROM _ferry_op_seen WHERE entity = ?1 AND op_seq <> ?2";

/// Forgets a part of what lies behind the horizon.
///
/// # Errors
/// What storage reports.
pub fn purge_step<S: Sql>(sql: &S, wanted: &Compaction) -> Result<CompactionStep, S::Error> {
    let Ok(ms) = u64::try_from(wanted.cut()) else { return Ok(CompactionStep::default()) };
    let cut = Hlc { ms, counter: 0, origin: OriginId::ZERO };
    let purged = meta::read(sql)?.and_then(|meta| meta.purge_hlc);
    if purged.is_none_or(|purged| purged < cut) {
        meta::set(sql, MetaKey::PurgeHlc, &cut.to_string())?;
    }
    let cut = cut.to_string();
    let most = i64::try_from(wanted.most).unwrap_or(i64::MAX);
    let mut floor = floor(sql)?;
    // The id at the floor proves the cursors that stand there (OPS-32).
    let forgotten = sql.execute(SEEN, &[(*cut).into(), floor.into(), most.into()])?;
    let mut step = CompactionStep { dropped: 0, floor, has_more: forgotten == wanted.most };
    if step.has_more {
        return Ok(step);
    }
    let mut entity = None;
    sql.query(DEAD, &[(*cut).into()], &mut |row| {
        entity = Some(row.text(0)?.to_owned());
        Ok(ControlFlow::Break(()))
    })?;
    let Some(entity) = entity else { return Ok(step) };
    let newest = sql.first(NEWEST, &[(*entity).into()], |row| Ok(row.optional_integer(0)?))?.flatten();
    if let Some(newest) = newest.and_then(|newest| u64::try_from(newest).ok()).map(OpSeq) {
        if newest > floor {
            sql.execute(REMEMBER, &[newest.into()])?;
            let newest_stamp = stamp::at(sql, newest)?;
            stamp::keep(sql, MetaKey::FloorStamp, newest, newest_stamp.as_deref())?;
            meta::set(sql, MetaKey::Floor, &newest.to_string())?;
            floor = newest;
        }
        step.dropped = sql.execute(OPS, &[(*entity).into(), most.into()])? as u64;
    }
    step.floor = floor;
    step.has_more = true;
    if step.dropped < wanted.most as u64 {
        sql.execute(SEEN_OF, &[(*entity).into(), floor.into()])?;
        for table in DERIVED {
            sql.execute(&format!("DELETE FROM {table} WHERE entity = ?1"), &[(*entity).into()])?;
        }
    }
    Ok(step)
}
