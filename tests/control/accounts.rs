//! Signing up and logging in.

use ferry_testkit::rpc::{EDGEREPLICA, FERRY, PASSWORD, call};
use serde_json::json;

use crate::support::{hub, options, refused};

// Verifies: ORG-01
#[test]
fn signup_makes_a_user_with_a_personal_organisation() {
    let hub = hub();
    let request = json!({"email": "Ada@Example.com", "password": PASSWORD});
    let answer = call(hub.address(), EDGEREPLICA, "Signup", &request, None).unwrap();
    let whoami = &answer["whoami"];
    assert_eq!(whoami["email"], "Ada@Example.com");
    assert_eq!(whoami["role"], "admin");
    assert!(whoami["userId"].as_str().unwrap().starts_with("u_"), "{whoami}");
    assert!(whoami["orgId"].as_str().unwrap().starts_with("o_"), "{whoami}");

    let token = answer["sessionToken"].as_str().unwrap();
    let again = call(hub.address(), EDGEREPLICA, "Whoami", &json!({}), Some(token)).unwrap();
    assert_eq!(&again["whoami"], whoami);
    let more = call(hub.address(), FERRY, "Whoami", &json!({}), Some(token)).unwrap();
    let orgs = more["whoami"]["orgs"].as_array().unwrap();
    assert_eq!(orgs.len(), 1);
    assert_eq!(orgs[0]["name"], "Ada@Example.com (personal)");
    assert_eq!(orgs[0]["personal"], true);
    assert_eq!(orgs[0]["role"], "admin");
}

// Verifies: ORG-02
#[test]
fn an_email_has_two_parts_and_is_unique_whatever_its_case() {
    let hub = hub();
    let signup = |email: &str| {
        call(hub.address(), EDGEREPLICA, "Signup", &json!({"email": email, "password": PASSWORD}), None)
    };
    // 255 bytes, which is one too many.
    let long = format!("{}@{}example.com", "a".repeat(64), "bcd.efg.".repeat(22) + "hx.");
    for bad in ["", "ada", "ada@", "@example.com", "a@b@c", "a da@example.com", "ada@exam\u{7}ple.com", &long]
    {
        let refusal = refused(signup(bad), "invalid_argument");
        assert!(
            refusal.message.contains("email") || refusal.message.contains("e-mail"),
            "{bad:?}: {refusal:?}"
        );
    }
    let answer = signup("  Ünï@Example.com ").unwrap();
    assert_eq!(answer["whoami"]["email"], "Ünï@Example.com");
    refused(signup("ünï@example.COM"), "already_exists");
    refused(signup("ÜNÏ@EXAMPLE.COM"), "already_exists");
    signup(&long[1..]).unwrap();
}

// Verifies: ORG-03
#[test]
fn a_closed_hub_tells_strangers_nothing() {
    let hub = hub();
    hub.signup("known@example.com");
    let signup = |hub: &ferry_testkit::Hub, email: &str| {
        call(hub.address(), EDGEREPLICA, "Signup", &json!({"email": email, "password": PASSWORD}), None)
    };
    let refusal = refused(signup(&hub, "known@example.com"), "already_exists");
    assert_eq!(refusal.status, 409);

    for mode in ["closed", "invite"] {
        let hub = options().env("FERRY_SIGNUP", mode).data_dir(hub.data_dir().with_file_name(mode)).start();
        let known = refused(signup(&hub, "known@example.com"), "permission_denied");
        let unknown = refused(signup(&hub, "unknown@example.com"), "permission_denied");
        assert_eq!(known.reason, "SIGNUP_CLOSED");
        assert_eq!((known.message, known.reason), (unknown.message, unknown.reason), "{mode}");
    }
}

// Verifies: OAU-01
#[test]
fn a_provider_that_is_not_configured_says_so() {
    let hub = hub();
    let start =
        |provider: &str| call(hub.address(), EDGEREPLICA, "StartOAuth", &json!({"provider": provider}), None);
    for provider in ["github", "google"] {
        let refusal = refused(start(provider), "unimplemented");
        assert_eq!(refusal.status, 501);
    }
    refused(start("gitlab"), "invalid_argument");
    refused(start(""), "invalid_argument");
}
