//! Messages of the notification socket (records specification, 2.6).

use serde::Deserialize;
use serde_json::json;

/// What a client says.
#[derive(Debug, PartialEq, Eq)]
pub enum ClientMessage {
    /// Its credential; empty if it sent none.
    Auth(String),
    /// Asks for a pong.
    Ping,
    /// A kind that this version does not know; it is passed over.
    Unknown,
}

/// A frame that is no message.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a JSON object with a \"type\"")]
pub struct SocketError;

impl ClientMessage {
    /// Reads a text frame.
    ///
    /// # Errors
    /// When it is not a JSON object with a `type`.
    pub fn decode(text: &str) -> Result<Self, SocketError> {
        #[derive(Deserialize)]
        struct Raw {
            r#type: String,
            token: Option<String>,
        }
        let raw: Raw = serde_json::from_str(text).map_err(|_| SocketError)?;
        Ok(match raw.r#type.as_str() {
            "auth" => Self::Auth(raw.token.unwrap_or_default()),
            "ping" => Self::Ping,
            _ => Self::Unknown,
        })
    }
}

/// What the hub says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerMessage<'a> {
    /// The credential is good.
    AuthOk,
    /// Collections of an app hold something new.
    SyncAvailable {
        /// The app.
        app: &'a str,
        /// Its collections.
        tables: &'a [String],
    },
    /// The answer to a ping.
    Pong,
    /// Why the socket is closed.
    Error(&'static str),
}

impl ServerMessage<'_> {
    /// The text of its frame.
    #[must_use]
    pub fn encode(self) -> String {
        let message = match self {
            Self::AuthOk => json!({"type": "auth-ok"}),
            Self::SyncAvailable { app, tables } => {
                json!({"type": "sync-available", "appId": app, "tables": tables})
            }
            Self::Pong => json!({"type": "pong"}),
            Self::Error(reason) => json!({"type": "error", "tables": [reason]}),
        };
        message.to_string()
    }
}
