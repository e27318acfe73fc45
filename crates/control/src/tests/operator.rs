use ferry_auth::keyring::KeyState;
use ferry_types::Reason;

use super::*;

// Verifies: TOK-10, TOK-13
#[tokio::test]
async fn old_and_new_keys_verify_until_the_old_one_is_retired() {
    let hub = Fixture::new().await;
    let (old, caller) = hub.signup("ada@example.com").await;
    let id = hub.database(&caller, "main").await;
    let sync = hub.token(&caller, id, &[Op::Read]).await;
    let mut watch =
        hub.control.watch(&hub.control.authenticator.sync_bearer(&bearer(&sync.token), local()).unwrap());
    let first =
        ListSigningKeys { page_size: 0, page_token: "" }.run(&hub.control.signing_keys).await.unwrap().0[0]
            .kid;
    let second = RotateSigningKey { origin: &origin() }.run(&hub.control.signing_keys).await.unwrap();
    assert_eq!((second.state, second.created_unix), (KeyState::Active, START));
    let new = LogIn { email: "ada@example.com", password: PASSWORD, label: "", origin: &origin() }
        .run(&hub.control.accounts)
        .await
        .unwrap();
    hub.caller(&old.token).unwrap();
    hub.caller(&new.token).unwrap();
    assert_eq!(watch.now(), None);
    let kid = |kid: u32| format!("{kid:08x}");
    let active = RetireSigningKey { kid: &kid(second.kid), origin: &origin() }
        .run(&hub.control.signing_keys)
        .await
        .unwrap_err();
    assert_eq!(active.reason, Reason::FailedPrecondition);
    for unknown in ["", "00000000", "x", "+0000001"] {
        let refused = RetireSigningKey { kid: unknown, origin: &origin() }
            .run(&hub.control.signing_keys)
            .await
            .unwrap_err();
        assert_eq!(refused.reason, Reason::NotFound, "{unknown}");
    }
    let waiting = tokio::spawn(async move { watch.ended().await });
    tokio::task::yield_now().await;
    RetireSigningKey { kid: &kid(first), origin: &origin() }.run(&hub.control.signing_keys).await.unwrap();
    assert_eq!(waiting.await.unwrap(), RightsEnd::Revoked);
    assert!(hub.caller(&old.token).is_err());
    assert!(hub.control.authenticator.sync_bearer(&bearer(&sync.token), local()).is_err());
    let hub = hub.restart().await;
    hub.caller(&new.token).unwrap();
    assert!(hub.caller(&old.token).is_err(), "the file followed");
}

// Verifies: TOK-10
#[tokio::test]
async fn the_sweep_drops_a_key_when_its_last_token_is_dead() {
    let hub = Fixture::new().await;
    RotateSigningKey { origin: &origin() }.run(&hub.control.signing_keys).await.unwrap();
    hub.clock.advance_secs(86_399);
    hub.control.sweep().await;
    assert_eq!(
        ListSigningKeys { page_size: 0, page_token: "" }
            .run(&hub.control.signing_keys)
            .await
            .unwrap()
            .0
            .len(),
        2
    );
    hub.clock.advance_secs(1);
    hub.control.sweep().await;
    assert_eq!(
        ListSigningKeys { page_size: 0, page_token: "" }
            .run(&hub.control.signing_keys)
            .await
            .unwrap()
            .0
            .len(),
        1
    );
}

// Verifies: TOK-10
#[tokio::test]
async fn keys_of_the_configuration_are_not_changed_here() {
    let key = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=".to_owned();
    let configured = Fixture::with(|config| config.session_key = Some(key)).await;
    let dev = Fixture::with(|config| config.dev = true).await;
    for hub in [configured, dev] {
        let refused =
            RotateSigningKey { origin: &origin() }.run(&hub.control.signing_keys).await.unwrap_err();
        assert_eq!(refused.reason, Reason::FailedPrecondition);
        let keys =
            ListSigningKeys { page_size: 0, page_token: "" }.run(&hub.control.signing_keys).await.unwrap().0;
        let active = keys.iter().find(|key| key.state == KeyState::Active).unwrap();
        let kid = format!("{:08x}", active.kid);
        let refused = RetireSigningKey { kid: &kid, origin: &origin() }
            .run(&hub.control.signing_keys)
            .await
            .unwrap_err();
        assert_eq!(refused.reason, Reason::FailedPrecondition);
    }
}

