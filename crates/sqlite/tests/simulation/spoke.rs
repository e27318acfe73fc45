//! A spoke of a simulated world.

use std::collections::BTreeMap;

use ferry_core::ops::{
    Prefixes, Texts, conflict,
    spoke::{
        PeerTarget, SpokeExchange, SpokeFailure, SpokeNext, SpokeRequest, SpokeStep, append, prepare, resolve,
    },
};
use ferry_protocol::ops::{ConflictsListParams, LogHead, OpDraft, PageAnswer, ResolveParams, read_answer};
use ferry_sqlite::NativeSql;
use ferry_types::{Seq, UnixMillis};
use rusqlite::{Connection, backup::Backup, config::DbConfig};

use super::{
    hub::{Answer, transaction},
    random::Random,
};

/// A database that keeps its statements, as those of hubs and spokes do: without that, most of a schedule is parsing.
pub(crate) fn open() -> Connection {
    let connection = Connection::open_in_memory().unwrap();
    connection.set_prepared_statement_cache_capacity(256);
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).unwrap();
    connection
}

/// A copy of a database.
pub(crate) fn copy(from: &Connection) -> Connection {
    let mut to = open();
    Backup::new(from, &mut to).unwrap().run_to_completion(10_000, std::time::Duration::ZERO, None).unwrap();
    to
}

pub(crate) struct Spoke {
    pub(crate) connection: Connection,
    /// Its clock less the world's.
    pub(crate) offset_ms: i64,
    exchange: Option<SpokeExchange>,
    texts: Texts,
    /// Ops that a caller was told are stored, by id; of a store that was put back only what it held then.
    pub(crate) acknowledged: BTreeMap<String, String>,
    pub(crate) backup: Option<(Connection, BTreeMap<String, String>)>,
    /// Whose credential it shows.
    pub(crate) principal: &'static str,
    /// A log that its user wants to be followed: the hub was replaced, and the first to give it ops shared none with this one.
    accepted: Option<String>,
    random: Random,
}

