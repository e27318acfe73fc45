//! A local folder as a target, `file:///dir`.

use std::{
    fs::{self, DirBuilder, File, Metadata, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, FileExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use rustix::{
    fs::{FlockOperation, RenameFlags, flock, renameat_with},
    io::Errno,
};

use crate::{BackupTarget, Error, ObjectInfo, ObjectTag, Result, TargetLock, error::AtPath as _};

/// What objects are called until they are whole; no object lies here.
const UNFINISHED: &str = "tmp";
/// Bytes of a file that are brought onto the disk at once.
const SYNCED_AT_ONCE_BYTES: usize = 1 << 20;
/// Held by whoever changes the folder.
const LOCK: &str = "lock";

/// A folder of objects.
pub struct Folder {
    root: PathBuf,
    url: String,
    /// Of unfinished objects of this process.
    number: AtomicU64,
}

struct FolderLock(#[expect(dead_code, reason = "closing it lets the lock go")] File);

impl TargetLock for FolderLock {
    fn check(&self) -> Result<()> {
        // The kernel lets it go when the process ends, and not before.
        Ok(())
    }
}

impl Folder {
    /// That of `root`, which is made with its first object.
    #[must_use]
    pub fn new(root: &Path) -> Self {
        Self { root: root.to_owned(), url: format!("file://{}", root.display()), number: AtomicU64::new(0) }
    }

    fn path_of(&self, object: &str) -> PathBuf {
        self.root.join(object)
    }

    /// Makes a folder, private, with its name on disk.
    fn make_folder(&self, folder: &Path) -> Result<()> {
        if folder.is_dir() {
            return Ok(());
        }
        let above = folder.parent().unwrap_or(Path::new("/"));
        if folder != self.root {
            self.make_folder(above)?;
        }
        match DirBuilder::new().mode(0o700).create(folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(error).at("cannot make the folder", folder);
            }
            _ => {}
        }
        ferry_sqlite::folder::sync(above).at("cannot sync", above)
    }

    fn write_unfinished(&self, bytes: &[u8]) -> Result<PathBuf> {
        let folder = self.path_of(UNFINISHED);
        self.make_folder(&folder)?;
        loop {
            let number = self.number.fetch_add(1, Ordering::Relaxed);
            let path = folder.join(format!("{}-{number}", std::process::id()));
            match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
                // Of a process that is gone, or of another machine.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                opened => {
                    let mut file = opened.at("cannot write", &path)?;
                    let written = write_in_steps(&mut file, bytes);
                    if written.is_err() {
                        let _ = fs::remove_file(&path);
                    }
                    return written.at("cannot write", &path).map(|()| path);
                }
            }
        }
    }
}

/// Writes all of a file onto the disk, step by step: on some file systems a commit of another file waits for all that was
/// written of this one.
fn write_in_steps(file: &mut File, bytes: &[u8]) -> io::Result<()> {
    for step in bytes.chunks(SYNCED_AT_ONCE_BYTES) {
        file.write_all(step)?;
        file.sync_data()?;
    }
    file.sync_all()
}

/// Gives a file its name unless that is taken.
fn rename_new(from: &Path, to: &Path) -> io::Result<bool> {
    let cwd = rustix::fs::CWD;
    match renameat_with(cwd, from, cwd, to, RenameFlags::NOREPLACE) {
        Ok(()) => Ok(true),
        Err(Errno::EXIST) => {
            fs::remove_file(from)?;
            Ok(false)
        }
        // Some file systems cannot, but have links.
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
            let linked = match fs::hard_link(from, to) {
                Ok(()) => Ok(true),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
                Err(error) => Err(error),
            };
            fs::remove_file(from)?;
            linked
        }
        Err(error) => Err(error.into()),
    }
}

/// What an object that is replaced is known by.
fn tag_of(bytes: &[u8]) -> ObjectTag {
    ObjectTag(blake3::hash(bytes).to_hex().to_string())
}

fn made(metadata: &Metadata) -> i64 {
    metadata.mtime()
}

impl BackupTarget for Folder {
    fn url(&self) -> &str {
        &self.url
    }

    fn put_new(&self, path: &str, bytes: &[u8]) -> Result<bool> {
        let to = self.path_of(path);
        let folder = to.parent().unwrap_or(&self.root);
        self.make_folder(folder)?;
        let from = self.write_unfinished(bytes)?;
        ferry_sqlite::fault::point("backup.object.written")?;
        let is_new = rename_new(&from, &to).at("cannot write", &to)?;
        ferry_sqlite::folder::sync(folder).at("cannot sync", folder)?;
        Ok(is_new)
    }

    fn creates_once(&self) -> bool {
        true
    }

    fn swaps(&self, path: &str) -> Result<bool> {
        let root = File::open(&self.root).at("cannot open", &self.root)?;
        // Some network file systems lock no folders: two processes that replace a file do not see each other there.
        if flock(&root, FlockOperation::LockExclusive).is_err() {
            return Ok(false);
        }
        drop(root);
        Ok(!self.replace(path, &[], Some(&ObjectTag("of no object".to_owned())))?)
    }

