use ferry_auth::{Caveat, Role, macaroon};
use ferry_types::Reason;

use super::*;

// Verifies: ORG-01
#[tokio::test]
async fn signup_makes_user_personal_organisation_and_session() {
    let hub = Fixture::new().await;
    let (session, caller) = hub.signup(" Ada@Example.com ").await;
    let whoami = GetWhoami { caller: &caller }.run(&hub.control.db).unwrap();
    assert_eq!(whoami, session.whoami);
    assert_eq!((whoami.email.as_str(), whoami.role), ("Ada@Example.com", Some(Role::Admin)));
    assert_eq!(whoami.orgs.len(), 1);
    assert_eq!(whoami.orgs[0].name, "Ada@Example.com (personal)");
    assert!(whoami.orgs[0].personal && !whoami.email_verified);
    assert_eq!(whoami.session_exp_unix, START + 86_400);
    assert_eq!(hub.control.user_count(), 1);
    let hub = hub.restart().await;
    assert_eq!(
        GetWhoami { caller: &hub.caller(&session.token).unwrap() }.run(&hub.control.db).unwrap(),
        whoami,
        "durable"
    );
}

// Verifies: ORG-02, ORG-03
#[tokio::test]
async fn an_email_has_one_account() {
    let hub = Fixture::new().await;
    hub.signup("ÄDA@example.com").await;
    let again = SignUp { email: "äda@EXAMPLE.com", password: PASSWORD, invite_code: "", origin: &origin() }
        .run(&hub.control.accounts)
        .await;
    assert_eq!(again.unwrap_err().reason, Reason::AlreadyExists);
    let short = SignUp { email: "bob@example.com", password: "short", invite_code: "", origin: &origin() }
        .run(&hub.control.accounts)
        .await
        .unwrap_err();
    assert_eq!(short.message, "password too short (5 chars, need 8)");
    assert_eq!(hub.control.user_count(), 1, "nothing written");
}

// Verifies: ORG-03
#[tokio::test]
async fn a_closed_hub_says_so() {
    for signup in [Signup::Invite, Signup::Closed] {
        let hub = Fixture::with(|config| config.signup = signup).await;
        for email in ["ada@example.com", "not an email"] {
            let refused = SignUp { email, password: PASSWORD, invite_code: "", origin: &origin() }
                .run(&hub.control.accounts)
                .await
                .unwrap_err();
            assert_eq!(refused.reason, Reason::SignupClosed);
        }
    }
}

// Verifies: PWD-01, PWD-03
#[tokio::test]
async fn every_failed_login_looks_the_same() {
    let hub = Fixture::new().await;
    let (session, _) = hub.signup("ada@example.com").await;
    hub.signup("off@example.com").await;
    hub.signup("bare@example.com").await;
    let sql = hub.sql();
    sql.execute("UPDATE users SET disabled = 1 WHERE email = 'off@example.com'", []).unwrap();
    sql.execute(
        "DELETE FROM identities WHERE user_id = (SELECT id FROM users WHERE email = 'bare@example.com')",
        [],
    )
    .unwrap();
    let mut answers = Vec::new();
    for (email, password) in [
        ("ada@example.com", "wrong password"),
        ("nobody@example.com", PASSWORD),
        ("off@example.com", PASSWORD),
        ("bare@example.com", PASSWORD),
        ("", PASSWORD),
        ("ada@example.com", ""),
        ("ada@example.com", &"x".repeat(5_000)),
    ] {
        answers.push(
            LogIn { email, password, label: "", origin: &origin() }
                .run(&hub.control.accounts)
                .await
                .unwrap_err(),
        );
    }
    let expected = ferry_types::Error::new(Reason::Unauthenticated, "invalid credentials");
    assert!(answers.iter().all(|answer| *answer == expected), "{answers:?}");
    let login = LogIn { email: "ADA@example.com", password: PASSWORD, label: "laptop", origin: &origin() }
        .run(&hub.control.accounts)
        .await
        .unwrap();
    assert_eq!(login.whoami.user_id, session.whoami.user_id);
    assert_ne!(login.whoami.session_id, session.whoami.session_id);
}

