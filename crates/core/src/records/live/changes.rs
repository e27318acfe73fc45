//! Which collections of an owner changed, by whom and when: a state and not a queue, so that who is slow loses nothing.

use std::{collections::HashMap, sync::Arc};

/// What has changed since some position.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changed {
    /// Apps and their collections.
    pub apps: Vec<(Arc<str>, Vec<String>)>,
    /// Devices that changed some of it.
    pub writers: Vec<String>,
    /// The newest position: everything up to it is told.
    pub upto: u64,
}

/// The changes of one owner, as long as somebody follows them. Positions count the commits.
#[derive(Debug, Default)]
pub struct CollectionChanges {
    head: u64,
    collections: HashMap<(Arc<str>, String), Last>,
}

/// When a collection changed last.
#[derive(Debug)]
struct Last {
    position: u64,
    client: Arc<str>,
    /// When a device other than `client` changed it last; 0: never since somebody follows.
    by_another: u64,
}

impl CollectionChanges {
    /// The newest position.
    #[must_use]
    pub const fn head(&self) -> u64 {
        self.head
    }

    /// Takes in a commit of the device `client`.
    pub fn commit(&mut self, app: &Arc<str>, collections: &[String], client: &Arc<str>) {
        self.head += 1;
        let position = self.head;
        for collection in collections {
            let key = (Arc::clone(app), collection.clone());
            let last = self.collections.entry(key).or_insert_with(|| Last {
                position,
                client: Arc::clone(client),
                by_another: 0,
            });
            if last.client != *client {
                last.by_another = last.position;
                last.client = Arc::clone(client);
            }
            last.position = position;
        }
    }

    /// What others than `device` changed after `position`.
    #[must_use]
    pub fn since(&self, position: u64, device: Option<&str>) -> Changed {
        let mut changed = Changed { upto: self.head, ..Changed::default() };
        for ((app, collection), last) in &self.collections {
            let is_own = device.is_some_and(|device| *last.client == *device);
            if (if is_own { last.by_another } else { last.position }) <= position {
                continue;
            }
            if !changed.writers.iter().any(|writer| *writer == *last.client) {
                changed.writers.push(last.client.to_string());
            }
            match changed.apps.iter_mut().find(|(known, _)| known == app) {
                Some((_, tables)) => tables.push(collection.clone()),
                None => changed.apps.push((Arc::clone(app), vec![collection.clone()])),
            }
        }
        for (_, tables) in &mut changed.apps {
            tables.sort_unstable();
        }
        changed
    }
}

#[cfg(test)]
mod unit {
    use super::*;

    fn commit(changes: &mut CollectionChanges, client: &str, collections: &[&str]) {
        let collections: Vec<String> = collections.iter().map(|name| (*name).to_owned()).collect();
        changes.commit(&"todo".into(), &collections, &client.into());
    }

    #[test]
    fn the_writer_is_not_told_of_its_own_changes() {
        let mut changes = CollectionChanges::default();
        commit(&mut changes, "a", &["tasks"]);
        let own = changes.since(0, Some("a"));
        assert_eq!((own.apps.len(), own.upto), (0, 1));
        commit(&mut changes, "b", &["tasks", "notes"]);
        commit(&mut changes, "a", &["tasks"]);
        let others = changes.since(own.upto, Some("a"));
        assert_eq!(others.apps, [("todo".into(), vec!["notes".to_owned(), "tasks".to_owned()])]);
        assert_eq!(changes.since(others.upto, None).apps, [], "once");
    }
}
