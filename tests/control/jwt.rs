//! JWTs of a foreign issuer, against a key server that works, fails, or is hostile.

use ferry_testkit::{
    http::{self, Unfinished},
    hub::Options,
    jwks_server::{Behaviour, JwksServer},
    jwt::{ED, GOOD, Key, OTHER_ED, RSA, WEAK_RSA, key_set},
    livestore::{LiveSocket, path},
    records::EventStream,
    tls, wait,
};
use serde_json::{Value, json};

use crate::support::{Place, options, refused};

const ISSUER: &str = "https://id.example";

fn claims() -> Value {
    let now = wait::unix_seconds();
    json!({"iss": ISSUER, "sub": "ada", "aud": "notes", "exp": now + 600, "iat": now})
}

fn changed(change: impl FnOnce(&mut Value)) -> Value {
    let mut claims = claims();
    change(&mut claims);
    claims
}

/// A hub whose operator trusts the key server for the database `app`.
fn trusting(server: &JwksServer) -> Place {
    Place::under(trust(server))
}

/// How it is started.
fn trust(server: &JwksServer) -> Options {
    options()
        .env("FERRY_JWKS_URL", server.url())
        .env("FERRY_JWT_ISSUER", ISSUER)
        .env("FERRY_JWT_AUDIENCE", "notes,other")
        .env("FERRY_DEFAULT_DATABASE", "app")
        .env("FERRY_RATE_LIMIT_SCALE", "0")
}

// Verifies: JWT-07
#[test]
fn keys_come_over_https_from_whom_the_machine_trusts() {
    let server = JwksServer::start_tls(Behaviour::Keys(GOOD.to_vec(), None));
    let folder = tempfile::tempdir().unwrap();
    let authority = folder.path().join("authority.pem");
    std::fs::write(&authority, tls::AUTHORITY).unwrap();
    // As a company's own authority is made known to programs.
    let trusted = Place::under(trust(&server).env("SSL_CERT_FILE", authority.display().to_string()));
    for key in GOOD {
        assert_eq!(verdict(&trusted, &key.token(&claims())).as_deref(), Ok("ada"), "{}", key.alg());
    }
    assert_eq!(server.requests(), 1, "fetched once");
    assert_refused(&trusted, &OTHER_ED.token(&claims()), "key");

    // A machine that does not know the authority gets no keys from there, however good they are.
    let other = Place::under(trust(&server));
    let reply = verdict(&other, &ED.token(&claims())).unwrap_err();
    assert!(!reply.is_empty());
    let bearer = format!("Bearer {}", ED.token(&claims()));
    let headers = [("Authorization", bearer.as_str())];
    let answer = http::send(other.hub.address(), "POST", "/sync/todo", &headers, b"{}").unwrap();
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert!(answer.header("retry-after").is_some());
    assert!(other.hub.log().contains("certificate"), "the log says why");
}

/// What the hub says to a token: its subject, or why not.
fn verdict(place: &Place, token: &str) -> Result<String, String> {
    let answer = place.user.ferry("TestJwt", &json!({"database": "app", "token": token})).unwrap();
    let text = |name: &str| answer[name].as_str().unwrap_or_default().to_owned();
    if answer["ok"] == json!(true) { Ok(text("sub")) } else { Err(text("reason")) }
}

#[track_caller]
fn assert_refused(place: &Place, token: &str, reason: &str) {
    let reply = verdict(place, token).unwrap_err();
    assert!(reply.contains(reason), "{reply:?} does not say {reason:?}");
}

