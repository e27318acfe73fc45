//! The machine against a made-up log, socket and clock: whatever happens in whatever order, a Pull gets every event
//! once, in order.

use std::cell::RefCell;

use proptest::prelude::*;
use serde_json::{Value, json};

use ferry_protocol::events::Event;

use super::*;
use crate::{
    events::{
        Position, RecentPages,
        append::check_head,
        recent::{RETAINED, following, publish},
    },
    topic::Topic,
};

const ME: &str = "store";

/// A log whose newest pages are forgotten.
struct Sim {
    events: RefCell<Vec<Event>>,
    recent: RefCell<RecentPages<()>>,
}

impl Log for Sim {
    fn store_id(&self) -> &str {
        ME
    }

    fn position(&self) -> Position {
        let head = i64::try_from(self.recent.borrow().head()).unwrap();
        Position { head, backend_id: "id".into() }
    }

    fn following(&self, cursor: i64, upto: Option<i64>) -> Following {
        following(&self.recent.borrow(), cursor, upto)
    }
}

impl Sim {
    fn new() -> Self {
        Self { events: RefCell::default(), recent: RefCell::new(Topic::new(0, RETAINED, ())) }
    }

    fn append(&self, batch: &[Event]) -> Result<(), RpcError> {
        let head = self.position().head;
        check_head(batch[0].parent_seq_num, head)?;
        self.events.borrow_mut().extend_from_slice(batch);
        publish(&self.recent.borrow(), batch.to_vec(), &"2026-11-20T10:27:52.250Z".into(), &"id".into(), 1);
        Ok(())
    }

    fn forget(&self) {
        let head = self.recent.borrow().head();
        *self.recent.borrow_mut() = Topic::new(head, RETAINED, ());
    }

    fn read(&self, range: Range) -> Option<HistoryPage> {
        let events = self.events.borrow();
        let wanted = || events.iter().filter(|e| e.seq_num > range.after && e.seq_num <= range.upto);
        let mut body = PageBody::default();
        let page: Vec<&Event> = wanted().take(3).collect();
        page.iter().for_each(|event| body.push(&event.committed("t")));
        let remaining = (wanted().count() - page.len()) as u64;
        let info = match range.tells_remaining && remaining > 0 {
            true => PageInfo::MoreKnown(remaining),
            false => PageInfo::NoMore,
        };
        let last = page.last()?.seq_num;
        Some(HistoryPage { body: body.finish(info, "id"), last, remaining })
    }
}

fn event(seq_num: i64, parent_seq_num: i64) -> Event {
    Event {
        seq_num,
        parent_seq_num,
        name: "n".into(),
        args: None,
        client_id: "c".into(),
        session_id: "s".into(),
    }
}

fn machine() -> Connection {
    let limits = Limits { push_events: 1000, ack_ms: 60_000 };
    Connection::new(Transport::Ws, Rights { read: Ok(()), write: Ok(()) }, limits, 0)
}

fn pull(id: u32, live: bool, cursor: Option<i64>) -> String {
    let cursor = match cursor {
        None => json!({"_tag": "None"}),
        Some(at) => json!({"_tag": "Some", "value": {"backendId": "id", "eventSequenceNumber": at}}),
    };
    json!({"_tag": "Request", "id": id, "tag": "SyncWsRpc.Pull",
           "payload": {"storeId": ME, "live": live, "cursor": cursor}})
    .to_string()
}

fn push(id: u32, parent: i64, count: i64) -> String {
    let batch: Vec<Value> = (parent..parent + count)
        .map(|parent| {
            json!({"name": "n", "seqNum": parent + 1, "parentSeqNum": parent, "clientId": "c", "sessionId": "s"})
        })
        .collect();
    json!({"_tag": "Request", "id": id, "tag": "SyncWsRpc.Push",
           "payload": {"storeId": ME, "batch": batch, "backendId": {"_tag": "None"}}})
    .to_string()
}

fn ack(id: u32) -> String {
    json!({"_tag": "Ack", "requestId": id}).to_string()
}

