//! Organisations, members, invitations and the audit trail by the command line.

use ferry_testkit::{command::Ferry, rpc::PASSWORD, socket::Socket};
use serde_json::Value;

use crate::support::{FERRY, hub};

fn person(hub: &ferry_testkit::Hub) -> Ferry {
    Ferry::new(FERRY, &hub.url()).env("FERRY_PASSWORD", PASSWORD)
}

// Verifies: CLI-01, CLI-06, CLI-09
#[test]
fn organisations_members_and_databases_are_managed_by_the_command_line() {
    let hub = hub();
    let (ada, bob) = (person(&hub), person(&hub));
    ada.signup("ada@example.com");
    let made = ada.ok(&["org", "create", "R&D / team"]);
    let columns: Vec<&str> = made.trim_end_matches('\n').split('\t').collect();
    assert!(columns[0].starts_with("o_") && columns[1..] == ["R&D / team", "admin", ""], "{made}");
    let id = columns[0];
    ada.fails(6, &["org", "create", "R&D / team"]);
    assert_eq!(ada.ok(&["org", "rename", id, "team"]), format!("{id}\tteam\tadmin\t\n"));
    let list = ada.ok(&["org", "list"]);
    assert!(
        list.lines().count() == 2 && list.contains("\tada@example.com (personal)\tadmin\tpersonal\n"),
        "{list}"
    );

    // The code stands alone on its line; who has no account signs up with it.
    let invited = ada.run(&["invite", "create", "bob@example.com", "--org", "team"]);
    assert_eq!((invited.code, invited.stdout.len()), (Some(0), 44), "{}", invited.stdout);
    assert!(
        invited.stderr.contains("# inv_")
            && invited.stderr.contains("not mailed")
            && invited.stderr.contains("bob@example.com as member"),
        "{}",
        invited.stderr
    );
    let code = invited.stdout.trim();
    assert_eq!(bob.ok(&["signup", "bob@example.com", "--invite", code]), "signup ok (bob@example.com)\n");
    assert!(bob.ok(&["org", "list"]).contains("\tteam\tmember\t\n"));
    bob.fails(4, &["invite", "accept", code]);
    bob.fails(4, &["member", "list", "--org", "team"]);

    // --org and org/name reach the team's databases everywhere.
    ada.ok(&["db", "create", "app", "--org", "team"]);
    for command in [vec!["db", "show", "app", "--org", "team"], vec!["db", "show", "team/app"]] {
        assert!(bob.ok(&command).contains("name: app\n"));
    }
    bob.fails(5, &["db", "show", "app"]);
    // Who has none is told where there may be some.
    let none = bob.run(&["db", "list"]);
    assert!(none.stdout.is_empty() && none.stderr.contains("ferry db list --org team"), "{}", none.stderr);
    let token = bob.ok(&["--org", "team", "db", "token", "app", "--direction", "push"]);
    assert!(bob.ok(&["token", "list", "team/app"]).contains("\twrite\t"));
    let file = bob.file("app.db");
    ferry_testkit::sample::Shape::default().create(&file, 20, 1);
    bob.ok(&["push", "app.db", "app", "--org", "team"]);
    let status = bob.ok(&["status", "app.db"]);
    assert!(status.starts_with("database  team/app (db_"), "{status}");
    ada.ok(&["clone", "team/app", "copy.db"]);
    ferry_testkit::dump::assert_equal(&file, &ada.file("copy.db"));

    let members = ada.ok(&["member", "list", "--org", "team"]);
    assert!(members.lines().count() == 2 && members.contains("\tbob@example.com\tmember\t"), "{members}");
    ada.fails(2, &["member", "role", "bob@example.com", "root", "--org", "team"]);
    assert_eq!(
        ada.ok(&["member", "role", "bob@example.com", "viewer", "--org", "team"]),
        "bob@example.com\tviewer\n"
    );
    bob.fails(4, &["db", "token", "team/app", "--direction", "push"]);
    ada.fails(6, &["member", "remove", "ada@example.com", "--org", "team"]);
    assert_eq!(
        ada.ok(&["member", "remove", "bob@example.com", "--org", "team"]),
        "removed bob@example.com\n"
    );
    assert_eq!(Socket::open(hub.address(), token.trim()).unwrap_err().status, 401);

    assert_eq!(ada.ok(&["org", "list"]).lines().count(), 2);
}

