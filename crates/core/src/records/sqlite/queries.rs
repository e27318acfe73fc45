//! Reads beside delivery.

use std::{fmt::Write as _, ops::ControlFlow};

use ferry_protocol::records::UnixNanos;

use super::{
    super::store::{
        CollectionKey, CollectionShown, Conflict, DeletedShown, DeliveryCursor, DeviceShown, EachRow,
        Entries, ListOrder, Listed, Numbered, OwnerShown, RecordQueries, Side, Totals,
    },
    Rare, SqliteRecords,
    history::chain,
    nanos,
    owners::with_records,
    rows::{VIEWED, view},
};
use crate::sql::{Damaged, Row, Sql, Value};

fn bounded(limit: usize) -> Value<'static> {
    i64::try_from(limit).unwrap_or(i64::MAX).into()
}

const CONFLICT: &str = "SELECT number, found, state, app, coll, id, field, winner, winner_at, winner_client,
     loser, loser_at, loser_client FROM _ferry_record_conflicts WHERE owner = ?1";

fn numbered(row: &dyn Row) -> Result<Numbered, Damaged> {
    let text = |column| row.text(column).map(str::to_owned);
    let side = |column| {
        Ok::<_, Damaged>(Side {
            value: text(column)?,
            at: nanos(row, column + 1)?,
            writer: text(column + 2)?,
        })
    };
    let conflict = Conflict {
        app: text(3)?,
        coll: text(4)?,
        id: text(5)?,
        field: text(6)?,
        winner: side(7)?,
        loser: side(10)?,
    };
    Ok(Numbered { number: row.integer(0)?, found: nanos(row, 1)?, state: text(2)?, conflict })
}

