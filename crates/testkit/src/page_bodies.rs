//! A second reader and writer of bodies of pages, made from PROTOCOL.md alone: as plain as it gets, the whole body at once, and a
//! panic where something is wrong.

use zstd::zstd_safe::{CCtx, DCtx};

const LOCK_BYTES: usize = 1 << 30;

/// What a body made of its base.
pub struct Applied {
    /// The new image, page 1 in normal form.
    pub pages: Vec<Vec<u8>>,
    /// Its version.
    pub version: u64,
    /// Its root, which was checked.
    pub root: [u8; 32],
    /// Whether the body needed no base.
    pub full: bool,
}

/// A file's pages, page 1 in normal form.
///
/// # Panics
/// If it is no SQLite file.
#[must_use]
pub fn normal(file: &[u8]) -> Vec<Vec<u8>> {
    if file.is_empty() {
        return Vec::new();
    }
    assert!(file.starts_with(b"SQLite format 3\0"), "no SQLite file");
    let size = match u16::from_be_bytes([file[16], file[17]]) {
        1 => 65536,
        size => usize::from(size),
    };
    let mut pages: Vec<Vec<u8>> = file.chunks(size).map(<[u8]>::to_vec).collect();
    let count = u32::try_from(pages.len()).expect("fewer pages than 2^32");
    let page1 = &mut pages[0];
    page1[18..20].copy_from_slice(&[1, 1]);
    page1[24..28].fill(0);
    page1[28..32].copy_from_slice(&count.to_be_bytes());
    page1[92..100].fill(0);
    pages
}

/// The root of an image, page 1 in normal form.
#[must_use]
pub fn root(pages: &[Vec<u8>]) -> [u8; 32] {
    let size = pages.first().map_or(0, Vec::len);
    let leaf = |(n, page): (usize, &Vec<u8>)| {
        if size > 0 && n == LOCK_BYTES / size { [0; 32] } else { *blake3::hash(page).as_bytes() }
    };
    let mut level: Vec<[u8; 32]> = pages.iter().enumerate().map(leaf).collect();
    let mut k = 0;
    while level.len() > 1 {
        k += 1;
        level = level
            .chunks(64)
            .map(|children| *blake3::hash(&[&[k][..], children.as_flattened()].concat()).as_bytes())
            .collect();
    }
    let top = level.first().copied().unwrap_or_default();
    let mut input = b"ferry.pages.root.v1".to_vec();
    input.extend((size as u32).to_le_bytes());
    input.extend((pages.len() as u32).to_le_bytes());
    input.extend(top);
    *blake3::hash(&input).as_bytes()
}

/// The tag of a version with this root.
#[must_use]
pub fn tag(version: u64, root: &[u8; 32]) -> String {
    let hex: String = root[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{version}-{hex}")
}

struct Fields<'b>(&'b [u8]);

impl<'b> Fields<'b> {
    fn take(&mut self, length: usize) -> &'b [u8] {
        let (taken, rest) = self.0.split_at(length);
        self.0 = rest;
        taken
    }

    fn u32(&mut self) -> usize {
        u32::from_le_bytes(self.take(4).try_into().expect("four bytes")) as usize
    }

    fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.take(8).try_into().expect("eight bytes"))
    }

    fn varint(&mut self) -> usize {
        let (mut value, mut shift) = (0, 0);
        loop {
            let byte = self.take(1)[0];
            value |= usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return value;
            }
            shift += 7;
        }
    }

    fn zigzag(&mut self) -> isize {
        let value = self.varint();
        (value >> 1) as isize ^ -((value & 1) as isize)
    }

    /// Page numbers, from 1.
    fn list(&mut self) -> Vec<usize> {
        let (mut pages, mut end) = (Vec::new(), 0_isize);
        for _ in 0..self.varint() {
            let first = end + self.zigzag();
            end = first + self.varint() as isize + 1;
            pages.extend((first..end).map(|page| usize::try_from(page).expect("a page number")));
        }
        pages
    }

    fn frame(&mut self, prefix: &[u8], max: usize) -> Vec<u8> {
        let length = self.varint();
        let frame = self.take(length);
        let mut context = DCtx::create();
        context.ref_prefix(prefix).expect("a prefix");
        let mut data = Vec::with_capacity(max);
        context.decompress(&mut data, frame).map_err(zstd::zstd_safe::get_error_name).expect("a zstd frame");
        data
    }
}

