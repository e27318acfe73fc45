use super::*;

const DAY_MS: i64 = 86_400_000;

fn now() -> UnixMillis {
    UnixMillis(0)
}

fn open(dir: &tempfile::TempDir, max_bytes: u64) -> Stage {
    Stage::open(dir.path().join("stage"), max_bytes, now(), DAY_MS).unwrap()
}

fn page(n: u32) -> (Leaf, Vec<u8>) {
    let data: Vec<u8> = n.to_le_bytes().repeat(1024);
    (tree::leaf(&data), data)
}

#[test]
fn staged_pages_outlive_the_process() {
    let dir = tempfile::tempdir().unwrap();
    let stage = open(&dir, u64::MAX);
    for n in 0..500 {
        let (leaf, data) = page(n);
        stage.put(&leaf, &data).unwrap();
        assert!(stage.contains(&leaf).unwrap(), "also while it is only in the buffer");
    }
    stage.sync().unwrap();
    std::mem::forget(stage); // the process is killed: no destructor runs
    let again = open(&dir, u64::MAX);
    let mut into = Vec::new();
    for n in 0..500 {
        let (leaf, data) = page(n);
        assert!(again.read(&leaf, &mut into).unwrap());
        assert_eq!(into, data);
    }
    assert!(!again.contains(&page(500).0).unwrap());
}

#[test]
fn a_torn_or_damaged_record_is_not_staged() {
    let dir = tempfile::tempdir().unwrap();
    let stage = open(&dir, u64::MAX);
    for n in 0..3 {
        let (leaf, data) = page(n);
        stage.put(&leaf, &data).unwrap();
    }
    stage.sync().unwrap();
    std::mem::forget(stage);
    let path = dir.path().join("stage/00000001.stage");
    let mut bytes = fs::read(&path).unwrap();
    bytes.truncate(bytes.len() - 1);
    bytes[100] ^= 1;
    fs::write(&path, bytes).unwrap();
    let again = open(&dir, u64::MAX);
    let staged: Vec<_> = (0..3).map(|n| again.contains(&page(n).0).unwrap()).collect();
    assert_eq!(staged, [false, true, false]);
    let (leaf, data) = page(0);
    again.put(&leaf, &data).unwrap();
    assert!(again.contains(&leaf).unwrap(), "staged anew");
}

#[test]
fn what_is_forgotten_frees_its_files_and_the_limit_holds() {
    let dir = tempfile::tempdir().unwrap();
    let stage = open(&dir, 40_000);
    for n in 0..9 {
        let (leaf, data) = page(n);
        stage.put(&leaf, &data).unwrap();
    }
    let (leaf, data) = page(9);
    assert!(stage.put(&leaf, &data).is_err(), "the tenth page is over the limit");
    stage.forget((0..9).map(|n| Ok(page(n).0))).unwrap();
    assert_eq!(stage.bytes(), 0);
    assert_eq!(fs::read_dir(dir.path().join("stage")).unwrap().count(), 0);
    stage.put(&leaf, &data).unwrap();
    assert!(stage.contains(&leaf).unwrap());
}

#[test]
fn old_files_expire_at_opening() {
    let dir = tempfile::tempdir().unwrap();
    let stage = open(&dir, u64::MAX);
    let (leaf, data) = page(1);
    stage.put(&leaf, &data).unwrap();
    drop(stage);
    let far_future = UnixMillis(i64::MAX / 2);
    let later = Stage::open(dir.path().join("stage"), u64::MAX, far_future, DAY_MS).unwrap();
    assert!(!later.contains(&leaf).unwrap());
}
