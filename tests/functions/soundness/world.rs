//! A random database with functions that ask it anything and change it in every way.

use std::time::Duration;

use ferry_testkit::{
    functions::{EdgePodClient, deployment},
    http,
    migration_files::migration_file,
    random_sql::{Dice, Schema},
    wait,
};
use serde_json::{Value, json};

use super::super::Functions;
use crate::support::options;

/// Functions that hold results ask for anything; those that write run any statements.
const SOURCE: &str = r#"
import { query, mutation, action } from "@ferry/server";
import { sql } from "drizzle-orm";

const rows = (ctx, text, value) =>
  ctx.unsafeRawDb.values(value === undefined ? sql.raw(text) : sql`${sql.raw(text)} ${value}`);
const asks = {
  one: (ctx, { s }) => rows(ctx, s[0]),
  bound: (ctx, { s, value }) => rows(ctx, s[0], value),
  drift: (ctx, { s }) => [rows(ctx, s[0]).length % 2, rows(ctx, s[rows(ctx, s[0]).length % 2 ? 1 : 2])],
  follow: (ctx, { s, value }) => {
    const found = rows(ctx, s[0], value);
    return [found, found.map(([id]) => rows(ctx, s[1], id))];
  },
  fails: (ctx, { s }) => {
    const found = rows(ctx, s[0]);
    if (found.length % 3 === 2) throw new Error("CONFLICT: " + rows(ctx, s[1]).length);
    return found;
  },
  open: (ctx, { s }) => [ctx.headers["x-none"], rows(ctx, s[0])],
  opens: (ctx, { s }) => [rows(ctx, s[0]).length % 2 && ctx.headers["x-none"], rows(ctx, s[1])],
};
export const one = query(asks.one);
export const bound = query(asks.bound);
export const follow = query(asks.follow);
export const fails = query(asks.fails);
export async function drift(ctx, args) { return asks.drift(ctx, args); }
export async function open(ctx, args) { return asks.open(ctx, args); }
export async function opens(ctx, args) { return asks.opens(ctx, args); }

export const fresh = query((ctx, { list }) => list.map(([name, args]) => {
  try { return { data: asks[name](ctx, args) }; } catch (error) { return { failed: String(error) }; }
}));

const change = async (ctx, { s, fail, wait }) => {
  const failures = [];
  for (const text of s) {
    try { ctx.unsafeRawDb.run(sql.raw(text)); } catch (error) { failures.push(String(error)); }
  }
  if (wait) await new Promise((resolve) => setTimeout(resolve, wait));
  if (fail) throw new Error("INVALID: undone");
  return failures;
};
export async function auto(ctx, args) { return change(ctx, args); }
export const changes = mutation(change);
export const acts = action(change);
export async function undone(ctx, { s }) {
  ctx.unsafeRawDb.run(sql.raw(s[0]));
  try {
    await ctx.db.transaction(async () => { await change(ctx, { s: s.slice(1) }); throw new Error("undone"); });
  } catch {}
}
export async function model(ctx, { kind, id, title }) {
  if (kind === "event") ctx.events.append("store", { name: "v1.Noted", args: { title } });
  if (kind === "op") ctx.ops.append([{ kind: "create", entity: `note/${id}`, value: title }]);
}
"#;

/// What takes no longer than this is asked.
const QUICK: Duration = Duration::from_millis(60);

/// A function and its arguments.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Question {
    pub(super) function: String,
    pub(super) args: Value,
}

pub(super) struct World {
    pub(super) functions: Functions,
    pub(super) schema: Schema,
    device: String,
    writer: EdgePodClient,
    nonce: u64,
    /// Writes since the last look, for who reads a failure.
    pub(super) log: Vec<String>,
}

impl World {
    pub(super) fn new(dice: &mut Dice) -> Self {
        let source = [("functions/index.ts", SOURCE)];
        let functions = Functions::of(options().arg("--functions-cpu-ms=1000"), &source);
        let schema = Schema::random(dice);
        let mut body = deployment(&source);
        body["base"] = functions.admin("GET", "info", &Value::Null).json()["deployment"].clone();
        let sql = schema.statements.join(";\n") + ";";
        body["migrations"] = json!([migration_file("1_random", None, &sql)]);
        let deployed = functions.admin("POST", "deploy", &body);
        assert_eq!(deployed.status, 200, "{}\n{sql}", deployed.text());
        let request = json!({ "databaseId": functions.place.database, "models": ["records", "events"],
            "ops": ["read", "write"], "ttlSeconds": 36_000 });
        let issued = functions.place.user.ferry("IssueSyncToken", &request).unwrap();
        let device = issued["token"].as_str().unwrap().to_owned();
        let writer = functions.page("writer");
        Self { functions, schema, device, writer, nonce: 0, log: Vec::new() }
    }