// Verifies: JWT-01, JWT-02, JWT-03
#[test]
fn every_algorithm_and_every_defect() {
    let server = JwksServer::start(Behaviour::Keys(GOOD.to_vec(), None));
    let place = trusting(&server);
    let now = wait::unix_seconds();
    for key in GOOD {
        assert_eq!(verdict(&place, &key.token(&claims())).as_deref(), Ok("ada"), "{key:?}");
        let nameless = key.token_with(&json!({"alg": key.alg()}), &claims());
        assert_eq!(verdict(&place, &nameless).as_deref(), Ok("ada"), "one key fits");
        let wrong = |change: &dyn Fn(&mut Value), reason: &str| {
            assert_refused(&place, &key.token(&changed(|claims| change(claims))), reason);
        };
        wrong(&|claims| claims["iss"] = json!("https://evil.example"), "iss");
        wrong(&|claims| claims["aud"] = json!("elsewhere"), "aud");
        wrong(&|claims| drop(claims.as_object_mut().unwrap().remove("exp")), "exp is missing");
        wrong(&|claims| claims["exp"] = json!(now - 60), "expired");
        wrong(&|claims| claims["nbf"] = json!(now + 600), "nbf");
        wrong(&|claims| claims["sub"] = json!(""), "sub");
        assert_refused(&place, &key.forged(&claims()), "alg");
        let stranger = if key.kid == "ed" { OTHER_ED } else { ED };
        let forged = stranger.token_with(&json!({"alg": key.alg(), "kid": key.kid}), &claims());
        assert_refused(&place, &forged, "signature");
    }
    assert_refused(&place, &WEAK_RSA.token(&claims()), "no key");
    assert_refused(&place, &ED.token_with(&json!({"alg": "none"}), &claims()), "alg");
    assert_refused(&place, "a.b.c", "malformed");
    assert!(!place.hub.log().contains(&ED.token(&claims())), "no token in the log");
}

// Verifies: JWT-04, JWT-05
#[test]
fn a_thousand_unknown_kids_cost_one_fetch_and_known_keys_go_on() {
    let server = JwksServer::start(Behaviour::Keys(GOOD.to_vec(), None));
    let place = trusting(&server);
    assert!(verdict(&place, &ED.token(&claims())).is_ok());
    assert_eq!(server.requests(), 1);
    server.behave(Behaviour::Refuse);
    let started = wait::unix_seconds();
    std::thread::scope(|scope| {
        for worker in 0..4 {
            let place = &place;
            scope.spawn(move || {
                for number in 0..250 {
                    let kid = format!("unknown-{worker}-{number}");
                    let token = ED.token_with(&json!({"alg": "EdDSA", "kid": kid}), &claims());
                    assert_refused(place, &token, "no key");
                }
            });
        }
    });
    let took = wait::unix_seconds() - started;
    let spans = usize::try_from(took / 30).unwrap() + 1;
    assert!(server.requests() <= 1 + spans, "{} requests in {took} s", server.requests());
    assert!(verdict(&place, &RSA.token(&claims())).is_ok(), "the issuer is down, its keys are known");
}

// An issuer removed a key, and a stream that it had proven went on for minutes after the hub knew.
// Verifies: JWT-04, JWT-08, TOK-17
#[test]
fn a_key_that_its_issuer_removes_ends_streams_sockets_and_unfinished_requests() {
    let server = JwksServer::start(Behaviour::Keys(vec![ED, RSA], Some("max-age=60")));
    let folder = tempfile::tempdir().unwrap();
    let clock = folder.path().join("ahead-ms");
    let place = Place::under(trust(&server).fault(format!("clock=file:{}", clock.display())));
    let stream = |key: Key| {
        let bearer = format!("Bearer {}", key.token(&claims()));
        EventStream::open(
            place.hub.address(),
            "/sync/todo/stream?collections=tasks",
            &[("Authorization", &bearer), ("X-Client-Id", "c")],
        )
        .unwrap_or_else(|refused| panic!("{} {}", refused.status, refused.text()))
    };
    let bearer = format!("Bearer {}", ED.token(&claims()));
    let headers = [("Authorization", bearer.as_str())];
    let (mut ending, mut staying) = (stream(ED), stream(RSA));
    let mut socket = LiveSocket::open(place.hub.address(), &path("app", "ws"), "app", &headers).unwrap();
    // Large enough that its last byte is waited for meanwhile.
    let body = json!({"clientId": "c", "changes": []}).to_string() + &" ".repeat(60 << 10);
    let begun =
        Unfinished::begin(place.hub.address(), "POST", "/sync/todo", &headers, body.as_bytes()).unwrap();
    server.behave(Behaviour::Keys(vec![RSA], Some("max-age=60")));
    // The minute that the set is fresh is over, and nobody asks for anything: it is fetched again since it is in use.
    std::fs::write(&clock, "60000").unwrap();
    wait::until("the refetch", || (server.requests() == 2).then_some(()));
    let (took, bye) = wait::timed(|| {
        loop {
            if ending.event().expect("a last word").name == "bye" {
                break true;
            }
        }
    });
    assert!(bye && took.as_secs() < 10, "{took:?}");
    assert_eq!(socket.closed(), 4403);
    let late = begun.finish();
    assert_eq!(late.status, 401, "{}", late.text());
    assert!(late.text().contains("no key of the issuer"), "{}", late.text());
    place.user.ferry("DeleteDatabase", &json!({"databaseId": place.database})).unwrap();
    wait::until("the end of the other stream", || staying.event().is_none().then_some(()));
    assert_eq!(server.requests(), 2, "no more than its freshness asks for");
}

