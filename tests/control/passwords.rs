//! Passwords: how they are kept, and what a guesser learns.

use std::thread;

use ferry_testkit::{
    Hub, Session, http,
    rpc::{EDGEREPLICA, PASSWORD, Refusal, call},
    wait,
};
use serde_json::{Value, json};

use crate::support::{control_db, hub, options, refused};

fn login(hub: &Hub, email: &str, password: &str) -> Result<Value, Refusal> {
    call(hub.address(), EDGEREPLICA, "Login", &json!({"email": email, "password": password}), None)
}

fn stored(hub: &Hub) -> String {
    control_db(hub).query_row("SELECT secret FROM identities", [], |row| row.get(0)).unwrap()
}

// Verifies: PWD-01
#[test]
fn passwords_are_argon2id_and_follow_the_settings_at_login() {
    let hub = hub();
    hub.signup("ada@example.com");
    assert!(stored(&hub).starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{}", stored(&hub));
    let hub = hub.restart_with(|options| options.env("FERRY_ARGON2_ITERATIONS", "3"));
    let _session = Session::login(hub.address(), "ada@example.com");
    wait::until("the new hash", || stored(&hub).starts_with("$argon2id$v=19$m=19456,t=3,p=1$").then_some(()));
    let _session = Session::login(hub.address(), "ada@example.com");
}

// Verifies: PWD-02
#[test]
fn a_password_has_eight_characters_and_at_most_1024_bytes() {
    let hub = hub();
    let signup = |email: &str, password: &str| {
        call(hub.address(), EDGEREPLICA, "Signup", &json!({"email": email, "password": password}), None)
    };
    let refusal = refused(signup("a@example.com", "1234567"), "invalid_argument");
    assert_eq!(refusal.message, "password too short (7 chars, need 8)");
    let refusal = refused(signup("a@example.com", "üüüüüüü"), "invalid_argument");
    assert_eq!(refusal.message, "password too short (7 chars, need 8)");
    refused(signup("a@example.com", &"x".repeat(1025)), "invalid_argument");
    signup("a@example.com", &"x".repeat(1024)).unwrap();
    signup("b@example.com", "üüüüüüüü").unwrap();
    // Nothing is normalised: one letter in two spellings is two passwords.
    signup("c@example.com", "pass\u{e9}word").unwrap();
    refused(login(&hub, "c@example.com", "passe\u{301}word"), "unauthenticated");
    login(&hub, "c@example.com", "pass\u{e9}word").unwrap();
}

// Verifies: PWD-03
#[test]
fn a_wrong_password_and_an_unknown_email_look_alike() {
    let hub = hub();
    hub.signup("ada@example.com");
    hub.signup("off@example.com");
    control_db(&hub)
        .execute(
            "DELETE FROM identities WHERE user_id = (SELECT id FROM users WHERE email = 'off@example.com')",
            [],
        )
        .unwrap();
    let body = |email: &str, password: &str| {
        let request = json!({"email": email, "password": password}).to_string();
        let headers = [("Content-Type", "application/json"), ("X-Request-Id", "same")];
        let path = format!("/{EDGEREPLICA}/Login");
        let answer = http::send(hub.address(), "POST", &path, &headers, request.as_bytes()).unwrap();
        (answer.status, answer.text())
    };
    let wrong = body("ada@example.com", "not the password");
    let unknown = body("nobody@example.com", "not the password");
    let without = body("off@example.com", PASSWORD);
    assert_eq!(wrong.0, 401);
    assert!(wrong.1.contains("invalid credentials"), "{}", wrong.1);
    assert_eq!(wrong, unknown);
    assert_eq!(wrong, without);
}

// Verifies: PWD-04
#[test]
fn a_storm_of_logins_leaves_the_hub_answering() {
    // Slow hashes, one at a time: 200 logins at once cannot all wait.
    let hub = options().env("FERRY_PASSWORD_CONCURRENCY", "1").env("FERRY_ARGON2_ITERATIONS", "20").start();
    hub.signup("ada@example.com");
    let outcomes: Vec<Result<Value, Refusal>> = thread::scope(|scope| {
        let logins: Vec<_> =
            (0..200).map(|_| scope.spawn(|| login(&hub, "ada@example.com", PASSWORD))).collect();
        for _ in 0..20 {
            let (took, answer) = wait::timed(|| http::get(hub.address(), "/healthz").unwrap());
            assert_eq!(answer.text(), "ok");
            assert!(took.as_secs() < 5, "{took:?}");
        }
        logins.into_iter().map(|login| login.join().unwrap()).collect()
    });
    let busy: Vec<&Refusal> = outcomes.iter().filter_map(|outcome| outcome.as_ref().err()).collect();
    assert!(!busy.is_empty(), "200 logins at once were all served");
    for refusal in busy {
        assert_eq!(
            (refusal.status, refusal.code.as_str(), refusal.reason.as_str()),
            (503, "unavailable", "BUSY")
        );
    }
    assert!(outcomes.iter().any(Result::is_ok));
    login(&hub, "ada@example.com", PASSWORD).unwrap();
}

// Verifies: PWD-05
#[test]
fn the_eleventh_guess_is_throttled() {
    let hub = options().env("FERRY_RATE_LIMIT_SCALE", "1").start();
    hub.signup("ada@example.com");
    for email in ["ada@example.com", "nobody@example.com"] {
        for guess in 0..10 {
            refused(login(&hub, email, &format!("guess number {guess}")), "unauthenticated");
        }
        let refusal = refused(login(&hub, email, "guess number 11"), "resource_exhausted");
        assert_eq!(refusal.status, 429, "{email}");
        assert!(refusal.retry_after_ms > 0, "{refusal:?}");
    }
    // Even the right password waits: the throttle decides before any hash.
    refused(login(&hub, "ada@example.com", PASSWORD), "resource_exhausted");
}
