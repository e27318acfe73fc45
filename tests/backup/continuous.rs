//! What changes between backups is shipped, and a restore reaches a moment.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
};

use ferry_testkit::{Hub, Session, command::Ferry, dump, http, hub::Options, sample::Shape, wait};
use serde_json::{Value, json};

use super::{Backed, objects, operator, settings, token};
use crate::{
    ops::{A, hlc, set},
    records::{Records, insert},
    support::{Place, options},
};

/// Numbers from a seed (xorshift64*).
struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// Text that nothing compresses to less than half.
    fn text(&mut self, bytes: usize) -> String {
        std::iter::repeat_with(|| format!("{:016x}", self.next())).take(bytes / 16).collect()
    }
}

pub(super) fn continuous(change: impl FnOnce(Options) -> Options) -> Backed {
    let backed = Backed::with(|options| change(options.arg("--backup-lag-seconds=1")));
    backed.write(0);
    caught_up(&backed);
    backed
}

pub(super) fn status(backed: &Backed) -> Value {
    status_of(&backed.records.place.hub)
}

/// How a hub's target is, as its operator is told.
pub(super) fn status_of(hub: &Hub) -> Value {
    let told = operator(hub).run(&["backup", "schedule", "--json"]);
    let told: Value = serde_json::from_str(&told.stdout).unwrap_or_else(|_| panic!("{}", told.stderr));
    told["targets"][0].clone()
}

/// Waits until the target has all that was acknowledged.
#[track_caller]
pub(super) fn caught_up(backed: &Backed) {
    wait::until("all is shipped", || {
        let status = status(backed);
        let is_well = status["state"] == "ok" && status["lagMs"].as_str().is_none_or(|lag| lag == "0");
        (is_well && !ranges(backed).is_empty()).then_some(())
    });
}

/// The ranges that lie there, without any hub.
pub(super) fn ranges(backed: &Backed) -> Vec<(i64, i64)> {
    let listed = backed.operator().ok(&["backup", "list", "--json", "--target", &backed.url()]);
    let listed: Value = serde_json::from_str(&listed).unwrap();
    let moment = |range: &Value, name: &str| range[name].as_i64().unwrap();
    let ranges = listed["ranges"].as_array().unwrap().iter();
    ranges.map(|range| (moment(range, "from_unix_ms"), moment(range, "to_unix_ms"))).collect()
}

pub(super) fn at(ms: i64) -> String {
    ferry_types::UnixMillis(ms).to_string()
}

/// Restores one database as it was at a moment into a file.
pub(super) fn database_at(backed: &Backed, database: &str, moment: &str) -> PathBuf {
    let ferry = backed.operator();
    let out = ferry.file("restored.db");
    let (url, to) = (backed.url(), out.to_str().unwrap());
    ferry.ok(&["backup", "restore", "--target", &url, "--database", database, "--at", moment, "--out", to]);
    let kept = tempfile::NamedTempFile::new().unwrap().into_temp_path().keep().unwrap();
    fs::copy(&out, &kept).unwrap();
    kept
}

pub(super) fn main_of(backed: &Backed) -> PathBuf {
    backed.records.place.hub.database_dir(&backed.records.place.database).join("main.db")
}

#[track_caller]
pub(super) fn assert_restores(backed: &Backed, moment: &str, expected: &[String]) {
    let restored = database_at(backed, &backed.records.place.database, moment);
    assert!(dump::dump(&restored) == expected, "{moment}");
    fs::remove_file(restored).unwrap();
}

/// Restores the whole hub as it was at a moment.
fn hub_at(backed: &Backed, moment: &str) -> (Ferry, PathBuf) {
    let ferry = backed.operator();
    let to = ferry.file("restored");
    let url = backed.url();
    ferry.ok(&["backup", "restore", "--target", &url, "--at", moment, "--to", to.to_str().unwrap()]);
    (ferry, to)
}

