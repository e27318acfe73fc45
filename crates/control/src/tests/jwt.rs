//! JWTs at the door of the data endpoints: which database they mean, what they may do, and what ends it.

use ferry_auth::{
    AuthContext, CredentialKind,
    jwt::{JwtSettings, JwtSettingsText},
};
use ferry_testkit::{
    jwks_server::{Behaviour, JwksServer},
    jwt::{ED, GOOD, OTHER_ED, key_set},
};
use ferry_types::{Error, Reason};
use serde_json::{Value, json};

use super::*;

const ISSUER: &str = "https://id.example";

fn settings(audience: &str) -> JwtSettingsText {
    JwtSettingsText {
        jwks_json: key_set(&[ED]).to_string(),
        issuer: ISSUER.into(),
        audiences: vec![audience.into()],
        ..JwtSettingsText::default()
    }
}

fn claims(audience: &str) -> Value {
    json!({"iss": ISSUER, "sub": "ada", "aud": audience, "exp": START + 60, "iat": START})
}

async fn enter(hub: &Fixture, token: &str, route: Option<&str>) -> Result<AuthContext, Error> {
    let credentials = Credentials::default().with_bearer(token.to_owned());
    hub.control
        .authenticator
        .authenticate(&credentials, &ClientInfo { ip: local(), origin: None }, route)
        .await
}

async fn set(hub: &Fixture, caller: &Caller, database: &str, text: JwtSettingsText) {
    SetJwtSettings { caller, database, text, origin: &origin() }.run(&hub.control.db).await.unwrap();
}

// Verifies: JWT-08
#[tokio::test]
async fn a_jwt_means_the_database_of_the_path_or_the_only_one_that_asks_for_it() {
    let hub = Fixture::with(|config| config.default_database = Some("main".to_owned())).await;
    let (_, caller) = hub.signup("ada@example.com").await;
    let [main, first, second, bare] = [
        hub.database(&caller, "main").await,
        hub.database(&caller, "first").await,
        hub.database(&caller, "second").await,
        hub.database(&caller, "bare").await,
    ];
    set(&hub, &caller, "first", settings("one")).await;
    set(&hub, &caller, "second", settings("two")).await;
    let one = ED.token(&claims("one"));
    for route in [None, Some("-"), Some("first"), Some(first.to_string().as_str())] {
        // Twice: the second time from memory.
        for _ in 0..2 {
            let auth = enter(&hub, &one, route).await.unwrap();
            assert_eq!((auth.database_id, auth.principal.kind()), (first, CredentialKind::Jwt), "{route:?}");
            assert_eq!(auth.principal(), "jwt:https://id.example#ada");
            assert_eq!(&*auth.principal.owner(), "jwt:https://id.example#ada");
            assert!(auth.require(Model::Records, Op::Write).is_ok());
            assert!(
                auth.require(Model::Pages, Op::Read).is_err()
                    && auth.require(Model::Records, Op::Admin).is_err()
            );
        }
    }
    let refused =
        async |token: &str, route: Option<&str>| enter(&hub, token, route).await.unwrap_err().reason;
    assert_eq!(refused(&one, Some("second")).await, Reason::Unauthenticated, "another audience");
    let unknown = "db_3f2b9c1e-5d44-4a7b-8e11-0a6c7d902153";
    for route in ["bare", &bare.to_string(), unknown, "nowhere"] {
        assert_eq!(refused(&one, Some(route)).await, Reason::NotFound, "{route}");
    }
    let three = ED.token(&claims("three"));
    assert_eq!(refused(&three, None).await, Reason::Unauthenticated, "nobody asks for it");
    // Both ask for it: the default one is meant, which must itself take JWTs.
    let both = ED.token(&{
        let mut both = claims("one");
        both["aud"] = json!(["one", "two"]);
        both
    });
    assert_eq!(refused(&both, None).await, Reason::Unauthenticated);
    set(&hub, &caller, "main", settings("three")).await;
    assert_eq!(enter(&hub, &three, None).await.unwrap().database_id, main);
    assert_eq!(refused(&both, None).await, Reason::Unauthenticated, "not the default one's audience");
    assert_eq!(enter(&hub, &both, Some("second")).await.unwrap().database_id, second);
    // What one database lets in is not remembered for another, nor after its settings are gone.
    set(&hub, &caller, "first", JwtSettingsText::default()).await;
    assert_eq!(refused(&one, None).await, Reason::Unauthenticated);
    assert_eq!(refused(&one, Some("first")).await, Reason::NotFound);
    assert_eq!(enter(&hub, &both, None).await.unwrap().database_id, second);
}

