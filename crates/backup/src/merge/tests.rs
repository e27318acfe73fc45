//! Databases that change, grow, shrink and begin anew: from every version that there was, what is merged leads where its parts led.

use std::fs;

use ferry_core::{
    backup::manifest::ImageShape,
    pages::{Volatile, header, tree},
};
use ferry_types::{DatabaseId, PageCount, RunId};

use super::*;
use crate::{Folder, IntervalWriter, NewInterval, image::leaves_of};

const SIZE: usize = 512;
const HOUR_MS: i64 = 3_600_000;
const RUN: RunId = RunId(0x0707_0707_0707_0707);

/// Numbers from a seed (xorshift64*).
struct Rng(u64);

impl Rng {
    fn below(&mut self, most: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        usize::try_from(self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33).unwrap() % most
    }
}

/// A database, its newest commit, and all that it ever was.
struct Changing {
    id: SnapshotDatabase,
    seq: u64,
    pages: Vec<Vec<u8>>,
    ever: Vec<(u64, Vec<u8>)>,
}

impl Changing {
    fn new(number: u8, rng: &mut Rng) -> Self {
        let id: DatabaseId = format!("db_019ac3d5-0000-7000-8000-{number:012x}").parse().unwrap();
        let mut new = Self { id: SnapshotDatabase::Main(id), seq: 10, pages: Vec::new(), ever: Vec::new() };
        new.change(rng, 5);
        new
    }

    /// Changes some pages; returns all that differ.
    fn change(&mut self, rng: &mut Rng, count: usize) -> Vec<PageNo> {
        let before = self.pages.clone();
        self.pages.resize_with(count, || vec![0; SIZE]);
        for _ in 0..3 {
            let page = rng.below(count);
            self.pages[page][rng.below(SIZE - 100) + 100] = u8::try_from(rng.below(256)).unwrap();
        }
        self.pages[0][28..32].copy_from_slice(&u32::try_from(count).unwrap().to_be_bytes());
        self.ever.push((self.seq, self.pages.concat()));
        let differs = |index: &usize| before.get(*index) != self.pages.get(*index);
        let number = |index: usize| PageNo::new(u32::try_from(index).unwrap() + 1).unwrap();
        (0..count).filter(differs).map(number).collect()
    }

    fn image(&self) -> ImageShape {
        let (size, pages) =
            (PageSize::new(512).unwrap(), PageCount(u32::try_from(self.pages.len()).unwrap()));
        let mut data = self.pages.concat();
        let volatile = Volatile::of(&data);
        header::normalize(&mut data, pages);
        let mut root = tree::RootBuilder::default();
        leaves_of(PageNo::FIRST, size, &data).iter().for_each(|leaf| root.push(leaf));
        ImageShape { page_size: Some(size), pages, volatile, root: root.finish(size) }
    }

    /// Adds what one interval has of it.
    fn ship(&mut self, rng: &mut Rng, writer: &mut IntervalWriter) {
        let base = self.seq;
        self.seq += 1 + u64::try_from(rng.below(3)).unwrap();
        let count = if rng.below(3) == 0 { 1 + rng.below(40) } else { self.pages.len() };
        let mut changed = self.change(rng, count);
        let is_whole = rng.below(8) == 0;
        if is_whole {
            changed = self.image().pages.pages().collect();
        }
        let mut segment = SegmentPiece::new(self.id, &self.image());
        (segment.base, segment.seq) = ((!is_whole).then_some(base), self.seq);
        let pages = &self.pages;
        let mut read = |wanted: &[PageNo], each: &mut dyn FnMut(PageNo, &[u8])| {
            wanted.iter().for_each(|page| each(*page, &pages[page.index()]));
            Ok(())
        };
        writer.add(&segment, &changed, &mut read).unwrap();
    }
}

// Verifies: OPR-09
#[test]
fn what_is_merged_leads_from_every_version_where_its_parts_led() {
    for seed in 1..40 {
        let mut rng = Rng(seed * 0x9e37_79b9);
        let dir = tempfile::tempdir().unwrap();
        let folder = Box::new(Folder::new(&dir.path().join("target")));
        let repository = Repository::open_of_hub(folder, None, dir.path(), "hub", "target").unwrap();
        let mut databases = [Changing::new(1, &mut rng), Changing::new(2, &mut rng)];
        for number in 1..=9_u64 {
            let (spool, max_bytes) = (dir.path().join("spool"), 1 << 20);
            let new = NewInterval { run: RUN, number, spool, key: None, max_bytes, before: None };
            let mut writer = IntervalWriter::begin(new).unwrap();
            for database in &mut databases {
                if rng.below(3) > 0 || number == 1 {
                    database.ship(&mut rng, &mut writer);
                }
            }
            let to_ms = i64::try_from(number).unwrap() * 5_000;
            if let Some(spooled) = writer.finish(IntervalTimes { from_ms: to_ms - 10, to_ms }).unwrap() {
                spooled.ship(&*repository.target, "target").unwrap();
            }
        }
        let progress = JobProgress::default();
        let scratch = dir.path().join("scratch");
        let log = |repository: &Repository| {
            let listed = repository.target.list(LOG_FOLDER).unwrap();
            LogContents::of(listed.iter().map(|object| object.path.as_str()))
        };
        let before = log(&repository).count();
        assert_eq!(merge_log(&repository, (HOUR_MS, &scratch), &progress).unwrap().merges, 0);
        let report = merge_log(&repository, (2 * HOUR_MS, &scratch), &progress).unwrap();
        let after = log(&repository);
        assert!(report.damaged.is_empty() && after.count() < before, "{report:?}");
        assert_eq!(
            merge_log(&repository, (2 * HOUR_MS, &scratch), &progress).unwrap(),
            LogMergeReport::default()
        );
        let intervals: Vec<LogInterval> = after.intervals().copied().collect();
        let replay = LogReplay::gathered(&repository, &intervals, &scratch, &|_| true, &progress).unwrap();
        for database in &databases {
            let (_, newest) = database.ever.last().unwrap();
            for (seq, content) in &database.ever {
                let file = dir.path().join("played.db");
                fs::write(&file, content).unwrap();
                replay.apply(database.id, (Some(*seq), false), &file, &progress).unwrap();
                assert!(fs::read(&file).unwrap() == *newest, "seed {seed}: {} from {seq}", database.id);
            }
        }
    }
}
