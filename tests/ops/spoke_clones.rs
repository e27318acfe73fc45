//! Stores that were copied or restored (acceptance scenario 9).

use ferry_testkit::partition::Partition;
use serde_json::json;

use super::{
    Ops,
    spokes::{Site, assert_equal, raw_ops, settle},
};

// Verifies: OPS-09, OPS-14
#[test]
fn a_copied_store_goes_on_as_another_spoke_and_loses_nothing() {
    let ops = Ops::new();
    let mut first = Site::new(&ops);
    first.spoke.set("note/1", "title", &json!("together"));
    first.sync();
    first.spoke.stop();
    let copied = first.spoke.options().copied();
    let first = first.restarted(|options| options);
    let network = Partition::before(ops.address());
    let second = Site { spoke: copied.hub(&network.url(), &ops.token).start(), network };
    let origin = |site: &Site| site.spoke.call("health", &json!({}))["origin"].clone();
    assert_eq!(origin(&first), origin(&second));
    for turn in 0..4 {
        for (name, site) in [("first", &first), ("second", &second)] {
            site.spoke.set(&format!("{name}/{turn}"), "title", &json!(turn));
            site.sync();
        }
    }
    settle(&[&first, &second]);
    assert_ne!(origin(&first), origin(&second));
    let state = assert_equal(&ops, &[&first, &second]);
    for turn in 0..4 {
        for name in ["first", "second"] {
            assert_eq!(state[format!("{name}/{turn}")]["fields"]["title"], turn);
        }
    }
}

// Verifies: OPS-14
#[test]
fn a_restored_store_gets_its_own_ops_back_under_a_new_origin() {
    let ops = Ops::new();
    let (mut site, other) = (Site::new(&ops), Site::new(&ops));
    site.spoke.set("note/1", "title", &json!("old"));
    site.sync();
    site.spoke.stop();
    let backup = site.spoke.options().copied();
    let site = site.restarted(|options| options);
    let lost = site.spoke.set("note/1", "title", &json!("after the backup"));
    site.sync();
    let before = site.spoke.call("health", &json!({}))["origin"].clone();
    drop(site);
    let network = Partition::before(ops.address());
    let restored = Site { spoke: backup.hub(&network.url(), &ops.token).start(), network };
    restored.spoke.set("note/2", "title", &json!("written before it knew"));
    restored.spoke.sync();
    assert_ne!(restored.spoke.call("health", &json!({}))["origin"], before);
    assert!(raw_ops(&restored.spoke.store()).contains_key(&lost));
    other.sync();
    let state = assert_equal(&ops, &[&restored, &other]);
    assert_eq!(state["note/1"]["fields"]["title"], "after the backup");
    assert_eq!(state["note/2"]["fields"]["title"], "written before it knew");
}
