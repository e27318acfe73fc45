//! One of hephd's clients: a store of foreign ops, and a cursor that is the clock of one of them.

use std::collections::BTreeSet;

use ferry_core::ops::shim::ShimPull;
use ferry_protocol::ops::ArrayScanner;
use ferry_sqlite::NativeSql;
use serde_json::Value;

use super::random::Random;

/// How far apart the times of its writes are, if they are apart.
const COARSE_MS: i64 = 5_000;

pub(crate) struct Hephd {
    /// Whether a cursor is replaced by a smaller one.
    replaces: bool,
    pub(crate) cursor: String,
    /// Ops by clock and text.
    pub(crate) ops: BTreeSet<(String, String)>,
}

fn hlc_of(op: &str) -> String {
    let op: Value = serde_json::from_str(op).unwrap();
    op["hlc"].as_str().unwrap().to_owned()
}

impl Hephd {
    pub(crate) fn new(replaces: bool) -> Self {
        Self { replaces, cursor: String::new(), ops: BTreeSet::new() }
    }

    /// Writes an op at `now`, as such a client spells it. Its clock is a coarse one, so that others write at the same time.
    pub(crate) fn write(&mut self, now: i64, mark: &str, random: &mut Random) {
        let now = now / COARSE_MS * COARSE_MS;
        let op = format!(
            "{{ \"hlc\":\"{now:017}-{:04}-laptop\",\"op\":\"node.set\", \"id\":\"n1\",\"x\":1.0,\"mark\":\"{mark}\"}}",
            random.below(2)
        );
        self.ops.insert((hlc_of(&op), op));
    }

    /// What it is given behind its cursor.
    pub(crate) fn pull(&self, sql: &NativeSql<'_>, page_bytes: u64) -> Vec<String> {
        let mut pull = ShimPull::begin(sql, &self.cursor, false, page_bytes).unwrap();
        let (mut scanner, mut ops) = (ArrayScanner::new(1 << 20), Vec::new());
        while let Some(part) = pull.next_part(sql, 200).unwrap() {
            ops.extend(scanner.feed(&part).unwrap());
        }
        scanner.finish().unwrap();
        ops
    }

    pub(crate) fn hear(&mut self, pulled: Vec<String>) {
        let mut batch: Vec<(String, String)> = pulled.into_iter().map(|op| (hlc_of(&op), op)).collect();
        batch.sort();
        if let Some((greatest, _)) = batch.last()
            && (self.replaces || *greatest > self.cursor)
        {
            self.cursor.clone_from(greatest);
        }
        self.ops.extend(batch);
    }

    /// What it pushes: everything, ops of others included.
    pub(crate) fn tail(&self) -> Vec<String> {
        self.ops.iter().map(|(_, op)| op.clone()).collect()
    }
}
