//! Bodies of pages between random versions of real databases, among them schema migrations: each leads to the image whose
//! root it names, and what it costs stays near what changed.

use ferry_core::pages::body::{BodyEncoder, BodyPlan, BodyReader, BodySink, Content};
use ferry_protocol::pages::body::{BodyError, BodyHeader, Flags};
use ferry_testkit::{migrations::App, rng::Rng};
use ferry_types::DatabaseId;

use super::*;

const ID: &str = "db_3f2b9c1e-5d44-4a7b-8e11-0a6c7d902153";

/// The body from what a reader has to `new`, as the hub makes it.
pub(super) fn body(replica: &Arc<Replica>, new: PinnedVersion, since: &Since) -> Vec<u8> {
    let info = new.info().clone();
    let base = match replica.find_base(&info, since).unwrap() {
        BaseFound::Nothing => None,
        BaseFound::Known(base) => Some(base),
        BaseFound::Unknown => panic!("{since:?} is not known"),
    };
    let lock_page = info.page_size.map(PageSize::lock_page);
    let pages = match &base {
        Some(base) => replica.differing(base, &info).unwrap(),
        None => info.page_count.pages().filter(|page| Some(*page) != lock_page).collect(),
    };
    let header = BodyHeader {
        flags: Flags { full: base.is_none(), ..Flags::default() },
        page_size: info.page_size,
        database: ID.parse::<DatabaseId>().unwrap(),
        base_version: base.as_ref().map_or(0, |base| base.version),
        version: info.version,
        base_count: base.as_ref().map_or(PageCount(0), |base| base.page_count),
        page_count: info.page_count,
        base_root: base.as_ref().map_or([0; 8], |base| base.root_prefix),
        time: info.time,
        volatile: None,
    };
    let mut encoder = BodyEncoder::new(BodyPlan { header, pages, root: info.root });
    let mut images = BodyImages::new(Arc::new(new), base.and_then(|base| base.pinned));
    let mut body = Vec::new();
    while let Some(piece) = encoder.next_piece(&mut images, &mut Zstd).unwrap() {
        body.extend(piece);
    }
    body
}

/// A reader's copy in normal form.
struct Copy<'b> {
    base: &'b Pages,
    new: Pages,
}

#[derive(Debug)]
#[expect(dead_code, reason = "shown by the tests that fail")]
struct Wrong(BodyError);

impl From<BodyError> for Wrong {
    fn from(error: BodyError) -> Self {
        Self(error)
    }
}

impl BodySink for Copy<'_> {
    type Error = Wrong;

    fn begin(&mut self, header: &BodyHeader) -> Result<(), Wrong> {
        self.new = if header.flags.full { Vec::new() } else { self.base.clone() };
        let size = header.page_size.map_or(0, PageSize::bytes);
        self.new.resize(header.page_count.0 as usize, vec![0; size]);
        Ok(())
    }

    fn read_base(&mut self, pages: &[PageNo], into: &mut Vec<u8>) -> Result<(), Wrong> {
        pages.iter().for_each(|page| into.extend_from_slice(&self.base[page.index()]));
        Ok(())
    }

    fn put(&mut self, page: PageNo, content: Content<'_>) -> Result<(), Wrong> {
        let zeros = || vec![0; self.new[page.index()].len()];
        self.new[page.index()] = match content {
            Content::Bytes(bytes) => bytes.to_vec(),
            Content::Zero => zeros(),
            Content::Base(source) => self.base[source.index()].clone(),
            Content::Staged(leaf) => panic!("{leaf} is not staged"),
        };
        Ok(())
    }
}

/// What a reader that has `base` makes of a body.
pub(super) fn applied(base: &Pages, body: &[u8]) -> Pages {
    let mut copy = Copy { base, new: Vec::new() };
    let mut reader = BodyReader::new(None);
    for piece in body.chunks(10_000) {
        reader.push(piece, &mut copy, &mut Zstd).unwrap();
    }
    let (header, root) = reader.finish(&mut copy, &mut Zstd).unwrap();
    let (mut built, mut room) = (tree::RootBuilder::default(), Vec::new());
    for page in header.page_count.pages() {
        built.push(&tree::leaf_of(page, header.page_count, &copy.new[page.index()], &mut room));
    }
    if let Some(size) = header.page_size {
        assert_eq!(built.finish(size), root);
    }
    copy.new
}

pub(super) fn normal(pages: &Pages) -> Pages {
    let mut pages = pages.clone();
    let count = PageCount(u32::try_from(pages.len()).unwrap());
    if let Some(page1) = pages.first_mut() {
        header::normalize(page1, count);
    }
    pages
}

