//! A database in which each store has a table of its own comes to one log for all, while it is used (events section 4).

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use ferry_testkit::{
    first_layout::{put_back, tables_left},
    hooks::HookReceiver,
    hub::Options,
    livestore::{Page, chain, event},
    wait,
};
use rusqlite::Connection;
use serde_json::{Value, json};

use super::{
    Stores, a,
    admin::admin,
    api::{call, events, get, refused},
};
use crate::support::options;

/// More than one step moves at once.
const LONG: i64 = 2_500;

/// All that a client can read: the log of each store, by its id.
type Logs = BTreeMap<String, Vec<Value>>;

fn logs(stores: &Stores) -> Logs {
    let listed = admin(stores, "GET", "", &[]).json();
    let ids = listed["stores"]
        .as_array()
        .unwrap()
        .iter()
        .map(|store| store["storeId"].as_str().unwrap().to_owned());
    ids.map(|id| (id.clone(), log(stores, &id))).collect()
}

/// Its identity, then its events.
fn log(stores: &Stores, id: &str) -> Vec<Value> {
    let (mut all, mut after) = (Vec::new(), json!(0));
    loop {
        let store = ferry_testkit::livestore::percent(id);
        let page = get(stores, &format!("store={store}&limit=1000&after={after}")).json();
        if all.is_empty() {
            all.push(page["backendId"].clone());
        }
        all.extend(page["events"].as_array().unwrap_or_else(|| panic!("{id}: {page}")).iter().cloned());
        after = page["next"].clone();
        if page["hasMore"] == false {
            return all;
        }
    }
}

fn keyed(stores: &Stores) -> ferry_testkit::http::Response {
    let body = json!({"store": "s-0", "parentSeqNum": null, "clientId": "billing", "sessionId": "job", "events": [{"name": "v1.Paid"}]});
    let headers = [("Idempotency-Key", "pay-1")];
    call(stores, &stores.token, "POST", &events(stores), &headers, body.to_string().as_bytes())
}