// Verifies: CLI-01, CLI-09
#[test]
fn invitations_are_revoked_the_audit_is_listed_and_an_organisation_is_deleted() {
    let hub = hub();
    let (ada, bob) = (person(&hub), person(&hub));
    ada.signup("ada@example.com");
    bob.signup("bob@example.com");
    let made = ada.ok(&["org", "create", "team"]);
    let id = made.split('\t').next().unwrap();
    // An account that exists accepts; a code may come by standard input.
    let code = ada.ok(&["invite", "create", "bob@example.com", "--role", "admin", "--org", "team"]);
    let waiting = ada.ok(&["invite", "list", "--org", "team"]);
    assert!(waiting.starts_with("inv_") && waiting.contains("\tbob@example.com\tadmin\t"), "{waiting}");
    let joined = bob.clone().input(&code).ok(&["invite", "accept"]);
    assert_eq!(joined, format!("{id}\tteam\tadmin\t\n"));
    bob.ok(&["invite", "create", "eve@example.com", "--org", "team"]);
    let waiting = ada.ok(&["invite", "list", "--org", "team"]);
    let invitation = waiting.split('\t').next().unwrap();
    assert_eq!(ada.ok(&["invite", "revoke", invitation]), format!("revoked {invitation}\n"));
    assert_eq!(ada.ok(&["invite", "list", "--org", "team"]), "");

    let audit = ada.ok(&["audit", "list", "--org", "team", "--limit", "2"]);
    let actions: Vec<&str> = audit.lines().map(|line| line.split('\t').nth(2).unwrap()).collect();
    assert_eq!(actions, ["invitation.revoke", "invitation.create"]);
    assert_eq!(ada.ok(&["audit", "list", "--org", "team", "--action", "org"]).lines().count(), 1);

    // Deleting asks, and only what is empty goes.
    ada.fails(2, &["org", "delete", "team"]);
    ada.ok(&["db", "create", "app", "--org", "team"]);
    ada.fails(6, &["org", "delete", "team", "--yes"]);
    ada.ok(&["db", "delete", "team/app", "--yes"]);
    ada.fails(5, &["org", "delete", "crew", "--yes"]);
    assert_eq!(ada.ok(&["org", "delete", "team", "--yes"]), format!("deleted {id}\n"));
    ada.fails(6, &["org", "delete", "ada@example.com (personal)", "--yes"]);
}

// Verifies: CLI-02
#[test]
fn each_of_these_commands_answers_one_json_document() {
    let hub = hub();
    let (ada, bob) = (person(&hub), person(&hub));
    ada.signup("ada@example.com");
    bob.signup("bob@example.com");
    let json = |person: &Ferry, arguments: &[&str]| -> Value {
        let output = person.ok(&[arguments, &["--json"]].concat());
        serde_json::from_str(&output).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {output:?}"))
    };
    let made = json(&ada, &["org", "create", "team"]);
    assert_eq!((&made["name"], &made["role"]), (&"team".into(), &"admin".into()));
    let org = made["id"].as_str().unwrap();
    assert_eq!(json(&ada, &["org", "list"]).as_array().unwrap().len(), 2);
    assert_eq!(json(&ada, &["org", "rename", "team", "crew"])["id"], made["id"]);
    let code = json(&ada, &["invite", "create", "bob@example.com", "--org", org])["code"].clone();
    assert_eq!(json(&ada, &["invite", "list", "--org", org])[0]["email"], "bob@example.com");
    assert_eq!(json(&bob, &["invite", "accept", code.as_str().unwrap()])["name"], "crew");
    assert_eq!(json(&ada, &["member", "list", "--org", org]).as_array().unwrap().len(), 2);
    json(&ada, &["member", "role", "bob@example.com", "admin", "--org", org]);
    json(&bob, &["member", "remove", "bob@example.com", "--org", org]);
    let invitation = json(&ada, &["invite", "create", "bob@example.com", "--org", org])["id"].clone();
    json(&ada, &["invite", "revoke", invitation.as_str().unwrap()]);
    let events = json(&ada, &["audit", "list", "--org", org, "--limit", "1"]);
    assert_eq!(events.as_array().unwrap().len(), 1);
    assert_eq!(events[0]["action"], "invitation.revoke");
    json(&ada, &["org", "delete", org, "--yes"]);
    json(&ada, &["profile", "add", "work", "--org", "team"]);
    json(&ada, &["profile", "use", "work"]);
    assert_eq!(json(&ada, &["profile", "list"])[0]["current"], true);
    json(&ada, &["profile", "remove", "work"]);
    let output = ada.run(&["org", "delete", "nowhere", "--yes", "--json"]);
    let error: Value = serde_json::from_str(&output.stderr).unwrap();
    assert_eq!((output.code, &error["error"]["code"]), (Some(5), &"not_found".into()));
}

// It said "organisation not found: notes", and named the database.
// Verifies: CLI-06
#[test]
fn an_organisation_that_is_not_there_is_named() {
    let hub = hub();
    let (ada, bob) = (person(&hub), person(&hub));
    ada.signup("ada@example.com");
    ada.ok(&["org", "create", "team"]);
    for arguments in [&["db", "show", "taem/notes"][..], &["db", "show", "notes", "--org", "taem"]] {
        let message = ada.fails(5, arguments);
        assert!(message.contains("organisation not found: taem; did you mean team?"), "{message}");
    }
    assert!(ada.fails(5, &["db", "show", "team/notes"]).contains("database not found: notes"));
    // An empty code, from a file that is not there, joined nobody and said nothing.
    assert!(bob.fails(2, &["signup", "bob@example.com", "--invite", ""]).contains("--invite is empty"));
    let invited = ada.run(&["invite", "create", "bob@example.com", "--org", "team"]);
    assert!(invited.stderr.contains("as member of team"), "{}", invited.stderr);
}
