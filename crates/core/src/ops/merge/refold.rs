//! Folds an entity, or all of them, anew from the ops that are in the log.

use std::ops::ControlFlow;

use super::{Rules, fold};
use crate::{
    ops::{
        StoreRole,
        row::{read_ferry, seq_of},
        schema::DERIVED,
    },
    sql::Sql,
};

const CLEAR: [&str; 7] = [
    "DELETE FROM _ferry_op_edges WHERE entity = ?1",
    "DELETE FROM _ferry_op_entities WHERE entity = ?1",
    "DELETE FROM _ferry_op_fields WHERE entity = ?1",
    "DELETE FROM _ferry_op_heads WHERE entity = ?1",
    "DELETE FROM _ferry_op_text WHERE entity = ?1",
    "DELETE FROM _ferry_op_links WHERE entity = ?1",
    "DELETE FROM _ferry_op_conflicts WHERE entity = ?1",
];
const OPS: &str = "SELECT op_seq FROM _ferry_ops WHERE entity = ?1 ORDER BY op_seq";
const ALL_OPS: &str =
    "SELECT op_seq FROM _ferry_ops WHERE entity IS NOT NULL AND op_seq > ?1 ORDER BY op_seq LIMIT ?2";
const OP: &str = "SELECT raw FROM _ferry_ops WHERE op_seq = ?1";
const RAISE: &str = "UPDATE _ferry_op_entities SET hlc = max(hlc, coalesce(
        (SELECT max(hlc) FROM _ferry_op_seen WHERE entity = ?1), '')) WHERE entity = ?1";
const RAISE_ALL: &str = "UPDATE _ferry_op_entities AS e SET hlc = max(hlc, coalesce(
        (SELECT max(hlc) FROM _ferry_op_seen AS s WHERE s.entity = e.entity), ''))";
/// Ops whose numbers are read at a time.
const PAGE: i64 = 1_000;

/// What is folded anew was judged when it came, and its conflicts are in the log.
const RULES: Rules = Rules { role: StoreRole::Spoke, is_own: false, text_max_bytes: u64::MAX };

/// Folds `entity` anew: after an op of it left the log, was restamped or dropped.
///
/// # Errors
/// What storage reports.
pub fn refold<S: Sql>(sql: &S, entity: &str) -> Result<(), S::Error> {
    for statement in CLEAR {
        sql.execute(statement, &[entity.into()])?;
    }
    let mut seqs = Vec::new();
    sql.query(OPS, &[entity.into()], &mut |row| {
        seqs.push(row.integer(0)?);
        Ok(ControlFlow::Continue(()))
    })?;
    merge(sql, &seqs)?;
    sql.execute(RAISE, &[entity.into()]).map(drop)
}

/// Folds all entities anew: after another log took the place of this one.
///
/// # Errors
/// What storage reports.
pub fn rebuild<S: Sql>(sql: &S) -> Result<(), S::Error> {
    for table in DERIVED {
        sql.execute(&format!("DELETE FROM {table}"), &[])?;
    }
    let mut after = 0;
    loop {
        let mut seqs = Vec::new();
        sql.query(ALL_OPS, &[after.into(), PAGE.into()], &mut |row| {
            seqs.push(row.integer(0)?);
            Ok(ControlFlow::Continue(()))
        })?;
        let Some(last) = seqs.last() else { break };
        after = *last;
        merge(sql, &seqs)?;
    }
    sql.execute(RAISE_ALL, &[]).map(drop)
}

fn merge<S: Sql>(sql: &S, seqs: &[i64]) -> Result<(), S::Error> {
    for seq in seqs {
        let op = sql.first(OP, &[(*seq).into()], |row| Ok(read_ferry(row.text(0)?)?))?;
        if let Some(op) = op {
            fold(sql, &op, seq_of(*seq)?, &RULES, true)?;
        }
    }
    Ok(())
}
