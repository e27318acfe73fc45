//! `ferry follow`: a file that stays at the hub's newest version while others read it.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    process::Child,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::Duration,
};

use ferry_testkit::{
    bank,
    command::{Ferry, finish, names},
    dump::{assert_equal, dump},
    process,
    rng::Rng,
    sample::Shape,
    wait,
};
use rusqlite::Connection;

use super::sync::{ada, run, second_machine};
use crate::support::{copy_folder, hub, options, put_back};

/// `ferry follow`, killed at the end.
struct Follower(Option<Child>);

impl Follower {
    fn start(ferry: &Ferry, arguments: &[&str]) -> Self {
        Self(Some(ferry.spawn(&[&["follow"], arguments].concat())))
    }

    /// How it ended by itself.
    fn end(mut self) -> ferry_testkit::command::Output {
        finish(self.0.take().unwrap())
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn version(pushed: &str) -> String {
    pushed.split_once(' ').unwrap().1.split_once('-').unwrap().0.to_owned()
}

// Verifies: PAG-28, PAG-64, PAG-68
#[test]
fn a_followed_file_has_each_version_and_readers_see_whole_ones() {
    let hub = hub();
    let (one, two) = (ada(&hub), second_machine(&hub));
    let bank_file = one.file("bank.db");
    bank::create(&bank_file, true);
    one.ok(&["push", "bank.db", "app"]);
    let _follower = Follower::start(&two, &["app", "live.db"]);
    two.ok(&["wait", "live.db", "1"]);
    let live = two.file("live.db");
    let (stop, reads) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let reader = thread::spawn({
        let (live, stop, reads) = (live.clone(), Arc::clone(&stop), Arc::clone(&reads));
        move || {
            let connection = Connection::open(&live).unwrap();
            let mode: String = connection.query_row("PRAGMA journal_mode", [], |row| row.get(0)).unwrap();
            assert_eq!(mode, "wal");
            while !stop.load(Ordering::Relaxed) {
                let sum: i64 =
                    connection.query_row("SELECT sum(balance) FROM account", [], |row| row.get(0)).unwrap();
                assert_eq!(sum, bank::SUM, "a reader saw two versions at once");
                reads.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    let writer = Connection::open(&bank_file).unwrap();
    let mut rng = Rng::new(3);
    for _ in 0..20 {
        for _ in 0..5 {
            bank::transfer(&writer, &mut rng).unwrap();
        }
        let pushed = one.ok(&["push", "bank.db"]);
        // Written at the hub and waited for here: it is read here.
        two.ok(&["wait", "live.db", &version(&pushed), "--timeout", "30"]);
        assert_equal(&bank_file, &live);
    }
    stop.store(true, Ordering::Relaxed);
    reader.join().unwrap();
    assert!(reads.load(Ordering::Relaxed) > 20);
}

// Verifies: PAG-65, PAG-68
#[test]
fn a_write_to_a_followed_file_ends_it_or_is_saved() {
    let hub = hub();
    let (one, two) = (ada(&hub), second_machine(&hub));
    Shape::default().create(&one.file("app.db"), 100, 1);
    one.ok(&["push", "app.db", "app"]);
    let follower = Follower::start(&two, &["app", "live.db"]);
    two.ok(&["wait", "live.db", "1"]);
    run(&two.file("live.db"), "UPDATE item SET name = 'mine' WHERE id = 1");
    let edited = dump(&two.file("live.db"));
    let ended = follower.end();
    assert_eq!(ended.code, Some(6), "{}", ended.stderr);
    assert!(ended.stderr.contains("ferry pull live.db --force"), "{}", ended.stderr);
    assert!(dump(&two.file("live.db")) == edited);

    let _follower = Follower::start(&two, &["live.db", "--force"]);
    wait::until("the file to be the hub's again", || {
        (dump(&two.file("live.db")) == dump(&one.file("app.db"))).then_some(())
    });
    let saved = names(&two.files()).into_iter().find(|name| name.ends_with(".bak")).expect("it is saved");
    assert!(dump(&two.file(&saved)) == edited);
}

// Verifies: PAG-22, PAG-68
#[test]
fn a_follower_comes_back_after_the_hub_does_and_recovers_from_an_older_one() {
    let place = options().start();
    let listen = format!("--listen={}", place.address());
    let hub = place.restart_with(|options| options.arg(&*listen));
    let (one, two) = (ada(&hub), second_machine(&hub));
    let file = one.file("app.db");
    Shape::default().create(&file, 100, 1);
    one.ok(&["push", "app.db", "app"]);
    let mut follower = Follower::start(&two, &["app", "live.db"]);
    let mut said = BufReader::new(follower.0.as_mut().unwrap().stderr.take().unwrap());
    two.ok(&["wait", "live.db", "1"]);
    let (data, backup) = (hub.data_dir(), hub.data_dir().with_file_name("backup"));
    let hub = hub.restart_with(|options| {
        copy_folder(&data, &backup);
        options
    });
    run(&file, "UPDATE item SET price = 2 WHERE id = 2");
    one.ok(&["push", "app.db"]);
    two.ok(&["wait", "live.db", "2"]);
    let lost = dump(&file);
    let hub = hub.restart_with(|options| {
        put_back(&backup, &data);
        options
    });
    // What the hub has lost is saved, and the follower goes on with what it has.
    wait::until("the follower to save what the hub lost", || {
        names(&two.files()).into_iter().find(|name| name.ends_with(".bak"))
    });
    one.ok(&["pull", "app.db", "--force"]);
    run(&file, "UPDATE item SET price = 3 WHERE id = 3");
    one.ok(&["push", "app.db"]);
    wait::until("the file to be the hub's", || (dump(&two.file("live.db")) == dump(&file)).then_some(()));
    let saved = names(&two.files()).into_iter().find(|name| name.ends_with(".bak")).unwrap();
    assert!(dump(&two.file(&saved)) == lost);
    let mut line = String::new();
    said.read_line(&mut line).unwrap();
    assert!(line.contains("trying again in"), "{line}");
    drop(hub);
}

/// Killed while versions arrive, at any moment: the file is one of them, and the next one goes on.
// Verifies: PAG-64, PAG-68
#[test]
fn a_follower_that_is_killed_leaves_a_whole_version() {
    let hub = hub();
    let (one, two) = (ada(&hub), second_machine(&hub));
    let file = one.file("app.db");
    Shape { wal: true, ..Shape::default() }.create(&file, 400, 1);
    one.ok(&["push", "app.db", "app"]);
    let mut known = vec![dump(&file)];
    for point in crate::support::fault_points("pull.") {
        let mut follower =
            Follower::start(&two.clone().env("FERRY_FAULT", &format!("{point}=kill")), &["app", "live.db"]);
        for _ in 0..2 {
            run(&file, "UPDATE item SET price = price + 1");
            one.ok(&["push", "app.db"]);
            known.push(dump(&file));
        }
        // At most points it dies; at the others it is killed here, whatever it does.
        let child = follower.0.as_mut().unwrap();
        let _ended = wait::within(Duration::from_millis(500), || child.try_wait().unwrap());
        drop(follower);
        if two.file("live.db").exists() {
            let found = dump(&two.file("live.db"));
            assert!(known.contains(&found), "{point}: a mixture");
        }
        two.ok(&["pull", "app", "live.db"]);
        assert_equal(&file, &two.file("live.db"));
    }
}

// Verifies: PAG-62, PAG-63
#[test]
fn a_watched_file_is_pushed_whenever_it_changes() {
    let hub = hub();
    let (one, two) = (ada(&hub), second_machine(&hub));
    for wal in [true, false] {
        let (file, copy) = (one.file("app.db"), two.file("copy.db"));
        let _ = (fs::remove_file(&file), fs::remove_file(one.file("app.db-ferry")));
        bank::create(&file, wal);
        one.ok(&["push", "app.db", "app", "--force"]);
        let mut watching = one.spawn(&["push", "app.db", "--watch"]);
        let writer = Connection::open(&file).unwrap();
        writer.busy_timeout(Duration::from_secs(20)).unwrap();
        let mut rng = Rng::new(9);
        for round in 0..30 {
            bank::transfer(&writer, &mut rng).unwrap();
            if round % 10 == 9 {
                writer.execute_batch("PRAGMA wal_checkpoint(PASSIVE)").unwrap();
                wait::until("the hub to have what the file has", || {
                    two.ok(&["pull", "app", "copy.db"]);
                    assert_eq!(bank::sum(&copy).unwrap(), bank::SUM);
                    (dump(&copy) == dump(&file)).then_some(())
                });
            }
        }
        process::interrupt(&watching);
        assert_eq!(watching.wait().unwrap().code(), Some(130));
        fs::remove_file(&copy).unwrap();
        fs::remove_file(two.file("copy.db-ferry")).unwrap();
    }
}

// The loser of each race ended, for good, and was told to use --force: what the hub had was this very file, pushed by the other.
// Verifies: PAG-63
#[test]
fn a_watched_file_that_is_pushed_by_hand_too_goes_on_being_watched() {
    let hub = hub();
    let (one, two) = (ada(&hub), second_machine(&hub));
    let (file, copy) = (one.file("app.db"), two.file("copy.db"));
    bank::create(&file, true);
    one.ok(&["push", "app.db", "app"]);
    let mut watching = one.spawn(&["push", "app.db", "--watch"]);
    let (stop, stopped) = mpsc::channel::<()>();
    let writing = thread::spawn({
        let file = file.clone();
        move || {
            let writer = Connection::open(&file).unwrap();
            writer.busy_timeout(Duration::from_secs(20)).unwrap();
            let mut rng = Rng::new(9);
            // 300 commits a second.
            while stopped
                .recv_timeout(Duration::from_millis(3))
                .is_err_and(|end| end == RecvTimeoutError::Timeout)
            {
                bank::transfer(&writer, &mut rng).unwrap();
            }
        }
    });
    for round in 0..25 {
        let pushed = one.run(&["push", "app.db"]);
        assert_eq!(pushed.code, Some(0), "round {round}: {}", pushed.stderr);
        assert_eq!(watching.try_wait().unwrap(), None, "the watch ended in round {round}");
    }
    drop(stop);
    writing.join().unwrap();
    wait::until("the hub to have what the file has", || {
        two.ok(&["pull", "app", "copy.db"]);
        (dump(&copy) == dump(&file)).then_some(())
    });
    process::interrupt(&watching);
    assert_eq!(watching.wait().unwrap().code(), Some(130));
}

// Whoever merely had the file open ended a pull and a follower within milliseconds when the page size had changed.
// Verifies: PAG-66, PAG-68
#[test]
fn a_new_page_size_waits_until_nobody_has_the_file_open() {
    let hub = hub();
    let (one, two) = (ada(&hub), second_machine(&hub));
    let file = one.file("app.db");
    Shape { wal: true, ..Shape::default() }.create(&file, 100, 1);
    one.ok(&["push", "app.db", "app"]);
    two.ok(&["clone", "app", "copy.db"]);
    let _follower = Follower::start(&two, &["app", "live.db"]);
    two.ok(&["wait", "live.db", "1"]);
    let readers: Vec<Connection> = ["copy.db", "live.db"]
        .map(|name| {
            let reader = Connection::open(two.file(name)).unwrap();
            let _rows: i64 = reader.query_row("SELECT count(*) FROM item", [], |row| row.get(0)).unwrap();
            reader
        })
        .into();
    run(&file, "PRAGMA journal_mode = DELETE; PRAGMA page_size = 1024; VACUUM; PRAGMA journal_mode = WAL");
    one.ok(&["push", "app.db"]);
    let mut pulling = two.spawn(&["pull", "copy.db"]);
    let mut said = String::new();
    BufReader::new(pulling.stderr.as_mut().unwrap()).read_line(&mut said).unwrap();
    assert!(said.contains("copy.db is locked by another program: waiting"), "{said}");
    drop(readers);
    let pulled = finish(pulling);
    assert_eq!(pulled.code, Some(0), "{}", pulled.stderr);
    two.ok(&["wait", "live.db", "2", "--timeout", "60"]);
    for name in ["copy.db", "live.db"] {
        assert_equal(&file, &two.file(name));
    }
}