// Verifies: OPR-05, OPR-08, OPR-20, OPR-21
#[test]
fn every_recorded_moment_restores_as_it_was_whenever_the_hub_was_killed() {
    let mut rng = Rng(0x5eed_0003);
    let mut backed = continuous(|options| options);
    let (mut n, mut recorded) = (1, Vec::new());
    for round in 0..6 {
        for _ in 0..=rng.next() % 4 {
            backed.write(n);
            n += 1;
        }
        caught_up(&backed);
        recorded.push((ranges(&backed).last().unwrap().1, dump::dump(&main_of(&backed))));
        if round % 2 == 1 {
            // What was acknowledged longer ago is there; of this nobody knows.
            backed.write(n);
            n += 1;
            backed.records.place.hub.kill();
            let latest = dump::dump(&database_at(&backed, &backed.records.place.database, "latest"));
            let now = dump::dump(&main_of(&backed));
            let before = &recorded.last().unwrap().1;
            assert!(latest.len() >= before.len() && latest.len() <= now.len(), "round {round}");
            backed = backed.restarted_with(|options| options);
            backed.write(n);
            n += 1;
            caught_up(&backed);
        }
    }
    for (moment, dump) in &recorded {
        assert_restores(&backed, &at(*moment), dump);
    }
    let all = ranges(&backed);
    assert!(all.len() >= 2 && all.iter().all(|(from, to)| from < to), "{all:?}");
    // The same through the hub, as a new database, and all of it without one.
    let (moment, _) = recorded[1];
    let name = backed.operator().ok(&[
        "backup",
        "restore",
        "--database",
        "app",
        "--as",
        "then",
        "--at",
        &at(moment),
    ]);
    assert!(name.contains("then"), "{name}");
    let verified = backed.operator().ok(&["backup", "verify"]);
    assert!(verified.lines().all(|line| line.starts_with("ok\t")), "{verified}");
    // Between two runs of the hub nothing was shipped: the nearest moments are named. Before all there is nothing.
    let refused = |moment: &str| {
        let ferry = backed.operator();
        let (url, to) = (backed.url(), ferry.file("none"));
        ferry.fails(5, &["backup", "restore", "--target", &url, "--at", moment, "--to", to.to_str().unwrap()])
    };
    let said = refused(&at(all[0].1 + 1));
    assert!(said.contains(&at(all[0].1)) && said.contains(&at(all[1].0)), "{said}");
    assert!(refused("2001-01-01T00:00:00Z").contains(&at(all[0].0)));
    // What lies behind the end is reached as far as can be.
    let newest = dump::dump(&main_of(&backed));
    assert_restores(&backed, "2199-01-01T00:00:00Z", &newest);
    assert_restores(&backed, "latest", &newest);
}

// A page that changes and is then as it was is the trap: a snapshot that shows what is between would keep it.
// Verifies: OPR-02, OPR-05, OPR-08, OPR-10
#[test]
fn the_log_is_played_upon_snapshots_that_are_taken_beside_writers() {
    let backed = continuous(|options| options);
    let (is_over, written) = (AtomicBool::new(false), AtomicU64::new(0));
    let taken = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                let n = written.fetch_add(1, Ordering::Relaxed);
                let there_and_back = if n % 2 == 0 { "there" } else { "back" };
                let both = [
                    insert("tasks", "toggled", there_and_back),
                    insert("tasks", &format!("row-{}", n % 7), there_and_back),
                ];
                backed.records.push("maker", "", &json!(both));
            }
        });
        let taken: Vec<String> = (0..6)
            .map(|_| {
                let (before, shipped) = (written.load(Ordering::Relaxed), log_objects(&backed).len());
                wait::until("a further write and interval", || {
                    let is_further =
                        written.load(Ordering::Relaxed) > before && log_objects(&backed).len() > shipped;
                    is_further.then_some(())
                });
                backed.back_up().0
            })
            .collect();
        is_over.store(true, Ordering::Relaxed);
        taken
    });
    caught_up(&backed);
    // Each of them, and all that follows it until the next.
    for id in &taken {
        let verified = backed.operator().ok(&["backup", "verify", id, "--target", &backed.url()]);
        assert!(verified.lines().all(|line| line.starts_with("ok\t")), "{id}: {verified}");
    }
    assert_eq!(ranges(&backed).len(), 1, "{:?}", ranges(&backed));
    assert_restores(&backed, "latest", &dump::dump(&main_of(&backed)));
    // Most were shipped as what changed.
    let metrics = http::get(backed.records.address(), "/metrics").unwrap().text();
    assert!(!metrics.contains("ferry_backup_log_whole_total 1"), "{metrics}");
}

