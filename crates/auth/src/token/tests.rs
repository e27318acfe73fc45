use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD},
};
use ferry_types::{Model, ModelSet, Op, OpSet};
use libmacaroon::{Format, Macaroon, MacaroonKey};
use proptest::prelude::*;

use super::*;
use crate::{SigningKey, claims::tests::sample, context::AuthContext, macaroon::mint};

const NOW: i64 = 1_500;

fn key() -> SigningKey {
    SigningKey::new([42; 32])
}

fn ring() -> KeyRing {
    KeyRing::new(key(), vec![SigningKey::new([43; 32])])
}

fn claims(purpose: Purpose) -> Claims {
    Claims { kid: key().kid(), ..sample(purpose) }
}

fn token(caveats: &[&str]) -> String {
    let caveats: Vec<Caveat> = caveats.iter().map(|text| text.parse().unwrap()).collect();
    mint(&key(), &claims(Purpose::Sync), &caveats).unwrap()
}

/// A token with whatever caveats a client may append, valid or not.
fn with_raw_caveats(caveats: &[Vec<u8>]) -> String {
    let bytes = URL_SAFE_NO_PAD.decode(token(&[])).unwrap();
    let mut macaroon = Macaroon::deserialize_binary(&bytes).unwrap();
    for caveat in caveats {
        macaroon.add_first_party_caveat(caveat).unwrap();
    }
    macaroon.serialize(Format::V2).unwrap()
}

fn check(token: &str) -> Result<Verified, TokenError> {
    verify(token, &ring(), Purpose::Sync, NOW)
}

#[test]
fn a_minted_token_verifies_with_its_claims_and_caveats() {
    let verified = check(&token(&["exp=1900", "op=read"])).unwrap();
    assert_eq!(verified.claims, claims(Purpose::Sync));
    assert_eq!(verified.deadline_unix, 1_900);
    assert_eq!(verified.caveats, [Caveat::Exp(1_900), Caveat::Op(OpSet::of(&[Op::Read]))]);
    assert_eq!(verify(&token(&[]), &ring(), Purpose::Session, NOW), Err(TokenError::WrongPurpose));
}

#[test]
fn tokens_come_unpadded_and_are_read_in_every_base64() {
    let token = token(&["bpd=1"]);
    assert!(!token.contains(['=', '+', '/']));
    let bytes = URL_SAFE_NO_PAD.decode(&token).unwrap();
    let spellings = [
        URL_SAFE.encode(&bytes),
        STANDARD.encode(&bytes),
        STANDARD_NO_PAD.encode(&bytes),
        URL_SAFE_NO_PAD.encode(&bytes),
    ];
    for spelling in spellings {
        assert!(check(&spelling).is_ok(), "{spelling}");
    }
}

