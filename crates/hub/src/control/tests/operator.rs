use ferry_auth::keyring::KeyState;
use ferry_types::Reason;

use super::*;
use crate::control::RightsEnd;

// Verifies: TOK-10, TOK-13
#[tokio::test]
async fn old_and_new_keys_verify_until_the_old_one_is_retired() {
    let hub = Fixture::new().await;
    let (old, caller) = hub.signup("ada@example.com").await;
    let id = hub.database(&caller, "main").await;
    let sync = hub.token(&caller, id, &[Op::Read]).await;
    let mut watch = hub.control.watch(&hub.control.authenticate_sync(&bearer(&sync.token), local()).unwrap());
    let first = hub.control.list_signing_keys(0, "").await.unwrap().0[0].kid;
    let second = hub.control.rotate_signing_key(&origin()).await.unwrap();
    assert_eq!((second.state, second.created_unix), (KeyState::Active, START));
    let new = hub.control.login("ada@example.com", PASSWORD, "", &origin()).await.unwrap();
    hub.caller(&old.token).unwrap();
    hub.caller(&new.token).unwrap();
    assert_eq!(watch.now(), None);
    let kid = |kid: u32| format!("{kid:08x}");
    let active = hub.control.retire_signing_key(&kid(second.kid), &origin()).await.unwrap_err();
    assert_eq!(active.reason, Reason::FailedPrecondition);
    for unknown in ["", "00000000", "x", "+0000001"] {
        let refused = hub.control.retire_signing_key(unknown, &origin()).await.unwrap_err();
        assert_eq!(refused.reason, Reason::NotFound, "{unknown}");
    }
    let waiting = tokio::spawn(async move { watch.ended().await });
    tokio::task::yield_now().await;
    hub.control.retire_signing_key(&kid(first), &origin()).await.unwrap();
    assert_eq!(waiting.await.unwrap(), RightsEnd::Revoked);
    assert!(hub.caller(&old.token).is_err());
    assert!(hub.control.authenticate_sync(&bearer(&sync.token), local()).is_err());
    let hub = hub.restart().await;
    hub.caller(&new.token).unwrap();
    assert!(hub.caller(&old.token).is_err(), "the file followed");
}

// Verifies: TOK-10
#[tokio::test]
async fn the_sweep_drops_a_key_when_its_last_token_is_dead() {
    let hub = Fixture::new().await;
    hub.control.rotate_signing_key(&origin()).await.unwrap();
    hub.clock.advance_secs(86_399);
    hub.control.sweep().await;
    assert_eq!(hub.control.list_signing_keys(0, "").await.unwrap().0.len(), 2);
    hub.clock.advance_secs(1);
    hub.control.sweep().await;
    assert_eq!(hub.control.list_signing_keys(0, "").await.unwrap().0.len(), 1);
}

// Verifies: TOK-10
#[tokio::test]
async fn keys_of_the_configuration_are_not_changed_here() {
    let key = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=".to_owned();
    let configured = Fixture::with(|config| config.session_key = Some(key)).await;
    let dev = Fixture::with(|config| config.dev = true).await;
    for hub in [configured, dev] {
        let refused = hub.control.rotate_signing_key(&origin()).await.unwrap_err();
        assert_eq!(refused.reason, Reason::FailedPrecondition);
        let keys = hub.control.list_signing_keys(0, "").await.unwrap().0;
        let active = keys.iter().find(|key| key.state == KeyState::Active).unwrap();
        let kid = format!("{:08x}", active.kid);
        let refused = hub.control.retire_signing_key(&kid, &origin()).await.unwrap_err();
        assert_eq!(refused.reason, Reason::FailedPrecondition);
    }
}

// Verifies: TOK-12, TOK-13
#[tokio::test]
async fn a_disabled_user_loses_everything_at_once() {
    let hub = Fixture::with(|config| config.signup = Signup::Closed).await;
    let user = hub.control.create_user("ada@example.com", PASSWORD, &origin()).await.unwrap();
    let session = hub.control.login("ada@example.com", PASSWORD, "", &origin()).await.unwrap();
    let caller = hub.caller(&session.token).unwrap();
    let id = hub.database(&caller, "main").await;
    let sync = hub.token(&caller, id, &[Op::Read]).await;
    let watch = hub.control.watch(&hub.control.authenticate_sync(&bearer(&sync.token), local()).unwrap());
    hub.control.disable_user("ADA@example.com", true, &origin()).await.unwrap();
    assert_eq!(watch.now(), Some(RightsEnd::Revoked));
    assert_eq!(hub.caller(&session.token).unwrap_err().reason, Reason::TokenRevoked);
    let locked_out = hub.control.login("ada@example.com", PASSWORD, "", &origin()).await.unwrap_err();
    assert_eq!(locked_out.message, "invalid credentials");
    hub.control.disable_user(&user.to_string(), false, &origin()).await.unwrap();
    hub.control.login("ada@example.com", PASSWORD, "", &origin()).await.unwrap();
    assert!(hub.caller(&session.token).is_err(), "what was ended stays ended");
    let unknown = hub.control.disable_user("nobody@example.com", true, &origin()).await.unwrap_err();
    assert_eq!(unknown.reason, Reason::NotFound);
}