// Verifies: OPR-05, OPR-20, OPR-23
#[test]
fn what_a_restored_hub_writes_is_restored_in_turn_with_databases_that_came_and_went() {
    let mut backed = continuous(|options| options.arg("--max-open-databases=8"));
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("source.db");
    Shape::default().create(&source, 300, 1);
    let made: Vec<String> = {
        let user = &backed.records.place.user;
        let made = (0..20).map(|n| user.create_database(&format!("db{n}"))).collect::<Vec<_>>();
        for database in &made {
            let push = user.sync_token(database, ferry_testkit::Direction::Push);
            ferry_testkit::edgereplica::push(backed.records.address(), &push, &source).unwrap();
        }
        made
    };
    caught_up(&backed);
    // One of them is pushed again, with a row that changed.
    let (first, again) = (ranges(&backed).last().unwrap().1, folder.path().join("again.db"));
    fs::copy(&source, &again).unwrap();
    let changed = rusqlite::Connection::open(&again).unwrap();
    changed.execute("UPDATE item SET price = price + 1 WHERE id = 77", []).unwrap();
    changed.close().unwrap();
    let push = backed.records.place.user.sync_token(&made[1], ferry_testkit::Direction::Push);
    ferry_testkit::edgereplica::push(backed.records.address(), &push, &again).unwrap();
    caught_up(&backed);
    let with_all = ranges(&backed).last().unwrap().1;
    dump::assert_equal(&source, &database_at(&backed, &made[1], &at(first)));
    dump::assert_equal(&again, &database_at(&backed, &made[1], &at(with_all)));
    backed.records.place.user.ferry("DeleteDatabase", &json!({"databaseId": made[0]})).unwrap();
    backed.write(1);
    caught_up(&backed);
    let (_ferry, to) = hub_at(&backed, &at(with_all));
    for database in made.iter().filter(|database| **database != made[1]) {
        dump::assert_equal(&source, &to.join("databases").join(database).join("main.db"));
    }
    let (ferry, to) = hub_at(&backed, "latest");
    assert!(!to.join("databases").join(&made[0]).exists());
    dump::assert_equal(&source, &to.join("databases").join(&made[19]).join("main.db"));
    // The machine is lost; another one goes on, twice.
    backed.records.place.hub.kill();
    let mut backed = replaced(backed, &to, "first");
    drop(ferry);
    backed.records.place.hub.kill();
    let (_ferry, to) = hub_at(&backed, "latest");
    let backed = replaced(backed, &to, "second");
    let (found, _) = backed.records.pull_all("new", "tasks", "");
    let ids: Vec<&str> = found.iter().map(|change| change["id"].as_str().unwrap()).collect();
    for id in ["t0", "t1", "first", "second"] {
        assert!(ids.contains(&id), "{id}: {ids:?}");
    }
}

