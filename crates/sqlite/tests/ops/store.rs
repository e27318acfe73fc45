//! A store of ops in memory, as a hub or a spoke holds it.

use std::{collections::BTreeMap, ops::ControlFlow};

use ferry_core::{
    ops::{
        OpsRefusal, Prefixes, StoreRole, Texts,
        append::{self, AppendedOps, OpWriter},
        conflict, entity,
        merge::{self, Integrated, Rules},
        meta, resolve,
        row::{self, Arrival},
    },
    sql::{Sql, Value},
};
use ferry_protocol::ops::{
    ConflictFilter, ConflictsListParams, EntityView, FerryOp, OpBody, OpCode, OpConflict, OpDraft,
    ResolveParams, parse_op,
};
use ferry_sqlite::NativeSql;
use ferry_types::{OpSeq, OriginId, Seq, UnixMillis};
use rusqlite::Connection;

pub(crate) const TEXT_MAX_BYTES: u64 = 16 << 20;

pub(crate) struct Store {
    pub(crate) connection: Connection,
    pub(crate) role: StoreRole,
    pub(crate) text_max_bytes: u64,
    texts: Texts,
    ids: u64,
}

/// What became of a pushed op.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Pushed {
    Accepted,
    Duplicate,
    Refused(OpCode),
}

pub(crate) fn ferry(raw: &str) -> FerryOp {
    match parse_op(raw).unwrap().body {
        OpBody::Ferry(op) => *op,
        OpBody::Foreign { .. } => panic!("not an op of Ferry's: {raw}"),
    }
}

impl Store {
    pub(crate) fn new(role: StoreRole) -> Self {
        let connection = Connection::open_in_memory().unwrap();
        meta::begin(&NativeSql(&connection), &"0a".repeat(16), &"0b".repeat(8)).unwrap();
        Self { connection, role, text_max_bytes: TEXT_MAX_BYTES, texts: Texts::new(7), ids: 0 }
    }

    pub(crate) fn hub() -> Self {
        Self::new(StoreRole::Hub)
    }

