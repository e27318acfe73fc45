//! The session machines against a store in memory: the rules of sections 2.2, 3.1 and 5, and random frames.

use std::{
    collections::{HashMap, HashSet},
    convert::Infallible,
};

use ferry_protocol::pages::{Frame, Hello, PageData, PageHash, PageHashBatch, close};
use ferry_types::{Leaf, PageCount, PageNo, PageSize};
use proptest::prelude::*;

use super::{
    push::{PushOutcome, PushStore},
    *,
};

const LIMIT: u64 = 1 << 20;
const SIZE: usize = 512;

#[derive(Clone, Default)]
struct Memory {
    base: Vec<Vec<u8>>,
    staged: HashMap<Leaf, Vec<u8>>,
    noted: HashMap<PageNo, Leaf>,
}

impl ImageHashes for Memory {
    type Error = Infallible;

    fn served_hash(&mut self, page: PageNo) -> Result<Leaf, Infallible> {
        Ok(tree::leaf(&self.base[page.index()]))
    }
}

impl PushStore for Memory {
    fn is_staged(&mut self, hash: &Leaf) -> Result<bool, Infallible> {
        Ok(self.staged.contains_key(hash))
    }

    fn stage(&mut self, hash: &Leaf, data: &[u8]) -> Result<(), Infallible> {
        assert_eq!(tree::leaf(data), *hash, "only verified pages are staged");
        self.staged.insert(*hash, data.to_vec());
        Ok(())
    }

    fn note(&mut self, page: PageNo, hash: &Leaf) -> Result<(), Infallible> {
        self.noted.insert(page, *hash);
        Ok(())
    }

    fn noted(&mut self, page: PageNo) -> Result<Leaf, Infallible> {
        Ok(self.noted[&page])
    }
}

/// Pages 1 to `count` of an image whose contents depend on `seed`.
fn image(count: u32, seed: u8) -> Vec<Vec<u8>> {
    let mut pages: Vec<Vec<u8>> = (1..=count)
        .map(|page| (0..SIZE).map(|i| (i as u8).wrapping_mul(7) ^ (page as u8) ^ seed).collect())
        .collect();
    if let Some(page1) = pages.first_mut() {
        page1[..100].fill(0);
        page1[..16].copy_from_slice(b"SQLite format 3\0");
        page1[16..24].copy_from_slice(&[2, 0, 1, 1, 0, 64, 32, 32]);
        page1[27] = seed;
        page1[28..32].copy_from_slice(&count.to_be_bytes());
        page1[95] = seed;
        page1[100] = 13;
    }
    pages
}

fn stored(base: Vec<Vec<u8>>) -> (Image, Memory) {
    let image = Image {
        version: u64::from(!base.is_empty()),
        page_size: (!base.is_empty()).then(|| PageSize::new(SIZE as u32).unwrap()),
        page_count: PageCount(base.len() as u32),
    };
    (image, Memory { base, ..Memory::default() })
}

fn hello(max_page: u32) -> Frame<'static> {
    Frame::Hello(Hello { protocol_version: 1, page_size: 4096, max_page })
}

/// Owned parts of a client's frame, so that sequences can be generated.
#[derive(Clone, Debug)]
enum Sent {
    Hello(u32),
    Hash(u32, Vec<u8>),
    Batch(u32, u32, Vec<u8>),
    Data(u32, Vec<u8>),
    Datas(Vec<(u32, Vec<u8>)>),
    Complete,
    FromHub,
}

impl Sent {
    fn frame(&self) -> Frame<'_> {
        match self {
            Self::Hello(max_page) => hello(*max_page),
            Self::Hash(page_no, hash) => Frame::PageHash(PageHash { page_no: *page_no, hash }),
            Self::Batch(start_page, end_page, combined_hash) => Frame::PageHashBatch(PageHashBatch {
                start_page: *start_page,
                end_page: *end_page,
                combined_hash,
            }),
            Self::Data(page_no, data) => Frame::PageData(PageData { page_no: *page_no, data }),
            Self::Datas(pages) => Frame::PageDataBatch(
                pages.iter().map(|(page_no, data)| PageData { page_no: *page_no, data }).collect(),
            ),
            Self::Complete => Frame::Complete,
            Self::FromHub => Frame::Error("no".to_owned()),
        }
    }

    fn hash_of(page_no: u32, data: &[u8]) -> Self {
        Self::Hash(page_no, tree::leaf(data).0.to_vec())
    }
}

fn combined(pages: &[Vec<u8>]) -> Vec<u8> {
    let hashes: Vec<u8> = pages.iter().flat_map(|page| tree::leaf(page).0).collect();
    blake3::hash(&hashes).as_bytes().to_vec()
}

