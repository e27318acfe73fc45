//! Mode `server`: a spoke's store that is a hub itself, for apps at its socket and for other spokes (OPS-60).

use std::net::SocketAddr;

use ferry_testkit::{
    hephd::{CursorRule, HephdClient},
    http::{self, Response},
    spoke::{Spoke, SpokeOptions},
    wait,
};
use serde_json::{Value, json};

use super::{
    A, Ops, hlc, set,
    spokes::{hub_file, raw_ops, set_op, splice, spoke_options},
};
use crate::support::FERRY;

const TOKEN: &str = "a-token-of-the-owners";

fn server(options: SpokeOptions) -> SpokeOptions {
    options.arg("--mode=server").arg("--http-addr=127.0.0.1:0")
}

fn address(spoke: &Spoke) -> SocketAddr {
    // The line behind the one that tells that it listens.
    wait::until("the hub's address is told", || {
        let log = spoke.log();
        let line = log.lines().find_map(|line| line.rsplit_once("http://"))?;
        line.1.parse().ok()
    })
}

fn url(spoke: &Spoke) -> String {
    format!("http://{}", address(spoke))
}

fn ask(spoke: &Spoke, token: &str, path: &str) -> Response {
    let bearer = format!("Bearer {token}");
    let headers: &[(&str, &str)] = if token.is_empty() { &[] } else { &[("Authorization", &bearer)] };
    http::send(address(spoke), "GET", path, headers, b"").unwrap()
}

/// Both stores hold the same ops, byte for byte, and show the same.
#[track_caller]
fn wait_until_equal(one: &Spoke, other: &Spoke) -> Value {
    wait::until("both stores are equal", || {
        let (own, state) = (raw_ops(&one.store()), one.state());
        (own == raw_ops(&other.store()) && state == other.state()).then_some(state)
    })
}

// Verifies: OPS-60, OPS-25, OPS-53
#[test]
fn a_store_serves_other_spokes_and_its_own_apps() {
    let hub = server(spoke_options()).start();
    assert_eq!(hub.call("health", &json!({}))["mode"], "server");
    assert_eq!(hub.try_call("sync.now", &json!({})).unwrap_err()["data"]["code"], "no_hub");
    let second = hub.options().try_start().unwrap_err();
    assert_eq!(second.code, Some(6), "{}", second.output);

    hub.set("note/1", "title", &json!("of the hub"));
    let spoke = SpokeOptions::new(FERRY).arg(format!("--hub-url={}", url(&hub))).start();
    wait_until_equal(&hub, &spoke);
    // Nobody asks the spoke to exchange: the hub's own write nudges it.
    hub.append(&json!([splice("note/1", 0, 0, "Buy milk")]));
    hub.append(&json!([splice("note/1", 8, 0, " and tea")]));
    let state = wait_until_equal(&hub, &spoke);
    assert_eq!(state["note/1"]["text"]["body"], "Buy milk and tea");

    // Both write offline: the hub records the conflict, once, and both can decide it.
    let spoke = spoke.restart_with(|options| options.hub("http://127.0.0.1:9", ""));
    spoke.set("note/1", "title", &json!("of the spoke"));
    hub.set("note/1", "title", &json!("of the hub again"));
    let spoke = spoke.restart_with(|options| options.hub(&url(&hub), ""));
    let conflict = wait::until("the conflict is at the spoke", || spoke.conflicts().pop());
    assert_eq!(hub.status()["conflicts"], 1);
    hub.call("conflicts.resolve", &json!({ "id": conflict["id"], "take": "value", "value": "of both" }));
    wait::until("the decision is at the spoke", || spoke.conflicts().is_empty().then_some(()));
    let state = wait_until_equal(&hub, &spoke);
    assert_eq!(state["note/1"]["fields"]["title"], "of both");
    let again = hub.try_call("conflicts.resolve", &json!({ "id": conflict["id"], "take": "winner" }));
    assert_eq!(again.unwrap_err()["data"]["code"], "conflict_closed");

    // Killed and started anew it is the same hub.
    let (port, before) = (address(&hub).port(), hub.status());
    let hub = hub.restart_with(|options| options.arg(format!("--http-addr=127.0.0.1:{port}")));
    assert_eq!(hub.status()["hub_id"], before["hub_id"]);
    assert_eq!(hub.status()["epoch"], before["epoch"]);
    hub.set("note/2", "title", &json!("after the crash"));
    wait_until_equal(&hub, &spoke);
}

// Verifies: OPS-60, OPS-02
#[test]
fn hephds_clients_sync_with_a_store() {
    let hub = server(spoke_options()).start();
    let mut clients = [CursorRule::Replaced, CursorRule::OnlyIfGreater]
        .map(|rule| HephdClient::new(address(&hub), "", "", rule));
    clients[0].write("{\"hlc\":\"00001795168800010-0000-laptop\",\"a\": 1}");
    clients[0].sync().unwrap();
    // Late, and byte for byte.
    clients[1].write("{ \"hlc\":\"00001795168800005-0000-phone\", \"b\":2.0}");
    for _ in 0..2 {
        for client in &mut clients {
            client.sync().unwrap();
        }
    }
    assert_eq!(clients[0].ops().len(), 2);
    assert_eq!(clients[0].ops(), clients[1].ops());
}

