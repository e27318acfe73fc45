//! Nothing secret reaches the log: a full run at the finest level, then a search.

use std::path::Path;

use ferry_testkit::{
    Direction, Hub, edgereplica, http,
    provider::{CLIENT_SECRET, Mishap, Person, Provider},
    rpc::{EDGEREPLICA, FERRY, PASSWORD, Refusal, call},
    sample::Shape,
    socket::Socket,
    token, wait,
};
use serde_json::{Value, json};

use crate::support::{Place, control_db, options};

// Verifies: WEB-08
#[test]
fn no_secret_reaches_the_log() {
    let place = Place::of(options().env("FERRY_LOG_LEVEL", "trace").start());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("app.db");
    Shape::default().create(&file, 50, 1);
    place.push(&file);
    let pull = place.pull_token();
    edgereplica::pull(place.hub.address(), &pull, &folder.path().join("copy.db")).unwrap();
    let push = place.user.sync_token(&place.database, Direction::Push);
    let forged = token::signed_by_another(&push);
    let narrowed = token::attenuate(&push, &["exp=1"]);
    for bad in [&forged, &narrowed, &place.user.token] {
        assert!(Socket::open(place.hub.address(), bad).is_err());
    }
    let guess = "a guessed password";
    let login = json!({"email": "ada@example.com", "password": guess});
    call(place.hub.address(), EDGEREPLICA, "Login", &login, None).unwrap_err();
    call(
        place.hub.address(),
        EDGEREPLICA,
        "Login",
        &json!({"email": "ada@example.com", "password": PASSWORD}),
        None,
    )
    .unwrap();
    for query in ["access_token", "key"] {
        let path = format!("/sync?{query}={pull}");
        let _ = http::get(place.hub.address(), &path);
    }
    place.user.ferry("RevokeSession", &json!({})).unwrap();
    let operator = place.hub.operator_token();
    let ring = std::fs::read_to_string(place.hub.data_dir().join("keyring.json")).unwrap();
    let ring: serde_json::Value = serde_json::from_str(&ring).unwrap();
    let key = ring["keys"][0]["key"].as_str().unwrap();
    wait::until("the last request in the log", || place.hub.log().contains("RevokeSession").then_some(()));
    let log = place.hub.log();
    assert!(log.len() > 1000, "there is a log to search");
    let secrets = [PASSWORD, guess, &push, &pull, &forged, &narrowed, &place.user.token, &operator, key];
    for secret in secrets {
        assert!(!log.contains(secret), "the log holds {secret:.12}…");
    }
    // Nor do passwords and tokens lie in the data directory in plain.
    let mut findings = Vec::new();
    search(&place.hub.data_dir(), &[PASSWORD, &push, &pull, &place.user.token], &mut findings);
    assert!(findings.is_empty(), "{findings:?}");
}

/// Everything that people who may see no secrets see of a hub: log, metrics, audit rows.
fn shown(hub: &Hub) -> String {
    let metrics = http::get(hub.address(), "/metrics").unwrap().text();
    let database = control_db(hub);
    let sql = "SELECT actor || ' ' || action || ' ' || target || ' ' || outcome || ' ' || detail FROM audit";
    let mut statement = database.prepare(sql).unwrap();
    let rows = statement.query_map([], |row| row.get::<_, String>(0)).unwrap().map(Result::unwrap);
    let audit: Vec<String> = rows.collect();
    assert!(audit.len() > 3 && metrics.contains("ferry_"), "there is something to search");
    [hub.log(), metrics, audit.join("\n")].join("\n")
}

