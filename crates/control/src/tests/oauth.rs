use ferry_auth::oauth::pkce;
use ferry_types::{Reason, limits::OAUTH_STATES_MAX};

use super::*;

async fn configured() -> Fixture {
    Fixture::with(|config| {
        config.oauth.redirect_base = Some("https://hub.example".to_owned());
        config.oauth.github = Some(OAuthClient { id: "id".to_owned(), secret: "secret".to_owned() });
    })
    .await
}

// Verifies: OAU-02
#[tokio::test]
async fn waiting_logins_are_limited_and_swept() {
    let hub = configured().await;
    let wanted = StartOAuth { provider: "github", ..Default::default() };
    wanted.run(&hub.control.oauth, None, &origin()).await.unwrap();
    let fill = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
                INSERT INTO oauth_states SELECT randomblob(32), '{}', ?2 FROM n";
    let expires = (START + 600) * 1000;
    hub.sql().execute(fill, rusqlite::params![OAUTH_STATES_MAX, expires]).unwrap();
    let refused = wanted.run(&hub.control.oauth, None, &origin()).await.unwrap_err();
    assert_eq!((refused.reason, refused.retry_after_ms), (Reason::Busy, Some(60_000)));
    hub.clock.advance_secs(600);
    wanted.run(&hub.control.oauth, None, &origin()).await.unwrap();
    let count =
        || -> u64 { hub.sql().query_row("SELECT count(*) FROM oauth_states", [], |row| row.get(0)).unwrap() };
    assert_eq!(count(), 1);
    hub.clock.advance_secs(601);
    hub.control.sweep().await;
    assert_eq!(count(), 0);
}

// Verifies: OAU-02, OAU-07
#[tokio::test]
async fn a_state_is_known_until_it_expires_or_is_taken() {
    let hub = configured().await;
    let challenge = pkce::challenge(&pkce::verifier([1; 32]));
    let wanted = StartOAuth {
        provider: "github",
        client_challenge: &challenge,
        loopback_port: 50_000,
        is_of_page: false,
    };
    let (url, state) = wanted.run(&hub.control.oauth, None, &origin()).await.unwrap();
    assert!(url.starts_with("https://github.com/login/oauth/authorize?client_id=id&"), "{url}");
    let back = async |provider: &str| hub.control.oauth.return_of(provider, &state).await.unwrap();
    assert_eq!(back("github").await, Return::Loopback(50_000));
    assert_eq!(back("google").await, Return::EdgeReplica);
    // The wrong verifier spends it, before anybody is asked.
    let ended = CompleteOAuth { state: &state, code: "c", client_verifier: "guess", ..Default::default() };
    let refused = ended.run(&hub.control.oauth, None, &origin()).await.unwrap_err();
    assert_eq!(refused.reason, Reason::PermissionDenied);
    assert_eq!(back("github").await, Return::EdgeReplica);
    let (_, state) = wanted.run(&hub.control.oauth, None, &origin()).await.unwrap();
    hub.clock.advance_secs(600);
    assert_eq!(hub.control.oauth.return_of("github", &state).await.unwrap(), Return::EdgeReplica);
}
