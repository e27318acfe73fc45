//! Targets that an earlier hub has left: every release reads format 1 (OPR-11).
//!
//! `format-1/plain` and `format-1/encrypted` are targets as a hub wrote them when the format was fixed, each with a backup of every
//! model, the log behind it, and what came out of it then. They are never made anew: what reads them must stay able to. Another
//! format gets folders of its own, which `MAKE_KEPT_TARGETS=1` makes where they are missing.

use std::{
    fs,
    path::{Path, PathBuf},
};

use ferry_testkit::{
    Direction, Session,
    command::Ferry,
    dump, edgereplica,
    functions::{EdgePodClient, deployment},
    http,
    sample::Shape,
    wait,
};
use rusqlite::Connection;
use serde_json::{Value, json};

use super::{Backed, continuous::status, objects};
use crate::{
    records::{Records, token},
    support::{FERRY, Place, copy_folder, options},
};

const KINDS: [&str; 2] = ["plain", "encrypted"];
/// The databases of a kept target: of the models that a hub writes, of pages, of functions.
const DATABASES: [&str; 3] = ["app", "files", "notes"];
/// Without a moment, and at the newest.
const POINTS: [&str; 2] = ["snapshot", "latest"];
const KEY_FILE: &str = "backup.key";
const API_KEY: &str = "ep_pk_3f2b9c1e-5d44-4a7b-8e11-0a6c7d902154";

const SCHEMA: &str = r#"
import { table, integer, text } from "@ferry/server/schema";
export const notes = table("notes", { id: integer("id").primaryKey({ autoIncrement: true }), title: text("title").notNull() });
"#;
const FUNCTIONS: &str = r#"
import { query, mutation } from "@ferry/server";
import { notes } from "../schema";
export const list = query(async (ctx) => ctx.db.select().from(notes));
export const add = mutation(async (ctx, { title }) => ctx.db.insert(notes).values({ title }).returning().get());
"#;

fn kept(kind: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/backup/format-1").join(kind)
}

/// What came out of a target when it was made.
fn content(kind: &str, database: &str, point: &str) -> PathBuf {
    kept(kind).join(format!("{database}-{point}.txt"))
}

/// A kept target, copied to where it may be written, and who reads it.
struct Target {
    folder: tempfile::TempDir,
    ferry: Ferry,
    url: String,
    backup: String,
}

impl Target {
    fn of(kind: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        copy_folder(&kept(kind), folder.path());
        let mut ferry = Ferry::new(FERRY, "http://127.0.0.1:1");
        let key = folder.path().join(KEY_FILE);
        if key.exists() {
            // Git keeps no such right.
            let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
            fs::set_permissions(&key, private).unwrap();
            ferry = ferry.env("FERRY_BACKUP_KEY_FILE", key.to_str().unwrap());
        }
        let url = format!("file://{}", folder.path().join("target").display());
        let backup = fs::read_to_string(kept(kind).join("backup.txt")).unwrap().trim().to_owned();
        Self { folder, ferry, url, backup }
    }

    /// The content of a database at a point.
    fn dump(&self, database: &str, point: &str) -> String {
        let out = self.folder.path().join(format!("{database}-{point}.db"));
        let mut arguments = vec!["backup", "restore"];
        if point == "snapshot" {
            arguments.push(&self.backup);
        }
        let out_name = out.to_str().unwrap();
        arguments.extend(["--target", &self.url, "--database", database, "--out", out_name]);
        self.ferry.ok(&arguments);
        let lines = dump::dump(&out);
        fs::remove_file(&out).unwrap();
        lines.iter().map(|line| format!("{}\n", line.replace('\n', "\\n"))).collect()
    }
}

// Verifies: OPR-11, OPR-20, OPR-21
#[test]
fn a_target_of_format_1_is_listed_verified_and_restored_as_it_was() {
    for kind in KINDS {
        if std::env::var_os("MAKE_KEPT_TARGETS").is_some() && !kept(kind).exists() {
            make(kind);
        }
        let target = Target::of(kind);
        let described = fs::read_to_string(target.folder.path().join("target/ferry-backup.json")).unwrap();
        assert_eq!(serde_json::from_str::<Value>(&described).unwrap()["format"], 1, "{described}");
        let listed = target.ferry.ok(&["backup", "list", "--json", "--target", &target.url]);
        let listed: Value = serde_json::from_str(&listed).unwrap();
        let backups = listed["backups"].as_array().unwrap();
        let found = backups.iter().find(|backup| backup["id"] == json!(target.backup));
        assert_eq!(found.unwrap_or_else(|| panic!("{listed}"))["state"], "complete", "{listed}");
        let range = listed["ranges"].as_array().unwrap().last().unwrap();
        assert!(range["from_unix_ms"].as_i64() < range["to_unix_ms"].as_i64(), "{listed}");
        for depth in [&["--quick"][..], &[]] {
            let verify = ["backup", "verify", "--target", &target.url];
            let verified = target.ferry.ok(&[&verify[..], depth].concat());
            assert!(verified.lines().all(|line| line.starts_with("ok\t")), "{verified}");
        }
        for database in DATABASES {
            for point in POINTS {
                let expected = fs::read_to_string(content(kind, database, point)).unwrap();
                assert_eq!(target.dump(database, point), expected, "{kind} {database} {point}");
            }
            let [before, after] = POINTS.map(|point| fs::read(content(kind, database, point)).unwrap());
            assert!(before != after, "the log brought nothing of {database}");
        }
        serves_what_it_held(&target);
    }
}

