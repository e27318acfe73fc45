//! Random schedules of SQL, captures, checkpoints and restarts against what SQLite itself shows.

use super::*;

/// A small generator: the same seed, the same schedule.
struct Rng(u64);

impl Rng {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}

/// What a test knows of versions: their images.
#[derive(Default)]
struct Model(BTreeMap<u64, (VersionInfo, Vec<Vec<u8>>)>);

impl Model {
    /// Captures, and notes the image of the version.
    fn capture(&mut self, hub: &Hub, context: &str) {
        let replica = hub.replica();
        replica.capture().unwrap_or_else(|error| panic!("{context}: {error}"));
        let info = replica.current();
        let image = image_of(&hub.main());
        assert!(served(&replica.pin()) == image, "{context}: version {}", info.version);
        self.0.insert(info.version, (info, image));
    }

    /// Of a random version: what it was, if it is kept, and what leads from it to now.
    fn look(&self, hub: &Hub, rng: &mut Rng, context: &str) {
        let nth = usize::try_from(rng.below(self.0.len().max(1) as u64)).unwrap();
        let Some((info, image)) = self.0.values().nth(nth) else { return };
        let replica = hub.replica();
        if let Some(pinned) = replica.pin_at(At::Tag(info.tag())).unwrap() {
            assert!(served(&pinned) == *image, "{context}: version {} is another", info.version);
        }
        assert_leads(&replica, info, image);
    }
}

fn sql(rng: &mut Rng) -> String {
    let (id, length) = (rng.below(400), rng.below(3000));
    match rng.below(9) {
        0 => format!("DELETE FROM t WHERE id BETWEEN {id} AND {}", id + rng.below(80)),
        1 => format!("UPDATE t SET text = hex(randomblob({length})) WHERE id % 17 = {}", id % 17),
        2 => format!(
            "CREATE TABLE IF NOT EXISTS u{0}(x); INSERT INTO u{0} VALUES (randomblob({length}))",
            id % 6
        ),
        3 => format!("DROP TABLE IF EXISTS u{}", id % 6),
        _ => format!("INSERT OR REPLACE INTO t VALUES ({id}, hex(randomblob({length})))"),
    }
}

/// Writes more than the page cache holds, so that frames are in the WAL before the transaction is rolled back.
fn spill(hub: &mut Hub, rng: &mut Rng) {
    let connection = hub.writer.as_mut().unwrap().connection();
    connection.execute_batch("PRAGMA cache_size=10; PRAGMA cache_spill=10; BEGIN").unwrap();
    for _ in 0..rng.below(4) + 1 {
        connection.execute_batch(&sql(rng)).unwrap();
        connection.execute_batch("UPDATE t SET text = text || 'x' WHERE id % 3 = 0").unwrap();
    }
    connection.execute_batch("ROLLBACK; PRAGMA cache_size=-2000; PRAGMA cache_spill=ON").unwrap();
}

/// What anybody may do beside: SQLite moves what it can.
fn checkpoint_by_hand(hub: &Hub, rng: &mut Rng) {
    let shell = Connection::open(hub.main()).unwrap();
    shell.busy_timeout(std::time::Duration::ZERO).unwrap();
    let mode = ["PASSIVE", "RESTART", "TRUNCATE"][usize::try_from(rng.below(3)).unwrap()];
    let _ = shell.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |row| row.get::<_, Value>(0));
}

fn step(hub: &mut Hub, rng: &mut Rng, model: &mut Model, context: &str) {
    let tiny_cache = "PRAGMA cache_spill=10; PRAGMA cache_size=10";
    match rng.below(24) {
        0..=9 => hub.run(&sql(rng)),
        10 => spill(hub, rng),
        11 => hub.run_alone("PRAGMA incremental_vacuum(20)", "SELECT 1"),
        12 if rng.below(4) == 0 => hub.run_alone("VACUUM", "SELECT 1"),
        13 if rng.below(3) == 0 => hub.run_alone(tiny_cache, "UPDATE t SET text = hex(randomblob(900))"),
        14 => hub.checkpoint(),
        15 => checkpoint_by_hand(hub, rng),
        16 if rng.below(3) == 0 => {
            hub.close();
            hub.open();
        }
        17 if rng.below(3) == 0 => hub.reopen_writer(),
        18 if rng.below(4) == 0 => {
            hub.kill();
            hub.open();
        }
        19 | 20 => model.look(hub, rng, context),
        _ => model.capture(hub, context),
    }
}

fn run(seed: u64, steps: u32) {
    let dir = tempfile::tempdir().unwrap();
    let mut rng = Rng(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let page_size = [512, 1024, 4096, 65536][usize::try_from(rng.below(4)).unwrap()];
    let made = Connection::open(dir.path().join("main.db")).unwrap();
    let auto_vacuum = rng.below(3);
    made.execute_batch(&format!("PRAGMA page_size={page_size}; PRAGMA auto_vacuum={auto_vacuum}; VACUUM"))
        .unwrap();
    drop(made);
    let mut hub = Hub::new(dir.path());
    hub.run("CREATE TABLE t(id INTEGER PRIMARY KEY, text TEXT)");
    let mut model = Model::default();
    for n in 0..steps {
        step(&mut hub, &mut rng, &mut model, &format!("seed {seed}, step {n}"));
    }
    let context = format!("seed {seed}, the end");
    model.capture(&hub, &context);
    for _ in 0..10 {
        model.look(&hub, &mut rng, &context);
    }
}

#[test]
fn random_schedules_give_versions_that_existed() {
    // Verifies: PAG-41, PAG-42, PAG-46, PAG-47
    let seeds = std::env::var("FERRY_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(24);
    for seed in 1..=seeds {
        run(seed, 150);
    }
}

/// Captures on one thread, commits on another, checkpoints in between: each version has one sum.
#[test]
fn captures_beside_a_writer_are_whole_commits() {
    // Verifies: PAG-41
    let dir = tempfile::tempdir().unwrap();
    let mut hub = Hub::new(dir.path());
    hub.run(
        "CREATE TABLE a(id INTEGER PRIMARY KEY, money INTEGER, note BLOB);
         WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 999)
         INSERT INTO a SELECT i, 100, zeroblob(200) FROM n",
    );
    let replica = hub.replica();
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut rng = Rng(77);
            for n in 0..1500 {
                let (from, to, by) = (rng.below(1000), rng.below(1000), rng.below(50));
                hub.run(&format!(
                    "UPDATE a SET money = money - {by}, note = randomblob(200) WHERE id = {from};
                     UPDATE a SET money = money + {by} WHERE id = {to}"
                ));
                if n % 10 == 0 {
                    hub.checkpoint();
                }
            }
            done.store(true, Ordering::Release);
        });
        let mut versions = 0;
        while !done.load(Ordering::Acquire) {
            if replica.capture().unwrap().is_none() {
                std::thread::yield_now();
                continue;
            }
            versions += 1;
            if versions % 8 == 0 {
                assert_eq!(sum_of(&served(&replica.pin()), dir.path()), 100_000);
            }
        }
        assert!(versions > 20, "{versions}");
    });
}

fn sum_of(image: &[Vec<u8>], dir: &Path) -> i64 {
    let file = dir.join("copy.db");
    std::fs::write(&file, image.concat()).unwrap();
    let copy = Connection::open(&file).unwrap();
    copy.query_row("SELECT sum(money) FROM a", [], |row| row.get(0)).unwrap()
}
