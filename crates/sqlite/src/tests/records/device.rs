//! Devices as their programs behave: two generations of mana-sync's clients, and Ferry's own.

use std::collections::BTreeMap;

use ferry_core::records::Dialect;
use ferry_protocol::records::{UnixNanos, canonical, ferry::RecordsCursor};
use serde_json::{Value, json};

use super::hub::{Answer, Hub, parse_changes};

pub(super) const TABLES: [&str; 2] = ["tasks", "notes"];

/// How a device judges whether a change is newer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Generation {
    /// Writes `updatedAt` and compares the texts.
    One,
    /// Writes `at` and compares milliseconds.
    Two,
    /// Compares as the hub does: instant, writer, digest.
    Ferry,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Held {
    pub(super) value: Value,
    pub(super) at: String,
    writer: String,
}

type Records = BTreeMap<(String, String), BTreeMap<String, Held>>;

#[derive(Clone, Debug)]
pub(super) struct Device {
    pub(super) client: String,
    pub(super) generation: Generation,
    /// How far its clock runs ahead.
    pub(super) ahead_ms: i64,
    pub(super) records: Records,
    pub(super) cursors: BTreeMap<String, UnixNanos>,
    /// Where Ferry's client is.
    cursor: RecordsCursor,
    pub(super) outbox: Vec<Value>,
    /// Pushes it sent, which the network may bring again.
    pub(super) sent: Vec<(UnixNanos, Vec<Value>)>,
    last_tick: UnixNanos,
    /// What it did, for the messages of failures.
    pub(super) story: Vec<String>,
}

impl Device {
    pub(super) fn new(client: &str, generation: Generation, ahead_ms: i64) -> Self {
        Self {
            client: client.to_owned(),
            generation,
            ahead_ms,
            records: BTreeMap::new(),
            cursors: BTreeMap::new(),
            cursor: RecordsCursor::default(),
            outbox: Vec::new(),
            sent: Vec::new(),
            last_tick: UnixNanos::EPOCH,
            story: Vec::new(),
        }
    }

    /// Loses everything but its client id. Nothing that it sent in its old life arrives afterwards: the cursor of
    /// such a push would speak for a device that is no more.
    pub(super) fn wipe(&mut self) {
        self.sent.clear();
        (self.records, self.cursors, self.cursor, self.outbox) = Default::default();
        self.story.push("wiped".into());
    }

    fn time(&mut self, hub: &Hub) -> String {
        let now = hub.now.get().plus_ms(self.ahead_ms);
        if self.generation == Generation::Ferry {
            self.last_tick = now.max(UnixNanos(self.last_tick.0 + 1));
            return self.last_tick.text();
        }
        // As toISOString: three digits.
        format!("{}Z", &now.text()[..23])
    }

    fn entry(&self, value: &Value, at: &str) -> Value {
        let name = if self.generation == Generation::One { "updatedAt" } else { "at" };
        json!({"value": value, name: at})
    }

    fn hold(&mut self, table: &str, id: &str, field: &str, value: Value, at: &str) {
        let held = Held { value, at: at.to_owned(), writer: self.client.clone() };
        self.records.entry((table.into(), id.into())).or_default().insert(field.into(), held);
    }

    pub(super) fn insert(&mut self, hub: &Hub, table: &str, id: &str, title: &str, has_time: bool) {
        let at = self.time(hub);
        // Ferry's client always writes times.
        let has_time = has_time || self.generation == Generation::Ferry;
        let mut data = json!({"id": id, "title": title});
        if has_time {
            data["createdAt"] = json!(at);
            self.hold(table, id, "createdAt", json!(at), &at);
        }
        // A device that tells no time keeps none: what it would hold against the hub, the hub could not know.
        let at = if has_time { at } else { UnixNanos::EPOCH.text() };
        self.hold(table, id, "title", json!(title), &at);
        self.outbox.push(json!({"table": table, "id": id, "op": "insert", "data": data}));
    }

