//! Streams and sockets against a made-up state, connections and clock: whatever happens in whatever order, nobody misses a
//! commit, and nobody gets one twice but where it joins the others in the middle of a page.

use std::sync::Arc;

use bytes::Bytes;
use ferry_protocol::records::Bye;

use super::*;
use crate::{
    records::Whom,
    topic::{Retained, Topic},
};

const RETAINED: Retained = Retained { items: 3, weight: 60 };
const DEVICES: [&str; 4] = ["a", "b", "c", "d"];
/// Commits of a page that is read of the state.
const PAGE_MAX: usize = 3;
const TIMES: StreamTimes = StreamTimes { heartbeat_ms: 30, billing_ms: 300 };

/// The seed replays the schedule.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % bound
    }

    fn one_in(&mut self, bound: usize) -> bool {
        self.below(bound) == 0
    }
}

type Pages = Arc<Topic<Arc<SharedPage<Bytes>>, ()>>;

/// An owner's commits, and what its streams share.
struct Sim {
    commits: Vec<(u64, &'static str)>,
    topic: Pages,
    fan_out: StreamFanOut,
    /// Where the fan-out task is, and what it has read but not yet published.
    position: u64,
    read: Option<StreamRead>,
    now_ms: u64,
}

fn topic() -> Pages {
    Arc::new(Topic::new(0, RETAINED, ()))
}

impl Sim {
    fn new() -> Self {
        Self {
            commits: Vec::new(),
            topic: topic(),
            fan_out: StreamFanOut::default(),
            position: u64::MAX,
            read: None,
            now_ms: 0,
        }
    }

    fn newest(&self) -> u64 {
        self.commits.last().map_or(0, |(position, _)| *position)
    }

    /// A page of the state. Its commits are named by who reads: `s` a stream, `p` the fan-out task.
    fn page(&self, since: u64, device: Option<&str>, who: char) -> StreamRead {
        let newer = || self.commits.iter().filter(|(position, _)| *position > since);
        let wanted: Vec<_> = newer().filter(|(_, writer)| device != Some(writer)).collect();
        let has_more = wanted.len() > PAGE_MAX;
        let page = &wanted[..wanted.len().min(PAGE_MAX)];
        let text: String = page.iter().map(|(position, _)| format!("{who}{position} ")).collect();
        let until = if has_more { page[PAGE_MAX - 1].0 } else { self.newest() };
        let writers = page.iter().map(|(_, writer)| (*writer).to_owned()).collect();
        let events = if page.is_empty() { Vec::new() } else { vec![text.into()] };
        let whom = Whom { writers, only_nameless: false };
        StreamRead { events, has_more, is_last: false, until, whom }
    }

    fn commit(&mut self, random: &mut Random) {
        let position = self.newest() + 8;
        self.commits.push((position, DEVICES[random.below(DEVICES.len())]));
    }

    /// One step of the fan-out task: it reads, or publishes what it has read.
    fn step_fan_out(&mut self) {
        let Some(read) = self.read.take() else {
            self.read = Some(self.page(self.position, None, 'p'));
            return;
        };
        self.position = read.until;
        match self.fan_out.read(read) {
            StreamPublish::Page(upto, page) if upto > self.topic.head() => {
                self.topic.publish(upto, page.content.len(), Arc::new(page));
            }
            StreamPublish::Advance(upto) if upto > self.topic.head() => self.topic.advance(upto),
            StreamPublish::Page(..) | StreamPublish::Advance(_) => {}
            StreamPublish::ReadOn | StreamPublish::Nothing => {}
            StreamPublish::End => panic!("the state never ends"),
        }
    }

    /// The fan-out task fails, and another one begins.
    fn fail_fan_out(&mut self) {
        self.topic.advance(self.topic.head() + 1);
        (self.fan_out, self.position, self.read) = (StreamFanOut::default(), u64::MAX, None);
    }

    /// The owner's records are removed; what comes later is another owner's.
    fn remove(&mut self) {
        self.commits.clear();
        self.topic.close();
    }
}

/// A stream, its connection and its reader.
struct Reader {
    machine: LiveStream<()>,
    device: Option<&'static str>,
    began: u64,
    got: Vec<u64>,
    /// The newest thing that it got was a page of the state, or the beginning.
    is_joining: bool,
    is_full: bool,
    is_reading: bool,
    is_asking: bool,
    words: Vec<String>,
    is_over: bool,
}

impl Reader {
    fn new(sim: &Sim, began: u64, device: Option<&'static str>) -> Self {
        Self {
            machine: LiveStream::new(sim.topic.cursor(began), device, TIMES, sim.now_ms),
            device,
            began,
            got: Vec::new(),
            is_joining: true,
            is_full: false,
            is_reading: false,
            is_asking: false,
            words: Vec::new(),
            is_over: false,
        }
    }

    /// What a task does that serves it: everything that needs no waiting.
    fn serve(&mut self, random: &mut Random) {
        while !self.is_full && !self.is_over && !self.is_reading && !self.is_asking {
            match self.machine.next_output() {
                StreamOutput::Send(event) => {
                    self.take(std::str::from_utf8(&event).unwrap());
                    self.is_full = random.one_in(3);
                }
                StreamOutput::Read => self.is_reading = true,
                StreamOutput::AskBilling => self.is_asking = true,
                StreamOutput::Wait => return,
                StreamOutput::End => self.is_over = true,
            }
        }
    }