// Verifies: PWD-01
#[tokio::test]
async fn an_old_hash_is_renewed_at_login() {
    let hub = Fixture::new().await;
    hub.signup("ada@example.com").await;
    hub.control.stop().await;
    let hub = Fixture::open(hub.dir, hub.clock, |config| config.argon2_memory_kib = 16).await;
    let secret = |hub: &Fixture| -> String {
        hub.sql().query_row("SELECT secret FROM identities", [], |row| row.get(0)).unwrap()
    };
    assert!(secret(&hub).contains("m=8,"));
    LogIn { email: "ada@example.com", password: PASSWORD, label: "", origin: &origin() }
        .run(&hub.control.accounts)
        .await
        .unwrap();
    assert!(secret(&hub).contains("m=16,"));
    LogIn { email: "ada@example.com", password: PASSWORD, label: "", origin: &origin() }
        .run(&hub.control.accounts)
        .await
        .unwrap();
}

// Verifies: PWD-05
#[tokio::test]
async fn the_eleventh_failure_is_throttled_even_with_the_right_password() {
    let hub = Fixture::new().await;
    hub.signup("ada@example.com").await;
    for email in ["ada@example.com", "nobody@example.com"] {
        for _ in 0..10 {
            let failed = LogIn { email, password: "wrong password", label: "", origin: &origin() }
                .run(&hub.control.accounts)
                .await
                .unwrap_err();
            assert_eq!(failed.reason, Reason::Unauthenticated);
        }
        let throttled = LogIn { email, password: PASSWORD, label: "", origin: &origin() }
            .run(&hub.control.accounts)
            .await
            .unwrap_err();
        assert_eq!(throttled.reason, Reason::RateLimited);
        assert!(throttled.retry_after_ms.is_some());
    }
    LogIn { email: "ada@example.com", password: PASSWORD, label: "", origin: &from("192.0.2.1") }
        .run(&hub.control.accounts)
        .await
        .unwrap();
    hub.clock.advance_secs(15 * 60);
    LogIn { email: "ada@example.com", password: PASSWORD, label: "", origin: &origin() }
        .run(&hub.control.accounts)
        .await
        .unwrap();
}

// Verifies: PWD-05
#[tokio::test]
async fn an_attacked_account_takes_one_guess_an_hour_from_addresses_that_it_does_not_know() {
    let hub = Fixture::new().await;
    hub.signup("ada@example.com").await;
    LogIn { email: "ada@example.com", password: PASSWORD, label: "", origin: &from("192.0.2.1") }
        .run(&hub.control.accounts)
        .await
        .unwrap();
    for host in 0..10 {
        for _ in 0..10 {
            let attacker = from(&format!("203.0.113.{host}"));
            LogIn { email: "ada@example.com", password: "wrong password", label: "", origin: &attacker }
                .run(&hub.control.accounts)
                .await
                .unwrap_err();
        }
    }
    let stranger = from("198.51.100.1");
    let guess = LogIn { email: "ada@example.com", password: "wrong password", label: "", origin: &stranger }
        .run(&hub.control.accounts)
        .await
        .unwrap_err();
    assert_eq!(guess.reason, Reason::Unauthenticated);
    let refused = LogIn { email: "ada@example.com", password: PASSWORD, label: "", origin: &stranger }
        .run(&hub.control.accounts)
        .await
        .unwrap_err();
    assert_eq!(refused.reason, Reason::RateLimited);
    LogIn { email: "ada@example.com", password: PASSWORD, label: "", origin: &from("192.0.2.1") }
        .run(&hub.control.accounts)
        .await
        .unwrap();
    hub.clock.advance_secs(60 * 60);
    LogIn { email: "ada@example.com", password: PASSWORD, label: "", origin: &stranger }
        .run(&hub.control.accounts)
        .await
        .unwrap();
}

// Verifies: WEB-06
#[tokio::test]
async fn signups_of_one_address_are_limited() {
    let hub = Fixture::with(|config| config.rate_limit_scale = 1.0).await;
    for n in 0..10 {
        hub.signup(&format!("user{n}@example.com")).await;
    }
    let refused =
        SignUp { email: "user10@example.com", password: PASSWORD, invite_code: "", origin: &origin() }
            .run(&hub.control.accounts)
            .await
            .unwrap_err();
    assert_eq!(refused.reason, Reason::RateLimited);
    SignUp { email: "user10@example.com", password: PASSWORD, invite_code: "", origin: &from("192.0.2.1") }
        .run(&hub.control.accounts)
        .await
        .unwrap();
}

