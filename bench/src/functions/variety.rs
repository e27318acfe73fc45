//! Who is told of a write needlessly: 200 different queries over 10 tables, by their tables, by their rows, and after a run.

use ferry_testkit::{functions::deployment, http, hub::Options, rng::Rng};
use serde_json::{Value, json};
use tokio::{
    task::LocalSet,
    time::{Instant, interval_at},
};

use super::{
    client::{Caller, KEY, Said, Socket},
    load_average,
    peer::FERRY,
    precision::QUIET,
    print,
};
use crate::{beside::options::Options as BenchOptions, binary, table::figure};

const VARIETY: &str = "variety";
const TABLES: u64 = 10;
const ROWS: u64 = 200;
const QUERIES: u64 = 200;
const WRITES: u64 = 100;

/// Tables that refer to the one before: as many groups as rows of a page, and a score.
const SCHEMA: &str = r#"
import { table, integer, text, index } from "@ferry/server/schema";
const one = (n) => table("t" + n, {
  id: integer("id").primaryKey(),
  owner: integer("owner").notNull(),
  kind: text("kind").notNull(),
  score: integer("score").notNull(),
  body: text("body").notNull(),
}, (t) => [index("t" + n + "_owner").on(t.owner)]);
export const t0 = one(0), t1 = one(1), t2 = one(2), t3 = one(3), t4 = one(4);
export const t5 = one(5), t6 = one(6), t7 = one(7), t8 = one(8), t9 = one(9);
"#;

/// Eight kinds of queries as pages ask them, five that bind rows and three that do not.
const FUNCTIONS: &str = r#"
import { query, mutation } from "@ferry/server";
import { and, asc, count, desc, eq, gt, inArray, max, sql } from "drizzle-orm";
import * as schema from "../schema";
const of = (n) => schema["t" + n];
export const ask = query((ctx, { kind, n, k }) => {
  const t = of(n), u = of((n + 1) % 10);
  switch (kind) {
    case 0: return ctx.db.select().from(t).where(eq(t.id, k)).get();
    case 1: return ctx.db.select().from(t).where(eq(t.owner, k % 20)).orderBy(asc(t.id)).limit(10);
    case 2: return ctx.db.select({ n: count() }).from(t).where(and(eq(t.owner, k % 20), eq(t.kind, "a")));
    case 3: return ctx.db.select().from(t).where(inArray(t.id, [k, k + 1, k + 2]));
    case 4: return ctx.db.select({ id: t.id, body: u.body }).from(t).innerJoin(u, eq(t.id, u.id)).where(eq(t.owner, k % 20));
    case 5: return ctx.db.select({ id: t.id, score: t.score }).from(t).where(gt(t.score, 900 + k % 90)).orderBy(desc(t.score), asc(t.id)).limit(5);
    case 6: return ctx.db.select({ kind: t.kind, top: max(t.score) }).from(t).groupBy(t.kind).orderBy(asc(t.kind)).limit(1 + k % 3);
    default: return ctx.db.select({ n: count() }).from(t).where(inArray(t.id, sql`(select owner from ${u} where score > ${800 + k})`));
  }
});
export const fill = mutation(async (ctx, { n, rows }) => { await ctx.db.insert(of(n)).values(rows); });
export const change = mutation(async (ctx, { n, id, score, body }) => {
  const t = of(n);
  await ctx.db.update(t).set(score === null ? { body } : { body, score }).where(eq(t.id, id));
});
"#;

/// Counts of the hub.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    /// Results that were made again, and of these those that differed.
    runs: f64,
    changed: f64,
    /// Results of a table that was changed, none of whose rows was.
    spared: f64,
}

