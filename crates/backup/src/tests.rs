//! Two hundred days of a hub whose writes, prunes and kills are drawn from a seed, over a target in memory.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex, MutexGuard},
};

use ferry_core::backup::{
    SnapshotId,
    log::{IntervalTimes, LogMark, LogObject, LogSpan, LogStart},
    manifest::{Scope, SnapshotDatabase},
    retention::{self, Retention},
};
use ferry_types::{DatabaseId, PageCount, PageNo, PageSize, RunId, UnixMillis};

use crate::{
    BackupTarget, Error, ImageReader, JobProgress, NewSnapshot, ObjectInfo, ObjectTag, Repository, Result,
    SnapshotWriter, TargetLock, VerifyMode, find_lost_interval, prune, restore_file, verify,
};

const DAY: i64 = 86_400;
const SIZE: u32 = 512;

#[derive(Default)]
struct Objects {
    all: BTreeMap<String, (Vec<u8>, i64)>,
    now: i64,
    /// Changes until the process that makes them is killed.
    left: Option<u32>,
}

/// A target in memory, whose writers can be killed.
#[derive(Clone, Default)]
struct Memory(Arc<Mutex<Objects>>);

impl Memory {
    fn lock(&self) -> MutexGuard<'_, Objects> {
        self.0.lock().unwrap()
    }

    fn changing(&self) -> Result<MutexGuard<'_, Objects>> {
        let mut objects = self.lock();
        match &mut objects.left {
            Some(0) => return Err(Error::Busy("killed".to_owned())),
            Some(left) => *left -= 1,
            None => {}
        }
        Ok(objects)
    }
}

struct Unlocked;
impl TargetLock for Unlocked {
    fn check(&self) -> Result<()> {
        Ok(())
    }
}

impl BackupTarget for Memory {
    fn url(&self) -> &str {
        "memory"
    }

    fn put_new(&self, path: &str, bytes: &[u8]) -> Result<bool> {
        let mut objects = self.changing()?;
        let now = objects.now;
        let is_new = !objects.all.contains_key(path);
        objects.all.entry(path.to_owned()).or_insert_with(|| (bytes.to_owned(), now));
        Ok(is_new)
    }

    fn creates_once(&self) -> bool {
        true
    }

    fn swaps(&self, _path: &str) -> Result<bool> {
        Ok(false)
    }

    fn get(&self, path: &str, _: usize) -> Result<Option<Vec<u8>>> {
        Ok(self.lock().all.get(path).map(|(bytes, _)| bytes.clone()))
    }

    fn get_tagged(&self, path: &str, max_bytes: usize) -> Result<Option<(Vec<u8>, ObjectTag)>> {
        let found = self.get(path, max_bytes)?;
        Ok(found.map(|bytes| (bytes.clone(), ObjectTag(blake3::hash(&bytes).to_string()))))
    }

    fn replace(&self, _: &str, _: &[u8], _: Option<&ObjectTag>) -> Result<bool> {
        unreachable!("no hub ships here")
    }

    fn get_range(&self, path: &str, offset: u64, length: usize) -> Result<Vec<u8>> {
        let objects = self.lock();
        let (bytes, _) = objects.all.get(path).ok_or_else(|| Error::damaged(path, "it is missing"))?;
        let from = usize::try_from(offset).unwrap();
        let part = bytes.get(from..from + length).ok_or_else(|| Error::damaged(path, "it is cut off"))?;
        Ok(part.to_owned())
    }

    fn list(&self, folder: &str) -> Result<Vec<ObjectInfo>> {
        let prefix = format!("{folder}/");
        let objects = self.lock();
        let below = objects.all.iter().filter(|(path, _)| path.starts_with(&prefix));
        let info = |(path, (bytes, made)): (&String, &(Vec<u8>, i64))| ObjectInfo {
            path: path.clone(),
            bytes: bytes.len() as u64,
            made: *made,
        };
        Ok(below.map(info).collect())
    }

    fn delete(&self, path: &str) -> Result<()> {
        self.changing()?.all.remove(path);
        Ok(())
    }