    pub(super) fn update(&mut self, hub: &Hub, table: &str, id: &str, field: &str, value: Value) {
        let at = self.time(hub);
        let fields = json!({field: self.entry(&value, &at)});
        self.hold(table, id, field, value, &at);
        self.outbox.push(json!({"table": table, "id": id, "op": "update", "fields": fields}));
    }

    pub(super) fn delete(&mut self, hub: &Hub, table: &str, id: &str) {
        let at = self.time(hub);
        let nine = UnixNanos::parse(&at).unwrap().text();
        self.hold(table, id, "deletedAt", json!(nine), &at);
        self.outbox.push(json!({"table": table, "id": id, "op": "delete", "deletedAt": at}));
    }

    pub(super) fn dialect(&self) -> Dialect {
        if self.generation == Generation::Ferry { Dialect::Ferry } else { Dialect::Old }
    }

    /// The cursor of a push: the least of its tables.
    pub(super) fn since(&self) -> UnixNanos {
        match self.generation {
            Generation::Ferry => self.cursor.since,
            _ => self.cursors.values().copied().min().unwrap_or_default(),
        }
    }

    /// Pushes what waits; the answer may be lost on its way.
    pub(super) fn push(&mut self, hub: &Hub, answer_arrives: bool) -> Option<Answer> {
        let (since, changes) = (self.since(), self.outbox.clone());
        self.sent.push((since, changes.clone()));
        let answer = hub.push(&self.client, since, self.dialect(), &changes);
        let reply: Vec<String> = answer.changes.iter().map(Value::to_string).collect();
        self.story.push(format!(
            "pushes from {}: {}\n  arrives: {answer_arrives}: until {}: {}",
            since.0,
            Value::from(changes.clone()),
            answer.until.0,
            reply.join(" ")
        ));
        if !answer_arrives {
            return None;
        }
        self.outbox.clear();
        for change in &answer.changes {
            self.apply(hub, change);
        }
        for (change, reply) in changes.iter().zip(&answer.answers) {
            self.take_over(change, reply.as_deref());
        }
        if self.generation != Generation::Ferry {
            for table in TABLES {
                self.cursors.insert(table.into(), answer.until);
            }
        }
        Some(answer)
    }

    /// Pulls one page of a table (Ferry's client: of all). True if the hub says there is more.
    pub(super) fn pull(&mut self, hub: &Hub, table: &str, answer_arrives: bool) -> bool {
        let since = self.cursors.get(table).copied().unwrap_or_default();
        if self.generation == Generation::Ferry {
            return self.pull_changes(hub, answer_arrives);
        }
        let page = hub.pull(Some(&self.client), table, since);
        let reply = String::from_utf8_lossy(&page.changes);
        self.story.push(format!(
            "pulls {table} from {}: arrives: {answer_arrives}: until {}: {reply}",
            since.0, page.until.0
        ));
        if !answer_arrives {
            return true;
        }
        for change in parse_changes(&page.changes) {
            self.apply(hub, &change);
        }
        self.cursors.insert(table.into(), page.until);
        page.has_more
    }

    fn pull_changes(&mut self, hub: &Hub, answer_arrives: bool) -> bool {
        // A device that has nothing takes its own writes too.
        let skips = Some(&*self.client).filter(|_| self.cursor != RecordsCursor::default());
        let (changes, cursor, has_more) = hub.changes(self.cursor, skips, hub.page);
        if answer_arrives {
            changes.iter().for_each(|entry| self.apply_entry(entry));
            self.cursor = cursor;
        }
        has_more || !answer_arrives
    }

    pub(super) fn pull_all(&mut self, hub: &Hub) {
        for table in TABLES {
            let mut pages = 0;
            while self.pull(hub, table, true) {
                pages += 1;
                assert!(pages < 10_000, "{} pulls {table} without end", self.client);
            }
        }
    }

