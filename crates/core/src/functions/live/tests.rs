//! Who is told of what, and that nobody is forgotten.

use super::*;

type Live = LiveQueries<()>;

const LIMITS: SessionLimits = SessionLimits { subscriptions: 3, sockets: 2 };

fn names(names: &[&str]) -> Vec<Arc<str>> {
    names.iter().map(|name| Arc::from(*name)).collect()
}

fn key(function: &str) -> QueryKey {
    QueryKey { function: function.into(), args: "{}".into(), user: None }
}

fn registration(session: &str, function: &str, tables: &[&str], hash: u64, seq: u64) -> Registration<()> {
    Registration {
        session: session.into(),
        key: key(function),
        tables: names(tables).into(),
        hash,
        seq: Seq(seq),
        gate: Gate::Run,
        not_before_ms: 0,
        payload: (),
    }
}

fn evaluated(tables: &[&str], hash: u64, seq: u64) -> Evaluated {
    Evaluated { tables: names(tables).into(), hash, seq: Seq(seq), gate: Gate::Run }
}

/// Runs what is due; all results have this hash.
fn run(live: &mut Live, tables: &[&str], hash: u64, seq: u64, now_ms: u64) -> usize {
    let due = live.take_due();
    for (query, ..) in &due {
        live.evaluated(*query, &evaluated(tables, hash, seq), now_ms);
    }
    due.len()
}

fn told(live: &mut Live, now_ms: u64) -> Vec<(u64, Vec<String>, u64)> {
    let frames = live.take_outputs(now_ms).into_iter().filter_map(|output| match output {
        LiveOutput::Invalidate { socket, tables, seq } => {
            Some((socket.0, tables.iter().map(|table| (**table).to_owned()).collect(), seq.0))
        }
        LiveOutput::Result { .. } => None,
    });
    frames.collect()
}

// Verifies: FUN-23, FUN-27, FUN-30
#[test]
fn who_holds_a_result_that_differs_is_told_once_and_others_are_not() {
    let mut live = Live::new(Seq(1), LIMITS);
    live.connect(&"s1".into(), SocketId(1), 0);
    live.connect(&"s2".into(), SocketId(2), 0);
    live.register(registration("s1", "users", &["users"], 10, 1), 0);
    live.register(registration("s2", "users", &["users"], 11, 1), 0);
    live.committed(Seq(2), &names(&["posts"]), &[], 0);
    assert!(!live.has_due(), "another table");
    live.committed(Seq(3), &names(&["users"]), &[], 0);
    live.committed(Seq(4), &names(&["users"]), &[], 0);
    assert_eq!(run(&mut live, &["users"], 11, 4, 0), 1, "one run for all who hold it, and for both commits");
    assert_eq!(told(&mut live, 9), [], "commits are gathered");
    assert_eq!(told(&mut live, 10), [(1, vec!["users".to_owned()], 4)]);
    assert_eq!(told(&mut live, 1000), []);
    // Who did not come again is told of the next change without a run.
    live.committed(Seq(5), &names(&["users"]), &[], 1000);
    assert_eq!(run(&mut live, &["users"], 11, 5, 1000), 1, "the other one still holds a result");
    assert_eq!(told(&mut live, 1010), [(1, vec!["users".to_owned()], 5)]);
}

// Verifies: FUN-24
#[test]
fn what_changed_while_an_answer_was_on_its_way_is_told_and_not_before_its_time() {
    let mut live = Live::new(Seq(1), LIMITS);
    live.connect(&"s".into(), SocketId(1), 0);
    live.committed(Seq(2), &names(&["users"]), &[], 0);
    live.register(Registration { not_before_ms: 200, ..registration("s", "users", &["users"], 10, 1) }, 0);
    assert_eq!(run(&mut live, &["users"], 12, 2, 5), 1);
    assert_eq!(told(&mut live, 199), []);
    assert_eq!(told(&mut live, 200), [(1, vec!["users".to_owned()], 2)]);
}

