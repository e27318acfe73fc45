//! Sessions narrowed by caveats: what they may still call.

use ferry_testkit::{Session, socket::Socket, token::attenuate, wait};
use serde_json::json;

use super::team::text;
use crate::support::{Place, refused};

/// RPCs that need no session.
const PUBLIC: [&str; 7] = [
    "Signup",
    "Login",
    "StartOAuth",
    "CompleteOAuth",
    "ResetPassword",
    "RequestPasswordReset",
    "VerifyEmail",
];
/// RPCs that take the operator token alone.
const OPERATOR: [&str; 20] = [
    "GetServerInfo",
    "ListSigningKeys",
    "RotateSigningKey",
    "RetireSigningKey",
    "ListUsers",
    "CreateUser",
    "DisableUser",
    "IssuePasswordReset",
    "TestMail",
    "GetSettings",
    "GetSeries",
    "CreateBackup",
    "VerifyBackup",
    "PruneBackups",
    "SetUserOperator",
    "RunDoctor",
    "GetLineage",
    "CancelJob",
    "PauseBackups",
    "ResumeBackups",
];

/// Every RPC of Ferry's service that takes a session, and whether it only reads.
fn session_rpcs() -> Vec<(&'static str, bool)> {
    let proto = include_str!("../../proto/ferry/admin/v1/admin.proto");
    let rpcs = proto.lines().filter_map(|line| line.trim().strip_prefix("rpc ")).map(|line| {
        let name = line.split('(').next().unwrap_or_default();
        (name, line.contains("NO_SIDE_EFFECTS"))
    });
    rpcs.filter(|(name, _)| !PUBLIC.contains(name) && !OPERATOR.contains(name)).collect()
}

fn narrowed(place: &Place, caveats: &[&str]) -> Session {
    Session { token: attenuate(&place.user.token, caveats), ..place.user.clone() }
}

// Verifies: TOK-08
#[test]
fn a_narrowed_session_may_only_read_and_mint_tokens() {
    let place = Place::new();
    let rpcs = session_rpcs();
    assert!(rpcs.len() > 25 && rpcs.contains(&("Whoami", true)) && rpcs.contains(&("CreateOrg", false)));
    let own = format!("db={}", place.database);
    for caveat in ["op=read", "op=read,write,admin", "model=pages", &own, "tbl=a", "fn=a", "bpd=1000000"] {
        let session = narrowed(&place, &[caveat]);
        for (method, reads) in &rpcs {
            let answer = session.ferry(method, &json!({}));
            let reason = answer.as_ref().map_or_else(|refusal| refusal.reason.clone(), |_| "OK".to_owned());
            if *reads || *method == "IssueSyncToken" {
                assert_ne!(reason, "ATTENUATED_SESSION", "{caveat} {method}");
            } else {
                assert_eq!(reason, "ATTENUATED_SESSION", "{caveat} {method}: {answer:?}");
                assert_eq!(answer.unwrap_err().status, 403);
            }
        }
        // EdgeReplica's service is no way around.
        let create = session.edgereplica("CreateDatabase", &json!({"name": "more"}));
        assert_eq!(refused(create, "permission_denied").reason, "ATTENUATED_SESSION");
    }
    // Nobody has changed anything: the session is good, the database there.
    assert_eq!(place.user.database(&place.database)["name"], "app");

    // Time and address alone take no call away.
    let session = narrowed(&place, &["ip=127.0.0.0/8", "exp=99999999999", "nbf=1"]);
    session.ferry("CreateOrg", &json!({"name": "team"})).unwrap();
    let elsewhere = narrowed(&place, &["ip=192.0.2.0/24"]);
    refused(elsewhere.ferry("Whoami", &json!({})), "permission_denied");
}

// Verifies: TOK-07, TOK-08
#[test]
fn what_a_narrowed_session_mints_cannot_write_and_dies_with_it() {
    let place = Place::new();
    let expires = wait::unix_seconds() + 4;
    let session = narrowed(&place, &["op=read", &format!("exp={expires}")]);
    let change = json!({"current": ferry_testkit::rpc::PASSWORD, "new": "another password"});
    let refusal = refused(session.ferry("ChangePassword", &change), "permission_denied");
    assert_eq!(refusal.reason, "ATTENUATED_SESSION");

    let mint = |ops: &[&str]| {
        let request = json!({"databaseId": "app", "ops": ops, "models": ["pages"], "ttlSeconds": "3600"});
        session.ferry("IssueSyncToken", &request).unwrap()
    };
    let minted = mint(&["read", "write"]);
    assert!(text(&minted, "expUnix").parse::<i64>().unwrap() <= expires, "{minted}");
    let token = text(&minted, "token");
    // A token of both would be refused for its two directions: what is left of it is reading.
    assert!(Socket::open(place.hub.address(), &token).is_ok());
    let write = text(&mint(&["write"]), "token");
    assert_eq!(Socket::open(place.hub.address(), &write).unwrap_err().status, 403);
    let dead = wait::until("the end of the session", || Socket::open(place.hub.address(), &token).err());
    assert!(wait::unix_seconds() >= expires && dead.text().contains("expired"), "{}", dead.text());
    refused(session.ferry("Whoami", &json!({})), "unauthenticated");
}

// Verifies: TOK-07
#[test]
fn a_refresh_widens_nothing() {
    let place = Place::new();
    let expires = wait::unix_seconds() + 600;
    let session = narrowed(&place, &["ip=127.0.0.0/8", &format!("exp={expires}")]);
    let refreshed = session.ferry("RefreshSession", &json!({})).unwrap();
    assert_eq!(text(&refreshed["whoami"], "sessionExpUnix"), expires.to_string());
    let again = Session { token: text(&refreshed, "sessionToken"), ..session };
    let whoami = again.ferry("Whoami", &json!({})).unwrap();
    assert_eq!(text(&whoami["whoami"], "sessionExpUnix"), expires.to_string());
    let request = json!({"databaseId": "app", "ops": ["read"], "ttlSeconds": "3600"});
    let minted = again.ferry("IssueSyncToken", &request).unwrap();
    assert!(text(&minted, "expUnix").parse::<i64>().unwrap() <= expires);
}