/// A step of the world around the machine.
#[derive(Clone, Debug)]
enum Step {
    /// Somebody else appends so many events.
    Others(i64),
    /// The client pushes so many.
    Push(i64),
    /// The client acknowledges a Chunk.
    Ack,
    /// A notification, or room in the socket.
    Pump,
    /// The page under way arrives.
    Read,
    /// The push under way is committed.
    Commit,
    /// The tail is dropped, as by a restart of everybody else's memory.
    Forget,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => (1..8_i64).prop_map(Step::Others),
        1 => (1..250_i64).prop_map(Step::Push),
        4 => Just(Step::Ack),
        4 => Just(Step::Pump),
        3 => Just(Step::Read),
        3 => Just(Step::Commit),
        1 => Just(Step::Forget),
    ]
}

/// What the client saw.
#[derive(Default)]
struct Client {
    seen: Vec<i64>,
    unacked: u32,
    exits: Vec<Value>,
    reads: Vec<ReadPage>,
    appends: Vec<PushCall>,
    remaining: Option<u64>,
}

impl Client {
    fn take(&mut self, machine: &mut Connection) {
        while let Some(output) = machine.next_output() {
            match output {
                Output::Chunk(frame) => self.chunk(&serde_json::from_slice(&frame).unwrap()),
                Output::Send(frame) => self.exits.push(serde_json::from_slice(&frame).unwrap()),
                Output::Append(call) => self.appends.push(call),
                Output::Read(page) => self.reads.push(page),
                Output::Close(close) => panic!("closed: {close:?}"),
                Output::Pushed(..)
                | Output::Pulled { .. }
                | Output::Failed(_)
                | Output::MayPull { .. }
                | Output::Ahead(_)
                | Output::Refused(..) => {}
            }
        }
    }

    fn chunk(&mut self, frame: &Value) {
        let page = &frame["values"][0];
        let batch = page["batch"].as_array().unwrap();
        let before = self.seen.len();
        self.seen.extend(batch.iter().map(|event| event["eventEncoded"]["seqNum"].as_i64().unwrap()));
        if let Some(remaining) = self.remaining {
            assert!(remaining >= batch.len() as u64, "more than was promised");
        }
        self.remaining = page["pageInfo"]["remaining"].as_u64();
        assert!(before == 0 || !batch.is_empty(), "an empty page behind others");
        self.unacked += 1;
        assert!(self.unacked <= 8, "over the window");
    }
}

proptest! {
    // Verifies: EVT-20, EVT-22, EVT-31, EVT-38
    #[test]
    fn a_live_pull_gets_every_event_once_in_order(
        before in 0..30_i64, from in 0..30_i64, steps in prop::collection::vec(step(), 0..120),
    ) {
        let (log, mut machine, mut client) = (Sim::new(), machine(), Client::default());
        if before > 0 {
            let batch: Vec<Event> = (0..before).map(|parent| event(parent + 1, parent)).collect();
            log.append(&batch).unwrap();
            log.forget();
        }
        let from = from.min(before);
        machine.receive(&pull(1, true, Some(from)), &log, 0);
        let mut id = 10;
        let all = steps.into_iter().chain(
            // At the end everything is taken.
            (0..400).flat_map(|_| [Step::Commit, Step::Read, Step::Ack, Step::Pump]),
        );
        for step in all {
            match step {
                Step::Others(count) => {
                    let head = log.position().head;
                    let batch: Vec<Event> = (head..head + count).map(|at| event(at + 1, at)).collect();
                    log.append(&batch).unwrap();
                }
                Step::Push(count) => {
                    id += 1;
                    machine.receive(&push(id, log.position().head, count), &log, 0);
                }
                Step::Ack if client.unacked > 0 => {
                    client.unacked -= 1;
                    machine.receive(&ack(1), &log, 0);
                }
                Step::Ack => {}
                Step::Pump => drop(machine.pump(&log, 0)),
                Step::Read => {
                    if let Some(page) = client.reads.pop() {
                        machine.page_read(page.pull, log.read(page.range), 0);
                    }
                }
                Step::Commit => {
                    if let Some(call) = client.appends.pop() {
                        let outcome = log.append(&call.batch);
                        machine.appended(&outcome, &log, 0);
                    }
                }
                Step::Forget => log.forget(),
            }
            client.take(&mut machine);
            prop_assert!(client.reads.len() <= 1 && client.appends.len() <= 1, "one at a time");
        }
        let head = log.position().head;
        prop_assert_eq!(client.seen, (from + 1..=head).collect::<Vec<_>>());
        let ids: Vec<i64> = client.exits.iter().map(|exit| exit["requestId"].as_i64().unwrap()).collect();
        prop_assert_eq!(ids, (11..=i64::from(id)).collect::<Vec<_>>(), "answered in order of arrival");
    }
}

