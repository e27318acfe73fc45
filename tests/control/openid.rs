//! Logging in at a fake issuer of OpenID Connect.

use ferry_testkit::{
    http,
    provider::{EmailAt, Mishap, Person, Secret},
    rpc::FERRY,
    wait,
};
use serde_json::{Value, json};

use super::oauth::{CHALLENGE, begin, complete, login, place, start};
use crate::support::{control_db, refused};

// Verifies: OAU-09, OAU-13
#[test]
fn an_issuer_that_tells_no_endpoints_begins_no_login() {
    let (hub, provider) = place();
    let request = json!({"provider": "google", "clientChallenge": CHALLENGE});
    for mishap in [Mishap::Failing, Mishap::Huge, Mishap::Redirecting, Mishap::Html] {
        provider.mishap("/google/.well-known/openid-configuration", Some(mishap));
        let refusal = start(&hub, FERRY, &request, None).err().unwrap();
        assert_eq!(refusal.code, "unavailable", "{mishap:?}");
    }
    let stored = "SELECT count(*) FROM oauth_states";
    let rows: u64 = control_db(&hub).query_row(stored, [], |row| row.get(0)).unwrap();
    assert_eq!(rows, 0);
    provider.mishap("/google/.well-known/openid-configuration", None);
    login(&hub, &provider, "google").unwrap();
}

// An operator saw nothing of a login that failed but "a provider did not answer as it should", and often not that.
// Verifies: OAU-13
#[test]
fn the_log_tells_why_a_login_failed() {
    let (hub, provider) = place();
    let logged = |what: &str| wait::until(what, || hub.log().contains(what).then_some(()));
    let begun = begin(&hub, "google");
    refused(complete(&hub, &begun.state, "c0de-of-nobody"), "permission_denied");
    logged("invalid_grant");
    let mut unverified = Person::new(7, "eve@example.com");
    unverified.emails[0].2 = false;
    provider.become_person(unverified.clone());
    refused(login(&hub, &provider, "google"), "failed_precondition");
    logged("the e-mail address is not verified");
    unverified.emails.clear();
    provider.become_person(unverified);
    let refusal = refused(login(&hub, &provider, "google"), "failed_precondition");
    assert!(refusal.message.contains("named no e-mail"), "{refusal:?}");
    logged("no e-mail address was named");
    provider.become_person(Person::new(1, "ada@example.com"));
    provider.forge("aud", json!("another-client"));
    refused(login(&hub, &provider, "google"), "unavailable");
    logged("id_token: for another client");
    let denied = "error=access_denied&error_description=not%20in%20the%20group%1b%5B2J&state=s";
    let answer = http::get(hub.address(), &format!("/oauth/google/callback?{denied}")).unwrap();
    assert_eq!(answer.status, 400);
    assert!(!answer.text().contains("group"), "{}", answer.text());
    logged("not in the group");
    assert!(!hub.log().contains('\u{1b}'));
}

// An issuer that gives claims about its users by userinfo alone let nobody in, nor did one that wants the secret in a
// header. npm `oidc-provider` as it comes is such an issuer; tests/oidc drives it.
// Verifies: OAU-09
#[test]
fn the_email_is_asked_for_where_the_issuer_tells_it() {
    let (hub, provider) = place();
    provider.tell_email(EmailAt::Userinfo);
    provider.take_secret(Secret::Header);
    provider.become_person(Person::new(1, "ada@example.com"));
    let entered = login(&hub, &provider, "google").unwrap();
    assert_eq!(entered["whoami"]["email"], "ada@example.com");
    assert_eq!(entered["whoami"]["emailVerified"], true);
    provider.forge_userinfo("email_verified", json!("true"));
    assert_eq!(login(&hub, &provider, "google").unwrap()["whoami"]["userId"], entered["whoami"]["userId"]);
    for (claim, value, code) in [
        ("email_verified", json!("false"), "failed_precondition"),
        ("email", Value::Null, "failed_precondition"),
        ("sub", json!("somebody else"), "unavailable"),
    ] {
        provider.forge_userinfo(claim, value.clone());
        refused(login(&hub, &provider, "google"), code);
        provider.forge_nothing();
    }
    // What says everything in the id_token is not asked again.
    provider.tell_email(EmailAt::IdToken);
    provider.take_secret(Secret::Body);
    let asked = || provider.seen().iter().filter(|request| request.path == "/google/userinfo").count();
    let before = asked();
    login(&hub, &provider, "google").unwrap();
    assert_eq!(asked(), before);
}

// Verifies: OAU-09
#[test]
fn a_forged_id_token_is_refused() {
    let (hub, provider) = place();
    for (claim, value) in [
        ("iss", json!("https://evil.example")),
        ("aud", json!("another-client")),
        ("exp", json!(wait::unix_seconds() - 1)),
        ("sub", json!("")),
    ] {
        provider.forge(claim, value.clone());
        let refusal = refused(login(&hub, &provider, "google"), "unavailable");
        assert!(!refusal.message.contains("id_token"), "{claim}: {refusal:?}");
        provider.forge_nothing();
    }
    login(&hub, &provider, "google").unwrap();
}
