//! The daemon: locks, its socket, and hubs that are away, hang or answer nonsense (acceptance scenario 12).

use std::{
    io::{Read, Write},
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    thread,
    time::Duration,
};

use ferry_testkit::{partition::Link, wait};
use serde_json::{Value, json};

use super::{
    Ops,
    spokes::{Site, set_op, spoke_options},
};

// Verifies: OPS-60, OPS-61
#[test]
fn a_second_daemon_of_a_store_ends_and_names_the_first() {
    let spoke = spoke_options().start();
    let second = spoke.options().try_start().unwrap_err();
    assert_eq!(second.code, Some(6), "{}", second.output);
    assert!(second.output.contains(&spoke.pid().to_string()), "{}", second.output);
    assert_eq!(spoke.call("health", &json!({}))["mode"], "local");
    let mode = spoke.socket().metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    let store = spoke.store().metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(store, 0o600);
    let refused = spoke.try_call("sync.now", &json!({})).unwrap_err();
    assert_eq!(refused["data"]["code"], "no_hub");
    let refused = spoke_options().arg("--mode=client").try_start().unwrap_err();
    assert_eq!(refused.code, Some(2), "{}", refused.output);
    assert!(refused.output.contains("not available yet"), "{}", refused.output);
}

// Verifies: OPS-61
#[test]
fn a_socket_that_a_killed_daemon_left_is_replaced() {
    let spoke = spoke_options().start();
    spoke.set("note/1", "title", &json!("kept"));
    let spoke = spoke.restart();
    assert_eq!(spoke.get("note/1")["fields"]["title"], "kept");
    let mut spoke = spoke;
    assert!(spoke.stop().success());
    assert!(!spoke.socket().exists());
    // What is no socket is not touched.
    std::fs::write(spoke.socket(), "mine").unwrap();
    let refused = spoke.options().try_start().unwrap_err();
    assert!(refused.output.contains("no socket"), "{}", refused.output);
    assert_eq!(std::fs::read_to_string(spoke.socket()).unwrap(), "mine");
}

// Verifies: OPS-62
#[test]
fn the_socket_answers_bad_requests_and_stays_open() {
    let spoke = spoke_options().start();
    let mut app = spoke.connect();
    for (line, code) in [
        ("nonsense", -32700),
        ("[]", -32600),
        ("{\"id\":1}", -32600),
        ("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"no.such\"}", -32601),
        ("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"entity.get\",\"params\":{}}", -32602),
        ("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"op.append\",\"params\":[]}", -32602),
    ] {
        app.send(format!("{line}\n").as_bytes());
        assert_eq!(app.answer().unwrap()["error"]["code"], code, "{line}");
    }
    // Nothing answers what has no id; many may be sent at once.
    app.send(b"{\"jsonrpc\":\"2.0\",\"method\":\"health\"}\n");
    let requests: String =
        (0..40).map(|id| format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"health\"}}\n")).collect();
    app.send(requests.as_bytes());
    let mut ids: Vec<u64> = (0..40).map(|_| app.answer().unwrap()["id"].as_u64().unwrap()).collect();
    ids.sort_unstable();
    assert_eq!(ids, (0..40).collect::<Vec<_>>());
    let mut line = vec![b' '; 9 << 20];
    line.push(b'\n');
    app.send(&line);
    assert_eq!(app.answer().unwrap()["error"]["code"], -32600);
    assert_eq!(
        app.call("entity.get", &json!({ "entity": "none" })).unwrap_err()["data"]["code"],
        "not_found"
    );
}

// Verifies: OPS-62
#[test]
fn a_call_is_written_whole_or_not_at_all_and_an_id_once() {
    let spoke = spoke_options().start();
    let bad =
        json!({ "ops": [set_op("note/1", "title", &json!("x")), { "kind": "set", "entity": "note/1" }] });
    assert_eq!(spoke.try_call("op.append", &bad).unwrap_err()["data"]["code"], "invalid");
    assert_eq!(spoke.get("note/1"), Value::Null);
    let mut op = set_op("note/1", "title", &json!("once"));
    op["id"] = json!("my-own-id-1");
    let first = spoke.call("op.append", &json!({ "ops": [op] }));
    spoke.set("note/1", "title", &json!("twice"));
    assert_eq!(spoke.call("op.append", &json!({ "ops": [op] })), first);
    assert_eq!(spoke.get("note/1")["fields"]["title"], "twice");
}

