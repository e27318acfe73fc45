use ferry_auth::{Caveat, Principal, macaroon};
use ferry_types::Reason;

use super::*;

async fn with_database(hub: &Fixture) -> (Session, Caller, DatabaseId) {
    let (session, caller) = hub.signup("ada@example.com").await;
    let id = hub.database(&caller, "main").await;
    (session, caller, id)
}

// Verifies: TOK-03, TOK-15
#[tokio::test]
async fn a_sync_token_opens_its_database() {
    let hub = Fixture::new().await;
    let (session, caller, id) = with_database(&hub).await;
    let token = hub.token(&caller, id, &[Op::Write]).await;
    let context = hub.control.authenticator.sync_bearer(&bearer(&token.token), local()).unwrap();
    let Principal::SyncToken { holder, .. } = &context.principal else { panic!("{context:?}") };
    assert_eq!((context.database_id, holder.user_id), (id, caller.user_id));
    assert_eq!((holder.token_id, holder.session_id), (token.token_id, caller.session_id));
    assert_eq!(context.deadline_unix, Some(token.exp_unix));
    assert!(context.require(Model::Pages, Op::Write).is_ok());
    assert!(context.require(Model::Pages, Op::Read).is_err());
    assert!(context.require(Model::Events, Op::Write).is_err());
    let refused = |headers: &HeaderMap| hub.control.authenticator.sync_bearer(headers, local()).unwrap_err();
    assert_eq!(refused(&HeaderMap::new()).message, "missing bearer token");
    assert_eq!(refused(&bearer("x")).message, "invalid sync token: not a Ferry token");
    assert_eq!(refused(&bearer(&session.token)).reason, Reason::WrongPurpose);
    hub.clock.advance_secs(3_600);
    let expired = refused(&bearer(&token.token));
    assert_eq!(
        (expired.reason, &*expired.message),
        (Reason::TokenExpired, "invalid sync token: token expired")
    );
}

// Verifies: TOK-05
#[tokio::test]
async fn lifetimes_are_capped() {
    let hub = Fixture::new().await;
    let (_, caller, id) = with_database(&hub).await;
    let lifetime = async |hub: &Fixture, ttl_seconds| {
        let request = IssueToken { ttl_seconds, ..wanted(id, &[Op::Read]) };
        IssueSyncToken { caller: &caller, request, origin: &origin() }
            .run(&hub.control.db, hub.control.token_lives)
            .await
            .unwrap()
            .exp_unix
            - START
    };
    assert_eq!(lifetime(&hub, 0).await, 3_600);
    assert_eq!(lifetime(&hub, -5).await, 3_600);
    assert_eq!(lifetime(&hub, 60).await, 60);
    assert_eq!(lifetime(&hub, i64::MAX).await, 7_200);
    hub.control.stop().await;
    let hub = Fixture::open(hub.dir, hub.clock, |config| config.sync_token_ttl_seconds = 99_999).await;
    assert_eq!(lifetime(&hub, 0).await, 7_200, "the default is capped too");
}

// Verifies: TOK-07
#[tokio::test]
async fn a_token_inherits_the_deadline_and_caveats_of_its_session() {
    let hub = Fixture::with(|config| config.session_ttl_seconds = 600).await;
    let (session, caller, id) = with_database(&hub).await;
    assert_eq!(hub.token(&caller, id, &[Op::Read]).await.exp_unix, START + 600);
    let caveats: Vec<Caveat> = vec!["op=read".parse().unwrap(), Caveat::Exp(START + 60)];
    let narrowed = bearer(&macaroon::attenuate(&session.token, &caveats).unwrap());
    let narrow_caller = hub.control.authenticator.session(&narrowed, local(), Access::Mint).unwrap();
    let token = hub.token(&narrow_caller, id, &[Op::Read, Op::Write]).await;
    assert_eq!(token.exp_unix, START + 60);
    let context = hub.control.authenticator.sync_bearer(&bearer(&token.token), local()).unwrap();
    assert!(
        context.require(Model::Pages, Op::Read).is_ok() && context.require(Model::Pages, Op::Write).is_err()
    );
    hub.clock.advance_secs(60);
    assert!(hub.control.authenticator.sync_bearer(&bearer(&token.token), local()).is_err());
}

// Verifies: TOK-09
#[tokio::test]
async fn caveats_of_the_request_are_carried_and_checked() {
    let hub = Fixture::new().await;
    let (_, caller, id) = with_database(&hub).await;
    let issue = async |caveats: &[&str]| {
        let caveats = caveats.iter().map(|text| text.parse().unwrap()).collect();
        let request = IssueToken { caveats, ..wanted(id, &[Op::Read]) };
        IssueSyncToken { caller: &caller, request, origin: &origin() }
            .run(&hub.control.db, hub.control.token_lives)
            .await
    };
    let tables = issue(&["tbl=notes"]).await.unwrap();
    let context = hub.control.authenticator.sync_bearer(&bearer(&tables.token), local()).unwrap();
    assert_eq!(context.require(Model::Pages, Op::Read).unwrap_err().reason, Reason::PermissionDenied);
    let network = issue(&["ip=10.0.0.0/8"]).await.unwrap();
    let far = hub.control.authenticator.sync_bearer(&bearer(&network.token), local()).unwrap_err();
    assert_eq!(far.reason, Reason::PermissionDenied);
    hub.control.authenticator.sync_bearer(&bearer(&network.token), client("10.1.1.1")).unwrap();
    let ending = issue(&[&format!("exp={}", START + 5)]).await.unwrap();
    assert_eq!(ending.exp_unix, START + 5);
    let past = format!("exp={START}");
    let other = "db=db_3f2b9c1e-5d44-4a7b-8e11-0a6c7d902153";
    for bad in [&[past.as_str()][..], &[other], &["op=read"; 33]] {
        assert_eq!(issue(bad).await.unwrap_err().reason, Reason::InvalidArgument, "{bad:?}");
    }
    let own = format!("db={id}");
    let token = issue(&[&own]).await.unwrap().token;
    hub.control.authenticator.sync_bearer(&bearer(&token), local()).unwrap();
    let elsewhere =
        macaroon::attenuate(&hub.token(&caller, id, &[Op::Read]).await.token, &[other.parse().unwrap()]);
    let refused = hub.control.authenticator.sync_bearer(&bearer(&elsewhere.unwrap()), local()).unwrap_err();
    assert_eq!(refused.message, "invalid sync token: caveat db names another database");
}

