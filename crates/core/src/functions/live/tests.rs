//! Who is told of what, and that nobody is forgotten.

mod simulation;
mod told_late;

use super::*;

type Live = LiveQueries<()>;

const LIMITS: SessionLimits = SessionLimits { subscriptions: 3, sockets: 2 };

fn names(names: &[&str]) -> Vec<Arc<str>> {
    names.iter().map(|name| Arc::from(*name)).collect()
}

fn whole(tables: &[&str]) -> Reads {
    Reads::whole(names(tables))
}

fn writes(tables: &[&str]) -> Vec<TableWrite> {
    names(tables).into_iter().map(TableWrite::any).collect()
}

fn key(function: &str) -> QueryKey {
    QueryKey { function: function.into(), args: "{}".into(), user: None }
}

fn registration(session: &str, function: &str, tables: &[&str], hash: u64, seq: u64) -> Registration<()> {
    Registration {
        session: session.into(),
        key: key(function),
        reads: whole(tables),
        hash,
        seq: Seq(seq),
        gate: Gate::Run,
        not_before_ms: 0,
        payload: (),
    }
}

fn evaluated(tables: &[&str], hash: u64, seq: u64) -> Evaluated {
    Evaluated { reads: whole(tables), hash, seq: Seq(seq), gate: Gate::Run }
}

/// Runs what is due; all results have this hash.
fn run(live: &mut Live, tables: &[&str], hash: u64, seq: u64, now_ms: u64) -> usize {
    let due = live.take_due();
    for (query, ..) in &due {
        live.evaluated(*query, &evaluated(tables, hash, seq), now_ms);
    }
    due.len()
}

fn number(number: usize) -> ColumnKey {
    ColumnKey::Integer(i64::try_from(number).expect("it is small"))
}