// Verifies: TOK-04
#[tokio::test]
async fn bad_sessions_all_get_one_answer() {
    let hub = Fixture::new().await;
    let (session, caller) = hub.signup("ada@example.com").await;
    let other = Fixture::new().await;
    let (foreign, _) = other.signup("ada@example.com").await;
    for token in ["x", "", foreign.token.as_str(), "a.b.c", "fop_x"] {
        assert_eq!(hub.caller(token).unwrap_err().message, "session token required", "{token}");
    }
    let none = hub.control.authenticator.session(&HeaderMap::new(), local(), Access::Read);
    assert_eq!(none.unwrap_err().message, "session token required");
    let database = hub.database(&caller, "main").await;
    let sync = hub.token(&caller, database, &[Op::Read]).await;
    assert_eq!(hub.caller(&sync.token).unwrap_err().reason, Reason::WrongPurpose);
    hub.clock.advance_secs(-3_600);
    hub.caller(&session.token).unwrap();
    hub.clock.advance_secs(3_600 + 86_400);
    let expired = hub.caller(&session.token).unwrap_err();
    assert_eq!((expired.reason, &*expired.message), (Reason::TokenExpired, "session token required"));
}

// Verifies: TOK-08, WEB-14
#[tokio::test]
async fn a_narrowed_session_may_only_read_and_mint() {
    let hub = Fixture::new().await;
    let (session, _) = hub.signup("ada@example.com").await;
    let narrow = |caveat: &str| {
        let caveat: Caveat = caveat.parse().unwrap();
        bearer(&macaroon::attenuate(&session.token, &[caveat]).unwrap())
    };
    let check = |caveat: &str, access, ip: &str| {
        let outcome = hub.control.authenticator.session(&narrow(caveat), client(ip), access);
        outcome.map(|_| ()).map_err(|error| error.reason)
    };
    assert_eq!(check("op=read", Access::Full, "127.0.0.1"), Err(Reason::AttenuatedSession));
    assert_eq!(check("op=read", Access::Read, "127.0.0.1"), Ok(()));
    assert_eq!(check("op=read", Access::Mint, "127.0.0.1"), Ok(()));
    assert_eq!(check(&format!("exp={}", START + 60), Access::Full, "127.0.0.1"), Ok(()));
    assert_eq!(
        check(&format!("nbf={}", START + 60), Access::Read, "127.0.0.1"),
        Err(Reason::Unauthenticated)
    );
    assert_eq!(check("ip=127.0.0.0/8", Access::Full, "127.0.0.1"), Ok(()));
    assert_eq!(check("ip=10.0.0.0/8", Access::Read, "127.0.0.1"), Err(Reason::PermissionDenied));
    assert_eq!(check("ip=0.0.0.0/0", Access::Read, "unknown"), Err(Reason::PermissionDenied));
    assert_eq!(check("op=read", Access::Read, "unknown"), Ok(()));
}

// Verifies: TOK-12
#[tokio::test]
async fn a_revoked_session_stays_revoked() {
    let hub = Fixture::new().await;
    let (first, caller) = hub.signup("ada@example.com").await;
    let second = LogIn { email: "ada@example.com", password: PASSWORD, label: "", origin: &origin() }
        .run(&hub.control.accounts)
        .await
        .unwrap();
    let (_, stranger) = hub.signup("bob@example.com").await;
    let second_id = second.whoami.session_id.to_string();
    let foreign = RevokeSession {
        caller: &stranger,
        session_id: &second_id,
        keep_sync_tokens: false,
        origin: &origin(),
    }
    .run(&hub.control.db)
    .await;
    assert_eq!(foreign.unwrap_err().reason, Reason::NotFound);
    hub.caller(&second.token).unwrap();
    RevokeSession { caller: &caller, session_id: &second_id, keep_sync_tokens: false, origin: &origin() }
        .run(&hub.control.db)
        .await
        .unwrap();
    assert_eq!(hub.caller(&second.token).unwrap_err().reason, Reason::TokenRevoked);
    RevokeSession { caller: &caller, session_id: "", keep_sync_tokens: false, origin: &origin() }
        .run(&hub.control.db)
        .await
        .unwrap();
    let hub = hub.restart().await;
    for token in [&first.token, &second.token] {
        let refused = hub.caller(token).unwrap_err();
        assert_eq!((refused.reason, &*refused.message), (Reason::TokenRevoked, "session token required"));
    }
}

