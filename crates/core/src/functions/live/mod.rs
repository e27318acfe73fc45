//! Live queries (functions specification, 3.3 and 3.4), without I/O: results that clients hold, the tables that each
//! depends on, and who is told when one may have changed.
//!
//! A *query* is a function with arguments and, if its result depends on him, a user; all who hold its result share it. A
//! commit makes the queries of its tables due. A due query is run again once, whoever and however many hold its result (the
//! *gate*), and those are told whose result differs; where that is not possible, or costs too much, they are told unrun.
//! Nothing is queued: what a session has not been told yet is a set of tables.

mod cache;
mod changes;
mod keys;
mod queries;
mod readers;
mod sessions;
mod spans;
#[cfg(test)]
mod tests;
mod told;

use std::{collections::HashMap, sync::Arc};

use ferry_types::Seq;

pub use cache::{CachedResult, ResultCache};
pub use changes::TableChanges;
pub use keys::{
    ColumnKey, ColumnKeys, Condition, KEY_TEXT_MAX_BYTES, KeyRange, RANGES_MAX, Reads, RowImage, RowValue,
    RowsChanged, RowsRead, TableNames, TableRead, TableWrite,
};
pub use queries::{Gate, QueryId, QueryKey};
pub use sessions::{SessionLimits, SocketId};
pub use told::{Compared, Evaluated, LiveOutput, PushReason, Registration};

use queries::{Holder, Queries};
use sessions::{Dropped, Sessions};

/// After a session was told, commits are gathered so long before it is told again, milliseconds (FUN-27).
pub const GATHER_MS: u64 = 10;
/// EdgePod's clients are told so long after the answer at the earliest, so that the page has taken it in (FUN-24).
pub const EDGEPOD_GRACE_MS: u64 = 200;
/// A session without sockets lives so long (FUN-25).
pub const SESSION_LINGER_MS: u64 = 60_000;

/// 16 hex digits of BLAKE3 over a result's bytes; of no bytes if there is no result.
#[must_use]
pub fn result_hash(data: Option<&str>) -> String {
    blake3::hash(data.unwrap_or_default().as_bytes()).to_hex().as_str()[..16].to_owned()
}

/// The live queries of one database. `P`: what it takes to run one again.
pub struct LiveQueries<P> {
    changes: TableChanges,
    queries: Queries<P>,
    sessions: Sessions,
    /// What each socket keeps, by the client's name for it.
    subscriptions: HashMap<SocketId, HashMap<Arc<str>, QueryId>>,
    due: Vec<QueryId>,
    pushes: HashMap<PushReason, u64>,
    /// Queries that a commit to their table left alone, since it changed no row of theirs.
    spared: u64,
}

/// Of the tables that changed those that a page was told of; all of these where it knows none of them, since what it does
/// not know it takes for somebody else's.
fn known_of(changed: &[Arc<str>], told: &Reads) -> Vec<Arc<str>> {
    let known: Vec<Arc<str>> = changed.iter().filter(|table| told.has(table)).cloned().collect();
    if known.is_empty() { told.tables().cloned().collect() } else { known }
}

impl<P: Clone> LiveQueries<P> {
    /// None. What was changed by commits up to `seq` is not known.
    #[must_use]
    pub fn new(seq: Seq, limits: SessionLimits) -> Self {
        Self {
            changes: TableChanges::new(seq),
            queries: Queries::default(),
            sessions: Sessions::new(limits),
            subscriptions: HashMap::new(),
            due: Vec::new(),
            pushes: HashMap::new(),
            spared: 0,
        }
    }

    /// None, and nothing is known of any commit until [`Self::known_since`].
    #[must_use]
    pub fn unknown(limits: SessionLimits) -> Self {
        Self { changes: TableChanges::unknown(), ..Self::new(Seq(0), limits) }
    }

    /// All commits since this was made are told here, and `seq` was the newest one at some time since.
    pub fn known_since(&mut self, seq: Seq) {
        self.changes.known_since(seq);
    }

