//! Frames from clients. Nothing is built but what the engine needs; unknown keys are skipped.

use std::{borrow::Cow, fmt};

use serde::{Deserialize, Deserializer, de::Visitor};
use serde_json::value::RawValue;

use super::{Event, RequestId, mistake};
use crate::json::nesting;

/// Deepest nesting of `args` (section 2.5).
pub(super) const ARGS_NESTING_MAX: usize = 512;

/// How a frame came; each has its own names for the calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// WebSocket: `SyncWsRpc.…`.
    Ws,
    /// HTTP: `SyncHttpRpc.…`.
    Http,
}

impl Transport {
    /// For metrics and hooks.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ws => "ws",
            Self::Http => "http",
        }
    }
}

/// A frame of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Inbound {
    /// A call.
    Request(Request),
    /// The client took a Chunk.
    Ack(RequestId),
    /// The client gives a call up.
    Interrupt(RequestId),
    /// Keep-alive.
    Ping,
    /// A frame without meaning here: `Eof`, a tag of a later version, an Ack of no id.
    Ignored,
    /// A frame of the protocol before LiveStore 0.4.
    Outdated,
}

/// A call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Echoed in every answer.
    pub id: RequestId,
    /// The call, or what about it cannot be understood.
    pub call: Result<Call, String>,
}

/// What a call asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// Events after a cursor.
    Pull(PullCall),
    /// Append events.
    Push(PushCall),
    /// HTTP transport only.
    Ping(Box<str>),
}

/// Arguments of a Pull.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PullCall {
    /// Which store.
    pub store_id: Box<str>,
    /// Whether later events follow, for ever.
    pub live: bool,
    /// Where the client stands; `None`: it has nothing.
    pub cursor: Option<LogCursor>,
}

/// A client's position in a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogCursor {
    /// The store's identity as the client knows it.
    pub backend_id: Box<str>,
    /// Number of the newest event it has.
    pub seq_num: i64,
}

/// Arguments of a Push.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushCall {
    /// Which store.
    pub store_id: Box<str>,
    /// The events, in order.
    pub batch: Vec<Event>,
    /// The store's identity as the client knows it.
    pub backend_id: Option<Box<str>>,
}

/// The text is no frame of this wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected one JSON object with _tag, and with a string or integer id where it is a Request")]
pub struct Malformed;

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(rename = "_tag", borrow)]
    frame: Cow<'a, str>,
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    #[serde(rename = "requestId", borrow, default)]
    request_id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    tag: Option<&'a RawValue>,
    #[serde(borrow, default)]
    payload: Option<&'a RawValue>,
}

impl Inbound {
    /// Reads one frame.
    ///
    /// # Errors
    /// [`Malformed`] if it is none.
    pub fn decode(text: &str, transport: Transport) -> Result<Self, Malformed> {
        let envelope: Envelope<'_> = serde_json::from_str(text).map_err(|_| Malformed)?;
        let named = || envelope.request_id.and_then(RequestId::parse);
        Ok(match &*envelope.frame {
            "Request" => {
                let id = envelope.id.and_then(RequestId::parse).ok_or(Malformed)?;
                Self::Request(Request { id, call: Call::decode(envelope.tag, envelope.payload, transport) })
            }
            "Ack" => named().map_or(Self::Ignored, Self::Ack),
            "Interrupt" => named().map_or(Self::Ignored, Self::Interrupt),
            "Ping" => Self::Ping,
            other if other.starts_with("WSMessage.") => Self::Outdated,
            _ => Self::Ignored,
        })
    }
}

impl Call {
    fn decode(
        tag: Option<&RawValue>,
        payload: Option<&RawValue>,
        transport: Transport,
    ) -> Result<Self, String> {
        let tag: Cow<'_, str> = tag
            .and_then(|raw| serde_json::from_str::<Borrowed<'_>>(raw.get()).ok())
            .map(|tag| tag.0)
            .ok_or("tag: expected the name of an RPC")?;
        let call = match transport {
            Transport::Ws => tag.strip_prefix("SyncWsRpc."),
            Transport::Http => tag.strip_prefix("SyncHttpRpc."),
        };
        let payload = payload.map_or("null", RawValue::get);
        let mistake_in = |error: serde_json::Error, shape| mistake::find(payload, shape, &error);
        match call {
            Some("Pull") => serde_json::from_str::<RawPull<'_>>(payload)
                .map_err(|error| mistake_in(error, mistake::PULL))
                .and_then(|pull| pull.checked(transport)),
            Some("Push") => serde_json::from_str::<RawPush<'_>>(payload)
                .map_err(|error| mistake_in(error, mistake::PUSH))
                .map(RawPush::owned)
                .map(Self::Push),
            Some("Ping") if transport == Transport::Http => serde_json::from_str::<RawPing<'_>>(payload)
                .map_err(|error| mistake_in(error, mistake::PING))
                .map(|ping| Self::Ping(ping.store_id.into())),
            _ => Err(format!("tag: this hub does not know the RPC {tag:?}")),
        }
    }
}

#[derive(Deserialize)]
struct Borrowed<'a>(#[serde(borrow)] Cow<'a, str>);

