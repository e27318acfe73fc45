use ferry_types::{DatabaseKind, Reason};

use super::*;

// Verifies: WEB-07, ORG-13
#[tokio::test]
async fn admins_read_what_happened_in_their_organisation_newest_first() {
    let hub = Fixture::new().await;
    let (_, ada) = hub.signup("ada@example.com").await;
    let org = hub.control.create_org(&ada, "team", &origin()).await.unwrap().id.to_string();
    let bob = hub.member(&ada, &org, "bob@example.com", "member").await;
    hub.clock.advance_secs(60);
    let id = hub.control.create_database(&ada, "main", &org, "", &origin()).await.unwrap().id;
    hub.token(&bob, id, &[Op::Read]).await;
    hub.control.set_member_role(&ada, &org, "bob@example.com", "viewer", &origin()).await.unwrap();
    hub.control.remove_member(&ada, &org, "bob@example.com", &origin()).await.unwrap();
    hub.database(&ada, "elsewhere").await;
    let list = async |since: i64, action: &str| {
        let listed = hub.control.list_audit_events(&ada, &org, since, action, 0, "").await;
        let (events, _) = listed.unwrap();
        events.into_iter().map(|event| event.action).collect::<Vec<_>>()
    };
    let newest = ["member.remove", "member.role", "token.issue", "database.create"];
    let oldest = ["invitation.accept", "invitation.create", "org.create"];
    assert_eq!(list(0, "").await, [newest.as_slice(), &oldest].concat());
    assert_eq!(list(START + 60, "").await, newest);
    assert_eq!(list(0, "member").await, newest[..2]);
    assert_eq!(list(0, "member.role").await, ["member.role"]);
    assert_eq!(list(0, "mem").await, Vec::<String>::new());

    let (mut seen, mut token) = (Vec::new(), String::new());
    loop {
        let listed = hub.control.list_audit_events(&ada, &org, 0, "", 2, &token).await;
        let (page, next) = listed.unwrap();
        seen.extend(page);
        // What happens meanwhile is newer than the page.
        hub.control.rename_org(&ada, &org, &format!("team {}", seen.len()), &origin()).await.unwrap();
        token = next;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(
        seen.iter().map(|event| event.action.as_str()).collect::<Vec<_>>(),
        [newest.as_slice(), &oldest].concat()
    );
    let removed = &seen[0];
    assert_eq!(
        (removed.actor.as_str(), removed.target.as_str()),
        (&*ada.user_id.to_string(), &*bob.user_id.to_string())
    );
    assert_eq!(
        (removed.outcome.as_str(), removed.ip.as_str(), removed.request_id.as_str()),
        ("ok", "127.0.0.1", "request-1")
    );
    assert_eq!(removed.detail_json, r#"{"role":"viewer","tokens":1}"#);
    let refused = hub.control.list_audit_events(&bob, &org, 0, "", 0, "").await.unwrap_err();
    assert_eq!(refused.reason, Reason::NotFound);
}

// Verifies: WEB-07, ORG-11
#[tokio::test]
async fn failed_logins_are_told_to_the_account_and_its_email_goes_with_it() {
    let hub = Fixture::new().await;
    let (_, ada) = hub.signup("ada@example.com").await;
    hub.control.login("ada@example.com", "a wrong password", "", &origin()).await.unwrap_err();
    hub.control.login("nobody@example.com", "a wrong password", "", &origin()).await.unwrap_err();
    let (events, _) = hub.control.list_audit_events(&ada, "", 0, "user.login", 0, "").await.unwrap();
    assert_eq!(events.len(), 1);
    assert_eq!(
        (events[0].outcome.as_str(), events[0].target.as_str()),
        ("failed", &*ada.user_id.to_string())
    );
    hub.control.delete_account(&ada, "ada@example.com", PASSWORD, &origin()).await.unwrap();
    let sql = hub.sql();
    let mut tables = sql.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'").unwrap();
    let tables: Vec<String> =
        tables.query_map([], |row| row.get(0)).unwrap().map(|name| name.unwrap()).collect();
    for table in tables {
        let mut rows = sql.prepare(&format!("SELECT * FROM {table}")).unwrap();
        let columns = rows.column_count();
        let texts = rows.query_map([], |row| {
            (0..columns)
                .map(|place| row.get::<_, rusqlite::types::Value>(place))
                .collect::<Result<Vec<_>, _>>()
        });
        for row in texts.unwrap() {
            let row = format!("{:?}", row.unwrap());
            assert!(!row.contains("ada@example.com"), "{table}: {row}");
        }
    }
}

// Verifies: WEB-07
#[tokio::test]
async fn the_kind_that_a_first_write_fixes_is_noted() {
    let hub = Fixture::new().await;
    let (_, ada) = hub.signup("ada@example.com").await;
    let id = hub.database(&ada, "main").await;
    hub.control.claim_kind(id, DatabaseKind::Hub, &requester()).await.unwrap();
    hub.control.claim_kind(id, DatabaseKind::Hub, &requester()).await.unwrap();
    let other = hub.database(&ada, "other").await;
    hub.control.claim_kind(other, DatabaseKind::Replica, &requester()).await.unwrap();
    hub.control.release_kind(other, &requester()).await.unwrap();
    let (events, _) = hub.control.list_audit_events(&ada, "", 0, "database.kind", 0, "").await.unwrap();
    let told: Vec<_> =
        events.iter().map(|event| (event.target.as_str(), event.detail_json.as_str())).collect();
    let expected =
        [("other", r#"{"kind":null}"#), ("other", r#"{"kind":"replica"}"#), ("main", r#"{"kind":"hub"}"#)];
    assert_eq!(told, expected);
    assert!(events.iter().all(|event| event.actor == "jwt:https://id.example#ada"), "{events:?}");
}
