//! `ferry key …`.

use ferry_testkit::{command::Ferry, socket::Socket};
use serde_json::Value;

use crate::support::{FERRY, hub};

fn json(ferry: &Ferry, arguments: &[&str]) -> Value {
    serde_json::from_str(&ferry.ok(arguments)).unwrap()
}

// Verifies: KEY-01, KEY-03, CLI-02
#[test]
fn api_keys_are_created_listed_rotated_and_revoked() {
    let hub = hub();
    let ferry = Ferry::new(FERRY, &hub.url());
    ferry.signup("ada@example.com");
    ferry.ok(&["db", "create", "notes"]);
    let made = ferry.run(&["key", "create", "notes", "--kind", "secret", "--model", "pages", "--op", "read"]);
    let value = made.stdout.trim_end();
    assert!(made.code == Some(0) && value.starts_with("fy_sk_") && !value.contains('\n'), "{made:?}");
    assert!(Socket::open(hub.address(), value).is_ok());
    let row = ferry.ok(&["key", "list", "notes"]);
    let cells: Vec<&str> = row.trim_end().split('\t').collect();
    assert_eq!(cells[1..7], ["secret", &value[..12], "", "pages", "read", "0"], "{row}");
    assert!(made.stderr.contains(cells[0]), "the id stands beside the value: {made:?}");

    let rotated = json(&ferry, &["key", "rotate", cells[0], "--overlap-seconds", "60", "--json"]);
    let new = rotated["value"].as_str().unwrap();
    assert!(Socket::open(hub.address(), new).is_ok() && Socket::open(hub.address(), value).is_ok());
    assert_eq!(json(&ferry, &["key", "list", "notes", "--json"]).as_array().unwrap().len(), 2);
    assert_eq!(ferry.ok(&["key", "revoke", cells[0]]), format!("revoked {}\n", cells[0]));
    assert_eq!(Socket::open(hub.address(), value).unwrap_err().status, 401);
    ferry.fails(5, &["key", "revoke", cells[0]]);

    let import =
        ["key", "create", "notes", "--kind", "secret", "--model", "pages", "--op", "read", "--import"];
    let old = ferry.clone().input("an-old-static-token\n");
    assert_eq!(old.ok(&import), "an-old-static-token\n");
    assert!(Socket::open(hub.address(), "an-old-static-token").is_ok());
    assert_eq!(old.run(&import).code, Some(6), "it is one already");
    ferry.clone().input("short\n").fails(9, &import);
    ferry.fails(9, &["key", "create", "notes", "--op", "admin"]);
    ferry.fails(2, &["key", "create", "notes", "--kind", "private"]);
    assert_eq!(
        json(&ferry, &["key", "revoke", rotated["id"].as_str().unwrap(), "--json"]),
        serde_json::json!({})
    );
}
