//! Values as JSON that loses nothing: numbers that JavaScript holds, and the others by name.

use ferry_core::sql::{Row, Value as SqlValue};
use ferry_types::{Error, Reason, Result};
use serde_json::{Value, json};

/// The largest integer below which JavaScript's numbers are exact.
const EXACT_MAX: i64 = (1 << 53) - 1;

/// A row of `columns` values; what is longer than `max_bytes` is cut.
pub(super) fn row(row: &dyn Row, columns: usize, max_bytes: usize) -> Value {
    (0..columns).map(|column| cell(row.value(column), max_bytes)).collect()
}

fn cell(value: SqlValue<'_>, max_bytes: usize) -> Value {
    match value {
        SqlValue::Null => Value::Null,
        SqlValue::Integer(number) if number.abs_diff(0) <= EXACT_MAX.unsigned_abs() => number.into(),
        SqlValue::Integer(number) => json!({"integer": number.to_string()}),
        SqlValue::Real(number) if number.is_finite() => json!({ "real": number }),
        SqlValue::Real(number) => json!({"real": if number > 0.0 { "Infinity" } else { "-Infinity" }}),
        SqlValue::Text(text) if text.len() <= max_bytes => text.into(),
        SqlValue::Text(text) => {
            json!({"text": &text[..text.floor_char_boundary(max_bytes)], "bytes": text.len()})
        }
        SqlValue::Blob(bytes) => {
            // Two digits per byte.
            let shown = &bytes[..bytes.len().min(max_bytes / 2)];
            json!({"blob": shown.iter().map(|byte| format!("{byte:02x}")).collect::<String>(), "bytes": bytes.len()})
        }
    }
}

/// A value of a parameter.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum QueryParameter {
    Null,
    Integer(i64),
    Real(f64),
    Text(String),
    Blob(Vec<u8>),
}

impl QueryParameter {
    pub(super) fn as_value(&self) -> SqlValue<'_> {
        match self {
            Self::Null => SqlValue::Null,
            Self::Integer(number) => SqlValue::Integer(*number),
            Self::Real(number) => SqlValue::Real(*number),
            Self::Text(text) => SqlValue::Text(text),
            Self::Blob(bytes) => SqlValue::Blob(bytes),
        }
    }
}

/// The parameters that `json` tells.
///
/// # Errors
/// What is wrong with it.
pub(super) fn parameters(json: &str) -> Result<Vec<QueryParameter>> {
    if json.is_empty() {
        return Ok(Vec::new());
    }
    let invalid = |message: String| Error::new(Reason::InvalidArgument, format!("params_json: {message}"));
    let values: Vec<Value> = serde_json::from_str(json).map_err(|error| invalid(error.to_string()))?;
    let read =
        |value: Value| parameter(&value).ok_or_else(|| invalid(format!("no value of a parameter: {value}")));
    values.into_iter().map(read).collect()
}

fn parameter(value: &Value) -> Option<QueryParameter> {
    Some(match value {
        Value::Null => QueryParameter::Null,
        Value::String(text) => QueryParameter::Text(text.clone()),
        Value::Number(number) => match number.as_i64() {
            Some(number) => QueryParameter::Integer(number),
            None => QueryParameter::Real(number.as_f64()?),
        },
        Value::Object(named) if named.len() == 1 || named.contains_key("blob") => {
            let text = |name: &str| named.get(name).and_then(Value::as_str);
            if let Some(number) = text("integer") {
                QueryParameter::Integer(number.parse().ok()?)
            } else if let Some(real) = named.get("real") {
                QueryParameter::Real(match real.as_str() {
                    Some("Infinity") => f64::INFINITY,
                    Some("-Infinity") => f64::NEG_INFINITY,
                    Some(_) => return None,
                    None => real.as_f64()?,
                })
            } else {
                QueryParameter::Blob(bytes_of(text("blob")?)?)
            }
        }
        _ => return None,
    })
}

fn bytes_of(hex: &str) -> Option<Vec<u8>> {
    let digits = hex.as_bytes();
    let pairs = digits.chunks(2).map(|pair| {
        let pair = std::str::from_utf8(pair)
            .ok()
            .filter(|pair| pair.bytes().all(|digit| digit.is_ascii_hexdigit()))?;
        u8::from_str_radix(pair, 16).ok()
    });
    if digits.len().is_multiple_of(2) { pairs.collect() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Verifies: OPR-57
    #[test]
    fn values_keep_what_they_are() {
        for (value, shown) in [
            (SqlValue::Null, json!(null)),
            (SqlValue::Integer(-EXACT_MAX), json!(-9_007_199_254_740_991_i64)),
            (SqlValue::Integer(EXACT_MAX + 2), json!({"integer": "9007199254740993"})),
            (SqlValue::Integer(i64::MIN), json!({"integer": "-9223372036854775808"})),
            (SqlValue::Real(2.0), json!({"real": 2.0})),
            (SqlValue::Real(f64::NEG_INFINITY), json!({"real": "-Infinity"})),
            (SqlValue::Text("äöü"), json!("äöü")),
            (SqlValue::Text("1234567ä"), json!({"text": "1234567", "bytes": 9})),
            (SqlValue::Blob(&[0, 255]), json!({"blob": "00ff", "bytes": 2})),
            (SqlValue::Blob(&[1; 9]), json!({"blob": "01010101", "bytes": 9})),
        ] {
            assert_eq!(cell(value, 8), shown);
        }
    }

    #[test]
    fn what_was_shown_whole_can_be_asked_for() {
        let json = r#"[null, 7, {"integer":"9007199254740993"}, {"real":2.0}, {"real":"-Infinity"}, "a", {"blob":"00ff","bytes":2}]"#;
        assert_eq!(
            parameters(json).unwrap(),
            [
                QueryParameter::Null,
                QueryParameter::Integer(7),
                QueryParameter::Integer(9_007_199_254_740_993),
                QueryParameter::Real(2.0),
                QueryParameter::Real(f64::NEG_INFINITY),
                QueryParameter::Text("a".into()),
                QueryParameter::Blob(vec![0, 255]),
            ]
        );
        assert!(parameters("").unwrap().is_empty());
        for bad in [
            "{}",
            "[true]",
            r#"[{"blob":"0"}]"#,
            r#"[{"blob":"+1"}]"#,
            r#"[{"text":"cut","bytes":9}]"#,
            "[[1]]",
        ] {
            assert!(parameters(bad).is_err(), "{bad}");
        }
    }
}
