//! The queries that somebody holds a result of.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use ferry_types::Seq;

use super::{Reads, SocketId, keys::TableWrite, readers::ReaderIndex};

/// A query that is held by somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct QueryId(pub u64);

/// What a result is of.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct QueryKey {
    /// Name of the function.
    pub function: Arc<str>,
    /// Its arguments, canonical JSON.
    pub args: Arc<str>,
    /// The user; `None`: its result is the same for all.
    pub user: Option<Arc<str>>,
}

impl QueryKey {
    /// Tells calls apart, whoever makes them.
    pub(super) fn call(&self) -> u64 {
        let mut hasher = blake3::Hasher::new();
        hasher.update(self.function.as_bytes()).update(b"\0").update(self.args.as_bytes());
        let mut digest = [0; 8];
        hasher.finalize_xof().fill(&mut digest);
        u64::from_le_bytes(digest)
    }
}

/// How it is found out whether a result changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// By running the query again.
    Run,
    /// Not at all: it depends on more than tables (FUN-31).
    Open,
}

/// Consecutive results that differed, after which a query is not run for a while (FUN-32).
const CHANGED_IN_A_ROW_MAX: u8 = 20;
/// How often it is not run then, before it is tried again.
const UNRUN_IN_A_ROW_MAX: u8 = 100;

/// Somebody who holds a query's result.
#[derive(Clone, Debug)]
pub(super) struct Holder {
    pub(super) session: Arc<str>,
    /// The socket that is sent the result, and the client's name for it; else the session is told of tables.
    pub(super) socket: Option<(SocketId, Arc<str>)>,
    /// Of the result that he holds.
    pub(super) hash: u64,
    /// The commit that it shows.
    pub(super) seq: Seq,
    /// He was told, and has not come again.
    pub(super) is_stale: bool,
    /// He was told once, and has come again since: maybe of himself, while the frame was lost, and for one of several parts of his
    /// page that hold a result of this call.
    pub(super) was_told: bool,
    /// He was sent no result yet, and said which one he holds.
    pub(super) is_first: bool,
    /// What his answer depended on: a page knows no other tables.
    pub(super) told: Reads,
    pub(super) not_before_ms: u64,
}

/// Who holds a result: a session once, a socket under each name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum HolderKey {
    Session(Arc<str>),
    Socket(SocketId, Arc<str>),
}

impl Holder {
    fn key(&self) -> HolderKey {
        match &self.socket {
            Some((socket, id)) => HolderKey::Socket(*socket, Arc::clone(id)),
            None => HolderKey::Session(Arc::clone(&self.session)),
        }
    }
}

struct Query<P> {
    key: QueryKey,
    reads: Reads,
    /// The commit that its newest known result shows.
    seq: Seq,
    gate: Gate,
    payload: P,
    holders: HashMap<HolderKey, Holder>,
    /// Sockets among the holders.
    kept: usize,
    /// Tables that changed since its holders were last compared, and the newest commit of these.
    changed: Vec<Arc<str>>,
    changed_seq: Seq,
    /// A change of these was told to nobody: the run that is due decides.
    is_left_to_run: bool,
    is_due: bool,
    is_running: bool,
    changed_in_a_row: u8,
    unrun_in_a_row: u8,
}

/// All of them, by key and by what they depend on.
pub(super) struct Queries<P> {
    next: u64,
    all: HashMap<QueryId, Query<P>>,
    by_key: HashMap<QueryKey, QueryId>,
    readers: ReaderIndex<QueryId>,
}

impl<P> Default for Queries<P> {
    fn default() -> Self {
        Self { next: 0, all: HashMap::new(), by_key: HashMap::new(), readers: ReaderIndex::default() }
    }
}

impl<P: Clone> Queries<P> {
    /// Those that depend on the table.
    pub(super) fn of_table(&self, table: &str) -> HashSet<QueryId> {
        self.readers.of_table(table)
    }

    pub(super) fn count_of_table(&self, table: &str) -> usize {
        self.readers.count_of_table(table)
    }

    /// Those that may depend on a row that was changed.
    pub(super) fn affected(&self, write: &TableWrite) -> HashSet<QueryId> {
        self.readers.affected(write)
    }

    pub(super) fn all(&self) -> Vec<QueryId> {
        self.all.keys().copied().collect()
    }

    pub(super) fn holders(&self) -> usize {
        self.all.values().map(|query| query.holders.len()).sum()
    }

    pub(super) fn reads(&self, query: QueryId) -> Reads {
        self.all.get(&query).map(|query| query.reads.clone()).unwrap_or_default()
    }

