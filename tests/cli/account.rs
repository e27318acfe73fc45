//! Signing up, logging in and out, and what goes wrong with it.

use ferry_testkit::{command::Ferry, rpc::PASSWORD};
use serde_json::Value;

use crate::support::{FERRY, hub, options};

// Verifies: CLI-01, CLI-03
#[test]
fn signup_whoami_logout_and_login_by_every_source_of_the_password() {
    let hub = hub();
    let ferry = Ferry::new(FERRY, &hub.url());
    let said = ferry.clone().env("FERRY_PASSWORD", PASSWORD).ok(&["signup", "ada@example.com"]);
    assert_eq!(said, "signup ok (ada@example.com)\n");
    let whoami = ferry.ok(&["whoami"]);
    let lines: Vec<&str> = whoami.lines().collect();
    assert!(lines[0].starts_with("user_id: u_"), "{whoami}");
    assert_eq!(lines[1], "email:   ada@example.com");
    assert!(lines[2].starts_with("org_id:  o_"), "{whoami}");
    assert_eq!(lines[3], "role:    admin");
    assert_eq!(ferry.ok(&["logout"]), "logged out\n");
    // Where nobody is, a login would not help.
    let nobody = ferry.fails(7, &["--server", "http://127.0.0.1:1", "whoami"]);
    assert!(
        nobody.contains("no hub answers at http://127.0.0.1:1") && !nobody.contains("logged in"),
        "{nobody}"
    );
    let error = ferry.fails(3, &["whoami"]);
    assert!(error.starts_with("error: "), "{error}");

    // A password by standard input, by either variable, in that order of precedence.
    let login = ["login", "ada@example.com"];
    assert_eq!(
        ferry.clone().env("EDGEREPLICA_PASSWORD", PASSWORD).ok(&login),
        "login ok (ada@example.com)\n"
    );
    let both = ferry.clone().env("FERRY_PASSWORD", PASSWORD).env("EDGEREPLICA_PASSWORD", "wrong password");
    both.ok(&login);
    let stdin = ferry.clone().env("FERRY_PASSWORD", "wrong password").input(&format!("{PASSWORD}\n"));
    stdin.ok(&["login", "ada@example.com", "--password-stdin"]);
    // Without a terminal nobody can be asked.
    ferry.fails(2, &login);
    let error = ferry.clone().env("FERRY_PASSWORD", "wrong password").fails(3, &login);
    assert!(error.contains("invalid credentials") && error.contains("(unauthenticated, request "), "{error}");
}

// Verifies: CLI-01
#[test]
fn exit_codes_tell_what_went_wrong() {
    let hub = options().env("FERRY_SIGNUP", "open").start();
    let ferry = Ferry::new(FERRY, &hub.url());
    ferry.signup("ada@example.com");
    ferry.ok(&["db", "create", "app"]);
    ferry.fails(2, &["no-such-command"]);
    ferry.fails(2, &["db", "create"]);
    ferry.fails(5, &["db", "show", "nothing"]);
    ferry.fails(6, &["db", "create", "app"]);
    ferry.fails(9, &["db", "create", "not a name"]);
    let bob = Ferry::new(FERRY, &hub.url());
    bob.fails(3, &["db", "list"]);
    let again = bob.clone().env("FERRY_PASSWORD", PASSWORD).fails(6, &["signup", "ada@example.com"]);
    assert!(again.contains("already_exists"), "{again}");
    // Nobody listens there.
    let lost = ferry.clone().env("FERRY_SERVER", "http://127.0.0.1:1");
    let error = lost.clone().env("FERRY_PASSWORD", PASSWORD).fails(7, &["login", "ada@example.com"]);
    assert!(error.contains("ferry serve"), "says how to start one: {error}");

    let closed = options().env("FERRY_SIGNUP", "closed").start();
    let stranger = Ferry::new(FERRY, &closed.url()).env("FERRY_PASSWORD", PASSWORD);
    stranger.fails(4, &["signup", "eve@example.com"]);
    let throttled = options().env("FERRY_RATE_LIMIT_SCALE", "1").start();
    let guesser = Ferry::new(FERRY, &throttled.url()).env("FERRY_PASSWORD", "wrong password");
    for _ in 0..10 {
        guesser.fails(3, &["login", "ada@example.com"]);
    }
    guesser.fails(8, &["login", "ada@example.com"]);
}

// Verifies: CLI-01
#[test]
fn a_bad_setting_of_the_server_is_exit_78() {
    let ferry = Ferry::new(FERRY, "http://127.0.0.1:1").env("FERRY_SIGNUP", "maybe");
    let error = ferry.fails(78, &["serve", "--listen", "127.0.0.1:0"]);
    assert!(error.contains("FERRY_SIGNUP"), "{error}");
}

// Verifies: CLI-02
#[test]
fn json_is_one_document_and_errors_are_json_too() {
    let hub = hub();
    let ferry = Ferry::new(FERRY, &hub.url());
    let parse = |text: &str| -> Value {
        serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text:?}"))
    };
    let signup = ferry.clone().env("FERRY_PASSWORD", PASSWORD).ok(&["--json", "signup", "ada@example.com"]);
    let _ = parse(&signup);
    assert_eq!(parse(&ferry.ok(&["db", "list", "--json"])), Value::Array(vec![]));
    let made = parse(&ferry.ok(&["--json", "db", "create", "app"]));
    assert_eq!(made["name"], "app");
    let list = parse(&ferry.ok(&["db", "list", "--json"]));
    assert_eq!(list[0]["id"], made["id"]);
    for command in [
        vec!["--json", "whoami"],
        vec!["--json", "db", "show", "app"],
        vec!["--json", "db", "rename", "app", "other"],
        vec!["--json", "db", "token", "other", "--direction", "pull"],
        vec!["--json", "db", "delete", "other", "--yes"],
        vec!["--json", "logout"],
    ] {
        let _ = parse(&ferry.ok(&command));
    }
    let error = parse(&ferry.fails(3, &["--json", "whoami"]));
    for key in ["code", "reason", "message", "request_id"] {
        assert!(error["error"].get(key).is_some(), "{key} is missing in {error}");
    }
    assert_eq!(error["error"]["code"], "unauthenticated");
}