    /// When each table was changed.
    #[must_use]
    pub const fn changes(&self) -> &TableChanges {
        &self.changes
    }

    /// A commit changed these rows; `named`: names that a function invalidates itself, whatever the results.
    pub fn committed(&mut self, seq: Seq, writes: &[TableWrite], named: &[Arc<str>], now_ms: u64) {
        self.changes.committed(seq, writes);
        let any: Vec<TableWrite> = named.iter().cloned().map(TableWrite::any).collect();
        self.changes.committed(seq, &any);
        for write in writes {
            let affected = self.queries.affected(write);
            self.spared += (self.queries.count_of_table(&write.table) - affected.len()) as u64;
            for query in affected {
                self.touch(query, &write.table, seq, now_ms);
            }
            self.sessions.tell_crowded(&write.table, seq, now_ms);
        }
        for name in named {
            self.sessions.tell_crowded(name, seq, now_ms);
            for query in self.queries.of_table(name) {
                self.queries.note_changed(query, name, seq);
                self.push_all(query, now_ms);
                self.run_if_kept(query);
            }
        }
    }

    /// Anything may have changed: a deployment, a file that was put back (FUN-29).
    pub fn reset(&mut self, seq: Seq, now_ms: u64) {
        self.changes.reset(seq);
        for query in self.queries.all() {
            for table in self.queries.reads(query).tables() {
                self.queries.note_changed(query, table, seq);
            }
            // Rows may look otherwise now.
            self.queries.widen(query);
            self.push_all(query, now_ms);
            self.run_if_kept(query);
        }
        for table in self.sessions.crowded_tables() {
            self.sessions.tell_crowded(&table, seq, now_ms);
        }
    }

    /// The sessions that there are, and the tables of what their pages show: for who takes this one's place.
    #[must_use]
    pub fn shown(&self) -> Vec<(Arc<str>, Vec<Arc<str>>)> {
        let shown = self.sessions.all().map(|(session, crowded)| {
            let mut tables = crowded.to_vec();
            for query in self.sessions.held_by(session) {
                tables.extend(self.queries.reads(query).tables().cloned());
            }
            tables.sort_unstable();
            tables.dedup();
            (Arc::clone(session), tables)
        });
        shown.filter(|(_, tables)| !tables.is_empty()).collect()
    }

    /// Sessions of before this one took another's place: what their pages show is not known to be so any more, and they are
    /// told when they connect (FUN-29).
    pub fn expect(&mut self, shown: Vec<(Arc<str>, Vec<Arc<str>>)>, seq: Seq, now_ms: u64) {
        for (session, tables) in shown {
            self.sessions.expect(&session, now_ms);
            self.sessions.tell(&session, &tables, seq, 0, now_ms);
        }
    }

    fn touch(&mut self, query: QueryId, table: &Arc<str>, seq: Seq, now_ms: u64) {
        self.queries.note_changed(query, table, seq);
        if self.queries.may_be_gated(query) {
            // Who was told and did not come again is told of this, too; for him alone nothing is run.
            self.push(query, now_ms, |holder| holder.is_stale);
            if self.queries.is_awaited(query) {
                self.queries.leave_to_run(query);
                self.make_due(query);
            }
        } else {
            self.push_all(query, now_ms);
            self.run_if_kept(query);
        }
    }

    /// Sockets that keep a result are sent it, however it is watched.
    fn run_if_kept(&mut self, query: QueryId) {
        if self.queries.is_kept(query) {
            self.make_due(query);
        }
    }

    fn make_due(&mut self, query: QueryId) {
        if self.queries.make_due(query) {
            self.due.push(query);
        }
    }

    fn push_all(&mut self, query: QueryId, now_ms: u64) {
        self.push(query, now_ms, |_| true);
        self.queries.unrun(query);
    }

