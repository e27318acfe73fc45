//! Pushes over Ferry's own wire onto real files: random versions of random shapes, and bodies that were changed on their way.

use ferry_core::pages::body::{BodyEncoder, BodyPlan, BodyReader, BodySource, CodecError};
use ferry_protocol::pages::body::{BodyHeader, Flags};
use ferry_testkit::{migrations::App, rng::Rng};
use ferry_types::{DatabaseId, Leaf, Root};

use super::{bodies::normal, *};

const ID: &str = "db_3f2b9c1e-5d44-4a7b-8e11-0a6c7d902153";

/// Two images in normal form.
struct Images<'p> {
    base: &'p Pages,
    new: Pages,
}

#[derive(Debug)]
struct Never;

impl From<CodecError> for Never {
    fn from(error: CodecError) -> Self {
        panic!("{error}")
    }
}

fn leaf(page: PageNo, pages: &Pages) -> Leaf {
    tree::leaf_of(page, PageCount(pages.len() as u32), &pages[page.index()], &mut Vec::new())
}

impl BodySource for Images<'_> {
    type Error = Never;

    fn leaves(&mut self, pages: &[PageNo], into: &mut Vec<Leaf>) -> Result<(), Never> {
        into.extend(pages.iter().map(|page| leaf(*page, &self.new)));
        Ok(())
    }

    fn read(&mut self, pages: &[PageNo], into: &mut Vec<u8>) -> Result<(), Never> {
        pages.iter().for_each(|page| into.extend(&self.new[page.index()]));
        Ok(())
    }

    fn base_leaves(&mut self, pages: &[PageNo], into: &mut Vec<Option<Leaf>>) -> Result<(), Never> {
        into.extend(pages.iter().map(|page| Some(leaf(*page, self.base))));
        Ok(())
    }

    fn read_base(&mut self, pages: &[PageNo], into: &mut Vec<u8>) -> Result<(), Never> {
        pages.iter().for_each(|page| into.extend(&self.base[page.index()]));
        Ok(())
    }
}

fn root_of(pages: &Pages) -> Root {
    let mut root = tree::RootBuilder::default();
    PageCount(pages.len() as u32).pages().for_each(|page| root.push(&leaf(page, pages)));
    match pages.first() {
        Some(page1) => root.finish(PageSize::new(page1.len() as u32).unwrap()),
        None => tree::empty_root(),
    }
}

/// The entries of a body that leads from `base`, whose pages are in normal form, to the file `new`; all of them with `full`.
pub(super) fn body_parts(base: &VersionInfo, base_pages: &Pages, new: &Pages, full: bool) -> Vec<Vec<u8>> {
    let image = normal(new);
    let page_size = image.first().and_then(|page1| PageSize::new(page1.len() as u32));
    let full = full || page_size != base.page_size;
    let count = PageCount(image.len() as u32);
    let differs = |page: &PageNo| full || base_pages.get(page.index()) != Some(&image[page.index()]);
    let pages: Vec<PageNo> = count.pages().filter(differs).collect();
    let header = BodyHeader {
        flags: Flags { full, push: true, ..Flags::default() },
        page_size,
        database: ID.parse::<DatabaseId>().unwrap(),
        base_version: if full { 0 } else { base.version },
        version: 0,
        base_count: if full { PageCount(0) } else { base.page_count },
        page_count: count,
        base_root: if full { [0; 8] } else { base.tag().root_prefix },
        time: UnixMillis(0),
        volatile: Some(Volatile::of(&new[0]).0),
    };
    let mut encoder = BodyEncoder::new(BodyPlan { header, pages, root: root_of(&image) });
    let mut images = Images { base: base_pages, new: image };
    let mut parts = Vec::new();
    while let Some(piece) = encoder.next_piece(&mut images, &mut Zstd).unwrap() {
        parts.push(piece);
    }
    parts
}

/// Pushes a body that comes in pieces.
pub(super) fn upload(replica: &Arc<Replica>, body: &[u8], piece: usize) -> Result<VersionInfo, PushError> {
    let mut upload = Upload::new(replica.pin(), ID.parse().unwrap())?;
    let mut reader = BodyReader::new(None);
    for piece in body.chunks(piece) {
        reader.push(piece, &mut upload, &mut Zstd)?;
    }
    let (_, root) = reader.finish(&mut upload, &mut Zstd)?;
    match upload.finish(root)? {
        Uploaded::Unchanged => Ok(replica.current()),
        Uploaded::Changed(mut prepared) => {
            prepared.seal()?;
            replica.commit_push(*prepared)
        }
    }
}