/// A hub that accepts connections and answers with `answer`, or never.
fn broken_hub(answer: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        let mut open = Vec::new();
        for mut stream in listener.incoming().map_while(Result::ok) {
            if answer.is_empty() {
                open.push(stream);
                continue;
            }
            thread::spawn(move || {
                // As much of the request as comes first.
                let _ = stream.read(&mut [0; 4096]);
                let _ = stream.write_all(answer);
            });
        }
    });
    url
}

// Verifies: OPS-64, OPS-65, OPS-66
#[test]
fn a_hub_that_is_away_hangs_or_answers_nonsense_harms_no_app() {
    let answers: [&[u8]; 7] = [
        b"",
        b"not http at all\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 400\r\n\r\n{\"hub_id\":",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 156\r\n\r\n{\"hub_id\":\"6f1d2c3b4a5968778695a4b3c2d1e0ff\",\"epoch\":\"9a0b1c2d3e4f5061\",\"head\":9,\"hub_time_ms\":1,\"floor\":0,\"next\":0,\"next_id\":null,\"has_more\":true,\"ops\":[] }  \n",
        b"HTTP/1.1 409 Conflict\r\nContent-Length: 36\r\n\r\n{\"error\":{\"code\":\"log_diverged\"}}    ",
    ];
    for answer in answers {
        let spoke = spoke_options().hub(&broken_hub(answer), "token").start();
        let shown = String::from_utf8_lossy(answer).into_owned();
        for count in 0..20 {
            spoke.set("note/1", "count", &json!(count));
        }
        assert_eq!(spoke.get("note/1")["fields"]["count"], 19, "{shown}");
        let refused = spoke.try_call("sync.now", &json!({ "timeout_ms": 1000 })).unwrap_err();
        let code = refused["data"]["code"].as_str().unwrap().to_owned();
        assert!(["timeout", "hub_unreachable"].contains(&code.as_str()), "{shown}: {refused}");
        let status = spoke.status();
        assert_eq!((&status["pending"], &status["last_success_ms"]), (&json!(20), &Value::Null), "{status}");
        assert!(status["last_attempt_ms"].is_i64(), "{status}");
        if !answer.is_empty() {
            assert!(
                status["last_error"].is_string() && status["next_attempt_ms"].is_i64(),
                "{shown}: {status}"
            );
        }
        if shown.contains("Retry-After") {
            let pause =
                status["next_attempt_ms"].as_i64().unwrap() - status["last_attempt_ms"].as_i64().unwrap();
            assert!(pause >= 6_900, "{status}");
        }
    }
}

// Verifies: OPS-65
#[test]
fn a_refused_credential_is_told_and_a_new_one_in_the_file_is_used() {
    let ops = Ops::new();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "no token").unwrap();
    let spoke = spoke_options()
        .arg(format!("--hub-url={}", ops.place.hub.url()))
        .arg(format!("--token-file={}", file.display()))
        .start();
    spoke.set("note/1", "title", &json!("one"));
    let refused = spoke.try_call("sync.now", &json!({})).unwrap_err();
    assert_eq!(refused["data"], json!({ "code": "invalid", "reason": "unauthenticated" }));
    let status = spoke.status();
    assert_eq!((&status["auth_failed"], &status["pending"]), (&json!(true), &json!(1)), "{status}");
    std::fs::write(&file, format!("{}\n", ops.token)).unwrap();
    // Without a word to the spoke, long before its next try is due.
    let status =
        wait::until("the new token is used", || Some(spoke.status()).filter(|now| now["pending"] == 0));
    assert_eq!(status["auth_failed"], false, "{status}");
}

// Verifies: OPS-65, OPS-53
#[test]
fn two_spokes_that_hear_of_each_other_converge_by_themselves() {
    let ops = Ops::new();
    let (left, right) = (Site::new(&ops), Site::new(&ops));
    right.sync();
    for count in 0..5 {
        left.spoke.set("note/1", "count", &json!(count));
        wait::until("the nudge brings the op", || {
            (right.spoke.get("note/1")["fields"]["count"] == count).then_some(())
        });
    }
}

// Verifies: OPS-65, OPS-66
#[test]
fn a_spoke_comes_back_by_itself_when_the_network_does() {
    let ops = Ops::new();
    let (left, right) = (Site::new(&ops), Site::new(&ops));
    left.sync();
    for link in [Link::Refused, Link::Slow(Duration::from_millis(20)), Link::CutAfter(50)] {
        left.network.set(link);
        left.spoke.set("note/1", "title", &json!(format!("{link:?}")));
        left.network.set(Link::Open);
        left.wait_until_pushed();
        right.sync();
        assert_eq!(right.spoke.get("note/1")["fields"]["title"], format!("{link:?}"));
    }
}

