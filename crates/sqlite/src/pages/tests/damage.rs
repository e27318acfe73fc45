//! A history whose segments are damaged ends where they are (pages specification, section 5).

use std::path::PathBuf;

use ferry_testkit::rng::Rng;
use ferry_types::Reason;

use super::*;

/// Harms a segment.
type Damage = fn(&Path);

/// A replica of many versions, and their images.
struct Damaged {
    dir: tempfile::TempDir,
    versions: Vec<(VersionInfo, Pages)>,
}

impl Damaged {
    fn new(versions: u32) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let replica = open(dir.path());
        let source = Source::new("", 300);
        let mut made = Vec::new();
        for n in 0..versions {
            source.run(&format!("UPDATE t SET text = hex(randomblob(60)) WHERE id % {} = 1", n % 5 + 2));
            let pages = source.pages();
            let (info, _) = uploads::push_body(&replica, &pages).unwrap();
            made.push((info, served(&pages)));
        }
        Self { dir, versions: made }
    }

    fn segment(&self) -> PathBuf {
        self.dir.path().join("pages/seg/00000001.seg")
    }

    /// Reads every version, the newest first. Each is what it was, or gone for good with all before it; how many are left.
    fn read_all(&self, context: &str) -> usize {
        let replica = open(self.dir.path());
        for (info, image) in self.versions.iter().rev() {
            let Some(pinned) = replica.pin_at(At::Tag(info.tag())).unwrap() else { continue };
            let mut read = Vec::new();
            let pages: Vec<PageNo> = info.page_count.pages().collect();
            let outcome = pinned.read(&pages, &mut |_, data| {
                read.push(data.to_vec());
                Ok(())
            });
            match outcome {
                Ok(()) => assert!(read == *image, "{context}: version {} is another", info.version),
                Err(crate::Error::Refused(refusal)) => {
                    assert_eq!(refusal.reason, Reason::VersionGone, "{context}: {refusal}");
                    assert!(refusal.message.contains("damaged"), "{refusal}");
                    assert!(replica.oldest().unwrap().version > info.version, "{context}");
                    assert!(replica.is_cut_by_damage().unwrap(), "{context}");
                }
                Err(other) => panic!("{context}: {other}"),
            }
        }
        let listed = replica.versions(None, 1000).unwrap();
        for row in &listed {
            let (_, image) = self.versions.iter().find(|(info, _)| *info == row.info).unwrap();
            let pinned = replica.pin_at(At::Tag(row.info.tag())).unwrap().unwrap();
            assert!(whole(&pinned) == *image, "{context}: what is listed is whole");
        }
        replica.maintain().unwrap();
        listed.len()
    }
}

// Verifies: PAG-29, PAG-46
#[test]
fn a_flipped_bit_ends_the_history_there_and_nothing_newer() {
    let damaged = Damaged::new(12);
    let whole = std::fs::read(damaged.segment()).unwrap();
    let index = std::fs::read(damaged.dir.path().join("pages/index.db")).unwrap();
    let mut left = Vec::new();
    for n in 0..60 {
        let at = whole.len() * n / 60 + n % 7;
        let mut bad = whole.clone();
        bad[at] ^= 1 << (n % 8);
        std::fs::write(damaged.segment(), &bad).unwrap();
        std::fs::write(damaged.dir.path().join("pages/index.db"), &index).unwrap();
        left.push(damaged.read_all(&format!("byte {at}")));
    }
    assert!(left[0] >= 10, "the first images are of the oldest version: {left:?}");
    assert!(left.iter().all(|left| *left < 12), "each of them was needed: {left:?}");
    assert!(left.last().is_some_and(|left| *left <= 2), "the last ones lead back from the newest: {left:?}");
}

// Verifies: PAG-29, PAG-46, PAG-49
#[test]
fn a_torn_or_missing_segment_ends_the_history_and_the_next_one_begins() {
    let damages: [(&str, Damage); 3] = [
        ("torn", |segment| {
            let bytes = std::fs::read(segment).unwrap();
            std::fs::write(segment, &bytes[..bytes.len() / 2]).unwrap();
        }),
        ("empty", |segment| std::fs::write(segment, "").unwrap()),
        ("missing", |segment| std::fs::remove_file(segment).unwrap()),
    ];
    for (context, damage) in damages {
        let mut damaged = Damaged::new(8);
        damage(&damaged.segment());
        assert_eq!(damaged.read_all(context), 1, "{context}: the newest needs no history");
        let replica = open(damaged.dir.path());
        let source = Source::new("", 100);
        for n in 0..3 {
            source.run(&format!("UPDATE t SET text = 'again' WHERE id = {n}"));
            let pages = source.pages();
            let (info, _) = uploads::push_body(&replica, &pages).unwrap();
            damaged.versions.push((info, served(&pages)));
        }
        drop(replica);
        assert_eq!(damaged.read_all(context), 4, "{context}: a new history");
    }
}

/// The image that is read, if it can be.
fn read_whole(pinned: &PinnedVersion) -> Option<Pages> {
    let pages: Vec<PageNo> = pinned.info().page_count.pages().collect();
    let mut image = Pages::new();
    let mut each = |_: PageNo, data: &[u8]| {
        image.push(data.to_vec());
        Ok(())
    };
    pinned.read(&pages, &mut each).ok().map(|()| image)
}

/// One byte flips in the index, round after round; how many images were right, and how many refused.
fn flip_bytes_of_the_index(rng: &mut Rng) -> (u32, u32) {
    let damaged = Damaged::new(6);
    let path = damaged.dir.path().join("pages/index.db");
    Connection::open(&path).unwrap().query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    let whole = std::fs::read(&path).unwrap();
    let (mut right, mut refused) = (0, 0);
    // An index that is made anew needs no segments: then the one from before leads nowhere.
    while damaged.segment().exists() && right + refused < 200 {
        let mut bad = whole.clone();
        let at = rng.below(bad.len() as u64) as usize;
        bad[at] ^= 1 << rng.below(8);
        for beside in ["pages/index.db-wal", "pages/index.db-shm"] {
            let _ = std::fs::remove_file(damaged.dir.path().join(beside));
        }
        std::fs::write(&path, &bad).unwrap();
        let opened =
            Replica::open(damaged.dir.path(), ReplicaConfig::default(), Arc::new(FixedClock), Box::new(()));
        let Ok(replica) = opened else {
            refused += 1;
            continue;
        };
        for (info, image) in &damaged.versions {
            let pinned = match replica.pin_at(At::Tag(info.tag())) {
                Ok(Some(pinned)) => pinned,
                Ok(None) => continue,
                Err(_) => {
                    refused += 1;
                    continue;
                }
            };
            let Some(found) = read_whole(&pinned) else {
                refused += 1;
                continue;
            };
            // What SQLite rewrites on page 1 with each commit is part of no root.
            let is_right = bodies::normal(&found) == bodies::normal(image);
            assert!(is_right, "byte {at}: version {} is another's", info.version);
            right += 1;
        }
    }
    (right, refused)
}

// Verifies: PAG-46, PAG-47, PAG-48
#[test]
fn a_byte_that_flips_in_the_index_gives_an_error_or_the_right_image() {
    let mut rng = Rng::new(16);
    let (mut right, mut refused) = (0, 0);
    for _ in 0..30 {
        let found = flip_bytes_of_the_index(&mut rng);
        right += found.0;
        refused += found.1;
    }
    assert!(right > 1000 && refused > 10, "{right} were right, {refused} refused");
}
