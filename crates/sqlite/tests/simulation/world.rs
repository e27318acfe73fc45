//! A schedule: what happens, in what order, follows from a seed.

use ferry_core::ops::spoke::SpokeRequest;

use super::{
    check,
    hephd::Hephd,
    hub::{ADMIN, Hub, MAX_SKEW_MS},
    random::Random,
    spoke::Spoke,
};

/// What may go wrong.
#[derive(Clone, Copy, Debug, Default)]
#[allow(clippy::struct_excessive_bools, reason = "each is a fault of its own")]
pub(crate) struct Faults {
    /// Requests and answers are lost, late and repeated.
    pub(crate) network: bool,
    /// Processes end between any two steps, and before a commit.
    pub(crate) crashes: bool,
    /// Clocks jump.
    pub(crate) clocks: bool,
    /// The hub compacts its log.
    pub(crate) compaction: bool,
    /// The hub is put back, or replaced by an empty one.
    pub(crate) restores: bool,
    /// Stores of spokes are copied and put back.
    pub(crate) clones: bool,
    /// Credentials change, and with them whose the origins of ops are.
    pub(crate) rights: bool,
    /// Clients of hephd's sync beside the spokes.
    pub(crate) hephd: bool,
    /// An operator empties the log.
    pub(crate) discards: bool,
    /// The hub forgets what lies behind its horizon.
    pub(crate) purges: bool,
}

pub(crate) struct World {
    random: Random,
    faults: Faults,
    now: i64,
    hub: Hub,
    spokes: Vec<Spoke>,
    /// Requests that reach the hub late; nobody waits for the answers.
    late: Vec<(SpokeRequest, &'static str)>,
    written: u32,
    hephds: Vec<Hephd>,
    /// How often was purged: names of entities are not used again.
    purged: u32,
}

/// Tells what happens, if the environment asks for it.
fn trace(line: impl FnOnce() -> String) {
    if std::env::var_os("FERRY_SIMULATION_TRACE").is_some() {
        eprintln!("{}", line());
    }
}

fn short(text: &str) -> String {
    text.chars().take(1_500).collect()
}

const STEPS: usize = 220;
const SPOKES_MAX: usize = 5;
const START_MS: i64 = 1_795_168_800_000;

impl World {
    pub(crate) fn new(seed: u64, faults: Faults) -> Self {
        let mut random = Random::new(seed);
        let hub = Hub::new(&mut random, START_MS);
        let spokes = (0..2 + random.below(2)).map(|_| Spoke::new(&mut random)).collect();
        let hephds = if faults.hephd { vec![Hephd::new(true), Hephd::new(false)] } else { Vec::new() };
        Self { random, faults, now: START_MS, hub, spokes, late: Vec::new(), written: 0, hephds, purged: 0 }
    }

    pub(crate) fn run(mut self) {
        for _ in 0..STEPS {
            self.now += i64::try_from(self.random.below(1_500)).unwrap();
            self.hub.now = self.hub.now.max(self.now);
            self.step();
        }
        self.heal();
        check::equal(&self.hub, &self.spokes, self.faults);
        check::nothing_lost(&self.hub, &self.spokes, self.faults);
        check::foreign(&self.hub, &self.spokes, &self.hephds);
    }

