//! A disk that keeps what was synced, and of the rest what chance leaves.
//!
//! What counts as synced is POSIX's least promise: the content of a file by a sync of that file, a name by a sync of its
//! folder. What was not synced may be there all the same: of a file each sector by itself, of a folder the first so many
//! changes of its names. A name that moved between folders moves at once.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    path::{Path, PathBuf},
};

use super::notes::{Note, read};
use crate::rng::Rng;

/// What a disk writes whole or not at all.
const SECTOR_BYTES: usize = 512;

/// A folder whose files are kept as a power cut may leave them.
#[derive(Debug)]
pub struct Disk {
    root: PathBuf,
    files: Vec<File>,
    folders: Vec<Folder>,
}

#[derive(Debug, Default)]
struct File {
    synced: Vec<u8>,
    /// Since then, in order.
    pending: Vec<Change>,
}

#[derive(Debug)]
enum Change {
    Write(usize, Vec<u8>),
    Truncate(usize),
}

/// Names of a folder: as the process sees them, as they are on disk, and how the first came from the second.
#[derive(Debug, Default)]
struct Folder {
    live: Names,
    synced: Names,
    pending: Vec<Renaming>,
}

type Names = BTreeMap<String, Node>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Node {
    File(usize),
    Folder(usize),
}

/// One change of a folder's names.
#[derive(Clone, Debug)]
struct Renaming {
    name: String,
    /// What the name means from here on.
    node: Option<Node>,
    /// The folder and the name that it is taken from in the same step.
    taken_from: Option<(usize, String)>,
}

/// The folder that is the root.
const ROOT: usize = 0;

impl Disk {
    /// The disk below `root` after all that `notes` tell, which begin with an empty one.
    #[must_use]
    pub(super) fn replay(root: &Path, notes: &[u8]) -> Self {
        let mut disk = Self { root: root.to_owned(), files: Vec::new(), folders: vec![Folder::default()] };
        let mut inodes = HashMap::new();
        for note in read(notes) {
            disk.apply(note, &mut inodes);
        }
        disk
    }

    fn apply(&mut self, note: Note, inodes: &mut HashMap<u64, usize>) {
        // Files that were there before the recorder, or are in memory alone, are none of the disk's.
        match note {
            Note::Create { inode, path } => {
                inodes.insert(inode, self.files.len());
                let node = Node::File(self.files.len());
                self.files.push(File::default());
                self.set(&path, Some(node), None);
            }
            Note::Write { inode, at, data } => {
                self.files[inodes[&inode]].pending.push(Change::Write(at, data));
            }
            Note::Truncate { inode, length } => {
                self.files[inodes[&inode]].pending.push(Change::Truncate(length));
            }
            Note::Sync { inode } => self.files[inodes[&inode]].sync(),
            Note::SyncFolder { path } => {
                let Some(Node::Folder(folder)) = self.find(&path) else { panic!("{path:?} is no folder") };
                self.sync_folder(folder);
            }
            Note::Rename { from, to } => {
                let node = self.find(&from).unwrap_or_else(|| panic!("{from:?} is moved and is not there"));
                let source = self.locate(&from);
                self.set(&to, Some(node), Some(source));
            }
            Note::Link { from, to } => {
                let node = self.find(&from);
                self.set(&to, node, None);
            }
            Note::MakeFolder { path } if path == self.root => {}
            Note::MakeFolder { path } => {
                let node = Node::Folder(self.folders.len());
                self.folders.push(Folder::default());
                self.set(&path, Some(node), None);
            }
            Note::Unlink { path } | Note::RemoveFolder { path } => self.set(&path, None, None),
        }
    }

    /// Folder and name of `path`, which lies below the root.
    fn locate(&self, path: &Path) -> (usize, String) {
        let parent = path.parent().expect("BUG: below the root");
        let Some(Node::Folder(folder)) = self.find(parent) else { panic!("{parent:?} is no folder") };
        (folder, path.file_name().expect("BUG: a name").to_string_lossy().into_owned())
    }

    fn find(&self, path: &Path) -> Option<Node> {
        let below = path.strip_prefix(&self.root).expect("BUG: below the root");
        below.components().try_fold(Node::Folder(ROOT), |node, name| {
            let Node::Folder(folder) = node else { return None };
            self.folders[folder].live.get(&*name.as_os_str().to_string_lossy()).copied()
        })
    }

