//! kill -9, full disks, lost acknowledgements (events, scenarios 4 and 5).

use ferry_testkit::livestore::{Outcome, Page, Said, chain, event};
use rusqlite::Connection;
use serde_json::json;

use super::{Stores, a};

fn numbers(stores: &Stores) -> Vec<i64> {
    let mut socket = stores.open("app");
    socket.pull(&a(9), false, None);
    socket.history(&a(9)).iter().flat_map(Page::numbers).collect()
}

// Verifies: EVT-05, EVT-07
#[test]
fn kill_9_at_every_point_of_a_push_loses_nothing_acknowledged() {
    let mut stores = Stores::new();
    assert_eq!(stores.open("app").push(&a(1), &chain(0, 2)).code(), "success");
    let mut head = 2;
    for point in ["events.append", "events.committed"] {
        let token = stores.token.clone();
        let place = stores.place.restarted_with(|options| options.fault(format!("{point}=kill")));
        stores = Stores { place, token };
        let mut socket = stores.open("app");
        socket.pull(&a(0), true, None);
        socket.begin_push(&a(1), &chain(head, 3), None);
        let end = loop {
            match socket.next() {
                Said::Frame(frame) => {
                    assert_eq!(frame["_tag"], "Chunk", "{point}: acknowledged before it died");
                }
                other => break other,
            }
        };
        assert_ne!(end, Said::Nothing, "{point}: the hub lives on");
        stores.place.hub.ended();
        stores = stores.restarted();
        let found = numbers(&stores);
        let last = i64::try_from(found.len()).unwrap();
        assert_eq!(last, if point == "events.append" { head } else { head + 3 }, "{point}: {found:?}");
        assert_eq!(found, (1..=last).collect::<Vec<_>>());
        if last > head {
            // A lost acknowledgement: the retry is answered accordingly, and nothing is doubled.
            assert_eq!(stores.open("app").push(&a(1), &chain(head, 3)).code(), "ServerAheadError");
        }
        assert_eq!(stores.open("app").push(&a(2), &[event(last + 1, last)]), Outcome::Success(json!({})));
        head = last + 1;
    }
}

// Verifies: EVT-05, EVT-80
#[test]
fn kill_9_while_events_of_many_stores_are_filed_loses_and_doubles_none() {
    const WAITING: usize = 1_008;
    let mut stores = Stores::new();
    let ids: Vec<String> = (0..12).map(|number| format!("s-{number}")).collect();
    let mut heads = vec![0; ids.len()];
    for id in &ids {
        stores.open(id);
    }
    let count = |stores: &Stores, table: &str| -> usize {
        let database =
            Connection::open(stores.place.hub.database_dir(&stores.place.database).join("main.db")).unwrap();
        database.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
    };
    while count(&stores, "_ferry_event_arrivals") < WAITING {
        for (id, head) in ids.iter().zip(&mut heads).take(9) {
            assert_eq!(stores.open(id).push(&a(1), &chain(*head, 16)).code(), "success");
            *head += 16;
        }
    }
    for point in ["events.append", "events.committed"] {
        let token = stores.token.clone();
        let place = stores.place.restarted_with(|options| options.fault(format!("{point}=kill")));
        stores = Stores { place, token };
        let mut socket = stores.open("s-3");
        socket.begin_push(&a(1), &chain(heads[3], 2), None);
        assert!(!matches!(socket.next(), Said::Frame(_)), "{point}: answered before it died");
        stores.place.hub.ended();
        stores = stores.restarted();
        let is_filed = point == "events.committed";
        assert_eq!(count(&stores, "_ferry_event_arrivals"), if is_filed { 2 } else { WAITING }, "{point}");
        heads[3] += if is_filed { 2 } else { 0 };
        assert_eq!(count(&stores, "events"), heads.iter().sum::<i64>() as usize, "{point}");
        for (id, head) in ids.iter().zip(&heads) {
            let mut socket = stores.open(id);
            socket.pull(&a(9), false, None);
            let found: Vec<i64> = socket.history(&a(9)).iter().flat_map(Page::numbers).collect();
            assert_eq!(found, (1..=*head).collect::<Vec<_>>(), "{point}: {id}");
        }
    }
    assert_eq!(stores.open("s-3").push(&a(1), &chain(heads[3], 1)).code(), "success");
}

// Verifies: EVT-05
#[test]
fn every_acknowledged_push_survives_kill_9_at_random_moments() {
    let mut stores = Stores::new();
    let mut head = 0;
    for round in 0..20_u64 {
        let acknowledged = std::thread::scope(|scope| {
            let pushing = scope.spawn(|| {
                let mut socket = stores.open("app");
                let mut last = head;
                loop {
                    socket.begin_push(&a(1), &[event(last + 1, last)], None);
                    match socket.next() {
                        Said::Frame(frame) => assert_eq!(frame["exit"]["_tag"], "Success", "{frame}"),
                        _ => return last,
                    }
                    last += 1;
                }
            });
            // Not after a time, but after some progress, which differs per round.
            let committed = || {
                let text = ferry_testkit::http::get(stores.address(), "/metrics").ok()?.text();
                let line = text.lines().find(|line| line.starts_with("ferry_events_appended_total"))?;
                let count: u64 = line.rsplit(' ').next()?.parse().ok()?;
                (count > round * 3).then_some(())
            };
            let progress = ferry_testkit::wait::within(ferry_testkit::wait::LIMIT, committed);
            // Killed in any case: the pushing thread ends with its connection alone.
            ferry_testkit::process::kill(stores.place.hub.pid());
            let acknowledged = pushing.join().unwrap();
            progress.expect("some pushes are counted within a minute");
            acknowledged
        });
        stores = stores.restarted();
        let found = numbers(&stores);
        let last = found.last().copied().unwrap_or(0);
        assert!(last >= acknowledged, "round {round}: {acknowledged} was acknowledged, {last} is there");
        assert!(last <= acknowledged + 1, "round {round}: more than was sent");
        assert_eq!(found, (1..=last).collect::<Vec<_>>());
        head = last;
    }
}

// Verifies: EVT-01
#[test]
fn a_full_disk_refuses_the_push_and_the_store_stays_readable() {
    let stores = Stores::new();
    assert_eq!(stores.open("app").push(&a(1), &chain(0, 2)).code(), "success");
    let token = stores.token.clone();
    let place = stores.place.restarted_with(|options| options.fault("events.append=full"));
    let stores = Stores { place, token };
    let mut socket = stores.open("app");
    socket.pull(&a(0), true, None);
    assert_eq!(socket.page(&a(0)).numbers(), [1, 2]);
    let outcome = socket.push(&a(1), &chain(2, 1));
    assert_eq!(outcome.code(), "STORAGE_FULL", "{outcome:?}");
    let Outcome::Fail(error) = outcome else { panic!("a Fail") };
    assert!(error["cause"]["message"].as_str().unwrap().contains("disk"), "{error}");
    assert_eq!(numbers(&stores), [1, 2]);
    let stores = stores.restarted();
    assert_eq!(stores.open("app").push(&a(1), &chain(2, 1)).code(), "success");
}
