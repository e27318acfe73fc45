//! A client that is killed, and clients that work on one file at once (scenarios 2, 10, 16).

use ferry_testkit::{
    bank::{self, Clerk},
    command::finish,
    dump::{assert_equal, dump},
    sample::Shape,
};
use rusqlite::Connection;

use super::sync::{ada, run, second_machine};
use crate::support::{fault_points, hub};

// Verifies: PAG-24, PAG-25, PAG-61, PAG-63
#[test]
fn kill_9_during_a_push_leaves_a_file_that_the_next_push_understands() {
    let hub = hub();
    let (one, two) = (ada(&hub), second_machine(&hub));
    let file = one.file("app.db");
    Shape { wal: true, ..Shape::default() }.create(&file, 2000, 1);
    one.ok(&["push", "app.db", "app"]);
    two.ok(&["clone", "app", "copy.db"]);
    let points = ["send.piece", "push.sent", "sync.state"];
    let mut died = 0;
    for round in 0..3 {
        for point in points {
            run(&file, &format!("UPDATE item SET price = price + 1 WHERE id % {} = 0", round * 3 + 1));
            let killed = one.clone().env("FERRY_FAULT", &format!("{point}=kill")).run(&["push", "app.db"]);
            died += usize::from(killed.code.is_none());
            one.ok(&["push", "app.db"]);
            two.ok(&["pull", "copy.db"]);
            assert_equal(&file, &two.file("copy.db"));
        }
    }
    assert_eq!(died, 9, "each point is passed");
}

/// Beside a program that writes all the time every pushed version is one that existed, in both journal modes.
// Verifies: PAG-19, PAG-60
#[test]
fn a_push_beside_a_writer_is_one_moment_of_the_file() {
    for wal in [true, false] {
        let hub = hub();
        let (one, two) = (ada(&hub), second_machine(&hub));
        let file = one.file("bank.db");
        bank::create(&file, wal);
        one.ok(&["push", "bank.db", "app"]);
        let clerk = Clerk::begin(&file, 500, 4);
        for _ in 0..12 {
            one.ok(&["push", "bank.db"]);
            two.ok(&["pull", "app", "copy.db"]);
            assert_eq!(bank::sum(&two.file("copy.db")).unwrap(), bank::SUM);
        }
        assert!(clerk.transfers() > 20, "{}", clerk.transfers());
        drop(clerk);
        one.ok(&["push", "bank.db"]);
        two.ok(&["pull", "app", "copy.db"]);
        assert_equal(&file, &two.file("copy.db"));
    }
}

// Verifies: PAG-64
#[test]
fn a_reader_beside_two_hundred_pulls_sees_whole_versions() {
    let hub = hub();
    let (one, two) = (ada(&hub), second_machine(&hub));
    let file = one.file("bank.db");
    bank::create(&file, true);
    one.ok(&["push", "bank.db", "app"]);
    two.ok(&["clone", "app", "copy.db"]);
    let copy = two.file("copy.db");
    let writer = Connection::open(&file).unwrap();
    let mut rng = ferry_testkit::rng::Rng::new(8);
    for wal in [true, false] {
        let reader = Connection::open(&copy).unwrap();
        let mode = if wal { "WAL" } else { "DELETE" };
        let _mode: String =
            reader.query_row(&format!("PRAGMA journal_mode={mode}"), [], |row| row.get(0)).unwrap();
        reader.busy_timeout(std::time::Duration::from_secs(20)).unwrap();
        for _ in 0..20 {
            bank::transfer(&writer, &mut rng).unwrap();
            one.ok(&["push", "bank.db"]);
            let pulling = two.spawn(&["pull", "copy.db"]);
            for _ in 0..50 {
                let sum: i64 =
                    reader.query_row("SELECT sum(balance) FROM account", [], |row| row.get(0)).unwrap();
                assert_eq!(sum, bank::SUM);
            }
            let pulled = finish(pulling);
            assert_eq!(pulled.code, Some(0), "{}", pulled.stderr);
        }
        drop(reader);
    }
    assert_equal(&file, &copy);
}

// Verifies: PAG-64, PAG-67
#[test]
fn pulls_of_one_file_at_once_end_with_a_whole_file() {
    let hub = hub();
    let (one, two) = (ada(&hub), second_machine(&hub));
    let file = one.file("app.db");
    Shape { wal: true, ..Shape::default() }.create(&file, 1500, 1);
    one.ok(&["push", "app.db", "app"]);
    two.ok(&["clone", "app", "copy.db"]);
    for round in 0..4 {
        run(&file, &format!("UPDATE item SET price = {round}"));
        one.ok(&["push", "app.db"]);
        let pulls: Vec<_> = (0..3).map(|_| two.spawn(&["pull", "copy.db"])).collect();
        let ended: Vec<_> = pulls.into_iter().map(finish).collect();
        assert!(ended.iter().any(|output| output.code == Some(0)), "{ended:?}");
        // Another run is told, or found the file changed under it; it says so and changes nothing.
        assert!(ended.iter().all(|output| matches!(output.code, Some(0 | 6 | 10))), "{ended:?}");
        two.ok(&["pull", "copy.db"]);
        assert_equal(&file, &two.file("copy.db"));
    }
}

// Verifies: PAG-64, PAG-67
#[test]
fn a_disk_that_is_full_at_any_step_of_a_pull_leaves_the_old_file_or_the_new() {
    let hub = hub();
    let (one, two) = (ada(&hub), second_machine(&hub));
    let file = one.file("app.db");
    Shape { wal: true, ..Shape::default() }.create(&file, 600, 1);
    one.ok(&["push", "app.db", "app"]);
    two.ok(&["clone", "app", "copy.db"]);
    for point in fault_points("pull.") {
        let before = dump(&two.file("copy.db"));
        run(&file, "UPDATE item SET price = price + 1");
        one.ok(&["push", "app.db"]);
        let full = two.clone().env("FERRY_FAULT", &format!("{point}=full")).run(&["pull", "copy.db"]);
        let got = dump(&two.file("copy.db"));
        assert!(got == before || got == dump(&file), "{point}: a mixture ({:?})", full.code);
        assert!(full.code == Some(0) || full.stderr.contains("storage space"), "{}", full.stderr);
        two.ok(&["pull", "copy.db"]);
        assert_equal(&file, &two.file("copy.db"));
    }
}
