//! Schema changes of every kind, pushed onto the hub's file and pulled into a live copy at each step.

use std::time::Duration;

use ferry_testkit::migrations::App;

use super::*;
use crate::pages::dbpage::PageWriter;

/// Seeds that failed while page 1 and the cut were statements of their own. As many others follow as the variable
/// `FERRY_TEST_MIGRATIONS` says.
const KEPT: [u64; 8] = [3, 6, 8, 10, 11, 12, 13, 15];
const STEPS: usize = 12;

fn app_count() -> u64 {
    std::env::var("FERRY_TEST_MIGRATIONS").map_or(20, |count| count.parse().unwrap())
}

/// Page 1 without what SQLite rewrites.
fn normal(pages: &Pages) -> Pages {
    let mut pages = pages.clone();
    let count = PageCount(u32::try_from(pages.len()).unwrap());
    header::normalize(&mut pages[0], count);
    pages
}

/// Brings a live file to an image, as a pull does: only what differs is written, and page 1 always.
fn write_over(copy: &Path, image: &Pages) {
    let before = read_file(copy);
    let count = PageCount(u32::try_from(image.len()).unwrap());
    let mut writer = PageWriter::begin(copy, Duration::from_secs(5), &image[0], count).unwrap();
    for (number, page) in (1..).zip(image).skip(1) {
        if before.get(number as usize - 1) != Some(page) {
            writer.write(PageNo::new(number).unwrap(), page).unwrap();
        }
    }
    writer.commit().unwrap();
    assert!(dbpage::checkpoint_truncate(copy).unwrap(), "nobody reads the copy");
}

/// What the file takes on disk, which the page count on page 1 does not tell.
fn assert_cut(file: &Path, image: &Pages, story: &str) {
    assert_eq!(
        std::fs::metadata(file).unwrap().len(),
        image.concat().len() as u64,
        "the room of {}, {story}",
        file.display()
    );
}

/// One app's life: how many versions it had.
fn live(seed: u64) -> usize {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("app.db");
    let mut app = App::create(&file, seed);
    let replica = open(&dir.path().join("hub"));
    let copy = dir.path().join("copy.db");
    let first = read_file(&file);
    std::fs::write(&copy, normal(&first).concat()).unwrap();
    if seed.is_multiple_of(2) {
        dbpage::ensure_wal(&copy).unwrap();
    }
    push(&replica, &first).unwrap();
    for step in 0..STEPS {
        let done = app.migrate();
        let pages = read_file(&file);
        let story = || format!("seed {seed}, step {step}: {done:?}");
        push(&replica, &pages).unwrap_or_else(|error| panic!("{}: {error:?}", story()));
        let image = whole(&replica.pin());
        assert!(image == served(&pages), "the hub, {}", story());
        write_over(&copy, &image);
        assert!(normal(&read_file(&copy)) == normal(&pages), "the copy, {}", story());
        assert_cut(&copy, &image, &story());
    }
    check_integrity(&read_file(&copy), dir.path());
    drop(replica);
    let main = dir.path().join("hub/main.db");
    assert!(dbpage::checkpoint_truncate(&main).unwrap(), "nobody reads the hub's file");
    assert_cut(&main, &read_file(&file), &format!("seed {seed}"));
    assert!(
        whole(&open(&dir.path().join("hub")).pin()) == served(&read_file(&file)),
        "seed {seed}: reopened"
    );
    STEPS
}

// Page 1 was written among the first. Its schema cookie made SQLite read the schema anew at the next statement, from
// pages of two images: the push of a dropped table, or a pull over a rebuilt one, failed as corrupt, and for ever.
// Verifies: PAG-18, PAG-44
#[test]
fn every_migration_reaches_the_hub_and_a_live_copy() {
    let versions: usize = KEPT.into_iter().chain(1000..1000 + app_count()).map(live).sum();
    println!("{versions} versions");
}