// Verifies: OPS-67
#[test]
fn exchanges_that_many_ask_for_run_one_at_a_time_and_bring_all_that_was_appended() {
    let ops = Ops::new();
    let site = Site::new(&ops);
    site.network.set(Link::Slow(Duration::from_millis(30)));
    thread::scope(|scope| {
        for caller in 0..8 {
            let (site, ops) = (&site, &ops);
            scope.spawn(move || {
                let id = site.spoke.set(&format!("note/{caller}"), "title", &json!(caller));
                site.spoke.sync();
                assert!(ops.ids().contains(&id), "its op is at the hub when the call returns");
            });
        }
    });
    assert_eq!(site.spoke.status()["pending"], 0);
    assert_eq!(ops.ids().len(), 8);
}

// Verifies: OPS-65, OPS-64
#[test]
fn pushes_that_are_too_large_are_halved_and_an_op_that_is_too_large_alone_is_a_problem() {
    let ops = Ops::with(&["--ops-body-max-bytes=20000", "--ops-batch-max-ops=7"]);
    let site = Site::offline(&ops, |options| options);
    let random: String =
        (0_u64..).map(|n| format!("{:x}", n.wrapping_mul(0x9E37_79B9_7F4A_7C15))).take(1500).collect();
    let many: Vec<Value> = (0..60)
        .map(|n| set_op(&format!("note/{n}"), "title", &json!(&random[n * 30..n * 30 + 900])))
        .collect();
    site.spoke.append(&json!(many));
    let large = site.spoke.set("large/1", "title", &json!(random));
    site.sync();
    let status = site.spoke.status();
    assert_eq!(status["pending"], 0, "{status}");
    assert_eq!(status["problems"], json!([{ "id": large, "code": "op_too_large" }]));
    assert_eq!(site.spoke.get("large/1"), Value::Null);
    assert_eq!(ops.ids().len(), 60);
}

// Verifies: OPS-64, OPS-52
#[test]
fn an_op_that_the_hub_refuses_leaves_the_entity_and_blocks_nothing() {
    let ops = Ops::new();
    let narrow = super::token(&ops.place, &["read", "write"], &["tbl=note/"]);
    let spoke = spoke_options().hub(&ops.place.hub.url(), &narrow).start();
    spoke.set("note/1", "title", &json!("good"));
    let refused = spoke.set("secret/1", "title", &json!("outside"));
    spoke.set("note/2", "title", &json!("good too"));
    let done = spoke.sync();
    wait::until("the ops are answered", || (spoke.status()["pending"] == 0).then_some(()));
    let status = spoke.status();
    assert_eq!(status["problems"], json!([{ "id": refused, "code": "entity_forbidden" }]), "{done} {status}");
    assert_eq!(spoke.get("secret/1"), Value::Null);
    assert_eq!(spoke.get("note/2")["fields"]["title"], "good too");
    assert_eq!(ops.ids().len(), 2);
    // The same token changes nothing, one that reaches further does.
    let spoke = spoke.restart();
    spoke.sync();
    assert_eq!(spoke.status()["problems"].as_array().unwrap().len(), 1);
    let spoke = spoke.restart_with(|options| options.hub(&ops.place.hub.url(), &ops.token));
    wait::until("the op is taken", || {
        spoke.try_call("sync.now", &json!({})).ok()?;
        (spoke.status()["problems"] == json!([])).then_some(())
    });
    assert_eq!(spoke.get("secret/1")["fields"]["title"], "outside");
    assert_eq!(ops.ids().len(), 3);
}

// Verifies: OPS-61
#[test]
fn idle_apps_make_room_for_new_ones() {
    let spoke = spoke_options().start();
    let mut apps: Vec<_> = (0..64).map(|_| spoke.connect()).collect();
    for app in &mut apps {
        app.call("health", &json!({})).unwrap();
    }
    // The first one is used again: the second one was idle longest.
    apps[0].call("health", &json!({})).unwrap();
    let mut late = spoke.connect();
    late.call("health", &json!({})).unwrap();
    assert_eq!(apps[1].answer(), None);
    for app in std::iter::once(&mut apps[0]).chain(&mut [late]) {
        app.call("health", &json!({})).unwrap();
    }
}