    /// A random question that is answered quickly: views of views may multiply.
    pub(super) fn question(&mut self, dice: &mut Dice) -> Question {
        loop {
            let question = self.any_question(dice);
            let list = json!([[question.function, question.args]]);
            let (took, answer) = wait::timed(|| self.writer.call("fresh", &json!({ "list": list })));
            if answer.status == 200 && took < QUICK {
                return question;
            }
        }
    }

    fn any_question(&self, dice: &mut Dice) -> Question {
        let mut any = || match dice.below(12) {
            0 => "SELECT id, title FROM records_todo__tasks ORDER BY id".to_owned(),
            1 => "SELECT title FROM Records_todo__tasks WHERE id = 'r1'".to_owned(),
            2 => "SELECT name, args FROM events ORDER BY seq_num".to_owned(),
            3 => "SELECT entity FROM ops_entities ORDER BY 1".to_owned(),
            _ => self.schema.query(dice),
        };
        let (first, second, third) = (any(), any(), any());
        let (table, other) = (self.schema.table(dice), self.schema.table(dice));
        let point = format!("SELECT id, a, b FROM {table} WHERE {table}.\"id\" =");
        let value = dice.below(8);
        let (function, args) = match dice.below(12) {
            0..=3 => ("one", json!({ "s": [first] })),
            4..=5 => ("bound", json!({ "s": [point], "value": value })),
            6 => ("bound", json!({ "s": [format!("SELECT id FROM {table} WHERE a >")], "value": value })),
            7 => ("drift", json!({ "s": [first, second, third] })),
            8 => {
                let next = format!("SELECT id, b FROM {other} WHERE id =");
                (
                    "follow",
                    json!({ "s": [format!("SELECT a, b FROM {table} WHERE id ="), next], "value": value }),
                )
            }
            9 => ("fails", json!({ "s": [first, second] })),
            10 => ("open", json!({ "s": [first] })),
            _ => ("opens", json!({ "s": [first, second] })),
        };
        Question { function: function.to_owned(), args }
    }

    /// What each question is answered now, by a run that nothing kept can stand for.
    /// `None`: views of views have multiplied.
    pub(super) fn fresh(&mut self, questions: &[Question]) -> Option<Vec<Value>> {
        self.nonce += 1;
        let list: Vec<_> =
            questions.iter().map(|Question { function, args }| json!([function, args])).collect();
        let answer = self.writer.call("fresh", &json!({ "list": list, "nonce": self.nonce }));
        assert!([200, 504].contains(&answer.status), "{}", answer.text());
        answer.json()["data"].as_array().cloned()
    }

    /// Changes something, in whichever way.
    pub(super) fn write(&mut self, dice: &mut Dice) {
        let id = format!("r{}", dice.below(4));
        let title = format!("title {}", dice.below(3));
        let (function, args) = match dice.below(20) {
            0 => return self.push(&id, &title),
            1 => return self.append(&title),
            2 => {
                let kind = dice.pick(&["event", "op"]);
                ("model", json!({ "kind": kind, "id": id, "title": title }))
            }
            3 => {
                let text = match dice.below(3) {
                    0 => {
                        format!(
                            "INSERT INTO records_todo__tasks(id, _owner, title) VALUES ('{id}', 'somebody', '{title}')"
                        )
                    }
                    1 => format!("UPDATE records_todo__tasks SET title = '{title}' WHERE id = '{id}'"),
                    _ => format!("DELETE FROM records_todo__tasks WHERE id = '{id}'"),
                };
                ("auto", json!({ "s": [text] }))
            }
            chosen => {
                let texts: Vec<String> = (0..1 + dice.below(3)).map(|_| self.schema.write(dice)).collect();
                let wait = if chosen == 4 { 3 } else { 0 };
                let args = json!({ "s": texts, "fail": dice.one_in(6), "wait": wait });
                (*dice.pick(&["auto", "auto", "changes", "changes", "acts", "undone"]), args)
            }
        };
        let answer = self.writer.call(function, &args);
        self.log.push(format!("{function} {args} -> {} {}", answer.status, answer.text()));
    }

    fn push(&mut self, id: &str, title: &str) {
        let body = json!({"changes": [{"table": "tasks", "id": id, "op": "insert",
            "data": {"title": title, "createdAt": "2026-11-29T10:00:00Z"}}]});
        self.device_call("/sync/todo", &body);
    }

    fn append(&mut self, title: &str) {
        let body = json!({"store": "store", "clientId": "device", "sessionId": "job",
            "events": [{"name": "v1.Made", "args": {"title": title}}]});
        self.device_call("/v1/databases/-/events", &body);
    }

    fn device_call(&mut self, path: &str, body: &Value) {
        let bearer = format!("Bearer {}", self.device);
        let headers = [
            ("Authorization", bearer.as_str()),
            ("X-Client-Id", "phone"),
            ("Content-Type", "application/json"),
        ];
        let answer =
            http::send(self.functions.address(), "POST", path, &headers, body.to_string().as_bytes())
                .unwrap();
        self.log.push(format!("{path} {body} -> {} {}", answer.status, answer.text()));
    }
}
