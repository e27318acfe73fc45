//! Functions of databases: whose tokens they take, keys of their own, secrets.

use ferry_auth::{FunctionAuth, Principal, api_key::KeyKind, jwt::JwtSettingsText};
use ferry_testkit::jwt::{EC, ED, key_set};
use ferry_types::{Error, Model, Reason};
use serde_json::{Value, json};

use super::*;

const HOST: &str = "https://hub.example";

async fn call(hub: &Fixture, credentials: Credentials<'_>) -> Result<FunctionCredential, FunctionRefusal> {
    let client = ClientInfo { ip: local(), origin: None };
    hub.control.authenticator.authenticate_function_caller(&credentials, &client, None).await
}

/// A call with the key `key`, and with a bearer if there is one.
async fn call_with(hub: &Fixture, key: &str, token: &str) -> Result<FunctionCredential, FunctionRefusal> {
    let credentials = Credentials::default().with_key(key.to_owned());
    call(hub, if token.is_empty() { credentials } else { credentials.with_bearer(token.to_owned()) }).await
}

async fn key(hub: &Fixture, caller: &Caller, database: DatabaseId, kind: KeyKind) -> String {
    let spec = ApiKeySpec {
        kind,
        label: String::new(),
        models: ModelSet::of(&[]),
        ops: OpSet::of(&[]),
        limits: ApiKeyLimits::default(),
        expires_unix: 0,
        import: String::new(),
    };
    let database = database.to_string();
    let made = CreateApiKey { caller, database: &database, spec, origin: &origin() };
    made.run(&hub.control.db).await.unwrap().value
}

async fn set_auth(hub: &Fixture, database_id: DatabaseId, auth: FunctionAuth) {
    let set = SetFunctionAuth { by: &requester(), database_id, auth, jwt: None };
    set.run(&hub.control.db).await.unwrap();
}

async fn sign(hub: &Fixture, database_id: DatabaseId, claims: &str, expires_in: &str) -> String {
    SignJwt { database_id, claims, expires_in }.run(&hub.control.db).await.unwrap()
}

async fn rotate(hub: &Fixture, database_id: DatabaseId) -> Result<String, Error> {
    RotateFunctionKey { by: &requester(), database_id }.run(&hub.control.db).await
}

async fn import(hub: &Fixture, database_id: DatabaseId, jwk: &Value) -> Result<String, Error> {
    ImportFunctionKey { by: &requester(), database_id, jwk }.run(&hub.control.db).await
}

async fn set_secrets(
    hub: &Fixture,
    database_id: DatabaseId,
    secrets: &[(&str, Option<&str>)],
) -> Result<(), Error> {
    let secrets = secrets.iter().map(|(name, value)| ((*name).to_owned(), value.map(str::to_owned)));
    let secrets = secrets.collect();
    SetFunctionSecrets { by: &requester(), database_id, secrets }.run(&hub.control.db).await
}

fn kids(hub: &Fixture, database: DatabaseId) -> Vec<String> {
    let text = hub.control.function_jwks(Some(&database.to_string())).unwrap();
    let set: Value = serde_json::from_str(&text).unwrap();
    let keys = set["keys"].as_array().unwrap();
    assert!(keys.iter().all(|key| key["d"].is_null() && key["alg"] == "ES256"), "{set}");
    keys.iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
}

fn env(hub: &Fixture, database: DatabaseId) -> Vec<(String, String)> {
    hub.control.function_env(database).unwrap().values.as_ref().clone().into_iter().collect()
}

fn fault(outcome: Result<FunctionCredential, FunctionRefusal>) -> BearerFault {
    match outcome {
        Err(FunctionRefusal::Bearer(fault)) => fault,
        other => panic!("no fault of a bearer: {other:?}"),
    }
}

fn claims(credential: &FunctionCredential) -> Value {
    serde_json::from_str(credential.claims.as_deref().unwrap_or("null")).unwrap()
}

