use ferry_auth::{Caveat, macaroon};
use ferry_types::Reason;

use super::*;

const NEW_PASSWORD: &str = "battery staple";

// Verifies: TOK-07
#[tokio::test]
async fn a_refreshed_session_keeps_id_and_caveats_and_ends_after_thirty_days() {
    let hub = Fixture::new().await;
    let (session, _) = hub.signup("ada@example.com").await;
    let caveat: Caveat = "ip=127.0.0.0/8".parse().unwrap();
    let mut token = macaroon::attenuate(&session.token, &[caveat]).unwrap();
    for _ in 0..30 {
        hub.clock.advance_secs(86_399);
        let refreshed = RefreshSession { caller: &hub.caller(&token).unwrap(), origin: &origin() }
            .run(&hub.control.accounts)
            .await
            .unwrap();
        assert_eq!(refreshed.whoami.session_id, session.whoami.session_id);
        token = refreshed.token;
    }
    let caller = hub.caller(&token).unwrap();
    assert_eq!(caller.deadline_unix, START + 30 * 86_400);
    let elsewhere = hub.control.authenticator.session(&bearer(&token), client("192.0.2.1"), Access::Read);
    assert_eq!(elsewhere.unwrap_err().reason, Reason::PermissionDenied, "the caveat was copied");
    hub.clock.advance_secs(30);
    assert_eq!(hub.caller(&token).unwrap_err().reason, Reason::TokenExpired);
    let over =
        RefreshSession { caller: &caller, origin: &origin() }.run(&hub.control.accounts).await.unwrap_err();
    assert_eq!(over.reason, Reason::TokenExpired, "asked again inside the commit");
}

// Verifies: TOK-12, ORG-13
#[tokio::test]
async fn sessions_are_listed_and_all_ended() {
    let hub = Fixture::new().await;
    let (_, caller) = hub.signup("ada@example.com").await;
    hub.signup("bob@example.com").await;
    let other =
        LogIn { email: "ada@example.com", password: PASSWORD, label: "phone", origin: &from("192.0.2.1") }
            .run(&hub.control.accounts)
            .await
            .unwrap();
    let (first, next) =
        ListSessions { caller: &caller, page_size: 1, page_token: "" }.run(&hub.control.db).await.unwrap();
    let (second, end) =
        ListSessions { caller: &caller, page_size: 1, page_token: &next }.run(&hub.control.db).await.unwrap();
    assert_eq!((first[0].id, end.as_str()), (caller.session_id, ""));
    assert_eq!((second[0].label.as_str(), second[0].ip.as_str()), ("phone", "192.0.2.1"));
    RevokeSession {
        caller: &caller,
        session_id: &second[0].id.to_string(),
        keep_sync_tokens: false,
        origin: &origin(),
    }
    .run(&hub.control.db)
    .await
    .unwrap();
    assert_eq!(
        ListSessions { caller: &caller, page_size: 0, page_token: "" }
            .run(&hub.control.db)
            .await
            .unwrap()
            .0
            .len(),
        1
    );
    assert!(hub.caller(&other.token).is_err());
    RevokeAllSessions { caller: &caller, origin: &origin() }.run(&hub.control.db).await.unwrap();
    let again = LogIn { email: "ada@example.com", password: PASSWORD, label: "", origin: &origin() }
        .run(&hub.control.accounts)
        .await
        .unwrap();
    let caller = hub.caller(&again.token).unwrap();
    assert_eq!(
        ListSessions { caller: &caller, page_size: 0, page_token: "" }
            .run(&hub.control.db)
            .await
            .unwrap()
            .0
            .len(),
        1
    );
}

// Verifies: TOK-12, PWD-02, PWD-03
#[tokio::test]
async fn a_changed_password_ends_what_rested_on_the_old_one() {
    let hub = Fixture::new().await;
    let (session, caller) = hub.signup("ada@example.com").await;
    let change = |current: &'static str, new: &'static str, keep| {
        let (control, caller) = (Arc::clone(&hub.control), caller.clone());
        async move {
            ChangePassword { caller: &caller, current, new, keep_other_sessions: keep, origin: &origin() }
                .run(&control.accounts)
                .await
        }
    };
    assert_eq!(
        change("wrong password", NEW_PASSWORD, true).await.unwrap_err().message,
        "invalid credentials"
    );
    assert_eq!(change(PASSWORD, "short", true).await.unwrap_err().reason, Reason::InvalidArgument);
    change(PASSWORD, NEW_PASSWORD, true).await.unwrap();
    hub.caller(&session.token).unwrap();
    assert!(
        LogIn { email: "ada@example.com", password: PASSWORD, label: "", origin: &origin() }
            .run(&hub.control.accounts)
            .await
            .is_err()
    );
    change(NEW_PASSWORD, PASSWORD, false).await.unwrap();
    assert_eq!(hub.caller(&session.token).unwrap_err().reason, Reason::TokenRevoked);
    let late = change(PASSWORD, NEW_PASSWORD, true).await.unwrap_err();
    assert_eq!(late.reason, Reason::TokenRevoked, "an ended session changes nothing");
    LogIn { email: "ada@example.com", password: PASSWORD, label: "", origin: &origin() }
        .run(&hub.control.accounts)
        .await
        .unwrap();
}

