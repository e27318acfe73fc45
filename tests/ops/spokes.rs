//! Real spokes around one hub, each behind a network of its own that can fail.

use std::{collections::BTreeMap, path::Path};

use ferry_testkit::{
    partition::{Link, Partition},
    spoke::{Spoke, SpokeOptions},
    wait,
};
use rusqlite::{Connection, OpenFlags};
use serde_json::{Value, json};

use super::Ops;
use crate::support::FERRY;

/// A spoke and its way to the hub.
pub(crate) struct Site {
    pub(crate) spoke: Spoke,
    pub(crate) network: Partition,
}

/// How a spoke is started that syncs when it is told to, or when something happens.
pub(crate) fn spoke_options() -> SpokeOptions {
    SpokeOptions::new(FERRY).arg("--interval=1h")
}

impl Site {
    pub(crate) fn new(ops: &Ops) -> Self {
        Self::with(ops, |options| options)
    }

    pub(crate) fn with(ops: &Ops, change: impl FnOnce(SpokeOptions) -> SpokeOptions) -> Self {
        Self::behind(Partition::before(ops.address()), ops, change)
    }

    /// A spoke that has not met its hub yet.
    pub(crate) fn offline(ops: &Ops, change: impl FnOnce(SpokeOptions) -> SpokeOptions) -> Self {
        let network = Partition::before(ops.address());
        network.set(Link::Refused);
        Self::behind(network, ops, change)
    }

    fn behind(network: Partition, ops: &Ops, change: impl FnOnce(SpokeOptions) -> SpokeOptions) -> Self {
        let options = change(spoke_options().hub(&network.url(), &ops.token));
        Self { spoke: options.start(), network }
    }

    pub(crate) fn go_offline(&self) {
        self.network.set(Link::Refused);
    }

    /// Back online, and as far as the hub is.
    pub(crate) fn sync(&self) -> Value {
        self.network.set(Link::Open);
        // An exchange that began while the network was away fails, and who joined it with it.
        wait::until("an exchange succeeds", || self.spoke.try_call("sync.now", &json!({})).ok())
    }

    pub(crate) fn restarted(self, change: impl FnOnce(SpokeOptions) -> SpokeOptions) -> Self {
        Self { spoke: self.spoke.restart_with(change), network: self.network }
    }

    /// Waits until the hub has all that was written here.
    pub(crate) fn wait_until_pushed(&self) {
        wait::until("everything is pushed", || (self.spoke.status()["pending"] == 0).then_some(()));
    }
}

/// Brings all sites as far as the hub is, twice: what the last one pushed, the first one has not seen.
pub(crate) fn settle(sites: &[&Site]) {
    for _ in 0..2 {
        for site in sites {
            site.sync();
        }
    }
}

/// All replicas hold the same ops, byte for byte, and show the same.
#[track_caller]
pub(crate) fn assert_equal(ops: &Ops, sites: &[&Site]) -> Value {
    let log = raw_ops(&hub_file(ops));
    let state = sites[0].spoke.state();
    for site in sites {
        let own = raw_ops(&site.spoke.store());
        let differ = |id: &&String| own.get(*id) != log.get(*id);
        let differing: Vec<&String> = own.keys().chain(log.keys()).filter(differ).collect();
        assert_eq!(differing, [""; 0], "the ops of {}", site.spoke.store().display());
        assert_eq!(site.spoke.state(), state);
    }
    state
}

pub(crate) fn hub_file(ops: &Ops) -> std::path::PathBuf {
    ops.place.hub.database_dir(&ops.place.database).join("main.db")
}

pub(crate) fn open(file: &Path) -> Connection {
    let connection = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_WRITE).unwrap();
    connection.busy_timeout(wait::LIMIT).unwrap();
    connection
}

/// The texts of the ops in a store, by id. An id can stand once only.
pub(crate) fn raw_ops(file: &Path) -> BTreeMap<String, String> {
    let connection = open(file);
    let mut select = connection.prepare("SELECT id, raw FROM _ferry_ops").unwrap();
    let rows = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    rows.map(Result::unwrap).collect()
}

pub(crate) fn set_op(entity: &str, field: &str, value: &Value) -> Value {
    json!({ "kind": "set", "entity": entity, "field": field, "value": value })
}

pub(crate) fn splice(entity: &str, at: u32, delete: u32, insert: &str) -> Value {
    json!({ "kind": "text", "entity": entity, "field": "body", "splice": [[at, delete, insert]] })
}