/// A hub that runs on in a restored folder; one row is written, and shipped.
fn replaced(backed: Backed, to: &Path, row: &str) -> Backed {
    let dir = backed.records.place.hub.data_dir();
    let records = backed.records.restarted_with(|options| {
        fs::remove_dir_all(&dir).unwrap();
        fs::rename(to, &dir).unwrap();
        options
    });
    let Records { place: Place { hub, user, database }, .. } = records;
    let user = Session::login(hub.address(), &user.email);
    let records = Records::at(Place { hub, user, database });
    let token = token(&records.place);
    let backed = Backed { records, token, ..backed };
    backed.records.push("maker", "", &json!([insert("tasks", row, "x")]));
    caught_up(&backed);
    backed
}

// Verifies: OPR-05, OPR-08, OPR-22
#[test]
fn what_is_put_back_or_made_from_a_backup_is_shipped_too() {
    let backed = continuous(|options| options);
    let (then, before) = (ranges(&backed)[0].1, dump::dump(&main_of(&backed)));
    backed.write(1);
    caught_up(&backed);
    let made = backed.operator().ok(&["backup", "restore", "--database", "app", "--as", "copy"]);
    let copy = backed.records.place.hub.database_dir(made.split('\t').next().unwrap()).join("main.db");
    let replace = ["backup", "restore", "--database", "app", "--replace", "--yes", "--at", &at(then)];
    backed.operator().ok(&replace);
    caught_up(&backed);
    dump::assert_equal(&copy, &database_at(&backed, "copy", "latest"));
    assert_restores(&backed, "latest", &dump::dump(&main_of(&backed)));
    assert_restores(&backed, &at(then), &before);
    assert_eq!(ranges(&backed).len(), 1, "{:?}", ranges(&backed));
}

// Verifies: OPR-07
#[test]
fn a_target_that_is_away_for_long_leaves_a_gap_and_no_writer_waits() {
    let mut rng = Rng(0x5eed_0004);
    let backed = continuous(|options| options.arg("--backup-spool-mib=1"));
    let before = (ranges(&backed).last().unwrap().1, dump::dump(&main_of(&backed)));
    let away = backed.target.path().with_extension("away");
    fs::rename(backed.target.path(), &away).unwrap();
    fs::write(backed.target.path(), b"in the way").unwrap();
    let mut n = 0;
    wait::until("the spool is full", || {
        n += 1;
        let rows: Vec<Value> =
            (0..4).map(|row| insert("tasks", &format!("big-{n}-{row}"), &rng.text(32 << 10))).collect();
        backed.records.push("maker", "", &json!(rows));
        (status(&backed)["state"] == "gap").then_some(())
    });
    let spool = backed.records.place.hub.data_dir().join("backup/log");
    let waiting: u64 = ferry_testkit::hub::listing(&spool).iter().map(|(_, bytes)| bytes).sum();
    assert!(waiting <= 1 << 20, "{waiting}");
    backed.operator().fails(12, &["backup", "schedule"]);
    let ready = http::get(backed.records.address(), "/readyz").unwrap();
    assert_eq!((ready.status, &ready.json()["checks"]["backup"]), (200, &json!("gap")));
    fs::remove_file(backed.target.path()).unwrap();
    fs::rename(&away, backed.target.path()).unwrap();
    backed.records.push("maker", "", &json!([insert("tasks", "after", "x")]));
    caught_up(&backed);
    backed.records.push("maker", "", &json!([insert("tasks", "later", "x")]));
    caught_up(&backed);
    // Both sides of the hole.
    let all = ranges(&backed);
    assert_eq!(all.len(), 2, "{all:?}");
    assert_eq!(all[0].1, before.0);
    assert_restores(&backed, &at(before.0), &before.1);
    assert_restores(&backed, "latest", &dump::dump(&main_of(&backed)));
    // What the hub notes of itself is shipped, too: the lag is nothing but for moments.
    wait::until("nothing waits", || {
        let metrics = http::get(backed.records.address(), "/metrics").unwrap().text();
        metrics.contains("ferry_backup_lag_seconds{target=\"1\"} 0\n").then_some(())
    });
}

