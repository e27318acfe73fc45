//! The log of ops on real SQLite: pushing, pulling, the shim, the quarantine.

#![allow(clippy::unwrap_used, reason = "a helper of a test may panic as the test itself may")]

mod compaction;
mod pulls;
mod pushes;
mod quarantine;
mod schedules;

use ferry_core::{
    ops::{
        Prefixes, meta,
        pull::{OpsPage, OpsPull, pull},
        push::{Clocks, PushLimits, PushedOps, Pushing, push},
        shim::ShimPull,
    },
    sql::Sql as _,
};
use ferry_protocol::ops::{LogHead, OpCode, OpStatus, PageAnswer, Skip, read_answer};
use ferry_sqlite::NativeSql;
use ferry_types::{Hlc, OpSeq, Seq, UnixMillis};
use rusqlite::Connection;

const HUB: &str = "6f1d2c3b4a5968778695a4b3c2d1e0ff";
const EPOCH: &str = "9a0b1c2d3e4f5061";
const NOW: i64 = 1_795_168_811_000;
const A: &str = "a1b2c3d4e5f60718";
const B: &str = "b7d0193f5c2e8a46";

/// Who pushes in these tests unless it matters.
const BY: Pushing<'static> = Pushing {
    origin: None,
    principal: "u_a",
    is_admin: false,
    prefixes: Prefixes(&[]),
    via_shim: false,
    atomic: false,
};

struct Log {
    connection: Connection,
    now: i64,
    max_skew_ms: i64,
    limits: PushLimits,
}

impl Log {
    fn new() -> Self {
        let connection = Connection::open_in_memory().unwrap();
        meta::begin(&NativeSql(&connection), HUB, EPOCH).unwrap();
        Self { connection, now: NOW, max_skew_ms: 300_000, limits: PushLimits::default() }
    }

    fn sql(&self) -> NativeSql<'_> {
        NativeSql(&self.connection)
    }

    const fn clocks(&self) -> Clocks {
        Clocks { now: UnixMillis(self.now), max_skew_ms: self.max_skew_ms }
    }

    fn try_push(&self, by: &Pushing<'_>, ops: &[&str]) -> Result<PushedOps, ferry_sqlite::Error> {
        push(&self.sql(), ops, by, &self.clocks(), &self.limits, Seq(7))
    }

    fn push_as(&self, by: &Pushing<'_>, ops: &[&str]) -> PushedOps {
        self.try_push(by, ops).unwrap()
    }

    fn push(&self, ops: &[&str]) -> PushedOps {
        self.push_as(&BY, ops)
    }

    fn shim(&self, ops: &[&str]) -> PushedOps {
        self.push_as(&Pushing { via_shim: true, ..BY }, ops)
    }

    fn page(&self, wanted: &OpsPull<'_>) -> OpsPage {
        pull(&self.sql(), wanted, OpSeq(0)).unwrap()
    }

    /// All ops behind a number.
    fn ops(&self, after: u64) -> Vec<(u64, String)> {
        let skip = Skip::default();
        let wanted = OpsPull { after: OpSeq(after), limit: 5_000, bytes: 8 << 20, ..everything(&skip) };
        answered(self.page(&wanted)).0
    }

    fn shim_pull(&self, after: &str, page_bytes: u64, part_bytes: usize) -> String {
        let mut pull = ShimPull::begin(&self.sql(), after, false, page_bytes).unwrap();
        let mut body = Vec::new();
        while let Some(part) = pull.next_part(&self.sql(), part_bytes).unwrap() {
            body.extend(part);
        }
        String::from_utf8(body).unwrap()
    }

    fn count(&self, table: &str) -> i64 {
        let text = format!("SELECT count(*) FROM {table}");
        self.sql().first(&text, &[], |row| Ok(row.integer(0)?)).unwrap().unwrap()
    }
}

const fn everything(skip: &Skip) -> OpsPull<'_> {
    OpsPull {
        after: OpSeq(0),
        after_id: None,
        after_stamp: None,
        limit: 500,
        bytes: 1 << 20,
        skip,
        prefixes: Prefixes(&[]),
    }
}

/// The ops of a page, its cursor with id, and whether there is more: as a puller reads them.
fn answered(page: OpsPage) -> (Vec<(u64, String)>, u64, Option<String>, bool) {
    let head = LogHead { hub_id: HUB.into(), epoch: EPOCH.into(), head: OpSeq(0), hub_time_ms: NOW };
    let bytes = page.ops.finish(&head, &page.end);
    let read: PageAnswer<'_> = read_answer(&bytes).unwrap();
    let ops = read.ops.iter().map(|op| (op.seq.0, op.raw.get().to_owned())).collect();
    (ops, read.next.0, read.next_id, read.has_more)
}

fn at(ms: i64, counter: u16, origin: &str) -> String {
    Hlc { ms: u64::try_from(ms).unwrap(), counter, origin: origin.parse().unwrap() }.to_string()
}

fn set_at(id: &str, ms: i64, origin: &str, entity: &str, value: &str) -> String {
    let hlc = at(ms, 0, origin);
    format!(
        r#"{{"v":1,"id":"{id}","hlc":"{hlc}","origin":"{origin}","kind":"set","entity":"{entity}","field":"f","value":{value},"base":[]}}"#
    )
}

fn set(id: &str, ms: i64) -> String {
    set_at(id, ms, A, id, "1")
}

fn foreign(hlc: &str, content: &str) -> String {
    format!(r#"{{"hlc":"{hlc}", "content":{content}}}"#)
}

fn statuses(pushed: &PushedOps) -> Vec<(OpStatus, Option<OpCode>)> {
    pushed.results.iter().map(|result| (result.status, result.code)).collect()
}

const ACCEPTED: (OpStatus, Option<OpCode>) = (OpStatus::Accepted, None);
const DUPLICATE: (OpStatus, Option<OpCode>) = (OpStatus::Duplicate, None);

const fn rejected(code: OpCode) -> (OpStatus, Option<OpCode>) {
    (OpStatus::Rejected, Some(code))
}

const fn quarantined(code: OpCode) -> (OpStatus, Option<OpCode>) {
    (OpStatus::Quarantined, Some(code))
}
