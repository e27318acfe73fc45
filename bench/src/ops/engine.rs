//! The engine alone, on a database of its own: WAL, synchronous=FULL, one transaction per batch.

use std::{path::Path, time::Duration};

use ferry_core::ops::{
    Prefixes, meta,
    pull::{OpsPull, pull},
    push::{Clocks, PushLimits, Pushing, push},
    shim::ShimPull,
    snapshot::snapshot,
};
use ferry_protocol::ops::{ArrayScanner, LogHead, Skip, parse_op};
use ferry_sqlite::{NativeSql, connection::open_writer};
use ferry_types::{OpSeq, Seq, UnixMillis};
use rusqlite::Connection;

use super::load::{self, BEGIN_MS};
use crate::{clock, cpu};

/// A log in a file.
pub(super) struct Log {
    connection: Connection,
    commits: u64,
}

/// What a piece of work took.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Took {
    pub(super) wall: Duration,
    pub(super) cpu: Duration,
}

impl Took {
    pub(super) fn cpu_us_per(self, count: u64) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / count as f64
    }

    pub(super) fn per_second(self, count: u64) -> f64 {
        count as f64 / self.wall.as_secs_f64()
    }
}

impl std::ops::AddAssign for Took {
    fn add_assign(&mut self, more: Self) {
        self.wall += more.wall;
        self.cpu += more.cpu;
    }
}

/// Runs `work` on this thread and tells what it took.
pub(super) fn measured<T>(work: impl FnOnce() -> T) -> (Took, T) {
    let (begin, cpu_before) = (clock::now(), cpu::of_this_process());
    let done = work();
    (Took { wall: begin.elapsed(), cpu: cpu::of_this_process() - cpu_before }, done)
}

const BY: Pushing<'static> = Pushing {
    origin: None,
    principal: "u_bench",
    is_admin: false,
    prefixes: Prefixes(&[]),
    via_shim: false,
    atomic: false,
};

impl Log {
    pub(super) fn open(path: &Path) -> Self {
        let connection = open_writer(path).expect("the file can be made");
        connection.execute_batch("PRAGMA wal_autocheckpoint=4000").expect("SQLite takes the setting");
        let sql = NativeSql(&connection);
        meta::begin(&sql, &"6f".repeat(16), &"9a".repeat(8)).expect("the log is begun");
        Self { connection, commits: 0 }
    }

    pub(super) fn sql(&self) -> NativeSql<'_> {
        NativeSql(&self.connection)
    }

    /// Pushes one batch in a transaction of its own.
    pub(super) fn push(&mut self, ops: &[String], via_shim: bool) {
        self.commits += 1;
        let ops: Vec<&str> = ops.iter().map(String::as_str).collect();
        let by = Pushing { via_shim, ..BY };
        let clocks = Clocks { now: UnixMillis(BEGIN_MS.cast_signed() + 3_600_000), max_skew_ms: 300_000 };
        self.connection.execute_batch("BEGIN IMMEDIATE").expect("the transaction begins");
        let pushed = push(&self.sql(), &ops, &by, &clocks, &PushLimits::default(), Seq(self.commits));
        let pushed = pushed.expect("the batch is taken");
        assert!(pushed.is_whole && pushed.applied() == ops.len() as u64, "every op is new");
        self.connection.execute_batch("COMMIT").expect("the commit succeeds");
    }

    /// Reads the whole log in pages; gives ops and bytes.
    pub(super) fn pull(&self) -> (u64, u64) {
        let (skip, mut after, mut ops, mut bytes) = (Skip::default(), OpSeq(0), 0, 0);
        let head = LogHead { hub_id: "6f".repeat(16), epoch: "9a".repeat(8), head: OpSeq(0), hub_time_ms: 0 };
        loop {
            let wanted = OpsPull {
                after,
                after_id: None,
                after_stamp: None,
                limit: 5_000,
                bytes: 1 << 20,
                skip: &skip,
                prefixes: Prefixes(&[]),
            };
            let page = pull(&self.sql(), &wanted, OpSeq(0)).expect("the page is read");
            (after, ops) = (page.end.next, ops + page.ops.count() as u64);
            let has_more = page.end.has_more;
            bytes += page.ops.finish(&head, &page.end).len() as u64;
            if !has_more {
                return (ops, bytes);
            }
        }
    }

    /// Bytes of a snapshot.
    pub(super) fn snapshot(&self) -> u64 {
        let meta = meta::read(&self.sql()).expect("the log is read").expect("the log is begun");
        let mut bytes = 0;
        snapshot(&self.sql(), &meta, Prefixes(&[]), &mut |piece| {
            bytes += piece.len() as u64;
            Ok(())
        })
        .expect("the snapshot is written");
        bytes
    }

    /// Bytes of hephd's pull of everything.
    pub(super) fn shim_pull(&self) -> u64 {
        let mut pull = ShimPull::begin(&self.sql(), "", true, u64::MAX).expect("the pull begins");
        let mut bytes = 0;
        while let Some(part) = pull.next_part(&self.sql(), 256 << 10).expect("the part is read") {
            bytes += part.len() as u64;
        }
        bytes
    }
}

/// Reads a body of the shim of about so many bytes, in pieces; gives its ops.
pub(super) fn scan(total: usize) -> u64 {
    let mut scanner = ArrayScanner::new(32 << 20);
    let mut ops = scanner.feed(b"{\"ops\":[").expect("the body begins").len() as u64;
    let (mut fed, mut number) = (0, 0);
    while fed < total {
        let piece = load::batch(load::foreign, number, 250).join(",") + ",";
        number += 250;
        fed += piece.len();
        for op in scanner.feed(piece.as_bytes()).expect("the body is JSON") {
            ops += u64::from(parse_op(&op).is_ok());
        }
    }
    ops
}
