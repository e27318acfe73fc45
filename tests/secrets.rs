//! Nothing secret reaches the log: a full run at the finest level, then a search.

use std::path::Path;

use ferry_testkit::{
    Direction, edgereplica, http,
    rpc::{EDGEREPLICA, PASSWORD, call},
    sample::Shape,
    socket::Socket,
    token, wait,
};
use serde_json::json;

use crate::support::{Place, options};

// Verifies: WEB-08
#[test]
fn no_secret_reaches_the_log() {
    let place = Place::of(options().env("FERRY_LOG_LEVEL", "trace").start());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("app.db");
    Shape::default().create(&file, 50, 1);
    place.push(&file);
    let pull = place.pull_token();
    edgereplica::pull(place.hub.address(), &pull, &folder.path().join("copy.db")).unwrap();
    let push = place.user.sync_token(&place.database, Direction::Push);
    let forged = token::signed_by_another(&push);
    let narrowed = token::attenuate(&push, &["exp=1"]);
    for bad in [&forged, &narrowed, &place.user.token] {
        assert!(Socket::open(place.hub.address(), bad).is_err());
    }
    let guess = "a guessed password";
    let login = json!({"email": "ada@example.com", "password": guess});
    call(place.hub.address(), EDGEREPLICA, "Login", &login, None).unwrap_err();
    call(
        place.hub.address(),
        EDGEREPLICA,
        "Login",
        &json!({"email": "ada@example.com", "password": PASSWORD}),
        None,
    )
    .unwrap();
    for query in ["access_token", "key"] {
        let path = format!("/sync?{query}={pull}");
        let _ = http::get(place.hub.address(), &path);
    }
    place.user.ferry("RevokeSession", &json!({})).unwrap();
    let operator = std::fs::read_to_string(place.hub.data_dir().join("operator.token")).unwrap();
    let ring = std::fs::read_to_string(place.hub.data_dir().join("keyring.json")).unwrap();
    let ring: serde_json::Value = serde_json::from_str(&ring).unwrap();
    let key = ring["keys"][0]["key"].as_str().unwrap();
    wait::until("the last request in the log", || place.hub.log().contains("RevokeSession").then_some(()));
    let log = place.hub.log();
    assert!(log.len() > 1000, "there is a log to search");
    let secrets =
        [PASSWORD, guess, &push, &pull, &forged, &narrowed, &place.user.token, operator.trim(), key];
    for secret in secrets {
        assert!(!log.contains(secret), "the log holds {secret:.12}…");
    }
    // Nor do passwords and tokens lie in the data directory in plain.
    let mut findings = Vec::new();
    search(&place.hub.data_dir(), &[PASSWORD, &push, &pull, &place.user.token], &mut findings);
    assert!(findings.is_empty(), "{findings:?}");
}

fn search(folder: &Path, secrets: &[&str], findings: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            search(&path, secrets, findings);
            continue;
        }
        let bytes = std::fs::read(&path).unwrap_or_default();
        for secret in secrets {
            if bytes.windows(secret.len()).any(|window| window == secret.as_bytes()) {
                findings.push(format!("{}: {:.12}…", path.display(), secret));
            }
        }
    }
}
