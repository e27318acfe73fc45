//! Profiles: hubs by name; switching never sends a credential to another hub.

use std::{fs, os::unix::fs::PermissionsExt as _};

use ferry_testkit::{
    command::{Ferry, finish},
    rpc::PASSWORD,
};

use crate::support::{FERRY, hub};

// Every command advised FERRY_NEW_PASSWORD, which signup does not read.
// Verifies: CLI-03
#[test]
fn without_a_terminal_only_variables_that_the_command_reads_are_advised() {
    let hub = hub();
    let ferry = Ferry::new(FERRY, &hub.url()).env("FERRY_SERVER", &hub.url());
    let ferry = ferry.env("FERRY_OPERATOR_TOKEN", &hub.operator_token());
    for arguments in [
        &["signup", "ada@example.com"][..],
        &["admin", "user", "create", "ada@example.com"],
        &["login", "ada@example.com"],
    ] {
        let message = ferry.fails(2, arguments);
        assert!(message.contains("--password-stdin") && message.contains("FERRY_PASSWORD"), "{message}");
        assert!(!message.contains("FERRY_NEW_PASSWORD"), "{message}");
    }
    let message = ferry.fails(2, &["password", "reset", "ada@example.com", "--code", "c"]);
    assert!(message.contains("--password-stdin") && message.contains("FERRY_NEW_PASSWORD"), "{message}");
    assert!(!message.contains("FERRY_PASSWORD"), "{message}");
    ferry.clone().env("FERRY_PASSWORD", PASSWORD).ok(&["signup", "ada@example.com"]);
    let message = ferry.fails(2, &["password", "change"]);
    assert!(message.contains("FERRY_PASSWORD") && message.contains("FERRY_NEW_PASSWORD"), "{message}");
}

// Verifies: CLI-04, CLI-05
#[test]
fn a_profile_names_hub_and_organisation() {
    let (a, b) = (hub(), hub());
    // FERRY_SERVER precedes profiles; empty counts as unset.
    let ferry = Ferry::new(FERRY, "").env("FERRY_PASSWORD", PASSWORD);
    assert_eq!(ferry.ok(&["profile", "list"]), "");
    ferry.ok(&["profile", "add", "a", "--server", &a.url()]);
    ferry.ok(&["profile", "add", "b", "--server", &b.url(), "--org", "team"]);
    let taken = ferry.fails(6, &["profile", "add", "a", "--server", &b.url()]);
    assert!(taken.contains("remove it first"), "{taken}");
    ferry.fails(2, &["profile", "add", "empty"]);
    // It was left out in silence.
    let message = ferry.fails(2, &["profile", "add", "c", "--server", &a.url(), "--cacert", "ca.pem"]);
    assert!(message.contains("FERRY_CACERT"), "{message}");
    ferry.fails(5, &["profile", "use", "c"]);
    ferry.ok(&["profile", "use", "a"]);
    assert_eq!(ferry.ok(&["profile", "list"]), format!("a\t{}\t\t*\nb\t{}\tteam\t\n", a.url(), b.url()));

    ferry.ok(&["signup", "ada@example.com"]);
    assert!(ferry.ok(&["whoami"]).contains("ada@example.com"));
    // A's login is none at B, and B is not even asked with it.
    ferry.fails(3, &["--profile", "b", "whoami"]);
    assert!(!b.log().contains("Whoami"), "{}", b.log());
    ferry.ok(&["--profile", "b", "signup", "bob@example.com"]);
    ferry.ok(&["profile", "use", "b"]);
    ferry.ok(&["org", "create", "team"]);
    let made = ferry.ok(&["db", "create", "app"]);
    assert!(
        ferry.ok(&["db", "show", "team/app"]).contains(made.split('\t').next().unwrap()),
        "made in the team"
    );
    assert_eq!(ferry.ok(&["--org", "bob@example.com (personal)", "db", "list"]), "");

    ferry.ok(&["profile", "remove", "b"]);
    assert_eq!(ferry.ok(&["profile", "list"]), format!("a\t{}\t\t\n", a.url()));
    ferry.fails(78, &["--profile", "b", "whoami"]);
    ferry.ok(&["--profile", "a", "whoami"]);
}

// Verifies: CLI-05
#[test]
fn profiles_are_whole_even_after_kill_9() {
    let ferry = Ferry::new(FERRY, "");
    ferry.ok(&["profile", "add", "kept", "--org", "team"]);
    let file = ferry.config_dir().join("config.toml");
    for round in 0..20 {
        let mut child = ferry.spawn(&["profile", "add", &format!("p{round}"), "--org", "team"]);
        // Killed at some moment of its work.
        let moment = std::time::Duration::from_millis(round);
        let _ = ferry_testkit::wait::within(moment, || None::<()>);
        let _ = child.kill();
        let _ = finish(child);
        let table: toml::Table = fs::read_to_string(&file).unwrap().parse().expect("old or new, and whole");
        assert!(table["profiles"].get("kept").is_some());
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    }
    ferry.ok(&["profile", "use", "kept"]);
}