    pub(super) fn seq(&self, query: QueryId) -> Seq {
        self.all.get(&query).map_or(Seq(0), |query| query.seq)
    }

    /// The query of this key, which depends on `reads` as of the commit `seq`.
    pub(super) fn get_or_make(
        &mut self,
        key: QueryKey,
        reads: &Reads,
        seq: Seq,
        gate: Gate,
        payload: P,
    ) -> QueryId {
        if let Some(id) = self.by_key.get(&key).copied() {
            let query = self.all.get_mut(&id).expect("BUG: a key names a query");
            query.payload = payload;
            if seq >= query.seq && seq > Seq(0) {
                self.refresh(id, reads, seq, gate);
            } else {
                // A result of an older state than the known one may depend on something else.
                self.add_reads(id, reads);
            }
            return id;
        }
        self.next += 1;
        let id = QueryId(self.next);
        self.by_key.insert(key.clone(), id);
        let query = Query {
            key,
            reads: Reads::default(),
            seq,
            gate,
            payload,
            holders: HashMap::new(),
            kept: 0,
            changed: Vec::new(),
            changed_seq: Seq(0),
            is_left_to_run: false,
            is_due: false,
            is_running: false,
            changed_in_a_row: 0,
            unrun_in_a_row: 0,
        };
        self.all.insert(id, query);
        self.set_reads(id, reads);
        id
    }

    /// What the query depends on, and how it is watched, by a result of the commit `seq`.
    pub(super) fn refresh(&mut self, id: QueryId, reads: &Reads, seq: Seq, gate: Gate) {
        match gate {
            Gate::Run => self.set_reads(id, reads),
            // Each holder may have been answered otherwise, from other tables.
            Gate::Open => {
                let told = self.all.get(&id).into_iter().flat_map(|query| query.holders.values());
                let all = told.fold(reads.clone(), |all, holder| all.union(&holder.told));
                self.set_reads(id, &all);
            }
        }
        if let Some(query) = self.all.get_mut(&id) {
            query.seq = query.seq.max(seq);
            query.gate = gate;
        }
    }

    /// It depends on this, too.
    pub(super) fn add_reads(&mut self, id: QueryId, reads: &Reads) {
        self.set_reads(id, &self.reads(id).union(reads));
    }

    /// It depends on all rows of its tables: which rows those are that it read is not known any more.
    pub(super) fn widen(&mut self, id: QueryId) {
        self.set_reads(id, &self.reads(id).widened());
    }

    fn set_reads(&mut self, id: QueryId, reads: &Reads) {
        let Some(query) = self.all.get_mut(&id) else { return };
        if query.reads == *reads {
            return;
        }
        let old = std::mem::replace(&mut query.reads, reads.clone());
        self.readers.remove(id, &old);
        self.readers.insert(id, reads);
    }

    /// Adds a holder; one of the same session, or socket and name, is replaced.
    pub(super) fn hold(&mut self, id: QueryId, holder: Holder) {
        let Some(query) = self.all.get_mut(&id) else { return };
        let is_socket = holder.socket.is_some();
        if query.holders.insert(holder.key(), holder).is_none() && is_socket {
            query.kept += 1;
        }
    }

    pub(super) fn holders_mut(&mut self, id: QueryId) -> impl Iterator<Item = &mut Holder> {
        self.all.get_mut(&id).into_iter().flat_map(|query| query.holders.values_mut())
    }

    pub(super) fn note_changed(&mut self, id: QueryId, table: &Arc<str>, seq: Seq) {
        let Some(query) = self.all.get_mut(&id) else { return };
        if !query.changed.contains(table) {
            query.changed.push(Arc::clone(table));
        }
        query.changed_seq = query.changed_seq.max(seq);
    }

    pub(super) fn changed(&self, id: QueryId) -> (Vec<Arc<str>>, Seq) {
        self.all.get(&id).map_or_else(Default::default, |query| (query.changed.clone(), query.changed_seq))
    }

    /// Returns whether a change was left to the run that is over.
    pub(super) fn forget_changed(&mut self, id: QueryId) -> bool {
        let Some(query) = self.all.get_mut(&id) else { return false };
        query.changed.clear();
        std::mem::take(&mut query.is_left_to_run)
    }

    /// Who holds its result is told of the change by the next run.
    pub(super) fn leave_to_run(&mut self, id: QueryId) {
        if let Some(query) = self.all.get_mut(&id) {
            query.is_left_to_run = true;
        }
    }