pub(super) fn log_objects(backed: &Backed) -> Vec<String> {
    objects(backed.target.path()).into_iter().filter(|path| path.starts_with("log/")).collect()
}

// Verifies: OPR-09, OPR-10, OPR-21
#[test]
fn a_damaged_or_lost_part_is_named_and_what_lies_before_it_restores() {
    let mut backed = continuous(|options| options);
    let mut recorded = Vec::new();
    for n in 1..4 {
        backed.write(n);
        caught_up(&backed);
        recorded.push((ranges(&backed)[0].1, dump::dump(&main_of(&backed)), log_objects(&backed)));
    }
    // The last that the second moment needs.
    let (_, _, until) = &recorded[1];
    let object = until.last().unwrap();
    let path = backed.target.path().join(object);
    let good = fs::read(&path).unwrap();
    let mut bad = good.clone();
    bad[good.len() / 2] ^= 1;
    fs::remove_file(&path).unwrap();
    fs::write(&path, &bad).unwrap();
    let ferry = backed.operator();
    let (url, to) = (backed.url(), ferry.file("damaged"));
    let restore = ["backup", "restore", "--target", &url, "--to", to.to_str().unwrap()];
    let said = ferry.fails(11, &restore);
    assert!(said.contains(object) && !to.exists(), "{said}");
    for place in [&["--target", &*url][..], &[]] {
        let said = backed.operator().fails(11, &[&["backup", "verify"], place].concat());
        assert!(said.contains(object), "{said}");
    }
    assert_restores(&backed, &at(recorded[0].0), &recorded[0].1);
    // One that is gone ends the range; a hub that runs would take a backup for it.
    backed.records.place.hub.kill();
    fs::remove_file(&path).unwrap();
    let all = ranges(&backed);
    assert!(all.iter().all(|(_, to)| *to < recorded[1].0), "{all:?}");
    assert_restores(&backed, &at(recorded[0].0), &recorded[0].1);
    fs::write(&path, &good).unwrap();
    for (moment, dump, _) in &recorded {
        assert_restores(&backed, &at(*moment), dump);
    }
    // Old parts go by themselves.
    let days_ms: i64 = 9 * 24 * 3600 * 1000;
    let last = dump::dump(&main_of(&backed));
    let backed = backed.restarted_with(|options| options.fault(format!("clock={days_ms}")));
    wait::until("what is old is gone", || {
        log_objects(&backed).iter().all(|left| !until.contains(left)).then_some(())
    });
    assert_restores(&backed, "latest", &last);
}

// Verifies: OPR-01, OPR-05
#[test]
fn nothing_of_an_encrypted_log_is_read_without_its_key() {
    const ROW: &str = "q8Zr2Lx0vN5tKc7WbYdE";
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("backup.key");
    let key = key.to_str().unwrap();
    Ferry::new(crate::support::FERRY, "http://127.0.0.1:1").ok(&["backup", "key", "create", key]);
    let backed =
        Backed::with(|options| options.arg(format!("--backup-key-file={key}")).arg("--backup-lag-seconds=1"));
    backed.write(0);
    backed.records.push("maker", "", &json!([insert("tasks", "secret", ROW)]));
    let keyed = |backed: &Backed| backed.operator().env("FERRY_BACKUP_KEY_FILE", key);
    for objects in 1..=2 {
        wait::until("it is shipped", || {
            let is_there = status(&backed)["lagMs"].as_str().is_none_or(|lag| lag == "0");
            (is_there && log_objects(&backed).len() >= objects).then_some(())
        });
        backed.records.push("maker", "", &json!([insert("tasks", &format!("secret{objects}"), ROW)]));
    }
    wait::until("all is shipped", || {
        status(&backed)["lagMs"].as_str().is_none_or(|lag| lag == "0").then_some(())
    });
    for object in log_objects(&backed) {
        let bytes = fs::read(backed.target.path().join(&object)).unwrap();
        for what in
            [ROW.as_bytes(), b"FERRYLG1", backed.records.place.database.as_bytes(), &[0x28, 0xb5, 0x2f, 0xfd]]
        {
            assert!(!bytes.windows(what.len()).any(|window| window == what), "{object}");
        }
    }
    let (ferry, url) = (keyed(&backed), backed.url());
    let to = ferry.file("restored.db");
    let restore = ["backup", "restore", "--target", &url, "--database", "app", "--out", to.to_str().unwrap()];
    backed.operator().fails(9, &restore);
    ferry.ok(&restore);
    dump::assert_equal(&main_of(&backed), &to);
    // Two that change places are no longer what was sealed under their names.
    let [.., first, second] = &log_objects(&backed)[..] else { panic!("{:?}", log_objects(&backed)) };
    let (first, second) = (backed.target.path().join(first), backed.target.path().join(second));
    let (one, other) = (fs::read(&first).unwrap(), fs::read(&second).unwrap());
    for (path, bytes) in [(&first, &other), (&second, &one)] {
        fs::remove_file(path).unwrap();
        fs::write(path, bytes).unwrap();
    }
    let hub = ferry.file("hub");
    keyed(&backed).fails(11, &["backup", "restore", "--target", &url, "--to", hub.to_str().unwrap()]);
}

