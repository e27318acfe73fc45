//! Organisations, their members and invitations.

use std::{collections::BTreeSet, thread};

use ferry_testkit::{
    frames::Frame,
    http,
    rpc::{EDGEREPLICA, FERRY, PASSWORD, call},
    socket::{Event, Socket},
};
use serde_json::{Value, json};

use super::team::{Team, invite, rows, signup_invited, text};
use crate::support::{control_db, hub, options, refused};

// Verifies: ORG-10
#[test]
fn an_organisation_from_its_making_to_its_end() {
    let team = Team::new("viewer");
    let whoami = team.member.ferry("Whoami", &json!({})).unwrap();
    let orgs = whoami["whoami"]["orgs"].as_array().unwrap();
    assert_eq!(orgs.len(), 2);
    assert!(
        orgs.iter().any(|org| org["id"] == *team.org && org["role"] == "viewer" && org["name"] == "team")
    );
    assert_eq!(whoami["whoami"]["role"], "admin", "the session starts in the personal organisation");

    let members = rows(&team.admin, "ListMembers", "members", &json!({"org": "team"}));
    let shown: Vec<_> = members.iter().map(|member| (text(member, "email"), text(member, "role"))).collect();
    let expected = [("ada@example.com", "admin"), ("bob@example.com", "viewer")];
    assert_eq!(shown, expected.map(|(email, role)| (email.to_owned(), role.to_owned())));
    let joined: i64 = text(&members[1], "joinedUnix").parse().unwrap();
    assert!((ferry_testkit::wait::unix_seconds() - joined).abs() < 60);

    // The last admin cannot leave or be demoted.
    let ada = json!({"org": team.org, "userId": "ada@example.com", "role": "member"});
    for method in ["SetMemberRole", "RemoveMember"] {
        let refusal = refused(team.admin.ferry(method, &ada), "failed_precondition");
        assert_eq!(refusal.reason, "SOLE_ADMIN", "{method}");
    }
    refused(team.admin.ferry("DeleteOrg", &json!({})), "failed_precondition");
    refused(team.admin.ferry("DeleteOrg", &json!({"org": "team"})), "failed_precondition");
    team.admin.ferry("DeleteDatabase", &json!({"databaseId": team.database})).unwrap();
    team.admin.ferry("RenameOrg", &json!({"org": "team", "name": "crew"})).unwrap();
    refused(team.admin.ferry("DeleteOrg", &json!({"org": "team"})), "not_found");
    team.admin.ferry("DeleteOrg", &json!({"org": "crew"})).unwrap();
    assert_eq!(team.role(), "");

    // Anybody may leave; with two admins one of them may.
    let team = Team::new("admin");
    team.member.ferry("RemoveMember", &json!({"org": team.org, "userId": "bob@example.com"})).unwrap();
    assert_eq!(team.role(), "");
}