    fn lock(&self) -> Result<Box<dyn TargetLock>> {
        Ok(Box::new(Unlocked))
    }

    fn remove_leftovers(&self, _: i64) -> Result<()> {
        Ok(())
    }
}

/// A database as a list of pages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Image(Vec<Vec<u8>>);

impl Image {
    fn resize(&mut self, pages: usize) {
        self.0.resize_with(pages, || vec![0; SIZE as usize]);
        if let Some(first) = self.0.first_mut() {
            first[28..32].copy_from_slice(&u32::try_from(pages).unwrap().to_be_bytes());
        }
    }
}

impl ImageReader for Image {
    fn page_size(&self) -> Option<PageSize> {
        PageSize::new(SIZE).filter(|_| !self.0.is_empty())
    }

    fn pages(&self) -> PageCount {
        PageCount(u32::try_from(self.0.len()).unwrap())
    }

    fn read(&self, first: PageNo, count: u32, into: &mut Vec<u8>) -> Result<()> {
        let pages = &self.0[first.index()..first.index() + count as usize];
        pages.iter().for_each(|page| into.extend_from_slice(page));
        Ok(())
    }
}

/// Numbers from a seed (xorshift64*).
struct Rng(u64);

impl Rng {
    fn below(&mut self, most: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) % most
    }
}

type Hub = BTreeMap<SnapshotDatabase, Image>;

fn write(hub: &mut Hub, rng: &mut Rng) {
    for image in hub.values_mut() {
        match rng.below(4) {
            0 => {}
            1 => image.resize(usize::try_from(rng.below(400)).unwrap()),
            many => {
                for _ in 0..rng.below(if many == 2 { 4 } else { 200 }) {
                    let pages = image.0.len() as u64;
                    if pages > 1 {
                        let page = usize::try_from(1 + rng.below(pages - 1)).unwrap();
                        image.0[page][..8].copy_from_slice(&rng.below(1 << 40).to_le_bytes());
                    }
                }
            }
        }
    }
}

fn open(memory: &Memory, folder: &Path) -> Repository {
    Repository::open_of_hub(Box::new(memory.clone()), None, folder, "hub", "target").unwrap()
}

fn snapshot(repository: &mut Repository, hub: &Hub, id: SnapshotId, spool: &Path) -> Result<()> {
    let new = NewSnapshot {
        id,
        time_ms: id.seconds() * 1000,
        scope: Scope::Hub,
        log: None,
        shipped: None,
        run: None,
        hub_version: String::new(),
        spool: spool.to_owned(),
    };
    let mut writer = SnapshotWriter::begin(repository, &new)?;
    for (name, image) in hub {
        let last = writer.last_map(*name)?;
        let taken = writer.take(image, &last, &JobProgress::default())?;
        let mut entry = writer.entry(*name, &taken)?;
        "replica".clone_into(&mut entry.kind);
        writer.add(entry, None)?;
    }
    writer.finish().map(drop)
}

/// Each listed snapshot restores as the hub was then.
fn check(repository: &Repository, then: &BTreeMap<SnapshotId, Hub>, folder: &Path) {
    for listed in repository.snapshots().unwrap() {
        let hub = &then[&listed.id];
        let mut names = Vec::new();
        repository
            .databases(&listed.manifest.unwrap(), |repository, entry| {
                let to = folder.join("restored.db");
                restore_file(repository, &entry, &to, &JobProgress::default())?;
                let bytes = std::fs::read(&to).unwrap();
                std::fs::remove_file(&to).unwrap();
                assert_eq!(bytes, hub[&entry.id].0.concat(), "{} of {}", entry.id, listed.id);
                names.push(entry.id);
                Ok(())
            })
            .unwrap();
        assert_eq!(names, hub.keys().copied().collect::<Vec<_>>());
    }
}