// Verifies: JWT-06, JWT-07
#[test]
fn each_failure_of_a_key_server_has_its_own_error_and_redirects_are_not_followed() {
    let html = "<!doctype html><title>Sign in</title>".to_owned();
    let many = json!({"keys": vec![ED.jwk(); 101]}).to_string();
    let huge = format!("{{\"keys\":[],\"x\":\"{}\"}}", "x".repeat(300 << 10));
    for (behaviour, reason) in [
        (Behaviour::Refuse, "does not answer"),
        (Behaviour::Redirect, "status 302"),
        (Behaviour::Answer(500, String::new()), "status 500"),
        (Behaviour::Answer(200, html), "not a JSON Web Key Set"),
        (Behaviour::Answer(200, many), "more than 100 keys"),
        (Behaviour::Answer(200, huge), "more than 256 KiB"),
        (Behaviour::Silence, "does not answer"),
    ] {
        let server = JwksServer::start(behaviour.clone());
        let place = trusting(&server);
        let (took, reply) = wait::timed(|| verdict(&place, &ED.token(&claims())));
        assert!(reply.clone().unwrap_err().contains(reason), "{behaviour:?}: {reply:?}");
        assert!(took.as_secs() < 9, "{behaviour:?}: {took:?}");
        assert_eq!(server.strayed(), 0, "a redirect was followed");
        place.user.ferry("Whoami", &json!({})).unwrap();
        // It gets well, and is asked again within seconds.
        server.behave(Behaviour::Keys(GOOD.to_vec(), Some("max-age=60")));
        if matches!(behaviour, Behaviour::Refuse) {
            wait::until("the keys", || verdict(&place, &ED.token(&claims())).ok());
        }
    }
}

