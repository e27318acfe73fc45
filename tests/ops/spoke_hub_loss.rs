//! Hubs that were put back to an older state, replaced, renamed or emptied (acceptance scenario 8).

use std::path::PathBuf;

use ferry_testkit::wait;
use serde_json::{Value, json};

use super::{
    Ops,
    spokes::{Site, assert_equal, raw_ops, settle, spoke_options},
};
use crate::support::{copy_folder, options, put_back};

/// Two spokes that know what the hub is about to lose, and one that knows the first half.
struct Lost {
    ops: Ops,
    sites: [Site; 3],
}

impl Lost {
    /// Puts back what `folder` names, as it was after the first half.
    fn of(folder: impl Fn(&Ops) -> PathBuf) -> Self {
        let mut ops = Ops::new();
        let sites = [Site::new(&ops), Site::new(&ops), Site::new(&ops)];
        sites[0].spoke.set("note/1", "title", &json!("first"));
        settle(&[&sites[0], &sites[1], &sites[2]]);
        sites.iter().for_each(Site::go_offline);
        ops.place.hub.stop();
        let backup = tempfile::tempdir().unwrap();
        copy_folder(&folder(&ops), backup.path());
        let mut ops = ops.restarted();
        sites.iter().for_each(|site| site.network.set_target(ops.address()));
        sites[0].spoke.set("note/1", "title", &json!("second"));
        sites[1].spoke.set("note/2", "title", &json!("other"));
        settle(&[&sites[0], &sites[1]]);
        sites.iter().for_each(Site::go_offline);
        ops.place.hub.stop();
        put_back(backup.path(), &folder(&ops));
        let ops = ops.restarted();
        sites.iter().for_each(|site| site.network.set_target(ops.address()));
        Self { ops, sites }
    }

    #[track_caller]
    fn nothing_is_lost(&self) {
        let all = [&self.sites[0], &self.sites[1], &self.sites[2]];
        settle(&all);
        let state = assert_equal(&self.ops, &all);
        assert_eq!(state["note/1"]["fields"]["title"], "second");
        assert_eq!(state["note/2"]["fields"]["title"], "other");
        assert_eq!(all[0].spoke.conflicts(), [Value::Null; 0]);
        for site in all {
            let status = site.spoke.status();
            assert_eq!((&status["pending"], &status["last_error"]), (&json!(0), &Value::Null), "{status}");
        }
    }
}

// Verifies: OPS-31, OPS-33
#[test]
fn an_older_database_file_is_given_what_it_lost() {
    Lost::of(|ops| ops.place.hub.database_dir(&ops.place.database)).nothing_is_lost();
}

// Verifies: OPS-32, OPS-33
#[test]
fn an_older_data_directory_is_given_what_it_lost_even_after_others_wrote_to_it() {
    let lost = Lost::of(|ops| ops.place.hub.data_dir());
    // As many as were lost, so that the head alone tells nothing.
    for count in 0..4 {
        lost.sites[2].spoke.set("note/3", "count", &json!(count));
    }
    lost.sites[2].sync();
    lost.nothing_is_lost();
    assert_eq!(lost.sites[0].spoke.get("note/3")["fields"]["count"], 3);
}

/// A hub to which anybody on this machine may write, and a spoke without a credential.
fn open_hub() -> ferry_testkit::Hub {
    options().arg("--dev").start()
}

// Verifies: OPS-33
#[test]
fn an_empty_hub_at_the_same_url_gets_everything() {
    let (first, second) = (open_hub(), open_hub());
    let network = ferry_testkit::partition::Partition::before(first.address());
    let spokes = [0, 1].map(|_| spoke_options().arg(format!("--hub-url={}", network.url())).start());
    spokes[0].set("note/1", "title", &json!("kept"));
    spokes[0].sync();
    // An exchange that it joins may have asked the hub before the first one pushed.
    let before = wait::until("the second one has what the first one pushed", || {
        spokes[1].sync();
        Some(spokes[1].status()).filter(|status| status["cursor"] == 1)
    });
    network.set_target(second.address());
    spokes[1].sync();
    let after = spokes[1].status();
    assert_ne!(after["hub_id"], before["hub_id"]);
    assert_eq!((&after["cursor"], &after["last_error"]), (&json!(1), &Value::Null), "{after}");
    spokes[1].set("note/1", "title", &json!("new"));
    spokes[1].sync();
    spokes[0].sync();
    assert_eq!(spokes[0].get("note/1")["fields"]["title"], "new");
    assert_eq!(raw_ops(&spokes[0].store()), raw_ops(&spokes[1].store()));
}