// Verifies: PWD-06
#[tokio::test]
async fn a_reset_code_works_once_within_its_hour() {
    let hub = Fixture::new().await;
    let (session, _) = hub.signup("ada@example.com").await;
    hub.signup("bob@example.com").await;
    let reset = |email: &'static str, code: String| {
        let control = Arc::clone(&hub.control);
        async move {
            ResetPassword { email, code: &code, new_password: NEW_PASSWORD, origin: &origin() }
                .run(&control.accounts)
                .await
        }
    };
    let replaced = IssuePasswordReset { email: "ada@example.com", origin: &origin() }
        .run(&hub.control.db)
        .await
        .unwrap()
        .code;
    let issued = IssuePasswordReset { email: "ada@example.com", origin: &origin() }
        .run(&hub.control.db)
        .await
        .unwrap();
    assert_eq!(issued.exp_unix, START + 3600);
    let code = issued.code;
    for (email, code) in [
        ("ada@example.com", replaced),
        ("bob@example.com", code.clone()),
        ("nobody@example.com", code.clone()),
        ("ada@example.com", String::new()),
    ] {
        let refused = reset(email, code).await.unwrap_err();
        assert_eq!(
            (refused.reason, &*refused.message),
            (Reason::PermissionDenied, "invalid or expired code")
        );
    }
    reset("ADA@example.com", code.clone()).await.unwrap();
    assert_eq!(hub.caller(&session.token).unwrap_err().reason, Reason::TokenRevoked);
    LogIn { email: "ada@example.com", password: NEW_PASSWORD, label: "", origin: &origin() }
        .run(&hub.control.accounts)
        .await
        .unwrap();
    assert!(reset("ada@example.com", code).await.is_err(), "spent");
    let late = IssuePasswordReset { email: "ada@example.com", origin: &origin() }
        .run(&hub.control.db)
        .await
        .unwrap()
        .code;
    hub.clock.advance_secs(3600);
    assert!(reset("ada@example.com", late).await.is_err(), "expired");
}

// Verifies: ORG-11
#[tokio::test]
async fn an_account_goes_with_its_own_and_leaves_what_is_shared() {
    let hub = Fixture::new().await;
    let (_, ada) = hub.signup("ada@example.com").await;
    let (_, bob) = hub.signup("bob@example.com").await;
    let own = hub.database(&ada, "own").await;
    // A shared organisation whose other admin is Bob, with a database that Ada made.
    hub.sql()
        .execute_batch(&format!(
            "INSERT INTO organizations(id, name, personal, created)
                 VALUES ('o_00000000-0000-7000-8000-000000000001', 'team', 0, 0);
             INSERT INTO memberships(user_id, org_id, role, created)
                 VALUES ('{ada}', 'o_00000000-0000-7000-8000-000000000001', 'admin', 0),
                        ('{bob}', 'o_00000000-0000-7000-8000-000000000001', 'member', 0);",
            ada = ada.user_id,
            bob = bob.user_id,
        ))
        .unwrap();
    let hub = hub.restart().await;
    let shared = CreateDatabase { caller: &ada, name: "shared", org: "team", kind: "", origin: &origin() }
        .run(&hub.control.db, hub.control.max_databases_per_org)
        .await
        .unwrap()
        .id;
    let sync = hub.token(&ada, shared, &[Op::Read]).await;
    let watch =
        hub.control.watch(&hub.control.authenticator.sync_bearer(&bearer(&sync.token), local()).unwrap());
    let delete = |email: &'static str, password: &'static str| {
        let (control, ada) = (Arc::clone(&hub.control), ada.clone());
        async move {
            DeleteAccount { caller: &ada, confirm_email: email, password, origin: &origin() }
                .run(&control.accounts, &control.storage)
                .await
                .map_err(|e| e.reason)
        }
    };
    assert_eq!(delete("bob@example.com", PASSWORD).await, Err(Reason::InvalidArgument));
    assert_eq!(delete("ada@example.com", "wrong password").await, Err(Reason::Unauthenticated));
    assert_eq!(delete("ada@example.com", PASSWORD).await, Err(Reason::SoleAdmin));
    hub.sql().execute("UPDATE memberships SET role = 'admin'", []).unwrap();
    delete("ADA@example.com", PASSWORD).await.unwrap();
    assert_eq!(*hub.host.trashed.lock().unwrap(), [own]);
    assert_eq!(watch.now(), Some(RightsEnd::Revoked));
    assert!(hub.control.database(own).is_none());
    let hub = hub.restart().await;
    assert!(hub.control.database(own).is_none() && hub.control.database(shared).is_some());
    assert_eq!(hub.control.user_count(), 1);
    hub.clock.advance_secs(8 * 86_400);
    hub.control.sweep().await;
    let left: i64 = hub.sql().query_row("SELECT count(*) FROM organizations", [], |row| row.get(0)).unwrap();
    assert_eq!(left, 2, "Bob's and the team");
    hub.signup("ada@example.com").await;
}
