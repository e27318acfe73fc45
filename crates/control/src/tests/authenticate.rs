//! Every kind of credential at one door.

use ferry_auth::{AuthContext, CredentialKind, macaroon};
use ferry_types::{Error, Reason};

use super::*;

const KEY: &str = "fy_pk_aaaaaaaaaaaaaaaaaaaaaaaaaa";
const SECRET: &str = "static token, imported";

fn client(origin: Option<&str>) -> ClientInfo<'_> {
    ClientInfo { ip: local(), origin }
}

async fn enter(
    hub: &Fixture,
    credentials: Credentials<'_>,
    route: Option<&str>,
) -> Result<AuthContext, Error> {
    hub.control.authenticator.authenticate(&credentials, &client(None), route).await
}

/// A hub where `ada` has the databases `main` and `other`, and `main` has two API keys.
async fn with_keys() -> (Fixture, Session, [DatabaseId; 2]) {
    let hub = Fixture::new().await;
    let (session, caller) = hub.signup("ada@example.com").await;
    let ids = [hub.database(&caller, "main").await, hub.database(&caller, "other").await];
    let insert = "INSERT INTO api_keys(id, database_id, kind, label, hash, prefix, models, ops, limits, created, expires)
                  VALUES (?1, ?2, ?3, '', ?4, '', 'pages,events', 'read', ?5, 0, ?6)";
    let rows = [
        (
            "k_3f2b9c1e-5d44-4a7b-8e11-0a6c7d902151",
            "publishable",
            KEY,
            r#"{"origins":["https://app.example"]}"#,
        ),
        ("k_3f2b9c1e-5d44-4a7b-8e11-0a6c7d902152", "secret", SECRET, "{}"),
    ];
    for (id, kind, value, limits) in rows {
        use sha2::Digest as _;
        let digest: [u8; 32] = sha2::Sha256::digest(value).into();
        let expires = (START + 100) * 1000;
        hub.sql()
            .execute(insert, rusqlite::params![id, ids[0].to_string(), kind, digest, limits, expires])
            .unwrap();
    }
    (hub.restart().await, session, ids)
}

// Verifies: TOK-03
#[tokio::test]
async fn the_path_must_name_the_credentials_database() {
    let (hub, session, [main, other]) = with_keys().await;
    let caller = hub.caller(&session.token).unwrap();
    let token = hub.token(&caller, main, &[Op::Read]).await.token;
    let bearer = || Credentials::default().with_bearer(token.as_str());
    for route in [None, Some("-"), Some("main"), Some(main.to_string().as_str())] {
        let auth = enter(&hub, bearer(), route).await.unwrap();
        assert_eq!((auth.database_id, auth.principal.kind()), (main, CredentialKind::SyncToken), "{route:?}");
    }
    let unknown = "db_3f2b9c1e-5d44-4a7b-8e11-0a6c7d902153";
    for route in ["other", &other.to_string(), unknown, "nowhere"] {
        let refused = enter(&hub, bearer(), Some(route)).await.unwrap_err();
        assert_eq!((refused.reason, &*refused.message), (Reason::NotFound, "database not found"), "{route}");
    }
}

#[tokio::test]
async fn a_session_opens_admin_apis_of_the_database_in_the_path() {
    let (hub, session, [main, _]) = with_keys().await;
    let bearer = || Credentials::default().with_bearer(session.token.as_str());
    for route in ["main", &main.to_string()] {
        let auth = enter(&hub, bearer(), Some(route)).await.unwrap();
        assert!(auth.require(Model::Events, Op::Admin).is_ok());
        assert_eq!(auth.require(Model::Events, Op::Read).unwrap_err().reason, Reason::WrongPurpose);
    }
    assert_eq!(enter(&hub, bearer(), None).await.unwrap_err().reason, Reason::WrongPurpose);
    let (foreign, _) = hub.signup("eve@example.com").await;
    let foreign = || Credentials::default().with_bearer(foreign.token.as_str());
    for route in ["main", &main.to_string()] {
        assert_eq!(enter(&hub, foreign(), Some(route)).await.unwrap_err().reason, Reason::NotFound);
    }
    let narrowed =
        macaroon::attenuate(&session.token, &["db=db_3f2b9c1e-5d44-4a7b-8e11-0a6c7d902153".parse().unwrap()]);
    let narrowed = Credentials::default().with_bearer(narrowed.unwrap());
    assert_eq!(enter(&hub, narrowed, Some("main")).await.unwrap_err().reason, Reason::NotFound);

    let mut watch = hub.control.watch(&enter(&hub, bearer(), Some("main")).await.unwrap());
    assert_eq!(watch.now(), None);
    let caller = hub.caller(&session.token).unwrap();
    RevokeSession { caller: &caller, session_id: "", keep_sync_tokens: false, origin: &origin() }
        .run(&hub.control.db)
        .await
        .unwrap();
    assert_eq!(watch.ended().await, RightsEnd::Revoked);
    assert_eq!(enter(&hub, bearer(), Some("main")).await.unwrap_err().reason, Reason::TokenRevoked);
}

