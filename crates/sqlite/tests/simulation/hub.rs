//! The hub of a simulated world: its database, what the control plane remembers of it, and copies of both.

use std::collections::BTreeSet;

use ferry_core::ops::{
    Prefixes,
    compact::{Compaction, compact_step, purge_step},
    epoch::{CursorClaim, LogRefusal, begin_epoch, prove_cursor, prove_log},
    meta,
    pull::{OpsPull, missing, pull},
    push::{Clocks, PushLimits, Pushing, push},
    release::release_due,
    snapshot::snapshot,
    spoke::{SpokePush, SpokeRefusal, SpokeRequest},
};
use ferry_protocol::ops::{
    EpochPolicy, LogHead, OpCode, OpResult, OpStatus, PushResults, SnapshotHeader, SnapshotLine,
    SnapshotReader,
};
use ferry_sqlite::{NativeSql, Result};
use ferry_types::{OpSeq, Seq, UnixMillis};
use rusqlite::Connection;

use super::{
    hephd::Hephd,
    random::Random,
    spoke::{copy, open},
};

pub(crate) const MAX_SKEW_MS: i64 = 2_000;

/// An answer as it goes over the wire.
#[derive(Clone)]
pub(crate) enum Answer {
    Page(Vec<u8>),
    Pushed(LogHead, PushResults),
    Missing(LogHead, Vec<String>),
    Snapshot(SnapshotHeader, Vec<(OpSeq, String)>),
    Refused(SpokeRefusal),
}