/// Uses API keys in every way, right and wrong; the values.
fn use_keys(place: &Place, reply: &mut Vec<Refusal>) -> Vec<String> {
    let create =
        |spec: Value| place.user.ferry("CreateApiKey", &json!({"database": place.database, "spec": spec}));
    let value = |made: &Value| made["value"].as_str().unwrap().to_owned();
    let puller = json!({"kind": "secret", "models": ["pages"], "ops": ["read"]});
    let secret = create(puller.clone()).unwrap();
    let (publishable, imported) = (create(json!({})).unwrap(), "an-imported-static-token");
    create(json!({"kind": "secret", "value": imported})).unwrap();
    reply.push(create(json!({"kind": "secret", "value": imported})).unwrap_err());
    reply.push(create(json!({"value": "a-value-that-is-no-key"})).unwrap_err());
    let rotated = place.user.ferry("RotateApiKey", &json!({"id": secret["id"]})).unwrap();
    place.user.ferry("RevokeApiKey", &json!({"id": secret["id"]})).unwrap();
    let mut values = vec![value(&secret), value(&rotated), value(&publishable), imported.to_owned()];
    for key in &values {
        let _ = Socket::open(place.hub.address(), key);
        let _ = http::get(place.hub.address(), &format!("/sync?key={key}"));
        let _ = http::send(place.hub.address(), "GET", "/sync", &[("Ferry-Key", key)], b"");
        reply.push(call(place.hub.address(), FERRY, "Whoami", &json!({}), Some(key)).unwrap_err());
    }
    values.push("a-value-that-is-no-key".to_owned());
    values
}

/// Logs in at both providers, right and wrong; codes, states, verifiers.
fn use_providers(place: &Place, provider: &Provider, reply: &mut Vec<Refusal>) -> Vec<String> {
    let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    let challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
    let mut secrets = vec![verifier.to_owned(), CLIENT_SECRET.to_owned()];
    let address = place.hub.address();
    for (name, mishap) in [
        ("github", None),
        ("google", None),
        ("github", Some("/github/user")),
        ("google", Some("/google/token")),
    ] {
        let request = json!({"provider": name, "clientChallenge": challenge, "loopbackPort": 49152});
        let begun = call(address, FERRY, "StartOAuth", &request, None).unwrap();
        let location = provider.agree(begun["redirectUrl"].as_str().unwrap());
        http::get(address, Provider::path_at_hub(&location)).unwrap();
        let code = location.split("code=").nth(1).unwrap().split('&').next().unwrap();
        let state = begun["state"].as_str().unwrap();
        secrets.extend([code.to_owned(), state.to_owned()]);
        if let Some(path) = mishap {
            provider.mishap(path, Some(Mishap::Failing));
        }
        let complete = |verifier: &str| {
            let request = json!({"state": state, "code": code, "clientVerifier": verifier});
            call(address, FERRY, "CompleteOAuth", &request, None)
        };
        match complete(verifier) {
            Ok(session) => secrets.push(session["sessionToken"].as_str().unwrap().to_owned()),
            Err(refusal) => reply.push(refusal),
        }
        reply.push(complete("of a foreign client").unwrap_err());
        if let Some(path) = mishap {
            provider.mishap(path, None);
        }
    }
    secrets.extend(provider.issued());
    let verifiers = provider.seen().into_iter().filter_map(|request| {
        let after = request.body.split("code_verifier=").nth(1)?;
        Some(after.split('&').next()?.to_owned())
    });
    secrets.extend(verifiers);
    secrets
}

// Verifies: WEB-08, KEY-01, OAU-13
#[test]
fn keys_and_logins_at_providers_leave_no_secret() {
    let provider = Provider::start(Person::new(583_231, "bob@example.com"));
    let place = Place::of(provider.configure(options()).env("FERRY_LOG_LEVEL", "trace").start());
    let mut reply = Vec::new();
    let keys = use_keys(&place, &mut reply);
    let mut secrets = use_providers(&place, &provider, &mut reply);
    secrets.extend_from_slice(&keys);
    assert!(secrets.len() > 20, "{}", secrets.len());
    place.user.ferry("RevokeSession", &json!({})).unwrap();
    wait::until("the last request in the log", || place.hub.log().contains("RevokeSession").then_some(()));
    let shown = shown(&place.hub);
    for secret in &secrets {
        assert!(!shown.contains(secret), "shown: {secret:.12}…");
        assert!(reply.iter().all(|refusal| !refusal.message.contains(secret)), "told: {secret:.12}…");
    }
    let mut findings = Vec::new();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    search(&place.hub.data_dir(), &keys, &mut findings);
    assert!(findings.is_empty(), "{findings:?}");
}