/// Applies a body to its base, and checks the root that it names. Of a partial body the root is not checked.
///
/// # Panics
/// If the body breaks a rule that this reader looks at.
#[must_use]
pub fn apply(base: &[Vec<u8>], body: &[u8]) -> Applied {
    let mut fields = Fields(body);
    assert_eq!(fields.take(4), b"FRYP");
    let head = fields.take(4);
    let (full, partial) = (head[1] & 1 != 0, head[1] & 2 != 0);
    let size = if head[2] == 0 { 0 } else { 1_usize << head[2] };
    fields.take(16);
    let (_, version) = (fields.u64(), fields.u64());
    let (base_count, count) = (fields.u32(), fields.u32());
    fields.take(16);
    assert!(base_count <= base.len(), "a base of {base_count} pages, not {}", base.len());
    let mut pages = if full { Vec::new() } else { base.to_vec() };
    pages.resize(count, vec![0; size]);
    let mut targets = 0;
    let root = loop {
        match fields.take(1)[0] {
            0 => {
                assert_eq!(fields.u32(), targets, "targets");
                break <[u8; 32]>::try_from(fields.take(32)).expect("32 bytes");
            }
            1 => {
                let content = fields.frame(&[], 16 << 20);
                let mut runs = Fields(&content);
                let (mut target_end, mut source_end) = (0_isize, 0_isize);
                for _ in 0..runs.varint() {
                    let target = target_end + runs.zigzag();
                    let length = runs.varint() as isize + 1;
                    let source = source_end + runs.zigzag();
                    (target_end, source_end) = (target + length, source + length);
                    for n in 0..length {
                        pages[(target + n - 1) as usize] = base[(source + n - 1) as usize].clone();
                        targets += 1;
                    }
                }
            }
            2 => {
                for page in fields.list() {
                    pages[page - 1] = vec![0; size];
                    targets += 1;
                }
            }
            3 => {
                let (list, prefix) = (fields.list(), fields.list());
                let prefix: Vec<u8> = prefix.iter().flat_map(|page| base[page - 1].clone()).collect();
                let data = fields.frame(&prefix, list.len() * size);
                assert_eq!(data.len(), list.len() * size, "the bytes of a group");
                for (page, data) in list.iter().zip(data.chunks(size)) {
                    pages[page - 1] = data.to_vec();
                    targets += 1;
                }
            }
            other => panic!("opcode {other}"),
        }
    };
    assert!(fields.0.is_empty(), "bytes after END");
    assert!(partial || self::root(&pages) == root, "another root than END names");
    Applied { pages, version, root, full }
}

/// What a zstd frame without a prefix holds.
///
/// # Panics
/// If it is none.
#[must_use]
pub fn unzstd(frame: &[u8]) -> Vec<u8> {
    zstd::stream::decode_all(frame).expect("a zstd frame")
}

/// Writes a body of pages for a push, as a client does that knows PROTOCOL.md alone.
pub struct PushBody {
    new: Vec<Vec<u8>>,
    base: Vec<Vec<u8>>,
    bytes: Vec<u8>,
    targets: u32,
}

impl PushBody {
    /// A push of `file` onto `base`, a version and its pages, or onto nothing; of pages only the header is written.
    ///
    /// # Panics
    /// If the file or the id is none.
    #[must_use]
    pub fn of(database: &str, base: Option<(u64, &[Vec<u8>])>, file: &[u8]) -> Self {
        let new = normal(file);
        let size = new.first().map_or(0, Vec::len);
        let log2 = if size == 0 { 0 } else { size.trailing_zeros() as u8 };
        let mut bytes = b"FRYP".to_vec();
        bytes.extend([1, 8 | u8::from(base.is_none()), log2, 0]);
        let hex: String = database.trim_start_matches("db_").replace('-', "");
        bytes.extend((0..16).map(|n| u8::from_str_radix(&hex[2 * n..2 * n + 2], 16).expect("a UUID")));
        let (version, pages) = base.unwrap_or((0, &[]));
        bytes.extend(version.to_le_bytes());
        bytes.extend(0_u64.to_le_bytes());
        bytes.extend((pages.len() as u32).to_le_bytes());
        bytes.extend((new.len() as u32).to_le_bytes());
        bytes.extend(if base.is_some() { root(pages)[..8].to_vec() } else { vec![0; 8] });
        bytes.extend(0_u64.to_le_bytes());
        bytes.extend(if file.is_empty() {
            vec![0; 14]
        } else {
            [&file[18..20], &file[24..28], &file[92..100]].concat()
        });
        Self { new, base: pages.to_vec(), bytes, targets: 0 }
    }

