//! Backups of a running hub, and what is restored from them (operate specification, part A).

mod anchors;
mod breaks;
mod buckets;
mod by_admin;
mod continuous;
mod damage;
mod empty_folder;
mod encrypted;
mod interrupted;
mod kept_format;
mod lineage;
mod lost_log;
mod older_state;
mod other_s3;
mod outbox;
mod restored_database;
mod restored_hub;
mod snapshots;
mod taken_back;
mod unread;

use std::{
    fs,
    path::{Path, PathBuf},
};

use ferry_testkit::{
    command::Ferry,
    http::{self, Response},
    hub::Options,
    livestore::{LiveSocket, chain, path},
};
use serde_json::{Value, json};

use crate::{
    ops::{A, hlc, set},
    records::{Records, insert},
    support::{Place, operator, options},
};

/// A hub with a target, whose backups are taken when the test asks.
struct Backed {
    records: Records,
    /// Of the same database, for every model of a hub.
    token: String,
    target: tempfile::TempDir,
}

/// The settings of a hub that backs up to `target` when it is asked.
fn settings(options: Options, target: &Path) -> Options {
    options
        .arg(format!("--backup-target=file://{}", target.display()))
        .arg("--backup-every=0")
        .arg("--backup-verify-every=0")
}

impl Backed {
    fn new() -> Self {
        Self::with(|options| options)
    }

    fn with(change: impl FnOnce(Options) -> Options) -> Self {
        let target = tempfile::tempdir().unwrap();
        let place = Place::of(change(settings(options(), target.path())).start());
        let records = Records::at(place);
        let token = token(&records.place);
        Self { records, token, target }
    }

    fn operator(&self) -> Ferry {
        operator(&self.records.place.hub)
    }

    fn restarted_with(self, change: impl FnOnce(Options) -> Options) -> Self {
        Self { records: self.records.restarted_with(change), ..self }
    }

    /// The target's address.
    fn url(&self) -> String {
        format!("file://{}", self.target.path().display())
    }

    /// Takes a backup; its id, and the bytes that it added.
    #[track_caller]
    fn back_up(&self) -> (String, u64) {
        let line = self.operator().ok(&["backup", "create"]);
        let fields: Vec<&str> = line.trim().split('\t').collect();
        let [id, new_bytes, target] = fields[..] else { panic!("{line}") };
        assert_eq!(target, self.url());
        (id.to_owned(), new_bytes.parse().unwrap())
    }

    /// Writes with every model that a hub's database has: `n` tells the writes apart.
    fn write(&self, n: u64) {
        self.records.push("maker", "", &json!([insert("tasks", &format!("t{n}"), "x")]));
        self.write_events(n, 1);
        let op = set(&format!("op-a-{n:05}"), &hlc(n, 0, A), &format!("n/{n}"), "t", &json!(n), &[]);
        let body = json!({"origin": A, "ops": [op]}).to_string();
        let written = self.call("POST", "/v1/databases/-/ops", &body);
        assert_eq!(written.status, 200, "{}", written.text());
    }

    /// Appends events behind `head`.
    fn write_events(&self, head: u64, count: i64) {
        let mut socket = self.open_store().unwrap_or_else(|refused| panic!("{}", refused.text()));
        let head = i64::try_from(head).unwrap();
        assert_eq!(socket.push(&json!("1"), &chain(head, count)).code(), "success");
    }

    fn open_store(&self) -> Result<LiveSocket, Response> {
        let bearer = format!("Bearer {}", self.token);
        LiveSocket::open(self.records.address(), &path("app", "ws"), "app", &[("Authorization", &bearer)])
    }

    fn call(&self, method: &str, path: &str, body: &str) -> Response {
        let bearer = format!("Bearer {}", self.token);
        let headers = [("Authorization", &*bearer), ("X-Client-Id", "device")];
        http::send(self.records.address(), method, path, &headers, body.as_bytes()).unwrap()
    }

    /// Restores one database as it was into a file.
    fn restore_file(&self, id: &str, database: &str, name: &str) -> PathBuf {
        let ferry = self.operator();
        let file = ferry.file(name);
        let out = file.to_str().unwrap();
        ferry.ok(&["backup", "restore", id, "--target", &self.url(), "--database", database, "--out", out]);
        let kept = self
            .target
            .path()
            .with_file_name(format!("{}-{name}", self.target.path().file_name().unwrap().to_str().unwrap()));
        fs::copy(&file, &kept).unwrap();
        kept
    }
}

/// A token of the place's database for all that the hub writes.
fn token(place: &Place) -> String {
    let request = json!({
        "databaseId": place.database, "models": ["events", "records", "ops"], "ops": ["read", "write"],
        "ttlSeconds": 3600,
    });
    let answer: Value = place.user.ferry("IssueSyncToken", &request).unwrap();
    answer["token"].as_str().unwrap().to_owned()
}

/// All objects of a target that stay as they are, by their paths.
fn objects(target: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![target.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if !["lock", "anchor.json"].iter().any(|name| path.ends_with(name)) {
                found.push(path.strip_prefix(target).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}