impl<S: Sql> RecordQueries for SqliteRecords<'_, S> {
    fn list(
        &self,
        of: CollectionKey<'_>,
        listed: &Listed<'_>,
        each: &mut EachRow<'_, S::Error>,
    ) -> Result<(), S::Error> {
        let state = match listed.deleted {
            _ if listed.incomplete => "state = 1",
            DeletedShown::No => "state = 0 AND deleted_at IS NULL",
            DeletedShown::Too => "state = 0",
            DeletedShown::Only => "state = 0 AND deleted_at IS NOT NULL",
        };
        // The index names app and collection too: others' records are passed over without being read.
        let (hint, from, behind, order): (_, _, Value<'_>, _) = match listed.order {
            ListOrder::Ids(after) => ("", "AND id > ?4", after.into(), "id"),
            ListOrder::Newest(before) => {
                ("INDEXED BY _ferry_records_by_cts", "AND cts < ?4", before.0.into(), "cts DESC")
            }
        };
        let mut text = format!(
            "SELECT {VIEWED} FROM _ferry_records {hint} WHERE owner = ?1 AND app = ?2 AND coll = ?3 {from} AND {state}"
        );
        let paths: Vec<String> = listed.wanted.iter().map(|(field, _)| format!("$.\"{field}\"")).collect();
        let mut values: Vec<Value<'_>> = vec![of.owner.into(), of.app.into(), of.coll.into(), behind];
        for (path, (_, value)) in paths.iter().zip(listed.wanted) {
            let (field, is) = (values.len() + 1, values.len() + 2);
            // SQL has no booleans and other numbers than JSON: all but texts are compared as they are written.
            let _ = write!(
                text,
                " AND CASE json_type(data, ?{field}) WHEN 'text' THEN data ->> ?{field} = ?{is}
                    ELSE data -> ?{field} = ?{is} END"
            );
            values.extend([Value::from(&**path), Value::from(&**value)]);
        }
        let _ = write!(text, " ORDER BY {order}");
        self.sql.query(&text, &values, &mut |row| each(&view(row)?))
    }

    fn all(&self, owner: &str, each: &mut EachRow<'_, S::Error>) -> Result<(), S::Error> {
        let text = format!(
            "SELECT {VIEWED} FROM _ferry_records WHERE owner = ?1 AND state = 0 ORDER BY app, coll, id"
        );
        self.sql.query(&text, &[owner.into()], &mut |row| each(&view(row)?))
    }

    fn history(&self, of: CollectionKey<'_>, id: &str, limit: usize) -> Result<Entries, S::Error> {
        let mut found = Vec::new();
        self.sql.query(
            concat!(
                chain!(" AND r.app = ?2 AND r.coll = ?3 AND r.id = ?4"),
                "SELECT h.cts, h.entry FROM past JOIN _ferry_record_history AS h USING (number) LIMIT ?5"
            ),
            &[of.owner.into(), of.app.into(), of.coll.into(), id.into(), bounded(limit)],
            &mut |row| {
                found.push((nanos(row, 0)?, row.text(1)?.to_owned()));
                Ok(ControlFlow::Continue(()))
            },
        )?;
        Ok(found)
    }

    fn conflicts(
        &self,
        owner: &str,
        state: &str,
        after: i64,
        limit: usize,
    ) -> Result<Vec<Numbered>, S::Error> {
        let mut found = Vec::new();
        if self.has(Rare::Conflicts)? {
            let text = format!("{CONFLICT} AND state = ?2 AND number > ?3 ORDER BY number LIMIT ?4");
            let values = [owner.into(), state.into(), after.into(), bounded(limit)];
            self.sql.query(&text, &values, &mut |row| {
                found.push(numbered(row)?);
                Ok(ControlFlow::Continue(()))
            })?;
        }
        Ok(found)
    }

    fn conflict(&self, owner: &str, number: i64) -> Result<Option<Numbered>, S::Error> {
        if !self.has(Rare::Conflicts)? {
            return Ok(None);
        }
        let text = format!("{CONFLICT} AND number = ?2");
        self.sql.first(&text, &[owner.into(), number.into()], |row| Ok(numbered(row)?))
    }

    fn close_conflict(&self, owner: &str, number: i64) -> Result<(), S::Error> {
        if self.has(Rare::Conflicts)? {
            let text =
                "UPDATE _ferry_record_conflicts SET state = 'resolved' WHERE owner = ?1 AND number = ?2";
            self.sql.execute(text, &[owner.into(), number.into()])?;
        }
        Ok(())
    }

    fn devices(&self, owner: &str) -> Result<Vec<DeviceShown>, S::Error> {
        let mut found = Vec::new();
        self.sql.query(
            "SELECT client, app, coll, delivered, pass, seen FROM _ferry_record_devices WHERE owner = ?1
             ORDER BY client, app, coll",
            &[owner.into()],
            &mut |row| {
                let cursor =
                    DeliveryCursor { delivered: nanos(row, 3)?, pass: nanos(row, 4)?, seen: nanos(row, 5)? };
                let text = |column| row.text(column).map(str::to_owned);
                found.push(DeviceShown { client: text(0)?, app: text(1)?, coll: text(2)?, cursor });
                Ok(ControlFlow::Continue(()))
            },
        )?;
        Ok(found)
    }

    fn owners(&self, after: &str, limit: usize) -> Result<Vec<OwnerShown>, S::Error> {
        let names = self.names(after, limit)?;
        let mut found = Vec::with_capacity(names.len());
        for owner in names {
            let last_commit = super::owners::owner(self, &owner)?.last_cts;
            let counts = self.sql.first(
                "SELECT count(DISTINCT app), count(*) FILTER (WHERE state = 0 AND deleted_at IS NULL)
                 FROM _ferry_records WHERE owner = ?1",
                &[(&*owner).into()],
                |row| Ok((row.integer(0)?, row.integer(1)?)),
            )?;
            let (apps, records) = counts.unwrap_or((0, 0));
            found.push(OwnerShown { owner, apps, records, last_commit });
        }
        Ok(found)
    }

    fn owner_names(&self, limit: usize) -> Result<Vec<String>, S::Error> {
        self.names("", limit)
    }

    fn has_owner(&self, owner: &str) -> Result<bool, S::Error> {
        Ok(super::owners::owner(self, owner)?.last_cts > UnixNanos::EPOCH)
    }

    fn has_owner_like(&self, prefix: &str) -> Result<bool, S::Error> {
        let begins = "owner >= ?1 AND substr(owner, 1, length(?1)) = ?1";
        let mut tables = vec!["_ferry_records"];
        if self.has(Rare::Horizons)? {
            tables.push("_ferry_record_horizons");
        }
        for table in tables {
            // The first that is not before it is one, or there is none.
            let text = format!(
                "SELECT 1 FROM (SELECT owner FROM {table} WHERE owner >= ?1 ORDER BY owner LIMIT 1) WHERE {begins}"
            );
            if self.sql.first(&text, &[prefix.into()], |_| Ok(()))?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn totals(&self) -> Result<Totals, S::Error> {
        let found = self.sql.first(
            "SELECT count(*) FILTER (WHERE state = 0 AND deleted_at IS NULL),
               ifnull(sum(octet_length(data) + octet_length(meta)), 0) FROM _ferry_records",
            &[],
            |row| Ok((row.integer(0)?, row.integer(1)?)),
        )?;
        let (records, bytes) = found.unwrap_or((0, 0));
        let last_commit = super::owners::newest_commit(self)?.unwrap_or_default();
        Ok(Totals { records, bytes, last_commit })
    }

    fn collections(&self, owner: &str, app: Option<&str>) -> Result<Vec<CollectionShown>, S::Error> {
        let mut found = Vec::new();
        self.sql.query(
            "SELECT app, coll, count(*) FILTER (WHERE deleted_at IS NULL AND state = 0), count(deleted_at)
             FROM _ferry_records WHERE owner = ?1 AND app = ifnull(?2, app) GROUP BY app, coll ORDER BY app, coll",
            &[owner.into(), app.into()],
            &mut |row| {
                let (app, coll) = (row.text(0)?.to_owned(), row.text(1)?.to_owned());
                found.push(CollectionShown { app, coll, records: row.integer(2)?, deleted: row.integer(3)? });
                Ok(ControlFlow::Continue(()))
            },
        )?;
        Ok(found)
    }
}

impl<S: Sql> SqliteRecords<'_, S> {
    /// Names of owners behind `after`, in their order.
    fn names(&self, after: &str, limit: usize) -> Result<Vec<String>, S::Error> {
        let text = match self.has(Rare::Horizons)? {
            false => concat!(
                with_records!(" WHERE owner > ?1"),
                "SELECT owner FROM named WHERE owner IS NOT NULL LIMIT ?2"
            ),
            true => concat!(
                with_records!(" WHERE owner > ?1"),
                "SELECT owner FROM (SELECT owner FROM named WHERE owner IS NOT NULL UNION
                   SELECT owner FROM _ferry_record_horizons WHERE owner > ?1) ORDER BY owner LIMIT ?2"
            ),
        };
        let mut found = Vec::new();
        self.sql.query(text, &[after.into(), bounded(limit)], &mut |row| {
            found.push(row.text(0)?.to_owned());
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(found)
    }
}