/// Pushes the file `pages` onto what there is.
pub(super) fn push_body(replica: &Arc<Replica>, pages: &Pages) -> Result<(VersionInfo, u32), Failed> {
    let pinned = replica.pin();
    let base = normal(&whole(&pinned));
    let body = body_parts(pinned.info(), &base, pages, false).concat();
    upload(replica, &body, 10_000).map(|info| (info, 0)).map_err(Failed::Push)
}

// Verifies: PAG-21, PAG-23
#[test]
fn apps_that_migrate_are_pushed_version_by_version() {
    for seed in 100..112 {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("app.db");
        let mut app = App::create(&file, seed);
        let replica = open(&dir.path().join("hub"));
        let mut rng = Rng::new(seed);
        let mut base = Pages::new();
        for step in 0..10 {
            let pages = read_file(&file);
            let body = body_parts(&replica.current(), &base, &pages, rng.below(5) == 0).concat();
            let info = upload(&replica, &body, 1 + rng.below(30_000) as usize)
                .unwrap_or_else(|error| panic!("seed {seed}, step {step}: {error}"));
            base = normal(&pages);
            assert_eq!(info.root, root_of(&base));
            // An image that differs in nothing but what SQLite rewrites is the version that there is.
            assert!(normal(&whole(&replica.pin())) == base, "seed {seed}, step {step}");
            app.migrate();
        }
    }
}

/// Random pages behind a page 1 that passes the header check.
struct Synthetic {
    rng: Rng,
    pages: Pages,
}

impl Synthetic {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let size = 512 << rng.below(4);
        let mut synthetic = Self { pages: vec![Self::page1(size)], rng };
        synthetic.append(1 + seed as usize % 90);
        synthetic
    }

    fn page1(size: usize) -> Vec<u8> {
        let mut page = vec![0; size];
        page[..16].copy_from_slice(b"SQLite format 3\0");
        page[16..18].copy_from_slice(&u16::try_from(size).unwrap().to_be_bytes());
        page[18..24].copy_from_slice(&[1, 1, 0, 64, 32, 32]);
        page[47] = 4;
        page[59] = 1;
        page[100] = 13;
        page
    }

    fn append(&mut self, pages: usize) {
        let size = self.pages[0].len();
        for _ in 0..pages {
            let mut page = vec![0; size];
            match self.rng.below(8) {
                0 => {}
                1 => page = self.rng.bytes(size),
                _ => {
                    let seed = self.rng.below(1000) as usize;
                    page.iter_mut().enumerate().for_each(|(i, byte)| *byte = ((i * seed) >> 4) as u8);
                }
            }
            self.pages.push(page);
        }
    }

    fn step(&mut self) {
        let (count, size) = (self.pages.len() as u64, self.pages[0].len());
        match self.rng.below(12) {
            0 if count > 3 => self.pages.truncate(2 + self.rng.below(count - 2) as usize),
            1 | 2 => {
                let more = 1 + self.rng.below(20) as usize;
                self.append(more);
            }
            3 => {
                let from = self.rng.below(count) as usize;
                let to = (1 + self.rng.below(count) as usize).min(self.pages.len() - 1);
                let copied = self.pages[from.max(1)].clone();
                self.pages[to] = copied;
            }
            4 if count > 4 => {
                let by = 1 + self.rng.below(count - 2) as usize;
                self.pages[1..].rotate_left(by);
            }
            5 => self.pages[0][43] = self.pages[0][43].wrapping_add(1),
            _ => {
                for _ in 0..=self.rng.below(6) {
                    let page = self.rng.below(self.pages.len() as u64) as usize;
                    let at = 110 + self.rng.below(size as u64 - 120) as usize;
                    self.pages[page][at] ^= 1 + self.rng.below(255) as u8;
                }
            }
        }
        let count = u32::try_from(self.pages.len()).unwrap();
        self.pages[0][28..32].copy_from_slice(&count.to_be_bytes());
    }
}

