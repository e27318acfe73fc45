//! To which server a stored credential is sent, and how its file is kept.

use std::{fs, os::unix::fs::PermissionsExt as _};

use ferry_testkit::{
    command::{Ferry, finish, names},
    rpc::PASSWORD,
};

use crate::support::{FERRY, hub};

// Verifies: CLI-04
#[test]
fn a_token_goes_only_to_the_server_that_gave_it() {
    let (a, b) = (hub(), hub());
    let ferry = Ferry::new(FERRY, &a.url());
    ferry.signup("ada@example.com");
    let at_b = ["--server", &b.url(), "whoami"].map(str::to_owned);
    let error = ferry.fails(3, &at_b);
    assert!(error.contains("login"), "nothing is sent, and the way is told: {error}");
    assert!(!b.log().contains("Whoami"), "B was asked without a credential of its own:\n{}", b.log());
    // A one-off --server is not remembered.
    ferry.ok(&["whoami"]);
    // Logged in at both, each keeps its own.
    let signup = ["--server", &b.url(), "signup", "bob@example.com"].map(str::to_owned);
    ferry.clone().env("FERRY_PASSWORD", PASSWORD).ok(&signup);
    assert!(ferry.ok(&at_b).contains("bob@example.com"));
    assert!(ferry.ok(&["whoami"]).contains("ada@example.com"));
    // FERRY_TOKEN overrides.
    let session = ferry_testkit::Session::login(a.address(), "ada@example.com");
    let stranger = Ferry::new(FERRY, &a.url()).env("FERRY_TOKEN", &session.token);
    assert!(stranger.ok(&["whoami"]).contains("ada@example.com"));
    assert!(!stranger.config_dir().join("credentials.toml").exists());
}

// Verifies: CLI-05
#[test]
fn credentials_are_private_and_whole_even_after_kill_9() {
    let hub = hub();
    let ferry = Ferry::new(FERRY, &hub.url());
    ferry.signup("ada@example.com");
    let file = ferry.config_dir().join("credentials.toml");
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&file), 0o600);
    let login = ferry.clone().env("FERRY_PASSWORD", PASSWORD);
    for _ in 0..15 {
        let mut child = login.spawn(&["login", "ada@example.com"]);
        // Killed at some moment of its work.
        let _ = ferry_testkit::wait::within(std::time::Duration::from_millis(120), || None::<()>);
        let _ = child.kill();
        let _ = finish(child);
        let text = fs::read_to_string(&file).unwrap();
        let table: toml::Table = text.parse().expect("old or new, and whole");
        assert!(!table.is_empty());
        assert_eq!(mode(&file), 0o600);
        assert!(ferry.ok(&["whoami"]).contains("ada@example.com"));
    }
    login.ok(&["login", "ada@example.com"]);
    assert_eq!(mode(&ferry.config_dir()), 0o700);
    let left = names(&ferry.config_dir());
    assert!(left.iter().all(|name| !name.ends_with(".tmp")) || left.len() < 20, "remains pile up: {left:?}");
}