    /// Tells the sessions of the query's holders that `which` names. Sockets that keep the result themselves are not told of
    /// tables: they get the result, when it was made.
    fn push(&mut self, query: QueryId, now_ms: u64, which: impl Fn(&Holder) -> bool) {
        let (tables, seq) = self.queries.changed(query);
        let mut told = 0;
        for holder in self.queries.holders_mut(query) {
            if holder.socket.is_some() || !which(holder) {
                continue;
            }
            holder.is_stale = true;
            let tables = known_of(&tables, &holder.told);
            self.sessions.tell(&holder.session, &tables, seq, holder.not_before_ms, now_ms);
            told += 1;
        }
        if told > 0 {
            *self.pushes.entry(PushReason::Unrun).or_default() += told;
        }
    }

    /// Keeps a result fresh for a session (FUN-23, FUN-24). What the session held of the same query before is replaced.
    pub fn register(&mut self, registration: Registration<P>, now_ms: u64) {
        let Registration { session, key, reads, hash, seq, gate, not_before_ms, payload } = registration;
        let is_old = self.changes.affected_after(&reads, seq);
        let reads = if self.changes.is_all_changed_after(seq) { reads.widened() } else { reads };
        let call = key.call();
        let before = self.sessions.holds(&session, call);
        let before = before.and_then(|query| self.queries.held_by(query, &session));
        // Two parts of a page may have made the same call, and only the second knows of a commit in between.
        let parts_differ = before.is_some_and(|before| {
            !before.is_stale && before.hash != hash && self.changes.affected_after(&before.told, before.seq)
        });
        let was_told = before.is_some_and(|before| before.is_stale || before.was_told);
        let query = self.queries.get_or_make(key, &reads, seq, gate, payload);
        let holder = Holder {
            session: Arc::clone(&session),
            socket: None,
            hash,
            seq,
            is_stale: parts_differ,
            was_told,
            is_first: false,
            told: reads,
            not_before_ms,
        };
        if parts_differ {
            let tables: Vec<Arc<str>> = holder.told.tables().cloned().collect();
            self.sessions.tell(&session, &tables, self.changes.newest(), not_before_ms, now_ms);
        }
        self.queries.hold(query, holder);
        match self.sessions.held(&session, query, call, now_ms) {
            Some(Dropped::Oldest(oldest)) => {
                // Beyond the limit the oldest goes, and its session knows (specification, 2.5). Its page asks for all of the
                // table again: once, not for each that goes then. From now on it is told of every change of the table.
                let tables: Vec<Arc<str>> = self.queries.reads(oldest).tables().cloned().collect();
                let mut told = self.sessions.crowd(&session, &tables);
                let (undecided, _) = self.queries.changed(oldest);
                told.extend(undecided.into_iter().filter(|table| tables.contains(table)));
                self.sessions.tell(&session, &told, self.changes.newest(), 0, now_ms);
                self.queries.release(oldest, &session);
            }
            Some(Dropped::Replaced(before)) => self.queries.release(before, &session),
            None => {}
        }
        if is_old {
            self.make_due_or_push(query, seq, now_ms);
        }
    }

    /// Keeps a result fresh for a socket, which is sent it (FUN-36). `known`: hash of what the client holds. The query is
    /// due at once. False if the socket keeps too many.
    pub fn subscribe(
        &mut self,
        socket: SocketId,
        id: &Arc<str>,
        key: QueryKey,
        known: Option<u64>,
        payload: P,
    ) -> bool {
        self.unsubscribe(socket, id);
        let kept = self.subscriptions.entry(socket).or_default();
        if kept.len() >= self.sessions.limits().subscriptions {
            return false;
        }
        let none = Reads::default();
        let query = self.queries.get_or_make(key, &none, Seq(0), Gate::Run, payload);
        kept.insert(Arc::clone(id), query);
        let holder = Holder {
            session: self.sessions.session_of(socket),
            socket: Some((socket, Arc::clone(id))),
            hash: known.unwrap_or(0),
            seq: Seq(0),
            is_stale: true,
            was_told: false,
            is_first: known.is_some(),
            told: none,
            not_before_ms: 0,
        };
        self.queries.hold(query, holder);
        self.make_due(query);
        true
    }