/// One app's versions; bodies between random pairs of them, forwards and back.
fn live(seed: u64) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("app.db");
    let mut app = App::create(&file, seed);
    let replica = open(&dir.path().join("hub"));
    let mut rng = Rng::new(seed);
    let mut versions: Vec<(VersionInfo, Pages)> = Vec::new();
    for _ in 0..10 {
        let pages = read_file(&file);
        let (info, _) = push(&replica, &pages).unwrap();
        if versions.last().is_none_or(|(last, _)| last.version != info.version) {
            versions.push((info, normal(&pages)));
        }
        let (current, image) = versions.last().unwrap();
        for _ in 0..3 {
            let (had, base) = &versions[rng.below(versions.len() as u64) as usize];
            let since = if rng.below(4) == 0 { Since::Root(had.root) } else { Since::Tag(had.tag()) };
            let found = applied(base, &body(&replica, replica.pin(), &since));
            assert!(found == *image, "seed {seed}: {} to {}", had.tag(), current.tag());
            // And from there back.
            let old = replica.pin_at(At::Tag(had.tag())).unwrap().expect("it is kept");
            let found = applied(image, &body(&replica, old, &Since::Tag(current.tag())));
            assert!(found == *base, "seed {seed}: {} back to {}", current.tag(), had.tag());
        }
        let found = applied(&Vec::new(), &body(&replica, replica.pin(), &Since::Nothing));
        assert!(found == *image, "seed {seed}: {} from nothing", current.tag());
        app.migrate();
    }
}

// Verifies: PAG-21, PAG-22, PAG-46
#[test]
fn any_version_leads_to_any_other() {
    (0..16).for_each(live);
}

// Verifies: PAG-22
#[test]
fn a_base_that_is_no_longer_listed_still_saves_what_did_not_change() {
    let dir = tempfile::tempdir().unwrap();
    let replica = open(dir.path());
    let source = Source::new("", 3000);
    let (first, _) = push(&replica, &source.pages()).unwrap();
    let base = normal(&source.pages());
    source
        .run("UPDATE t SET text = 'one' WHERE id = 5; INSERT INTO t(text) SELECT text FROM t WHERE id < 300");
    push(&replica, &source.pages()).unwrap();
    let image = normal(&source.pages());
    index::cut_history(&lock_writer(&replica), 2).unwrap();
    assert!(replica.pin_at(At::Tag(first.tag())).unwrap().is_none(), "its content is gone");
    let body = body(&replica, replica.pin(), &Since::Tag(first.tag()));
    assert!(body.len() < image.concat().len() / 4, "{} bytes", body.len());
    assert!(applied(&base, &body) == image);
}

fn lock_writer(replica: &Replica) -> std::sync::MutexGuard<'_, Connection> {
    super::super::replica::lock(&replica.writer)
}

// Verifies: PAG-22
#[test]
fn what_the_hub_never_had_is_no_base() {
    let dir = tempfile::tempdir().unwrap();
    let replica = open(dir.path());
    let source = Source::new("", 30);
    let (first, _) = push(&replica, &source.pages()).unwrap();
    let unknown = |since| {
        let found = replica.find_base(&replica.current(), &since).unwrap();
        assert!(matches!(found, BaseFound::Unknown), "{since:?}");
    };
    unknown(Since::Tag(ferry_types::Tag { version: 1, root_prefix: [7; 8] }));
    unknown(Since::Tag(ferry_types::Tag { version: 2, ..first.tag() }));
    unknown(Since::Tag(ferry_types::Tag { version: 0, root_prefix: [7; 8] }));
    unknown(Since::Root(ferry_types::Root([7; 32])));
    let nothing = replica.find_base(&replica.current(), &Since::Tag(VersionInfo::empty().tag())).unwrap();
    assert!(matches!(nothing, BaseFound::Nothing));
}

// Verifies: PAG-29
#[test]
fn a_version_is_found_by_number_tag_and_time() {
    let dir = tempfile::tempdir().unwrap();
    let replica = open(dir.path());
    let source = Source::new("", 30);
    let mut versions = Vec::new();
    for step in 0..3 {
        source.run(&format!("UPDATE t SET text = 'step {step}'"));
        versions.push(push(&replica, &source.pages()).unwrap().0);
    }
    let at = |at| replica.pin_at(at).unwrap().map(|pin| pin.info().version);
    assert_eq!(
        [0, 1, 2, 3, u64::MAX].map(|n| at(At::Version(n))),
        [None, Some(1), Some(2), Some(3), Some(3)]
    );
    assert_eq!(at(At::Tag(versions[1].tag())), Some(2));
    assert_eq!(at(At::Tag(ferry_types::Tag { version: 2, root_prefix: [1; 8] })), None);
    let time = versions[2].time;
    assert_eq!(at(At::Time(time)), Some(3), "the newest of one moment");
    assert_eq!(at(At::Time(UnixMillis(time.0 - 1))), None);
    let listed = replica.versions(Some(3), 10).unwrap();
    assert_eq!(
        listed.iter().map(|row| row.info.clone()).collect::<Vec<_>>(),
        [&versions[1], &versions[0]].map(Clone::clone)
    );
    assert_eq!(replica.oldest().unwrap(), versions[0]);
}
