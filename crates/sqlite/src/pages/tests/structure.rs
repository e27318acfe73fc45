//! The check of images against SQLite's own: what SQLite finds sound passes, and where SQLite finds b-trees, pointers or
//! page bounds wrong, so does the check.

use std::{fs, fs::File};

use ferry_testkit::{migrations::App, rng::Rng};

use super::{
    super::check::{self, CheckOutcome},
    *,
};

/// What SQLite says of rows, constraints, types, virtual tables, unused pages and the freelist's count (PAG-19), or of
/// what it cannot read at all.
const OF_NO_CONCERN: [&str; 15] = [
    "NULL value in ",
    "NUMERIC value in ",
    "TEXT value in ",
    "non-",
    "never used",
    "Freelist: size is ",
    "row ",
    "missing from index",
    "wrong # of entries in index",
    "unable to validate",
    "CHECK constraint failed",
    "number is out of order",
    "fts5: ",
    "malformed",
    "max rootpage (",
];

/// What SQLite looks at only if neither a view nor a virtual table happens to come first in its list of tables, and, the
/// last one, only when a statement uses the index.
const LEFT_OUT: [&str; 4] = ["Freelist: ", "ptr map entry", "max rootpage (", "not an index"];

#[expect(clippy::ptr_arg, reason = "handed to iterators over strings")]
fn is_of_pages(finding: &String) -> bool {
    !OF_NO_CONCERN.iter().any(|known| finding.contains(known))
}

fn verdict(path: &Path) -> CheckOutcome {
    let pages = read_raw(path);
    let header = header::check(&pages[..page_size(&pages)]).unwrap();
    let count = PageCount(u32::try_from(pages.len() / header.page_size.bytes()).unwrap());
    check::check(&File::open(path).unwrap(), header.page_size, count, &|| true).unwrap()
}

fn read_raw(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap()
}

fn page_size(image: &[u8]) -> usize {
    PageSize::from_header([image[16], image[17]]).unwrap().bytes()
}

/// SQLite's findings, one a line. `Err`: it could not be made to look.
fn sqlites(path: &Path) -> Result<Vec<String>, String> {
    let connection = Connection::open(path).unwrap();
    let mut check = connection.prepare("PRAGMA quick_check").map_err(|error| error.to_string())?;
    let rows = check.query_map([], |row| row.get::<_, String>(0)).map_err(|error| error.to_string())?;
    let rows = rows.collect::<Result<Vec<_>, _>>().map_err(|error| error.to_string())?;
    // What an R-Tree says of its own tables stands below this word.
    let of_pages = rows.iter().filter(|row| !row.starts_with("In RTree "));
    let lines = of_pages
        .flat_map(|row| row.lines())
        .filter(|line| *line != "ok" && !line.starts_with("***"))
        .map(str::to_owned);
    Ok(lines.collect())
}

/// A file without a WAL beside it.
fn grown(path: &Path, seed: u64) {
    let mut app = App::create(path, seed);
    for _ in 0..12 {
        app.migrate();
    }
    drop(app);
    Connection::open(path).unwrap().pragma_update(None, "journal_mode", "DELETE").unwrap();
}

// Verifies: PAG-19
#[test]
fn the_files_of_many_apps_pass() {
    let dir = tempfile::tempdir().unwrap();
    for seed in 0..60 {
        let path = dir.path().join(format!("{seed}.db"));
        grown(&path, seed);
        assert_eq!(sqlites(&path), Ok(vec![]), "seed {seed}");
        assert_eq!(verdict(&path), CheckOutcome::Ok, "seed {seed}");
    }
}

// Verifies: PAG-07, PAG-19
#[test]
fn the_check_and_sqlite_agree_on_damage() {
    let dir = tempfile::tempdir().unwrap();
    let (mut found, mut passed) = (0, 0);
    for seed in 0..25 {
        let path = dir.path().join("sound.db");
        let _ = fs::remove_file(&path);
        grown(&path, seed);
        let sound = read_raw(&path);
        let size = page_size(&sound);
        let mut rng = Rng::new(seed);
        for _ in 0..30 {
            let mut image = sound.clone();
            damage(&mut image, size, &mut rng);
            if image == sound || header::check(&image[..size]).is_err() {
                continue;
            }
            let damaged = dir.path().join("damaged.db");
            fs::write(&damaged, &image).unwrap();
            let (ours, theirs) = (verdict(&damaged), sqlites(&damaged));
            match (&ours, &theirs) {
                (CheckOutcome::Damaged(finding), Ok(findings)) => {
                    let is_left_out = LEFT_OUT.iter().any(|known| finding.contains(known));
                    let of_pages = is_left_out || findings.iter().any(is_of_pages);
                    assert!(of_pages, "seed {seed}: {ours:?}, but SQLite finds {findings:?}");
                    found += 1;
                }
                (CheckOutcome::Damaged(_), Err(_)) => found += 1,
                (CheckOutcome::Ok, Ok(findings)) => {
                    let of_pages = findings.iter().any(is_of_pages);
                    assert!(!of_pages, "seed {seed}: passed, though SQLite finds {findings:?}");
                    passed += 1;
                }
                // A schema or row that SQLite cannot read.
                (CheckOutcome::Ok, Err(_)) => passed += 1,
                (CheckOutcome::Unwanted, _) => panic!("it was wanted"),
            }
        }
    }
    assert!(found > 200 && passed > 20, "{found} found, {passed} passed");
}

/// Swaps two pages, puts an older page in, or changes some bytes near the head of a page.
fn damage(image: &mut [u8], size: usize, rng: &mut Rng) {
    let pages = (image.len() / size) as u64;
    let mut page = || rng.below(pages) as usize * size;
    let (one, other) = (page(), page());
    match rng.below(4) {
        0 if one != 0 && other != 0 => {
            let copy = image[one..one + size].to_vec();
            image.copy_within(other..other + size, one);
            image[other..other + size].copy_from_slice(&copy);
        }
        1 if one != 0 => image.copy_within(other..other + size, one),
        2 => {
            let at = one + rng.below(64) as usize + if one == 0 { 100 } else { 0 };
            image[at] = rng.below(256) as u8;
        }
        _ => image[one + rng.below(size as u64) as usize] ^= 1 << rng.below(8),
    }
}