    /// Ends what [`Self::subscribe`] began.
    pub fn unsubscribe(&mut self, socket: SocketId, id: &str) {
        let kept = self.subscriptions.get_mut(&socket).and_then(|kept| kept.remove_entry(id));
        if let Some((id, query)) = kept {
            self.queries.release_socket(query, socket, &id);
        }
    }

    /// Tables of the query changed after the commit `since`.
    fn make_due_or_push(&mut self, query: QueryId, since: Seq, now_ms: u64) {
        for read in self.queries.reads(query).iter() {
            if self.changes.is_affected_after(read, since) {
                self.queries.note_changed(query, &read.table, self.changes.newest());
            }
        }
        if self.queries.may_be_gated(query) {
            self.queries.leave_to_run(query);
            self.make_due(query);
        } else {
            self.push_all(query, now_ms);
            self.run_if_kept(query);
        }
    }

    /// The queries that are to be run again, each once until [`Self::evaluated`] or [`Self::not_run`].
    pub fn take_due(&mut self) -> Vec<(QueryId, QueryKey, P)> {
        let due = std::mem::take(&mut self.due);
        due.into_iter()
            .filter_map(|query| self.queries.begin_run(query).map(|(key, payload)| (query, key, payload)))
            .collect()
    }

    /// Whether it has been run: its first result is awaited, whatever that costs.
    #[must_use]
    pub fn was_run(&self, query: QueryId) -> bool {
        self.queries.seq(query) > Seq(0)
    }

    /// Whether a socket keeps the query's result.
    #[must_use]
    pub fn is_kept(&self, query: QueryId) -> bool {
        self.queries.is_kept(query)
    }

    /// Ends all that a socket keeps, and tells what it was.
    pub fn take_subscriptions(&mut self, socket: SocketId) -> Vec<(Arc<str>, QueryKey, P)> {
        let kept = self.subscriptions.remove(&socket).unwrap_or_default();
        let mut taken = Vec::new();
        for (id, query) in kept {
            if let Some((key, payload)) = self.queries.get(query) {
                taken.push((Arc::clone(&id), key, payload));
            }
            self.queries.release_socket(query, socket, &id);
        }
        taken
    }

    /// Whether something is due.
    #[must_use]
    pub fn has_due(&self) -> bool {
        !self.due.is_empty()
    }

    /// A query was run again: tells those whose result differs.
    pub fn evaluated(&mut self, query: QueryId, evaluated: &Evaluated, now_ms: u64) -> Compared {
        let mut results = Compared::default();
        let Some(is_due) = self.queries.end_run(query) else { return results };
        if evaluated.seq < self.queries.seq(query) {
            // Somebody holds a newer result: this one says nothing.
            self.make_due(query);
            return results;
        }
        let (changed, seq) = self.queries.changed(query);
        // Whom nobody told because this run was to tell; it cannot if it depends on more than tables now.
        let is_undecided = self.queries.forget_changed(query) && evaluated.gate == Gate::Open;
        let again = self.changes.affected_after(&evaluated.reads, evaluated.seq);
        self.queries.refresh(query, &evaluated.reads, evaluated.seq, evaluated.gate);
        let mut told = 0;
        for holder in self.queries.holders_mut(query) {
            match &holder.socket {
                Some((socket, id)) => {
                    // The first result is told even if the client holds it: then as the same. What was sent later may not
                    // have reached him before something else took its place.
                    let is_equal = holder.hash == evaluated.hash;
                    let same = is_equal && std::mem::take(&mut holder.is_first);
                    if !is_equal || holder.is_stale {
                        let id = Arc::clone(id);
                        results.outputs.push(LiveOutput::Result { socket: *socket, id, same });
                    }
                    holder.is_first = false;
                    results.differed |= !is_equal;
                    holder.hash = evaluated.hash;
                    holder.is_stale = false;
                }
                None if !holder.is_stale
                    && (is_undecided || holder.hash != evaluated.hash && evaluated.gate == Gate::Run) =>
                {
                    holder.is_stale = true;
                    let changed = known_of(&changed, &holder.told);
                    self.sessions.tell(&holder.session, &changed, seq, holder.not_before_ms, now_ms);
                    told += 1;
                }
                None => {}
            }
        }
        if told > 0 {
            *self.pushes.entry(PushReason::Changed).or_default() += told;
        }
        results.differed |= told > 0;
        self.queries.ran(query, told > 0);
        if again {
            self.make_due_or_push(query, evaluated.seq, now_ms);
        } else if is_due {
            self.make_due(query);
        }
        results
    }

