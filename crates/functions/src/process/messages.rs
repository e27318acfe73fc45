//! What the two ends say to each other.

use std::{borrow::Cow, collections::BTreeMap, fmt, sync::Arc};

use ferry_core::sql::{Row, Value};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{
    call::{Ask, AskAnswer, CallRequest, FunctionOutcome, RunLimits},
    db::{Executed, ModelCall, SavepointStep, SqlFailure},
    load_error::LoadError,
    positions::Positions,
};

/// The hub to the child.
#[derive(Serialize, Deserialize)]
pub(super) enum ToWorker<'a> {
    /// Evaluate this program.
    Load {
        bundle: Cow<'a, str>,
        positions: Cow<'a, Positions>,
        limits: RunLimits,
        now_ms: u64,
        /// Tell what it exports.
        inspects: bool,
    },
    /// Begin a call (`request`), or go on with it.
    Step { request: Option<RequestMessage<'a>>, answers: Vec<(u32, AskAnswer)>, now_ms: u64 },
    /// The answer to what the child asked.
    Answer(DbAnswer<'a>),
}

/// The child to the hub.
#[derive(Serialize, Deserialize)]
pub(super) enum FromWorker<'a> {
    /// The program is evaluated; what it exports, if that was asked.
    Loaded(Result<Option<String>, LoadError>),
    /// The call is over.
    Done {
        outcome: FunctionOutcome,
        /// The child serves another one.
        serves_on: bool,
    },
    /// The call waits.
    Waiting { asks: Vec<(u32, Ask)>, due_ms: Option<u64>, heap_bytes: u64 },
    /// The call asks its database.
    Ask(#[serde(borrow)] DbAsk<'a>),
}

/// What a call asks of its database, as [`crate::FunctionDb`] has it.
#[derive(Serialize, Deserialize)]
pub(super) enum DbAsk<'a> {
    Execute {
        sql: &'a str,
        #[serde(borrow)]
        parameters: Vec<ValueMessage<'a>>,
    },
    Savepoint(SavepointStep),
    Model(#[serde(borrow)] ModelCall<'a>),
    Seq,
    GoOn,
}

/// The database's answer. The rows of a statement come before, in frames of their own.
#[derive(Serialize, Deserialize)]
pub(super) enum DbAnswer<'a> {
    Executed(Executed),
    Savepoint,
    Model(Cow<'a, str>),
    Seq(u64),
    GoesOn(bool),
    Thrown(SqlFailure, Cow<'a, str>),
    Abort,
}

/// A message, and the CPU of the call that its sender used so far, microseconds.
#[derive(Serialize, Deserialize)]
pub(super) struct Sent<T>(pub(super) u64, pub(super) T);

/// A [`CallRequest`].
#[derive(Serialize, Deserialize)]
pub(super) struct RequestMessage<'a> {
    function: Cow<'a, str>,
    args: Cow<'a, str>,
    headers: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    user: Option<Cow<'a, str>>,
    owner: Cow<'a, str>,
    env: BTreeMap<Cow<'a, str>, Cow<'a, str>>,
    request_id: Cow<'a, str>,
    guard_prefix: Cow<'a, str>,
    can_sign: bool,
    is_dev: bool,
}

impl<'a> From<&'a CallRequest> for RequestMessage<'a> {
    fn from(request: &'a CallRequest) -> Self {
        fn pair<'a>((name, value): (&'a String, &'a String)) -> (Cow<'a, str>, Cow<'a, str>) {
            (name.into(), value.into())
        }
        Self {
            function: (&*request.function).into(),
            args: (&*request.args).into(),
            headers: request.headers.iter().map(|(name, value)| pair((name, value))).collect(),
            user: request.user.as_deref().map(Into::into),
            owner: (&*request.owner).into(),
            env: request.env.iter().map(pair).collect(),
            request_id: (&*request.request_id).into(),
            guard_prefix: request.guard_prefix.into(),
            can_sign: request.can_sign,
            is_dev: request.is_dev,
        }
    }
}

impl From<RequestMessage<'_>> for CallRequest {
    fn from(message: RequestMessage<'_>) -> Self {
        fn pair((name, value): (Cow<'_, str>, Cow<'_, str>)) -> (String, String) {
            (name.into_owned(), value.into_owned())
        }
        Self {
            function: message.function.into(),
            args: message.args.into(),
            headers: message.headers.into_iter().map(pair).collect(),
            user: message.user.map(Into::into),
            owner: message.owner.into(),
            env: Arc::new(message.env.into_iter().map(pair).collect()),
            request_id: message.request_id.into(),
            // The hub has two.
            guard_prefix: if message.guard_prefix == "[EdgePod]" { "[EdgePod]" } else { "[Ferry]" },
            can_sign: message.can_sign,
            is_dev: message.is_dev,
        }
    }
}

/// A [`Value`].
pub(super) struct ValueMessage<'a>(pub(super) Value<'a>);

impl Serialize for ValueMessage<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Null => serializer.serialize_unit(),
            Value::Integer(integer) => serializer.serialize_i64(integer),
            Value::Real(real) => serializer.serialize_f64(real),
            Value::Text(text) => serializer.serialize_str(text),
            Value::Blob(bytes) => serializer.serialize_bytes(bytes),
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for ValueMessage<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor).map(Self)
    }
}

struct ValueVisitor;

impl<'de> de::Visitor<'de> for ValueVisitor {
    type Value = Value<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value of SQL")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
        Ok(Value::Null)
    }

    fn visit_i64<E: de::Error>(self, integer: i64) -> Result<Self::Value, E> {
        Ok(Value::Integer(integer))
    }

    fn visit_u64<E: de::Error>(self, integer: u64) -> Result<Self::Value, E> {
        i64::try_from(integer).map(Value::Integer).map_err(E::custom)
    }

    fn visit_f64<E: de::Error>(self, real: f64) -> Result<Self::Value, E> {
        Ok(Value::Real(real))
    }

    fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Value::Text(text))
    }

    fn visit_borrowed_bytes<E: de::Error>(self, bytes: &'de [u8]) -> Result<Self::Value, E> {
        Ok(Value::Blob(bytes))
    }
}

/// A row that came over.
pub(super) struct RowMessage<'a>(pub(super) Vec<ValueMessage<'a>>);

impl Row for RowMessage<'_> {
    fn value(&self, column: usize) -> Value<'_> {
        self.0.get(column).map_or(Value::Null, |value| value.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Verifies: FUN-06
    #[test]
    fn values_of_sql_cross_as_what_they_are() {
        let values = [
            Value::Null,
            Value::Integer(0),
            Value::Integer(-33),
            Value::Integer(i64::MAX),
            Value::Integer(i64::MIN),
            Value::Real(5.0),
            Value::Real(-0.0),
            Value::Real(f64::INFINITY),
            Value::Text(""),
            Value::Text("日本\0"),
            Value::Blob(&[]),
            Value::Blob(&[0, 255]),
        ];
        let sent: Vec<ValueMessage<'_>> = values.into_iter().map(ValueMessage).collect();
        let bytes = rmp_serde::to_vec(&sent).unwrap();
        let come: Vec<ValueMessage<'_>> = rmp_serde::from_slice(&bytes).unwrap();
        let come: Vec<Value<'_>> = come.into_iter().map(|value| value.0).collect();
        assert_eq!(come, values);
    }
}