// Verifies: TOK-12, TOK-13
#[tokio::test]
async fn a_disabled_user_loses_everything_at_once() {
    let hub = Fixture::with(|config| config.signup = Signup::Closed).await;
    let user = CreateUser { email: "ada@example.com", password: PASSWORD, origin: &origin() }
        .run(&hub.control.accounts)
        .await
        .unwrap();
    let session = LogIn { email: "ada@example.com", password: PASSWORD, label: "", origin: &origin() }
        .run(&hub.control.accounts)
        .await
        .unwrap();
    let caller = hub.caller(&session.token).unwrap();
    let id = hub.database(&caller, "main").await;
    let sync = hub.token(&caller, id, &[Op::Read]).await;
    let watch =
        hub.control.watch(&hub.control.authenticator.sync_bearer(&bearer(&sync.token), local()).unwrap());
    DisableUser { user: "ADA@example.com", disabled: true, origin: &origin() }
        .run(&hub.control.db)
        .await
        .unwrap();
    assert_eq!(watch.now(), Some(RightsEnd::Revoked));
    assert_eq!(hub.caller(&session.token).unwrap_err().reason, Reason::TokenRevoked);
    let locked_out = LogIn { email: "ada@example.com", password: PASSWORD, label: "", origin: &origin() }
        .run(&hub.control.accounts)
        .await
        .unwrap_err();
    assert_eq!(locked_out.message, "invalid credentials");
    DisableUser { user: &user.to_string(), disabled: false, origin: &origin() }
        .run(&hub.control.db)
        .await
        .unwrap();
    LogIn { email: "ada@example.com", password: PASSWORD, label: "", origin: &origin() }
        .run(&hub.control.accounts)
        .await
        .unwrap();
    assert!(hub.caller(&session.token).is_err(), "what was ended stays ended");
    let unknown = DisableUser { user: "nobody@example.com", disabled: true, origin: &origin() }
        .run(&hub.control.db)
        .await
        .unwrap_err();
    assert_eq!(unknown.reason, Reason::NotFound);
}

// Verifies: OPR-51
#[tokio::test]
async fn the_code_of_the_first_operator_counts_for_an_hour_and_once() {
    let hub = Fixture::with(|config| config.signup = Signup::Closed).await;
    let sign_up = async |email: &str, code: &str| {
        SignUpOperator { email, password: PASSWORD, code, origin: &origin() }.run(&hub.control.accounts).await
    };
    let reason = |answer: ferry_types::Result<Session>| {
        answer.map_or_else(|error| error.reason, |_| unreachable!("let in"))
    };
    assert_eq!(reason(sign_up("ada@example.com", "").await), Reason::PermissionDenied, "none was made");
    let old = hub.control.operator_code().unwrap().unwrap();
    let code = hub.control.operator_code().unwrap().unwrap();
    assert_eq!(
        reason(sign_up("ada@example.com", &old).await),
        Reason::PermissionDenied,
        "another took its place"
    );
    hub.clock.advance_secs(3_600);
    assert_eq!(reason(sign_up("ada@example.com", &code).await), Reason::PermissionDenied, "too late");
    let code = hub.control.operator_code().unwrap().unwrap();
    hub.clock.advance_secs(3_599);
    assert_eq!(reason(sign_up("nobody", &code).await), Reason::InvalidArgument);
    let session = sign_up("ada@example.com", &code).await.unwrap();
    assert!(session.whoami.operator);
    hub.control.authenticator.operating_user(&bearer(&session.token), local()).unwrap();
    assert_eq!(reason(sign_up("eve@example.com", &code).await), Reason::PermissionDenied);
    assert_eq!(hub.control.operator_code().unwrap(), None);
    // Durable, and taken away from one call to the next.
    let hub = hub.restart().await;
    let headers = bearer(&session.token);
    let user = hub.control.authenticator.operating_user(&headers, local()).unwrap();
    assert_eq!(user.user_id, session.whoami.user_id);
    SetUserOperator { user: "ada@example.com", operator: false, origin: &origin() }
        .run(&hub.control.accounts)
        .await
        .unwrap();
    let refused = hub.control.authenticator.operating_user(&headers, local()).unwrap_err();
    assert_eq!(refused.reason, Reason::PermissionDenied);
    hub.caller(&session.token).unwrap();
}