// Verifies: OPR-05, OPR-09
#[test]
fn a_hub_that_is_killed_while_it_ships_loses_nothing_that_was_shipped() {
    let mut backed = continuous(|options| options);
    let mut n = 0;
    for point in ["backup.spool", "backup.shipped", "backup.packs", "backup.manifest"] {
        backed = backed.restarted_with(|options| options);
        n += 1;
        backed.write(n);
        caught_up(&backed);
        let known = (ranges(&backed).last().unwrap().1, dump::dump(&main_of(&backed)));
        backed = backed.restarted_with(|options| options.fault(format!("{point}=kill")));
        // Killed by the snapshot of its start, or by what this has it ship; it may never be answered.
        let op = set(&format!("op-a-{:05}", 500 + n), &hlc(500 + n, 0, A), "n/x", "t", &json!(n), &[]);
        let body = json!({"origin": A, "ops": [op]}).to_string();
        let bearer = format!("Bearer {}", backed.token);
        let headers = [("Authorization", &*bearer), ("X-Client-Id", "device")];
        let path = "/v1/databases/-/ops";
        let _ = http::send(backed.records.address(), "POST", path, &headers, body.as_bytes());
        assert!(!backed.records.place.hub.ended().success(), "{point}");
        backed = backed.restarted_with(Options::without_faults);
        assert_restores(&backed, &at(known.0), &known.1);
        n += 1;
        backed.write(n);
        caught_up(&backed);
        assert_restores(&backed, "latest", &dump::dump(&main_of(&backed)));
    }
    let verified = backed.operator().ok(&["backup", "verify"]);
    assert!(verified.lines().all(|line| line.starts_with("ok\t")), "{verified}");
}

// Verifies: OPR-05
#[test]
fn a_hub_without_a_lag_ships_nothing_between_backups() {
    let backed = Backed::new();
    backed.write(0);
    backed.back_up();
    backed.write(1);
    assert!(log_objects(&backed).is_empty());
    assert!(ranges(&backed).iter().all(|(from, to)| from == to));
    let target = tempfile::tempdir().unwrap();
    for bad in
        ["--backup-lag-seconds=3601", "--backup-lag-seconds=x", "--backup-spool-mib=0", "--backup-log-days=0"]
    {
        let refused = settings(options(), target.path()).arg(bad).try_start().unwrap_err();
        assert!(format!("{refused:?}").contains("expected a whole number"), "{refused:?}");
    }
    let hub = settings(options(), target.path()).start();
    operator(&hub).ok(&["backup", "create"]);
}
