//! Databases by the command line.

use ferry_testkit::{command::Ferry, socket::Socket};

use crate::support::{FERRY, hub};

// Verifies: CLI-06, CLI-09
#[test]
fn databases_are_created_shown_renamed_and_deleted() {
    let hub = hub();
    let ferry = Ferry::new(FERRY, &hub.url());
    ferry.signup("ada@example.com");
    let output = ferry.run(&["db", "list"]);
    assert_eq!((output.stdout.as_str(), output.stderr.trim()), ("", "(no databases)"));
    let made = ferry.ok(&["db", "create", "app"]);
    let (id, name) = made.trim_end().split_once('\t').unwrap();
    assert!(id.starts_with("db_") && name == "app", "{made}");
    ferry.ok(&["db", "create", "logs", "--kind", "replica"]);
    let list = ferry.ok(&["db", "list"]);
    assert_eq!(list.lines().count(), 2);
    assert!(list.starts_with(&made), "oldest first: {list}");

    // By id, by name, by organisation and name.
    for database in [id, "app", "ada@example.com (personal)/app"] {
        let shown = ferry.ok(&["db", "show", database]);
        assert!(shown.contains(&format!("id: {id}")) || shown.contains(id), "{shown}");
    }
    assert_eq!(ferry.ok(&["db", "rename", "app", "notes"]), format!("{id}\tnotes\n"));

    let output = ferry.run(&["db", "token", "notes", "--direction", "pull", "--ttl-seconds", "60"]);
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    assert!(output.stderr.contains("# expires at unix "), "{}", output.stderr);
    assert!(!output.stderr.contains("earlier"), "{}", output.stderr);
    // A token lives no longer than the hub lets it, and than the session that made it: that is told.
    let output = ferry.run(&["db", "token", "notes", "--direction", "pull", "--ttl-seconds", "2592000"]);
    assert!(output.stderr.contains("# earlier than you wanted"), "{}", output.stderr);
    assert!(Socket::open(hub.address(), output.stdout.trim()).is_ok());

    // A typo is met with a suggestion.
    let error = ferry.fails(5, &["db", "show", "note"]);
    assert!(error.contains("notes"), "{error}");

    // Deleting asks; without a terminal it needs --yes.
    ferry.fails(2, &["db", "delete", "notes"]);
    assert!(ferry.ok(&["db", "list"]).contains("notes"));
    assert_eq!(ferry.ok(&["db", "delete", "notes", "--yes"]), format!("deleted {id}\n"));
    assert!(!ferry.ok(&["db", "list"]).contains("notes"));
}