    /// A query was not run, or failed (FUN-31, FUN-32): all who hold its result are told. `failed`: what the failure depends
    /// on, and the commit that it shows.
    pub fn not_run(&mut self, query: QueryId, failed: Option<(&Reads, Seq)>, now_ms: u64) -> Vec<LiveOutput> {
        let Some(is_due) = self.queries.end_run(query) else { return Vec::new() };
        self.push_all(query, now_ms);
        let mut again = is_due;
        if let Some((reads, seq)) = failed {
            self.queries.add_reads(query, reads);
            again |= self.changes.affected_after(reads, seq);
        }
        if again {
            self.make_due(query);
        }
        let sockets = self.queries.holders_mut(query).filter_map(|holder| {
            // The next result is sent, whatever he held before: once told, he may hold another one that he fetched, so that
            // none is the same.
            holder.is_stale |= holder.socket.is_some();
            holder.is_first = false;
            holder.socket.clone()
        });
        sockets.map(|(socket, id)| LiveOutput::Result { socket, id, same: false }).collect()
    }

    /// A socket of a session opens; the oldest of the session is given back if there are too many (FUN-26).
    pub fn connect(&mut self, session: &Arc<str>, socket: SocketId, now_ms: u64) -> Option<SocketId> {
        let oldest = self.sessions.connect(session, socket, now_ms);
        // What was sent into a socket that was dead already is told again (FUN-25).
        for query in self.sessions.held_by(session) {
            let (_, seq) = self.queries.changed(query);
            if let Some(told) = self.queries.tell_again(query, session) {
                self.sessions.tell(session, &told, seq, 0, now_ms);
            }
        }
        oldest
    }

    /// A socket is closed.
    pub fn disconnect(&mut self, socket: SocketId, now_ms: u64) {
        self.take_subscriptions(socket);
        self.sessions.disconnect(socket, now_ms);
    }

    /// What sessions are to be told by now, and forgets those whose time is over.
    pub fn take_outputs(&mut self, now_ms: u64) -> Vec<LiveOutput> {
        for (session, queries) in self.sessions.expire(now_ms) {
            for query in queries {
                self.queries.release(query, &session);
            }
        }
        self.sessions.take_due(now_ms)
    }

    /// When [`Self::take_outputs`] has something to do next.
    #[must_use]
    pub fn due_ms(&self) -> Option<u64> {
        self.sessions.due_ms()
    }

    /// Whether nobody is subscribed or connected.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    /// Subscriptions, and sockets.
    #[must_use]
    pub fn counts(&self) -> (usize, usize) {
        (self.queries.holders(), self.sessions.sockets())
    }

    /// Queries since the last time that a commit to their table left alone, since it changed no row of theirs.
    pub fn take_spared(&mut self) -> u64 {
        std::mem::take(&mut self.spared)
    }

    /// Pushes since the last time, by reason.
    pub fn take_pushes(&mut self) -> HashMap<PushReason, u64> {
        std::mem::take(&mut self.pushes)
    }
}
