use ferry_types::{DatabaseKind, Reason};

use super::*;

// Verifies: WEB-07, ORG-13
#[tokio::test]
async fn admins_read_what_happened_in_their_organisation_newest_first() {
    let hub = Fixture::new().await;
    let (_, ada) = hub.signup("ada@example.com").await;
    let org = CreateOrg { caller: &ada, name: "team", origin: &origin() }
        .run(&hub.control.db)
        .await
        .unwrap()
        .id
        .to_string();
    let bob = hub.member(&ada, &org, "bob@example.com", "member").await;
    hub.clock.advance_secs(60);
    let id = CreateDatabase { caller: &ada, name: "main", org: &org, kind: "", origin: &origin() }
        .run(&hub.control.db, hub.control.max_databases_per_org)
        .await
        .unwrap()
        .id;
    hub.token(&bob, id, &[Op::Read]).await;
    SetMemberRole { caller: &ada, org: &org, user: "bob@example.com", role: "viewer", origin: &origin() }
        .run(&hub.control.db)
        .await
        .unwrap();
    RemoveMember { caller: &ada, org: &org, user: "bob@example.com", origin: &origin() }
        .run(&hub.control.db)
        .await
        .unwrap();
    hub.database(&ada, "elsewhere").await;
    let list = async |since: i64, action: &str| {
        let listed = ListAuditEvents {
            caller: &ada,
            org: &org,
            rows: AuditRows { since_unix: since, action, page_size: 0, page_token: "" },
        }
        .run(&hub.control.db)
        .await;
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
        let listed = ListAuditEvents {
            caller: &ada,
            org: &org,
            rows: AuditRows { since_unix: 0, action: "", page_size: 2, page_token: &token },
        }
        .run(&hub.control.db)
        .await;
        let (page, next) = listed.unwrap();
        seen.extend(page);
        // What happens meanwhile is newer than the page.
        RenameOrg { caller: &ada, org: &org, name: &format!("team {}", seen.len()), origin: &origin() }
            .run(&hub.control.db)
            .await
            .unwrap();
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
    let refused = ListAuditEvents {
        caller: &bob,
        org: &org,
        rows: AuditRows { since_unix: 0, action: "", page_size: 0, page_token: "" },
    }
    .run(&hub.control.db)
    .await
    .unwrap_err();
    assert_eq!(refused.reason, Reason::NotFound);
}

// Verifies: WEB-07, ORG-11
#[tokio::test]
async fn failed_logins_are_told_to_the_account_and_its_email_goes_with_it() {
    let hub = Fixture::new().await;
    let (_, ada) = hub.signup("ada@example.com").await;
    LogIn { email: "ada@example.com", password: "a wrong password", label: "", origin: &origin() }
        .run(&hub.control.accounts)
        .await
        .unwrap_err();
    LogIn { email: "nobody@example.com", password: "a wrong password", label: "", origin: &origin() }
        .run(&hub.control.accounts)
        .await
        .unwrap_err();
    let (events, _) = ListAuditEvents {
        caller: &ada,
        org: "",
        rows: AuditRows { since_unix: 0, action: "user.login", page_size: 0, page_token: "" },
    }
    .run(&hub.control.db)
    .await
    .unwrap();
    assert_eq!(events.len(), 1);
    assert_eq!(
        (events[0].outcome.as_str(), events[0].target.as_str()),
        ("failed", &*ada.user_id.to_string())
    );
    DeleteAccount { caller: &ada, confirm_email: "ada@example.com", password: PASSWORD, origin: &origin() }
        .run(&hub.control.accounts, &hub.control.storage)
        .await
        .unwrap();
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
    hub.control.kinds.claim(id, DatabaseKind::Hub, &requester()).await.unwrap();
    hub.control.kinds.claim(id, DatabaseKind::Hub, &requester()).await.unwrap();
    let other = hub.database(&ada, "other").await;
    hub.control.kinds.claim(other, DatabaseKind::Replica, &requester()).await.unwrap();
    hub.control.kinds.release(other, &requester()).await.unwrap();
    let (events, _) = ListAuditEvents {
        caller: &ada,
        org: "",
        rows: AuditRows { since_unix: 0, action: "database.kind", page_size: 0, page_token: "" },
    }
    .run(&hub.control.db)
    .await
    .unwrap();
    let told: Vec<_> =
        events.iter().map(|event| (event.target.as_str(), event.detail_json.as_str())).collect();
    let expected =
        [("other", r#"{"kind":null}"#), ("other", r#"{"kind":"replica"}"#), ("main", r#"{"kind":"hub"}"#)];
    assert_eq!(told, expected);
    assert!(events.iter().all(|event| event.actor == "jwt:https://id.example#ada"), "{events:?}");
}