impl Answer {
    /// What it says, in a line.
    pub(crate) fn summary(&self) -> String {
        match self {
            Self::Page(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            Self::Pushed(head, results) => format!("{head:?} {results:?}"),
            Self::Missing(head, ids) => format!("{head:?} missing {ids:?}"),
            Self::Snapshot(header, ops) => format!("{header:?} {ops:?}"),
            Self::Refused(refusal) => format!("{refusal:?}"),
        }
    }
}

pub(crate) struct Hub {
    pub(crate) connection: Connection,
    /// Its clock.
    pub(crate) now: i64,
    commit: u64,
    /// Epoch and head as the control plane noted them.
    watermark: Option<(String, OpSeq)>,
    /// The database, and the number of its last commit.
    backups: Vec<(Connection, u64)>,
    /// Ids of ops that were stored at any time.
    pub(crate) ever_stored: BTreeSet<String>,
}

/// Who may write ops of every origin.
pub(crate) const ADMIN: &str = "admin";

/// Runs `work` in a transaction that is committed, or, if the process crashes first, lost.
pub(crate) fn transaction<T>(
    connection: &Connection,
    crashes: bool,
    work: impl FnOnce(&NativeSql<'_>) -> Result<T>,
) -> Option<T> {
    connection.execute_batch("BEGIN").unwrap();
    let done = work(&NativeSql(connection)).unwrap();
    connection.execute_batch(if crashes { "ROLLBACK" } else { "COMMIT" }).unwrap();
    (!crashes).then_some(done)
}

impl Hub {
    pub(crate) fn new(random: &mut Random, now: i64) -> Self {
        let connection = open();
        let (id, epoch) = (format!("{:032x}", u128::from(random.next())), format!("{:016x}", random.next()));
        meta::begin(&NativeSql(&connection), &id, &epoch).unwrap();
        Self {
            connection,
            now,
            commit: 0,
            watermark: None,
            backups: Vec::new(),
            ever_stored: BTreeSet::new(),
        }
    }

    fn clocks(&self) -> Clocks {
        Clocks { now: UnixMillis(self.now), max_skew_ms: MAX_SKEW_MS }
    }

    fn log_head(&self, sql: &NativeSql<'_>) -> Result<LogHead> {
        let meta = meta::read(sql)?.unwrap();
        Ok(LogHead { hub_id: meta.hub_id, epoch: meta.epoch, head: meta.head, hub_time_ms: self.now })
    }

    /// Answers a request; `None`: it crashed before its commit.
    pub(crate) fn answer(
        &mut self,
        request: &SpokeRequest,
        principal: &str,
        crashes: bool,
    ) -> Option<Answer> {
        self.commit += 1;
        let answer = transaction(&self.connection, crashes, |sql| self.handle(sql, request, principal));
        self.note_watermark();
        if let Some(Answer::Pushed(_, pushed)) = &answer {
            let stored = pushed.results.iter().filter(|result| result.seq.is_some());
            self.ever_stored.extend(stored.filter_map(|result| result.id.clone()));
        }
        answer
    }

    /// An exchange of one of hephd's clients, whose answers may be lost.
    pub(crate) fn exchange(
        &mut self,
        client: &mut Hephd,
        (hears_pull, hears_push): (bool, bool),
        page_bytes: u64,
    ) {
        let pulled = client.pull(&NativeSql(&self.connection), page_bytes);
        if !hears_pull {
            return;
        }
        client.hear(pulled);
        self.commit += 1;
        let (clocks, commit, ops) = (self.clocks(), Seq(self.commit), client.tail());
        let by = Pushing {
            origin: None,
            principal: "u_1",
            is_admin: false,
            prefixes: Prefixes::default(),
            via_shim: true,
            atomic: false,
        };
        transaction(&self.connection, !hears_push, |sql| {
            let raws: Vec<&str> = ops.iter().map(String::as_str).collect();
            push(sql, &raws, &by, &clocks, &PushLimits::default(), commit)
        });
        self.note_watermark();
    }

    fn handle(&self, sql: &NativeSql<'_>, request: &SpokeRequest, principal: &str) -> Result<Answer> {
        let meta = meta::read(sql)?.unwrap();
        let head = self.log_head(sql)?;
        let refused = |refusal| {
            Answer::Refused(match refusal {
                LogRefusal::EpochChanged { policy } => SpokeRefusal::EpochChanged {
                    hub_id: head.hub_id.clone(),
                    epoch: head.epoch.clone(),
                    policy,
                },
                LogRefusal::Diverged => SpokeRefusal::LogDiverged,
                LogRefusal::SnapshotRequired { .. } => SpokeRefusal::SnapshotRequired,
            })
        };
        match request {
            SpokeRequest::Pull(query) => {
                let claim = CursorClaim {
                    hub_id: query.hub_id.as_deref(),
                    epoch: query.epoch.as_deref(),
                    after: query.after_seq,
                    after_id: query.after_id.as_deref(),
                    after_stamp: query.after_stamp.as_deref(),
                };
                if let Err(refusal) = prove_cursor(sql, &meta, &claim)? {
                    return Ok(refused(refusal));
                }
                let wanted = OpsPull {
                    after: query.after_seq,
                    after_id: query.after_id.as_deref(),
                    after_stamp: query.after_stamp.as_deref(),
                    // Small pages, so that crashes fall between them.
                    limit: query.limit.min(7),
                    bytes: query.bytes,
                    skip: &query.skip,
                    prefixes: Prefixes::default(),
                };
                let page = pull(sql, &wanted, meta.floor)?;
                Ok(Answer::Page(page.ops.finish(&head, &page.end).to_vec()))
            }
            SpokeRequest::Push(SpokePush { origin, hub_id, epoch, ops }) => {
                if let Err(refusal) = prove_log(&meta, hub_id.as_deref(), epoch.as_deref()) {
                    return Ok(refused(refusal));
                }
                let by = Pushing {
                    origin: *origin,
                    principal,
                    is_admin: principal == ADMIN,
                    prefixes: Prefixes::default(),
                    via_shim: false,
                    atomic: false,
                };
                let raws: Vec<&str> = ops.iter().map(String::as_str).collect();
                let pushed = push(sql, &raws, &by, &self.clocks(), &PushLimits::default(), Seq(self.commit))?;
                Ok(Answer::Pushed(
                    self.log_head(sql)?,
                    PushResults { stamp: pushed.stamp, results: pushed.results },
                ))
            }
            SpokeRequest::Missing(ids) => {
                let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
                Ok(Answer::Missing(head, missing(sql, &ids)?))
            }
            SpokeRequest::Snapshot => {
                let mut text = Vec::new();
                snapshot(sql, &meta, Prefixes::default(), &mut |piece| {
                    text.extend_from_slice(piece);
                    Ok(())
                })?;
                Ok(read_snapshot(std::str::from_utf8(&text).unwrap()))
            }
        }
    }

    /// What a hub does by itself, now and then.
    pub(crate) fn release(&mut self) {
        self.commit += 1;
        let (clocks, commit) = (self.clocks(), Seq(self.commit));
        transaction(&self.connection, false, |sql| {
            let released = release_due(sql, &clocks, &PushLimits::default(), commit, 100)?;
            // An op of a store that was copied may name one that waits and give itself an earlier time: the one stays set aside.
            let is_fit = |result: &OpResult| {
                result.status != OpStatus::Rejected || result.code == Some(OpCode::BadBase)
            };
            assert!(released.results.iter().all(is_fit), "{released:?}");
            Ok(())
        });
        self.note_watermark();
    }

    /// One step of a compaction that retains nothing older than `days`.
    pub(crate) fn compact(&self, days: u32) {
        let wanted = Compaction { now: UnixMillis(self.now), days, most: 20 };
        transaction(&self.connection, false, |sql| compact_step(sql, &wanted));
    }

    /// Forgets all that is older than now, as far as it may be.
    pub(crate) fn purge(&self) {
        let wanted = Compaction { now: UnixMillis(self.now), days: 0, most: 20 };
        while transaction(&self.connection, false, |sql| compact_step(sql, &wanted)).unwrap().has_more {}
        while transaction(&self.connection, false, |sql| purge_step(sql, &wanted)).unwrap().has_more {}
    }

    /// An operator empties the log.
    pub(crate) fn discard(&mut self, random: &mut Random) {
        let epoch = format!("{:016x}", random.next());
        transaction(&self.connection, false, |sql| begin_epoch(sql, &epoch, EpochPolicy::Discard));
        self.note_watermark();
    }

    fn note_watermark(&mut self) {
        let meta = meta::read(&NativeSql(&self.connection)).unwrap().unwrap();
        self.watermark = Some((meta.epoch, meta.head));
    }

    pub(crate) fn back_up(&mut self) {
        self.backups.push((copy(&self.connection), self.commit));
    }

    /// An older copy is put back: of the database alone, or with all that the control plane knows.
    pub(crate) fn put_back(&mut self, random: &mut Random, is_whole: bool) {
        let Some((backup, commit)) = self.backups.get(random.below(self.backups.len())) else { return };
        (self.connection, self.commit) = (copy(backup), *commit);
        let meta = meta::read(&NativeSql(&self.connection)).unwrap().unwrap();
        let is_older =
            self.watermark.as_ref().is_some_and(|(epoch, head)| *epoch != meta.epoch || *head > meta.head);
        if is_older && !is_whole {
            let epoch = format!("{:016x}", random.next());
            transaction(&self.connection, false, |sql| begin_epoch(sql, &epoch, EpochPolicy::Repush));
        }
        self.note_watermark();
    }

    /// An empty hub takes its place.
    pub(crate) fn replace(&mut self, random: &mut Random) {
        let now = self.now;
        let ever_stored = std::mem::take(&mut self.ever_stored);
        *self = Self { ever_stored, ..Self::new(random, now) };
    }
}

fn read_snapshot(text: &str) -> Answer {
    let (mut reader, mut header, mut ops) = (SnapshotReader::default(), None, Vec::new());
    for line in text.lines() {
        match reader.line(line).unwrap() {
            SnapshotLine::Header(read) => header = Some(read),
            SnapshotLine::Op { seq, raw } => ops.push((seq, raw.to_owned())),
            SnapshotLine::End => {}
        }
    }
    assert!(reader.is_whole());
    Answer::Snapshot(header.unwrap(), ops)
}