/// The row of a table whose second column holds this; told as a point or as a span.
fn one_row(counter: usize) -> TableRead {
    let key = number(counter);
    let keys = if counter.is_multiple_of(2) {
        ColumnKeys::Points([key].into())
    } else {
        ColumnKeys::Span(std::ops::Bound::Included(key.clone()), std::ops::Bound::Included(key))
    };
    let range = KeyRange([Condition { column: 1, keys }].into());
    TableRead { table: "rows".into(), rows: RowsRead::Of([range].into()) }
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

// Each renewed token left another holder behind, which was told of every commit for ever.
// Verifies: FUN-23, FUN-31
#[test]
fn a_session_holds_one_result_of_a_call_whoever_its_user_was() {
    let mut live = Live::new(Seq(1), LIMITS);
    live.connect(&"s".into(), SocketId(1), 0);
    live.register(registration("s", "feed", &["posts"], 10, 1), 0);
    let of_ann = QueryKey { user: Some("ann".into()), ..key("feed") };
    live.register(Registration { key: of_ann, ..registration("s", "feed", &["posts"], 10, 1) }, 0);
    assert_eq!(live.counts(), (1, 1));
    live.committed(Seq(2), &writes(&["posts"]), &[], 0);
    assert_eq!(run(&mut live, &["posts"], 10, 2, 0), 1);
    assert_eq!(told(&mut live, 1000), [], "nothing changed");
}

// Verifies: FUN-23, FUN-27, FUN-30
#[test]
fn who_holds_a_result_that_differs_is_told_once_and_others_are_not() {
    let mut live = Live::new(Seq(1), LIMITS);
    live.connect(&"s1".into(), SocketId(1), 0);
    live.connect(&"s2".into(), SocketId(2), 0);
    live.register(registration("s1", "users", &["users"], 10, 1), 0);
    live.register(registration("s2", "users", &["users"], 11, 1), 0);
    live.committed(Seq(2), &writes(&["posts"]), &[], 0);
    assert!(!live.has_due(), "another table");
    live.committed(Seq(3), &writes(&["users"]), &[], 0);
    live.committed(Seq(4), &writes(&["users"]), &[], 0);
    assert_eq!(run(&mut live, &["users"], 11, 4, 0), 1, "one run for all who hold it, and for both commits");
    assert_eq!(told(&mut live, 9), [], "commits are gathered");
    assert_eq!(told(&mut live, 10), [(1, vec!["users".to_owned()], 4)]);
    assert_eq!(told(&mut live, 1000), []);
    // Who did not come again is told of the next change without a run.
    live.committed(Seq(5), &writes(&["users"]), &[], 1000);
    assert_eq!(run(&mut live, &["users"], 11, 5, 1000), 1, "the other one still holds a result");
    assert_eq!(told(&mut live, 1010), [(1, vec!["users".to_owned()], 5)]);
}

// Two parts of a page ask for the same, and the second alone sees a commit between them: the first was forgotten.
// Verifies: FUN-24, FUN-35
#[test]
fn two_parts_of_a_page_that_hold_different_results_of_one_call_are_told() {
    let mut live = Live::new(Seq(1), LIMITS);
    live.connect(&"s".into(), SocketId(1), 0);
    live.register(registration("s", "users", &["users"], 10, 1), 100);
    live.committed(Seq(2), &writes(&["users"]), &[], 100);
    let second = Registration { not_before_ms: 300, ..registration("s", "users", &["users"], 11, 2) };
    live.register(second, 100);
    assert_eq!(run(&mut live, &["users"], 11, 2, 100), 1);
    assert_eq!(told(&mut live, 299), []);
    assert_eq!(told(&mut live, 300), [(1, vec!["users".to_owned()], 2)]);
    // Both ask again, and hold the same.
    for now_ms in [310, 320] {
        live.register(registration("s", "users", &["users"], 11, 2), now_ms);
    }
    assert_eq!(told(&mut live, 1000), []);
    // A result that differs each time, as one with chance in it does, is told of commits alone.
    for hash in 20..30 {
        live.register(registration("s", "users", &["users"], hash, 2), 1000);
    }
    assert_eq!(told(&mut live, 2000), []);
}

// The frame was lost with its socket, and one part of the page asked again before the next one: the other part was forgotten.
// Verifies: FUN-25, FUN-35
#[test]
fn who_was_told_once_is_told_again_over_the_next_socket() {
    let mut live = Live::new(Seq(1), LIMITS);
    live.connect(&"s".into(), SocketId(1), 0);
    live.register(registration("s", "users", &["users"], 10, 1), 0);
    live.committed(Seq(2), &writes(&["users"]), &[], 100);
    assert_eq!(run(&mut live, &["users"], 11, 2, 100), 1);
    assert_eq!(told(&mut live, 200), [(1, vec!["users".to_owned()], 2)]);
    live.register(registration("s", "users", &["users"], 11, 2), 300);
    assert_eq!(told(&mut live, 1000), [], "it holds the newest");
    live.connect(&"s".into(), SocketId(2), 1000);
    live.disconnect(SocketId(1), 1001);
    let frames = told(&mut live, 2000);
    assert_eq!(
        frames.iter().map(|(socket, tables, _)| (*socket, tables.len())).collect::<Vec<_>>(),
        [(2, 1)]
    );
}

// Verifies: FUN-24
#[test]
fn what_changed_while_an_answer_was_on_its_way_is_told_and_not_before_its_time() {
    let mut live = Live::new(Seq(1), LIMITS);
    live.connect(&"s".into(), SocketId(1), 0);
    live.committed(Seq(2), &writes(&["users"]), &[], 0);
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
    live.committed(Seq(2), &writes(&["users"]), &[], 0);
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
    live.committed(Seq(3), &writes(&["users"]), &[], 50_000);
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
    live.committed(Seq(3), &writes(&["posts"]), &[], 20);
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
    live.committed(Seq(2), &writes(&["users"]), &[], 0);
    assert_eq!(run(&mut live, 7, 2), []);
    live.committed(Seq(3), &writes(&["users"]), &[], 0);
    assert_eq!(run(&mut live, 8, 3), sent(false));
    assert_eq!(told(&mut live, 1000), [], "it is not told of tables beside");
    live.unsubscribe(SocketId(1), "a");
    live.committed(Seq(4), &writes(&["users"]), &[], 0);
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
    live.committed(Seq(2), &writes(&["users"]), &[], 0);
    let (query, ..) = live.take_due().remove(0);
    live.committed(Seq(3), &writes(&["users"]), &[], 0);
    live.register(registration("s", "users", &["users", "teams"], 30, 3), 0);
    assert_eq!(live.evaluated(query, &evaluated(&["users"], 20, 2), 0), Compared::default());
    live.committed(Seq(4), &writes(&["teams"]), &[], 0);
    assert_eq!(run(&mut live, &["users", "teams"], 40, 4, 0), 1);
    assert_eq!(told(&mut live, 10), [(1, vec!["users".to_owned(), "teams".to_owned()], 4)]);
}

// Verifies: FUN-34, FUN-35
#[test]
fn a_commit_meets_only_what_depends_on_a_row_that_it_changed() {
    let mut live = Live::new(Seq(1), LIMITS);
    live.connect(&"s".into(), SocketId(1), 0);
    for counter in 0..3 {
        let registration = registration("s", &counter.to_string(), &[], 10, 1);
        live.register(Registration { reads: [one_row(counter)].into_iter().collect(), ..registration }, 0);
    }
    let commit = |live: &mut Live, seq, cells: &[RowValue]| {
        let image: RowImage = cells.into();
        let write = TableWrite { table: "rows".into(), rows: RowsChanged::Of([image].into()) };
        live.committed(Seq(seq), &[write], &[], 0);
        let due = live.take_due();
        for (query, key, ()) in &due {
            let counter = key.function.parse().expect("a number");
            let reads = [one_row(counter)].into_iter().collect();
            live.evaluated(*query, &Evaluated { reads, ..evaluated(&[], 10, seq) }, 0);
        }
        let mut met: Vec<_> = due.iter().map(|(_, key, ())| key.function.to_string()).collect();
        met.sort();
        met.concat()
    };
    let cell = |counter| RowValue::ColumnKey(number(counter));
    assert_eq!(commit(&mut live, 2, &[cell(2), cell(1)]), "1");
    assert_eq!(commit(&mut live, 3, &[cell(1), cell(2)]), "2");
    assert_eq!(commit(&mut live, 4, &[cell(1), cell(5)]), "");
    assert_eq!(commit(&mut live, 5, &[cell(1), RowValue::Null]), "");
    assert_eq!(commit(&mut live, 6, &[cell(1), RowValue::Other]), "012", "it may be equal to any");
    assert_eq!(
        commit(&mut live, 7, &[cell(1), RowValue::ColumnKey(ColumnKey::Text(b"1"[..].into()))]),
        "012"
    );
    assert_eq!(commit(&mut live, 8, &[cell(1)]), "012", "a column that is not told");
    live.committed(Seq(9), &writes(&["rows"]), &[], 0);
    assert_eq!(live.take_due().len(), 3);
    assert_eq!(live.take_spared(), 2 + 2 + 3 + 3);
}

// Verifies: FUN-33, FUN-34
#[test]
fn a_kept_result_of_some_rows_holds_until_one_of_them_changes() {
    let mut cache = ResultCache::new(Arc::default(), 10_000);
    let mut changes = TableChanges::new(Seq(1));
    let result = |seq| CachedResult {
        data: None,
        hash: "h".into(),
        reads: [one_row(2)].into_iter().collect(),
        seq: Seq(seq),
        warnings: Arc::from([]),
    };
    let commit = |cache: &mut ResultCache, changes: &mut TableChanges, seq, counter| {
        let image: RowImage = [RowValue::Null, RowValue::ColumnKey(number(counter))].into();
        let write = [TableWrite { table: "rows".into(), rows: RowsChanged::Of([image].into()) }];
        changes.committed(Seq(seq), &write);
        cache.committed(&write);
        changes.affected_after(&[one_row(2)].into_iter().collect(), Seq(1))
    };
    cache.put(key("f"), result(1), &TableChanges::new(Seq(1)));
    for seq in 2..200 {
        assert_eq!(commit(&mut cache, &mut changes, seq, 3), seq > 65, "what is remembered is bounded");
    }
    assert!(cache.get(&key("f"), &TableChanges::new(Seq(1))).is_some());
    commit(&mut cache, &mut changes, 200, 2);
    assert!(cache.get(&key("f"), &TableChanges::new(Seq(1))).is_none());
    cache.put(key("f"), result(199), &changes);
    assert!(cache.get(&key("f"), &changes).is_none(), "it is older than a commit that changed its row");
    cache.put(key("f"), result(200), &changes);
    assert!(cache.get(&key("f"), &changes).is_some());
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
        reads: whole(&["users"]),
        seq: Seq(seq),
        warnings: Arc::from([]),
    };
    cache.put(key("f"), result(10, 1), &changes);
    assert!(cache.get(&key("f"), &changes).is_some());
    changes.committed(Seq(2), &writes(&["posts"]));
    assert!(cache.get(&key("f"), &changes).is_some());
    changes.committed(Seq(3), &writes(&["users"]));
    assert!(cache.get(&key("f"), &changes).is_none());
    for number in 0..100 {
        cache.put(key(&number.to_string()), result(900, 3), &changes);
        assert!(used.load(std::sync::atomic::Ordering::Relaxed) <= 10_000);
    }
    assert!(cache.get(&key("99"), &changes).is_some());
    for _ in 0..1000 {
        cache.put(key("again"), result(10, 3), &changes);
    }
    assert!(cache.get(&key("again"), &changes).is_some() && cache.get(&key("99"), &changes).is_some());
    assert!(cache.get(&key("1"), &changes).is_none());
    cache.put(key("large"), result(9_000, 3), &changes);
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
    live.committed(Seq(2), &writes(&["kv"]), &[], 0);
    assert_eq!(run(&mut live, &["kv", "b"], 10, 2, 0), 1, "the same result, from other tables");
    assert_eq!(told(&mut live, 100), []);
    live.committed(Seq(3), &writes(&["b"]), &[], 100);
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
    live.committed(Seq(2), &writes(&["t"]), &[], 0);
    assert_eq!(told(&mut live, 10), [(2, vec!["t".to_owned()], 2)]);
    let query = due(&mut live).unwrap();
    assert_eq!(live.not_run(query, None, 10).len(), 1, "it failed");
    live.committed(Seq(3), &[], &names(&["named"]), 20);
    let query = due(&mut live).unwrap();
    let again = LiveOutput::Result { socket: SocketId(1), id: "a".into(), same: false };
    let evaluated = live.evaluated(query, &open(1, 3), 20);
    assert_eq!(evaluated.outputs, [again], "the result of before the failure may not have reached him");
    live.reset(Seq(4), 30);
    assert!(due(&mut live).is_some(), "other functions may give another result");
}