// Verifies: TOK-03
#[tokio::test]
async fn bearer_and_key_must_both_verify_and_allow() {
    let (hub, session, [main, other]) = with_keys().await;
    let caller = hub.caller(&session.token).unwrap();
    let of = async |id| hub.token(&caller, id, &[Op::Read, Op::Write]).await.token;
    let (token, elsewhere) = (of(main).await, of(other).await);
    let page = client(Some("https://APP.example"));
    let both = |token: &str, key: &str| {
        Credentials::default().with_bearer(token.to_owned()).with_key(key.to_owned())
    };
    let auth = hub.control.authenticator.authenticate(&both(&token, KEY), &page, None).await.unwrap();
    assert_eq!((auth.principal.user_id(), auth.ops), (Some(caller.user_id), OpSet::of(&[Op::Read])));
    assert_eq!((auth.models, auth.deadline_unix), (ModelSet::of(&[Model::Pages]), Some(START + 100)));
    let refused = async |credentials| {
        hub.control.authenticator.authenticate(&credentials, &page, None).await.unwrap_err().reason
    };
    assert_eq!(refused(both(&token, "fy_pk_unknown")).await, Reason::Unauthenticated);
    assert_eq!(refused(both("junk", KEY)).await, Reason::Unauthenticated);
    assert_eq!(refused(both(&elsewhere, KEY)).await, Reason::NotFound);
    assert_eq!(refused(both(&token, KEY).with_bearer(elsewhere.clone())).await, Reason::Unauthenticated);
    assert_eq!(refused(both(&token, KEY).with_key(SECRET)).await, Reason::Unauthenticated);
}

#[tokio::test]
async fn a_key_alone_names_an_app() {
    let (hub, _, [main, _]) = with_keys().await;
    let key = || Credentials::default().with_key(KEY);
    let of =
        async |origin| hub.control.authenticator.authenticate(&key(), &client(origin), Some("main")).await;
    assert_eq!(of(Some("https://app.example")).await.unwrap().database_id, main);
    for origin in [None, Some("https://evil.example"), Some("null")] {
        assert_eq!(of(origin).await.unwrap_err().reason, Reason::PermissionDenied, "{origin:?}");
    }
    let secret = enter(&hub, Credentials::default().with_bearer(SECRET), None).await.unwrap();
    assert_eq!((secret.principal.kind(), secret.database_id), (CredentialKind::ApiKey, main));
    let publishable = enter(&hub, Credentials::default().with_bearer(KEY), None).await.unwrap_err();
    assert_eq!(publishable.reason, Reason::Unauthenticated, "a publishable key is no bearer");
    let mut watch = hub.control.watch(&secret);
    assert_eq!(watch.now(), None);
    hub.clock.advance_secs(100);
    assert_eq!(watch.ended().await, RightsEnd::Expired);
    let expired = hub
        .control
        .authenticator
        .authenticate(&key(), &client(Some("https://app.example")), None)
        .await
        .unwrap_err();
    assert_eq!(expired.reason, Reason::TokenExpired);
}

