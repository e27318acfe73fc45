//! What these endpoints answer: JSON that begins with the log's head, and the commit that it shows.

use axum::{body::Body, response::Response};
use ferry_core::ops::{epoch::LogRefusal, meta::LogMeta};
use ferry_protocol::ops::{LogHead, answer};
use ferry_types::{Seq, UnixMillis};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;

use super::super::error::OpsError;
use crate::http::HeldPage;

/// An answer, and the newest commit that it knows of.
pub(super) struct OpsAnswer {
    response: Response,
    seq: Option<Seq>,
    /// Bytes of a body that is compressed already, as it was before: those are charged (TOK-14).
    plain_bytes: Option<usize>,
}

impl OpsAnswer {
    /// A response as it is.
    pub(super) const fn new(response: Response, seq: Option<Seq>) -> Self {
        Self { response, seq, plain_bytes: None }
    }

    /// The same, whose body had so many bytes before it was compressed.
    pub(super) fn of_plain_bytes(self, bytes: u64) -> Self {
        Self { plain_bytes: usize::try_from(bytes).ok(), ..self }
    }

    /// Bytes to be charged, where they are not those of the body.
    pub(super) const fn plain_bytes(&self) -> Option<usize> {
        self.plain_bytes
    }

    /// A JSON text.
    pub(super) fn text(text: impl Into<Body>, seq: Seq) -> Self {
        let mut response = Response::new(text.into());
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        Self { response, seq: Some(seq), plain_bytes: None }
    }

    /// The head, then the members of `body`.
    pub(super) fn json(head: &LogHead, body: &impl Serialize, seq: Seq) -> Self {
        Self::text(answer(head, body), seq)
    }

    /// The same, for which this room was taken, if any was.
    pub(super) fn holding(mut self, held: Option<HeldPage>) -> Self {
        if let Some(held) = held {
            self.response.extensions_mut().insert(held);
        }
        self
    }

    /// What goes out.
    pub(super) fn respond(self) -> Response {
        let Self { mut response, seq, .. } = self;
        if let Some(seq) = seq {
            response.headers_mut().insert("ferry-seq", HeaderValue::from(seq.0));
        }
        response
    }
}

/// What every answer begins with.
pub(super) fn head_of(log: &LogMeta, now: UnixMillis) -> LogHead {
    LogHead { hub_id: log.hub_id.clone(), epoch: log.epoch.clone(), head: log.head, hub_time_ms: now.0 }
}

/// The refusal of a cursor that the log cannot continue (OPS-32).
pub(super) fn refused(log: &LogMeta, refusal: LogRefusal) -> OpsError {
    match refusal {
        LogRefusal::EpochChanged { policy } => {
            let message =
                "the log has another identity or epoch than the one you know: follow details.policy";
            OpsError::conflict("epoch_changed", message)
                .with("hub_id", log.hub_id.as_str())
                .with("epoch", log.epoch.as_str())
                .with("policy", policy.as_str())
        }
        LogRefusal::Diverged => {
            let message = "the log does not hold what you were told: the hub was put back to an older state; ask \
                           missing for the ops that you hold, push those, and pull from 0";
            OpsError::conflict("log_diverged", message)
        }
        LogRefusal::SnapshotRequired { floor } => {
            let message = "ops behind this cursor were compacted: load the snapshot";
            OpsError::new(StatusCode::GONE, "snapshot_required", message).with("floor", floor.0)
        }
    }
}