// Verifies: OPR-52
#[tokio::test]
async fn no_refresh_moves_the_end_of_a_session_of_the_dashboard() {
    let hub = Fixture::new().await;
    hub.signup("ada@example.com").await;
    let page = Origin { session_max_seconds: Some(600), ..origin() };
    let session = LogIn { email: "ada@example.com", password: PASSWORD, label: "", origin: &page }
        .run(&hub.control.accounts)
        .await
        .unwrap();
    assert_eq!(session.whoami.session_exp_unix, START + 600);
    hub.clock.advance_secs(300);
    let caller = hub.caller(&session.token).unwrap();
    for by in [&page, &origin()] {
        let refreshed =
            RefreshSession { caller: &caller, origin: by }.run(&hub.control.accounts).await.unwrap();
        assert_eq!(refreshed.whoami.session_exp_unix, START + 600);
    }
    let (sessions, _) =
        ListSessions { caller: &caller, page_size: 0, page_token: "" }.run(&hub.control.db).await.unwrap();
    assert!(sessions.iter().any(|one| one.label == "dashboard"));
    hub.clock.advance_secs(301);
    assert!(hub.caller(&session.token).is_err());
}

// Between the look at the right and the change another operator may have taken it: the order of the transactions decides.
// Verifies: OPR-51, TOK-17
#[tokio::test]
async fn whoever_operates_no_longer_changes_nothing_under_way() {
    let hub = Fixture::new().await;
    let (session, _) = hub.signup("ada@example.com").await;
    hub.signup("bob@example.com").await;
    let set = async |operator: bool| {
        SetUserOperator { user: "ada@example.com", operator, origin: &origin() }
            .run(&hub.control.accounts)
            .await
            .unwrap();
    };
    set(true).await;
    let by = hub.control.authenticator.operating_user(&bearer(&session.token), local()).unwrap();
    let under_way = Origin { operator: Some(by), ..origin() };
    let attempts = async |email: &str| {
        let (accounts, origin) = (&hub.control.accounts, &under_way);
        let user = "bob@example.com";
        [
            SetUserOperator { user, operator: true, origin }.run(accounts).await.err(),
            DisableUser { user, disabled: true, origin }.run(&hub.control.db).await.err(),
            IssuePasswordReset { email: user, origin }.run(&hub.control.db).await.err(),
            CreateUser { email, password: PASSWORD, origin }.run(accounts).await.err(),
        ]
        .map(|error| error.map(|error| error.reason))
    };
    set(false).await;
    assert_eq!(attempts("one@example.com").await, [Some(Reason::PermissionDenied); 4]);
    let rows: i64 = hub
        .sql()
        .query_row(
            "SELECT (SELECT count(*) FROM users WHERE operator OR disabled) + (SELECT count(*) FROM password_resets)",
            [],
            |row| row.get(0),
        )
        .unwrap();
    assert_eq!((rows, hub.control.user_count()), (0, 2));
    set(true).await;
    assert_eq!(attempts("two@example.com").await, [None; 4]);
    // Nor who is signed out meanwhile.
    let caller = hub.caller(&session.token).unwrap();
    RevokeAllSessions { caller: &caller, origin: &origin() }.run(&hub.control.db).await.unwrap();
    assert_eq!(attempts("three@example.com").await, [Some(Reason::TokenRevoked); 4]);
}

// Verifies: OPR-51, OPR-92
#[tokio::test]
async fn an_operator_has_proven_the_address_and_is_made_once() {
    let hub = Fixture::with(|config| config.mail = Some(MailPolicy { require_verified: false })).await;
    let (_, ada) = hub.signup("ada@example.com").await;
    let set = async |operator: bool| {
        let set = SetUserOperator { user: "ada@example.com", operator, origin: &origin() };
        set.run(&hub.control.accounts).await
    };
    let counted = || -> (i64, i64) {
        let sql = "SELECT (SELECT count(*) FROM audit WHERE action GLOB 'user.operator_*'),
                          (SELECT count(*) FROM outbox WHERE kind = 'changed')";
        hub.sql().query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap()
    };
    let refused = set(true).await.unwrap_err();
    assert_eq!(refused.reason, Reason::EmailUnverified);
    assert!(refused.message.contains("ferry account verify"), "{}", refused.message);
    set(false).await.unwrap();
    assert_eq!((counted(), hub.control.operates(ada.user_id)), ((0, 0), false));
    let mail = ClaimMail.run(&hub.control.db).await.unwrap().unwrap();
    VerifyEmail { code: mail.code.as_deref().unwrap(), origin: &origin() }
        .run(&hub.control.accounts)
        .await
        .unwrap();
    for _ in 0..2 {
        set(true).await.unwrap();
        assert_eq!((counted(), hub.control.operates(ada.user_id)), ((1, 1), true));
    }
    for _ in 0..2 {
        set(false).await.unwrap();
        assert_eq!((counted(), hub.control.operates(ada.user_id)), ((2, 1), false));
    }
}