fn refused<T: std::fmt::Debug>(result: Result<T, SessionError<Infallible>>) -> Refusal {
    match result {
        Err(SessionError::Refused(refusal)) => refusal,
        other => panic!("not refused: {other:?}"),
    }
}

/// Sends frames to a push on `base` until one is refused.
fn push_refusal(base: Vec<Vec<u8>>, frames: &[Sent]) -> Refusal {
    let (image, mut memory) = stored(base);
    let mut push = PushSession::new(image, LIMIT);
    let (last, first) = frames.split_last().unwrap();
    for frame in first {
        push.receive(&frame.frame(), &mut memory).unwrap_or_else(|error| panic!("{frame:?}: {error:?}"));
        while push.next_frame().is_some() {}
    }
    refused(push.receive(&last.frame(), &mut memory))
}

#[test]
fn order_and_version_are_checked() {
    let said = |frames: &[Sent]| {
        let refusal = push_refusal(image(3, 1), frames);
        assert_eq!(refusal.close, close::SERVER_ERROR);
        refusal.message.into_owned()
    };
    assert_eq!(said(&[Sent::Complete]), "first message must be Hello");
    assert_eq!(said(&[Sent::FromHub]), "first message must be Hello");
    assert_eq!(said(&[Sent::Hello(1), Sent::Hello(1)]), "Hello may only be sent once");
    assert_eq!(said(&[Sent::Hello(1), Sent::FromHub]), "client may not send server-originated message");
    let (image, mut memory) = stored(image(1, 1));
    let other = Frame::Hello(Hello { protocol_version: 2, page_size: 4096, max_page: 1 });
    let refusal = refused(PushSession::new(image, LIMIT).receive(&other, &mut memory));
    assert_eq!(refusal.message, "protocol_version mismatch: server=1, client=2");
    let refusal = refused(PushSession::new(image, LIMIT).receive(&hello(u32::MAX), &mut memory));
    assert_eq!(refusal.close, close::TOO_LARGE);
}

// Verifies: PAG-05
#[test]
fn each_page_is_announced_exactly_once() {
    let new = image(3, 9);
    let first = Sent::hash_of(1, &new[0]);
    let said = |last: Sent| push_refusal(vec![], &[Sent::Hello(3), first.clone(), last]).message.into_owned();
    assert_eq!(said(first.clone()), "page 1: announced twice");
    assert_eq!(said(Sent::hash_of(0, &new[0])), "page 0: pages run from 1 to max_page, which is 3");
    assert_eq!(said(Sent::hash_of(4, &new[0])), "page 4: pages run from 1 to max_page, which is 3");
    assert_eq!(said(Sent::Hash(2, vec![0; 31])), "page 2: hash must have 32 bytes, not 31");
    assert_eq!(said(Sent::Complete), "page 2: not announced before complete");
    assert_eq!(said(Sent::Batch(3, 2, vec![0; 32])), "page 3: start_page of a batch is above its end_page");
}

// Verifies: PAG-04
#[test]
fn data_counts_only_as_requested_and_announced() {
    let new = image(3, 9);
    let announce = [Sent::Hello(3), Sent::hash_of(2, &new[1]), Sent::hash_of(3, &new[2])];
    let said = |frames: &[Sent]| {
        let all: Vec<Sent> = announce.iter().chain(frames).cloned().collect();
        push_refusal(vec![], &all).message.into_owned()
    };
    let data = Sent::Data(2, new[1].clone());
    assert_eq!(said(&[Sent::Data(1, new[0].clone())]), "page 1: data was not requested");
    assert_eq!(said(&[data.clone(), data.clone()]), "page 2: data was not requested");
    assert_eq!(said(&[Sent::Data(2, vec![1; 100])]), "page 2: data has 100 bytes, which is no page size");
    assert_eq!(
        said(&[data.clone(), Sent::Data(3, vec![1; 1024])]),
        "page 3: data has 1024 bytes, other pages have 512"
    );
    assert!(said(&[Sent::Data(3, new[1].clone())]).starts_with("page 3: data does not match"));
    assert!(said(&[Sent::Datas(vec![(2, new[1].clone()), (9, vec![])])]).starts_with("page 9:"));
}

