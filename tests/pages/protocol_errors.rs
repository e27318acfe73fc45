//! Raw frames that break every rule of the wire: each gets its error, and nothing changes (pages, scenario 3).

use std::fs;

use ferry_testkit::{
    dump::assert_equal,
    frames::{Frame, VERSION},
    rng::Rng,
    sample::Shape,
    socket::{Ending, Event, Socket},
};

use crate::support::Place;

/// A place whose database has been pushed, and its pages.
struct Target {
    place: Place,
    folder: tempfile::TempDir,
    pages: Vec<Vec<u8>>,
}

impl Target {
    fn new() -> Self {
        let place = Place::new();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("app.db");
        Shape::default().create(&file, 100, 1);
        place.push(&file);
        let pages = fs::read(&file).unwrap().chunks(4096).map(<[u8]>::to_vec).collect();
        Self { place, folder, pages }
    }

    fn push_socket(&self) -> Socket {
        Socket::open(self.place.hub.address(), &self.place.push_token()).unwrap()
    }

    fn pull_socket(&self) -> Socket {
        Socket::open(self.place.hub.address(), &self.place.pull_token()).unwrap()
    }

    /// Sends these frames and gives the end.
    fn push(&self, frames: &[Frame]) -> Ending {
        let mut socket = self.push_socket();
        frames.iter().for_each(|frame| socket.send(frame));
        socket.ending()
    }

    /// The database is what was pushed first.
    fn assert_unchanged(&self) {
        let copy = self.folder.path().join("copy.db");
        let _ = fs::remove_file(&copy);
        self.place.pull(&copy);
        assert_equal(&self.folder.path().join("app.db"), &copy);
        assert_eq!(self.place.user.seq(&self.place.database), 1);
    }

    /// Pushes `pages` as they are, answering every request.
    fn push_pages(&self, pages: &[Vec<u8>]) -> Ending {
        let mut socket = self.push_socket();
        socket.send(&Frame::hello(u32::try_from(pages.len()).unwrap()));
        for (place, page) in pages.iter().enumerate() {
            socket.feed(&Frame::page_hash(u32::try_from(place + 1).unwrap(), page));
        }
        socket.send(&Frame::Complete);
        let mut error = None;
        loop {
            match socket.next() {
                Event::Frame(Frame::RequestPage { page_no }) => {
                    let data = pages[page_no as usize - 1].clone();
                    socket.send(&Frame::PageData { page_no, data });
                }
                Event::Frame(Frame::Error { message }) => error = Some(message),
                Event::Frame(_) => {}
                Event::Closed { code, reason } => return Ending { error, code, reason },
                Event::Lost(reason) => return Ending { error, code: 1006, reason },
            }
        }
    }
}

#[track_caller]
fn reply(ending: &Ending, code: u16, message: &str) {
    assert_eq!(ending.code, code, "{ending:?}");
    assert_eq!(ending.error.as_deref(), Some(message), "{ending:?}");
}

/// The error must say all of these.
#[track_caller]
fn mentions(ending: &Ending, code: u16, words: &[&str]) {
    assert_eq!(ending.code, code, "{ending:?}");
    let error = ending.error.clone().unwrap_or_default();
    for word in words {
        assert!(error.contains(word), "{word:?} is missing in {error:?}");
    }
}

#[test]
fn order_and_version_are_checked() {
    let target = Target::new();
    reply(&target.push(&[Frame::Complete]), 1011, "first message must be Hello");
    reply(&target.push(&[Frame::page_hash(1, &[0; 4096])]), 1011, "first message must be Hello");
    reply(&target.push(&[Frame::hello(1), Frame::hello(1)]), 1011, "Hello may only be sent once");
    let other = Frame::Hello { protocol_version: 2, page_size: 4096, max_page: 1 };
    reply(&target.push(&[other]), 1011, "protocol_version mismatch: server=1, client=2");
    for frame in [
        Frame::RequestPage { page_no: 1 },
        Frame::SyncComplete { pages_transferred: 1, bytes_transferred: 1 },
        Frame::HelloReply { protocol_version: 1, page_size: 4096, max_page: 1 },
        Frame::HashMismatchBatch { page_numbers: vec![1] },
    ] {
        reply(&target.push(&[Frame::hello(1), frame]), 1011, "client may not send server-originated message");
    }
    target.assert_unchanged();
}

