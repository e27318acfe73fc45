//! The sessions of clients: their sockets, and what they have not been told yet.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::Arc,
};

use ferry_types::Seq;

use super::{EDGEPOD_GRACE_MS, GATHER_MS, LiveOutput, QueryId, SESSION_LINGER_MS};

/// A socket of a hub.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SocketId(pub u64);

/// What one session may hold (specification, 2.5).
#[derive(Clone, Copy, Debug)]
pub struct SessionLimits {
    /// Subscriptions.
    pub subscriptions: usize,
    /// Sockets.
    pub sockets: usize,
}

/// How often sessions without sockets are looked at, milliseconds.
const EXPIRY_CHECK_MS: u64 = 1_000;

/// Sessions without sockets beyond which each lives for less long: ids cost whoever invents them nothing.
const CROWD: usize = 10_000;
/// So long, milliseconds.
const CROWD_LINGER_MS: u64 = 5_000;

/// Sessions that are forgotten at once; others have their turn in between.
const EXPIRED_AT_ONCE: usize = 500;

struct Session {
    sockets: Vec<SocketId>,
    /// Since when it has no socket.
    alone_since_ms: Option<u64>,
    /// What it holds, oldest first.
    held: VecDeque<HeldQuery>,
    pending: Vec<Pending>,
    pending_seq: Seq,
    /// When it was told last.
    told_ms: u64,
    /// Tables of results that its page shows and that are not held, since they are too many: it is told of each change.
    crowded: Vec<Arc<str>>,
}

/// A query that a session holds a result of.
struct HeldQuery {
    query: QueryId,
    /// Which function and arguments it is of.
    call: u64,
}

/// What a session holds no more.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Dropped {
    /// Another result of the same call, of whom its page was before: a token that was renewed, a result that depends on its
    /// user by now.
    Replaced(QueryId),
    /// The oldest, since it holds too many.
    Oldest(QueryId),
}

/// A table that the session is to be told of.
struct Pending {
    table: Arc<str>,
    first_ms: u64,
    due_ms: u64,
}

pub(super) struct Sessions {
    limits: SessionLimits,
    all: HashMap<Arc<str>, Session>,
    of_socket: HashMap<SocketId, Arc<str>>,
    /// Those with sockets that are to be told something.
    told: HashSet<Arc<str>>,
    /// By table: the sessions that show results of it which they do not hold.
    crowded: HashMap<Arc<str>, HashSet<Arc<str>>>,
    alone: usize,
    checked_ms: u64,
}

impl Sessions {
    pub(super) fn new(limits: SessionLimits) -> Self {
        Self {
            limits,
            all: HashMap::new(),
            of_socket: HashMap::new(),
            told: HashSet::new(),
            crowded: HashMap::new(),
            alone: 0,
            checked_ms: 0,
        }
    }