    fn get(&self, path: &str, max_bytes: usize) -> Result<Option<Vec<u8>>> {
        let at = self.path_of(path);
        let file = match File::open(&at) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened.at("cannot read", &at)?,
        };
        let mut bytes = Vec::new();
        file.take(max_bytes as u64 + 1).read_to_end(&mut bytes).at("cannot read", &at)?;
        if bytes.len() > max_bytes {
            return Err(Error::damaged(path, "it is longer than any such object"));
        }
        Ok(Some(bytes))
    }

    fn get_tagged(&self, path: &str, max_bytes: usize) -> Result<Option<(Vec<u8>, ObjectTag)>> {
        let found = self.get(path, max_bytes)?;
        Ok(found.map(|bytes| {
            let tag = tag_of(&bytes);
            (bytes, tag)
        }))
    }

    fn replace(&self, path: &str, bytes: &[u8], was: Option<&ObjectTag>) -> Result<bool> {
        let to = self.path_of(path);
        self.make_folder(&self.root)?;
        // Only for the moment between look and write; some network file systems lock no folders.
        let root = File::open(&self.root).at("cannot open", &self.root)?;
        let _ = flock(&root, FlockOperation::LockExclusive);
        let there = match fs::read(&to) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            read => Some(tag_of(&read.at("cannot read", &to)?)),
        };
        if there.as_ref() != was {
            return Ok(false);
        }
        let from = self.write_unfinished(bytes)?;
        fs::rename(&from, &to).at("cannot write", &to)?;
        ferry_sqlite::fault::point("backup.object.replaced")?;
        ferry_sqlite::folder::sync(&self.root).at("cannot sync", &self.root)?;
        Ok(true)
    }

    fn get_range(&self, path: &str, offset: u64, length: usize) -> Result<Vec<u8>> {
        let at = self.path_of(path);
        let file = match File::open(&at) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(Error::damaged(path, "it is missing"));
            }
            opened => opened.at("cannot read", &at)?,
        };
        let mut bytes = vec![0; length];
        match file.read_exact_at(&mut bytes, offset) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Err(Error::damaged(path, "it is cut off"))
            }
            read => read.at("cannot read", &at).map(|()| bytes),
        }
    }

    fn list(&self, folder: &str) -> Result<Vec<ObjectInfo>> {
        let mut objects = Vec::new();
        let mut folders = vec![folder.to_owned()];
        while let Some(folder) = folders.pop() {
            let at = self.path_of(&folder);
            let entries = match fs::read_dir(&at) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                read => read.at("cannot list", &at)?,
            };
            for entry in entries {
                let entry = entry.at("cannot list", &at)?;
                // What has another name is nobody's object.
                let Ok(name) = entry.file_name().into_string() else { continue };
                let path = format!("{folder}/{name}");
                let metadata = match entry.metadata() {
                    // Removed meanwhile.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                    looked => looked.at("cannot look at", &entry.path())?,
                };
                if metadata.is_dir() {
                    folders.push(path);
                } else if metadata.is_file() {
                    objects.push(ObjectInfo { path, bytes: metadata.len(), made: made(&metadata) });
                }
            }
        }
        objects.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(objects)
    }

    fn delete(&self, path: &str) -> Result<()> {
        let at = self.path_of(path);
        match fs::remove_file(&at) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed.at("cannot remove", &at),
        }
    }

    fn lock(&self) -> Result<Box<dyn TargetLock>> {
        self.make_folder(&self.root)?;
        let path = self.path_of(LOCK);
        let opened = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
        let file = opened.at("cannot open", &path)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Box::new(FolderLock(file))),
            Err(Errno::WOULDBLOCK) => Err(Error::Busy(format!(
                "another process changes the backups in {}: try again when it is done",
                self.url
            ))),
            Err(error) => Err(io::Error::from(error)).at("cannot lock", &path),
        }
    }

    fn remove_leftovers(&self, before: i64) -> Result<()> {
        for object in self.list(UNFINISHED)? {
            if object.made < before {
                self.delete(&object.path)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_made_once() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::new(&dir.path().join("a"));
        assert_eq!(folder.list("packs").unwrap(), []);
        assert_eq!(folder.get("packs/00/x", 10).unwrap(), None);
        assert!(folder.put_new("packs/00/x", b"first").unwrap());
        assert!(!folder.put_new("packs/00/x", b"second").unwrap());
        assert_eq!(folder.get("packs/00/x", 5).unwrap().unwrap(), b"first");
        assert!(folder.get("packs/00/x", 4).is_err());
        assert_eq!(folder.get_range("packs/00/x", 1, 3).unwrap(), b"irs");
        assert!(matches!(folder.get_range("packs/00/x", 3, 3), Err(Error::Damaged { .. })));
        assert!(matches!(folder.get_range("packs/00/y", 0, 1), Err(Error::Damaged { .. })));
        let listed = folder.list("packs").unwrap();
        assert_eq!((listed.len(), listed[0].path.as_str(), listed[0].bytes), (1, "packs/00/x", 5));
        assert_eq!(folder.list(UNFINISHED).unwrap(), [], "nothing is left over");
        folder.delete("packs/00/x").unwrap();
        folder.delete("packs/00/x").unwrap();
        assert_eq!(folder.list("packs").unwrap(), []);
    }

    #[test]
    fn an_object_is_replaced_only_by_who_knows_it() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::new(dir.path());
        let look = || folder.get_tagged("a.json", 10).unwrap();
        assert_eq!(look(), None);
        assert!(folder.replace("a.json", b"one", None).unwrap());
        assert!(!folder.replace("a.json", b"two", None).unwrap());
        let (one, tag) = look().unwrap();
        assert_eq!(one, b"one");
        assert!(folder.replace("a.json", b"two", Some(&tag)).unwrap());
        assert!(!folder.replace("a.json", b"three", Some(&tag)).unwrap());
        assert_eq!(look().unwrap().0, b"two");
        assert_eq!(folder.list(UNFINISHED).unwrap(), [], "nothing is left over");
    }

    #[test]
    fn one_at_a_time_changes_a_folder() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::new(dir.path());
        let held = folder.lock().unwrap();
        assert!(matches!(folder.lock(), Err(Error::Busy(_))));
        drop(held);
        assert!(folder.lock().is_ok());
    }
}