pub(super) async fn run(options: &BenchOptions) {
    if !options.wants(VARIETY) {
        return;
    }
    let hub = hub();
    let address = hub.address();
    let counts = LocalSet::new().run_until(measure(address)).await;
    let Counts { runs, changed, spared } = counts;
    let row = |name: &str, told: f64| {
        vec![
            name.to_owned(),
            figure(told / WRITES as f64, 1),
            figure((told - changed) / WRITES as f64, 1),
            format!("{:.1} %", (told - changed) * 100.0 / told),
            format!("{:.2} %", (told - changed) * 100.0 / (WRITES * QUERIES) as f64),
            load_average(),
        ]
    };
    print(
        "Functions: 200 different queries over 10 tables",
        &format!(
            "{TABLES} tables of {ROWS} rows; {QUERIES} subscriptions of Ferry's dialect: by id, by owner, by owner and kind, \
             by three ids, a join by owner, the best five above a score, the best of each kind, and a count with a subquery. \
             {WRITES} writes, each of one row (half of them change the score, too), one after another. By table, by row: the \
             results that would have been told without a run; after a run: those that were. False: told, though the result \
             is the same; of all: of writes times queries.",
        ),
        &["told", "results per write", "false per write", "of those told", "of all", "load"],
        &[
            row("by table", runs + spared),
            row("by row, without a run", runs),
            row("by row, after a run", changed),
        ],
    );
}

fn hub() -> ferry_testkit::Hub {
    let hub = Options::new(binary::ferry()).env("FERRY_LOG_LEVEL", "warn").start();
    let user = hub.signup("bench@example.com");
    let database = user.create_database("bench");
    let body = deployment(&[("schema.ts", SCHEMA), ("functions/index.ts", FUNCTIONS)]);
    let path = format!("/v1/databases/{database}/functions/deploy");
    let bearer = format!("Bearer {}", user.token);
    let headers = [("Authorization", bearer.as_str())];
    let answer = http::send(hub.address(), "POST", &path, &headers, body.to_string().as_bytes());
    let answer = answer.expect("the hub is reachable");
    assert_eq!(answer.status, 200, "{}", answer.text());
    let spec = json!({ "value": KEY, "kind": "publishable", "label": "page", "models": ["functions"],
        "ops": ["read", "write"] });
    user.ferry("CreateApiKey", &json!({ "database": database, "spec": spec })).expect("the key is made");
    hub
}

async fn measure(address: std::net::SocketAddr) -> Counts {
    let mut random = Rng::new(1);
    let mut caller = Caller::connect(address, None).await;
    for n in 0..TABLES {
        let rows: Vec<Value> = (1..=ROWS)
            .map(|id| {
                let kind = ["a", "b", "c"][random.below(3) as usize];
                json!({"id": id, "owner": random.below(20), "kind": kind,
                    "score": random.below(1000), "body": "Lorem ipsum"})
            })
            .collect();
        caller.call("fill", json!({"n": n, "rows": rows})).await;
    }
    let mut socket = Socket::open(address, "variety", Some(FERRY)).await;
    for number in 0..QUERIES {
        let args = json!({"kind": number % 8, "n": number % TABLES, "k": 1 + random.below(ROWS)});
        socket.subscribe(number as usize, "ask", args).await;
    }
    for _ in 0..QUERIES {
        while !matches!(socket.next().await, Said::Result(_)) {}
    }
    tokio::task::spawn_local(async move {
        loop {
            socket.next().await;
        }
    });
    let before = counts(address);
    for write in 0..WRITES {
        let score = if write % 2 == 0 { json!(random.below(1000)) } else { Value::Null };
        let args = json!({"n": random.below(TABLES), "id": 1 + random.below(ROWS), "score": score,
            "body": format!("Written {write}")});
        caller.call("change", args).await;
        quiet(address).await;
    }
    let now = counts(address);
    Counts {
        runs: now.runs - before.runs,
        changed: now.changed - before.changed,
        spared: now.spared - before.spared,
    }
}

/// Waits until nothing is made again any more.
async fn quiet(address: std::net::SocketAddr) {
    let pause = QUIET / 20;
    let mut last = f64::NAN;
    loop {
        interval_at(Instant::now() + pause, pause).tick().await;
        let runs = counts(address).runs;
        if runs == std::mem::replace(&mut last, runs) {
            return;
        }
    }
}

fn counts(address: std::net::SocketAddr) -> Counts {
    let metrics = http::get(address, "/metrics").expect("the hub is reachable").text();
    let sum = |name: &str| -> f64 {
        let lines = metrics.lines().filter(|line| line.starts_with(name));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    };
    Counts {
        runs: sum("ferry_functions_gate_runs_total"),
        changed: sum("ferry_functions_gate_runs_total{changed=\"true\"}"),
        spared: sum("ferry_functions_spared_total"),
    }
}
