//! A hub with many databases: what a backup of them costs, and a break of their histories.

use std::path::Path;

use ferry_testkit::{hub::Options, wait};

use super::{CHANGED, Cost, cost, new_bytes, restore, settings};
use crate::{binary, scale::hub::Many, table};

/// Connections that make the databases.
const CONNECTIONS: usize = 16;

pub(super) fn many(databases: usize) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let options = settings(Options::new(binary::ferry()), folder.path()).descriptors(1024);
    let mut many = Many::of(options.env("FERRY_IDLE_CLOSE_SECONDS", "10"));
    eprintln!("making {databases} databases");
    many.create(databases, CONNECTIONS);
    many.issue_tokens(CONNECTIONS);
    many.write_records(0..databases, CONNECTIONS);
    many.closed();
    let mut rows = Vec::new();
    let mut add = |name: &str, cost: &Cost, bar: &str| {
        rows.push(vec![
            name.to_owned(),
            format!("{:.2}", cost.took.as_secs_f64()),
            format!("{:.2}", cost.hub_cpu_ms as f64 / 1e3),
            table::bytes(new_bytes(&cost.output)),
            table::bytes(cost.grown_bytes),
            bar.to_owned(),
        ]);
    };
    let create = ["backup", "create"];
    add("the first", &cost(&many, &create), "–");
    // So that the peak is that of the next one.
    many.restart();
    add("nothing changed", &cost(&many, &create), "≤ 2 s, 50 MiB");
    many.append_events(0..CHANGED, CONNECTIONS);
    add(&format!("{CHANGED} changed"), &cost(&many, &create), "–");
    let (ready, ()) = wait::timed(|| many.restart());
    table::print(
        &format!("A backup of a hub with {databases} databases, at most 1,024 open files"),
        "`ferry backup create` to a folder on the same disk; each database holds a record. CPU is the hub's user + system.",
        &["backup", "seconds", "hub CPU s", "new bytes", "memory above", "bar"],
        &rows,
    );
    println!("\nThe hub ends and is ready again after {:.0} ms.", ready.as_secs_f64() * 1e3);
    broken(&mut many, folder.path(), databases);
}

/// What a restored hub, each of whose histories has a break, takes to start and when a database is first used.
fn broken(many: &mut Many, target: &Path, databases: usize) {
    let used = |many: &Many| many.write_records(0..databases, 1).latencies_ms();
    let before = used(many);
    let home = tempfile::tempdir().expect("a temporary folder");
    let restored = home.path().join("restored");
    let restoring = restore(many, target, &restored);
    let (ready, ()) = wait::timed(|| many.restart_with(|options| options.data_dir(restored)));
    many.sign_in_again(CONNECTIONS);
    let after = used(many);
    table::print(
        &format!("A restored hub with {databases} databases"),
        "First use: a record written to each database, one after the other, p50 / p99 in ms; the hub had been started again \
         before it was lost, too. Ready: another hub is killed, this one is started and answers.",
        &["restore s", "ready ms", "first use before", "first use after", "bar"],
        &[vec![
            format!("{:.2}", restoring.took.as_secs_f64()),
            format!("{:.0}", ready.as_secs_f64() * 1e3),
            format!("{:.2} / {:.2}", before.0, before.1),
            format!("{:.2} / {:.2}", after.0, after.1),
            "ready ≤ 1 s, ≤ 5 ms each at first use".to_owned(),
        ]],
    );
}
