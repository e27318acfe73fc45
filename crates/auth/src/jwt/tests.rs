//! The matrix of JWT-01…03: every algorithm with every defect.

use ferry_testkit::jwt::{EC, ED, GOOD, Key, OTHER_ED, RSA, WEAK_RSA, key_set};
use serde_json::{Value, json};

use super::*;

const NOW: i64 = 1_800_000_000;

fn settings(change: impl FnOnce(&mut JwtSettingsText)) -> JwtSettings {
    let mut text = JwtSettingsText {
        jwks_url: "https://id.example/jwks".into(),
        issuer: "https://id.example".into(),
        audiences: vec!["notes".into(), "other".into()],
        ..JwtSettingsText::default()
    };
    change(&mut text);
    JwtSettings::try_from(&text).unwrap()
}

fn claims() -> Value {
    json!({"iss": "https://id.example", "sub": "ada", "aud": "notes", "exp": NOW + 60, "iat": NOW})
}

fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

fn without(name: &str) -> Value {
    let mut claims = claims();
    claims.as_object_mut().unwrap().remove(name);
    claims
}

fn keys(keys: &[Key]) -> KeySet {
    KeySet::parse(key_set(keys).to_string().as_bytes()).unwrap()
}

fn check_with(token: &str, set: &KeySet, settings: &JwtSettings) -> Result<JwtClaims, JwtError> {
    let claims = UnverifiedJwt::parse(token)?.verify(set, settings)?;
    claims.check_times(settings, NOW)?;
    Ok(claims)
}

fn check(token: &str) -> Result<JwtClaims, JwtError> {
    check_with(token, &keys(&GOOD), &settings(|_| ()))
}

// Some issuers pad the numbers of their keys, which RFC 7515 forbids and costs nothing to read; some list a key twice.
// Verifies: JWT-01, JWT-02
#[test]
fn padded_keys_are_read_and_a_key_listed_twice_is_one() {
    for key in GOOD {
        let mut padded = key.jwk();
        for (_, value) in padded.as_object_mut().unwrap() {
            let text = value.as_str().unwrap().to_owned();
            if text.len() > 40 {
                *value = json!(format!("{text}{}", "=".repeat((4 - text.len() % 4) % 4)));
            }
        }
        let set = |keys: Value| KeySet::parse(json!({ "keys": keys }).to_string().as_bytes()).unwrap();
        let nameless = key.token_with(&json!({"alg": key.alg()}), &claims());
        for set in [set(json!([padded])), set(json!([key.jwk(), key.jwk()])), set(json!([key.jwk(), padded]))]
        {
            for token in [&key.token(&claims()), &nameless] {
                assert!(check_with(token, &set, &settings(|_| ())).is_ok(), "{key:?} {set:?}");
            }
        }
    }
    let two = keys(&[ED, OTHER_ED]);
    let nameless = ED.token_with(&json!({"alg": "EdDSA"}), &claims());
    assert_eq!(check_with(&nameless, &two, &settings(|_| ())), Err(JwtError::AmbiguousKey));
}

// Verifies: JWT-03
#[test]
fn a_claim_of_another_type_is_named() {
    for (name, value, expected) in [
        ("sub", json!(7), "sub must be a string"),
        ("iss", json!(["https://id.example"]), "iss must be a string"),
        ("aud", json!({"notes": true}), "aud must be a string or a list of strings"),
        ("aud", json!(["notes", 1]), "aud must be a string or a list of strings"),
        ("exp", json!("1800000060"), "exp must be a number"),
        ("nbf", json!(true), "nbf must be a number"),
        ("iat", json!("now"), "iat must be a number"),
    ] {
        let error = check(&ED.token(&with(name, value))).unwrap_err();
        assert_eq!(error.to_string(), expected);
    }
    let header = |name: &str, value: Value| {
        let mut header = json!({"alg": "EdDSA", "kid": "ed"});
        header[name] = value;
        check(&ED.token_with(&header, &claims())).unwrap_err().to_string()
    };
    assert_eq!(header("kid", json!(1)), "kid must be a string");
    assert_eq!(header("alg", json!(["EdDSA"])), "alg must be a string");
}