/// Stores of many kinds under the first layout; what was read of them before, and the answer to a keyed request.
fn first_layout(receiver: &HookReceiver) -> (Stores, Logs, Value) {
    let url = format!("--events-on-pushed-url={}", receiver.url());
    let mut stores = Stores::of(options().arg(url).start());
    let mut long = stores.open("Long Log");
    for first in (0..LONG).step_by(500) {
        assert_eq!(long.push(&a(1), &chain(first, 500)).code(), "success");
    }
    for number in 0..12_i64 {
        let name = format!("s-{number}");
        // A gap, so that what remains has to be counted.
        let mut batch = chain(0, number + 1);
        batch.push(event(number + 10, number + 1));
        assert_eq!(stores.open(&name).push(&a(1), &batch).code(), "success");
    }
    let answer = keyed(&stores).json();
    for store in ["minted", "gone"] {
        assert_eq!(stores.open(store).push(&a(1), &chain(0, 3)).code(), "success");
    }
    let reason = br#"{"confirm":"minted","reason":"because"}"#;
    assert_eq!(admin(&stores, "POST", "/minted/remint", reason).status, 200);
    assert_eq!(admin(&stores, "DELETE", "/gone", br#"{"confirm":"gone"}"#).status, 200);
    let before = logs(&stores);
    let told = before.values().map(|log| log.len() - 1).sum::<usize>();
    wait::until("the hook is told of everything", || (receiver.delivered().len() >= told).then_some(()));
    stores.place.hub.stop();
    put_back(&file(&stores));
    assert_eq!(tables_left(&file(&stores)), 15);
    (stores, before, answer)
}

fn file(stores: &Stores) -> PathBuf {
    stores.place.hub.database_dir(&stores.place.database).join("main.db")
}

/// Lets the step that has begun go on; `None` if that was the last.
fn next_step(held: &Path, database: &Path) -> Option<()> {
    let _ = fs::remove_file(held);
    wait::until("another step begins, or none is left", || {
        if held.exists() {
            return Some(Some(()));
        }
        let is_over = tables_left(database) == 0;
        (is_over && !held.exists()).then_some(None)
    })
}

// Verifies: EVT-81, EVT-05
#[test]
fn a_database_of_the_first_layout_is_moved_over_kill_9_at_every_step_while_it_is_used() {
    let receiver = HookReceiver::start();
    let (mut stores, before, answer) = first_layout(&receiver);
    let told = receiver.delivered().len();
    let folder = tempfile::tempdir().unwrap();
    let held = folder.path().join("held");
    let (mut steps, mut head) = (0, LONG);
    loop {
        let Stores { place, token } = stores;
        let plan = format!("events.maintenance=wait:{}", held.display());
        stores =
            Stores { place: place.restarted_with(|options| options.without_faults().fault(plan)), token };
        // Opening a store begins it; what is read meanwhile is what was there before.
        let mut socket = stores.open("Long Log");
        socket.pull(&a(9), false, None);
        let read: usize = socket.history(&a(9)).iter().map(Page::numbers).map(|numbers| numbers.len()).sum();
        assert_eq!(i64::try_from(read).unwrap(), head, "step {steps}");
        let begun = wait::until("a step begins, or none is left", || {
            (held.exists() || tables_left(&file(&stores)) == 0).then(|| held.exists())
        });
        if !begun {
            break;
        }
        // The step is in the middle of its transaction, and everything can be read.
        assert_eq!(log(&stores, "s-11"), before["s-11"], "step {steps}");
        // A push waits for the step, and is committed behind it: alone, or together with the next step, which is held.
        socket.begin_push(&a(10), &[event(head + 1, head)], None);
        let goes_on = next_step(&held, &file(&stores));
        if goes_on.is_none() {
            assert_eq!(socket.exit_of(&a(10)).code(), "success");
        }
        let seen = i64::try_from(log(&stores, "Long Log").len()).unwrap() - 1;
        assert!(seen == head || (seen == head + 1), "step {steps}: {seen} events after {head}");
        head = seen;
        steps += 1;
        ferry_testkit::process::kill(stores.place.hub.pid());
        stores.place.hub.ended();
        let _ = fs::remove_file(&held);
        if goes_on.is_none() {
            break;
        }
    }
    assert!(steps >= 4 && head > LONG, "{steps} steps, {head} events");

    let Stores { place, token } = stores;
    let stores = Stores { place: place.restarted_with(Options::without_faults), token };
    let after = logs(&stores);
    assert_eq!(after.keys().collect::<Vec<_>>(), before.keys().collect::<Vec<_>>());
    for (id, events) in &before {
        assert_eq!(after[id][..events.len()], events[..], "{id}");
    }
    assert_eq!(i64::try_from(after["Long Log"].len()).unwrap(), head + 1, "and what was pushed meanwhile");
    assert_eq!(keyed(&stores).json(), answer, "the answer under its key is remembered");
    refused(&get(&stores, "store=gone"), 404, "not_found");
    let new: Vec<i64> = (LONG + 1..=head).collect();
    wait::until("the hook is told of what was pushed meanwhile", || {
        receiver.delivered()[told..].contains(&head).then_some(())
    });
    let again: Vec<i64> =
        receiver.delivered()[told..].iter().copied().filter(|number| !new.contains(number)).collect();
    assert_eq!(again, [0_i64; 0], "and of nothing a second time");
    assert_eq!(tables_left(&file(&stores)), 0);
    let database = Connection::open(file(&stores)).unwrap();
    let shown: usize = database.query_row("SELECT count(*) FROM events", [], |row| row.get(0)).unwrap();
    assert_eq!(shown, after.values().map(|log| log.len() - 1).sum::<usize>());
    let sound: String = database.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(sound, "ok");
}

// Verifies: EVT-81, EVT-45
#[test]
fn stores_are_emptied_deleted_and_exported_while_they_are_moved() {
    let receiver = HookReceiver::start();
    let (stores, before, _) = first_layout(&receiver);
    let folder = tempfile::tempdir().unwrap();
    let held = folder.path().join("held");
    let Stores { place, token } = stores;
    let plan = format!("events.maintenance=wait:{}", held.display());
    let stores =
        Stores { place: place.restarted_with(|options| options.without_faults().fault(plan)), token };
    // The rest of the log lies in its old table while these are committed.
    std::thread::scope(|scope| {
        // Whoever comes while a step is held waits for it.
        let opened = scope.spawn(|| drop(stores.open("s-1")));
        wait::until("the first step begins", || held.exists().then_some(()));
        let export = admin(&stores, "GET", "/Long%20Log/export", &[]).text();
        assert_eq!(i64::try_from(export.lines().count()).unwrap(), LONG + 2);
        let reset = scope.spawn(|| {
            admin(&stores, "POST", "/Long%20Log/reset", br#"{"confirm":"Long Log","reason":"because"}"#)
        });
        let delete = scope.spawn(|| admin(&stores, "DELETE", "/s-11", br#"{"confirm":"s-11"}"#));
        while next_step(&held, &file(&stores)).is_some() {}
        assert_eq!(reset.join().unwrap().status, 200);
        assert_eq!(delete.join().unwrap().status, 200);
        opened.join().unwrap();
    });
    assert_eq!(log(&stores, "Long Log").len(), 1);
    refused(&get(&stores, "store=s-11"), 404, "not_found");
    assert_eq!(log(&stores, "s-10"), before["s-10"]);
    assert_eq!(stores.open("Long Log").push(&a(1), &chain(0, 2)).code(), "success");
    let stores = stores.restarted();
    assert_eq!(log(&stores, "Long Log").len(), 3);
}

// Verifies: EVT-81
#[test]
fn a_store_takes_no_table_and_a_long_log_that_was_emptied_is_gone_from_the_file() {
    let mut stores = Stores::new();
    let mut socket = stores.open("app");
    for first in (0..5_000).step_by(1_000) {
        assert_eq!(socket.push(&a(1), &chain(first, 1_000)).code(), "success");
    }
    let objects = |stores: &Stores| -> u64 {
        let database = Connection::open(file(stores)).unwrap();
        database
            .query_row("SELECT count(*) FROM sqlite_master WHERE name <> '_ferry_event_dropped' AND name NOT LIKE '_ferry_event_arrivals%'", [], |row| {
                row.get(0)
            })
            .unwrap()
    };
    let few = objects(&stores);
    for number in 0..50 {
        assert_eq!(stores.open(&format!("s-{number}")).push(&a(1), &chain(0, 1)).code(), "success");
    }
    assert_eq!(objects(&stores), few);
    assert_eq!(admin(&stores, "DELETE", "/app", br#"{"confirm":"app"}"#).status, 200);
    let left = |stores: &Stores| -> u64 {
        let database = Connection::open(file(stores)).unwrap();
        let sql =
            "SELECT (SELECT count(*) FROM _ferry_events) + (SELECT count(*) FROM _ferry_event_arrivals)";
        database.query_row(sql, [], |row| row.get(0)).unwrap()
    };
    wait::until("the events of the deleted store are removed", || (left(&stores) == 50).then_some(()));
    stores.place.hub.stop();
}