// Verifies: TOK-12, TOK-13, JWT-08
#[tokio::test]
async fn connections_of_a_jwt_end_with_it_its_settings_and_its_revocation() {
    let hub = Fixture::new().await;
    let (_, caller) = hub.signup("ada@example.com").await;
    hub.database(&caller, "main").await;
    set(&hub, &caller, "main", settings("notes")).await;
    let token = ED.token(&claims("notes"));
    let watch = async || hub.control.watch(&enter(&hub, &token, None).await.unwrap());
    let mut by_settings = watch().await;
    assert_eq!(by_settings.now(), None);
    set(&hub, &caller, "main", JwtSettingsText { leeway_seconds: 7, ..settings("notes") }).await;
    assert_eq!(by_settings.ended().await, RightsEnd::Revoked);

    let mut by_time = watch().await;
    hub.clock.advance_secs(66);
    assert_eq!(by_time.now(), None, "within the leeway");
    hub.clock.advance_secs(1);
    assert_eq!(by_time.ended().await, RightsEnd::Expired);
    assert_eq!(enter(&hub, &token, None).await.unwrap_err().reason, Reason::TokenExpired, "from memory too");

    hub.clock.advance_secs(-67);
    let mut by_epoch = watch().await;
    RevokeDatabaseTokens { caller: &caller, database: "main", origin: &origin() }
        .run(&hub.control.db)
        .await
        .unwrap();
    assert_eq!(by_epoch.ended().await, RightsEnd::Revoked);
    assert_eq!(enter(&hub, &token, None).await.unwrap_err().reason, Reason::TokenRevoked);
    let mut newer = claims("notes");
    newer["iat"] = json!(START + 1);
    let mut by_deletion = hub.control.watch(&enter(&hub, &ED.token(&newer), None).await.unwrap());
    DeleteDatabase { caller: &caller, database: "main", confirm_name: "", origin: &origin() }
        .run(&hub.control.db, &hub.control.storage)
        .await
        .unwrap();
    assert_eq!(by_deletion.ended().await, RightsEnd::DatabaseDeleted);
    assert_eq!(enter(&hub, &ED.token(&newer), None).await.unwrap_err().reason, Reason::Unauthenticated);
}

fn operator(url: String) -> JwtSettingsText {
    JwtSettingsText { jwks_url: url, jwks_json: String::new(), ..settings("notes") }
}

