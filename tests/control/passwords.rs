//! Passwords: how they are stored, and limits on guessing.

use std::thread;

use ferry_testkit::{
    Hub, Session, http,
    rpc::{EDGEREPLICA, FERRY, PASSWORD, Refusal, call, call_from},
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
fn many_concurrent_logins_leave_the_hub_responsive() {
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

/// A hub behind a trusted proxy that names client addresses, with rate limits.
fn behind_a_proxy() -> Hub {
    options()
        .env("FERRY_RATE_LIMIT_SCALE", "1")
        .env("FERRY_TRUSTED_PROXIES", "127.0.0.1")
        .env("FERRY_SIGNUP", "open")
        .start()
}

fn login_from(hub: &Hub, ip: &str, email: &str, password: &str) -> Result<Value, Refusal> {
    call_from(ip, hub.address(), "Login", &json!({"email": email, "password": password}))
}

/// Guesses `email`'s password from twelve addresses, 9 times each: what a small attacker spends in a second.
fn attack(hub: &Hub, email: &str) {
    let guesses: Vec<Refusal> = (1..=12)
        .flat_map(|host| {
            (0..9).map(move |guess| (format!("203.0.113.{host}"), format!("guess number {guess}")))
        })
        .map(|(ip, guess)| login_from(hub, &ip, email, &guess).unwrap_err())
        .collect();
    let looked_at = guesses.iter().filter(|refusal| refusal.code == "unauthenticated").count();
    assert_eq!(looked_at, 100, "of 108 guesses in an hour");
}

// 108 bad logins from twelve addresses locked an account's owner out for an hour, from wherever.
// Verifies: PWD-05
#[test]
fn an_attacked_account_lets_its_owner_in_and_no_guesses() {
    let hub = behind_a_proxy();
    hub.signup("ada@example.com");
    let (home, email) = ("198.51.100.1", "ada@example.com");
    let session = login_from(&hub, home, email, PASSWORD).unwrap();
    let token = session["sessionToken"].as_str().unwrap();
    call(hub.address(), FERRY, "RevokeSession", &json!({}), Some(token)).unwrap();
    attack(&hub, email);

    // An attacker's address is refused, whatever it brings.
    refused(login_from(&hub, "203.0.113.1", email, PASSWORD), "resource_exhausted");
    // Where the owner has logged in before, the limits of one address are all that counts.
    for guess in ["a slip", "another slip"] {
        refused(login_from(&hub, home, email, guess), "unauthenticated");
    }
    login_from(&hub, home, email, PASSWORD).unwrap();
    // From elsewhere the right password is good at once, and a wrong one is the last of the hour.
    login_from(&hub, "198.51.100.2", email, PASSWORD).unwrap();
    refused(login_from(&hub, "198.51.100.3", email, "a guess"), "unauthenticated");
    let refusal = refused(login_from(&hub, "198.51.100.3", email, PASSWORD), "resource_exhausted");
    assert!(refusal.retry_after_ms > 0, "{refusal:?}");
    // A customer's IPv6 network is one address.
    refused(login_from(&hub, "2001:db8:5:1::1", email, "a guess"), "unauthenticated");
    refused(login_from(&hub, "2001:db8:5:2::1", email, PASSWORD), "resource_exhausted");
    login_from(&hub, "2001:db8:6::1", email, PASSWORD).unwrap();
    // Who came in stays known, as does the network around it.
    refused(login_from(&hub, "2001:db8:6::2", email, "a slip"), "unauthenticated");
    login_from(&hub, "2001:db8:6::3", email, PASSWORD).unwrap();
}

// Verifies: PWD-03, PWD-05
#[test]
fn many_guesses_at_once_from_a_new_address_are_one() {
    let hub = behind_a_proxy();
    // An e-mail that nobody has is treated alike.
    for email in ["ada@example.com", "nobody@example.com"] {
        if email.starts_with("ada") {
            hub.signup(email);
        }
        attack(&hub, email);
        let ip = format!("198.51.100.{}", email.len());
        let codes: Vec<String> = thread::scope(|scope| {
            let guesses: Vec<_> = (0..8)
                .map(|guess| {
                    scope.spawn({
                        let (hub, ip) = (&hub, &ip);
                        move || login_from(hub, ip, email, &format!("guess {guess}")).unwrap_err().code
                    })
                })
                .collect();
            guesses.into_iter().map(|guess| guess.join().unwrap()).collect()
        });
        let looked_at = codes.iter().filter(|code| *code == "unauthenticated").count();
        assert_eq!(looked_at, 1, "{codes:?}");
    }
}