// Verifies: FUN-50, FUN-51, FUN-53, FUN-54
#[tokio::test]
async fn tokens_of_a_databases_own_keys_pass_there_until_they_expire_and_nowhere_else() {
    let hub = Fixture::new().await;
    let (_, ada) = hub.signup("ada@example.com").await;
    let (a, b) = (hub.database(&ada, "a").await, hub.database(&ada, "b").await);
    let (key_a, key_b) =
        (key(&hub, &ada, a, KeyKind::Publishable).await, key(&hub, &ada, b, KeyKind::Publishable).await);
    assert_eq!(hub.control.function_jwks(Some(&a.to_string())), None, "no local auth");
    set_auth(&hub, a, FunctionAuth::Local).await;
    set_auth(&hub, b, FunctionAuth::Local).await;
    assert_eq!((kids(&hub, a), kids(&hub, b)), (vec!["fk_1".to_owned()], vec!["fk_1".to_owned()]));

    let old = sign(&hub, a, r#"{"sub":"ada","role":"admin"}"#, "1h").await;
    let shown = claims(&call_with(&hub, &key_a, &old).await.unwrap());
    assert_eq!(
        shown,
        json!({"sub": "ada", "role": "admin", "iss": format!("{HOST}/v1/databases/{a}"), "iat": START,
               "exp": START + 3600})
    );
    // Without a key, its issuer says which database it means.
    let alone = call(&hub, Credentials::default().with_bearer(old.clone())).await.unwrap();
    assert_eq!((alone.auth.database_id, alone.claims.is_some()), (a, true));
    assert_eq!(fault(call_with(&hub, &key_b, &old).await), BearerFault::Signature);
    // Records of a user are his own; what users share is not opened by it.
    let elsewhere = async |database: DatabaseId| {
        let credentials = Credentials::default().with_bearer(old.clone());
        let client = ClientInfo { ip: local(), origin: None };
        hub.control.authenticator.authenticate(&credentials, &client, Some(&database.to_string())).await
    };
    let opened = elsewhere(a).await.unwrap();
    assert_eq!((opened.database_id, opened.models), (a, ModelSet::of(&[Model::Functions, Model::Records])));
    assert!(elsewhere(b).await.is_err(), "another database takes no such token");

    assert_eq!(rotate(&hub, a).await.unwrap(), "fk_2");
    let new = sign(&hub, a, r#"{"sub":"bob"}"#, "2m").await;
    for token in [&old, &new] {
        call_with(&hub, &key_a, token).await.unwrap();
    }
    assert_eq!(kids(&hub, a), ["fk_1", "fk_2"]);
    hub.clock.advance_secs(124);
    call_with(&hub, &key_a, &new).await.unwrap();
    hub.clock.advance_secs(1);
    assert_eq!(fault(call_with(&hub, &key_a, &new).await), BearerFault::Expired);
    call_with(&hub, &key_a, &old).await.unwrap();
    hub.clock.advance_secs(3600);
    assert_eq!(kids(&hub, a), ["fk_2"], "the last token of the old key has expired");
    assert_eq!(rotate(&hub, a).await.unwrap(), "fk_3");
    assert_eq!(kids(&hub, a), ["fk_2", "fk_3"]);
}

// Verifies: FUN-54
#[tokio::test]
async fn an_old_key_is_listed_as_long_as_its_longest_token_lives() {
    let hub = Fixture::new().await;
    let (_, ada) = hub.signup("ada@example.com").await;
    let a = hub.database(&ada, "a").await;
    set_auth(&hub, a, FunctionAuth::Local).await;
    let long = sign(&hub, a, "{}", "30d").await;
    sign(&hub, a, "{}", "1h").await;
    rotate(&hub, a).await.unwrap();
    hub.clock.advance_secs(30 * 86_400 - 1);
    let hub = hub.restart().await;
    assert_eq!(kids(&hub, a), ["fk_1", "fk_2"]);
    let with_bearer = Credentials::default().with_bearer(long.clone());
    let user = call(&hub, with_bearer.clone()).await.unwrap();
    assert!(matches!(&user.auth.principal, Principal::Jwt(jwt) if jwt.subject.starts_with("claims:")));
    hub.clock.advance_secs(100);
    assert_eq!(fault(call(&hub, with_bearer).await), BearerFault::Expired);
    assert_eq!(kids(&hub, a), ["fk_2"]);
}

// Verifies: FUN-54
#[tokio::test]
async fn an_imported_key_signs_and_no_key_is_ever_replaced() {
    let hub = Fixture::new().await;
    let (_, ada) = hub.signup("ada@example.com").await;
    let a = hub.database(&ada, "a").await;
    let jwk = |d: u8| {
        let key = ferry_auth::jwt::OwnKey::from_bytes(&[d; 32]).unwrap();
        let mut jwk = key.public_jwk("edgepod-local-key");
        use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
        jwk["d"] = URL_SAFE_NO_PAD.encode([d; 32]).into();
        jwk
    };
    assert_eq!(rotate(&hub, a).await.unwrap_err().reason, Reason::FailedPrecondition);
    assert_eq!(import(&hub, a, &json!({"kty": "EC"})).await.unwrap_err().reason, Reason::InvalidArgument);
    assert_eq!(import(&hub, a, &jwk(1)).await.unwrap(), "edgepod-local-key");
    set_auth(&hub, a, FunctionAuth::Local).await;
    assert_eq!(kids(&hub, a), ["edgepod-local-key"], "it is the key");
    assert_eq!(import(&hub, a, &jwk(1)).await.unwrap(), "edgepod-local-key");
    assert_eq!(import(&hub, a, &jwk(2)).await.unwrap_err().reason, Reason::AlreadyExists);
    let token = sign(&hub, a, "{}", "1h").await;
    assert_eq!(rotate(&hub, a).await.unwrap(), "fk_1");
    set_auth(&hub, a, FunctionAuth::None).await;
    let with_bearer = Credentials::default().with_bearer(token);
    assert_eq!(fault(call(&hub, with_bearer.clone()).await), BearerFault::NoKeys);
    set_auth(&hub, a, FunctionAuth::Local).await;
    assert_eq!(kids(&hub, a), ["edgepod-local-key", "fk_1"]);
    call(&hub, with_bearer).await.unwrap();
}

// Verifies: FUN-50, FUN-51, FUN-52, FUN-55
#[tokio::test]
async fn each_mode_takes_the_jwts_it_says_and_tokens_and_secret_keys_always_count() {
    let hub = Fixture::new().await;
    let (_, ada) = hub.signup("ada@example.com").await;
    let a = hub.database(&ada, "a").await;
    let app = key(&hub, &ada, a, KeyKind::Publishable).await;
    let server = key(&hub, &ada, a, KeyKind::Secret).await;
    assert_eq!(call(&hub, Credentials::default()).await.unwrap_err(), FunctionRefusal::Key);
    assert_eq!(call_with(&hub, "fy_pk_unknown", "").await.unwrap_err(), FunctionRefusal::Key);
    assert_eq!(call_with(&hub, "fy_pk_unknown", "a.b.c").await.unwrap_err(), FunctionRefusal::Key);

    let claimed =
        json!({"iss": "https://id.example", "sub": "ada", "aud": "app", "exp": START + 60, "admin": true});
    let jwt = ED.token(&claimed);
    let settings = JwtSettingsText {
        jwks_json: key_set(&[ED]).to_string(),
        issuer: "https://id.example".into(),
        audiences: vec!["app".into()],
        ..JwtSettingsText::default()
    };
    assert_eq!(fault(call_with(&hub, &app, &jwt).await), BearerFault::NoKeys, "mode none");
    let by = requester();
    let set = |auth, jwt| SetFunctionAuth { by: &by, database_id: a, auth, jwt }.run(&hub.control.db);
    set(FunctionAuth::Remote, None).await.unwrap();
    assert_eq!(fault(call_with(&hub, &app, &jwt).await), BearerFault::NoKeys, "no settings");
    let wrong = set(FunctionAuth::Local, Some(settings.clone())).await.unwrap_err();
    assert_eq!(wrong.reason, Reason::InvalidArgument);
    set(FunctionAuth::Remote, Some(settings.clone())).await.unwrap();
    assert_eq!(claims(&call_with(&hub, &app, &jwt).await.unwrap()), claimed);
    assert_eq!(fault(call_with(&hub, &app, &EC.token(&claimed)).await), BearerFault::Invalid, "unknown key");
    let [head, body, _] = jwt.split('.').collect::<Vec<_>>()[..] else { panic!("three parts") };
    let other = ED.token(&json!({"exp": 1}));
    let forged = format!("{head}.{body}.{}", other.rsplit('.').next().unwrap());
    assert_eq!(fault(call_with(&hub, &app, &forged).await), BearerFault::Signature);
    assert_eq!(fault(call_with(&hub, &app, "a.b.c").await), BearerFault::Invalid);

    // A connection that a JWT opened ends when JWTs do not count any more.
    let watch = hub.control.watch(&call_with(&hub, &app, &jwt).await.unwrap().auth);
    assert_eq!(watch.now(), None);
    set(FunctionAuth::None, None).await.unwrap();
    assert_eq!(watch.now(), Some(RightsEnd::Revoked));
    assert_eq!(fault(call_with(&hub, &app, &jwt).await), BearerFault::NoKeys);

    let mut request = wanted(a, &[Op::Read, Op::Write]);
    request.models = ModelSet::of(&[Model::Functions]);
    let issued = IssueSyncToken { caller: &ada, request, origin: &origin() };
    let token = issued.run(&hub.control.db, hub.control.token_lives).await.unwrap().token;
    assert_eq!(
        claims(&call_with(&hub, &app, &token).await.unwrap()),
        json!({"sub": ada.user_id.to_string()})
    );
    assert_eq!(fault(call_with(&hub, &app, &format!("{token}x")).await), BearerFault::Invalid);
    let by_key = call(&hub, Credentials::default().with_bearer(server.clone())).await.unwrap();
    assert_eq!(claims(&by_key), json!({"sub": by_key.auth.principal.to_string()}));
    assert_eq!(claims(&call_with(&hub, &app, "").await.unwrap()), Value::Null);
    hub.clock.advance_secs(100_000);
    assert_eq!(fault(call_with(&hub, &app, &token).await), BearerFault::Expired);

    set(FunctionAuth::Local, None).await.unwrap();
    let own = sign(&hub, a, r#"{"sub":"ada","aud":["app"]}"#, "1h").await;
    let verify = |token, audience| VerifyJwt { database_id: a, token, issuer: None, audience };
    let verified = verify(&own, Some("app")).run(&hub.control.authenticator).await.unwrap();
    assert!(verified.contains("ada"), "{verified}");
    for (token, audience, told) in [(&*own, Some("other"), "Invalid token"), (&*jwt, None, "Invalid token")] {
        assert_eq!(verify(token, audience).run(&hub.control.authenticator).await.unwrap_err(), told);
    }
}

#[tokio::test]
async fn secrets_are_sealed_bounded_and_follow_the_key_ring() {
    let hub = Fixture::new().await;
    let (_, ada) = hub.signup("ada@example.com").await;
    let a = hub.database(&ada, "a").await;
    set_secrets(&hub, a, &[("TOKEN", Some("hush-hush")), ("GONE", Some("x"))]).await.unwrap();
    let before = hub.control.function_env(a).unwrap().version;
    set_secrets(&hub, a, &[("GONE", None), ("URL", Some("é"))]).await.unwrap();
    assert!(hub.control.function_env(a).unwrap().version > before);
    let expected: Vec<(String, String)> =
        [("TOKEN", "hush-hush"), ("URL", "é")].map(|(n, v)| (n.to_owned(), v.to_owned())).into();
    assert_eq!(
        (env(&hub, a), hub.control.function_secret_names(a)),
        (expected.clone(), vec!["TOKEN".into(), "URL".into()])
    );
    let long = "x".repeat(65_536);
    for bad in [("", "x"), ("1A", "x"), ("A-B", "x"), ("A", long.as_str()), (&long[..129], "x")] {
        let error = set_secrets(&hub, a, &[("ALSO", Some("y")), (bad.0, Some(bad.1))]).await.unwrap_err();
        assert!(!error.message.contains("xxx"), "{error}");
    }
    let many: Vec<_> = (0..99).map(|at| format!("S{at}")).collect();
    let many: Vec<_> = many.iter().map(|name| (name.as_str(), Some("v"))).collect();
    assert_eq!(set_secrets(&hub, a, &many).await.unwrap_err().reason, Reason::TooLarge);
    assert_eq!(env(&hub, a), expected, "all or nothing");

    // The signing key may go that sealed them.
    set_auth(&hub, a, FunctionAuth::Local).await;
    let sealed = |hub: &Fixture| -> Vec<u8> {
        hub.sql()
            .query_row("SELECT sealed FROM fn_secrets WHERE name = 'TOKEN'", [], |row| row.get(0))
            .unwrap()
    };
    let first = sealed(&hub);
    let kid = format!("{:08x}", hub.control.db.keys().signing().kid());
    RotateSigningKey { origin: &origin() }.run(&hub.control.signing_keys).await.unwrap();
    assert_ne!(sealed(&hub), first);
    RetireSigningKey { kid: &kid, origin: &origin() }.run(&hub.control.signing_keys).await.unwrap();
    let hub = hub.restart().await;
    assert_eq!(env(&hub, a), expected);
    let token = sign(&hub, a, "{}", "1h").await;
    call(&hub, Credentials::default().with_bearer(token)).await.unwrap();
    let file = std::fs::read(hub.dir.path().join("control.db")).unwrap();
    assert!(!file.windows(9).any(|bytes| bytes == b"hush-hush"));

    // Nor does session_key lock them in, or out, until it is taken away.
    hub.control.stop().await;
    let (dir, clock) = (Arc::clone(&hub.dir), Arc::clone(&hub.clock));
    let key = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";
    let hub = Fixture::open(dir, clock, |config| config.session_key = Some(key.to_owned())).await;
    assert_eq!(env(&hub, a), expected);
    let hub = hub.restart().await;
    let refused = hub.control.function_env(a).unwrap_err();
    assert_eq!(refused.reason, Reason::FailedPrecondition, "{refused}");
    set_secrets(&hub, a, &[("TOKEN", Some("2")), ("URL", None)]).await.unwrap();
    assert_eq!(env(&hub, a), [("TOKEN".to_owned(), "2".to_owned())]);
}

// Verifies: ORG-08
#[tokio::test]
async fn a_deleted_database_loses_its_keys_and_secrets() {
    let hub = Fixture::new().await;
    let (_, ada) = hub.signup("ada@example.com").await;
    let a = hub.database(&ada, "a").await;
    set_auth(&hub, a, FunctionAuth::Local).await;
    set_secrets(&hub, a, &[("TOKEN", Some("hush"))]).await.unwrap();
    let token = sign(&hub, a, "{}", "1h").await;
    let deleted = DeleteDatabase { caller: &ada, database: "a", confirm_name: "", origin: &origin() };
    deleted.run(&hub.control.db, &hub.control.storage).await.unwrap();
    let rows = "SELECT (SELECT count(*) FROM fn_settings) + (SELECT count(*) FROM fn_signing_keys)
                       + (SELECT count(*) FROM fn_secrets)";
    assert_eq!(hub.sql().query_row(rows, [], |row| row.get::<_, i64>(0)).unwrap(), 0);
    assert!(call(&hub, Credentials::default().with_bearer(token)).await.is_err());
    assert_eq!(set_secrets(&hub, a, &[("A", Some("b"))]).await.unwrap_err().reason, Reason::NotFound);
    assert_eq!(hub.control.function_jwks(Some(&a.to_string())), None);
}