// Verifies: FUN-31, FUN-35
#[test]
fn pages_that_were_answered_from_other_tables_are_all_told() {
    let mut live = Live::new(Seq(1), LIMITS);
    live.connect(&"one".into(), SocketId(1), 0);
    live.connect(&"two".into(), SocketId(2), 0);
    let open = |session, tables: &[&str]| Registration {
        gate: Gate::Open,
        ..registration(session, "by tenant", tables, 10, 1)
    };
    live.register(open("one", &["a"]), 0);
    live.register(open("two", &["b"]), 0);
    live.committed(Seq(2), &writes(&["a"]), &[], 0);
    assert!(told(&mut live, 10).iter().any(|(socket, tables, _)| *socket == 1 && tables == &["a"]));
    // A page is told when the run that was to compare its result cannot, since it came to depend on more than tables.
    live.register(registration("one", "later", &["a"], 10, 2), 20);
    live.committed(Seq(3), &writes(&["a"]), &[], 20);
    let (query, ..) = live.take_due().pop().unwrap();
    let evaluated = Evaluated { gate: Gate::Open, ..evaluated(&["a"], 10, 3) };
    told(&mut live, 30);
    live.evaluated(query, &evaluated, 40);
    assert_eq!(told(&mut live, 50), [(1, vec!["a".to_owned()], 3)]);
}

// Verifies: FUN-36
#[test]
fn a_socket_whose_result_cannot_be_made_hears_when_what_it_failed_at_changes() {
    let mut live = Live::new(Seq(1), LIMITS);
    live.connect(&"s".into(), SocketId(1), 0);
    assert!(live.subscribe(SocketId(1), &"a".into(), key("f"), None, ()));
    let (query, ..) = live.take_due().pop().unwrap();
    live.not_run(query, Some((&whole(&["t"]), Seq(1))), 0);
    live.committed(Seq(2), &writes(&["t"]), &[], 0);
    let (query, ..) = live.take_due().pop().unwrap();
    // It has changed while it was run.
    live.committed(Seq(3), &writes(&["u"]), &[], 0);
    live.not_run(query, Some((&whole(&["u"]), Seq(2))), 0);
    assert_eq!(live.take_due().len(), 1);
}