// Verifies: ORG-03, ORG-12
#[test]
fn an_invitation_code_works_once() {
    let hub = options().env("FERRY_SIGNUP", "invite").start();
    // The first account is made with the operator's token.
    let operator = hub.operator_token();
    let account = json!({"email": "ada@example.com", "password": PASSWORD});
    call(hub.address(), FERRY, "CreateUser", &account, Some(&operator)).unwrap();
    let ada = ferry_testkit::Session::login(hub.address(), "ada@example.com");
    let org = text(&ada.ferry("CreateOrg", &json!({"name": "team"})).unwrap(), "id");
    let code = invite(&ada, &org, "Bob@Example.com", "member");

    let refusals: Vec<_> =
        [("bob@example.com", ""), ("bob@example.com", "guess"), ("eve@example.com", code.as_str())]
            .map(|(email, code)| signup_invited(&hub, email, code).map(|_| Value::Null))
            .into_iter()
            .map(|answer| refused(answer, "permission_denied"))
            .collect();
    for refusal in refusals {
        assert_eq!(refusal.reason, "SIGNUP_CLOSED", "{refusal:?}");
    }
    let request = json!({"email": "bob@example.com", "password": PASSWORD});
    refused(call(hub.address(), EDGEREPLICA, "Signup", &request, None), "permission_denied");

    // Eight at once with one code: one account.
    let outcomes: Vec<_> = thread::scope(|scope| {
        let racers: Vec<_> =
            (0..8).map(|_| scope.spawn(|| signup_invited(&hub, "bob@example.com", &code))).collect();
        racers.into_iter().map(|racer| racer.join().unwrap()).collect()
    });
    let (won, lost): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(Result::is_ok);
    assert_eq!(won.len(), 1);
    for refusal in lost.into_iter().map(Result::unwrap_err) {
        let known = ["permission_denied", "already_exists"];
        assert!(known.contains(&refusal.code.as_str()), "{refusal:?}");
    }
    let members = rows(&ada, "ListMembers", "members", &json!({"org": org}));
    assert_eq!(members.len(), 2, "{members:?}");

    // Who has an account accepts; a code is for one e-mail.
    let bob = won.into_iter().next().unwrap().unwrap();
    let second = text(&ada.ferry("CreateOrg", &json!({"name": "second"})).unwrap(), "id");
    let for_eve = invite(&ada, &second, "eve@example.com", "admin");
    let refusal = refused(bob.ferry("AcceptInvitation", &json!({"code": for_eve})), "permission_denied");
    assert!(refusal.message.starts_with("invalid or expired invitation code"), "{refusal:?}");
    let for_bob = invite(&ada, &second, "bob@example.com", "viewer");
    let joined = bob.ferry("AcceptInvitation", &json!({"code": for_bob})).unwrap();
    assert_eq!((text(&joined, "id"), text(&joined, "role")), (second.clone(), "viewer".to_owned()));
    refused(bob.ferry("AcceptInvitation", &json!({"code": for_bob})), "permission_denied");

    // Lists show no code; what is revoked does not work.
    let waiting = rows(&ada, "ListInvitations", "invitations", &json!({"org": second}));
    assert_eq!(waiting.len(), 1);
    assert_eq!(
        (text(&waiting[0], "email"), text(&waiting[0], "code")),
        ("eve@example.com".into(), String::new())
    );
    refused(bob.ferry("RevokeInvitation", &json!({"id": waiting[0]["id"]})), "not_found");
    ada.ferry("RevokeInvitation", &json!({"id": waiting[0]["id"]})).unwrap();
    refused(signup_invited(&hub, "eve@example.com", &for_eve).map(|_| Value::Null), "permission_denied");

    for name in ["control.db", "control.db-wal"] {
        let bytes = std::fs::read(hub.data_dir().join(name)).unwrap();
        for code in [&code, &for_eve, &for_bob] {
            assert!(
                !bytes.windows(code.len()).any(|window| window == code.as_bytes()),
                "{name} holds a code"
            );
        }
    }
    assert!(!hub.log().contains(&code), "the log holds a code");
}

#[test]
fn bad_fields_are_named_and_write_nothing() {
    let team = Team::new("member");
    let stored = |team: &Team| -> i64 {
        let sql = "SELECT (SELECT count(*) FROM organizations) + (SELECT count(*) FROM invitations)
                       + (SELECT count(*) FROM memberships) + (SELECT count(*) FROM audit)";
        control_db(&team.hub).query_row(sql, [], |row| row.get(0)).unwrap()
    };
    let before = stored(&team);
    let long = "x".repeat(129);
    for (method, request, field) in [
        ("CreateOrg", json!({"name": ""}), "name"),
        ("CreateOrg", json!({"name": "a\nb"}), "name"),
        ("CreateOrg", json!({"name": long}), "name"),
        ("RenameOrg", json!({"org": team.org, "name": "\u{7}"}), "name"),
        ("SetMemberRole", json!({"org": team.org, "userId": "bob@example.com", "role": "root"}), "role"),
        ("SetMemberRole", json!({"org": team.org, "userId": "bob@example.com"}), "role"),
        ("CreateInvitation", json!({"org": team.org, "email": "eve", "role": "viewer"}), "email"),
        ("CreateInvitation", json!({"org": team.org, "email": "eve@example.com", "role": "x"}), "role"),
        ("ListOrgs", json!({"pageSize": 1001}), "page_size"),
        ("ListOrgs", json!({"pageToken": "x"}), "page_token"),
        ("ListMembers", json!({"org": team.org, "pageToken": "x"}), "page_token"),
        ("ListInvitations", json!({"org": team.org, "pageSize": -1}), "page_size"),
        ("ListAuditEvents", json!({"org": team.org, "pageToken": "x"}), "page_token"),
    ] {
        let refusal = refused(team.admin.ferry(method, &request), "invalid_argument");
        assert!(refusal.message.contains(field), "{method} {request}: {}", refusal.message);
    }
    for (method, request) in [
        ("SetMemberRole", json!({"org": team.org, "userId": "nobody@example.com", "role": "viewer"})),
        ("RemoveMember", json!({"org": team.org, "userId": "u_x"})),
        ("RevokeInvitation", json!({"id": "inv_x"})),
        ("RenameOrg", json!({"org": "nowhere", "name": "x"})),
        ("ListMembers", json!({"org": "o_00000000-0000-7000-8000-000000000000"})),
    ] {
        refused(team.admin.ferry(method, &request), "not_found");
    }
    refused(team.admin.ferry("CreateOrg", &json!({"name": "team"})), "already_exists");
    let taken = json!({"org": team.org, "email": "BOB@example.com", "role": "viewer"});
    refused(team.admin.ferry("CreateInvitation", &taken), "already_exists");
    assert_eq!(stored(&team), before);
}