    pub(crate) fn sql(&self) -> NativeSql<'_> {
        NativeSql(&self.connection)
    }

    pub(crate) fn rules(&self) -> Rules {
        Rules { role: self.role, is_own: false, text_max_bytes: self.text_max_bytes }
    }

    /// Takes an op in as a push, or on a spoke a pull, does.
    pub(crate) fn push(&self, raw: &str) -> Pushed {
        let sql = self.sql();
        let op = ferry(raw);
        if row::known(&sql, &op.id).unwrap().is_some() {
            return Pushed::Duplicate;
        }
        let seq = meta::head(&sql).unwrap().next();
        let conflicts = match merge::integrate(&sql, &op, seq, &self.rules()).unwrap() {
            Integrated::Merged(conflicts) => conflicts,
            Integrated::Opaque => Vec::new(),
            Integrated::Refused { code, .. } => return Pushed::Refused(code),
        };
        let mut head = seq;
        self.put(head, &op, raw);
        for conflict in conflicts {
            head = head.next();
            self.put(head, &conflict.op, &conflict.raw);
        }
        meta::set_head(&sql, head).unwrap();
        Pushed::Accepted
    }

    fn put(&self, seq: OpSeq, op: &FerryOp, raw: &str) {
        let arrival = Arrival {
            via_shim: false,
            principal: Some("u_1"),
            commit: Seq(seq.0),
            received: UnixMillis(1),
            hub_seq: None,
        };
        row::insert_ferry(&self.sql(), seq, op, raw, &arrival).unwrap();
    }

    pub(crate) fn push_all<'a>(&self, ops: impl IntoIterator<Item = &'a str>) {
        for raw in ops {
            assert_eq!(self.push(raw), Pushed::Accepted, "{raw}");
        }
    }

    pub(crate) fn writer(&self, origin: u64, now: i64) -> OpWriter<'static> {
        OpWriter {
            role: self.role,
            origin: OriginId(origin),
            now: UnixMillis(now),
            commit: Seq(1),
            principal: None,
            op_max_bytes: 1 << 20,
            text_max_bytes: TEXT_MAX_BYTES,
        }
    }

    /// Goes on as another client of yrs.
    pub(crate) fn use_text_client(&mut self, client: u64) {
        self.texts = Texts::new(client);
    }

    /// Appends drafts of JSON in a transaction of their own.
    pub(crate) fn append(&mut self, origin: u64, now: i64, drafts: &str) -> Result<AppendedOps, OpsRefusal> {
        let drafts: Vec<OpDraft> = serde_json::from_str(drafts).unwrap();
        let writer = self.writer(origin, now);
        self.connection.execute_batch("SAVEPOINT append").unwrap();
        let sql = NativeSql(&self.connection);
        let ids = &mut self.ids;
        let mut new_id = || {
            *ids += 1;
            format!("op-{origin:x}-{ids:06}")
        };
        let appended = append::append(&sql, &drafts, &writer, &mut self.texts, &mut new_id).unwrap();
        let end = if appended.is_ok() { "RELEASE append" } else { "ROLLBACK TO append; RELEASE append" };
        self.connection.execute_batch(end).unwrap();
        appended
    }

    pub(crate) fn resolve(&mut self, origin: u64, now: i64, asked: &str) -> Result<AppendedOps, OpsRefusal> {
        let asked: ResolveParams = serde_json::from_str(asked).unwrap();
        let writer = self.writer(origin, now);
        let sql = NativeSql(&self.connection);
        let ids = &mut self.ids;
        let mut new_id = || {
            *ids += 1;
            format!("op-{origin:x}-{ids:06}")
        };
        resolve::resolve(&sql, &asked, Prefixes(&[]), &writer, &mut self.texts, &mut new_id).unwrap()
    }

    pub(crate) fn entity(&self, entity: &str) -> EntityView {
        entity::get(&self.sql(), entity).unwrap().unwrap_or_else(|| panic!("no entity {entity}"))
    }

    pub(crate) fn conflicts(&self, status: ConflictFilter) -> Vec<OpConflict> {
        let asked = ConflictsListParams { status, ..ConflictsListParams::default() };
        conflict::list(&self.sql(), &asked, Prefixes(&[])).unwrap().conflicts
    }

    /// Ids of the open conflicts, in order.
    pub(crate) fn open(&self) -> Vec<String> {
        self.conflicts(ConflictFilter::Open).into_iter().map(|conflict| conflict.id).collect()
    }

    /// Texts of the ops of kind conflict, by id.
    pub(crate) fn recorded(&self) -> BTreeMap<String, String> {
        let rows = self.rows("SELECT id, raw FROM _ferry_ops WHERE kind = 'conflict'");
        rows.into_iter().map(|row| (row[0].clone(), row[1].clone())).collect()
    }

    /// Texts of all ops in the order of their numbers.
    pub(crate) fn ops(&self) -> Vec<String> {
        self.rows("SELECT raw FROM _ferry_ops ORDER BY op_seq")
            .into_iter()
            .map(|mut row| row.remove(0))
            .collect()
    }

    pub(crate) fn rows(&self, query: &str) -> Vec<Vec<String>> {
        let mut rows = Vec::new();
        self.sql()
            .query(query, &[], &mut |row| {
                let columns = (0..).map_while(|column| match row.value(column) {
                    Value::Null if column >= 16 => None,
                    value => Some(format!("{value:?}")),
                });
                let mut columns: Vec<String> = columns.take(16).collect();
                // A row does not tell how many columns it has.
                while columns.last().is_some_and(|last| last == "Null") {
                    columns.pop();
                }
                rows.push(columns.into_iter().map(|text| unquoted(&text)).collect());
                Ok(ControlFlow::Continue(()))
            })
            .unwrap();
        rows
    }

    /// All that follows from the ops, but in what order they came and how far texts are folded.
    pub(crate) fn derived(&self) -> Vec<Vec<String>> {
        let mut all = Vec::new();
        for query in [
            "SELECT 'entity', entity, type, type_hlc, type_id, hlc, dead FROM _ferry_op_entities ORDER BY entity",
            "SELECT 'field', entity, field, winner, hlc, is_head, value, text_id, text_hlc, text_is_head, others
                FROM _ferry_op_fields ORDER BY entity, field",
            "SELECT 'head', entity, field, kind, origin, hlc, id, via, digest FROM _ferry_op_heads
                ORDER BY entity, field, kind, origin, hlc, id, via",
            "SELECT 'link', add_id, entity, field, target, removed FROM _ferry_op_links ORDER BY add_id",
            "SELECT 'edge', entity, parent, removes, child, hlc FROM _ferry_op_edges
                ORDER BY entity, parent, removes, child",
            "SELECT 'conflict', id, entity, field, loser, open FROM _ferry_op_conflicts WHERE open = 1 ORDER BY id",
        ] {
            all.extend(self.rows(query));
        }
        for row in
            self.rows("SELECT entity, field FROM _ferry_op_fields WHERE text_id IS NOT NULL ORDER BY 1, 2")
        {
            let read = merge::text::read(&self.sql(), &row[0], &row[1]).unwrap();
            all.push(vec!["text".to_owned(), row[0].clone(), row[1].clone(), read]);
        }
        all
    }

    pub(crate) fn refold_all(&self) {
        for row in self.rows("SELECT DISTINCT entity FROM _ferry_ops WHERE entity IS NOT NULL") {
            merge::refold(&self.sql(), &row[0]).unwrap();
        }
    }

    pub(crate) fn rebuild(&self) {
        merge::rebuild(&self.sql()).unwrap();
    }
}

/// The text within `Text("…")` as it stands.
fn unquoted(debug: &str) -> String {
    match debug.strip_prefix("Text(").and_then(|rest| rest.strip_suffix(')')) {
        Some(quoted) => serde_json::from_str(quoted).unwrap_or_else(|_| quoted.to_owned()),
        None => debug.to_owned(),
    }
}