    /// Whether running it again is what finds out.
    pub(super) fn may_be_gated(&self, id: QueryId) -> bool {
        let is_gated =
            |query: &Query<P>| query.gate == Gate::Run && query.changed_in_a_row < CHANGED_IN_A_ROW_MAX;
        self.all.get(&id).is_some_and(is_gated)
    }

    /// Whether a socket keeps its result.
    pub(super) fn is_kept(&self, id: QueryId) -> bool {
        self.all.get(&id).is_some_and(|query| query.kept > 0)
    }

    /// The tables that the session knows the result by, if it was told once. It counts as told anew.
    pub(super) fn tell_again(&mut self, id: QueryId, session: &Arc<str>) -> Option<Vec<Arc<str>>> {
        let holders = &mut self.all.get_mut(&id)?.holders;
        let holder = holders.get_mut(&HolderKey::Session(Arc::clone(session)))?;
        holder.is_stale |= holder.was_told;
        holder.is_stale.then(|| holder.told.tables().cloned().collect())
    }

    /// What the session holds of it.
    pub(super) fn held_by(&self, id: QueryId, session: &Arc<str>) -> Option<&Holder> {
        self.all.get(&id)?.holders.get(&HolderKey::Session(Arc::clone(session)))
    }

    /// What it is of, and what it takes to run it.
    pub(super) fn get(&self, id: QueryId) -> Option<(QueryKey, P)> {
        self.all.get(&id).map(|query| (query.key.clone(), query.payload.clone()))
    }

    /// Whether somebody who was not told yet holds its result, or a socket keeps it.
    pub(super) fn is_awaited(&self, id: QueryId) -> bool {
        let is_awaited = |holder: &Holder| holder.socket.is_some() || !holder.is_stale;
        self.all.get(&id).is_some_and(|query| query.holders.values().any(is_awaited))
    }

    /// True if it is to be listed as due: it is not yet, and does not run either.
    pub(super) fn make_due(&mut self, id: QueryId) -> bool {
        let Some(query) = self.all.get_mut(&id) else { return false };
        !std::mem::replace(&mut query.is_due, true) && !query.is_running
    }

    /// What it takes to run it, unless nobody holds its result any more.
    pub(super) fn begin_run(&mut self, id: QueryId) -> Option<(QueryKey, P)> {
        let query = self.all.get_mut(&id)?;
        query.is_due = false;
        query.is_running = true;
        Some((query.key.clone(), query.payload.clone()))
    }

    /// Whether it became due meanwhile; `None` if nobody holds it any more.
    pub(super) fn end_run(&mut self, id: QueryId) -> Option<bool> {
        let query = self.all.get_mut(&id)?;
        query.is_running = false;
        Some(std::mem::take(&mut query.is_due))
    }

    /// Its result was compared, and differed or not.
    pub(super) fn ran(&mut self, id: QueryId, differed: bool) {
        if let Some(query) = self.all.get_mut(&id) {
            query.changed_in_a_row = if differed { query.changed_in_a_row.saturating_add(1) } else { 0 };
        }
    }

    /// All who hold its result were told without a run.
    pub(super) fn unrun(&mut self, id: QueryId) {
        let Some(query) = self.all.get_mut(&id) else { return };
        query.changed.clear();
        query.is_left_to_run = false;
        query.unrun_in_a_row = query.unrun_in_a_row.saturating_add(1);
        if query.unrun_in_a_row >= UNRUN_IN_A_ROW_MAX {
            query.unrun_in_a_row = 0;
            query.changed_in_a_row = 0;
        }
    }

    pub(super) fn release(&mut self, id: QueryId, session: &Arc<str>) {
        if let Some(query) = self.all.get_mut(&id) {
            query.holders.remove(&HolderKey::Session(Arc::clone(session)));
        }
        self.drop_if_unheld(id);
    }

    pub(super) fn release_socket(&mut self, id: QueryId, socket: SocketId, name: &Arc<str>) {
        if let Some(query) = self.all.get_mut(&id) {
            let held = query.holders.remove(&HolderKey::Socket(socket, Arc::clone(name)));
            query.kept -= usize::from(held.is_some());
        }
        self.drop_if_unheld(id);
    }

    fn drop_if_unheld(&mut self, id: QueryId) {
        if self.all.get(&id).is_none_or(|query| !query.holders.is_empty()) {
            return;
        }
        if let Some(query) = self.all.remove(&id) {
            self.by_key.remove(&query.key);
            self.readers.remove(id, &query.reads);
        }
    }
}
