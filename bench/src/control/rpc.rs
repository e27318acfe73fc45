//! Whoami and IssueSyncToken on kept connections, beside the cheapest request there is.

use std::path::Path;

use ferry_testkit::rpc::FERRY;

use super::{CONNECTIONS, SECONDS};
use crate::{
    load::{self, Measured},
    table,
};

/// Rounds of each workload, in turns.
const ROUNDS: usize = 3;

pub(super) fn run(ferry: &Path) {
    let (hub, user) = super::hub(ferry);
    let database = user.create_database("bench");
    let (address, pid) = (hub.address(), hub.pid());
    let call = |method: &str, body: &str| {
        load::request(address, "POST", &format!("/{FERRY}/{method}"), &user.token, body)
    };
    let health = load::request(address, "GET", "/healthz", "", "");
    let whoami = call("Whoami", "{}");
    let issue =
        call("IssueSyncToken", &format!(r#"{{"databaseId":"{database}","direction":"DIRECTION_PULL"}}"#));
    let groups = || groups(&ferry_testkit::http::get(address, "/metrics").expect("metrics").text());

    let (mut health_runs, mut whoami_runs, mut issue_runs) = (Vec::new(), Vec::new(), Vec::new());
    let mut per_fsync = Vec::new();
    for _ in 0..ROUNDS {
        health_runs.push(load::run(pid, address, &health, CONNECTIONS, SECONDS));
        whoami_runs.push(load::run(pid, address, &whoami, CONNECTIONS, SECONDS));
        let before = groups();
        let issued = load::run(pid, address, &issue, CONNECTIONS, SECONDS);
        per_fsync.push(issued.answers as f64 / (groups() - before).max(1.0));
        issue_runs.push(issued);
    }
    let health_us = cpu_us(&health_runs);
    let whoami_us = cpu_us(&whoami_runs);
    let issue_us = cpu_us(&issue_runs);
    table::print(
        "RPCs on 64 kept connections",
        &format!(
            "JSON, HTTP/1.1; CPU is the hub's user + system. A token is answered after its row is fsynced (WAL, \
             synchronous=FULL). Medians of {ROUNDS} rounds of {SECONDS} s in turns."
        ),
        &["request", "answers/s", "hub CPU-µs each", "ratio to /healthz", "answers per fsync", "bar"],
        &[
            row("GET /healthz", &health_runs, health_us, health_us, None, "–"),
            row("Whoami", &whoami_runs, whoami_us, health_us, None, "≤ 3 × /healthz"),
            row(
                "IssueSyncToken",
                &issue_runs,
                issue_us,
                health_us,
                Some(table::median(&mut per_fsync)),
                "≤ 80 µs, ≥ 8 per fsync",
            ),
        ],
    );
}

fn cpu_us(runs: &[Measured]) -> f64 {
    table::median(&mut runs.iter().map(Measured::cpu_us).collect::<Vec<_>>())
}

fn row(
    name: &str,
    runs: &[Measured],
    cpu_us: f64,
    health_us: f64,
    per_fsync: Option<f64>,
    bar: &str,
) -> Vec<String> {
    let per_second = table::median(&mut runs.iter().map(Measured::per_second).collect::<Vec<_>>());
    vec![
        name.to_owned(),
        format!("{per_second:.0}"),
        format!("{cpu_us:.1}"),
        format!("{:.2}", cpu_us / health_us),
        per_fsync.map_or_else(|| "–".to_owned(), |answers| format!("{answers:.1}")),
        bar.to_owned(),
    ]
}

/// How many groups the writers of the hub have committed, an fsync each.
fn groups(metrics: &str) -> f64 {
    let line = metrics.lines().find_map(|line| line.strip_prefix("ferry_group_commits_total "));
    line.and_then(|value| value.trim().parse().ok()).expect("the metric ferry_group_commits_total")
}
