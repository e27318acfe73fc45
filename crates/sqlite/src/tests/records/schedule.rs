//! Random schedules: devices of every kind, offline, skewed, wiped, late and repeated, on cut pages. In the end the
//! hub and all devices hold the same, and so does a fresh one. A failure names its seed, which replays it.

use std::collections::BTreeMap;

use ferry_testkit::rng::Rng;
use serde_json::{Value, json};

use super::{
    device::{Device, Generation, TABLES},
    hub::Hub,
};

const SEEDS: u64 = 150;

type View = BTreeMap<(String, String), BTreeMap<String, Value>>;

struct World {
    hub: Hub,
    devices: Vec<Device>,
    rng: Rng,
    names: u64,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let hub = Hub::new(1 + below(&mut rng, 4));
        let count = 2 + below(&mut rng, 7);
        let devices = (0..count).map(|number| device(&mut rng, number)).collect();
        Self { hub, devices, rng, names: 0 }
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.rng.below(n) == 0
    }

    fn step(&mut self) {
        let pause = [0, 0, 1, 40, 3_000, 400_000][below(&mut self.rng, 6)];
        self.hub.sleep_ms(pause);
        let index = below(&mut self.rng, self.devices.len());
        match self.rng.below(12) {
            0..6 => self.edit(index),
            6..9 => {
                let arrives = !self.one_in(4);
                self.devices[index].push(&self.hub, arrives);
            }
            9 => {
                let (table, arrives) = (TABLES[below(&mut self.rng, 2)], !self.one_in(4));
                self.devices[index].pull(&self.hub, table, arrives);
            }
            10 => self.repeat(index),
            _ if self.one_in(6) => self.devices[index].wipe(),
            _ => {
                let device = &self.devices[index];
                self.hub.killed_push(&device.client, device.since(), device.dialect(), &device.outbox);
            }
        }
    }

    fn edit(&mut self, index: usize) {
        self.names += 1;
        let value = json!(format!("v{}", self.names % 5));
        let table = TABLES[below(&mut self.rng, 2)];
        let known: Vec<String> = self.devices[index]
            .records
            .keys()
            .filter(|key| key.0 == table)
            .map(|key| key.1.clone())
            .collect();
        let device = &mut self.devices[index];
        if known.is_empty() || self.rng.below(5) == 0 {
            // Few ids, so that devices make the same record.
            let id = format!("r{}", self.rng.below(6));
            let has_time = self.rng.below(3) > 0;
            return device.insert(&self.hub, table, &id, value.as_str().unwrap(), has_time);
        }
        let id = &known[below(&mut self.rng, known.len())];
        match self.rng.below(8) {
            0 => device.delete(&self.hub, table, id),
            1 => device.update(&self.hub, table, id, "deletedAt", Value::Null),
            _ => {
                let field = ["title", "done", "note"][below(&mut self.rng, 3)];
                device.update(&self.hub, table, id, field, value);
            }
        }
    }

    /// The network brings an old push again.
    fn repeat(&mut self, index: usize) {
        let device = &self.devices[index];
        if !device.sent.is_empty() {
            let (since, changes) = &device.sent[below(&mut self.rng, device.sent.len())];
            self.hub.push(&device.client, *since, device.dialect(), changes);
        }
    }

    /// Everyone comes online and stays until nothing moves any more.
    fn settle(&mut self) {
        for _ in 0..3 {
            for device in &mut self.devices {
                self.hub.sleep_ms(10);
                device.push(&self.hub, true);
                device.pull_all(&self.hub);
            }
        }
    }
}

fn below(rng: &mut Rng, bound: usize) -> usize {
    usize::try_from(rng.below(bound as u64)).unwrap()
}

fn device(rng: &mut Rng, number: usize) -> Device {
    let generation = [Generation::One, Generation::Two, Generation::Ferry][below(rng, 3)];
    // Two in three clocks are right; the others are slow, a little fast, or a year ahead.
    let ahead_ms = [0, 0, 0, 0, 0, 0, -3_600_000, 100_000, 365 * 86_400_000][below(rng, 9)];
    Device::new(&format!("{}{number}", ["z", "m", "a"][below(rng, 3)]), generation, ahead_ms)
}

/// What applications compare: a null tombstone is none, and a `createdAt` that nobody wrote is the wire's.
fn comparable(view: View, hub: &View) -> View {
    let keep = |key: &(String, String), record: BTreeMap<String, Value>| -> BTreeMap<String, Value> {
        let written = |name: &String| hub.get(key).is_some_and(|record| record.contains_key(name));
        record
            .into_iter()
            .filter(|(name, value)| !(name == "deletedAt" && value.is_null()))
            .filter(|(name, _)| name != "createdAt" || written(name))
            .collect()
    };
    view.into_iter().map(|(key, record)| (key.clone(), keep(&key, record))).collect()
}

fn hub_view(hub: &Hub) -> View {
    let text = hub
        .text("SELECT json_group_array(json_array(coll, id, json(data))) FROM _ferry_records WHERE state = 0")
        .unwrap();
    let rows: Vec<(String, String, BTreeMap<String, Value>)> = serde_json::from_str(&text).unwrap();
    rows.into_iter().map(|(coll, id, record)| ((coll, id), record)).collect()
}

fn run(seed: u64) {
    let mut world = World::new(seed);
    for _ in 0..120 {
        world.step();
    }
    world.settle();
    let hub = hub_view(&world.hub);
    let expected = comparable(hub.clone(), &hub);
    let mut fresh = Device::new("fresh", Generation::One, 0);
    fresh.pull_all(&world.hub);
    let mut posting = Device::new("posting", Generation::Two, 0);
    while posting.push(&world.hub, true).unwrap().has_more {}
    let mut own = Device::new("own", Generation::Ferry, 0);
    own.pull_all(&world.hub);
    for device in world.devices.iter().chain([&fresh, &posting, &own]) {
        let seen = comparable(device.view(), &hub);
        for (key, record) in &expected {
            assert_eq!(
                seen.get(key),
                Some(record),
                "seed {seed}: {key:?} on {} ({:?}, {} ms ahead): {:#?}\n{}\n{}",
                device.client,
                device.generation,
                device.ahead_ms,
                device.records.get(key),
                world.hub.explain(&key.0, &key.1, &device.client),
                device.story.join("\n")
            );
        }
        assert_eq!(
            seen.len(),
            expected.len(),
            "seed {seed}: {} has records that the hub has not",
            device.client
        );
    }
    for device in world.devices.iter_mut().chain([&mut fresh]) {
        converges_on_the_next_edit(&world.hub, device, seed);
    }
}

/// After all that, a device's next edit still holds everywhere.
fn converges_on_the_next_edit(hub: &Hub, device: &mut Device, seed: u64) {
    let Some((table, id)) = device.records.keys().next().cloned() else { return };
    hub.sleep_ms(1_000);
    device.update(hub, &table, &id, "title", json!(format!("last of {}", device.client)));
    device.push(hub, true);
    // A clock that is an hour slow may lose; then the device shows what won.
    device.pull_all(hub);
    let hub = hub_view(hub);
    assert_eq!(
        device.records[&(table.clone(), id.clone())]["title"].value,
        hub[&(table, id)]["title"],
        "seed {seed}: the next edit of {}",
        device.client
    );
}

// Verifies: REC-02, REC-11, REC-15
#[test]
fn any_schedule_ends_in_one_state() {
    for seed in 0..SEEDS {
        run(seed);
    }
}