#[test]
fn bytes_that_are_no_frame_are_a_protocol_error() {
    let target = Target::new();
    for bytes in [
        vec![],
        vec![VERSION],
        vec![2, 0x80],
        vec![VERSION, 0xc1],
        b"hello".to_vec(),
        vec![VERSION, 0xdf, 255, 255, 255, 255],
    ] {
        let mut socket = target.push_socket();
        socket.send_bytes(bytes.clone());
        let ending = socket.ending();
        assert_eq!((ending.code, ending.reason.as_str()), (1002, "protocol error"), "{bytes:?}: {ending:?}");
    }
    let mut rng = Rng::new(9);
    for _ in 0..100 {
        let mut socket = target.push_socket();
        let mut bytes = Frame::hello(3).encode();
        let place = rng.below(bytes.len() as u64) as usize;
        bytes[place] ^= 1 << rng.below(8);
        socket.send_bytes(bytes);
        socket.send(&Frame::Complete);
        let ending = socket.ending();
        assert_ne!(ending.code, 1006, "{ending:?}");
    }
    let mut socket = target.push_socket();
    socket.send_text("{}");
    let ending = socket.ending();
    assert_eq!((ending.code, ending.reason.as_str()), (1003, "text frames not supported"), "{ending:?}");
    let mut socket = target.push_socket();
    socket.send_bytes(vec![1; (1 << 20) + 1]);
    assert_eq!(socket.ending().code, 1009);
    target.assert_unchanged();
}

// Verifies: PAG-05
#[test]
fn every_page_is_announced_once_and_none_beyond() {
    let target = Target::new();
    let count = u32::try_from(target.pages.len()).unwrap();
    let hash = |number: u32| Frame::page_hash(number, &target.pages[number as usize - 1]);
    mentions(&target.push(&[Frame::hello(count), hash(1), hash(1)]), 1011, &["1"]);
    let beyond = Frame::page_hash(count + 1, &[0; 4096]);
    mentions(&target.push(&[Frame::hello(count), beyond]), 1011, &[&(count + 1).to_string()]);
    let zero = Frame::page_hash(0, &[0; 4096]);
    mentions(&target.push(&[Frame::hello(count), zero]), 1011, &["0"]);
    mentions(&target.push(&[Frame::hello(2), hash(1), Frame::Complete]), 1011, &["2"]);
    let short = Frame::PageHash { page_no: 1, hash: vec![1; 31] };
    mentions(&target.push(&[Frame::hello(count), short]), 1011, &["32"]);
    let huge = Frame::hello(u32::MAX);
    let ending = target.push(&[huge]);
    assert!(ending.code == 1009 || ending.code == 1011, "16 TiB announced: {ending:?}");
    target.assert_unchanged();
}

// Verifies: PAG-04
#[test]
fn data_counts_only_if_requested_and_as_announced() {
    let target = Target::new();
    let count = u32::try_from(target.pages.len()).unwrap();
    let new_page = vec![7_u8; 4096];
    let unrequested = Frame::PageData { page_no: 2, data: new_page.clone() };
    mentions(&target.push(&[Frame::hello(count), unrequested.clone()]), 1011, &["2"]);

    let announce = Frame::page_hash(2, &new_page);
    let begin = |wrong: Vec<u8>| {
        let mut socket = target.push_socket();
        socket.send(&Frame::hello(count));
        assert!(matches!(socket.next(), Event::Frame(Frame::HelloReply { .. })));
        socket.send(&announce);
        assert_eq!(socket.next(), Event::Frame(Frame::RequestPage { page_no: 2 }));
        socket.send(&Frame::PageData { page_no: 2, data: wrong });
        socket.ending()
    };
    mentions(&begin(vec![8; 4096]), 1011, &["2"]);
    mentions(&begin(vec![7; 4095]), 1011, &["2"]);
    mentions(&begin(vec![]), 1011, &["2"]);

    // Sent twice: the second is not outstanding any more.
    let mut socket = target.push_socket();
    socket.send(&Frame::hello(count));
    socket.next();
    socket.send(&announce);
    assert_eq!(socket.next(), Event::Frame(Frame::RequestPage { page_no: 2 }));
    let data = Frame::PageData { page_no: 2, data: new_page };
    socket.send(&data);
    socket.send(&data);
    mentions(&socket.ending(), 1011, &["2"]);
    target.assert_unchanged();
}