    pub(super) const fn limits(&self) -> SessionLimits {
        self.limits
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    pub(super) fn sockets(&self) -> usize {
        self.of_socket.len()
    }

    fn get_or_make(&mut self, id: &Arc<str>, now_ms: u64) -> &mut Session {
        let alone = &mut self.alone;
        self.all.entry(Arc::clone(id)).or_insert_with(|| {
            *alone += 1;
            Session {
                sockets: Vec::new(),
                alone_since_ms: Some(now_ms),
                held: VecDeque::new(),
                pending: Vec::new(),
                pending_seq: Seq(0),
                told_ms: 0,
                crowded: Vec::new(),
            }
        })
    }

    /// The session shows results of these tables that it does not hold. Returns the tables of which that is new.
    pub(super) fn crowd(&mut self, id: &Arc<str>, tables: &[Arc<str>]) -> Vec<Arc<str>> {
        let Some(session) = self.all.get_mut(id) else { return Vec::new() };
        let mut new = Vec::new();
        for table in tables {
            if !session.crowded.contains(table) {
                session.crowded.push(Arc::clone(table));
                self.crowded.entry(Arc::clone(table)).or_default().insert(Arc::clone(id));
                new.push(Arc::clone(table));
            }
        }
        new
    }

    /// A commit changed the table: sessions that show results of it which they do not hold are told.
    pub(super) fn tell_crowded(&mut self, table: &Arc<str>, seq: Seq, now_ms: u64) {
        let Some(sessions) = self.crowded.get(table) else { return };
        for id in sessions.clone() {
            self.tell(&id, std::slice::from_ref(table), seq, now_ms + EDGEPOD_GRACE_MS, now_ms);
        }
    }

    /// The tables of results that sessions show and do not hold.
    pub(super) fn crowded_tables(&self) -> Vec<Arc<str>> {
        self.crowded.keys().cloned().collect()
    }

    /// The sessions that have a socket, or had one a moment ago, and the tables of results that they do not hold.
    pub(super) fn all(&self) -> impl Iterator<Item = (&Arc<str>, &[Arc<str>])> {
        self.all.iter().map(|(id, session)| (id, &*session.crowded))
    }

    /// A session of this id is waited for.
    pub(super) fn expect(&mut self, id: &Arc<str>, now_ms: u64) {
        self.get_or_make(id, now_ms);
    }

    /// The query of which the session holds the result of this call.
    pub(super) fn holds(&self, id: &Arc<str>, call: u64) -> Option<QueryId> {
        let held = &self.all.get(id)?.held;
        held.iter().find(|held| held.call == call).map(|held| held.query)
    }

    /// The session holds a result of this query, which is of the call `call`; of each call it holds one.
    pub(super) fn held(&mut self, id: &Arc<str>, query: QueryId, call: u64, now_ms: u64) -> Option<Dropped> {
        let max = self.limits.subscriptions;
        let session = self.get_or_make(id, now_ms);
        if session.alone_since_ms.is_some() {
            session.alone_since_ms = Some(now_ms);
        }
        let place = session.held.iter().position(|held| held.call == call);
        let before = place.and_then(|place| session.held.remove(place)).map(|held| held.query);
        session.held.push_back(HeldQuery { query, call });
        if let Some(before) = before {
            return (before != query).then_some(Dropped::Replaced(before));
        }
        let is_full = session.held.len() > max;
        let oldest = if is_full { session.held.pop_front() } else { None };
        oldest.map(|held| Dropped::Oldest(held.query))
    }

    /// What the session holds.
    pub(super) fn held_by(&self, id: &Arc<str>) -> Vec<QueryId> {
        self.all
            .get(id)
            .map(|session| session.held.iter().map(|held| held.query).collect())
            .unwrap_or_default()
    }

    /// `tables` were changed by commits up to `seq`; to be told `not_before_ms`, and a moment after it was told something before,
    /// so that many commits are one frame and a single one does not wait.
    pub(super) fn tell(
        &mut self,
        id: &Arc<str>,
        tables: &[Arc<str>],
        seq: Seq,
        not_before_ms: u64,
        now_ms: u64,
    ) {
        let Some(session) = self.all.get_mut(id) else { return };
        session.pending_seq = session.pending_seq.max(seq);
        let due_ms = not_before_ms.max(session.told_ms + GATHER_MS);
        for table in tables {
            match session.pending.iter_mut().find(|pending| pending.table == *table) {
                // Whoever asks again and again is told all the same.
                Some(known) => {
                    known.due_ms = known.due_ms.max(due_ms).min(known.first_ms + 2 * EDGEPOD_GRACE_MS);
                }
                None => {
                    session.pending.push(Pending { table: Arc::clone(table), first_ms: now_ms, due_ms });
                }
            }
        }
        if !session.sockets.is_empty() && !session.pending.is_empty() {
            self.told.insert(Arc::clone(id));
        }
    }

    pub(super) fn connect(&mut self, id: &Arc<str>, socket: SocketId, now_ms: u64) -> Option<SocketId> {
        let max = self.limits.sockets;
        let session = self.get_or_make(id, now_ms);
        let was_alone = session.alone_since_ms.take().is_some();
        session.sockets.push(socket);
        let oldest = (session.sockets.len() > max).then(|| session.sockets[0]);
        // What was missed without a socket is told at once (FUN-25).
        let is_told = was_alone && !session.pending.is_empty();
        if is_told {
            session.pending.iter_mut().for_each(|pending| pending.due_ms = now_ms);
        }
        self.alone -= usize::from(was_alone);
        if is_told {
            self.told.insert(Arc::clone(id));
        }
        self.of_socket.insert(socket, Arc::clone(id));
        oldest
    }

    pub(super) fn session_of(&self, socket: SocketId) -> Arc<str> {
        self.of_socket.get(&socket).cloned().unwrap_or_else(|| Arc::from(""))
    }

    pub(super) fn disconnect(&mut self, socket: SocketId, now_ms: u64) {
        let Some(id) = self.of_socket.remove(&socket) else { return };
        let Some(session) = self.all.get_mut(&id) else { return };
        session.sockets.retain(|known| *known != socket);
        if session.sockets.is_empty() {
            session.alone_since_ms = Some(now_ms);
            self.alone += 1;
            self.told.remove(&id);
        }
    }

    /// Forgets the sessions that have had no socket for long, and tells what they held.
    pub(super) fn expire(&mut self, now_ms: u64) -> Vec<(Arc<str>, Vec<QueryId>)> {
        if self.alone == 0 || now_ms < self.checked_ms + EXPIRY_CHECK_MS {
            return Vec::new();
        }
        let linger_ms = if self.alone > CROWD { CROWD_LINGER_MS } else { SESSION_LINGER_MS };
        let is_over =
            |session: &Session| session.alone_since_ms.is_some_and(|since| since + linger_ms <= now_ms);
        let over = self.all.iter().filter(|(_, session)| is_over(session)).map(|(id, _)| Arc::clone(id));
        let over: Vec<Arc<str>> = over.take(EXPIRED_AT_ONCE).collect();
        if over.len() < EXPIRED_AT_ONCE {
            self.checked_ms = now_ms;
        }
        self.alone -= over.len();
        over.into_iter()
            .filter_map(|id| {
                let session = self.all.remove(&id)?;
                for table in &session.crowded {
                    if let Some(sessions) = self.crowded.get_mut(table) {
                        sessions.remove(&id);
                    }
                }
                self.crowded.retain(|_, sessions| !sessions.is_empty());
                Some((id, session.held.into_iter().map(|held| held.query).collect()))
            })
            .collect()
    }

    /// What is due to be told, one frame per socket.
    pub(super) fn take_due(&mut self, now_ms: u64) -> Vec<LiveOutput> {
        let mut outputs = Vec::new();
        let all = &mut self.all;
        self.told.retain(|id| {
            let Some(session) = all.get_mut(id) else { return false };
            let mut tables = Vec::new();
            session.pending.retain(|pending| {
                let is_due = pending.due_ms <= now_ms;
                if is_due {
                    tables.push(Arc::clone(&pending.table));
                }
                !is_due
            });
            if !tables.is_empty() {
                session.told_ms = now_ms;
                outputs.extend(session.sockets.iter().map(|socket| LiveOutput::Invalidate {
                    socket: *socket,
                    tables: tables.clone(),
                    seq: session.pending_seq,
                }));
            }
            !session.pending.is_empty()
        });
        outputs
    }

    pub(super) fn due_ms(&self) -> Option<u64> {
        let pending = self.told.iter().filter_map(|id| self.all.get(id));
        let told = pending.flat_map(|session| session.pending.iter().map(|pending| pending.due_ms)).min();
        let expiry = (self.alone > 0).then_some(self.checked_ms + EXPIRY_CHECK_MS);
        [told, expiry].into_iter().flatten().min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Verifies: FUN-25
    #[test]
    fn of_very_many_sessions_without_sockets_the_old_ones_are_forgotten_early() {
        let mut sessions = Sessions::new(SessionLimits { subscriptions: 3, sockets: 2 });
        for number in 0..CROWD {
            sessions.get_or_make(&format!("s{number}").into(), 1_000);
        }
        let over = |sessions: &mut Sessions, now_ms| {
            std::iter::from_fn(|| Some(sessions.expire(now_ms).len()).filter(|count| *count > 0))
                .sum::<usize>()
        };
        assert_eq!(over(&mut sessions, 30_000), 0, "so many live for a minute");
        sessions.get_or_make(&"one more".into(), 31_000);
        let forgotten = over(&mut sessions, 32_000);
        assert!((1..=CROWD).contains(&forgotten), "{forgotten}");
        assert!(sessions.all.contains_key("one more"));
        assert_eq!(sessions.alone, CROWD + 1 - forgotten);
    }

    // Verifies: FUN-27
    #[test]
    fn a_single_change_is_told_at_once_and_many_are_one_frame() {
        let mut sessions = Sessions::new(SessionLimits { subscriptions: 3, sockets: 2 });
        let (id, users) = (Arc::<str>::from("s"), [Arc::<str>::from("users")]);
        sessions.connect(&id, SocketId(1), 1_000);
        sessions.tell(&id, &users, Seq(1), 0, 1_000);
        assert_eq!(sessions.take_due(1_000).len(), 1);
        for now_ms in [1_001, 1_005, 1_009] {
            sessions.tell(&id, &users, Seq(now_ms), 0, now_ms);
            assert!(sessions.take_due(now_ms).is_empty(), "it was told a moment ago");
        }
        assert_eq!(sessions.take_due(1_000 + GATHER_MS).len(), 1);
    }
}
