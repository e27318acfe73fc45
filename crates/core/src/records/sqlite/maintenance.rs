//! What time, and the operator, do to records.

use std::ops::ControlFlow;

use ferry_protocol::records::UnixNanos;
use ferry_types::limits::RECORDS_RUNS_MAX;

use super::{
    super::store::{Forget, FullKey, Intent, RecordMaintenance, RecordRow, Tombstone, TombstonesDue},
    Rare, SqliteRecords, collections,
    history::chain,
    nanos, owners,
};
use crate::sql::{Damaged, Row, Sql, Value};

/// Key of the epoch in `_ferry_meta`.
const EPOCH_KEY: &str = "records_epoch";

fn full_key(row: &dyn Row, column: usize) -> Result<FullKey, Damaged> {
    let text = |column| row.text(column).map(str::to_owned);
    Ok(FullKey {
        owner: text(column)?,
        app: text(column + 1)?,
        coll: text(column + 2)?,
        id: text(column + 3)?,
    })
}

impl FullKey {
    fn values(&self) -> [Value<'_>; 4] {
        [(&*self.owner).into(), (&*self.app).into(), (&*self.coll).into(), (&*self.id).into()]
    }
}

/// Tombstones that may go, and what waits in vain because its record lives again or is gone.
const TOMBSTONES: &str =
    "SELECT t.cts, t.owner, t.app, t.coll, t.id, r.deleted_at, r.data, r.meta, r.created, r.cts, r.state
 FROM _ferry_record_tombstones AS t LEFT JOIN _ferry_records AS r
   ON r.owner = t.owner AND r.app = t.app AND r.coll = t.coll AND r.id = t.id
 WHERE t.cts < ?1 AND (r.deleted_at IS NULL OR r.cts < ?1 AND (r.cts < ?2 OR NOT EXISTS (
   SELECT 1 FROM _ferry_record_devices AS d
   WHERE d.owner = t.owner AND d.app IN (t.app, '') AND d.coll IN ('', t.coll) AND d.seen >= ?3
   GROUP BY d.client HAVING max(d.delivered) < r.cts)))
 LIMIT ?4";