    fn step(&mut self) {
        let at = self.random.below(self.spokes.len());
        match self.random.below(110) {
            0..=29 => self.write(at),
            30..=33 => {
                let now = self.now;
                self.spokes[at].resolve(now, &mut self.random);
            }
            34..=79 => self.exchange(at),
            80..=82 => {
                if let Some((late, principal)) = self.late.pop() {
                    self.hub.answer(&late, principal, false);
                }
            }
            83..=84 => self.hub.release(),
            85 if self.faults.crashes => self.spokes[at].crash(),
            86..=87 if self.faults.clocks => self.jump(at),
            88..=91 if self.faults.compaction => {
                // Days of retention are none, so that anything old enough for a step may go.
                self.hub.now += 1;
                self.hub.compact(0);
            }
            92..=94 if self.faults.restores => self.restore(),
            95..=97 if self.faults.clones => self.copy_store(at),
            98..=100 if self.faults.rights => {
                self.spokes[at].principal = ["u_1", "u_2"][self.random.below(2)];
                self.spokes[at].give_up();
            }
            101..=107 if self.faults.hephd => self.hephd(),
            108 if self.faults.discards => {
                trace(|| "discard".to_owned());
                self.hub.discard(&mut self.random);
            }
            109 if self.faults.purges => {
                trace(|| "purge".to_owned());
                self.hub.now += 1;
                self.now = self.hub.now;
                self.hub.purge();
                self.purged += 1;
            }
            _ => {}
        }
    }