    fn apply(&mut self, hub: &Hub, change: &Value) {
        let key = (text(&change["table"]), text(&change["id"]));
        let now = self.time(hub);
        let mut writes = Vec::new();
        match change["op"].as_str().unwrap() {
            "insert" => {
                let data = change["data"].as_object().unwrap();
                let at = data.get("updatedAt").or(data.get("createdAt")).map_or(now, text);
                let members = data.iter().filter(|(name, _)| *name != "id");
                writes.extend(members.map(|(name, value)| (name.clone(), value.clone(), at.clone())));
            }
            "update" => {
                for (name, entry) in change["fields"].as_object().unwrap() {
                    assert_eq!(entry["at"], entry["updatedAt"]);
                    writes.push((name.clone(), entry["value"].clone(), text(&entry["at"])));
                }
            }
            "delete" => {
                writes.push(("deletedAt".into(), change["deletedAt"].clone(), text(&change["deletedAt"])));
            }
            other => panic!("op {other}"),
        }
        let generation = self.generation;
        let record = self.records.entry(key).or_default();
        for (name, value, at) in writes {
            if record.get(&name).is_none_or(|held| is_newer_or_equal(generation, &at, &held.at)) {
                record.insert(name, Held { value, at, writer: String::new() });
            }
        }
    }

    fn apply_entry(&mut self, entry: &Value) {
        let key = (text(&entry["collection"]), text(&entry["id"]));
        for (name, field) in entry["fields"].as_object().unwrap() {
            let new = self.learned(field);
            let record = self.records.entry(key.clone()).or_default();
            if record.get(name).is_none_or(|held| order(&new) > order(held)) {
                record.insert(name.clone(), new);
            }
        }
    }

    /// The hub judged a write that this device sent: what it says counts in its place, whatever the times.
    fn take_over(&mut self, change: &Value, reply: Option<&str>) {
        let Some(reply) = reply else { return };
        let key = (text(&change["table"]), text(&change["id"]));
        let fields: Value = serde_json::from_str(reply).unwrap();
        for (name, field) in fields.as_object().unwrap() {
            let new = self.learned(field);
            let record = self.records.entry(key.clone()).or_default();
            let takes = record
                .get(name)
                .is_none_or(|held| was_pushed(change, name, held) || order(&new) > order(held));
            if takes {
                record.insert(name.clone(), new);
            }
        }
    }

    fn learned(&mut self, field: &Value) -> Held {
        let new = Held { value: field["value"].clone(), at: text(&field["at"]), writer: text(&field["by"]) };
        self.last_tick = self.last_tick.max(UnixNanos::parse(&new.at).unwrap());
        new
    }

    /// What an application sees of it: live values by record.
    pub(super) fn view(&self) -> BTreeMap<(String, String), BTreeMap<String, Value>> {
        let values = |record: &BTreeMap<String, Held>| {
            record.iter().map(|(name, held)| (name.clone(), held.value.clone())).collect()
        };
        self.records.iter().map(|(key, record)| (key.clone(), values(record))).collect()
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text")).to_owned()
}

fn is_newer_or_equal(generation: Generation, new: &str, held: &str) -> bool {
    match generation {
        Generation::One => new >= held,
        _ => UnixNanos::parse(new).unwrap().floor_ms() >= UnixNanos::parse(held).unwrap().floor_ms(),
    }
}

fn order(held: &Held) -> (UnixNanos, &str, [u8; 32]) {
    let digest = blake3::hash(canonical(&held.value.to_string()).as_bytes());
    (UnixNanos::parse(&held.at).unwrap(), &held.writer, *digest.as_bytes())
}

fn was_pushed(change: &Value, field: &str, held: &Held) -> bool {
    change["fields"][field]["at"] == held.at
        || (change["data"].get(field).is_some() && change["data"]["createdAt"] == held.at)
        || (field == "deletedAt" && change["deletedAt"] == held.at)
}