// Verifies: OPR-09
#[test]
fn every_snapshot_that_is_listed_has_what_it_names_whatever_was_killed() {
    let folder = tempfile::tempdir().unwrap();
    let (memory, mut rng) = (Memory::default(), Rng(0x5eed));
    let keep: Retention = "last=2,daily=5,weekly=3".parse().unwrap();
    let ids = (1..=3_u128).map(|n| SnapshotDatabase::Main(DatabaseId::from_uuid(uuid(n))));
    let mut hub: Hub = ids.chain([SnapshotDatabase::Control]).map(|id| (id, Image::default())).collect();
    let mut then = BTreeMap::new();
    for half_day in 0..400 {
        let now = 1_795_910_400 + half_day * DAY / 2;
        memory.lock().now = now;
        write(&mut hub, &mut rng);
        // What is known of the target may be lost at any time.
        if rng.below(10) == 0 {
            let _ = std::fs::remove_file(folder.path().join("target.db"));
        }
        let id = SnapshotId::new(UnixMillis(now * 1000), u32::try_from(half_day).unwrap());
        memory.lock().left = (rng.below(4) == 0).then(|| u32::try_from(rng.below(6)).unwrap());
        if half_day == 0 {
            memory.lock().left = None;
        }
        let mut repository = open(&memory, folder.path());
        then.insert(id, hub.clone());
        let taken = snapshot(&mut repository, &hub, id, &folder.path().join("spool"));
        let is_killed = taken.is_err();
        if rng.below(3) == 0 {
            memory.lock().left = (rng.below(3) == 0).then(|| u32::try_from(rng.below(5)).unwrap());
            let _ = prune(&mut repository, (&keep, 7), (now, false), &JobProgress::default());
        }
        memory.lock().left = None;
        drop(repository);
        if half_day % 20 == 19 {
            let repository = open(&memory, folder.path());
            check(&repository, &then, folder.path());
            let listed: std::collections::BTreeSet<SnapshotId> =
                repository.snapshots().unwrap().iter().map(|listed| listed.id).collect();
            assert!(retention::kept(&keep, &listed).is_subset(&listed));
            assert!(is_killed || listed.contains(&id), "what was taken is there");
        }
    }
    // Two days later all garbage is gone: what is left is what the rest needs.
    let mut repository = open(&memory, folder.path());
    let later = memory.lock().now + 2 * DAY;
    prune(&mut repository, (&keep, 7), (later, false), &JobProgress::default()).unwrap();
    check(&repository, &then, folder.path());
    let before = repository.target.list("packs").unwrap().len();
    let again = prune(&mut repository, (&keep, 7), (later, false), &JobProgress::default()).unwrap();
    assert_eq!((again.removed, again.freed_bytes), (Vec::new(), 0));
    for listed in repository.snapshots().unwrap() {
        let mode = (VerifyMode::Quick, folder.path());
        verify(&repository, listed.id, mode, 0, &JobProgress::default(), |found| {
            found.found.unwrap();
        })
        .unwrap();
    }
    assert!(before < 120, "{before} packs for {} snapshots", repository.snapshots().unwrap().len());
}

fn uuid(n: u128) -> uuid::Uuid {
    uuid::Uuid::from_u128(n)
}

// Verifies: OPR-09
#[test]
fn what_a_prune_removed_of_a_log_is_not_missed() {
    let target = Memory::default();
    let run = RunId(0x0101_0101_0101_0101);
    let times = IntervalTimes { from_ms: 1, to_ms: 2 };
    for number in 5..8 {
        let object = LogObject { span: LogSpan::of(run, number), part: 0, times: Some(times) };
        assert!(target.put_new(&object.to_string(), b"x").unwrap());
    }
    let all = LogSpan { run, first: 1, last: 7 };
    let lost = || find_lost_interval(&target, all, &BTreeMap::new()).unwrap();
    assert_eq!(lost(), Some(1));
    let pruned = LogMark::Pruned(LogStart { run, interval: 5 });
    assert!(target.put_new(&pruned.to_string(), b"").unwrap());
    assert_eq!(lost(), None);
    let sixth = LogObject { span: LogSpan::of(run, 6), part: 0, times: Some(times) };
    target.delete(&sixth.to_string()).unwrap();
    assert_eq!(lost(), Some(6));
}