/// Pushes `steps` versions of one image, then fetches bodies between all pairs of them. Gives how many pairs.
fn all_pairs(seed: u64, steps: usize) -> usize {
    let dir = tempfile::tempdir().unwrap();
    let replica = open(dir.path());
    let mut source = Synthetic::new(seed);
    source.step();
    let mut versions: Vec<(VersionInfo, Pages)> = Vec::new();
    for step in 0..steps {
        let (base, pages) = versions.last().cloned().unwrap_or((VersionInfo::empty(), Pages::new()));
        let body = body_parts(&base, &pages, &source.pages, false).concat();
        let info =
            upload(&replica, &body, 3000).unwrap_or_else(|error| panic!("seed {seed}, step {step}: {error}"));
        if info.version > base.version {
            versions.push((info, normal(&source.pages)));
        }
        source.step();
    }
    let mut pairs = 0;
    for (new, image) in &versions {
        for (had, base) in versions.iter().filter(|(had, _)| had.version != new.version) {
            let pinned = replica.pin_at(At::Tag(new.tag())).unwrap().expect("it is kept");
            let body = bodies::body(&replica, pinned, &Since::Tag(had.tag()));
            assert!(bodies::applied(base, &body) == *image, "seed {seed}: {} to {}", had.tag(), new.tag());
            pairs += 1;
        }
    }
    pairs
}

// Verifies: PAG-21, PAG-22, PAG-46
#[test]
fn ten_thousand_random_pairs_of_versions_lead_to_each_other() {
    let mut pairs = 0;
    for seed in 0.. {
        pairs += all_pairs(seed, 24);
        if pairs >= 10_000 {
            break;
        }
    }
}

// Verifies: PAG-21, PAG-23
#[test]
fn a_body_that_was_changed_on_its_way_never_reaches_the_database() {
    let dir = tempfile::tempdir().unwrap();
    let replica = open(dir.path());
    let mut source = Synthetic::new(77);
    source.step();
    let base = source.pages.clone();
    push_body(&replica, &base).unwrap();
    for _ in 0..6 {
        source.step();
    }
    let new = normal(&source.pages);
    let before = normal(&base);
    let mut rng = Rng::new(5);
    for round in 0..3000 {
        let current = replica.current();
        let parts = body_parts(&current, &before, &source.pages, round % 3 == 0);
        let mut body = parts.concat();
        match rng.below(4) {
            0 => body.truncate(rng.below(body.len() as u64) as usize),
            1 => {
                let (a, b) = (rng.below(body.len() as u64) as usize, rng.below(body.len() as u64) as usize);
                body.swap(a, b);
            }
            2 => {
                let at = rng.below(body.len() as u64) as usize;
                let cut = at + rng.below((body.len() - at) as u64) as usize;
                body.drain(at..cut);
            }
            _ => {
                let at = rng.below(body.len() as u64) as usize;
                body[at] ^= 1 << rng.below(8);
            }
        }
        let outcome = upload(&replica, &body, 1 + rng.below(5000) as usize);
        let image = normal(&whole(&replica.pin()));
        if outcome.is_ok() && replica.current().version > current.version {
            // The root says that it is what was meant: only bytes that no root covers were changed.
            assert!(image == new, "round {round}");
            push_body(&replica, &base).unwrap();
        } else {
            assert!(image == before, "round {round}: {outcome:?}");
        }
    }
}

// Verifies: PAG-21
#[test]
fn entries_of_a_delta_may_come_in_any_order_and_those_of_a_full_body_not() {
    let dir = tempfile::tempdir().unwrap();
    let replica = open(dir.path());
    let source = Source::new("", 9000);
    push_body(&replica, &source.pages()).unwrap();
    let base = normal(&source.pages());
    source.run("UPDATE t SET text = text || 'z' WHERE id % 3 = 0; INSERT INTO t(text) SELECT hex(randomblob(300)) FROM t WHERE id < 2500");
    let mut parts = body_parts(&replica.current(), &base, &source.pages(), false);
    let last = parts.len() - 1;
    assert!(last > 2, "{last} entries");
    parts[1..last].reverse();
    upload(&replica, &parts.concat(), 5000).unwrap();
    assert!(whole(&replica.pin()) == served(&source.pages()));
    // 4 MiB go into an entry of a full body.
    source.run("INSERT INTO t(text) SELECT hex(randomblob(3000)) FROM t WHERE id < 1500");
    let mut parts = body_parts(&replica.current(), &Pages::new(), &source.pages(), true);
    let last = parts.len() - 1;
    assert!(last > 2, "{last} entries");
    parts[1..last].reverse();
    let refused = upload(&replica, &parts.concat(), 5000).unwrap_err();
    assert!(matches!(refused, PushError::Body(_)), "{refused}");
}