// Verifies: JWT-03, JWT-07, JWT-08
#[test]
fn a_databases_own_settings_are_checked_kept_and_removed() {
    let place = Place::new();
    let set = |settings: &Value| {
        place.user.ferry("SetJwtSettings", &json!({"database": "app", "settings": settings}))
    };
    let keys = key_set(&[ED]).to_string();
    let good = json!({"jwksJson": keys, "issuer": ISSUER, "audiences": ["notes"], "models": ["records"]});
    let changed = |name: &str, value: Value| {
        let mut settings = good.clone();
        settings[name] = value;
        settings
    };
    assert_refused(&place, &ED.token(&claims()), "no JWT settings");
    for (wrong, field) in [
        (changed("issuer", json!("")), "issuer"),
        (changed("audiences", json!([])), "audiences"),
        (changed("jwksJson", json!("{}")), "jwks_json"),
        (changed("jwksUrl", json!("https://id.example/jwks")), "jwks_url"),
        (changed("algorithms", json!(["HS256"])), "algorithms"),
        (changed("leewaySeconds", json!("301")), "leeway_seconds"),
        (changed("maxAgeSeconds", json!("-1")), "max_age_seconds"),
        (changed("models", json!(["blobs"])), "models"),
        (changed("ops", json!(["admin"])), "ops"),
    ] {
        let refusal = refused(set(&wrong), "invalid_argument");
        assert!(refusal.message.contains(field), "{refusal:?}");
    }
    for url in [
        "http://id.example/jwks",
        "http://localhost/jwks",
        "https://127.0.0.1/jwks",
        "https://[::1]/jwks",
        "file:///etc/passwd",
    ] {
        let by_url = json!({"jwksUrl": url, "issuer": ISSUER, "audiences": ["notes"]});
        assert!(refused(set(&by_url), "invalid_argument").message.contains("jwks_url"), "{url}");
    }
    for url in ["https://10.0.0.1/jwks", "https://169.254.169.254/latest", "https://[fd00::1]/jwks"] {
        set(&json!({"jwksUrl": url, "issuer": ISSUER, "audiences": ["notes"]})).unwrap();
        assert_refused(&place, &ED.token(&claims()), "not public");
    }
    set(&good).unwrap();
    assert_eq!(verdict(&place, &ED.token(&claims())).as_deref(), Ok("ada"));
    let shown = place.user.ferry("GetJwtSettings", &json!({"database": "app"})).unwrap();
    assert_eq!(shown, good);
    let eve = place.hub.signup("eve@example.com");
    refused(eve.ferry("GetJwtSettings", &json!({"database": place.database})), "not_found");

    let place = place.restarted();
    assert_eq!(verdict(&place, &ED.token(&claims())).as_deref(), Ok("ada"));
    place.user.ferry("SetJwtSettings", &json!({"database": "app", "settings": {}})).unwrap();
    assert_refused(&place, &ED.token(&claims()), "no JWT settings");
    let gone = place.user.ferry("GetJwtSettings", &json!({"database": "app"})).unwrap();
    assert_eq!(gone, json!({}));
}

// Verifies: TOK-12
#[test]
fn revoking_a_databases_credentials_refuses_older_jwts_for_good() {
    let place = Place::new();
    let settings = json!({"jwksJson": key_set(&[ED]).to_string(), "issuer": ISSUER, "audiences": ["notes"]});
    place.user.ferry("SetJwtSettings", &json!({"database": "app", "settings": settings})).unwrap();
    let old = ED.token(&claims());
    let ageless = ED.token(&changed(|claims| drop(claims.as_object_mut().unwrap().remove("iat"))));
    assert!(verdict(&place, &old).is_ok() && verdict(&place, &ageless).is_ok());
    place.user.ferry("RevokeDatabaseTokens", &json!({"database": "app"})).unwrap();
    let place = place.restarted();
    for token in [&old, &ageless] {
        assert_refused(&place, token, "revoked");
    }
    let now = wait::unix_seconds();
    let new: Key = ED;
    let new = wait::until("a token of the next second", || {
        (wait::unix_seconds() > now).then(|| new.token(&claims()))
    });
    assert_eq!(verdict(&place, &new).as_deref(), Ok("ada"));
}

// Verifies: JWT-03, CFG-01
#[test]
fn only_the_old_variables_may_stand_without_issuer_and_audience() {
    let server = JwksServer::start(Behaviour::Keys(GOOD.to_vec(), None));
    let options = |name: &str| options().env(name, server.url()).env("FERRY_DEFAULT_DATABASE", "app");
    for name in ["JWKS_URL", "EDGEPOD_JWKS_URL"] {
        let place = Place::under(options(name));
        assert!(place.hub.log().contains("every issuer and audience"), "{}", place.hub.log());
        let bare = json!({"sub": "ada", "exp": wait::unix_seconds() + 60});
        assert_eq!(verdict(&place, &ED.token(&bare)).as_deref(), Ok("ada"));
    }
    let refused = options("FERRY_JWKS_URL").try_start().unwrap_err();
    assert_eq!(refused.code, Some(78), "{refused:?}");
    assert!(refused.output.contains("jwt_issuer"), "{refused:?}");
}