// Verifies: PAG-09
#[test]
fn a_push_of_nothing_is_refused_unless_there_is_nothing() {
    let refusal = push_refusal(image(2, 1), &[Sent::Hello(0), Sent::Complete]);
    assert!(refusal.message.starts_with("nothing announced: this token allows push only"), "{refusal:?}");
    let (image, mut memory) = stored(vec![]);
    let mut push = PushSession::new(image, LIMIT);
    push.receive(&hello(0), &mut memory).unwrap();
    push.receive(&Frame::Complete, &mut memory).unwrap();
    assert!(matches!(push.outcome().unwrap(), Some(PushOutcome::Unchanged)));
}

#[test]
fn page_1_is_asked_for_last_and_must_be_as_announced() {
    let new = image(3, 9);
    let (base, mut memory) = stored(image(3, 1));
    let mut push = PushSession::new(base, LIMIT);
    push.receive(&hello(3), &mut memory).unwrap();
    for (page_no, data) in (1..).zip(&new) {
        push.receive(&Sent::hash_of(page_no, data).frame(), &mut memory).unwrap();
    }
    push.receive(&Frame::Complete, &mut memory).unwrap();
    let mut asked = Vec::new();
    while let Some(frame) = push.next_frame() {
        if let Frame::RequestPage(page) = frame {
            asked.push(page.page_no);
            if page.page_no != 1 {
                let data = new[page.page_no as usize - 1].clone();
                push.receive(&Sent::Data(page.page_no, data).frame(), &mut memory).unwrap();
            }
        }
    }
    assert_eq!(asked, [2, 3, 1]);
    assert!(push.outcome().unwrap().is_none(), "page 1 is missing");
    let mut later = new[0].clone();
    later[27] += 1;
    assert_eq!(refused(push.receive(&Sent::Data(1, later).frame(), &mut memory)), Refusal::torn());
}

// Verifies: PAG-12, PAG-13, PAG-14, PAG-17
#[test]
fn pull_rules() {
    let (image_info, mut memory) = stored(image(3, 1));
    let mut pull = PullSession::new(image_info, LIMIT);
    pull.receive(&hello(2), &mut memory).unwrap();
    let refusal = refused(pull.receive(&Sent::Data(1, vec![0; SIZE]).frame(), &mut memory));
    assert_eq!((refusal.message.as_ref(), refusal.close), ("this token allows pull only", close::RIGHTS));

    let refusal = refused(PullSession::new(image_info, LIMIT).receive(&hello(0), &mut memory));
    assert_eq!(refusal.message, "page size is 512; this client can only create 4096: use ferry pull");

    // Page 1 goes out to a client with more pages, although it has it.
    for (max_page, sent) in [(3, vec![2]), (5, vec![2, 1])] {
        let mut pull = PullSession::new(image_info, LIMIT);
        pull.receive(&hello(max_page), &mut memory).unwrap();
        let base = memory.base.clone();
        for page_no in [1, 3] {
            let known = Sent::hash_of(page_no, &base[page_no as usize - 1]);
            pull.receive(&known.frame(), &mut memory).unwrap();
        }
        assert!(matches!(pull.next_frame(), Some(Frame::HelloReply(_))));
        assert!(pull.next_frame().is_none() && pull.next_page().is_none(), "nothing before complete");
        pull.receive(&Frame::Complete, &mut memory).unwrap();
        let pages: Vec<u32> = std::iter::from_fn(|| pull.next_page()).map(PageNo::get).collect();
        assert_eq!(pages, sent);
    }
}

// Verifies: PAG-15
#[test]
fn a_batch_that_differs_leaves_its_pages_unannounced() {
    let base = image(4, 1);
    let (image_info, mut memory) = stored(base.clone());
    let mut pull = PullSession::new(image_info, LIMIT);
    pull.receive(&hello(4), &mut memory).unwrap();
    pull.next_frame();
    pull.receive(&Sent::Batch(3, 4, combined(&base[2..])).frame(), &mut memory).unwrap();
    assert!(pull.next_frame().is_none(), "a batch that matches is not answered");
    pull.receive(&Sent::Batch(1, 2, vec![0; 32]).frame(), &mut memory).unwrap();
    let Some(Frame::HashMismatchBatch(list)) = pull.next_frame() else { panic!("no answer") };
    assert_eq!(list.page_numbers, [1, 2]);
    pull.receive(&Sent::hash_of(2, &base[1]).frame(), &mut memory).unwrap();
    pull.receive(&Frame::Complete, &mut memory).unwrap();
    let pages: Vec<u32> = std::iter::from_fn(|| pull.next_page()).map(PageNo::get).collect();
    assert_eq!(pages, [1]);
}

