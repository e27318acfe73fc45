//! Two hubs have shipped to one target as the same: what is restored there is the state of the one whose it is, whatever the other one
//! shipped, and when (OPR-12, OPR-20, OPR-21).

use ferry_testkit::{Hub, dump, http, wait};
use serde_json::{Value, json};

use super::{
    Backed,
    continuous::{assert_restores, at, caught_up, continuous, database_at, main_of, ranges, status_of},
    lineage::{beside, copy},
    operator, settings,
};
use crate::{
    ops::{A, hlc, set},
    support::options,
};

/// A value that only the copy was ever given.
const COPYS: &str = "only-the-copy-has-it";

/// Waits until a hub knows that another one has its target.
fn must_notice(hub: &Hub) {
    wait::until("it to notice", || (status_of(hub)["state"] == "taken").then_some(()));
}

/// Writes to the copy.
fn write_there(backed: &Backed, copy: &Hub, n: u64) {
    let value = json!(format!("{COPYS}-{n}"));
    let op = set(&format!("op-c-{n:05}"), &hlc(n, 0, A), &format!("c/{n}"), "t", &value, &[]);
    let body = json!({"origin": A, "ops": [op]}).to_string();
    let bearer = format!("Bearer {}", backed.token);
    let headers = [("Authorization", &*bearer), ("X-Client-Id", "device")];
    let written =
        http::send(copy.address(), "POST", "/v1/databases/-/ops", &headers, body.as_bytes()).unwrap();
    assert_eq!(written.status, 200, "{}", written.text());
}

fn has_the_copys(backed: &Backed, moment: &str, n: u64) -> bool {
    let restored = database_at(backed, &backed.records.place.database, moment);
    let rows = dump::dump(&restored);
    rows.iter().any(|row| row.contains(&format!("{COPYS}-{n}")))
}

/// Backups there: id and state.
fn listed(backed: &Backed) -> Vec<(String, String)> {
    let told = backed.operator().ok(&["backup", "list", "--json", "--target", &backed.url()]);
    let told: Value = serde_json::from_str(&told).unwrap();
    let text = |row: &Value, name: &str| row[name].as_str().unwrap().to_owned();
    told["backups"].as_array().unwrap().iter().map(|row| (text(row, "id"), text(row, "state"))).collect()
}

/// A hub that ships, and a copy of it that has taken its target.
pub(super) fn taken_by_a_copy() -> (Backed, Hub) {
    let mut backed = continuous(|options| options);
    let copied = beside(&backed, "copied");
    backed.records.place.hub.stop();
    copy(&backed.records.place.hub.data_dir(), &copied);
    backed = backed.restarted_with(|options| options);
    caught_up(&backed);
    let other = settings(options(), backed.target.path())
        .arg("--backup-lag-seconds=1")
        .arg("--on-copied=moved")
        .data_dir(&copied)
        .start();
    must_notice(&backed.records.place.hub);
    (backed, other)
}

/// The same, and the copy has shipped a write of its own, at the moment that is told.
fn with_a_copy() -> (Backed, Hub, i64) {
    let (backed, other) = taken_by_a_copy();
    write_there(&backed, &other, 1);
    wait::until("the copy to ship it", || has_the_copys(&backed, "latest", 1).then_some(()));
    let copys = ranges(&backed).last().unwrap().1;
    (backed, other, copys)
}

