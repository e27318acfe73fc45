//! Tokens as an attacker or a careful user would change them: caveats are appended without any key.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use libmacaroon::{Format, Macaroon, MacaroonKey};

/// `token` with these caveats appended, which anyone may do.
///
/// # Panics
/// If the token is no macaroon.
#[must_use]
pub fn attenuate(token: &str, caveats: &[&str]) -> String {
    let mut macaroon = parse(token);
    for caveat in caveats {
        macaroon.add_first_party_caveat(caveat).expect("the caveat is short enough");
    }
    write(&macaroon, Format::V2)
}

/// The same token in the older binary form.
///
/// # Panics
/// If the token is no macaroon.
#[must_use]
pub fn as_v1(token: &str) -> String {
    write(&parse(token), Format::V1)
}

/// The same token as JSON.
///
/// # Panics
/// If the token is no macaroon.
#[must_use]
pub fn as_json(token: &str) -> String {
    let macaroon = parse(token);
    let bytes = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let json = serde_json::json!({
        "v": 2,
        "l": macaroon.location(),
        "i64": bytes(macaroon.identifier()),
        "c": [],
        "s64": bytes(macaroon.signature().as_ref()),
    });
    bytes(json.to_string().as_bytes())
}

/// The identifier of `token`, signed with a key that no hub has: what another server's token looks like.
///
/// # Panics
/// If the token is no macaroon.
#[must_use]
pub fn signed_by_another(token: &str) -> String {
    let key = MacaroonKey::generate(b"a key of somebody else");
    let forged = Macaroon::create(Some("ferry"), &key, parse(token).identifier()).expect("a macaroon");
    write(&forged, Format::V2)
}

/// A macaroon of another system: its own location, identifier and key.
///
/// # Panics
/// Never.
#[must_use]
pub fn of_another_system() -> String {
    let key = MacaroonKey::generate(b"dev-insecure-key");
    let mut macaroon =
        Macaroon::create(Some("edgereplica"), &key, "user=u_1;role=admin").expect("BUG: a macaroon");
    macaroon.add_first_party_caveat("direction = push").expect("BUG: a caveat");
    write(&macaroon, Format::V2)
}

fn parse(token: &str) -> Macaroon {
    Macaroon::deserialize(token).unwrap_or_else(|error| panic!("{token:?} is no macaroon: {error}"))
}

fn write(macaroon: &Macaroon, format: Format) -> String {
    let text = macaroon.serialize(format).expect("a macaroon can be written");
    text.trim_end_matches('=').to_owned()
}