impl<S: Sql> RecordMaintenance for SqliteRecords<'_, S> {
    fn oldest_incomplete(&self) -> Result<Option<UnixNanos>, S::Error> {
        if !self.has(Rare::Incomplete)? {
            return Ok(None);
        }
        let text = "SELECT i.created FROM _ferry_record_incomplete AS i CROSS JOIN _ferry_records AS r
             ON r.owner = i.owner AND r.app = i.app AND r.coll = i.coll AND r.id = i.id
             WHERE r.state = 1 ORDER BY i.created LIMIT 1";
        self.sql.first(text, &[], |row| Ok(nanos(row, 0)?))
    }

    fn take_incomplete(&self, due: UnixNanos, limit: i64) -> Result<Vec<FullKey>, S::Error> {
        let mut found = Vec::new();
        if !self.has(Rare::Incomplete)? {
            return Ok(found);
        }
        let mut waited = Vec::new();
        self.sql.query(
            "SELECT i.owner, i.app, i.coll, i.id, i.created, r.state
             FROM _ferry_record_incomplete AS i LEFT JOIN _ferry_records AS r
             ON r.owner = i.owner AND r.app = i.app AND r.coll = i.coll AND r.id = i.id
             WHERE i.created <= ?1 ORDER BY i.created LIMIT ?2",
            &[due.0.into(), limit.into()],
            &mut |row| {
                waited.push((full_key(row, 0)?, nanos(row, 4)?, row.optional_integer(5)? == Some(1)));
                Ok(ControlFlow::Continue(()))
            },
        )?;
        for (key, created, is_incomplete) in waited {
            let [a, b, c, d] = key.values();
            self.sql.execute(
                "DELETE FROM _ferry_record_incomplete
                 WHERE created = ?5 AND owner = ?1 AND app = ?2 AND coll = ?3 AND id = ?4",
                &[a, b, c, d, created.0.into()],
            )?;
            if is_incomplete {
                found.push(key);
            }
        }
        Ok(found)
    }

    fn tombstones(&self, due: &TombstonesDue) -> Result<Vec<Tombstone>, S::Error> {
        let mut found = Vec::new();
        if !self.has(Rare::Tombstones)? {
            return Ok(found);
        }
        let values = [due.newest.0.into(), due.oldest.0.into(), due.seen_since.0.into(), due.limit.into()];
        self.sql.query(TOMBSTONES, &values, &mut |row| {
            let stored = match row.optional_integer(5)? {
                Some(_) => Some(RecordRow {
                    data: row.text(6)?.to_owned(),
                    meta: row.blob(7)?.to_vec(),
                    created: nanos(row, 8)?,
                    cts: nanos(row, 9)?,
                    incomplete: row.integer(10)? != 0,
                }),
                None => None,
            };
            found.push(Tombstone { key: full_key(row, 1)?, since: nanos(row, 0)?, row: stored });
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(found)
    }

    fn purge(&self, tombstone: &Tombstone, end: Option<(UnixNanos, &str)>) -> Result<(), S::Error> {
        let [a, b, c, d] = tombstone.key.values();
        if let (Some(row), Some((at, writer))) = (&tombstone.row, end) {
            self.make(Rare::Purged)?;
            self.sql.execute(
                "INSERT OR REPLACE INTO _ferry_record_purged VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                &[a, b, c, d, at.0.into(), writer.into(), row.cts.0.into()],
            )?;
            self.sql.execute(
                concat!(
                    "DELETE FROM _ferry_record_history WHERE number IN (",
                    chain!(" AND r.app = ?2 AND r.coll = ?3 AND r.id = ?4"),
                    "SELECT number FROM past)"
                ),
                &[a, b, c, d],
            )?;
            self.sql.execute(
                "DELETE FROM _ferry_records WHERE owner = ?1 AND app = ?2 AND coll = ?3 AND id = ?4",
                &[a, b, c, d],
            )?;
            owners::raise_horizon(self, &tombstone.key.owner, row.cts)?;
        }
        self.sql.execute(
            "DELETE FROM _ferry_record_tombstones
             WHERE cts = ?5 AND owner = ?1 AND app = ?2 AND coll = ?3 AND id = ?4",
            &[a, b, c, d, tombstone.since.0.into()],
        )?;
        Ok(())
    }

    fn forget(&self, before: &Forget) -> Result<(), S::Error> {
        self.sql.execute(
            "DELETE FROM _ferry_record_history WHERE number IN
               (SELECT number FROM _ferry_record_history ORDER BY number LIMIT ?2) AND cts < ?1",
            &[before.history.0.into(), before.history_limit.into()],
        )?;
        for (table, text, time) in [
            (Rare::Gaps, "DELETE FROM _ferry_record_gaps WHERE until < ?1", before.devices),
            (Rare::Stamps, "DELETE FROM _ferry_record_stamps WHERE at < ?1", before.stamps),
            (Rare::Conflicts, "DELETE FROM _ferry_record_conflicts WHERE found < ?1", before.conflicts),
        ] {
            if self.has(table)? {
                self.sql.execute(text, &[time.0.into()])?;
            }
        }
        let text = "DELETE FROM _ferry_record_devices WHERE seen < ?1";
        let gone = self.sql.execute(text, &[before.devices.0.into()])?;
        if gone > 0 && self.has(Rare::Skew)? {
            self.sql.execute(
                "DELETE FROM _ferry_record_skew WHERE NOT EXISTS (SELECT 1 FROM _ferry_record_devices AS d
                   WHERE d.owner = _ferry_record_skew.owner AND d.client = _ferry_record_skew.client)",
                &[],
            )?;
        }
        Ok(())
    }

    fn remove_owner(&self, owner: &str) -> Result<bool, S::Error> {
        collections::may_be_unused(self, owner)?;
        owners::remove(self, owner)
    }

    fn rename_owner(&self, owner: &str, name: &str) -> Result<(), S::Error> {
        owners::rename(self, owner, name)
    }

    fn remove_device(&self, owner: &str, client: &str) -> Result<bool, S::Error> {
        let mut removed = 0;
        for (table, rare) in [
            ("_ferry_record_devices", None),
            ("_ferry_record_skew", Some(Rare::Skew)),
            ("_ferry_record_stamps", Some(Rare::Stamps)),
        ] {
            if rare.map_or(Ok(true), |rare| self.has(rare))? {
                let text = format!("DELETE FROM {table} WHERE owner = ?1 AND client = ?2");
                removed += self.sql.execute(&text, &[owner.into(), client.into()])?;
            }
        }
        Ok(removed > 0)
    }

    fn epoch(&self) -> Result<Option<String>, S::Error> {
        self.meta(EPOCH_KEY, |row| Ok(row.text(0)?.to_owned()))
    }

    fn set_epoch(&self, epoch: &str) -> Result<(), S::Error> {
        self.set_meta(EPOCH_KEY, epoch.into())
    }

    fn raise_horizons(&self, horizon: UnixNanos) -> Result<(), S::Error> {
        owners::raise_all(self, horizon)
    }

    fn newest_commit(&self) -> Result<Option<UnixNanos>, S::Error> {
        owners::newest_commit(self)
    }

    fn remembers_down(&self, until: UnixNanos) -> Result<bool, S::Error> {
        if !self.has(Rare::Gaps)? {
            return Ok(false);
        }
        let text = "SELECT 1 FROM _ferry_record_gaps WHERE until >= ?1 LIMIT 1";
        Ok(self.sql.first(text, &[until.0.into()], |_| Ok(()))?.is_some())
    }

    fn add_down(&self, after: UnixNanos, until: UnixNanos) -> Result<(), S::Error> {
        self.make(Rare::Gaps)?;
        let text = "INSERT OR IGNORE INTO _ferry_record_gaps(until, after) VALUES (?1, ?2)";
        self.sql.execute(text, &[until.0.into(), after.0.into()]).map(drop)
    }

    fn note_run(&self, place: u64, newest: UnixNanos) -> Result<(), S::Error> {
        self.make(Rare::Runs)?;
        let place = i64::try_from(place).unwrap_or(i64::MAX);
        let text = "INSERT OR REPLACE INTO _ferry_record_runs(place, newest) VALUES (?1, ?2)";
        self.sql.execute(text, &[place.into(), newest.0.into()])?;
        let surplus = "DELETE FROM _ferry_record_runs WHERE place <= (
             SELECT place FROM _ferry_record_runs ORDER BY place DESC LIMIT 1 OFFSET ?1)";
        self.sql.execute(surplus, &[RECORDS_RUNS_MAX.into()]).map(drop)
    }

    fn forget_runs(&self) -> Result<(), S::Error> {
        match self.has(Rare::Runs)? {
            true => self.sql.execute("DELETE FROM _ferry_record_runs", &[]).map(drop),
            false => Ok(()),
        }
    }

    fn take_intents(&self) -> Result<Vec<Intent>, S::Error> {
        let mut found = Vec::new();
        let all = "SELECT owner, app, coll, id, op, fields FROM _ferry_record_intents ORDER BY ord";
        self.sql.query(all, &[], &mut |row| {
            let fields = row.optional_text(5)?.map(str::to_owned);
            found.push(Intent { key: full_key(row, 0)?, op: row.text(4)?.to_owned(), fields });
            Ok(ControlFlow::Continue(()))
        })?;
        if !found.is_empty() {
            self.sql.execute("DELETE FROM _ferry_record_intents", &[])?;
        }
        Ok(found)
    }
}
