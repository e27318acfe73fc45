//! What is kept of old versions, and for how long (PAG-49).

use std::sync::atomic::{AtomicI64, Ordering};

use super::*;

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

pub(super) struct Hand(AtomicI64);

impl Clock for Hand {
    fn now(&self) -> UnixMillis {
        UnixMillis(self.0.load(Ordering::Relaxed))
    }
}

/// A replica under a clock that is moved by hand, and all versions it ever had.
pub(super) struct Aging {
    pub(super) dir: tempfile::TempDir,
    pub(super) clock: Arc<Hand>,
    pub(super) replica: Arc<Replica>,
    pub(super) source: Source,
    pub(super) versions: Vec<(VersionInfo, Pages)>,
}

impl Aging {
    pub(super) fn new(config: ReplicaConfig, rows: u32) -> Self {
        let dir = tempfile::tempdir().unwrap();
        // At the beginning of an hour.
        let clock = Arc::new(Hand(AtomicI64::new(472_222 * HOUR_MS)));
        let replica = Replica::open(dir.path(), config, Arc::<Hand>::clone(&clock), Box::new(())).unwrap();
        Self { dir, clock, replica, source: Source::new("", rows), versions: Vec::new() }
    }

    pub(super) fn pass(&self, ms: i64) {
        self.clock.0.fetch_add(ms, Ordering::Relaxed);
    }

    pub(super) fn push(&mut self, sql: &str) {
        self.source.run(sql);
        let pages = self.source.pages();
        let (info, _) = uploads::push_body(&self.replica, &pages).unwrap();
        self.versions.push((info, served(&pages)));
    }

    /// Numbers of those that are listed; each is still what it was, and leads to the newest.
    fn listed(&self) -> Vec<u64> {
        let listed = self.replica.versions(None, 10_000).unwrap();
        for row in &listed {
            let (_, image) = self.versions.iter().find(|(info, _)| *info == row.info).expect("it was made");
            let pinned = self.replica.pin_at(At::Tag(row.info.tag())).unwrap().expect("it is kept");
            assert!(whole(&pinned) == *image, "version {}", row.info.version);
            let body = bodies::body(&self.replica, self.replica.pin(), &Since::Tag(row.info.tag()));
            let newest = bodies::normal(&self.versions.last().unwrap().1);
            assert!(bodies::applied(&bodies::normal(image), &body) == newest, "from {}", row.info.version);
        }
        listed.iter().rev().map(|row| row.info.version).collect()
    }

    fn history_bytes(&self) -> u64 {
        self.replica.segments.list().unwrap().iter().map(|(_, bytes)| bytes).sum()
    }
}

// Verifies: PAG-49
#[test]
fn versions_get_fewer_as_they_grow_old() {
    let mut aging = Aging::new(ReplicaConfig::default(), 400);
    // Three a minute for three minutes, then one an hour later.
    for minute in 0..3 {
        for second in [0, 20, 40] {
            let n = minute * 3 + second;
            aging.push(&format!("UPDATE t SET text = 'at {n}' WHERE id % 40 = {}", n % 40));
            aging.pass(20_000);
        }
    }
    aging.replica.maintain().unwrap();
    let is_checked = || aging.replica.find_at(At::Version(3)).unwrap().unwrap().is_checked();
    assert!(!is_checked() && aging.replica.find_at(At::Version(9)).unwrap().unwrap().is_checked());
    assert_eq!(aging.listed(), (1..=9).collect::<Vec<_>>(), "all for an hour");
    assert!(is_checked(), "it was read");
    aging.pass(HOUR_MS);
    aging.push("UPDATE t SET text = 'later' WHERE id = 3; INSERT INTO t(text) SELECT text FROM t");
    aging.replica.maintain().unwrap();
    assert_eq!(aging.listed(), [3, 6, 9, 10], "then the last of each minute");
    // A version that somebody reads stays while it is read.
    let pinned = aging.replica.pin_at(At::Version(3)).unwrap().unwrap();
    aging.pass(DAY_MS);
    aging.push("DELETE FROM t WHERE id % 2 = 0");
    aging.replica.maintain().unwrap();
    assert_eq!(aging.listed(), [3, 9, 10, 11], "then the last of each hour");
    drop(pinned);
    // As of a time between: the newest that is not after it.
    let time = aging.versions[6].0.time;
    let found = aging.replica.pin_at(At::Time(time)).unwrap().unwrap();
    assert_eq!(found.info().version, 3);
    drop(found);
    aging.pass(29 * DAY_MS + HOUR_MS);
    aging.replica.maintain().unwrap();
    assert_eq!(aging.listed(), [11], "then none");
    let Aging { dir, replica, versions, .. } = aging;
    drop(replica);
    assert!(whole(&open(dir.path()).pin()) == versions.last().unwrap().1, "also when opened again");
}

