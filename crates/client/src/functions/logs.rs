//! What functions wrote to the console, as a stream.

use hyper::body::Incoming;
use serde::{Deserialize, Serialize};

use crate::{
    ClientError, Result,
    sse::{SseEvent, SseStream},
};

/// A line.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LoggedLine {
    /// Its number; numbers rise.
    pub n: u64,
    /// When, RFC 3339.
    pub time: String,
    /// `debug`, `info`, `warn`, `error`.
    pub level: String,
    /// The function.
    pub function: String,
    /// The request in which it was written.
    pub request_id: String,
    /// The deployment that the function is of.
    pub deployment: String,
    /// What was written, or thrown.
    pub text: String,
    /// Of what was thrown, in places of the sources.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stack: Option<String>,
}

/// What the stream says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogItem {
    /// A line.
    Line(Box<LoggedLine>),
    /// So many lines before the next one are gone; `None`: the hub does not know how many.
    Dropped(Option<u64>),
    /// The hub ends the stream.
    Bye,
}

/// The stream.
pub struct FunctionLogs(SseStream);

impl FunctionLogs {
    pub(super) const fn new(body: Incoming) -> Self {
        Self(SseStream::new(body))
    }

    /// The next item; `None` at the end, which comes without a word when the connection breaks.
    ///
    /// # Errors
    /// `UNVERIFIED` if what comes is no stream of lines.
    pub async fn next(&mut self) -> Result<Option<LogItem>> {
        while let Some(event) = self.0.next().await? {
            if let Some(item) = item(&event)? {
                return Ok(Some(item));
            }
        }
        Ok(None)
    }
}

fn item(event: &SseEvent) -> Result<Option<LogItem>> {
    #[derive(Deserialize)]
    struct Dropped {
        lines: Option<u64>,
    }
    let unread = |error| ClientError::unverified(format!("the stream holds what is no line: {error}"));
    Ok(Some(match &*event.name {
        "line" => LogItem::Line(serde_json::from_str(&event.data).map_err(unread)?),
        "dropped" => LogItem::Dropped(serde_json::from_str::<Dropped>(&event.data).map_err(unread)?.lines),
        "bye" => LogItem::Bye,
        _ => return Ok(None),
    }))
}
