//! A snapshot takes the place of everything that the hub had acknowledged (OPS-41), in one transaction; what waits to be
//! pushed is merged on top. That it is whole is known before (see `ferry_protocol::ops::SnapshotReader`).

use std::collections::HashSet;

use ferry_protocol::ops::{SnapshotHeader, SyncCounts};
use ferry_types::OpSeq;

use super::{SpokeStep, log, outbox, page::PageStored, peer};
use crate::sql::Sql;

/// A snapshot on its way into the store.
#[derive(Debug)]
pub(super) struct SnapshotLoad {
    /// Texts of what waits to be pushed.
    waiting: Vec<String>,
    /// Ids of the ops that this spoke had.
    known: HashSet<Box<str>>,
    stored: PageStored,
    read: u64,
}

impl SnapshotLoad {
    /// Empties the log for it.
    ///
    /// # Errors
    /// What storage reports. So of all steps.
    pub(super) fn begin<S: Sql>(sql: &S) -> Result<Self, S::Error> {
        let waiting = outbox::unstored_from(sql, "")?;
        let known = log::own_ids(sql)?;
        let waiting = log::clear_but(sql, &waiting)?;
        outbox::forget_all_stored(sql)?;
        Ok(Self { waiting, known, stored: PageStored::bulk(), read: 0 })
    }

    /// Stores an op.
    ///
    /// # Errors
    /// See [`Self::begin`].
    pub(super) fn op<S: Sql>(
        &mut self,
        sql: &S,
        seq: OpSeq,
        raw: &str,
        step: &SpokeStep<'_>,
    ) -> Result<(), S::Error> {
        self.read += 1;
        self.stored.take(sql, seq, raw, &self.known, step)
    }

    /// Goes on behind it.
    ///
    /// # Errors
    /// See [`Self::begin`].
    pub(super) fn finish<S: Sql>(
        self,
        sql: &S,
        header: &SnapshotHeader,
        step: &SpokeStep<'_>,
    ) -> Result<(SyncCounts, Vec<String>), S::Error> {
        log::insert_again(sql, &self.waiting, step)?;
        log::rebuild(sql)?;
        peer::set_cursor(sql, header.seq, (header.next_id.as_deref(), header.next_stamp.as_deref()))?;
        let counts = SyncCounts { pulled: self.read, applied: self.stored.applied, ..SyncCounts::default() };
        Ok((counts, self.stored.finish(sql, step)?))
    }
}
