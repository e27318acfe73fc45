//! What traces cost a hub: CPU per request without a collector, with 5 % of the requests traced, with all of them, and with a
//! collector that is away.

use std::path::Path;

use ferry_testkit::{Hub, collector::Collector, hub::Options};

use crate::{
    binary,
    load::{self, Measured},
    table,
};

/// Connections of the load; each appends one event after the other.
const CONNECTIONS: usize = 16;
const SECONDS: u64 = 5;
/// Rounds of each setting, in turns: the machine's own drift is larger than what is measured.
const ROUNDS: usize = 5;
/// Where nobody listens.
const NOWHERE: &str = "http://127.0.0.1:9";

/// A setting, and what was measured of it.
struct Row {
    name: &'static str,
    /// The collector and the share of the requests.
    traced: Option<(String, &'static str)>,
    appends: Vec<Measured>,
    reads: Vec<Measured>,
}

pub(crate) fn run() {
    let collector = Collector::start();
    let row = |name, traced| Row { name, traced, appends: Vec::new(), reads: Vec::new() };
    let mut rows = [
        row("no collector", None),
        row("5 % traced", Some((collector.url(), "0.05"))),
        row("all traced", Some((collector.url(), "1"))),
        row("5 % traced, collector away", Some((NOWHERE.to_owned(), "0.05"))),
    ];
    for _ in 0..ROUNDS {
        for row in &mut rows {
            let hub = hub(binary::ferry(), row.traced.as_ref());
            measure(&hub, row);
        }
    }
    let base = (cpu_us(&rows[0].appends), cpu_us(&rows[0].reads));
    let lines: Vec<_> = rows.iter().map(|row| line(row, base)).collect();
    table::print(
        "Traces",
        &format!(
            "Appends of one event over HTTP, and reads of /readyz, on {CONNECTIONS} kept connections; medians of {ROUNDS} rounds of \
             {SECONDS} s in turns, each with a hub of its own. CPU is the hub's, the exporter's included. The bar is 3 % for 5 % \
             traced."
        ),
        &["setting", "appends/s", "CPU-µs each", "more", "reads/s", "CPU-µs each", "more"],
        &lines,
    );
}

fn hub(ferry: &Path, traced: Option<&(String, &'static str)>) -> Hub {
    let options = Options::new(ferry).env("FERRY_LOG_LEVEL", "warn").env("FERRY_RATE_LIMIT_SCALE", "0");
    let options = match traced {
        Some((url, share)) => options.env("FERRY_OTLP_ENDPOINT", url).env("FERRY_OTLP_SAMPLE", *share),
        None => options,
    };
    options.start()
}

fn measure(hub: &Hub, row: &mut Row) {
    let user = hub.signup("bench@example.com");
    let database = user.create_database("bench");
    let issue = serde_json::json!({"databaseId": database, "models": ["events"], "ops": ["read", "write"],
        "ttlSeconds": 3600});
    let token = user.ferry("IssueSyncToken", &issue).expect("a token");
    let token = token["token"].as_str().expect("a token");
    let body = r#"{"store":"app","parentSeqNum":null,"clientId":"c","sessionId":"s","events":[{"name":"v1.Noted","args":{"text":"a line of text"}}]}"#;
    let append =
        load::request(hub.address(), "POST", &format!("/v1/databases/{database}/events"), token, body);
    row.appends.push(load::run(hub.pid(), hub.address(), &append, CONNECTIONS, SECONDS));
    let read = load::request(hub.address(), "GET", "/readyz", "", "");
    row.reads.push(load::run(hub.pid(), hub.address(), &read, CONNECTIONS, SECONDS));
}

fn cpu_us(rounds: &[Measured]) -> f64 {
    table::median_of(rounds, Measured::cpu_us)
}

fn line(row: &Row, base: (f64, f64)) -> Vec<String> {
    let of = |rounds: &[Measured], base: f64| {
        let cpu = cpu_us(rounds);
        let more = format!("{:+.1} %", (cpu / base - 1.0) * 100.0);
        [table::figure(table::median_of(rounds, Measured::per_second), 0), table::figure(cpu, 1), more]
    };
    let mut line = vec![row.name.to_owned()];
    line.extend(of(&row.appends, base.0));
    line.extend(of(&row.reads, base.1));
    line
}
