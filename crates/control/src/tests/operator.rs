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