// Verifies: EVT-11, EVT-35
#[test]
fn the_first_check_that_fails_is_the_one_that_is_told() {
    let log = Sim::new();
    log.append(&[event(1, 0)]).unwrap();
    let told = |rights: Rights, text: &str| {
        let limits = Limits { push_events: 2, ack_ms: 60_000 };
        let mut machine = Connection::new(Transport::Ws, rights, limits, 0);
        machine.receive(text, &log, 0);
        let mut client = Client::default();
        client.take(&mut machine);
        let error = &client.exits[0]["exit"]["cause"][0]["error"];
        error["payload"]["code"].as_str().or(error["_tag"].as_str()).unwrap_or("none").to_owned()
    };
    let all = || Rights { read: Ok(()), write: Ok(()) };
    let reader = || Rights { read: Ok(()), write: Err(RpcError::new(ErrorCode::Forbidden, "no")) };
    // Everything is wrong: another store, no right, another identity, a bad batch, a stale parent.
    let text = push(1, 0, 3).replace("\"None\"", "\"Some\",\"value\":\"other\"");
    let foreign = text.replace("\"store\"", "\"elsewhere\"");
    assert_eq!(told(reader(), &foreign), "STORE_MISMATCH");
    assert_eq!(told(reader(), &text), "FORBIDDEN");
    assert_eq!(told(all(), &text), "BackendIdMismatchError");
    assert_eq!(told(all(), &push(1, 0, 3)), "INVALID_BATCH");
    assert_eq!(told(all(), &push(1, 0, 2)), "ServerAheadError");
    assert_eq!(told(all(), &push(1, 5, 2)), "CLIENT_AHEAD");
}

// Verifies: EVT-32, EVT-33
#[test]
fn deadlines_follow_what_the_client_does() {
    let log = Sim::new();
    let ended = |machine: &mut Connection, now: u64| {
        machine.tick(now);
        std::iter::from_fn(|| machine.next_output()).find_map(|output| match output {
            Output::Close(close) => Some(close),
            _ => None,
        })
    };
    let mut asleep = machine();
    asleep.receive("{\"_tag\":\"Ping\"}", &log, 1_000);
    assert_eq!(asleep.deadline_ms(), None);
    asleep.receive("{\"_tag\":\"Ping\"}", &log, 11_000);
    assert_eq!(asleep.deadline_ms(), Some(12_000));
    assert_eq!(ended(&mut asleep, 11_999), None);
    assert_eq!(ended(&mut asleep, 12_000), Some(close::ASLEEP));

    let mut slow = machine();
    slow.receive(&pull(1, true, None), &log, 0);
    for head in 0..8 {
        log.append(&[event(head + 1, head)]).unwrap();
        slow.pump(&log, 5_000);
    }
    assert_eq!(slow.deadline_ms(), Some(60_000), "events wait since the first Chunk");
    slow.receive(&ack(1), &log, 50_000);
    slow.pump(&log, 50_000);
    assert_eq!(slow.deadline_ms(), None, "nothing waits");
    log.append(&[event(9, 8)]).unwrap();
    slow.pump(&log, 51_000);
    assert_eq!(ended(&mut slow, 109_999), None);
    assert_eq!(ended(&mut slow, 110_000), Some(close::TOO_SLOW));

    let mut ahead = machine();
    ahead.receive(&push(1, 0, 1), &log, 1_000);
    assert_eq!(ahead.deadline_ms(), Some(16_000));
    ahead.receive(&pull(2, true, None), &log, 2_000);
    assert_eq!(ahead.deadline_ms(), None);
}