// Verifies: JWT-06
#[tokio::test]
async fn without_keys_the_hub_says_try_again_not_you_are_wrong() {
    let server = JwksServer::start(Behaviour::Refuse);
    let url = server.url();
    let hub = Fixture::with(|config| {
        config.default_database = Some("main".to_owned());
        config.jwt = Some(operator(url));
    })
    .await;
    let (_, caller) = hub.signup("ada@example.com").await;
    let main = hub.database(&caller, "main").await;
    let token = ED.token(&claims("notes"));
    for _ in 0..3 {
        let refused = enter(&hub, &token, None).await.unwrap_err();
        assert_eq!((refused.reason, refused.retry_after_ms), (Reason::Unavailable, Some(5_000)));
    }
    assert_eq!(server.requests(), 1, "one attempt in five seconds");
    server.behave(Behaviour::Keys(GOOD.to_vec(), None));
    hub.clock.advance_secs(5);
    let auth = enter(&hub, &token, None).await.unwrap();
    assert_eq!((auth.database_id, auth.by_default), (main, true));
    assert!(!enter(&hub, &token, Some("main")).await.unwrap().by_default, "the path names it");
    // Where another database asks for the token, that one is meant, and gets no other of its own.
    hub.database(&caller, "other").await;
    set(&hub, &caller, "other", settings("notes")).await;
    let auth = enter(&hub, &token, None).await.unwrap();
    assert!(auth.database_id != main && !auth.by_default);
    let stays = hub.control.tenants.in_store_database(auth.clone(), "team-1", true, &origin()).await.unwrap();
    assert_eq!(hub.control.tenants.in_user_database(stays, &origin()).await.unwrap(), auth);
    set(&hub, &caller, "other", JwtSettingsText::default()).await;
    // Settings of its own take the place of the operator's.
    set(&hub, &caller, "main", settings("own")).await;
    assert_eq!(enter(&hub, &token, None).await.unwrap_err().reason, Reason::Unauthenticated);
}

// Verifies: JWT-04, JWT-05
#[tokio::test]
async fn a_removed_key_dies_with_the_next_refresh_also_in_memory() {
    let server = JwksServer::start(Behaviour::Keys(vec![ED, OTHER_ED], None));
    let url = server.url();
    let hub = Fixture::with(|config| {
        config.default_database = Some("main".to_owned());
        config.jwt = Some(operator(url));
    })
    .await;
    let (_, caller) = hub.signup("ada@example.com").await;
    hub.database(&caller, "main").await;
    let later = |key: ferry_testkit::jwt::Key| {
        let mut claims = claims("notes");
        claims["exp"] = json!(START + 100_000);
        key.token(&claims)
    };
    let (kept, removed) = (later(ED), later(OTHER_ED));
    assert!(enter(&hub, &removed, None).await.is_ok() && enter(&hub, &kept, None).await.is_ok());
    server.behave(Behaviour::Keys(vec![ED], None));
    assert!(enter(&hub, &removed, None).await.is_ok(), "the set is fresh");
    hub.clock.advance_secs(601);
    // Stale: used once more while the new set is fetched.
    assert!(enter(&hub, &kept, None).await.is_ok());
    let mut outcome = enter(&hub, &removed, None).await;
    while outcome.is_ok() {
        tokio::task::yield_now().await;
        outcome = enter(&hub, &removed, None).await;
    }
    assert_eq!(outcome.unwrap_err().reason, Reason::Unauthenticated);
    assert!(enter(&hub, &kept, None).await.is_ok());
    // The provider goes away: what is known goes on for a day.
    server.behave(Behaviour::Refuse);
    hub.clock.advance_secs(80_000);
    assert!(enter(&hub, &kept, None).await.is_ok());
    hub.control.sweep().await;
    assert!(enter(&hub, &kept, None).await.is_ok(), "a set in use is not swept");
}

#[tokio::test]
async fn stored_settings_are_read_back_at_start() {
    let hub = Fixture::new().await;
    let (_, caller) = hub.signup("ada@example.com").await;
    let main = hub.database(&caller, "main").await;
    let text =
        JwtSettingsText { models: vec!["pages".into()], ops: vec!["read".into()], ..settings("notes") };
    JwtSettings::try_from(&text).unwrap();
    set(&hub, &caller, "main", text.clone()).await;
    let hub = hub.restart().await;
    assert_eq!(
        GetJwtSettings { caller: &caller, database: "main" }.run(&hub.control.db).await.unwrap(),
        text
    );
    let auth = enter(&hub, &ED.token(&claims("notes")), None).await.unwrap();
    assert_eq!(
        (auth.database_id, auth.models, auth.ops),
        (main, ModelSet::of(&[Model::Pages]), OpSet::of(&[Op::Read]))
    );
}