// Verifies: WEB-07
#[test]
fn the_audit_list_tells_every_change_and_no_secret() {
    let team = Team::new("member");
    let token = team.mint(&["read"]).unwrap();
    let wrong = json!({"email": "bob@example.com", "password": "a wrong password"});
    refused(call(team.hub.address(), FERRY, "Login", &wrong, None), "unauthenticated");
    team.set_role("viewer");
    team.remove_member().unwrap();
    let events = rows(&team.admin, "ListAuditEvents", "events", &json!({"org": "team", "pageSize": 2}));
    let actions: Vec<_> = events.iter().map(|event| text(event, "action")).collect();
    let expected = [
        "member.remove",
        "member.role",
        "token.issue",
        "invitation.accept",
        "invitation.create",
        "database.create",
        "org.create",
    ];
    assert_eq!(actions, expected, "newest first");
    let ids: Vec<i64> = events.iter().map(|event| text(event, "id").parse().unwrap()).collect();
    assert!(ids.is_sorted_by(|newer, older| newer > older), "{ids:?}");
    for event in &events {
        assert_eq!((text(event, "outcome"), text(event, "ip")), ("ok".into(), "127.0.0.1".into()), "{event}");
        assert!(text(event, "actor").starts_with("u_") && !text(event, "requestId").is_empty(), "{event}");
        let _: Value = serde_json::from_str(&text(event, "detailJson")).unwrap();
    }
    let only = |action: &str| {
        rows(&team.admin, "ListAuditEvents", "events", &json!({"org": "team", "action": action}))
    };
    assert_eq!((only("member").len(), only("member.role").len(), only("user").len()), (2, 1, 0));
    let later = json!({"org": "team", "sinceUnix": (ferry_testkit::wait::unix_seconds() + 60).to_string()});
    assert_eq!(rows(&team.admin, "ListAuditEvents", "events", &later), Vec::<Value>::new());

    // Failed logins are listed for the account that they were for.
    let own = rows(&team.member, "ListAuditEvents", "events", &json!({"action": "user.login"}));
    assert_eq!(own.iter().map(|event| text(event, "outcome")).collect::<Vec<_>>(), ["failed"]);
    let all = format!("{events:?}{own:?}");
    for secret in [&token, &team.admin.token, &team.member.token, "a wrong password", PASSWORD] {
        assert!(!all.contains(secret));
    }
}

// Who deleted an organisation could not read any more what had been done there, though its rows were kept for 400 days.
// Verifies: WEB-07
#[test]
fn former_admins_read_the_audit_of_a_deleted_organisation() {
    let team = Team::new("member");
    team.admin.ferry("DeleteDatabase", &json!({"databaseId": team.database})).unwrap();
    let request = |org: &str| json!({"org": org, "pageSize": 2});
    let before = rows(&team.admin, "ListAuditEvents", "events", &request("team"));
    team.admin.ferry("DeleteOrg", &json!({"org": "team"})).unwrap();
    for org in ["team", &team.org] {
        let after = rows(&team.admin, "ListAuditEvents", "events", &request(org));
        assert_eq!(text(&after[0], "action"), "org.delete");
        assert_eq!(after[1..], before, "{org}");
        refused(team.member.ferry("ListAuditEvents", &request(org)), "not_found");
    }
    // A new one of the same name is its own; the old one has its id still.
    let id = text(&team.admin.ferry("CreateOrg", &json!({"name": "team"})).unwrap(), "id");
    let named = rows(&team.admin, "ListAuditEvents", "events", &request("team"));
    assert_eq!(named.iter().map(|event| text(event, "action")).collect::<Vec<_>>(), ["org.create"]);
    assert_eq!(rows(&team.admin, "ListAuditEvents", "events", &request(&id)), named);
    let old = rows(&team.admin, "ListAuditEvents", "events", &request(&team.org));
    assert_eq!(old.len(), before.len() + 1);
    refused(team.admin.ferry("ListAuditEvents", &request("nothing")), "not_found");
}

/// Calls a method that kills the hub.
fn call_into_death(user: &ferry_testkit::Session, method: &'static str, request: Value) {
    let user = user.clone();
    // The helper panics where there is no answer, and ends this thread alone.
    let died = thread::spawn(move || user.ferry(method, &request));
    assert!(died.join().is_err(), "{method} was answered");
}