    /// Pages that the base does not have as they are, from 1.
    #[must_use]
    pub fn differing(&self) -> Vec<usize> {
        (1..=self.new.len()).filter(|page| self.base.get(page - 1) != self.new.get(page - 1)).collect()
    }

    /// Has the page at this place, from 0, hold something else.
    pub fn replace(&mut self, index: usize, page: Vec<u8>) {
        self.new[index] = page;
    }

    /// The leaf of a page.
    #[must_use]
    pub fn leaf(&self, page: usize) -> [u8; 32] {
        *blake3::hash(&self.new[page - 1]).as_bytes()
    }

    /// These pages, compressed with what the base has under their numbers.
    #[must_use]
    pub fn data(mut self, pages: &[usize]) -> Self {
        let prefix: Vec<usize> = pages.iter().copied().filter(|page| *page <= self.base.len()).collect();
        let before: Vec<u8> = prefix.iter().flat_map(|page| self.base[page - 1].clone()).collect();
        let after: Vec<u8> = pages.iter().flat_map(|page| self.new[page - 1].clone()).collect();
        self.bytes.push(3);
        self.list(pages);
        self.list(&prefix);
        self.frame(&after, &before);
        self.targets += pages.len() as u32;
        self
    }

    /// These pages, which the hub has staged.
    #[must_use]
    pub fn staged(mut self, pages: &[usize]) -> Self {
        self.bytes.push(4);
        self.list(pages);
        for page in pages {
            let leaf = self.leaf(*page);
            self.bytes.extend(leaf);
        }
        self.targets += pages.len() as u32;
        self
    }

    /// A page that equals one of the base.
    #[must_use]
    pub fn copy(mut self, page: usize, source: usize) -> Self {
        self.bytes.push(1);
        let mut content = Vec::new();
        put(&mut content, 1);
        put(&mut content, page << 1);
        put(&mut content, 0);
        put(&mut content, source << 1);
        self.frame(&content, &[]);
        self.targets += 1;
        self
    }

    /// What is written so far.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// With END, of this root if it is not the right one.
    #[must_use]
    pub fn end(mut self, root: Option<[u8; 32]>) -> Vec<u8> {
        self.bytes.push(0);
        self.bytes.extend(self.targets.to_le_bytes());
        self.bytes.extend(root.unwrap_or_else(|| self::root(&self.new)));
        self.bytes
    }

    /// The whole body: all pages that differ, in entries of 64.
    #[must_use]
    pub fn whole(mut self) -> Vec<u8> {
        for pages in self.differing().chunks(64) {
            self = self.data(pages);
        }
        self.end(None)
    }

    fn list(&mut self, pages: &[usize]) {
        put(&mut self.bytes, pages.len());
        let mut end = 0;
        for page in pages {
            let distance = *page as isize - end;
            put(&mut self.bytes, ((distance << 1) ^ (distance >> 63)) as usize);
            put(&mut self.bytes, 0);
            end = *page as isize + 1;
        }
    }

    fn frame(&mut self, data: &[u8], prefix: &[u8]) {
        let mut context = CCtx::create();
        context.ref_prefix(prefix).expect("a prefix");
        let mut frame = Vec::with_capacity(zstd::zstd_safe::compress_bound(data.len()));
        context.compress2(&mut frame, data).map_err(zstd::zstd_safe::get_error_name).expect("a zstd frame");
        put(&mut self.bytes, frame.len());
        self.bytes.extend(frame);
    }
}

fn put(into: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        into.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    into.push(value as u8);
}
