//! What follows from a break: it is applied once, whatever kills the hub; what is made later lacks nothing; and clients give back what was
//! lost.

use std::fs;

use ferry_testkit::{
    http,
    livestore::{LiveSocket, chain, path},
};
use serde_json::json;

use super::{
    Backed,
    lineage::{WrittenOn, actions, copy, lineage, over, shown},
    older_state::one_database,
};
use crate::{
    events::a,
    ops::spokes,
    support::{empty_but_for, options},
};

// Verifies: OPR-33
#[test]
fn a_break_is_applied_once_although_the_hub_is_killed_at_any_step() {
    for point in ["lineage.starting", "lineage.named", "break.noted", "break.applied"] {
        let WrittenOn { mut backed, older: copied, database, known, .. } = WrittenOn::new();
        backed.records.place.hub.stop();
        let killed = options().data_dir(&copied).arg("--on-copied=restored").fault(format!("{point}=kill"));
        if point.starts_with("lineage") {
            assert_eq!(killed.try_start().map(drop).unwrap_err().code, None, "{point}");
        } else {
            let mut hub = killed.start();
            let path = "/v1/databases/-/records/changes?app=todo&since=0";
            let bearer = format!("Bearer {}", backed.token);
            let cut = http::send(hub.address(), "GET", path, &[("Authorization", &bearer)], b"");
            assert!(cut.is_err(), "{point}");
            hub.ended();
        }
        // The verdict outlives the start that found it: nothing is asked again.
        backed = over(backed, &copied, &[]);
        assert_eq!(known.told(&backed), [true; 3], "{point}");
        let seq = backed.records.place.user.seq(&database);
        assert_eq!((seq / 1_000_000, shown(&copied, "break").len()), (1, 1), "{point}: {seq}");
    }
}

// One file that is older by itself is given a number before it is changed: a hub that is killed in between finds the number.
// Verifies: OPR-33, OPR-35
#[test]
fn a_break_of_one_file_is_applied_once_although_the_hub_is_killed() {
    for point in ["break.noted", "break.applied"] {
        let WrittenOn { mut backed, data, older, database, known } = WrittenOn::new();
        backed.records.place.hub.stop();
        one_database(&older, &data, &database);
        backed = backed.restarted_with(|options| options.fault(format!("{point}=kill")));
        let bearer = format!("Bearer {}", backed.token);
        let path = "/v1/databases/-/ops";
        let cut = http::send(backed.records.address(), "GET", path, &[("Authorization", &bearer)], b"");
        assert!(cut.is_err(), "{point}");
        backed.records.place.hub.ended();
        backed = backed.restarted_with(ferry_testkit::hub::Options::without_faults);
        assert_eq!(known.told(&backed), [true; 3], "{point}");
        let seq = backed.records.place.user.seq(&database);
        assert_eq!((seq / 1_000_000, shown(&data, "break").len()), (1, 1), "{point}: {seq}");
        assert_eq!(actions(&backed.records.place.hub, "lineage.break"), [database], "{point}");
    }
}

// A database that was made after the break took it for one that it lacks: its first store was on hold.
// Verifies: OPR-33
#[test]
fn databases_that_are_made_after_a_break_lack_none() {
    let mut backed = Backed::new();
    backed.write(0);
    let data = backed.records.place.hub.data_dir();
    backed.records.place.hub.stop();
    lineage("restored", &data);
    for restarts in [true, false] {
        backed = backed.restarted_with(|options| options);
        let name = if restarts { "first" } else { "second" };
        let place = &backed.records.place;
        let id = place.user.create_database(name);
        let request =
            json!({"databaseId": id, "models": ["events"], "ops": ["read", "write"], "ttlSeconds": 60});
        let token =
            place.user.ferry("IssueSyncToken", &request).unwrap()["token"].as_str().unwrap().to_owned();
        let bearer = format!("Bearer {token}");
        let open = || {
            LiveSocket::open(place.hub.address(), &path("app", "ws"), "app", &[("Authorization", &bearer)])
        };
        let mut socket = open().unwrap_or_else(|refused| panic!("{}", refused.text()));
        assert_eq!(socket.push(&a(1), &chain(0, 1)).code(), "success", "{name}");
        assert!(open().is_ok(), "{name}");
        assert!(place.user.seq(&id) < 10, "{name}");
    }
    let seq = |name: &str, backed: &Backed| {
        let listed = backed.records.place.user.ferry("ListDatabases", &json!({})).unwrap();
        let all = listed["databases"].as_array().unwrap().clone();
        let found = all.iter().find(|one| one["name"] == name).unwrap_or_else(|| panic!("{listed}"));
        backed.records.place.user.seq(found["id"].as_str().unwrap())
    };
    let backed = backed.restarted_with(|options| options);
    assert!(seq("first", &backed) < 10 && seq("second", &backed) < 10);
}

// With `remint` nobody waits: clients begin anew under another identity.
// Verifies: OPR-34, EVT-44
#[test]
fn with_remint_stores_of_an_older_state_serve_at_once() {
    let WrittenOn { mut backed, data, older, .. } = WrittenOn::new();
    let mut socket = backed.open_store().unwrap();
    socket.pull(&a(1), false, None);
    let id = socket.page(&a(1)).backend_id;
    backed.records.place.hub.stop();
    empty_but_for(&data, &[]);
    fs::remove_dir(&data).unwrap();
    copy(&older, &data);
    backed = over(backed, &data, &["--on-copied=restored", "--events-on-rollback=remint"]);
    let mut socket = backed.open_store().unwrap_or_else(|refused| panic!("{}", refused.text()));
    socket.pull(&a(1), true, Some((&id, 2)));
    assert_eq!(socket.exit_of(&a(1)).code(), "BackendIdMismatchError", "clients wipe their copy");
    assert_eq!(socket.push(&a(2), &chain(1, 1)).code(), "success");
}

// Spokes of a hub that was put back by hand send again what they hold.
// Verifies: OPR-34, OPS-31
#[test]
fn spokes_give_a_copied_hub_what_it_lost() {
    let ops = crate::ops::Ops::new();
    let sites = [spokes::Site::new(&ops), spokes::Site::new(&ops)];
    sites[0].spoke.set("note/1", "title", &json!("first"));
    spokes::settle(&[&sites[0], &sites[1]]);
    sites.iter().for_each(spokes::Site::go_offline);
    let data = ops.place.hub.data_dir();
    let older = data.with_file_name("older");
    let mut ops = ops;
    ops.place.hub.stop();
    copy(&data, &older);
    let mut ops = ops.restarted();
    sites.iter().for_each(|site| site.network.set_target(ops.address()));
    sites[1].spoke.set("note/2", "title", &json!("lost"));
    spokes::settle(&[&sites[0], &sites[1]]);
    sites.iter().for_each(spokes::Site::go_offline);
    ops.place.hub.stop();
    let ops = ops.restarted_with(|options| options.data_dir(&older).arg("--on-copied=restored"));
    sites.iter().for_each(|site| site.network.set_target(ops.address()));
    spokes::settle(&[&sites[0], &sites[1]]);
    let state = spokes::assert_equal(&ops, &[&sites[0], &sites[1]]);
    assert_eq!(state["note/2"]["fields"]["title"], "lost");
}