// Verifies: FUN-25, FUN-26
#[test]
fn a_session_outlives_its_sockets_for_a_while_and_is_told_what_it_missed() {
    let mut live = Live::new(Seq(1), LIMITS);
    live.register(registration("s", "users", &["users"], 10, 1), 0);
    live.committed(Seq(2), &names(&["users"]), &[], 0);
    run(&mut live, &["users"], 12, 2, 5);
    assert_eq!(told(&mut live, 50_000), [], "it has no socket yet");
    assert_eq!(live.connect(&"s".into(), SocketId(1), 50_000), None);
    assert_eq!(told(&mut live, 50_000), [(1, vec!["users".to_owned()], 2)]);
    assert_eq!(live.connect(&"s".into(), SocketId(2), 50_000), None);
    assert_eq!(
        live.connect(&"s".into(), SocketId(3), 50_000),
        Some(SocketId(1)),
        "the oldest of too many goes"
    );
    live.disconnect(SocketId(1), 50_000);
    live.register(registration("s", "users", &["users"], 12, 2), 50_000);
    live.committed(Seq(3), &names(&["users"]), &[], 50_000);
    run(&mut live, &["users"], 13, 3, 50_000);
    let frames = told(&mut live, 50_010);
    assert_eq!(frames.iter().map(|(socket, ..)| *socket).collect::<Vec<_>>(), [2, 3]);
    live.disconnect(SocketId(2), 60_000);
    live.disconnect(SocketId(3), 60_000);
    told(&mut live, 119_999);
    assert!(!live.is_empty());
    told(&mut live, 121_000);
    assert!(live.is_empty());
    assert_eq!(live.counts(), (0, 0));
}

// Verifies: FUN-28, FUN-29, FUN-31
#[test]
fn names_deploys_and_what_cannot_be_run_again_tell_at_once() {
    let mut live = Live::new(Seq(1), LIMITS);
    live.connect(&"s".into(), SocketId(1), 0);
    live.register(registration("s", "named", &["users", "anything"], 10, 1), 0);
    live.register(Registration { gate: Gate::Open, ..registration("s", "open", &["posts"], 10, 1) }, 0);
    live.committed(Seq(2), &[], &names(&["anything"]), 0);
    assert!(!live.has_due());
    assert_eq!(told(&mut live, 10), [(1, vec!["anything".to_owned()], 2)]);
    live.committed(Seq(3), &names(&["posts"]), &[], 20);
    assert!(!live.has_due());
    assert_eq!(told(&mut live, 30), [(1, vec!["posts".to_owned()], 3)]);
    live.reset(Seq(4), 40);
    let mut all = told(&mut live, 50).remove(0).1;
    all.sort();
    assert_eq!(all, ["anything", "posts", "users"]);
    // A result of before the deployment is old, whatever its tables.
    live.register(registration("s", "other", &["things"], 10, 3), 60);
    assert!(live.has_due());
}

// Verifies: FUN-36
#[test]
fn a_socket_is_sent_each_result_that_differs_until_it_says_so() {
    let mut live = Live::new(Seq(1), LIMITS);
    live.connect(&"s".into(), SocketId(1), 0);
    assert!(live.subscribe(SocketId(1), &"a".into(), key("users"), Some(7), ()));
    let run = |live: &mut Live, hash, seq| {
        let due = live.take_due();
        assert_eq!(due.len(), 1);
        live.evaluated(due[0].0, &evaluated(&["users"], hash, seq), 0).outputs
    };
    let sent = |same| [LiveOutput::Result { socket: SocketId(1), id: "a".into(), same }];
    assert_eq!(run(&mut live, 7, 1), sent(true), "the first one, even if the client holds it");
    live.committed(Seq(2), &names(&["users"]), &[], 0);
    assert_eq!(run(&mut live, 7, 2), []);
    live.committed(Seq(3), &names(&["users"]), &[], 0);
    assert_eq!(run(&mut live, 8, 3), sent(false));
    assert_eq!(told(&mut live, 1000), [], "it is not told of tables beside");
    live.unsubscribe(SocketId(1), "a");
    live.committed(Seq(4), &names(&["users"]), &[], 0);
    assert!(!live.has_due());
    for id in ["a", "b", "c"] {
        assert!(live.subscribe(SocketId(1), &id.into(), key(id), None, ()));
    }
    assert!(!live.subscribe(SocketId(1), &"d".into(), key("d"), None, ()), "too many");
    live.disconnect(SocketId(1), 0);
    assert_eq!(live.counts(), (0, 0));
}

// Verifies: FUN-24, FUN-30
#[test]
fn a_run_that_is_older_than_what_somebody_holds_decides_nothing() {
    let mut live = Live::new(Seq(1), LIMITS);
    live.connect(&"s".into(), SocketId(1), 0);
    live.register(registration("s", "users", &["users"], 10, 1), 0);
    live.committed(Seq(2), &names(&["users"]), &[], 0);
    let (query, ..) = live.take_due().remove(0);
    live.committed(Seq(3), &names(&["users"]), &[], 0);
    live.register(registration("s", "users", &["users", "teams"], 30, 3), 0);
    assert_eq!(live.evaluated(query, &evaluated(&["users"], 20, 2), 0), Compared::default());
    live.committed(Seq(4), &names(&["teams"]), &[], 0);
    assert_eq!(run(&mut live, &["users", "teams"], 40, 4, 0), 1);
    assert_eq!(told(&mut live, 10), [(1, vec!["users".to_owned(), "teams".to_owned()], 4)]);
}