/// Frames that are often right: of the pages of one of two images, or random.
fn sent() -> impl Strategy<Value = Sent> {
    let page_no = 0..8_u32;
    let data = (1..7_u32, 0..2_u8).prop_map(|(page, seed)| image(6, seed * 9).swap_remove(page as usize - 1));
    let pages = prop::collection::vec((page_no.clone(), data.clone()), 0..3);
    prop_oneof![
        1 => (0..8_u32).prop_map(Sent::Hello),
        6 => (page_no.clone(), data.clone()).prop_map(|(page, data)| Sent::hash_of(page, &data)),
        1 => (page_no.clone(), page_no.clone(), prop::collection::vec(any::<u8>(), 32))
            .prop_map(|(first, last, hash)| Sent::Batch(first, last, hash)),
        6 => (page_no.clone(), data).prop_map(|(page, data)| Sent::Data(page, data)),
        1 => pages.prop_map(Sent::Datas),
        1 => Just(Sent::Complete),
        1 => Just(Sent::FromHub),
    ]
}

/// An honest push of `new`, with `noise` frames strewn in at random places.
fn drive(base: &[Vec<u8>], new: &[Vec<u8>], noise: &[(usize, Sent)]) -> Option<(PushPlan, Memory)> {
    let (image_info, mut memory) = stored(base.to_vec());
    let mut push = PushSession::new(image_info, LIMIT);
    let mut queue: Vec<Sent> = vec![Sent::Hello(new.len() as u32)];
    queue.extend((1..).zip(new).map(|(page_no, data)| Sent::hash_of(page_no, data)));
    queue.push(Sent::Complete);
    queue.reverse();
    let mut asked = HashSet::new();
    for turn in 0.. {
        for (_, frame) in noise.iter().filter(|(at, _)| *at == turn) {
            push.receive(&frame.frame(), &mut memory).ok()?;
        }
        while let Some(frame) = push.next_frame() {
            if let Frame::RequestPage(page) = frame {
                assert!(asked.insert(page.page_no), "page {} is asked for twice", page.page_no);
                queue.insert(0, Sent::Data(page.page_no, new.get(page.page_no as usize - 1)?.clone()));
            }
        }
        let Some(frame) = queue.pop() else { break };
        push.receive(&frame.frame(), &mut memory).ok()?;
    }
    match push.outcome().ok()?? {
        PushOutcome::Unchanged => None,
        PushOutcome::Changed(plan) => Some((*plan, memory)),
    }
}

proptest! {
    #[test]
    fn an_honest_push_yields_exactly_the_new_image(
        base_count in 0..7_u32, count in 1..7_u32, kept in any::<u8>()
    ) {
        let base = image(base_count, 1);
        let mut new = image(count, 2);
        for (index, page) in new.iter_mut().enumerate().skip(1) {
            if kept >> index & 1 == 1 && let Some(old) = base.get(index) {
                page.clone_from(old);
            }
        }
        let (plan, memory) = drive(&base, &new, &[]).expect("page 1 differs");
        prop_assert_eq!(assembled(&plan, &memory), new);
    }

    #[test]
    fn any_frames_give_a_complete_plan_of_what_was_announced(
        noise in prop::collection::vec((0..12_usize, sent()), 0..5), honest in any::<bool>()
    ) {
        let (base, new) = (image(4, 0), image(6, 9));
        let target = if honest { new } else { vec![] };
        if let Some((plan, memory)) = drive(&base, &target, &noise) {
            // Every page of the plan is there, and page 1 passed the header check of its count.
            let pages = assembled(&plan, &memory);
            prop_assert_eq!(pages.len(), plan.page_count.0 as usize);
            prop_assert!(header::check_image(&pages[0], plan.page_count).is_ok());
        }
    }

    #[test]
    fn random_frames_never_panic_a_pull(frames in prop::collection::vec(sent(), 0..30)) {
        let (image_info, mut memory) = stored(image(5, 0));
        let mut pull = PullSession::new(Image { page_size: Some(PageSize::DEFAULT), ..image_info }, LIMIT);
        let mut sent_pages = HashSet::new();
        for frame in frames {
            if pull.receive(&frame.frame(), &mut memory).is_err() {
                break;
            }
            while pull.next_frame().is_some() {}
            while let Some(page) = pull.next_page() {
                prop_assert!(sent_pages.insert(page) && page.get() <= 5);
            }
        }
    }
}

/// The image that a plan describes.
fn assembled(plan: &PushPlan, memory: &Memory) -> Vec<Vec<u8>> {
    let page = |page: PageNo| {
        if page == PageNo::FIRST {
            plan.page1.clone()
        } else if plan.changed.contains(page) {
            memory.staged[&memory.noted[&page]].clone()
        } else {
            memory.base[page.index()].clone()
        }
    };
    plan.page_count.pages().map(page).collect()
}