    /// A whole call at once: nothing else sees its middle.
    fn write(&mut self, at: usize) {
        let random = &mut self.random;
        self.written += 1;
        let mark = format!("m{}", self.written);
        let purged = self.purged;
        let node = |number: usize| match purged {
            0 => format!("node/{number}"),
            purged => format!("node/{purged}.{number}"),
        };
        let entity = node(random.below(3));
        let field = ["title", "body"][random.below(2)];
        let draft = match random.below(20) {
            0 => format!(r#"{{"kind":"create","entity":"{entity}","value":"{mark}"}}"#),
            1..=10 => {
                // Few values, so that some writes agree.
                let value = if random.chance(30) { format!("v{}", random.below(2)) } else { mark };
                format!(r#"{{"kind":"set","entity":"{entity}","field":"{field}","value":"{value}"}}"#)
            }
            11..=14 => {
                format!(r#"{{"kind":"text","entity":"{entity}","field":"note","splice":[[0,0,"{mark},"]]}}"#)
            }
            15..=16 => {
                format!(
                    r#"{{"kind":"link.add","entity":"{entity}","field":"tag","value":{{"to":"{}"}}}}"#,
                    node(random.below(3))
                )
            }
            17 => {
                format!(
                    r#"{{"kind":"link.remove","entity":"{entity}","field":"tag","value":{{"to":"{}"}}}}"#,
                    node(random.below(3))
                )
            }
            18 => format!(r#"{{"kind":"node.move","entity":"{entity}","value":"{mark}"}}"#),
            _ => format!(r#"{{"kind":"tombstone","entity":"{entity}"}}"#),
        };
        let crashes = self.faults.crashes && random.chance(3);
        trace(|| format!("spoke {at}: writes {draft}, crashes {crashes}"));
        self.spokes[at].append(self.now, &format!("[{draft}]"), crashes);
    }

    /// One of hephd's clients writes, or exchanges.
    fn hephd(&mut self) {
        let random = &mut self.random;
        let client = &mut self.hephds[random.below(2)];
        if random.chance(50) {
            self.written += 1;
            let ahead = if self.faults.clocks && random.chance(10) { 3 * MAX_SKEW_MS } else { 0 };
            let late = i64::try_from(random.below(20_000)).unwrap();
            client.write(self.now + ahead - late, &format!("f{}", self.written), random);
            return;
        }
        let faults = self.faults;
        let hears = (
            !(faults.network && random.chance(15)),
            !((faults.network || faults.crashes) && random.chance(15)),
        );
        // From pages of one op to whole logs.
        let page_bytes = [1, 300, u64::MAX][random.below(3)];
        self.hub.exchange(client, hears, page_bytes);
    }

    /// A request and its answer, either of which may not come through.
    fn exchange(&mut self, at: usize) {
        let (now, faults) = (self.now, self.faults);
        let random = &mut self.random;
        let principal = self.spokes[at].principal;
        let mut chance = |is_on: bool, percent| is_on && random.chance(percent);
        let Some(request) = self.spokes[at].ask(now, chance(faults.crashes, 3)) else { return };
        trace(|| format!("spoke {at}: asks {}", short(&format!("{request:?}"))));
        if chance(faults.network, 8) {
            // Lost, or late.
            if chance(true, 50) {
                self.late.push((request, principal));
            }
            return self.spokes[at].give_up();
        }
        let answer = self.hub.answer(&request, principal, chance(faults.crashes, 3));
        if chance(faults.network, 5) {
            self.late.push((request, principal));
        }
        trace(|| {
            format!(
                "hub: {}",
                answer.as_ref().map_or_else(|| "crashes".into(), |answer| short(&answer.summary()))
            )
        });
        match answer {
            Some(answer) if !chance(faults.network, 8) => {
                self.spokes[at].hear(&answer, now, chance(faults.crashes, 4));
            }
            _ => self.spokes[at].give_up(),
        }
    }

    fn jump(&mut self, at: usize) {
        let day = 86_400_000;
        self.spokes[at].offset_ms = match self.random.below(5) {
            0 => 0,
            1 => MAX_SKEW_MS * 3,
            2 => -day,
            3 => 3_650 * day,
            _ => -self.now,
        };
        if self.random.chance(20) {
            self.hub.now -= i64::try_from(self.random.below(60_000)).unwrap();
        }
    }

    fn restore(&mut self) {
        let what = self.random.below(10);
        trace(|| format!("restore {what}"));
        match what {
            0..=4 => return self.hub.back_up(),
            5..=6 => self.hub.put_back(&mut self.random, false),
            7..=8 => self.hub.put_back(&mut self.random, true),
            _ => self.hub.replace(&mut self.random),
        }
        // The hub was stopped for that: exchanges that went on are over.
        self.spokes.iter_mut().for_each(Spoke::give_up);
    }

    fn copy_store(&mut self, at: usize) {
        let what = self.random.below(6);
        trace(|| format!("spoke {at}: copy {what}"));
        match what {
            0..=2 => self.spokes[at].back_up(),
            3 => self.spokes[at].put_back(),
            _ if self.spokes.len() < SPOKES_MAX => {
                let copy = self.spokes[at].clone_store();
                self.spokes.push(copy);
            }
            _ => {}
        }
    }

    /// Faults end, clocks are set, and everybody exchanges until nothing is left to say.
    fn heal(&mut self) {
        for (late, principal) in std::mem::take(&mut self.late) {
            self.hub.answer(&late, principal, false);
        }
        self.now += 60_000;
        self.hub.now = self.hub.now.max(self.now);
        for spoke in &mut self.spokes {
            spoke.offset_ms = 0;
            if self.faults.rights {
                spoke.principal = ADMIN;
            }
            spoke.give_up();
        }
        let mut quiet = 0;
        for round in 0.. {
            assert!(round < 60, "the spokes go on talking");
            // What is ten years ahead is released when its time comes.
            if round == 5 {
                self.hub.now += 11 * 365 * 86_400_000;
                self.now = self.hub.now;
            }
            self.hub.release();
            for client in &mut self.hephds {
                self.hub.exchange(client, (true, true), 300);
            }
            let before = check::fingerprint(&self.hub, &self.spokes);
            for at in 0..self.spokes.len() {
                self.exchange_whole(at);
            }
            quiet = if check::fingerprint(&self.hub, &self.spokes) == before { quiet + 1 } else { 0 };
            if quiet >= 2 && round > 7 {
                break;
            }
        }
    }

    fn exchange_whole(&mut self, at: usize) {
        for step in 0.. {
            assert!(step < 2_000, "an exchange does not end");
            let Some(request) = self.spokes[at].ask(self.now, false) else { break };
            let answer = self.hub.answer(&request, self.spokes[at].principal, false).unwrap();
            trace(|| format!("spoke {at}: asks {}", short(&format!("{request:?}"))));
            trace(|| format!("hub: {}", short(&answer.summary())));
            self.spokes[at].hear(&answer, self.now, false);
        }
        assert!(!self.spokes[at].is_exchanging());
    }
}