// Verifies: JWT-04
#[test]
fn a_key_that_a_new_set_lacks_is_withdrawn_from_what_it_proved() {
    let proven = |cache: &mut JwksCache, key: Key| {
        let Lookup::Use(set) = cache.lookup(ferry_types::UnixMillis(1), |_| false) else { panic!("fetched") };
        UnverifiedJwt::parse(&key.token(&claims())).unwrap().verify(&set, &settings(|_| ())).unwrap()
    };
    let mut cache = JwksCache::default();
    let fetch = |cache: &mut JwksCache, set: &[Key]| {
        cache.lookup(ferry_types::UnixMillis(0), |_| false);
        cache.finish(ferry_types::UnixMillis(1), Ok(keys(set)), None)
    };
    assert!(!fetch(&mut cache, &[ED, EC]));
    assert!(!cache.is_in_use());
    let (by_ed, by_ec) = (proven(&mut cache, ED), proven(&mut cache, EC));
    assert!(cache.is_in_use());
    assert!(!fetch(&mut cache, &[EC, ED, RSA]), "in another order, with one more");
    assert!(!by_ed.key.is_withdrawn() && !by_ec.key.is_withdrawn());
    assert!(fetch(&mut cache, &[EC]));
    assert!(by_ed.key.is_withdrawn() && !by_ec.key.is_withdrawn());
    assert!(!fetch(&mut cache, &[EC, ED]), "nobody lost anything");
    assert!(by_ed.key.is_withdrawn(), "what ended stays ended");
    assert!(!proven(&mut cache, ED).key.is_withdrawn());
    drop(by_ec);
    assert!(!cache.is_in_use());
}

// Verifies: JWT-01, JWT-03
#[test]
fn every_algorithm_and_every_defect() {
    for key in GOOD {
        let checked = |claims: &Value| check(&key.token(claims));
        let good = checked(&claims()).unwrap();
        assert_eq!((&*good.issuer, &*good.subject), ("https://id.example", "ada"));
        assert_eq!((good.expires_unix, good.issued_unix), (NOW + 60, Some(NOW)));
        assert_eq!(good.deadline_unix(&settings(|_| ())), NOW + 65);
        assert_eq!(checked(&with("aud", json!(["x", "other"]))).unwrap().subject, good.subject);
        assert_eq!(checked(&with("iss", json!("https://id.example/"))), Err(JwtError::Issuer));
        assert_eq!(checked(&without("iss")), Err(JwtError::Issuer));
        assert_eq!(checked(&with("aud", json!("Notes"))), Err(JwtError::Audience));
        assert_eq!(checked(&with("aud", json!([]))), Err(JwtError::Audience));
        assert_eq!(checked(&without("aud")), Err(JwtError::Audience));
        assert_eq!(checked(&without("exp")), Err(JwtError::NoExpiry));
        assert_eq!(checked(&with("exp", json!(NOW - 5))), Err(JwtError::Expired));
        assert!(checked(&with("exp", json!(NOW - 4))).is_ok(), "leeway");
        assert_eq!(checked(&with("nbf", json!(NOW + 6))), Err(JwtError::NotYet));
        assert!(checked(&with("nbf", json!(NOW + 5))).is_ok(), "leeway");
        assert_eq!(checked(&without("sub")), Err(JwtError::Subject));
        assert_eq!(checked(&with("sub", json!(""))), Err(JwtError::Subject));
        assert!(checked(&with("sub", json!("x".repeat(256)))).is_ok());
        assert_eq!(checked(&with("sub", json!("x".repeat(257)))), Err(JwtError::Subject));
        assert_eq!(check(&key.forged(&claims())), Err(JwtError::Algorithm), "HS256 with the public key");
        let removed = keys(&GOOD.into_iter().filter(|other| other.kid != key.kid).collect::<Vec<_>>());
        let outcome = check_with(&key.token(&claims()), &removed, &settings(|_| ()));
        assert_eq!(outcome, Err(JwtError::UnknownKey), "a removed kid");
    }
}

