//! Where an ill-typed payload is wrong, in words like `batch[0].seqNum: expected an integer`. Only asked once the
//! decoder has refused, so it may take its time.

use serde_json::Value;

/// What a value must be.
pub(super) enum Shape {
    Text,
    Whole,
    Anything,
    List(&'static Self),
    /// Keys, whether each must be there, and its shape.
    Object(&'static [(&'static str, bool, Self)]),
    /// Effect's `Option`.
    Maybe(&'static Self),
    Truth,
}

use Shape::{Anything, List, Maybe, Object, Text, Truth, Whole};

const EVENT: Shape = Object(&[
    ("name", true, Text),
    ("args", false, Anything),
    ("seqNum", true, Whole),
    ("parentSeqNum", true, Whole),
    ("clientId", true, Text),
    ("sessionId", true, Text),
]);
const CURSOR: Shape = Object(&[("backendId", true, Text), ("eventSequenceNumber", true, Whole)]);

/// Payload of a Push.
pub(super) const PUSH: &Shape =
    &Object(&[("storeId", true, Text), ("batch", true, List(&EVENT)), ("backendId", true, Maybe(&Text))]);
/// Payload of a Pull.
pub(super) const PULL: &Shape =
    &Object(&[("storeId", true, Text), ("live", false, Truth), ("cursor", true, Maybe(&CURSOR))]);
/// Payload of a Ping.
pub(super) const PING: &Shape = &Object(&[("storeId", true, Text)]);

/// The first mistake of `payload`, or else the decoder's own position of it.
pub(super) fn find(payload: &str, shape: &Shape, error: &serde_json::Error) -> String {
    let found = serde_json::from_str::<Value>(payload).ok().and_then(|value| shape.mistake(&value, ""));
    // The decoder's words name our types; its position is of use.
    found.unwrap_or_else(|| format!("payload: cannot be read at column {}", error.column()))
}

impl Shape {
    const fn expected(&self) -> &'static str {
        match self {
            Text => "a string",
            Whole => "an integer",
            Anything => "a value",
            List(_) => "an array",
            Object(_) => "an object",
            Maybe(_) => "an Option such as {\"_tag\":\"None\"}",
            Truth => "a boolean",
        }
    }

    fn mistake(&self, value: &Value, path: &str) -> Option<String> {
        let wrong = || {
            let location = if path.is_empty() { "payload" } else { path };
            Some(format!("{location}: expected {}", self.expected()))
        };
        match (self, value) {
            (Text, Value::String(_)) | (Truth, Value::Bool(_)) | (Anything, _) => None,
            (Whole, Value::Number(number)) => {
                let whole = number.as_f64().is_none_or(|number| number.fract() == 0.0);
                if whole { None } else { wrong() }
            }
            (List(item), Value::Array(items)) => items
                .iter()
                .enumerate()
                .find_map(|(index, value)| item.mistake(value, &format!("{path}[{index}]"))),
            (Object(keys), Value::Object(object)) => keys.iter().find_map(|(key, required, shape)| {
                let path = if path.is_empty() { (*key).to_owned() } else { format!("{path}.{key}") };
                match object.get(*key) {
                    Some(value) => shape.mistake(value, &path),
                    None => required.then(|| format!("{path}: expected {}", shape.expected())),
                }
            }),
            (Maybe(inner), Value::Object(object)) => match (object.get("_tag"), object.get("value")) {
                (Some(Value::String(tag)), _) if tag == "None" => None,
                (Some(Value::String(tag)), Some(value)) if tag == "Some" => inner.mistake(value, path),
                _ => wrong(),
            },
            _ => wrong(),
        }
    }
}
