//! Walking over the state in the order of commits, for everything that is delivered.

use std::{collections::HashMap, ops::ControlFlow};

use ferry_protocol::records::UnixNanos;

use super::{
    super::{
        cursors, damaged,
        emit::{self, Style},
        record::{BadMeta, DELETED_AT, FieldView, Fields, is_hidden},
        store::{RecordKey, RecordStore, RowView, Within},
    },
    PageBounds,
};

/// From where a collection is delivered.
#[derive(Clone, Copy)]
pub(super) struct From {
    pub(super) after: UnixNanos,
    /// Fields after this are news. What lies before a cut was perhaps not delivered: its record may have moved
    /// behind it.
    pub(super) base: UnixNanos,
    pub(super) skips_own: bool,
}

impl From {
    /// From a cursor of the old wire.
    pub(super) const fn cursor(after: UnixNanos, skips_own: bool) -> Self {
        let base = if cursors::proves(after, cursors::CUT) { UnixNanos::EPOCH } else { after };
        Self { after, base, skips_own }
    }
}

/// For what is not delivered at all.
pub(super) const NEVER: From =
    From { after: UnixNanos(i64::MAX), base: UnixNanos(i64::MAX), skips_own: false };

pub(super) struct Scan<'a> {
    pub(super) owner: &'a str,
    pub(super) within: Within<'a>,
    pub(super) low: UnixNanos,
    pub(super) newest: UnixNanos,
    pub(super) client: Option<&'a str>,
    pub(super) style: Style,
    pub(super) max_changes: usize,
    pub(super) bounds: PageBounds,
    pub(super) by_table: bool,
    /// Whether to tell who wrote what is found.
    pub(super) names_writers: bool,
}

#[derive(Default)]
pub(super) struct Found {
    pub(super) tables: Vec<(String, Vec<u8>)>,
    pub(super) changes: usize,
    pub(super) records: usize,
    pub(super) bytes: usize,
    pub(super) looked_at: usize,
    pub(super) until: UnixNanos,
    pub(super) has_more: bool,
    /// Who wrote what was found, if that is asked for.
    pub(super) writers: Vec<String>,
}

impl Found {
    /// The cursor behind what was found after `since`; within a pass that goes on it says so.
    pub(super) fn cursor(&self, since: UnixNanos, bits: i64) -> UnixNanos {
        if self.has_more {
            return cursors::cursor(self.until, bits | cursors::CUT);
        }
        // A cursor that stays where it is goes on proving what it proves.
        let kept = if cursors::cts_at(since) == self.until { since.0 } else { 0 };
        cursors::cursor(self.until, (bits | kept) & cursors::WHOLE_APP)
    }

    pub(super) fn only_table(mut self) -> Vec<u8> {
        self.tables.pop().map(|(_, changes)| changes).unwrap_or_default()
    }

    fn table(&mut self, name: &str) -> &mut Vec<u8> {
        let place = self.tables.iter().position(|(table, _)| table == name).unwrap_or_else(|| {
            self.tables.push((name.to_owned(), Vec::new()));
            self.tables.len() - 1
        });
        &mut self.tables[place].1
    }
}

impl Scan<'_> {
    pub(super) fn run<S: RecordStore>(
        &self,
        store: &S,
        from: impl Fn(&str) -> From,
    ) -> Result<Found, S::Error> {
        let (Within::App(app) | Within::Collection(app, _)) = self.within else {
            return self.walk(store, None, from);
        };
        if self.style != Style::Old {
            return self.walk(store, None, from);
        }
        let skewed = match self.client {
            Some(client) if store.has_skew(self.owner, Some((client, app)))? => Some(client),
            _ => None,
        };
        self.walk(store, skewed, from)
    }

    fn walk<S: RecordStore>(
        &self,
        store: &S,
        skewed: Option<&str>,
        from: impl Fn(&str) -> From,
    ) -> Result<Found, S::Error> {
        let mut found = Found { until: self.newest, ..Found::default() };
        if self.low >= self.newest {
            return Ok(found);
        }
        let mut last = self.low;
        store.page(self.owner, self.within, self.low, self.bounds.looked_at, &mut |row| {
            if found.records >= self.bounds.records
                || found.changes.saturating_add(emit::MOST_CHANGES) > self.max_changes
                || found.bytes >= self.bounds.bytes
            {
                found.has_more = true;
                return Ok(ControlFlow::Break(()));
            }
            found.looked_at += 1;
            last = row.cts;
            let from = from(row.coll);
            if !row.incomplete && row.cts > from.after {
                self.add(store, skewed, row, from, &mut found)?;
            }
            Ok(ControlFlow::Continue(()))
        })?;
        // All that the limit let through was looked at: there may be more behind.
        found.has_more |= found.looked_at == self.bounds.looked_at;
        if found.has_more {
            found.until = last;
        }
        Ok(found)
    }

    fn add<S: RecordStore>(
        &self,
        store: &S,
        skewed: Option<&str>,
        row: &RowView<'_>,
        from: From,
        found: &mut Found,
    ) -> Result<(), S::Error> {
        let own = self.client.filter(|_| from.skips_own);
        let base = from.base;
        let is_new = row.created > base;
        let is_news = |field: &FieldView<'_>| is_new || field.cts > base;
        if let Some(client) = own
            && only_own(row, client, is_news).map_err(damaged)?
        {
            return Ok(());
        }
        if self.names_writers {
            for field in Fields::read(row.data, row.meta, row.cts).map_err(damaged)? {
                let field = field.map_err(damaged)?;
                if is_news(&field) && !found.writers.iter().any(|writer| writer == field.writer) {
                    found.writers.push(field.writer.to_owned());
                }
            }
        }
        let shown = match skewed {
            Some(client) => {
                let key = RecordKey { coll: row.coll, id: row.id };
                store.skew(self.owner, client, row.app, key)?.into_iter().collect()
            }
            None => HashMap::new(),
        };
        let out = found.table(if self.by_table { row.coll } else { "" });
        let before = out.len();
        let count = emit::emit(out, self.style, row, is_news, is_new, &shown).map_err(damaged)?;
        found.bytes += out.len() - before;
        found.changes += count;
        found.records += usize::from(count > 0);
        Ok(())
    }
}

/// Whether everything new in a record was written by this client.
fn only_own(
    row: &RowView<'_>,
    client: &str,
    is_news: impl Fn(&FieldView<'_>) -> bool,
) -> Result<bool, BadMeta> {
    for field in Fields::read(row.data, row.meta, row.cts)? {
        let field = field?;
        // A second insert revives without its device knowing that there was a tombstone.
        let is_revival = field.key == DELETED_AT && field.value == "null" && field.cts > row.created;
        let is_own = field.writer == client && !is_revival;
        if is_news(&field) && !is_own && !is_hidden(field.key) {
            return Ok(false);
        }
    }
    Ok(true)
}