    fn set(&mut self, path: &Path, node: Option<Node>, taken_from: Option<(usize, String)>) {
        let (folder, name) = self.locate(path);
        if let Some((other, old)) = &taken_from {
            self.folders[*other].live.remove(old);
            if *other != folder {
                // A sync of either folder makes the move last.
                let gone = Renaming { name: old.clone(), node: None, taken_from: None };
                self.folders[*other].pending.push(gone);
            }
        }
        let change = Renaming { name, node, taken_from };
        assign(&mut self.folders[folder].live, &change);
        self.folders[folder].pending.push(change);
    }

    fn sync_folder(&mut self, folder: usize) {
        for change in std::mem::take(&mut self.folders[folder].pending) {
            if let Some((other, old)) = &change.taken_from {
                self.folders[*other].synced.remove(old);
            }
            assign(&mut self.folders[folder].synced, &change);
        }
    }

    /// Writes what the process sees, all of it, into the new folder `to`.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn write_whole(&self, to: &Path) {
        let names = |folder: usize| self.folders[folder].live.clone();
        self.write(ROOT, to, &names, &mut |file| file.whole());
    }

    /// Writes one of the disks that a power cut may leave into the new folder `to`.
    ///
    /// # Panics
    /// If it cannot be written.
    pub(super) fn write_after_cut(&self, to: &Path, seed: u64) {
        let mut rng = Rng::new(seed);
        let mut left: Vec<Names> = self.folders.iter().map(|folder| folder.synced.clone()).collect();
        for (number, folder) in self.folders.iter().enumerate() {
            let kept = usize::try_from(rng.below(folder.pending.len() as u64 + 1)).expect("BUG: a length");
            for change in &folder.pending[..kept] {
                if let Some((other, old)) = &change.taken_from {
                    left[*other].remove(old);
                }
                assign(&mut left[number], change);
            }
        }
        self.write(ROOT, to, &|folder| left[folder].clone(), &mut |file| file.after_cut(&mut rng));
    }

    fn write(
        &self,
        folder: usize,
        to: &Path,
        names: &dyn Fn(usize) -> Names,
        content: &mut dyn FnMut(&File) -> Vec<u8>,
    ) {
        use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
        fs::DirBuilder::new().recursive(true).mode(0o700).create(to).expect("the folder can be made");
        for (name, node) in names(folder) {
            let path = to.join(&name);
            match node {
                Node::Folder(inner) => self.write(inner, &path, names, content),
                // SQLite's shared memory is no file of the disk.
                Node::File(_) if name.ends_with("-shm") => {}
                Node::File(file) => {
                    let mut options = fs::OpenOptions::new();
                    let mut out =
                        options.write(true).create_new(true).mode(0o600).open(path).expect("a new file");
                    std::io::Write::write_all(&mut out, &content(&self.files[file]))
                        .expect("the file is written");
                }
            }
        }
    }
}

fn assign(names: &mut Names, change: &Renaming) {
    if let Some(node) = change.node {
        names.insert(change.name.clone(), node);
    } else {
        names.remove(&change.name);
    }
}

impl File {
    fn sync(&mut self) {
        let pending = std::mem::take(&mut self.pending);
        pending.iter().for_each(|change| change.apply(&mut self.synced, |_| true));
    }

    fn whole(&self) -> Vec<u8> {
        let mut content = self.synced.clone();
        self.pending.iter().for_each(|change| change.apply(&mut content, |_| true));
        content
    }

    /// All of it, nothing that was not synced, or each sector by chance.
    fn after_cut(&self, rng: &mut Rng) -> Vec<u8> {
        let mut content = self.synced.clone();
        match rng.below(3) {
            0 => {}
            1 => return self.whole(),
            _ => self.pending.iter().for_each(|change| change.apply(&mut content, |_| rng.below(2) == 0)),
        }
        content
    }
}

impl Change {
    /// Applies it, sector by sector where `kept` says so; a truncation is one piece.
    fn apply(&self, content: &mut Vec<u8>, mut kept: impl FnMut(usize) -> bool) {
        match self {
            Self::Truncate(length) => {
                if kept(0) {
                    content.resize(*length, 0);
                }
            }
            Self::Write(at, data) => {
                let mut done = 0;
                while done < data.len() {
                    let from = at + done;
                    let piece = (SECTOR_BYTES - from % SECTOR_BYTES).min(data.len() - done);
                    if kept(from) {
                        if content.len() < from + piece {
                            content.resize(from + piece, 0);
                        }
                        content[from..from + piece].copy_from_slice(&data[done..done + piece]);
                    }
                    done += piece;
                }
            }
        }
    }
}
