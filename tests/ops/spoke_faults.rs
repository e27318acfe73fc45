//! A spoke's own machine, and the way to the hub, when they fail: full disks, certificates.

use std::fs;

use ferry_testkit::{tls, wait};
use serde_json::json;

use super::{
    A, Ops, hlc, set,
    spokes::{raw_ops, spoke_options},
};
use crate::support::options;

// Verifies: OPS-62, OPS-63
#[test]
fn a_full_disk_refuses_what_an_app_writes_and_reads_and_the_hub_go_on() {
    let ops = Ops::new();
    let spoke = spoke_options().hub(&ops.place.hub.url(), &ops.token).start();
    let kept = spoke.set("note/1", "title", &json!("kept"));
    spoke.sync();
    let full = spoke.restart_with(|options| options.env("FERRY_FAULT", "actor.commit=full"));
    let op = json!([{ "kind": "set", "entity": "note/1", "field": "title", "value": "lost" }]);
    let refused = full.try_call("op.append", &json!({ "ops": op })).unwrap_err();
    let told = refused["message"].as_str().unwrap();
    assert!(told.contains("disk") && told.contains("free space"), "{refused}");
    ops.accepted(A, &[set("op-a-0001", &hlc(0, 0, A), "note/2", "title", &json!("of the hub"), &[])]);
    // One that had begun before may have found nothing to write.
    wait::until("an exchange fails", || full.try_call("sync.now", &json!({})).err());
    assert_eq!(full.get("note/1")["fields"]["title"], "kept");
    assert!(full.status()["last_error"].is_string());
    // With room again it goes on, and nothing was half stored.
    let spoke = full.restart_with(|options| options.env("FERRY_FAULT", ""));
    spoke.sync();
    assert_eq!(spoke.get("note/2")["fields"]["title"], "of the hub");
    assert_eq!(raw_ops(&spoke.store()).keys().collect::<Vec<_>>(), [&kept, "op-a-0001"]);
}

// Verifies: OPS-66
#[test]
fn a_hub_is_reached_by_https_if_its_certificate_is_trusted() {
    let folder = tempfile::tempdir().unwrap();
    let authority = folder.path().join("authority.pem");
    fs::write(&authority, tls::AUTHORITY).unwrap();
    let files = tls::Files::write(folder.path(), &tls::FIRST);
    let hub = options().tls(&files).start();
    // The anonymous of --dev: no account is made over TLS here.
    let url = format!("https://localhost:{}", hub.address().port());
    let strange = spoke_options().hub(&url, "no-token").start();
    let refused = strange.try_call("sync.now", &json!({})).unwrap_err();
    assert_eq!(refused["data"]["code"], "hub_unreachable", "{refused}");
    let told = refused["message"].as_str().unwrap().to_owned();
    assert!(told.contains("certificate"), "{told}");
    // Trusted, the hub is asked: it is the credential that it refuses.
    let known = strange.restart_with(|options| options.env("FERRY_CACERT", authority.to_str().unwrap()));
    let refused = wait::until("the hub answers", || {
        let refused = known.try_call("sync.now", &json!({})).unwrap_err();
        (refused["data"]["reason"] == "unauthenticated").then_some(refused)
    });
    assert!(refused["message"].as_str().unwrap().contains("token"), "{refused}");
}