    fn take(&mut self, event: &str) {
        if event.starts_with(':') || event.starts_with("event") {
            self.words.push(event.to_owned());
            return;
        }
        for commit in event.split_whitespace() {
            let position: u64 = commit[1..].parse().unwrap();
            let is_twice = self.got.contains(&position);
            assert!(!is_twice || (commit.starts_with('p') && self.is_joining), "{commit} twice: {self}");
            if !is_twice {
                assert!(self.got.last().is_none_or(|newest| *newest < position), "{commit} late: {self}");
                self.got.push(position);
            }
        }
        self.is_joining = event.starts_with('s');
    }

    fn finish_read(&mut self, sim: &Sim) {
        if std::mem::take(&mut self.is_reading) {
            let read = sim.page(self.machine.position(), self.device, 's');
            self.is_joining |= read.events.is_empty();
            self.machine.read(read);
        }
    }

    /// It has everything that it should.
    fn check(&self, sim: &Sim) {
        let newer = sim.commits.iter().filter(|(position, _)| *position > self.began);
        let wanted: Vec<u64> =
            newer.filter(|(_, writer)| self.device != Some(writer)).map(|(position, _)| *position).collect();
        assert_eq!(self.got, wanted, "{self}");
    }
}

impl std::fmt::Display for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} from {}: {:?}", self.device, self.began, self.got)
    }
}

fn step(sim: &mut Sim, readers: &mut [Reader], random: &mut Random) {
    let one = random.below(readers.len());
    match random.below(14) {
        0..3 => sim.commit(random),
        3..6 => sim.step_fan_out(),
        6..8 => readers.iter_mut().for_each(|reader| reader.serve(random)),
        8 => readers[one].serve(random),
        9 => readers[one].finish_read(sim),
        10 => readers[one].is_full = false,
        11 => {
            sim.now_ms += 10;
            readers.iter_mut().for_each(|reader| reader.machine.tick(sim.now_ms));
        }
        12 => {
            if std::mem::take(&mut readers[one].is_asking) {
                readers[one].machine.admitted(true);
            }
        }
        _ => match random.below(20) {
            0 => sim.fail_fan_out(),
            // A reader goes, and another one comes, from the beginning, from where it was or from now.
            1..6 => {
                let began = [0, readers[one].got.last().copied().unwrap_or(0), sim.newest()][random.below(3)];
                let device = [None, Some(DEVICES[random.below(DEVICES.len())])][random.below(2)];
                readers[one] = Reader::new(sim, began, device);
            }
            _ => {}
        },
    }
}

/// Lets everybody do what is left to do.
fn settle(sim: &mut Sim, readers: &mut [Reader], random: &mut Random) {
    for _ in 0..200 {
        sim.step_fan_out();
        for reader in &mut *readers {
            reader.is_full = false;
            reader.serve(random);
            reader.finish_read(sim);
            if std::mem::take(&mut reader.is_asking) {
                reader.machine.admitted(true);
            }
        }
    }
}

fn readers(sim: &Sim) -> Vec<Reader> {
    (0..6).map(|n| Reader::new(sim, 0, [None, Some(DEVICES[n % DEVICES.len()])][n % 2])).collect()
}

// Verifies: REC-11, REC-14, REC-20
#[test]
fn no_stream_misses_a_commit_or_gets_one_twice() {
    for seed in 0..300 {
        let (mut sim, mut random) = (Sim::new(), Random(seed));
        let mut readers = readers(&sim);
        for _ in 0..600 {
            step(&mut sim, &mut readers, &mut random);
        }
        settle(&mut sim, &mut readers, &mut random);
        readers.iter().for_each(|reader| reader.check(&sim));
    }
}

// Verifies: REC-43
#[test]
fn every_stream_of_an_owner_that_is_removed_ends() {
    for seed in 0..50 {
        let (mut sim, mut random) = (Sim::new(), Random(seed));
        let mut readers = readers(&sim);
        for _ in 0..100 {
            step(&mut sim, &mut readers, &mut random);
        }
        sim.remove();
        settle(&mut sim, &mut readers, &mut random);
        for reader in &readers {
            assert!(reader.is_over, "seed {seed}: {reader}");
            assert!(reader.words.last().unwrap().contains("revoked"), "{:?}", reader.words);
        }
    }
}

// Verifies: REC-31
#[test]
fn nothing_is_sent_behind_the_end_of_the_rights() {
    for seed in 0..50 {
        let (mut sim, mut random) = (Sim::new(), Random(seed));
        let mut readers = readers(&sim);
        for _ in 0..100 {
            step(&mut sim, &mut readers, &mut random);
        }
        let got: Vec<usize> = readers.iter().map(|reader| reader.got.len()).collect();
        readers.iter_mut().for_each(|reader| reader.machine.end(Bye::Expired));
        (0..10).for_each(|_| sim.commit(&mut random));
        settle(&mut sim, &mut readers, &mut random);
        for (reader, before) in readers.iter().zip(got) {
            // What was read already may still be sent, a page at most.
            assert!(reader.is_over && reader.got.len() <= before + PAGE_MAX, "{reader}");
        }
    }
}

#[test]
fn a_stream_whose_budget_is_spent_says_so_and_ends() {
    let mut sim = Sim::new();
    let mut random = Random(1);
    sim.commit(&mut random);
    let mut reader = Reader::new(&sim, 0, None);
    reader.serve(&mut random);
    reader.is_full = false;
    reader.serve(&mut random);
    reader.finish_read(&sim);
    assert!(matches!(reader.machine.next_output(), StreamOutput::Send(_)));
    assert!(std::str::from_utf8(&reader.machine.budget_spent()).unwrap().contains("byte_budget"));
    assert_eq!(reader.machine.next_output(), StreamOutput::End);
}

mod sockets;