// Verifies: JWT-01
#[test]
fn headers_that_play_tricks_are_refused() {
    let header = |header: Value| check(&ED.token_with(&header, &claims()));
    for alg in ["none", "None", "HS256", "HS512", "ES384", "PS256", "eddsa", ""] {
        assert_eq!(header(json!({"alg": alg, "kid": "ed"})), Err(JwtError::Algorithm), "{alg}");
    }
    assert_eq!(header(json!({"kid": "ed"})), Err(JwtError::Malformed));
    assert_eq!(header(json!({"alg": "EdDSA", "kid": "ed", "crit": ["exp"]})), Err(JwtError::Critical));
    assert_eq!(
        header(json!({"alg": "EdDSA", "kid": "ec"})),
        Err(JwtError::Algorithm),
        "a key of another type"
    );
    assert_eq!(header(json!({"alg": "ES256", "kid": "ec"})), Err(JwtError::Signature));
    assert_eq!(header(json!({"alg": "EdDSA", "kid": 7})), Err(JwtError::Type("kid", "a string")));
    // Keys that the token brings along, or names, are not looked at.
    let own = json!({"alg": "EdDSA", "kid": "ed", "jwk": OTHER_ED.jwk(), "jku": "https://evil.example"});
    assert!(header(own.clone()).is_ok());
    assert_eq!(check(&OTHER_ED.token_with(&own, &claims())), Err(JwtError::Signature));
    let only_rsa = settings(|text| text.algorithms = vec!["RS256".into()]);
    assert_eq!(check_with(&ED.token(&claims()), &keys(&GOOD), &only_rsa), Err(JwtError::Algorithm));
    assert!(check_with(&RSA.token(&claims()), &keys(&GOOD), &only_rsa).is_ok());
}

// Verifies: JWT-01
#[test]
fn what_is_no_jwt_is_refused() {
    let good = ED.token(&claims());
    let (signed, signature) = good.rsplit_once('.').unwrap();
    for bad in
        [String::new(), "..".into(), "a.b.c".into(), signed.into(), format!("{good}.x"), format!("{good}=")]
    {
        let outcome = check(&bad);
        assert!(matches!(outcome, Err(JwtError::Malformed | JwtError::Signature)), "{bad}: {outcome:?}");
    }
    for cut in [&signature[1..], "", &signature[..40]] {
        assert_eq!(check(&format!("{signed}.{cut}")), Err(JwtError::Signature));
    }
    let long = ED.token(&with("sub", json!("x".repeat(8 << 10))));
    assert_eq!(check(&long), Err(JwtError::TooLong));
    assert_eq!(check(&ED.token(&json!([1]))), Err(JwtError::Malformed));
    assert_eq!(check(&ED.token(&with("exp", json!("soon")))), Err(JwtError::Type("exp", "a number")));
    assert!(check(&ED.token(&with("exp", json!(NOW as f64 + 0.5)))).is_ok(), "dates may have a fraction");
    let twice = "eyJhbGciOiJFZERTQSIsImFsZyI6Im5vbmUifQ"; // {"alg":"EdDSA","alg":"none"}
    assert_eq!(check(&format!("{twice}.e30.AA")), Err(JwtError::Malformed));
}