// Verifies: OPR-12, OPR-20, OPR-21
#[test]
fn a_target_that_was_taken_back_restores_its_hub_whatever_the_other_one_ships() {
    let (mut backed, mut other, copys) = with_a_copy();
    backed.write(1);
    // What failed while it was stopped is over, and told as such.
    backed.operator().fails(6, &["backup", "create"]);
    let resumed = backed.operator().ok(&["backup", "schedule", "resume", "--take-over"]);
    assert!(resumed.contains("\tok\t"), "{resumed}");
    // Until it notices, the copy ships what it is given.
    write_there(&backed, &other, 2);
    must_notice(&other);
    caught_up(&backed);
    let newest = dump::dump(&main_of(&backed));
    assert_restores(&backed, "latest", &newest);
    assert_restores(&backed, "2199-01-01T00:00:00Z", &newest);
    // Of the copy's history there is no moment, and no range.
    for (from, to) in ranges(&backed) {
        assert!(!has_the_copys(&backed, &at(to), 1));
        if (from..=to).contains(&copys) {
            assert!(!has_the_copys(&backed, &at(copys), 1));
        }
    }
    let url = backed.url();
    let verified = backed.operator().ok(&["backup", "verify", "--target", &url]);
    assert!(verified.lines().all(|line| line.starts_with("ok\t")), "{verified}");
    // What it left is there, told, and restores when it is named.
    let others: Vec<String> =
        listed(&backed).into_iter().filter_map(|(id, state)| (state == "other").then_some(id)).collect();
    let [named] = &others[..] else { panic!("{:?}", listed(&backed)) };
    let ferry = backed.operator();
    for told in [ferry.run(&["backup", "list", "--target", &url]), ferry.run(&["backup", "list"])] {
        assert!(told.stderr.contains(named) && told.stderr.contains("another hub"), "{}", told.stderr);
    }
    let (out, to, id) = (ferry.file("named.db"), ferry.file("whole"), &backed.records.place.database);
    let whole = ferry.run(&["backup", "restore", "--target", &url, "--to", to.to_str().unwrap()]);
    assert!(whole.stderr.contains(named), "{}", whole.stderr);
    let args = ["backup", "restore", named, "--at", &at(copys), "--target", &url, "--database", id];
    ferry.ok(&[&args[..], &["--out", out.to_str().unwrap()]].concat());
    assert!(dump::dump(&out).iter().any(|row| row.contains(&format!("{COPYS}-1"))));
    // The hub goes on after a start, and an empty folder is filled from it.
    backed.records.place.hub.stop();
    backed = backed.restarted_with(|options| options);
    backed.write(2);
    caught_up(&backed);
    let newest = dump::dump(&main_of(&backed));
    assert_restores(&backed, "latest", &newest);
    backed.records.place.hub.stop();
    other.stop();
    let filled = beside(&backed, "filled");
    let hub = settings(options(), backed.target.path())
        .arg("--backup-restore-if-empty=true")
        .data_dir(&filled)
        .start();
    let main = hub.database_dir(&backed.records.place.database).join("main.db");
    // A line of the log has each member once: the address of a target is none of its own.
    let log = hub.log();
    assert!(log.contains("\"backup_target\":"), "{log}");
    assert!(log.lines().all(|line| line.matches("\"target\":").count() <= 1), "{log}");
    let rows = dump::dump(&main);
    assert!(!rows.iter().any(|row| row.contains(COPYS)) && rows.iter().any(|row| row.contains("n/2")));
}

// Verifies: OPR-12, OPR-20
#[test]
fn a_target_goes_back_and_forth_between_two_hubs_and_each_has_its_own_history() {
    let (mut backed, other, _) = with_a_copy();
    backed.write(1);
    for n in 2..4 {
        // The original, which is killed before it has a backup of its own there.
        let ferry = backed.operator();
        let _ = ferry.run(&["backup", "schedule", "resume", "--take-over"]);
        backed.records.place.hub.kill();
        assert!(!has_the_copys(&backed, "latest", 1));
        backed = backed.restarted_with(|options| options);
        must_notice(&other);
        backed.write(n);
        caught_up(&backed);
        assert_restores(&backed, "latest", &dump::dump(&main_of(&backed)));
        // And the copy.
        let _ = operator(&other).run(&["backup", "schedule", "resume", "--take-over"]);
        write_there(&backed, &other, n);
        wait::until("the copy to ship it", || has_the_copys(&backed, "latest", n).then_some(()));
        assert!(has_the_copys(&backed, "latest", 1), "it goes on from what it had");
        must_notice(&backed.records.place.hub);
    }
}
