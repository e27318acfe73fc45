//! Databases that the hub writes, with functions as their writer, in crowds of readers, and reconciled by their digests.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use ferry_testkit::{
    http::{self, Response},
    page_bodies::{apply, normal, root, tag},
    sse::EventStream,
};
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::{functions::Functions, support::options};

const SCHEMA: &str = r#"
import { table, integer } from "@ferry/server/schema";
export const accounts = table("accounts", { id: integer("id").primaryKey(), balance: integer("balance") });
"#;

const SOURCE: &str = r#"
import { sql } from "drizzle-orm";
export async function begin(ctx) {
  for (let id = 1; id <= 100; id += 1) await ctx.unsafeRawDb.run(sql`INSERT INTO accounts VALUES (${id}, 100)`);
}
export async function transfer(ctx, { from, to }) {
  await ctx.unsafeRawDb.run(sql`UPDATE accounts SET balance = balance - 1 WHERE id = ${from}`);
  await ctx.unsafeRawDb.run(sql`UPDATE accounts SET balance = balance + 1 WHERE id = ${to}`);
}
"#;
const SUM: i64 = 10_000;

struct Bank {
    functions: Functions,
    token: String,
}

impl Bank {
    fn new() -> Self {
        let functions = Functions::of(options(), &[("schema.ts", SCHEMA), ("functions/index.ts", SOURCE)]);
        let begun = functions.page("begin").call("begin", &json!({}));
        assert_eq!(begun.status, 200, "{}", begun.text());
        let token = functions.place.pull_token();
        Self { functions, token }
    }

    /// Moves money until `is_done`, from several pages at once.
    fn transfer_until(&self, is_done: &AtomicBool) {
        thread::scope(|scope| {
            for n in 0..4_u64 {
                scope.spawn(move || {
                    let page = self.functions.page(&format!("s{n}"));
                    let mut count = n;
                    while !is_done.load(Ordering::Relaxed) {
                        count += 7;
                        let call = json!({"from": count % 100 + 1, "to": (count * 31) % 100 + 1});
                        let answer = page.call("transfer", &call);
                        assert_eq!(answer.status, 200, "{}", answer.text());
                    }
                });
            }
        });
    }

    fn send(&self, method: &str, path: &str, body: &str) -> Response {
        let bearer = format!("Bearer {}", self.token);
        let path = format!("/v1/databases/-/{path}");
        http::send(self.functions.address(), method, &path, &[("Authorization", &bearer)], body.as_bytes())
            .unwrap()
    }
}

/// The sum of a file of the bank, which is whole.
fn sum(file: &[u8]) -> i64 {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("copy.db");
    std::fs::write(&path, file).unwrap();
    let copy = Connection::open(&path).unwrap();
    let ok: String = copy.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(ok, "ok");
    copy.query_row("SELECT sum(balance) FROM accounts", [], |row| row.get(0)).unwrap()
}

fn etag(answer: &Response) -> String {
    answer.header("etag").expect("ETag").trim_matches('"').to_owned()
}

fn assert_is_its_tag(answer: &Response) {
    assert_eq!(answer.status, 200, "{}", answer.text());
    let tag_of = |version: &str| tag(version.parse().unwrap(), &root(&normal(&answer.body)));
    let told = etag(answer);
    assert_eq!(told, tag_of(told.split('-').next().unwrap()));
}

// Verifies: PAG-28, PAG-41, PAG-46
#[test]
fn beside_functions_that_write_a_follower_sees_whole_transactions() {
    let bank = Bank::new();
    let is_done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| bank.transfer_until(&is_done));
        let path = "/v1/databases/-/pages/stream";
        let authorization = format!("Bearer {}", bank.token);
        let mut stream =
            EventStream::open(bank.functions.address(), path, &[("Authorization", &authorization)]).unwrap();
        let mut last = 0;
        for _ in 0..12 {
            let (id, data) = stream.expect("version");
            let version = data["version"].as_u64().unwrap();
            assert!(version > last, "{data}");
            last = version;
            let file = bank.send("GET", &format!("file?at={}", id.unwrap()), "");
            assert_is_its_tag(&file);
            assert_eq!(sum(&file.body), SUM, "version {version}");
        }
        is_done.store(true, Ordering::Relaxed);
    });
}

// Verifies: PAG-10, PAG-46
#[test]
fn two_hundred_pulls_at_once_beside_a_writer_are_each_of_one_version() {
    let bank = Bank::new();
    let is_done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| bank.transfer_until(&is_done));
        let pulls: Vec<_> = (0..200)
            .map(|n| {
                let bank = &bank;
                scope.spawn(move || match n % 2 {
                    0 => bank.send("GET", "file", ""),
                    _ => bank.send("GET", "pages?since=0", ""),
                })
            })
            .collect();
        for (n, pull) in pulls.into_iter().enumerate() {
            let answer = pull.join().unwrap();
            if n % 2 == 0 {
                assert_is_its_tag(&answer);
                if n % 20 == 0 {
                    assert_eq!(sum(&answer.body), SUM);
                }
            } else {
                // Its root is checked.
                assert_eq!(answer.status, 200, "{}", answer.text());
                assert!(apply(&[], &answer.body).full);
            }
        }
        is_done.store(true, Ordering::Relaxed);
    });
}

// Verifies: PAG-27, PAG-41
#[test]
fn a_copy_of_unknown_history_of_what_the_hub_writes_is_reconciled() {
    let bank = Bank::new();
    let old = bank.send("GET", "file", "");
    for n in 0..20 {
        let answer = bank.functions.page("s").call("transfer", &json!({"from": n + 1, "to": 50}));
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    let ask = |question: &Value| bank.send("POST", "pages/reconcile", &question.to_string());
    let newest = loop {
        let top = ask(&json!({"at": null, "level": null}));
        if etag(&top) != etag(&old) {
            break top;
        }
        thread::yield_now();
    };
    let tag = etag(&newest);
    let theirs: Vec<&[u8]> = newest.body.chunks(8).collect();
    let ours = normal(&old.body);
    assert_eq!(newest.header("ferry-level"), Some("0"), "all leaves");
    let differ: Vec<[usize; 2]> = theirs
        .iter()
        .enumerate()
        .filter(|(n, digest)| ours.get(*n).is_none_or(|page| blake3::hash(page).as_bytes()[..8] != ***digest))
        .map(|(n, _)| [n + 1, n + 1])
        .collect();
    assert!(!differ.is_empty() && differ.len() < theirs.len(), "{differ:?} of {}", theirs.len());
    let body = ask(&json!({"at": tag, "since": "0", "pages": differ}));
    assert_eq!(body.status, 200, "{}", body.text());
    let got = apply(&[], &body.body).pages;
    let mut copy = ours;
    copy.resize(theirs.len(), Vec::new());
    for [page, _] in differ {
        copy[page - 1] = got[page - 1].clone();
    }
    assert!(copy == normal(&bank.send("GET", &format!("file?at={tag}"), "").body));
}
