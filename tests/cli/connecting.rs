//! Hubs that cannot be reached: the error says how to fix it.

use std::fs;

use ferry_testkit::{command::Ferry, sample::Shape, tls};

use crate::support::{FERRY, hub, options};

/// Says why each kind of request fails at `url`: a call, a call under `/v1`, a page session.
fn failures(ferry: &Ferry, url: &str) -> Vec<String> {
    let at = |arguments: &[&str]| {
        let ferry = ferry.clone().env("FERRY_TOKEN", "session").env("FERRY_SYNC_TOKEN", "token");
        ferry.env("FERRY_SERVER", url).fails(7, arguments)
    };
    if !ferry.file("app.db").exists() {
        Shape::default().create(&ferry.file("app.db"), 1, 1);
    }
    let events = at(&["events", "list", "db_3f2b9c1e-5d44-4a7b-8e11-0a6c7d902153"]);
    vec![at(&["whoami"]), events, at(&["sync", "push", "--db", "app.db"])]
}

#[track_caller]
fn all_say(failures: &[String], words: &[&str]) {
    for failure in failures {
        for word in words {
            assert!(failure.contains(word), "{word:?} is not in: {failure}");
        }
        assert!(!failure.contains("ferry serve"), "starting one does not help: {failure}");
    }
}

// Each got "no hub answers; start one with: ferry serve".
// Verifies: CLI-01
#[test]
fn a_certificate_that_is_not_trusted_is_named_and_may_be_trusted() {
    let folder = tempfile::tempdir().unwrap();
    let files = tls::Files::write(folder.path(), &tls::FIRST);
    let hub = options().tls(&files).start();
    let url = format!("https://localhost:{}", hub.address().port());
    let ferry = Ferry::new(FERRY, &url);
    all_say(&failures(&ferry, &url), &["certificate", "authority", "--cacert FILE"]);

    fs::write(ferry.file("authority.pem"), tls::AUTHORITY).unwrap();
    let trusting = ferry.clone().env("FERRY_CACERT", "authority.pem");
    trusting.signup("ada@example.com");
    trusting.ok(&["db", "create", "app"]);
    ferry.ok(&["--cacert", "authority.pem", "push", "app.db", "app"]);
    let token = trusting.ok(&["db", "token", "app", "--direction", "pull"]);
    let pulling = trusting.clone().env("FERRY_SYNC_TOKEN", token.trim());
    pulling.ok(&["sync", "pull", "--db", "copy.db"]);

    for (text, message) in [("nothing", "no certificate"), ("-----BEGIN CERTIFICATE-----\nAAAA\n", "not PEM")]
    {
        fs::write(ferry.file("bad.pem"), text).unwrap();
        let failure = ferry.fails(9, &["--cacert", "bad.pem", "whoami"]);
        assert!(failure.contains("bad.pem") && failure.contains(message), "{failure}");
    }
    assert!(ferry.fails(9, &["--cacert", "missing.pem", "whoami"]).contains("missing.pem"));
}

// A hub got a new self-signed certificate, --cacert named the old one: "not trusted: BadSignature; give the hub another one".
// Verifies: CLI-01
#[test]
fn a_cacert_that_is_not_the_hubs_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let files = tls::Files::write(folder.path(), &tls::FIRST);
    let hub = options().tls(&files).start();
    let url = format!("https://localhost:{}", hub.address().port());
    let ferry = Ferry::new(FERRY, &url);
    fs::write(ferry.file("old.pem"), tls::NAMESAKE).unwrap();
    let messages = failures(&ferry.clone().env("FERRY_CACERT", "old.pem"), &url);
    all_say(&messages, &["old.pem", "--cacert", "FERRY_CACERT", "another certificate than the hub's"]);
    for failure in messages {
        assert!(!failure.contains("BadSignature") && !failure.contains("give the hub another"), "{failure}");
    }
}

// Verifies: CLI-01
#[test]
fn a_hub_that_is_named_with_the_wrong_scheme_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let files = tls::Files::write(folder.path(), &tls::FIRST);
    let secure = options().tls(&files).start();
    let ferry = Ferry::new(FERRY, &secure.url());
    let port = secure.address().port();
    let messages = failures(&ferry, &format!("http://localhost:{port}"));
    all_say(&messages, &["plain HTTP", &format!("https://localhost:{port}")]);

    let plain = hub();
    let port = plain.address().port();
    let messages = failures(&ferry, &format!("https://localhost:{port}"));
    all_say(&messages, &["TLS", &format!("http://localhost:{port}")]);
}

// Verifies: CLI-04
#[test]
fn one_login_serves_both_names_of_this_machine() {
    let hub = hub();
    let ferry = Ferry::new(FERRY, &hub.url());
    ferry.signup("ada@example.com");
    ferry.ok(&["db", "create", "app"]);
    Shape::default().create(&ferry.file("app.db"), 1, 1);
    ferry.ok(&["push", "app.db", "app"]);
    for host in ["localhost", "127.0.0.1"] {
        let url = format!("http://{host}:{}", hub.address().port());
        assert!(ferry.ok(&["--server", &url, "whoami"]).contains("ada@example.com"));
        // The file knows its database under either name.
        assert!(ferry.ok(&["--server", &url, "push", "app.db"]).starts_with("up to date"));
    }
}