#[tokio::test]
async fn an_operator_token_opens_no_database() {
    let hub = Fixture::new().await;
    let token = std::fs::read_to_string(hub.dir.path().join("operator.token")).unwrap();
    let good =
        enter(&hub, Credentials::default().with_bearer(token.trim().to_owned()), None).await.unwrap_err();
    assert_eq!(good.reason, Reason::WrongPurpose);
    let bad = enter(&hub, Credentials::default().with_bearer("fop_x"), None).await.unwrap_err();
    assert_eq!(bad.reason, Reason::Unauthenticated);
}

// Verifies: CFG-04
#[tokio::test]
async fn only_dev_lets_anonymous_callers_in_and_only_to_its_default_database() {
    let closed = Fixture::new().await;
    let refused = enter(&closed, Credentials::default(), None).await.unwrap_err();
    assert_eq!(refused.reason, Reason::Unauthenticated);

    let dev = Fixture::with(|config| config.dev = true).await;
    let auth = enter(&dev, Credentials::default(), None).await.unwrap();
    assert_eq!(auth.principal.kind(), CredentialKind::Anonymous);
    assert!(
        auth.require(Model::Events, Op::Write).is_ok() && auth.require(Model::Events, Op::Admin).is_err()
    );
    assert!(auth.by_default, "nothing names the database");
    assert_eq!(enter(&dev, Credentials::default(), Some("-")).await.unwrap(), auth);
    let named = AuthContext { by_default: false, ..auth.clone() };
    for route in ["main", &auth.database_id.to_string()] {
        assert_eq!(enter(&dev, Credentials::default(), Some(route)).await.unwrap(), named);
    }
    let (_, caller) = dev.signup("ada@example.com").await;
    let other = dev.database(&caller, "main").await;
    for route in ["other", &other.to_string()] {
        let refused = enter(&dev, Credentials::default(), Some(route)).await.unwrap_err();
        assert_eq!(refused.reason, Reason::Unauthenticated);
    }
    assert_eq!(enter(&dev, Credentials::default(), Some("main")).await.unwrap(), named, "dev's own main");
    for bad in ["junk", "fop_x", "a.b.c"] {
        let refused = enter(&dev, Credentials::default().with_bearer(bad), None).await.unwrap_err();
        assert_eq!(refused.reason, Reason::Unauthenticated, "a bad credential is not the same as none");
    }
    let mut watch = dev.control.watch(&auth);
    let (_, owner) = (LogIn { email: "dev@localhost", password: "ferry-dev", label: "", origin: &origin() }
        .run(&dev.control.accounts)
        .await
        .map(|session| {
            let caller = dev.caller(&session.token).unwrap();
            (session, caller)
        }))
    .unwrap();
    DeleteDatabase { caller: &owner, database: "main", confirm_name: "", origin: &origin() }
        .run(&dev.control.db, &dev.control.storage)
        .await
        .unwrap();
    assert_eq!(watch.ended().await, RightsEnd::DatabaseDeleted);
}

#[tokio::test]
async fn the_default_database_is_an_id_or_a_name_that_only_one_has() {
    let hub = Fixture::with(|config| config.default_database = Some("notes".to_owned())).await;
    let default = || hub.control.db.state().read().default_database();
    let (_, ada) = hub.signup("ada@example.com").await;
    let (_, eve) = hub.signup("eve@example.com").await;
    assert_eq!(default(), None);
    let id = hub.database(&ada, "notes").await;
    assert_eq!(default(), Some(id));
    let second = hub.database(&eve, "notes").await;
    assert_eq!(default(), None, "ambiguous");
    RenameDatabase { caller: &eve, database: &second.to_string(), name: "mine", origin: &origin() }
        .run(&hub.control.db)
        .await
        .unwrap();
    assert_eq!(default(), Some(id));
    DeleteDatabase { caller: &ada, database: "notes", confirm_name: "", origin: &origin() }
        .run(&hub.control.db, &hub.control.storage)
        .await
        .unwrap();
    assert_eq!(default(), None);
    RenameDatabase { caller: &eve, database: "mine", name: "notes", origin: &origin() }
        .run(&hub.control.db)
        .await
        .unwrap();
    assert_eq!(default(), Some(second));
    let setting = second.to_string();
    hub.control.stop().await;
    let hub = Fixture::open(hub.dir, hub.clock, |config| config.default_database = Some(setting)).await;
    assert_eq!(hub.control.db.state().read().default_database(), Some(second));
}