// Verifies: TOK-12
#[tokio::test]
async fn a_revoked_session_takes_its_sync_tokens_along_unless_told_not_to() {
    let hub = Fixture::new().await;
    let (_, first, id) = with_database(&hub).await;
    let second = LogIn { email: "ada@example.com", password: PASSWORD, label: "", origin: &origin() }
        .run(&hub.control.accounts)
        .await
        .unwrap();
    let second = hub.caller(&second.token).unwrap();
    let killed = hub.token(&first, id, &[Op::Read]).await.token;
    let kept = hub.token(&second, id, &[Op::Read]).await.token;
    RevokeSession { caller: &first, session_id: "", keep_sync_tokens: false, origin: &origin() }
        .run(&hub.control.db)
        .await
        .unwrap();
    RevokeSession { caller: &second, session_id: "", keep_sync_tokens: true, origin: &origin() }
        .run(&hub.control.db)
        .await
        .unwrap();
    let check = |hub: &Fixture| {
        let refused = hub.control.authenticator.sync_bearer(&bearer(&killed), local()).unwrap_err();
        assert_eq!(
            (refused.reason, &*refused.message),
            (Reason::TokenRevoked, "invalid sync token: token revoked")
        );
        hub.control.authenticator.sync_bearer(&bearer(&kept), local()).unwrap();
    };
    check(&hub);
    let late = IssueSyncToken { caller: &second, request: wanted(id, &[Op::Read]), origin: &origin() }
        .run(&hub.control.db, hub.control.token_lives)
        .await;
    assert_eq!(late.unwrap_err().reason, Reason::TokenRevoked, "a revoked session mints nothing");
    let hub = hub.restart().await;
    check(&hub);
    let late = RevokeSession { caller: &second, session_id: "", keep_sync_tokens: false, origin: &origin() }
        .run(&hub.control.db)
        .await;
    assert_eq!(late.unwrap_err().reason, Reason::TokenRevoked, "nor does it revoke");
    let third = LogIn { email: "ada@example.com", password: PASSWORD, label: "", origin: &origin() }
        .run(&hub.control.accounts)
        .await
        .unwrap();
    let third = hub.caller(&third.token).unwrap();
    let ended = second.session_id.to_string();
    RevokeSession { caller: &third, session_id: &ended, keep_sync_tokens: false, origin: &origin() }
        .run(&hub.control.db)
        .await
        .unwrap();
    assert!(hub.control.authenticator.sync_bearer(&bearer(&kept), local()).is_err());
    RevokeSession { caller: &third, session_id: &ended, keep_sync_tokens: true, origin: &origin() }
        .run(&hub.control.db)
        .await
        .unwrap();
    assert!(
        hub.control.authenticator.sync_bearer(&bearer(&kept), local()).is_err(),
        "revoked once is revoked"
    );
}

// Verifies: TOK-16
#[tokio::test]
async fn tokens_of_another_hub_are_refused() {
    let (hub, other) = (Fixture::new().await, Fixture::new().await);
    let (_, caller, id) = with_database(&other).await;
    let token = other.token(&caller, id, &[Op::Read]).await.token;
    let refused = hub.control.authenticator.sync_bearer(&bearer(&token), local()).unwrap_err();
    assert_eq!(refused.message, "invalid sync token: unknown signing key");
}

// Verifies: TOK-10
#[tokio::test]
async fn a_new_session_key_signs_and_the_stored_one_still_verifies() {
    let hub = Fixture::new().await;
    let (session, _, _) = with_database(&hub).await;
    hub.control.stop().await;
    let key = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=".to_owned();
    let hub = Fixture::open(hub.dir, hub.clock, |config| config.session_key = Some(key)).await;
    hub.caller(&session.token).unwrap();
    let newer = LogIn { email: "ada@example.com", password: PASSWORD, label: "", origin: &origin() }
        .run(&hub.control.accounts)
        .await
        .unwrap();
    hub.caller(&newer.token).unwrap();
    let hub = hub.restart().await;
    hub.caller(&session.token).unwrap();
    assert!(hub.caller(&newer.token).is_err(), "without SESSION_KEY its tokens are unknown");
}

// Verifies: TOK-04, TOK-15
#[tokio::test]
async fn a_clock_that_steps_back_refuses_nothing_and_expiry_holds() {
    let hub = Fixture::new().await;
    let (session, caller, id) = with_database(&hub).await;
    let token = hub.token(&caller, id, &[Op::Read]).await;
    let enter = || hub.control.authenticator.sync_bearer(&bearer(&token.token), local());
    enter().unwrap();
    hub.clock.advance_secs(-3_600);
    enter().unwrap();
    hub.caller(&session.token).unwrap();
    hub.clock.advance_secs(7_199);
    enter().unwrap();
    hub.clock.advance_secs(1);
    assert_eq!(enter().unwrap_err().reason, Reason::TokenExpired, "also a second after it was looked at");
}