// Verifies: PAG-49
#[test]
fn what_thinning_leaves_of_a_segment_is_written_anew() {
    let mut aging = Aging::new(ReplicaConfig { history_ratio: 40.0, ..ReplicaConfig::default() }, 4000);
    for n in 0..120 {
        // All within one minute, but for those at the end.
        aging.push(&format!("UPDATE t SET text = hex(randomblob(40)) || {n} WHERE id % 4 = 0"));
        aging.pass(if n < 100 { 500 } else { 60_000 });
    }
    let before = aging.history_bytes();
    assert!(aging.replica.segments.list().unwrap().len() > 2, "{:?}", aging.replica.segments.list());
    aging.pass(2 * HOUR_MS);
    aging.replica.maintain().unwrap();
    let after = aging.history_bytes();
    assert!(after < before * 2 / 3, "{before} before, {after} after");
    assert!(aging.listed().len() < 30);
}

// Verifies: PAG-43, PAG-49
#[test]
fn killed_while_a_segment_is_written_anew_every_listed_version_stands() {
    let mut aging = Aging::new(ReplicaConfig { history_ratio: 40.0, ..ReplicaConfig::default() }, 4000);
    for n in 0..60 {
        aging.push(&format!("UPDATE t SET text = hex(randomblob(40)) || {n} WHERE id % 4 = 0"));
        aging.pass(if n < 50 { 500 } else { 60_000 });
    }
    aging.pass(2 * HOUR_MS);
    let copies = tempfile::tempdir().unwrap();
    let made = Arc::new(Mutex::new(0));
    let (counter, from, to) = (Arc::clone(&made), aging.dir.path().to_owned(), copies.path().to_owned());
    let copy = move |point: &str| {
        if point == "compact.moved" {
            let mut made = counter.lock().unwrap();
            crash::copy_dir(&from, &to.join(made.to_string()));
            *made += 1;
        }
        Ok(())
    };
    hook::with(copy, || aging.replica.maintain()).unwrap();
    let made = *made.lock().unwrap();
    assert!(made >= 1, "no segment was written anew");
    let listed = aging.listed();
    for n in 0..made {
        let (clock, folder) = (Arc::<Hand>::clone(&aging.clock), copies.path().join(n.to_string()));
        aging.replica = Replica::open(&folder, aging.replica.config, clock, Box::new(())).unwrap();
        assert_eq!(aging.listed(), listed, "killed at segment {n}");
        aging.replica.maintain().unwrap();
        assert_eq!(aging.listed(), listed, "after it was done again");
    }
}

// Verifies: PAG-49
#[test]
fn ten_thousand_small_versions_stay_within_their_share_of_the_disk() {
    let mut aging = Aging::new(ReplicaConfig::default(), 2000);
    aging.push("");
    for n in 0..10_000_u32 {
        let pinned = aging.replica.pin();
        // What a client does: only the page that it knows to have changed.
        let mut page = Vec::new();
        let last = PageNo::new(pinned.info().page_count.0).unwrap();
        contents::read_normal(&pinned, &[last], &mut page).unwrap();
        let at = page.len() - 8 - (n as usize % 500);
        page[at] = page[at].wrapping_add(1);
        let mut pages = aging.versions[0].1.clone();
        *pages.last_mut().unwrap() = page;
        if n % 1000 == 0 {
            // Read back in full now and then.
            uploads::push_body(&aging.replica, &pages).unwrap();
        } else {
            let base = bodies::normal(&whole(&pinned));
            let body = uploads::body_parts(pinned.info(), &base, &pages, false).concat();
            uploads::upload(&aging.replica, &body, usize::MAX).unwrap();
        }
        aging.pass(5);
    }
    let database = aging.replica.current().bytes();
    let folder: u64 = std::fs::read_dir(aging.dir.path().join("pages"))
        .unwrap()
        .flatten()
        .map(|entry| entry.metadata().unwrap())
        .filter(std::fs::Metadata::is_file)
        .map(|data| data.len())
        .sum();
    let wal = std::fs::metadata(aging.dir.path().join("main.db-wal")).map_or(0, |data| data.len());
    let total = aging.history_bytes() + folder + wal;
    assert!(total <= 2 * database + (20 << 20), "{total} bytes beside a database of {database}");
}
