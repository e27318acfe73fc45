//! Sockets: of each commit of another device, one that comes after it is told, once.

use super::*;

const TABLES: [&str; 3] = ["tasks", "notes", "tags"];

/// What an owner's sockets share.
struct Shared {
    changes: CollectionChanges,
    topic: Arc<Topic<Arc<SharedPage<Vec<Notification>>>, ()>>,
    fan_out: SocketFanOut,
    now_ms: u64,
}

/// A socket, its connection and its client.
struct Client {
    machine: LiveSocket<()>,
    device: Option<&'static str>,
    reaches: &'static [&'static str],
    is_full: bool,
    /// By table: commits of others, how many of them when it was told last, and how often it was told.
    tables: [(usize, usize, usize); TABLES.len()],
    end: Option<SocketEnd>,
}

/// What a client's machine sees.
struct Seen<'a>(&'a CollectionChanges, &'static [&'static str]);

impl SocketView for Seen<'_> {
    fn changed_since(&self, position: u64, device: Option<&str>) -> Changed {
        self.0.since(position, device)
    }

    fn reaches(&self, table: &str) -> bool {
        self.1.contains(&table)
    }
}

impl Shared {
    fn new() -> Self {
        let topic = Arc::new(Topic::new(0, RETAINED, ()));
        Self { changes: CollectionChanges::default(), topic, fan_out: SocketFanOut::new(0), now_ms: 0 }
    }

    fn commit(&mut self, clients: &mut [Client], random: &mut Random) {
        let (table, writer) = (random.below(TABLES.len()), DEVICES[random.below(DEVICES.len())]);
        self.changes.commit(&"todo".into(), &[TABLES[table].to_owned()], &writer.into());
        let told = clients.iter_mut().filter(|client| client.device != Some(writer));
        told.for_each(|client| client.tables[table].0 += 1);
    }

    fn step_fan_out(&mut self) {
        self.fan_out.woken(&self.changes, self.now_ms);
        if let Some((upto, bytes, page)) = self.fan_out.due(&self.changes, self.now_ms) {
            self.topic.publish(upto, bytes, Arc::new(page));
        }
    }
}

impl Client {
    fn new(shared: &Shared, device: Option<&'static str>, reaches: &'static [&'static str]) -> Self {
        let mut machine = LiveSocket::new(Some("todo"), device, 1_000, shared.now_ms);
        machine.receive(Received::Text(r#"{"type":"auth","token":"t"}"#), shared.now_ms);
        let seen = Seen(&shared.changes, reaches);
        assert_eq!(machine.next_output(&seen), SocketOutput::Authenticate("t".into()));
        machine.entered(shared.topic.cursor(shared.changes.head()), shared.now_ms);
        assert!(matches!(machine.next_output(&seen), SocketOutput::Send(_)));
        Self { machine, device, reaches, is_full: false, tables: Default::default(), end: None }
    }

    fn serve(&mut self, shared: &Shared, random: &mut Random) {
        while !self.is_full && self.end.is_none() {
            match self.machine.next_output(&Seen(&shared.changes, self.reaches)) {
                SocketOutput::Send(frame) => {
                    let frame: serde_json::Value = serde_json::from_slice(&frame).unwrap();
                    for table in frame["tables"].as_array().unwrap() {
                        assert!(self.reaches.contains(&table.as_str().unwrap()), "{frame}");
                        let at = TABLES.iter().position(|name| table == name).unwrap();
                        let (commits, told, times) = &mut self.tables[at];
                        (*told, *times) = (*commits, *times + 1);
                        // Once more, where it joins the others in the middle of a page.
                        assert!(*times <= *commits + 1, "{:?} was told of {table} too often", self.device);
                    }
                    self.is_full = random.one_in(3);
                }
                SocketOutput::Ping => {}
                SocketOutput::Wait => return,
                SocketOutput::End(end) => self.end = Some(end),
                SocketOutput::Authenticate(_) => panic!("it has been let in"),
            }
        }
    }
}

// Verifies: REC-21, REC-33
#[test]
fn no_socket_misses_a_commit_of_another_device() {
    for seed in 0..300 {
        let (mut shared, mut random) = (Shared::new(), Random(seed));
        let reaches = |n: usize| if n.is_multiple_of(3) { &TABLES[..2] } else { &TABLES[..] };
        let device = |n: usize| if n.is_multiple_of(2) { None } else { Some(DEVICES[n % DEVICES.len()]) };
        let mut clients: Vec<_> = (0..6).map(|n| Client::new(&shared, device(n), reaches(n))).collect();
        for _ in 0..600 {
            let one = random.below(clients.len());
            match random.below(8) {
                0 | 1 => shared.commit(&mut clients, &mut random),
                2 => shared.step_fan_out(),
                3 => shared.now_ms += 7,
                4 => clients.iter_mut().for_each(|client| client.serve(&shared, &mut random)),
                5 => clients[one].is_full = false,
                6 => clients[one].machine.receive(Received::Control, shared.now_ms),
                _ if random.one_in(10) => clients[one] = Client::new(&shared, device(one), reaches(one)),
                _ => {}
            }
        }
        for _ in 0..20 {
            shared.now_ms += 30;
            shared.step_fan_out();
            for client in &mut clients {
                client.is_full = false;
                client.serve(&shared, &mut random);
            }
        }
        for client in &clients {
            for (name, (commits, told, _)) in TABLES.iter().zip(client.tables) {
                let is_reached = client.reaches.contains(name);
                assert!(told == commits || !is_reached, "seed {seed}: {:?} misses {name}", client.device);
            }
        }
    }
}

#[test]
fn a_socket_ends_when_its_owner_is_removed_or_its_peer_is_silent() {
    let (shared, mut random) = (Shared::new(), Random(1));
    let mut removed = Client::new(&shared, None, &TABLES);
    shared.topic.close();
    removed.serve(&shared, &mut random);
    assert_eq!(removed.end, Some(SocketEnd::Close(1008, "records deleted")));
    let shared = Shared::new();
    let (mut silent, mut alive) = (Client::new(&shared, None, &TABLES), Client::new(&shared, None, &TABLES));
    for second in 1..10 {
        alive.machine.receive(Received::Control, second * 1_000);
        for client in [&mut silent, &mut alive] {
            client.machine.tick(client.machine.deadline_ms());
            client.serve(&shared, &mut random);
        }
    }
    assert_eq!((silent.end, alive.end), (Some(SocketEnd::Gone), None));
}

#[test]
fn who_is_not_let_in_in_time_is_told_so() {
    let mut machine = LiveSocket::<()>::new(None, None, 1_000, 0);
    let changes = CollectionChanges::default();
    let seen = Seen(&changes, &TABLES);
    machine.receive(Received::Text(r#"{"type":"ping"}"#), 5);
    assert!(matches!(machine.next_output(&seen), SocketOutput::Send(_)));
    assert_eq!((machine.next_output(&seen), machine.deadline_ms()), (SocketOutput::Wait, 10_000));
    machine.tick(10_000);
    let late = SocketOutput::End(SocketEnd::Refused("auth timeout"));
    assert_eq!(machine.next_output(&seen), late);
    let mut machine = LiveSocket::<()>::new(None, None, 1_000, 0);
    machine.receive(Received::Binary, 0);
    let binary = SocketOutput::End(SocketEnd::Close(1003, "binary frames not supported"));
    assert_eq!(machine.next_output(&seen), binary);
}