/// Randomness and time of one step.
fn step<T>(random: &mut Random, now: i64, work: impl FnOnce(&mut SpokeStep<'_>) -> T) -> T {
    let mut draw = || random.next();
    work(&mut SpokeStep { now: UnixMillis(now), commit: Seq(1), random: &mut draw })
}

impl Spoke {
    pub(crate) fn new(random: &mut Random) -> Self {
        let connection = open();
        let mut own = Random::new(random.next());
        prepare(&NativeSql(&connection), &mut || own.next()).unwrap();
        Self::with(connection, own, BTreeMap::new())
    }

    fn with(connection: Connection, mut random: Random, acknowledged: BTreeMap<String, String>) -> Self {
        let texts = Texts::new(random.next());
        Self {
            connection,
            offset_ms: 0,
            exchange: None,
            texts,
            acknowledged,
            backup: None,
            principal: "u_1",
            accepted: None,
            random,
        }
    }

    /// A second store with the same content: both go on.
    pub(crate) fn clone_store(&mut self) -> Self {
        let seed = self.random.next();
        Self::with(copy(&self.connection), Random::new(seed), self.acknowledged.clone())
    }

    pub(crate) fn back_up(&mut self) {
        self.backup = Some((copy(&self.connection), self.acknowledged.clone()));
    }

    pub(crate) fn put_back(&mut self) {
        let Some((backup, acknowledged)) = &self.backup else { return };
        (self.connection, self.acknowledged) = (copy(backup), acknowledged.clone());
        self.crash();
    }

    /// The process ends: what is not in its store is gone.
    pub(crate) fn crash(&mut self) {
        self.exchange = None;
        self.texts = Texts::new(self.random.next());
    }

    pub(crate) fn give_up(&mut self) {
        self.exchange = None;
    }

    pub(crate) const fn is_exchanging(&self) -> bool {
        self.exchange.is_some()
    }

    /// Appends one op or several; a call that is refused leaves nothing.
    pub(crate) fn append(&mut self, now: i64, drafts: &str, crashes: bool) {
        let drafts: Vec<OpDraft> = serde_json::from_str(drafts).unwrap();
        self.connection.execute_batch("BEGIN").unwrap();
        let sql = NativeSql(&self.connection);
        let (texts, now) = (&mut self.texts, now + self.offset_ms);
        let written = step(&mut self.random, now, |step| append(&sql, &drafts, texts, step)).unwrap();
        let commits = written.is_ok() && !crashes;
        self.connection.execute_batch(if commits { "COMMIT" } else { "ROLLBACK" }).unwrap();
        if crashes {
            self.crash();
        } else if let Ok(written) = written {
            self.acknowledge(written.ops.into_iter().map(|op| op.id));
        }
    }

    fn acknowledge(&mut self, ids: impl Iterator<Item = String>) {
        for id in ids {
            let raw = "SELECT raw FROM _ferry_ops WHERE id = ?1";
            let raw: String = self.connection.query_row(raw, [&id], |row| row.get(0)).unwrap();
            self.acknowledged.insert(id, raw);
        }
    }

    /// Resolves one of the open conflicts, if there are any.
    pub(crate) fn resolve(&mut self, now: i64, random: &mut Random) {
        let sql = NativeSql(&self.connection);
        let open =
            conflict::list(&sql, &ConflictsListParams::default(), Prefixes::default()).unwrap().conflicts;
        let Some(conflict) = open.get(random.below(open.len())) else { return };
        let asked = match (conflict.winning.is_some(), random.below(3)) {
            (true, 0) => format!(r#"{{"id":"{}","take":"loser"}}"#, conflict.id),
            (true, 1) => format!(r#"{{"id":"{}","take":"value","value":"chosen"}}"#, conflict.id),
            (false, 0) => {
                let copy = random.next();
                format!(r#"{{"id":"{}","take":"loser","as_entity":"copy/{copy:x}"}}"#, conflict.id)
            }
            _ => format!(r#"{{"id":"{}","take":"winner"}}"#, conflict.id),
        };
        let asked: ResolveParams = serde_json::from_str(&asked).unwrap();
        let (texts, now) = (&mut self.texts, now + self.offset_ms);
        self.connection.execute_batch("BEGIN").unwrap();
        let written = step(&mut self.random, now, |step| resolve(&sql, &asked, texts, step)).unwrap();
        self.connection.execute_batch(if written.is_ok() { "COMMIT" } else { "ROLLBACK" }).unwrap();
        if let Ok(written) = written {
            self.acknowledge(written.ops.into_iter().map(|op| op.id));
        }
    }

    /// The next request of its exchange, which is begun if there is none; `None`: the exchange is over, or it crashed.
    pub(crate) fn ask(&mut self, now: i64, crashes: bool) -> Option<SpokeRequest> {
        let target = PeerTarget { url: "http://hub".into(), database: "notes".into() };
        let mut exchange = self.exchange.take().unwrap_or_else(|| {
            SpokeExchange::new(target, self.accepted.take()).with_credential(self.principal.to_owned())
        });
        let now = now + self.offset_ms;
        let random = &mut self.random;
        let next =
            transaction(&self.connection, crashes, |sql| step(random, now, |step| exchange.next(sql, step)));
        match next {
            None => {
                self.crash();
                None
            }
            Some(SpokeNext::Ask(request)) => {
                self.exchange = Some(exchange);
                Some(request)
            }
            Some(SpokeNext::Again) => {
                self.exchange = Some(exchange);
                self.ask(now - self.offset_ms, crashes)
            }
            Some(SpokeNext::Done) => None,
            Some(SpokeNext::Failed(SpokeFailure::Foreign { hub_id })) => {
                self.accepted = Some(hub_id);
                None
            }
            // The next exchange goes on.
            Some(SpokeNext::Failed(SpokeFailure::Unstable)) => None,
            Some(SpokeNext::Failed(failure)) => panic!("an exchange failed: {failure}"),
        }
    }

    /// Takes an answer in.
    pub(crate) fn hear(&mut self, answer: &Answer, now: i64, crashes: bool) {
        let Some(mut exchange) = self.exchange.take() else { return };
        let now = now + self.offset_ms;
        let random = &mut self.random;
        let heard = transaction(&self.connection, crashes, |sql| {
            step(random, now, |step| match answer {
                Answer::Page(bytes) => {
                    let head: LogHead = read_answer(bytes).unwrap();
                    let page: PageAnswer<'_> = read_answer(bytes).unwrap();
                    exchange.pulled(sql, &head, &page, step)
                }
                Answer::Pushed(head, results) => exchange.pushed(sql, head, results, step),
                Answer::Missing(head, ids) => exchange.missing(sql, head, ids, step),
                Answer::Snapshot(header, ops) => exchange.load_snapshot(sql, header, step, |take| {
                    ops.iter().try_for_each(|(seq, raw)| take(*seq, raw))
                }),
                Answer::Refused(refusal) => exchange.refused(sql, refusal, step),
            })
        });
        match heard {
            None => self.crash(),
            Some(()) => {
                // No later edit of a text may hang on one that has left the log.
                if exchange.take_dropped_own() {
                    self.texts = Texts::new(self.random.next());
                }
                self.exchange = Some(exchange);
            }
        }
    }
}