/// A hub over what is restored of the newest moment, and its clients.
fn serves_what_it_held(target: &Target) {
    let dir = target.folder.path().join("restored");
    target.ferry.ok(&["backup", "restore", "--target", &target.url, "--to", dir.to_str().unwrap()]);
    let hub = options().data_dir(&dir).start();
    let user = Session::login(hub.address(), "ada@example.com");
    let listed = user.ferry("ListDatabases", &json!({})).unwrap();
    let id = |name: &str| {
        let found = listed["databases"].as_array().unwrap().iter().find(|found| found["name"] == name);
        found.unwrap_or_else(|| panic!("{listed}"))["id"].as_str().unwrap().to_owned()
    };
    let (database, files) = (id("app"), id("files"));
    let copy = target.folder.path().join("copy.db");
    edgereplica::pull(hub.address(), &user.sync_token(&files, Direction::Pull), &copy).unwrap();
    assert_eq!(rows(&copy), 21);
    let answer = EdgePodClient::new(hub.address(), API_KEY, "s").call("list", &json!({})).json();
    let titles: Vec<&str> =
        answer["data"].as_array().unwrap().iter().map(|row| row["title"].as_str().unwrap()).collect();
    assert_eq!(titles, ["one", "two"]);
    let place = Place { hub, user, database };
    let token = token(&place, &["read", "write"], &[]);
    let records = Records { place, token };
    let page = records.v1("GET", "/changes?app=todo&since=0", "").json();
    let ids: Vec<&str> =
        page["changes"].as_array().unwrap().iter().map(|change| change["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["t0", "t1"], "{page}");
}

fn rows(file: &Path) -> i64 {
    let connection = Connection::open(file).unwrap();
    connection.query_row("SELECT count(*) FROM item", [], |row| row.get(0)).unwrap()
}

/// Makes a target, and what comes out of it now.
fn make(kind: &str) {
    let work = tempfile::tempdir().unwrap();
    let key = work.path().join(KEY_FILE);
    let is_encrypted = kind == "encrypted";
    if is_encrypted {
        Ferry::new(FERRY, "http://127.0.0.1:1").ok(&["backup", "key", "create", key.to_str().unwrap()]);
    }
    let mut backed = Backed::with(|options| {
        let options = options.arg("--backup-lag-seconds=1");
        if is_encrypted { options.arg(format!("--backup-key-file={}", key.display())) } else { options }
    });
    backed.write(0);
    let (files, notes) = {
        let user = &backed.records.place.user;
        (user.create_database("files"), user.create_database("notes"))
    };
    let source = work.path().join("source.db");
    Shape::default().create(&source, 20, 1);
    push(&backed, &files, &source);
    deploy(&backed, &notes);
    let page = EdgePodClient::new(backed.records.address(), API_KEY, "s");
    let add = |title: &str| assert_eq!(page.call("add", &json!({ "title": title })).status, 200);
    add("one");
    shipped(&backed);
    let (backup, _) = backed.back_up();
    backed.write(1);
    let connection = Connection::open(&source).unwrap();
    Shape::default().fill(&connection, 1, 2);
    drop(connection);
    push(&backed, &files, &source);
    add("two");
    shipped(&backed);
    backed.records.place.hub.stop();
    copy_folder(backed.target.path(), &kept(kind).join("target"));
    for passing in ["probe", "tmp", "lock"] {
        let path = kept(kind).join("target").join(passing);
        if path.is_dir() { fs::remove_dir_all(path).unwrap() } else { fs::remove_file(path).unwrap() }
    }
    fs::write(kept(kind).join("backup.txt"), format!("{backup}\n")).unwrap();
    if is_encrypted {
        fs::copy(&key, kept(kind).join(KEY_FILE)).unwrap();
    }
    let target = Target::of(kind);
    for database in DATABASES {
        for point in POINTS {
            fs::write(content(kind, database, point), target.dump(database, point)).unwrap();
        }
    }
}

/// Waits until the target has all that was acknowledged.
fn shipped(backed: &Backed) {
    wait::until("all is shipped", || {
        let status = status(backed);
        let is_well = status["state"] == "ok" && status["lagMs"].as_str().is_none_or(|lag| lag == "0");
        (is_well && objects(backed.target.path()).iter().any(|object| object.starts_with("log/")))
            .then_some(())
    });
}

fn push(backed: &Backed, database: &str, source: &Path) {
    let token = backed.records.place.user.sync_token(database, Direction::Push);
    edgereplica::push(backed.records.address(), &token, source).unwrap();
}

/// Functions over a table, and a key for them.
fn deploy(backed: &Backed, database: &str) {
    let user = &backed.records.place.user;
    let spec = json!({ "value": API_KEY, "kind": "publishable", "label": "page", "models": ["functions"],
        "ops": ["read", "write"] });
    user.ferry("CreateApiKey", &json!({ "database": database, "spec": spec })).unwrap();
    let body = deployment(&[("schema.ts", SCHEMA), ("functions/index.ts", FUNCTIONS)]).to_string();
    let path = format!("/v1/databases/{database}/functions/deploy");
    let bearer = format!("Bearer {}", user.token);
    let answer =
        http::send(backed.records.address(), "POST", &path, &[("Authorization", &bearer)], body.as_bytes());
    let answer = answer.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
}
