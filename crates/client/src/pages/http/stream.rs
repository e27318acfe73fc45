//! The stream of versions.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ferry_types::Tag;
use hyper::body::Incoming;
use serde::Deserialize;
use tokio::time::timeout;

use super::parse_tag;
use crate::{ClientError, Result, sse::SseStream};

/// The hub shows every 15 s that a stream lives; after this long in silence it is gone.
const SILENCE_MAX: Duration = Duration::from_secs(45);

/// An open stream.
pub(crate) struct VersionStream(SseStream);

/// A version that the hub has.
#[derive(Clone, Debug)]
pub(crate) struct Announced {
    pub(crate) tag: Tag,
    /// What leads to it from the version that was announced before, where it is short.
    pub(crate) body: Option<Vec<u8>>,
}

#[derive(Deserialize)]
struct Document {
    tag: String,
    body: Option<String>,
}

impl VersionStream {
    pub(super) const fn new(body: Incoming) -> Self {
        Self(SseStream::new(body))
    }

    /// The next version; `None` when the stream has ended, and the reader should come again.
    ///
    /// # Errors
    /// `UNVERIFIED` if what comes is no stream of versions.
    pub(crate) async fn next(&mut self) -> Result<Option<Announced>> {
        loop {
            let Ok(event) = timeout(SILENCE_MAX, self.0.next()).await else { return Ok(None) };
            let Some(event) = event? else { return Ok(None) };
            if event.name != "version" {
                continue;
            }
            let document: Document = serde_json::from_str(&event.data).map_err(|error| {
                ClientError::unverified(format!("the stream holds what is no version: {error}"))
            })?;
            let body = document.body.and_then(|body| STANDARD.decode(body).ok());
            return Ok(Some(Announced { tag: parse_tag(&document.tag)?, body }));
        }
    }
}