#[derive(Deserialize)]
struct RawPing<'a> {
    #[serde(rename = "storeId", borrow)]
    store_id: Cow<'a, str>,
}

#[derive(Deserialize)]
struct RawPull<'a> {
    #[serde(rename = "storeId", borrow)]
    store_id: Cow<'a, str>,
    #[serde(default)]
    live: Option<bool>,
    #[serde(borrow)]
    cursor: Maybe<RawCursor<'a>>,
}

impl RawPull<'_> {
    fn checked(self, transport: Transport) -> Result<Call, String> {
        let live = match (transport, self.live) {
            (Transport::Ws, Some(live)) => live,
            (Transport::Ws, None) => return Err("live: expected a boolean".to_owned()),
            (Transport::Http, _) => false,
        };
        let cursor = self
            .cursor
            .0
            .map(|cursor| LogCursor { backend_id: cursor.backend_id.into(), seq_num: cursor.seq_num.0 });
        Ok(Call::Pull(PullCall { store_id: self.store_id.into(), live, cursor }))
    }
}

#[derive(Deserialize)]
struct RawCursor<'a> {
    #[serde(rename = "backendId", borrow)]
    backend_id: Cow<'a, str>,
    #[serde(rename = "eventSequenceNumber")]
    seq_num: Whole,
}

#[derive(Deserialize)]
struct RawPush<'a> {
    #[serde(rename = "storeId", borrow)]
    store_id: Cow<'a, str>,
    #[serde(borrow)]
    batch: Vec<RawEvent<'a>>,
    #[serde(rename = "backendId", borrow)]
    backend_id: Maybe<Cow<'a, str>>,
}

impl RawPush<'_> {
    fn owned(self) -> PushCall {
        PushCall {
            store_id: self.store_id.into(),
            batch: self.batch.into_iter().map(RawEvent::owned).collect(),
            backend_id: self.backend_id.0.map(Into::into),
        }
    }
}

#[derive(Deserialize)]
struct RawEvent<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    // An `Option` alone would read `null` as absent.
    #[serde(borrow, default, deserialize_with = "present")]
    args: Option<&'a RawValue>,
    #[serde(rename = "seqNum")]
    seq_num: Whole,
    #[serde(rename = "parentSeqNum")]
    parent_seq_num: Whole,
    #[serde(rename = "clientId", borrow)]
    client_id: Cow<'a, str>,
    #[serde(rename = "sessionId", borrow)]
    session_id: Cow<'a, str>,
}

/// A key that is there, `null` included.
pub(super) fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

impl RawEvent<'_> {
    fn owned(self) -> Event {
        Event {
            seq_num: self.seq_num.0,
            parent_seq_num: self.parent_seq_num.0,
            name: self.name.into(),
            args: self.args.map(|raw| raw.get().into()),
            client_id: self.client_id.into(),
            session_id: self.session_id.into(),
        }
    }
}

/// Effect's `Option`: `{"_tag":"None"}` or `{"_tag":"Some","value":…}`.
struct Maybe<T>(Option<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Maybe<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(bound = "T: Deserialize<'de>")]
        struct Tagged<'a, T> {
            #[serde(rename = "_tag", borrow)]
            tag: Cow<'a, str>,
            #[serde(default = "absent")]
            value: Option<T>,
        }
        const fn absent<T>() -> Option<T> {
            None
        }
        let tagged = Tagged::<T>::deserialize(deserializer)?;
        match (&*tagged.tag, tagged.value) {
            ("None", _) => Ok(Self(None)),
            ("Some", Some(value)) => Ok(Self(Some(value))),
            _ => Err(serde::de::Error::custom("expected an Option")),
        }
    }
}

/// An integer. One beyond 64 bits is kept as the largest or smallest, which no rule of numbering accepts.
#[derive(Clone, Copy)]
pub(super) struct Whole(pub(super) i64);

impl<'de> Deserialize<'de> for Whole {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl Visitor<'_> for Reader {
            type Value = Whole;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an integer")
            }

            fn visit_i64<E>(self, value: i64) -> Result<Whole, E> {
                Ok(Whole(value))
            }

            fn visit_u64<E>(self, value: u64) -> Result<Whole, E> {
                Ok(Whole(i64::try_from(value).unwrap_or(i64::MAX)))
            }

            #[expect(clippy::cast_possible_truncation, reason = "beyond the range it saturates, as wished")]
            fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Whole, E> {
                if value.fract() == 0.0 {
                    Ok(Whole(value as i64))
                } else {
                    Err(E::custom("expected an integer"))
                }
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

impl Event {
    /// Whether `args` nest too deep to be read by every client.
    #[must_use]
    pub fn nests_too_deep(&self) -> bool {
        // Shorter than the limit in brackets: not worth a scan.
        self.args
            .as_deref()
            .is_some_and(|args| args.len() > ARGS_NESTING_MAX && nesting(args) > ARGS_NESTING_MAX)
    }
}