/// A database of some tables whose rows are counters, and queries that add some up: whatever happens in which order, who
/// was not told holds what a fresh run gives (FUN-35).
#[test]
fn no_push_means_that_a_fresh_run_equals_what_is_held() {
    for seed in 1..400_u64 {
        simulate(seed);
    }
}

struct Draw(u64);

impl Draw {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

fn simulate(seed: u64) {
    const TABLES: [&str; 4] = ["a", "b", "c", "d"];
    let mut draw = Draw(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let mut history = vec![[0_u64; 4]];
    // Query q reads table q, and table q + 1 where the counter of q is odd: its tables change with the rows.
    let result = |rows: &[u64; 4], query: usize| {
        let next = (query + 1) % 4;
        let odd = rows[query] % 2 == 1;
        let tables = if odd { vec![TABLES[query], TABLES[next]] } else { vec![TABLES[query]] };
        // Small numbers, so that a change often gives the same result.
        (tables, 1 + (rows[query] / 2 + if odd { rows[next] } else { 0 }) % 3)
    };
    let mut live = Live::new(Seq(0), SessionLimits { subscriptions: 100, sockets: 2 });
    // Of each session and query: the hash it holds; `None`: it knows that it must ask again.
    let mut held: HashMap<(u64, usize), Option<u64>> = HashMap::new();
    let mut running = Vec::new();
    let mut now_ms = 0;
    for session in 0..3 {
        live.connect(&format!("s{session}").into(), SocketId(session), 0);
    }
    let take =
        |live: &mut Live, held: &mut HashMap<(u64, usize), Option<u64>>, history: &[[u64; 4]], now_ms| {
            for output in live.take_outputs(now_ms) {
                let LiveOutput::Invalidate { socket, tables, .. } = output else { continue };
                for ((session, query), hash) in held.iter_mut() {
                    // A page asks again for what it knows to depend on the table; here: in any state of the rows.
                    let depends = history.iter().any(|rows| {
                        result(rows, *query).0.iter().any(|table| tables.iter().any(|told| **told == **table))
                    });
                    if *session == socket.0 && depends {
                        *hash = None;
                    }
                }
            }
        };
    for _ in 0..60 {
        now_ms += draw.below(15);
        match draw.below(5) {
            0 | 1 => {
                let mut rows = *history.last().expect("begins with one");
                let table = draw.below(4) as usize;
                rows[table] += 1;
                history.push(rows);
                live.committed(Seq(history.len() as u64 - 1), &names(&[TABLES[table]]), &[], now_ms);
            }
            2 => {
                // A client asks; its answer may have been made some commits ago.
                let (session, query) = (draw.below(3), draw.below(4) as usize);
                let seq = history.len() as u64 - 1 - draw.below(history.len().min(3) as u64);
                let (tables, hash) = result(&history[seq as usize], query);
                live.register(
                    registration(&format!("s{session}"), &query.to_string(), &tables, hash, seq),
                    now_ms,
                );
                held.insert((session, query), Some(hash));
            }
            3 => {
                let seq = history.len() as u64 - 1;
                running.extend(live.take_due().into_iter().map(|(id, key, ())| (id, key, seq)));
            }
            _ if !running.is_empty() => {
                let (id, key, seq) = running.remove(draw.below(running.len() as u64) as usize);
                if draw.below(8) == 0 {
                    live.not_run(id, now_ms);
                } else {
                    let (tables, hash) =
                        result(&history[seq as usize], key.function.parse().expect("a number"));
                    live.evaluated(id, &evaluated(&tables, hash, seq), now_ms);
                }
            }
            _ => {}
        }
        take(&mut live, &mut held, &history, now_ms);
    }
    let seq = history.len() as u64 - 1;
    for _ in 0..20 {
        running.extend(live.take_due().into_iter().map(|(id, key, ())| (id, key, seq)));
        for (id, key, seq) in running.drain(..) {
            let (tables, hash) = result(&history[seq as usize], key.function.parse().expect("a number"));
            live.evaluated(id, &evaluated(&tables, hash, seq), now_ms);
        }
        now_ms += 1000;
        take(&mut live, &mut held, &history, now_ms);
    }
    for ((session, query), hash) in &held {
        let fresh = result(history.last().expect("begins with one"), *query).1;
        assert!(
            hash.is_none_or(|hash| hash == fresh),
            "seed {seed}: session {session} was not told of query {query}"
        );
    }
}

// Verifies: FUN-33
#[test]
fn a_kept_result_holds_until_a_table_of_it_changes_and_all_results_fit_their_memory() {
    let used = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let mut cache = ResultCache::new(Arc::clone(&used), 10_000);
    let mut changes = TableChanges::new(Seq(1));
    let result = |bytes: usize, seq| CachedResult {
        data: Some("x".repeat(bytes).into()),
        hash: "h".into(),
        tables: names(&["users"]).into(),
        seq: Seq(seq),
        warnings: Arc::from([]),
    };
    cache.put(key("f"), result(10, 1));
    assert!(cache.get(&key("f"), &changes).is_some());
    changes.committed(Seq(2), names(&["posts"]).iter());
    assert!(cache.get(&key("f"), &changes).is_some());
    changes.committed(Seq(3), names(&["users"]).iter());
    assert!(cache.get(&key("f"), &changes).is_none());
    for number in 0..100 {
        cache.put(key(&number.to_string()), result(900, 3));
        assert!(used.load(std::sync::atomic::Ordering::Relaxed) <= 10_000);
    }
    assert!(cache.get(&key("99"), &changes).is_some());
    for _ in 0..1000 {
        cache.put(key("again"), result(10, 3));
    }
    assert!(cache.get(&key("again"), &changes).is_some() && cache.get(&key("99"), &changes).is_some());
    assert!(cache.get(&key("1"), &changes).is_none());
    cache.put(key("large"), result(9_000, 3));
    assert!(cache.get(&key("large"), &changes).is_none());
    drop(cache);
    assert_eq!(used.load(std::sync::atomic::Ordering::Relaxed), 0);
}

// Verifies: FUN-27, FUN-35
#[test]
fn a_page_is_told_of_tables_that_its_answer_named() {
    let mut live = Live::new(Seq(1), LIMITS);
    live.connect(&"s".into(), SocketId(1), 0);
    live.register(registration("s", "drift", &["kv", "a"], 10, 1), 0);
    live.committed(Seq(2), &names(&["kv"]), &[], 0);
    assert_eq!(run(&mut live, &["kv", "b"], 10, 2, 0), 1, "the same result, from other tables");
    assert_eq!(told(&mut live, 100), []);
    live.committed(Seq(3), &names(&["b"]), &[], 100);
    assert_eq!(run(&mut live, &["kv", "b"], 11, 3, 100), 1);
    assert_eq!(told(&mut live, 200), [(1, vec!["kv".to_owned(), "a".to_owned()], 3)]);
}

// Verifies: FUN-28, FUN-29, FUN-31, FUN-36
#[test]
fn what_a_socket_keeps_is_run_whatever_changed_and_told_after_a_failure() {
    let mut live = Live::new(Seq(1), LIMITS);
    live.connect(&"s".into(), SocketId(1), 0);
    live.connect(&"page".into(), SocketId(2), 0);
    assert!(live.subscribe(SocketId(1), &"a".into(), key("f"), None, ()));
    let due = |live: &mut Live| live.take_due().into_iter().map(|(query, ..)| query).next();
    let open = |hash, seq| Evaluated { gate: Gate::Open, ..evaluated(&["t", "named"], hash, seq) };
    let query = due(&mut live).unwrap();
    live.evaluated(query, &open(1, 1), 0);
    // A page holds the result of the same function, which depends on more than tables: it is told unrun.
    live.register(Registration { gate: Gate::Open, ..registration("page", "f", &["t", "named"], 5, 1) }, 0);
    live.committed(Seq(2), &names(&["t"]), &[], 0);
    assert_eq!(told(&mut live, 10), [(2, vec!["t".to_owned()], 2)]);
    let query = due(&mut live).unwrap();
    assert_eq!(live.not_run(query, 10).len(), 1, "it failed");
    live.committed(Seq(3), &[], &names(&["named"]), 20);
    let query = due(&mut live).unwrap();
    assert_eq!(live.evaluated(query, &open(1, 3), 20).outputs.len(), 1, "the same as before the failure");
    live.reset(Seq(4), 30);
    assert!(due(&mut live).is_some(), "other functions may give another result");
}
