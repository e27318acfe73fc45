//! What a backup of a changed database adds to its target.

use std::path::Path;

use ferry_sqlite::connection::open_file;
use ferry_testkit::{command::Ferry, hub::Options, sample};
use rusqlite::OpenFlags;

use super::{cost, new_bytes, settings};
use crate::{binary, page_bodies, scale::hub::Many, table};

/// Bytes of a page of the standard database.
const PAGE: usize = 4096;
/// What a backup may add beside the pages: its own list, and those of packs.
const BESIDE: u64 = 64 << 10;
/// The level that a backup compresses with, and zstd's own.
const LEVEL: i32 = 3;

/// The standard database, each change of section 7 of the pages specification, and a backup after each.
pub(super) fn changes() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let many = Many::of(settings(Options::new(binary::ferry()), &folder.path().join("target")));
    let user = Ferry::new(binary::ferry(), &many.hub().url()).env("FERRY_TOKEN", &many.user().token);
    let (file, others) = (user.file("standard.db"), folder.path().join("others.db"));
    sample::standard(&file, sample::STANDARD_ROWS, 1);
    sample::standard(&others, 4000, 78);
    user.ok(&["db", "create", "standard"]);
    user.ok(&["push", "standard.db", "standard"]);
    let first = new_bytes(&cost(&many, &["backup", "create"]).output);
    let mut rows = vec![vec!["all of it".to_owned(), table::bytes(first), "–".into(), "–".into()]];
    for change in page_bodies::changes(&others) {
        let before = std::fs::read(&file).expect("the file is readable");
        let mut connection = open_file(&file, OpenFlags::default()).expect("the file opens");
        (change.work)(&mut connection);
        drop(connection);
        user.ok(&["push", "standard.db", "standard"]);
        let added = new_bytes(&cost(&many, &["backup", "create"]).output);
        let pages = compressed(&before, &file);
        let bar = pages * 11 / 10 + BESIDE;
        let verdict = if added <= bar { "met" } else { "not met" };
        rows.push(vec![
            change.name.to_owned(),
            table::bytes(added),
            table::bytes(pages),
            format!("≤ {}: {verdict}", table::bytes(bar)),
        ]);
    }
    table::print(
        "What a backup adds after a change of the standard database (102 MB)",
        "One change after the other, each pushed and backed up. Pages: those that are other ones than before, compressed together \
         by zstd. The specification has a bar for 4,000 random rows alone: 1.1 times those pages and 64 KiB.",
        &["change", "added", "changed pages", "bar"],
        &rows,
    );
}

/// The pages of `file` that are not what they were, compressed; how many bytes that is.
fn compressed(before: &[u8], file: &Path) -> u64 {
    let after = std::fs::read(file).expect("the file is readable");
    let mut old = before.chunks(PAGE);
    let changed: Vec<u8> =
        after.chunks(PAGE).filter(|page| old.next() != Some(*page)).flatten().copied().collect();
    zstd::bulk::compress(&changed, LEVEL).expect("memory can be compressed").len() as u64
}