// Verifies: OPS-30
#[test]
fn the_same_hub_under_another_url_costs_nothing() {
    let ops = Ops::new();
    let site = Site::new(&ops);
    site.spoke.set("note/1", "title", &json!("one"));
    site.sync();
    let cursor = site.spoke.status()["cursor"].clone();
    let network = ferry_testkit::partition::Partition::before(ops.address());
    let (url, token) = (network.url(), ops.token.clone());
    let site = site.restarted(|options| options.hub(&url, &token));
    let done = site.spoke.sync();
    assert_eq!((&done["pulled"], &done["pushed"]), (&json!(0), &json!(0)), "{done}");
    let status = site.spoke.status();
    assert_eq!((&status["hub_url"], &status["cursor"]), (&json!(url), &cursor));
}

// A spoke remembers whose it is.
// Verifies: OPS-34
#[test]
fn another_hub_with_other_ops_is_not_mixed_in_until_the_user_says_so() {
    let (ops, foreign) = (Ops::new(), Ops::new());
    let (site, other) = (Site::new(&ops), Site::new(&foreign));
    site.spoke.set("note/1", "title", &json!("mine"));
    site.sync();
    other.spoke.set("secret/1", "title", &json!("theirs"));
    other.sync();
    let (url, token) = (foreign.place.hub.url(), foreign.token.clone());
    let site = site.restarted(|options| options.hub(&url, &token));
    let refused = site.spoke.try_call("sync.now", &json!({})).unwrap_err();
    assert!(refused["message"].as_str().unwrap().contains("hub_foreign"), "{refused}");
    assert_eq!(refused["data"]["reason"], "hub_foreign");
    let unknown = site.spoke.try_call("sync.now", &json!({ "accept_hub": "zz" })).unwrap_err();
    assert!(unknown["message"].as_str().unwrap().contains("32 hex digits"), "{unknown}");
    // It is held, and what is written meanwhile stays here.
    site.spoke.set("note/2", "title", &json!("written while held"));
    assert!(site.spoke.try_call("sync.now", &json!({})).is_err());
    let status = site.spoke.status();
    assert_eq!(status["pending"], 1, "{status}");
    assert!(status["last_error"].as_str().unwrap().contains("--accept-hub"), "{status}");
    assert_eq!(site.spoke.get("secret/1"), Value::Null);
    assert_eq!(foreign.ids().len(), 1);
    let hub_id = other.spoke.status()["hub_id"].clone();
    site.spoke.call("sync.now", &json!({ "accept_hub": hub_id }));
    other.sync();
    assert_eq!(site.spoke.get("secret/1")["fields"]["title"], "theirs");
    assert_eq!(other.spoke.get("note/1")["fields"]["title"], "mine");
    assert_equal(&foreign, &[&other]);
}

// The URL alone does not say whose log it is: that of `-` follows the token. A spoke that was given another user's token
// merged both logs.
// Verifies: OPS-34, OPS-33
#[test]
fn another_log_with_other_ops_at_the_same_url_is_not_mixed_in_either() {
    let (own, foreign) = (open_hub(), open_hub());
    let network = ferry_testkit::partition::Partition::before(own.address());
    let spoke = spoke_options().arg(format!("--hub-url={}", network.url())).start();
    let other = spoke_options().arg(format!("--hub-url={}", foreign.url())).start();
    spoke.set("secret/mine", "title", &json!("mine"));
    spoke.sync();
    other.set("secret/theirs", "title", &json!("theirs"));
    other.sync();
    network.set_target(foreign.address());
    let refused = spoke.try_call("sync.now", &json!({})).unwrap_err();
    assert!(refused["message"].as_str().unwrap().contains("hub_foreign"), "{refused}");
    other.sync();
    assert_eq!((spoke.get("secret/theirs"), other.get("secret/mine")), (Value::Null, Value::Null));
    // Its own hub again: nothing happened.
    network.set_target(own.address());
    spoke.set("secret/mine", "title", &json!("more"));
    spoke.sync();
    let status = spoke.status();
    assert_eq!((&status["pending"], &status["last_error"]), (&json!(0), &Value::Null), "{status}");
}

// Verifies: OPS-33, OPS-31
#[test]
fn a_log_that_was_emptied_on_purpose_is_dropped_but_for_what_was_never_pushed() {
    let ops = Ops::new();
    let (left, right) = (Site::new(&ops), Site::new(&ops));
    left.spoke.set("note/1", "title", &json!("to be dropped"));
    settle(&[&left, &right]);
    left.go_offline();
    right.go_offline();
    right.spoke.set("note/2", "title", &json!("never pushed"));
    let body = json!({ "policy": "discard", "confirm": "app" }).to_string();
    let begun = ops.v1_as(&ops.admin(), "POST", "/epoch", &body);
    assert_eq!(begun.status, 200, "{}", begun.text());
    settle(&[&left, &right]);
    let state = assert_equal(&ops, &[&left, &right]);
    assert_eq!(state["note/1"], Value::Null);
    assert_eq!(state["note/2"]["fields"]["title"], "never pushed");
}