// Verifies: JWT-02
#[test]
fn kid_may_be_absent_if_exactly_one_key_fits() {
    let nameless = ED.token_with(&json!({"alg": "EdDSA"}), &claims());
    let with_keys = |list: &[Key]| check_with(&nameless, &keys(list), &settings(|_| ()));
    assert!(with_keys(&GOOD).is_ok());
    assert_eq!(with_keys(&[ED, OTHER_ED]), Err(JwtError::AmbiguousKey));
    assert_eq!(with_keys(&[EC, RSA]), Err(JwtError::UnknownKey));
    let mut namesake = OTHER_ED.jwk();
    namesake["kid"] = json!("ed");
    let namesakes = json!({"keys": [ED.jwk(), namesake]});
    let namesakes = KeySet::parse(namesakes.to_string().as_bytes()).unwrap();
    assert_eq!(check_with(&ED.token(&claims()), &namesakes, &settings(|_| ())), Err(JwtError::AmbiguousKey));
}

// Verifies: JWT-01, JWT-07
#[test]
fn unusable_keys_are_left_out_and_odd_sets_refused() {
    let changed = |key: Key, name: &str, value: Value| {
        let mut jwk = key.jwk();
        jwk[name] = value;
        jwk
    };
    let unusable = [
        WEAK_RSA.jwk(),
        changed(ED, "use", json!("enc")),
        changed(ED, "key_ops", json!(["sign"])),
        changed(ED, "alg", json!("ES256")),
        changed(ED, "crv", json!("X25519")),
        changed(ED, "x", json!("AAAA")),
        changed(EC, "crv", json!("P-384")),
        changed(EC, "y", json!("AAAA")),
        changed(EC, "kty", json!("OKP")),
        changed(RSA, "n", json!("AQAB")),
        json!({"kty": "oct", "kid": "ed", "k": "AAAA"}),
        json!({"kid": "ed"}),
        json!("key"),
    ];
    for jwk in unusable {
        let set = KeySet::parse(json!({"keys": [jwk]}).to_string().as_bytes()).unwrap();
        assert!(set.is_empty(), "{jwk}");
    }
    let weak = check_with(&WEAK_RSA.token(&claims()), &keys(&[ED, WEAK_RSA]), &settings(|_| ()));
    assert_eq!(weak, Err(JwtError::UnknownKey));
    for bad in ["", "<html>", "[]", "{}", r#"{"keys":{}}"#] {
        assert_eq!(KeySet::parse(bad.as_bytes()).err(), Some(KeySetError::Malformed), "{bad}");
    }
    let many = json!({"keys": vec![json!({}); 101]}).to_string();
    assert_eq!(KeySet::parse(many.as_bytes()).err(), Some(KeySetError::TooMany));
    // A point that is not on the curve cannot be told from one that is without the backend.
    let off_curve =
        KeySet::parse(json!({"keys": [changed(EC, "x", ED.jwk()["x"].clone())]}).to_string().as_bytes());
    let outcome = check_with(&EC.token(&claims()), &off_curve.unwrap(), &settings(|_| ()));
    assert_eq!(outcome, Err(JwtError::Signature));
}

// Verifies: JWT-03
#[test]
fn age_and_wildcards_follow_the_settings() {
    let young = settings(|text| text.max_age_seconds = 100);
    let aged = |claims: &Value| check_with(&ED.token(claims), &keys(&GOOD), &young);
    assert!(aged(&with("iat", json!(NOW - 105))).is_ok());
    assert_eq!(aged(&with("iat", json!(NOW - 106))), Err(JwtError::TooOld));
    assert_eq!(aged(&without("iat")), Err(JwtError::TooOld));
    let any = settings(|text| (text.issuer, text.audiences) = ("*".into(), vec!["*".into()]));
    let bare = json!({"sub": "ada", "exp": NOW + 60});
    let outcome = check_with(&ED.token(&bare), &keys(&GOOD), &any).unwrap();
    assert_eq!((&*outcome.issuer, outcome.issued_unix), ("", None));
    let wide = settings(|text| text.leeway_seconds = 300);
    assert!(check_with(&ED.token(&with("exp", json!(NOW - 299))), &keys(&GOOD), &wide).is_ok());
}