// Verifies: PAG-06
#[test]
fn only_plain_sqlite_files_are_accepted() {
    let target = Target::new();
    let refuse = |what: &str, change: &dyn Fn(&mut Vec<Vec<u8>>)| {
        let mut pages = target.pages.clone();
        change(&mut pages);
        let ending = target.push_pages(&pages);
        assert_eq!(ending.code, 1011, "{what}: {ending:?}");
        assert!(ending.error.is_some(), "{what}: {ending:?}");
    };
    refuse("magic", &|pages| pages[0][0] = b'X');
    refuse("encrypted", &|pages| pages[0] = Rng::new(1).bytes(4096));
    refuse("page size 3000", &|pages| pages[0][16..18].copy_from_slice(&3000_u16.to_be_bytes()));
    refuse("page size 8192 with data of 4096", &|pages| {
        pages[0][16..18].copy_from_slice(&8192_u16.to_be_bytes());
    });
    refuse("write version 3", &|pages| pages[0][18] = 3);
    refuse("read version 0", &|pages| pages[0][19] = 0);
    refuse("payload fraction", &|pages| pages[0][21] = 65);
    refuse("leaf fraction", &|pages| pages[0][23] = 31);
    refuse("schema format 5", &|pages| pages[0][44..48].copy_from_slice(&5_u32.to_be_bytes()));
    refuse("encoding 4", &|pages| pages[0][56..60].copy_from_slice(&4_u32.to_be_bytes()));
    refuse("page type", &|pages| pages[0][100] = 10);
    refuse("page count", &|pages| {
        let count = u32::from_be_bytes(pages[0][28..32].try_into().unwrap()) + 1;
        pages[0][28..32].copy_from_slice(&count.to_be_bytes());
    });
    refuse("pages of two lengths", &|pages| pages[1] = vec![3; 2048]);
    target.assert_unchanged();
}

// Verifies: PAG-07
#[test]
fn a_torn_image_is_refused_with_advice() {
    let target = Target::new();
    // Well-formed pages that do not belong together.
    let mut pages = target.pages.clone();
    let last = pages.len() - 1;
    pages.swap(2, last);
    let ending = target.push_pages(&pages);
    reply(&ending, 1011, "database changed while it was pushed; run push again");
    // Page 1 is asked for last: it has changed since it was announced.
    let mut socket = target.push_socket();
    socket.send(&Frame::hello(u32::try_from(target.pages.len()).unwrap()));
    let mut announced = target.pages.clone();
    announced[0][27] ^= 1;
    for (place, page) in announced.iter().enumerate() {
        socket.feed(&Frame::page_hash(u32::try_from(place + 1).unwrap(), page));
    }
    socket.send(&Frame::Complete);
    assert!(matches!(socket.next(), Event::Frame(Frame::HelloReply { .. })));
    assert_eq!(socket.next(), Event::Frame(Frame::RequestPage { page_no: 1 }));
    socket.send(&Frame::PageData { page_no: 1, data: target.pages[0].clone() });
    reply(&socket.ending(), 1011, "database changed while it was pushed; run push again");
    target.assert_unchanged();
}

// Verifies: PAG-12
#[test]
fn a_pull_token_stores_nothing() {
    let target = Target::new();
    let mut socket = target.pull_socket();
    socket.send(&Frame::hello(1));
    assert!(matches!(socket.next(), Event::Frame(Frame::HelloReply { .. })));
    socket.send(&Frame::page_hash(1, &[9; 4096]));
    socket.send(&Frame::PageData { page_no: 1, data: vec![9; 4096] });
    reply(&socket.ending(), 1008, "this token allows pull only");
    target.assert_unchanged();
}

#[test]
fn key_order_and_unknown_fields_are_ignored() {
    let target = Target::new();
    // {"data": {"max_page": 0, "later": [1], "page_size": 4096, "protocol_version": 1}, "kind": "hello", "x": nil}
    let mut bytes = vec![VERSION, 0x83, 0xa4];
    bytes.extend(b"data");
    bytes.push(0x84);
    let text = |bytes: &mut Vec<u8>, text: &str| {
        bytes.push(0xa0 | u8::try_from(text.len()).unwrap());
        bytes.extend(text.as_bytes());
    };
    text(&mut bytes, "max_page");
    bytes.push(0);
    text(&mut bytes, "later");
    bytes.extend([0x91, 1]);
    text(&mut bytes, "page_size");
    bytes.extend([0xcd, 0x10, 0]);
    text(&mut bytes, "protocol_version");
    // Not the shortest form: accepted all the same.
    bytes.extend([0xce, 0, 0, 0, 1]);
    text(&mut bytes, "kind");
    text(&mut bytes, "hello");
    text(&mut bytes, "x");
    bytes.push(0xc0);
    let mut socket = target.pull_socket();
    socket.send_bytes(bytes);
    let Event::Frame(Frame::HelloReply { max_page, page_size, protocol_version }) = socket.next() else {
        panic!("a hello in another order is a hello");
    };
    assert_eq!((max_page as usize, page_size, protocol_version), (target.pages.len(), 4096, 1));
}