/// Uses invitations and password resets, right and wrong; their codes.
fn use_codes(place: &Place, reply: &mut Vec<Refusal>) -> Vec<String> {
    let (address, user) = (place.hub.address(), &place.user);
    let operator = place.hub.operator_token();
    let org = user.ferry("CreateOrg", &json!({"name": "team"})).unwrap()["id"].as_str().unwrap().to_owned();
    let invite = |email: &str| {
        let request = json!({"org": org, "email": email, "role": "member"});
        user.ferry("CreateInvitation", &request).unwrap()["code"].as_str().unwrap().to_owned()
    };
    let public = |method: &str, request: &Value| call(address, FERRY, method, request, None);
    let signup = |email: &str, code: &str| {
        public("Signup", &json!({"email": email, "password": PASSWORD, "inviteCode": code}))
    };
    let (joins, accepts, foreign) =
        (invite("bob@example.com"), invite("eve@example.com"), invite("x@example.com"));
    let guess = "a-guessed-code-that-nobody-was-ever-given".to_owned();
    signup("bob@example.com", &joins).unwrap();
    reply.push(signup("carol@example.com", &joins).unwrap_err());
    reply.push(signup("dan@example.com", &guess).unwrap_err());
    let eve = place.hub.signup("eve@example.com");
    reply.push(eve.ferry("AcceptInvitation", &json!({"code": foreign})).unwrap_err());
    reply.push(eve.ferry("AcceptInvitation", &json!({"code": guess})).unwrap_err());
    eve.ferry("AcceptInvitation", &json!({"code": accepts})).unwrap();
    reply.push(eve.ferry("AcceptInvitation", &json!({"code": accepts})).unwrap_err());

    let issue = json!({"email": "bob@example.com"});
    let issued = || call(address, FERRY, "IssuePasswordReset", &issue, Some(&operator)).unwrap();
    let codes = [issued(), issued()].map(|answer| answer["code"].as_str().unwrap().to_owned());
    let new = "a password that nobody has had before";
    let reset = |code: &str, new: &str| {
        public("ResetPassword", &json!({"email": "bob@example.com", "code": code, "newPassword": new}))
    };
    reply.push(reset(&guess, new).unwrap_err());
    reply.push(reset(&codes[1], "short").unwrap_err());
    reset(&codes[1], new).unwrap();
    reply.push(reset(&codes[1], new).unwrap_err());
    // Where nobody should put them.
    for code in [&joins, &codes[0]] {
        let _ = http::get(address, &format!("/healthz?code={code}"));
        reply.push(call(address, FERRY, "Whoami", &json!({}), Some(code)).unwrap_err());
    }
    let [first, second] = codes;
    vec![joins, accepts, foreign, guess, first, second, new.to_owned()]
}

// Verifies: WEB-08, ORG-12, PWD-06
#[test]
fn codes_of_invitations_and_password_resets_leave_no_secret() {
    let place = Place::of(options().env("FERRY_LOG_LEVEL", "trace").start());
    let mut reply = Vec::new();
    let secrets = use_codes(&place, &mut reply);
    place.user.ferry("RevokeSession", &json!({})).unwrap();
    wait::until("the last request in the log", || place.hub.log().contains("RevokeSession").then_some(()));
    let shown = shown(&place.hub);
    for secret in &secrets {
        assert!(secret.len() > 20, "{secret:?} is long enough to be searched for");
        assert!(!shown.contains(secret), "shown: {secret:.12}…");
        assert!(reply.iter().all(|refusal| !refusal.message.contains(secret)), "told: {secret:.12}…");
    }
    // Only their digests are kept.
    let mut findings = Vec::new();
    let secrets: Vec<&str> = secrets.iter().map(String::as_str).collect();
    search(&place.hub.data_dir(), &secrets, &mut findings);
    assert!(findings.is_empty(), "{findings:?}");
}

fn search(folder: &Path, secrets: &[&str], findings: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            search(&path, secrets, findings);
            continue;
        }
        let bytes = std::fs::read(&path).unwrap_or_default();
        for secret in secrets {
            if bytes.windows(secret.len()).any(|window| window == secret.as_bytes()) {
                findings.push(format!("{}: {:.12}…", path.display(), secret));
            }
        }
    }
}
