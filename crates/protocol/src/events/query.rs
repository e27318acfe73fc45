//! The query of a connection: which store, which transport, and the app's own payload (section 2.1).

use std::borrow::Cow;

use super::Transport;

/// Longest `storeId`.
const STORE_ID_MAX_BYTES: usize = 256;

/// What is wrong with the query.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadQuery(pub &'static str);

/// The parameters of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectQuery {
    /// Which store.
    pub store_id: Box<str>,
    /// How frames travel.
    pub transport: Transport,
    /// The app's payload, parsed.
    pub payload: Option<serde_json::Value>,
}

impl ConnectQuery {
    /// Reads the query behind the `?` of a URL.
    ///
    /// # Errors
    /// When a parameter is missing or bad.
    pub fn parse(query: &str) -> Result<Self, BadQuery> {
        let parsed = Self::parse_any(query)?;
        check_store_id(&parsed.store_id)?;
        Ok(parsed)
    }

    /// The same of a query whose `storeId` may be one that can name no store.
    ///
    /// # Errors
    /// When a parameter is missing, or bad otherwise.
    pub fn parse_any(query: &str) -> Result<Self, BadQuery> {
        let (mut store_id, mut transport, mut payload) = (None, None, None);
        for pair in query.split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            // Of several, the first counts.
            match name {
                "storeId" if store_id.is_none() => store_id = Some(value),
                "transport" if transport.is_none() => transport = Some(value),
                "payload" if payload.is_none() => payload = Some(value),
                _ => {}
            }
        }
        let store_id = store_id.ok_or(BadQuery("storeId is missing: add ?storeId=…"))?;
        let store_id = decode(store_id, true).ok_or(BadQuery("storeId is no percent-encoded UTF-8"))?;
        let transport = match transport {
            Some("ws") => Transport::Ws,
            Some("http") => Transport::Http,
            _ => return Err(BadQuery("transport must be ws or http")),
        };
        let payload = payload.filter(|text| !text.is_empty()).map(app_payload).transpose()?;
        Ok(Self { store_id: store_id.into(), transport, payload })
    }

    /// Text of the first of `names` that the payload has.
    #[must_use]
    pub fn payload_text(&self, names: &[&str]) -> Option<&str> {
        let payload = self.payload.as_ref()?;
        names.iter().find_map(|name| payload.get(*name)?.as_str())
    }
}

/// Percent-encoded twice, then JSON.
fn app_payload(text: &str) -> Result<serde_json::Value, BadQuery> {
    let once = decode(text, true);
    let twice = once.as_deref().and_then(|text| decode(text, false));
    twice
        .and_then(|json| serde_json::from_str(&json).ok())
        .ok_or(BadQuery("payload must be JSON, percent-encoded twice"))
}

/// Whether `id` may name a store.
///
/// # Errors
/// When it may not.
pub fn check_store_id(id: &str) -> Result<(), BadQuery> {
    if (1..=STORE_ID_MAX_BYTES).contains(&id.len()) && !id.chars().any(char::is_control) {
        Ok(())
    } else {
        Err(BadQuery("storeId must have 1 to 256 bytes of UTF-8 without control characters"))
    }
}

/// Percent-decodes; in the query itself `+` stands for a space (URL standard, form encoding).
fn decode(text: &str, plus_is_space: bool) -> Option<Cow<'_, str>> {
    if !text.contains(['%', '+']) {
        return Some(Cow::Borrowed(text));
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let (high, low) = (hex(rest.next()?)?, hex(rest.next()?)?);
                high << 4 | low
            }
            b'+' if plus_is_space => b' ',
            other => other,
        });
    }
    String::from_utf8(bytes).ok().map(Cow::Owned)
}

fn hex(byte: u8) -> Option<u8> {
    (byte as char).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}
