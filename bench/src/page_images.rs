//! Images in files, and the bodies that lead between two of them: what a client of Ferry's own page wire sends.

use std::{fs::File, io, os::unix::fs::FileExt as _, path::Path};

use ferry_core::pages::{
    Volatile,
    body::{BodyEncoder, BodyPlan, BodySource, CodecError},
    header, tree,
};
use ferry_protocol::pages::body::{BodyHeader, Flags};
use ferry_sqlite::pages::Zstd;
use ferry_types::{Leaf, PageCount, PageNo, PageSize, Root, UnixMillis};

/// Bytes that are read at once.
const READ_BYTES: usize = 1 << 20;

/// A database file, with the leaves of its pages.
pub(crate) struct FileImage {
    file: File,
    size: PageSize,
    count: PageCount,
    leaves: Vec<Leaf>,
    root: Root,
    volatile: Volatile,
}

impl FileImage {
    /// Reads the whole of a file in rollback mode.
    pub(crate) fn open(path: &Path) -> Self {
        let file = File::open(path).expect("the file opens");
        let bytes = file.metadata().expect("the file is there").len();
        let mut head = [0; 100];
        file.read_exact_at(&mut head, 0).expect("the file has a header");
        let size = PageSize::from_header([head[16], head[17]]).expect("an SQLite file");
        let count = PageCount(u32::try_from(bytes / u64::from(size.get())).expect("fewer pages than 2^32"));
        let (mut leaves, mut root, mut room) = (Vec::new(), tree::RootBuilder::default(), Vec::new());
        let mut data = vec![0; READ_BYTES];
        let mut at = 0;
        while at < bytes {
            let piece = usize::try_from((bytes - at).min(READ_BYTES as u64)).expect("a megabyte");
            file.read_exact_at(&mut data[..piece], at).expect("the file can be read");
            for page in data[..piece].chunks_exact(size.bytes()) {
                let number =
                    PageNo::new(u32::try_from(leaves.len() + 1).expect("a page number")).expect("not 0");
                let leaf = tree::leaf_of(number, count, page, &mut room);
                root.push(&leaf);
                leaves.push(leaf);
            }
            at += piece as u64;
        }
        Self { file, size, count, leaves, root: root.finish(size), volatile: Volatile::of(&head) }
    }

    pub(crate) const fn root(&self) -> Root {
        self.root
    }

    fn read(&self, pages: &[PageNo], into: &mut Vec<u8>) -> Result<(), Failed> {
        for page in pages {
            let from = into.len();
            into.resize(from + self.size.bytes(), 0);
            self.file.read_exact_at(&mut into[from..], page.index() as u64 * u64::from(self.size.get()))?;
            if *page == PageNo::FIRST {
                header::normalize(&mut into[from..], self.count);
            }
        }
        Ok(())
    }
}

/// What leads from a version to a file, piece by piece.
pub(crate) struct PushPieces<'i> {
    encoder: BodyEncoder,
    images: Images<'i>,
}

impl<'i> PushPieces<'i> {
    /// Onto version `base` with its image, or onto nothing.
    pub(crate) fn new(database: &str, base: Option<(u64, &'i FileImage)>, new: &'i FileImage) -> Self {
        let lock_page = new.size.lock_page();
        let differs = |page: &PageNo| {
            *page != lock_page
                && base.is_none_or(|(_, base)| base.leaves.get(page.index()) != new.leaves.get(page.index()))
        };
        let header = BodyHeader {
            flags: Flags { full: base.is_none(), push: true, ..Flags::default() },
            page_size: Some(new.size),
            database: database.parse().expect("the id of a database"),
            base_version: base.map_or(0, |(version, _)| version),
            version: 0,
            base_count: base.map_or(PageCount(0), |(_, base)| base.count),
            page_count: new.count,
            base_root: base
                .map_or([0; 8], |(_, base)| base.root.0[..8].try_into().expect("a root has 32 bytes")),
            time: UnixMillis(0),
            volatile: Some(new.volatile.0),
        };
        let pages = new.count.pages().filter(differs).collect();
        let encoder = BodyEncoder::new(BodyPlan { header, pages, root: new.root });
        Self { encoder, images: Images { base: base.map(|(_, base)| base), new } }
    }

    pub(crate) fn whole(self) -> Vec<u8> {
        self.flatten().collect()
    }
}

impl Iterator for PushPieces<'_> {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        self.encoder.next_piece(&mut self.images, &mut Zstd).expect("the files can be read")
    }
}

struct Images<'i> {
    base: Option<&'i FileImage>,
    new: &'i FileImage,
}

#[derive(Debug)]
#[expect(dead_code, reason = "shown when the benchmark fails")]
struct Failed(String);

impl From<CodecError> for Failed {
    fn from(error: CodecError) -> Self {
        Self(error.to_string())
    }
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        Self(error.to_string())
    }
}

impl BodySource for Images<'_> {
    type Error = Failed;

    fn leaves(&mut self, pages: &[PageNo], into: &mut Vec<Leaf>) -> Result<(), Failed> {
        into.extend(pages.iter().map(|page| self.new.leaves[page.index()]));
        Ok(())
    }

    fn read(&mut self, pages: &[PageNo], into: &mut Vec<u8>) -> Result<(), Failed> {
        self.new.read(pages, into)
    }

    fn base_leaves(&mut self, pages: &[PageNo], into: &mut Vec<Option<Leaf>>) -> Result<(), Failed> {
        into.extend(
            pages.iter().map(|page| self.base.and_then(|base| base.leaves.get(page.index()).copied())),
        );
        Ok(())
    }

    fn read_base(&mut self, pages: &[PageNo], into: &mut Vec<u8>) -> Result<(), Failed> {
        self.base.map_or(Ok(()), |base| base.read(pages, into))
    }
}