// Verifies: WEB-07
#[tokio::test]
async fn changes_and_logins_leave_audit_rows_without_secrets() {
    let hub = Fixture::new().await;
    let (session, caller) = hub.signup("ada@example.com").await;
    let database = hub.database(&caller, "main").await;
    let token = hub.token(&caller, database, &[Op::Read]).await;
    RenameDatabase { caller: &caller, database: "main", name: "other", origin: &origin() }
        .run(&hub.control.db)
        .await
        .unwrap();
    DeleteDatabase { caller: &caller, database: "other", confirm_name: "", origin: &origin() }
        .run(&hub.control.db, &hub.control.storage)
        .await
        .unwrap();
    LogIn { email: "ada@example.com", password: "wrong password", label: "", origin: &origin() }
        .run(&hub.control.accounts)
        .await
        .unwrap_err();
    LogIn { email: "ada@example.com", password: PASSWORD, label: "", origin: &origin() }
        .run(&hub.control.accounts)
        .await
        .unwrap();
    RevokeSession { caller: &caller, session_id: "", keep_sync_tokens: true, origin: &origin() }
        .run(&hub.control.db)
        .await
        .unwrap();
    let sql = hub.sql();
    let mut statement = sql
        .prepare("SELECT action || ' ' || outcome || ' ' || request_id || ' ' || ip FROM audit ORDER BY id")
        .unwrap();
    let rows: Vec<String> =
        statement.query_map([], |row| row.get(0)).unwrap().map(|row| row.unwrap()).collect();
    let expected = [
        "user.signup ok",
        "database.create ok",
        "token.issue ok",
        "database.rename ok",
        "database.delete ok",
        "user.login failed",
        "user.login ok",
        "session.revoke ok",
    ];
    assert_eq!(rows, expected.map(|row| format!("{row} request-1 127.0.0.1")));
    for name in ["control.db", "control.db-wal"] {
        let bytes = std::fs::read(hub.dir.path().join(name)).unwrap();
        let holds = |secret: &str| bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
        assert!(!holds(PASSWORD) && !holds(&session.token) && !holds(&token.token), "{name}");
    }
}

// Verifies: WEB-08
#[tokio::test]
async fn internal_errors_tell_nothing() {
    let hub = Fixture::new().await;
    let (_, caller) = hub.signup("ada@example.com").await;
    hub.sql().execute_batch("ALTER TABLE audit RENAME TO hidden").unwrap();
    let broken = CreateDatabase { caller: &caller, name: "main", org: "", kind: "", origin: &origin() }
        .run(&hub.control.db, hub.control.max_databases_per_org)
        .await
        .unwrap_err();
    assert_eq!(broken, ferry_types::Error::internal());
    assert!(!hub.control.is_healthy());
    assert_eq!(hub.control.database_count(), 0, "nothing half done");
    while !hub.control.is_healthy() {
        tokio::task::yield_now().await;
    }
    hub.sql().execute_batch("ALTER TABLE hidden RENAME TO audit").unwrap();
    hub.database(&caller, "main").await;
}

// Verifies: OAU-01
#[tokio::test]
async fn providers_are_named_but_not_configured() {
    let hub = Fixture::new().await;
    let start = |provider| StartOAuth { provider, ..Default::default() };
    for provider in ["github", "google"] {
        let refused = start(provider).run(&hub.control.oauth, None, &origin()).await.unwrap_err();
        assert_eq!(refused.reason, Reason::Unimplemented);
        assert!(refused.message.contains("oauth_redirect_base"));
    }
    let unknown = start("gitlab").run(&hub.control.oauth, None, &origin()).await.unwrap_err();
    assert_eq!(unknown.reason, Reason::InvalidArgument);
    let ended = CompleteOAuth { state: "00", code: "c", ..Default::default() };
    let refused = ended.run(&hub.control.oauth, None, &origin()).await.unwrap_err();
    assert_eq!(refused.reason, Reason::Unimplemented);
}

// Verifies: PWD-04
#[tokio::test(flavor = "multi_thread")]
async fn a_storm_of_logins_is_answered_or_told_busy() {
    let hub = Fixture::with(|config| config.password_concurrency = 1).await;
    hub.signup("ada@example.com").await;
    let logins = (0..200).map(|_| {
        let control = Arc::clone(&hub.control);
        tokio::spawn(async move {
            LogIn { email: "ada@example.com", password: PASSWORD, label: "", origin: &origin() }
                .run(&control.accounts)
                .await
                .map(|_| ())
        })
    });
    let outcomes = futures_util::future::join_all(logins).await;
    let mut ok = 0;
    for outcome in outcomes {
        match outcome.unwrap() {
            Ok(()) => ok += 1,
            Err(error) => assert_eq!(error.reason, Reason::Busy),
        }
    }
    assert!(ok >= 64, "only {ok} logins were served");
}