// Verifies: OPS-50, OPS-60
#[test]
fn off_this_machine_a_store_asks_for_a_token() {
    let away = |options: SpokeOptions| options.arg("--mode=server").arg("--http-addr=0.0.0.0:0");
    let refused = away(spoke_options()).try_start().unwrap_err();
    assert_eq!(refused.code, Some(78), "{}", refused.output);
    assert!(refused.output.contains("--token-file"), "{}", refused.output);
    let short = away(spoke_options()).env("FERRY_SYNC_TOKEN", "short").try_start().unwrap_err();
    assert_eq!(short.code, Some(78), "{}", short.output);

    let hub = server(spoke_options()).env("FERRY_SYNC_TOKEN", TOKEN).start();
    let log = "/v1/databases/-/ops";
    assert_eq!(ask(&hub, "", log).status, 401);
    assert_eq!(ask(&hub, "another-token", log).status, 401);
    assert_eq!(ask(&hub, TOKEN, log).status, 200);
    assert_eq!(ask(&hub, TOKEN, &format!("{log}/quarantine")).status, 200);
    assert_eq!(ask(&hub, TOKEN, "/v1/databases/-/events").status, 403, "ops alone are served");
    hub.set("note/1", "title", &json!("of the hub"));
    let spoke = spoke_options().hub(&url(&hub), TOKEN).start();
    spoke.set("note/2", "title", &json!("of the spoke"));
    wait_until_equal(&hub, &spoke);

    // Another token counts from the next start on, and the former one no more; whose an origin is stays no question.
    let hub = hub.restart_with(|options| options.env("FERRY_SYNC_TOKEN", "another-token"));
    assert_eq!(ask(&hub, TOKEN, log).status, 401);
    let spoke = spoke.restart_with(|options| options.hub(&url(&hub), "another-token"));
    spoke.set("note/2", "title", &json!("goes on"));
    let state = wait_until_equal(&hub, &spoke);
    assert_eq!(state["note/2"]["fields"]["title"], "goes on");

    for (arguments, told) in [
        (["--mode=server", "--hub-url=http://localhost:1"], "--hub-url"),
        (["--mode=local", "--http-addr=127.0.0.1:0"], "--mode server"),
    ] {
        let options = arguments.iter().fold(spoke_options(), |options, argument| options.arg(*argument));
        let refused = options.try_start().unwrap_err();
        assert_eq!(refused.code, Some(2), "{}", refused.output);
        assert!(refused.output.contains(told), "{}", refused.output);
    }
}

// A store goes from one mode to another and loses nothing.
// Verifies: OPS-60, OPS-25, OPS-33
#[test]
fn a_store_may_be_a_spoke_and_a_hub_in_turns() {
    let ops = Ops::new();
    let hub_url = format!("http://{}", ops.address());
    let read_only = super::token(&ops.place, &["read"], &[]);
    let local = spoke_options();
    let store = local.start();
    let base = store.set("note/1", "title", &json!("local"));
    let store = store.restart_with(|options| options.hub(&hub_url, &ops.token));
    store.sync();
    // It writes what the hub will not take, and pulls what is in conflict with it.
    let store = store.restart_with(|options| options.hub(&hub_url, &read_only));
    store.set("note/1", "title", &json!("unpushed"));
    ops.accepted(A, &[set("op-a-0001", &hlc(0, 0, A), "note/1", "body", &json!(1), &[])]);
    ops.accepted(A, &[set("op-a-0002", &hlc(5, 0, A), "note/1", "title", &json!("pushed"), &[])]);
    wait::until("what the hub has is pulled", || {
        store.try_call("sync.now", &json!({})).unwrap_err();
        // One of the first write; the two come one after the other where an exchange runs between them.
        let conflicts = raw_ops(&store.store()).keys().filter(|id| id.starts_with("cf-")).count();
        (store.get("note/1")["fields"]["body"] == 1 && conflicts == 1).then_some(())
    });
    assert_eq!(store.status()["pending"], 1);

    let store = store.restart_with(|_| server(local.clone()));
    let conflicts = store.conflicts();
    assert!(conflicts.iter().any(|conflict| conflict["losing"]["value"] == "pushed"), "{conflicts:?}");
    let mut hephd = HephdClient::new(address(&store), "", "", CursorRule::Replaced);
    hephd.write("{\"hlc\":\"00001795168800010-0000-laptop\",\"a\": 1}");
    hephd.sync().unwrap();
    store.append(&json!([set_op("note/2", "title", &json!("as a hub"))]));

    // Back at the hub, it is given everything that was written here meanwhile, by others too.
    let store = store.restart_with(|_| local.clone().hub(&hub_url, &ops.token));
    wait::until("everything is at the hub", || {
        store.try_call("sync.now", &json!({})).ok()?;
        (raw_ops(&store.store()) == raw_ops(&hub_file(&ops))).then_some(())
    });
    let log = raw_ops(&store.store());
    assert!(log.contains_key(&base) && log.values().any(|op| op.contains("laptop")), "{log:?}");
    assert_eq!(store.get("note/2")["fields"]["title"], "as a hub");
}
