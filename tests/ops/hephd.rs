//! Unmodified clients of hephd beside each other (acceptance scenario 2).

use ferry_testkit::hephd::{CursorRule, HephdClient, Tail, body_of, ops_of};
use serde_json::json;

use super::{A, Ops, hlc, set};

/// The foreign op of the specification's example E8, as it was sent.
const E8: &str = r#"{ "hlc":"00001795168800000-0000-laptop","op":"node.set", "id":"n1","future":{"x":1.0,"big":9007199254740993}}"#;

// Verifies: OPS-02, OPS-03, OPS-04
#[test]
fn a_foreign_op_comes_back_byte_for_byte() {
    let ops = Ops::new();
    let client = ops.hephd(CursorRule::Replaced);
    let body = format!("{{\"ops\":[{E8}]}}");
    let pushed = client.push(&body);
    assert_eq!((pushed.status, &*pushed.text()), (200, r#"{"pulled":0,"applied":1,"pushed":0}"#));
    assert_eq!((pushed.header("ferry-ops-quarantined"), pushed.header("ferry-seq")), (Some("0"), Some("1")));
    assert_eq!(client.pull().text(), body);
    let again = client.push(&body);
    assert_eq!(&*again.text(), r#"{"pulled":0,"applied":0,"pushed":0}"#);
    assert_eq!(again.header("ferry-seq"), Some("1"), "what changes nothing takes no number");
    // Another op with the same clock and `id` is another op.
    let other = E8.replace("node.set", "node.add");
    assert!(client.push(&format!("{{\"ops\":[{other}]}}")).text().contains("\"applied\":1"));
    assert_eq!(ops_of(&client.pull().body), [E8.to_owned(), other]);
}

// Verifies: OPS-04, OPS-07
#[test]
fn two_clients_end_with_the_same_bytes_whatever_is_between_their_ops() {
    let ops = Ops::new();
    let mut laptop = ops.hephd(CursorRule::OnlyIfGreater);
    let mut phone = ops.hephd(CursorRule::Replaced);
    let odd = [
        r#"{"hlc":"01","a" : [ 1 , 2 ],"é":"\u00e9\n","n":-0.0e+1}"#,
        "{\"hlc\":\"02\",\n\t\"k\":{\"hlc\":\"inner\"}\r\n}",
        r#"{"id":7,"hlc":"03","z":123456789012345678901234567890}"#,
    ];
    odd.iter().for_each(|op| laptop.write(op));
    phone.write(r#"{"hlc":"00-offline","x":null}"#);
    for _ in 0..2 {
        laptop.sync_until_quiet(5);
        phone.sync_until_quiet(5);
    }
    assert_eq!(laptop.ops(), phone.ops());
    assert_eq!(laptop.ops().len(), 4);
    assert!(odd.iter().all(|op| phone.ops().contains(&(*op).to_owned())));
    // Who pushes everything anew, others' ops included, changes nothing.
    phone.tail = Tail::Everything;
    let exchange = phone.sync().unwrap();
    assert_eq!((exchange.pushed, exchange.taken), (4, 0));
}

// One element that cannot be stored made every later one wait for ever.
// Verifies: OPS-07
#[test]
fn a_poison_element_in_the_middle_blocks_nothing() {
    let ops = Ops::new();
    let client = ops.hephd(CursorRule::Replaced);
    let poison = [
        r#"{"no":"clock"}"#.to_owned(),
        "17".to_owned(),
        r#"{"hlc":7}"#.to_owned(),
        r#"{"v":1,"id":"cf-mine-0001","hlc":"x","kind":"set"}"#.to_owned(),
        format!(r#"{{"hlc":"{}"}}"#, "h".repeat(129)),
    ];
    let mut body = vec![r#"{"hlc":"1"}"#.to_owned()];
    body.extend(poison.clone());
    body.push(r#"{"hlc":"2"}"#.to_owned());
    let pushed = client.push(&body_of(&body));
    assert_eq!((pushed.status, pushed.json()["applied"].as_u64()), (200, Some(2)), "{}", pushed.text());
    assert_eq!(pushed.header("ferry-ops-quarantined"), Some("5"));
    assert_eq!(ops_of(&client.pull().body), [r#"{"hlc":"1"}"#, r#"{"hlc":"2"}"#]);
    // Nothing is lost: an admin sees each of them as it came.
    let kept = ops.v1_as(&ops.admin(), "GET", "/quarantine", "").json();
    let raw: Vec<String> =
        kept["quarantine"].as_array().unwrap().iter().map(|op| super::text(&op["raw"])).collect();
    assert!(poison.iter().all(|op| raw.contains(op)), "{kept}");
    // Sent again they are not kept twice.
    assert_eq!(client.push(&body_of(&body)).json()["applied"], 0);
    let again = ops.v1_as(&ops.admin(), "GET", "/quarantine", "").json();
    assert_eq!(again["quarantine"].as_array().unwrap().len(), 5);
}

// A first push beyond 2 MiB was refused for ever.
// Verifies: OPS-02, OPS-08
#[test]
fn a_first_push_of_sixty_megabytes_is_taken() {
    const OPS: usize = 15_000;
    let ops = Ops::new();
    let client = ops.hephd(CursorRule::Replaced);
    let filler = "x".repeat(4_300);
    let all: Vec<String> =
        (0..OPS).map(|n| format!(r#"{{"hlc":"{n:017}-0000-big","f":"{filler}"}}"#)).collect();
    let body = body_of(&all);
    assert!(body.len() > 60 << 20);
    let pushed = client.push(&body);
    assert_eq!((pushed.status, pushed.json()["applied"].as_u64()), (200, Some(OPS as u64)));
    // A group of at most 1,000 ops, or 4 MiB, is a commit.
    let seq: u64 = pushed.header("ferry-seq").unwrap().parse().unwrap();
    assert!((15..=17).contains(&seq), "{seq} commits");
    let mut reader = ops.hephd(CursorRule::Replaced);
    reader.sync_until_quiet(10);
    assert_eq!(reader.ops().len(), OPS);
    assert!(client.push(&body).text().contains("\"applied\":0"));
}

// Verifies: OPS-06
#[test]
fn hephds_clients_are_given_ops_of_their_own_wire_unless_the_operator_says_all() {
    let ops = Ops::new();
    ops.accepted(A, &[set("op-a-0001", &hlc(0, 0, A), "node/1", "title", &json!("x"), &[])]);
    let client = ops.hephd(CursorRule::Replaced);
    let through = set("op-a-0002", &hlc(1, 0, A), "node/2", "title", &json!("y"), &[]).to_string();
    let foreign = r#"{"hlc":"1"}"#.to_owned();
    assert_eq!(client.push(&body_of(&[foreign.clone(), through.clone()])).status, 200);
    assert_eq!(ops_of(&client.pull().body), [foreign, through]);
    assert_eq!(ops.log_from(0, "").len(), 3, "Ferry's own wire shows all of them");
    let ops = ops.restarted_with(|options| options.arg("--ops-shim-scope").arg("all"));
    assert_eq!(ops_of(&ops.hephd(CursorRule::Replaced).pull().body).len(), 3);
}

// Verifies: OPS-50
#[test]
fn the_database_may_be_named_in_the_url_of_the_hub() {
    let ops = Ops::new();
    let name = format!("/v1/databases/{}/hephd", ops.place.database);
    for base in ["/v1/databases/app/hephd", "/v1/databases/-/hephd", &name] {
        let mut client = HephdClient::new(ops.address(), base, &ops.token, CursorRule::Replaced);
        client.write(&format!(r#"{{"hlc":"{base}"}}"#));
        client.sync_until_quiet(4);
        assert!(client.ops().iter().any(|op| op.contains(base)), "{base}");
    }
    assert_eq!(ops_of(&ops.hephd(CursorRule::Replaced).pull().body).len(), 3);
}