// Verifies: ORG-12, TOK-12
#[test]
fn a_crash_leaves_a_change_of_members_whole_or_undone() {
    let mut team = Team::new("member");
    let token = team.mint(&["read"]).unwrap();
    let code = invite(&team.admin, &team.org, "carol@example.com", "viewer");
    let carol = team.hub.signup("carol@example.com");
    for (point, happened) in [("control.commit", false), ("control.committed", true)] {
        team = team.restarted_with(|options| options.fault(format!("{point}=kill")));
        let carol = carol.at(team.hub.address());
        call_into_death(&carol, "AcceptInvitation", json!({"code": code}));
        team.hub.ended();
        team = team.restarted_with(|options| options.fault(format!("{point}=kill")));
        call_into_death(&team.admin, "RemoveMember", json!({"org": team.org, "userId": "bob@example.com"}));
        team.hub.ended();
        team = team.restarted_with(|options| options);
        let emails: BTreeSet<String> = rows(&team.admin, "ListMembers", "members", &json!({"org": team.org}))
            .iter()
            .map(|member| text(member, "email"))
            .collect();
        assert_eq!(
            (emails.contains("carol@example.com"), emails.contains("bob@example.com")),
            (happened, !happened)
        );
        let waiting = rows(&team.admin, "ListInvitations", "invitations", &json!({"org": team.org}));
        assert_eq!(waiting.is_empty(), happened, "{point}");
        let audit = |action: &str| {
            rows(&team.admin, "ListAuditEvents", "events", &json!({"org": team.org, "action": action})).len()
        };
        // The member of the team accepted an invitation before.
        assert_eq!(
            (audit("invitation.accept"), audit("member.remove")),
            (1 + usize::from(happened), usize::from(happened))
        );
        let opened = Socket::open(team.hub.address(), &token);
        assert_eq!(opened.is_ok(), !happened, "{point}");
    }
}

// Verifies: TOK-12
#[test]
fn a_removal_that_is_not_committed_closes_no_connection() {
    let team = Team::new("member");
    let token = team.mint(&["read"]).unwrap();
    let team = team.restarted_with(|options| options.fault("control.commit=full"));
    let mut socket = Socket::open(team.hub.address(), &token).unwrap();
    socket.send(&Frame::hello(0));
    assert!(matches!(socket.next(), Event::Frame(Frame::HelloReply { .. })));
    refused(team.remove_member(), "unavailable");
    assert_eq!(http::get(team.hub.address(), "/readyz").unwrap().status, 503);
    // Neither the socket nor the token has lost anything.
    socket.send(&Frame::Complete);
    assert_eq!(socket.ending().code, 1000);
    assert!(Socket::open(team.hub.address(), &token).is_ok());
    let team = team.restarted_with(|options| options);
    assert_eq!(team.role(), "member");
    assert!(Socket::open(team.hub.address(), &token).is_ok());
}

// Verifies: ORG-08, ORG-11
#[test]
fn an_account_ends_and_leaves_what_it_shared() {
    let hub = hub();
    let team = Team::of(hub, "member");
    let own = team.admin.create_database("diary");
    let delete = |email: &str, password: &str| {
        team.admin.ferry("DeleteAccount", &json!({"confirmEmail": email, "password": password}))
    };
    let sole = refused(delete("ada@example.com", PASSWORD), "failed_precondition");
    assert_eq!(sole.reason, "SOLE_ADMIN");
    team.set_role("admin");
    refused(delete("bob@example.com", PASSWORD), "invalid_argument");
    refused(delete("ada@example.com", "a wrong password"), "unauthenticated");
    let token = team.mint(&["read"]).unwrap();
    delete("ada@example.com", PASSWORD).unwrap();

    refused(team.admin.ferry("Whoami", &json!({})), "unauthenticated");
    assert!(Socket::open(team.hub.address(), &token).is_ok(), "the shared database goes on");
    let shown = team.member.ferry("GetDatabase", &json!({"database": team.database})).unwrap();
    assert_eq!(shown["name"], "app");
    let members = rows(&team.member, "ListMembers", "members", &json!({"org": team.org}));
    assert_eq!(members.len(), 1);
    let control = control_db(&team.hub);
    let deleted: bool = control
        .query_row("SELECT deleted IS NOT NULL FROM databases WHERE id = ?1", [&own], |row| row.get(0))
        .unwrap();
    assert!(deleted);
    for (table, column) in [
        ("users", "email_key"),
        ("organizations", "name"),
        ("sessions", "label"),
        ("audit", "target || detail"),
        ("identities", "provider_user_id"),
    ] {
        let sql = format!("SELECT count(*) FROM {table} WHERE {column} LIKE '%ada@example.com%'");
        let left: i64 = control.query_row(&sql, [], |row| row.get(0)).unwrap();
        assert_eq!(left, 0, "{table}");
    }
    // The e-mail is free, and a new account of it inherits nothing.
    let again = team.hub.signup("ada@example.com");
    assert_eq!(rows(&again, "ListOrgs", "orgs", &json!({})).len(), 1);
    assert_eq!(rows(&again, "ListDatabases", "databases", &json!({})).len(), 0);
}
