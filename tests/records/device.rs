//! A device of the old wire: it holds fields with their times, and the later one wins.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{Records, update};

/// Value and time of one field.
pub(super) type Held = (Value, String);

/// A device that keeps records as clients of the old wire do.
#[derive(Default)]
pub(super) struct Device {
    client: String,
    pub(super) cursor: String,
    /// By record and field.
    pub(super) fields: BTreeMap<(String, String), Held>,
}

impl Device {
    pub(super) fn new(client: &str) -> Self {
        Self { client: client.to_owned(), ..Self::default() }
    }

    /// Pulls `tasks` to the end.
    pub(super) fn pull(&mut self, records: &Records) {
        let (changes, cursor) = records.pull_all(&self.client, "tasks", &self.cursor);
        self.cursor = cursor;
        self.apply(&changes);
    }

    /// Writes a field here, and pushes it. The answer is applied if it arrives.
    pub(super) fn write(&mut self, records: &Records, id: &str, field: &str, value: &Value, at: &str) {
        self.take(id, field, value, at.to_owned());
        let answer = records.push(&self.client, &self.cursor, &json!([update(id, field, value, at)]));
        self.apply(answer["serverChanges"].as_array().unwrap());
    }

    pub(super) fn apply(&mut self, changes: &[Value]) {
        for change in changes {
            let id = change["id"].as_str().unwrap();
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            match change["op"].as_str().unwrap() {
                "insert" => {
                    let at = text(&change["data"]["createdAt"]);
                    self.take(id, "createdAt", &change["data"]["createdAt"], at);
                }
                "update" => {
                    for (field, write) in change["fields"].as_object().unwrap() {
                        self.take(id, field, &write["value"], text(&write["at"]));
                    }
                }
                "delete" => self.take(id, "deletedAt", &change["deletedAt"], text(&change["deletedAt"])),
                other => panic!("{other}"),
            }
        }
    }

    fn take(&mut self, id: &str, field: &str, value: &Value, at: String) {
        let held = self.fields.entry((id.to_owned(), field.to_owned())).or_default();
        // Nine digits and Z: as texts they compare as the instants do.
        if at >= held.1 {
            *held = (value.clone(), at);
        }
    }

    /// The records that it knows.
    pub(super) fn ids(&self) -> BTreeSet<&str> {
        self.fields.keys().map(|(id, _)| &**id).collect()
    }

    /// What a field holds here; `null` if nothing.
    pub(super) fn value(&self, id: &str, field: &str) -> Value {
        self.fields.get(&(id.to_owned(), field.to_owned())).map_or(json!(null), |held| held.0.clone())
    }
}
