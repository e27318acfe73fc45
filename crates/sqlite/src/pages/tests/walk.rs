//! A long life of a database beside a model that keeps every version: SQL, VACUUM, versions that grow old and are thinned,
//! restarts (pages specification, scenario 8).

use ferry_testkit::rng::Rng;

use super::{retention::Aging, *};

/// Steps of each life.
const STEPS: u32 = 700;
const LIVES: u64 = 3;

/// One change as programs make them.
fn change(rng: &mut Rng, step: u32) -> String {
    let (row, share) = (rng.below(400), 3 + rng.below(40));
    match rng.below(14) {
        0 => "VACUUM".into(),
        1 => format!("DELETE FROM t WHERE id % {share} = 1"),
        2 | 3 => "INSERT INTO t(text) SELECT text || id FROM t LIMIT 60".into(),
        4 => format!("UPDATE t SET text = hex(randomblob(30)) WHERE id % {share} = 0"),
        5 => format!(
            "CREATE TABLE IF NOT EXISTS u{row}(x); INSERT INTO u{row} VALUES (zeroblob({}))",
            share * 300
        ),
        6 => "CREATE INDEX IF NOT EXISTS by_text ON t(text)".into(),
        7 => "DROP INDEX IF EXISTS by_text".into(),
        8 => {
            "DELETE FROM t WHERE id NOT IN (SELECT id FROM t LIMIT 300); PRAGMA incremental_vacuum(20)".into()
        }
        _ => format!("UPDATE t SET text = 'step {step}' WHERE id = {row}"),
    }
}

/// What a reader that has this version is sent leads to the newest; and this version, where it is still kept, is as it was.
fn look_back(aging: &Aging, rng: &mut Rng, story: &str) -> bool {
    let (newest, image) = aging.versions.last().unwrap();
    let image = bodies::normal(image);
    let (had, base) = &aging.versions[rng.below(aging.versions.len() as u64) as usize];
    let since = Since::Tag(had.tag());
    // Also of one that is long off the list: what has not changed since is saved all the same.
    let body = bodies::body(&aging.replica, aging.replica.pin(), &since);
    assert!(
        bodies::applied(&bodies::normal(base), &body) == image,
        "{story}: {} to {}",
        had.tag(),
        newest.tag()
    );
    let Some(pinned) = aging.replica.pin_at(At::Time(had.time)).unwrap() else { return false };
    let found = aging.versions.iter().find(|(info, _)| info == pinned.info());
    let (info, then) = found.unwrap_or_else(|| panic!("{story}: {} was never made", pinned.info().tag()));
    assert!(info.time <= had.time, "{story}: {} is of later", info.tag());
    assert!(whole(&pinned) == *then, "{story}: {} is another", info.tag());
    *info == *had
}

fn live(seed: u64) {
    let mut rng = Rng::new(seed);
    let mut aging = Aging::new(ReplicaConfig { history_ratio: 4.0, ..ReplicaConfig::default() }, 200);
    aging.push("PRAGMA auto_vacuum = 2");
    let (mut kept, mut gone) = (0, 0);
    for step in 0..STEPS {
        let story = format!("seed {seed}, step {step}");
        match rng.below(12) {
            0 => aging.replica.maintain().unwrap(),
            1 => aging.pass(rng.below(3 * 3_600_000) as i64),
            2 => {
                let (config, clock) = (aging.replica.config, Arc::clone(&aging.clock));
                // Opened anew while nobody has it open.
                aging.replica = open(tempfile::tempdir().unwrap().path());
                aging.replica = Replica::open(aging.dir.path(), config, clock, Box::new(())).unwrap();
            }
            _ => aging.push(&change(&mut rng, step)),
        }
        aging.pass(rng.below(20_000) as i64);
        if look_back(&aging, &mut rng, &story) { kept += 1 } else { gone += 1 }
    }
    check_integrity(&whole(&aging.replica.pin()), aging.dir.path());
    assert!(kept > STEPS / 20 && gone > STEPS / 20, "seed {seed}: {kept} were kept, {gone} thinned out");
}

// Verifies: PAG-21, PAG-22, PAG-29, PAG-46, PAG-49
#[test]
fn every_version_of_a_long_life_leads_to_the_newest_and_is_as_it_was() {
    (0..LIVES).for_each(live);
}