// Verifies: TOK-02
#[test]
fn other_forms_are_refused() {
    let bytes = URL_SAFE_NO_PAD.decode(token(&[])).unwrap();
    let v2 = Macaroon::deserialize_binary(&bytes).unwrap();
    let v1 = v2.serialize(Format::V1).unwrap();
    assert_eq!(check(&v1), Err(TokenError::Malformed));
    assert_eq!(check(r#"{"v":2,"i":"x","s64":"eA"}"#), Err(TokenError::Malformed));
    assert_eq!(check(""), Err(TokenError::Malformed));
    assert_eq!(check("!!!"), Err(TokenError::Malformed));
    let mut longer = bytes.clone();
    longer.push(0);
    assert_eq!(check(&URL_SAFE_NO_PAD.encode(longer)), Err(TokenError::Malformed));
}

// Verifies: TOK-02
#[test]
fn third_party_caveats_are_refused() {
    let bytes = URL_SAFE_NO_PAD.decode(token(&[])).unwrap();
    let mut macaroon = Macaroon::deserialize_binary(&bytes).unwrap();
    macaroon.add_third_party_caveat("elsewhere", &MacaroonKey::from([1; 32]), "id").unwrap();
    assert_eq!(check(&macaroon.serialize(Format::V2).unwrap()), Err(TokenError::ThirdParty));
}

#[test]
fn sizes_are_limited() {
    let many: Vec<Vec<u8>> = (0..32).map(|_| b"op=read,write".to_vec()).collect();
    assert!(check(&with_raw_caveats(&many)).is_ok());
    let too_many: Vec<Vec<u8>> = (0..33).map(|_| b"op=read,write".to_vec()).collect();
    assert_eq!(check(&with_raw_caveats(&too_many)), Err(TokenError::TooLong));
    let long = vec![format!("tbl={}", "x".repeat(509)).into_bytes()];
    assert_eq!(check(&with_raw_caveats(&long)), Err(TokenError::TooLong));
    let big: Vec<Vec<u8>> = (0..9).map(|_| vec![b'x'; 500]).collect();
    assert_eq!(check(&with_raw_caveats(&big)), Err(TokenError::TooLong));
    assert_eq!(check(&"A".repeat(100_000)), Err(TokenError::TooLong));
    let caveats: Vec<Caveat> = (0..31).map(|_| format!("tbl={}", "x".repeat(128)).parse().unwrap()).collect();
    assert_eq!(mint(&key(), &claims(Purpose::Sync), &caveats), Err(TokenError::TooLong));
}

// Verifies: TOK-03, TOK-10
#[test]
fn signatures_and_keys_are_checked() {
    let foreign = SigningKey::new([44; 32]);
    let unknown = Claims { kid: foreign.kid(), ..claims(Purpose::Sync) };
    assert_eq!(check(&mint(&foreign, &unknown, &[]).unwrap()), Err(TokenError::UnknownKey));
    assert_eq!(check(&mint(&foreign, &claims(Purpose::Sync), &[]).unwrap()), Err(TokenError::Signature));
    let older = SigningKey::new([43; 32]);
    let retired = Claims { kid: older.kid(), ..claims(Purpose::Sync) };
    assert!(check(&mint(&older, &retired, &[]).unwrap()).is_ok());
    // Every single bit matters: flipped anywhere, the token is refused.
    let bytes = URL_SAFE_NO_PAD.decode(token(&["op=read"])).unwrap();
    for index in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[index] ^= 1;
        let outcome = check(&URL_SAFE_NO_PAD.encode(&flipped));
        // The location is no part of a macaroon's signature and grants nothing.
        let in_location = (3..8).contains(&index);
        assert_eq!(outcome.is_ok(), in_location, "byte {index}: {outcome:?}");
    }
}

// Verifies: TOK-04
#[test]
fn times_are_exact() {
    let at =
        |token: &str, now| verify(token, &ring(), Purpose::Sync, now).map(|verified| verified.deadline_unix);
    assert_eq!(at(&token(&[]), 1_999), Ok(2_000));
    assert_eq!(at(&token(&[]), 2_000), Err(TokenError::Expired));
    assert_eq!(at(&token(&["exp=1600"]), 1_599), Ok(1_600));
    assert_eq!(at(&token(&["exp=1600"]), 1_600), Err(TokenError::Expired));
    assert_eq!(at(&token(&["exp=9000"]), 2_000), Err(TokenError::Expired), "a caveat never prolongs");
    assert_eq!(at(&token(&["nbf=1600"]), 1_599), Err(TokenError::NotYet));
    assert_eq!(at(&token(&["nbf=1600"]), 1_600), Ok(2_000));
    assert_eq!(at(&token(&[]), 500), Ok(2_000), "a clock that stepped back refuses nothing");
}

/// What a client would append: the vocabulary, near misses and noise.
fn any_caveat() -> impl Strategy<Value = Vec<u8>> {
    let word = prop_oneof![Just("read"), Just("write"), Just("admin"), Just("root"), Just("")];
    let model = prop_oneof![Just("pages"), Just("events"), Just("functions"), Just("x")];
    prop_oneof![
        proptest::collection::vec(word, 0..4)
            .prop_map(|words| format!("op={}", words.join(",")).into_bytes()),
        proptest::collection::vec(model, 0..3)
            .prop_map(|words| format!("model={}", words.join(",")).into_bytes()),
        (0i64..4_000).prop_map(|at| format!("exp={at}").into_bytes()),
        (0i64..4_000).prop_map(|at| format!("nbf={at}").into_bytes()),
        (0u8..=32).prop_map(|bits| format!("ip=10.0.0.0/{bits}").into_bytes()),
        "[a-z]{0,5}".prop_map(|prefix| format!("tbl={prefix}").into_bytes()),
        "[a-z]{0,5}".prop_map(|prefix| format!("fn={prefix}").into_bytes()),
        (0u64..100).prop_map(|bytes| format!("bpd={bytes}").into_bytes()),
        prop_oneof![Just("3"), Just("4")]
            .prop_map(|end| format!("db=db_3f2b9c1e-5d44-4a7b-8e11-0a6c7d90215{end}").into_bytes()),
        Just(b"role=admin".to_vec()),
        Just(b"user_id=u_root".to_vec()),
        "[a-z]{1,4}=[ -~]{0,8}".prop_map(String::into_bytes),
        proptest::collection::vec(any::<u8>(), 1..16),
    ]
}

/// Every decision that a token may be asked for at time `now`.
fn decisions(token: &str, now: i64) -> Vec<bool> {
    let Ok(verified) = verify(token, &ring(), Purpose::Sync, now) else {
        return vec![false; Model::ALL.len() * Op::ALL.len() * 2];
    };
    let Some(context) = AuthContext::of_sync_token(&verified, OpSet::ALL) else {
        return vec![false; Model::ALL.len() * Op::ALL.len() * 2];
    };
    let mut all = Vec::new();
    for address in ["10.0.0.7", "192.0.2.1"] {
        let here = verified.restrictions.allows_address(Some(address.parse().unwrap()));
        for model in ModelSet::ALL.iter() {
            all.extend(OpSet::ALL.iter().map(|op| here && context.require(model, op).is_ok()));
        }
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    // Verifies: TOK-01
    #[test]
    fn appending_caveats_never_adds_a_right(
        first in proptest::collection::vec(any_caveat(), 0..4),
        more in proptest::collection::vec(any_caveat(), 0..4),
        now in 0i64..3_000,
    ) {
        let before = with_raw_caveats(&first);
        let after = with_raw_caveats(&[first, more].concat());
        for (was, is) in decisions(&before, now).into_iter().zip(decisions(&after, now)) {
            prop_assert!(was || !is, "a right appeared");
        }
        if let (Ok(was), Ok(is)) = (check(&before), check(&after)) {
            prop_assert_eq!(was.claims, is.claims);
            prop_assert!(is.deadline_unix <= was.deadline_unix);
        }
    }
}
