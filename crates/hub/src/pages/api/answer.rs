//! What these endpoints answer with beside their bodies: tags, and refusals in the form of all of `/v1`.

use axum::{
    Json,
    response::{IntoResponse as _, Response},
};
use ferry_sqlite::pages::VersionInfo;
use ferry_types::{Error, Reason, Tag};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use serde_json::json;

use crate::http::{HttpRequestId, retry_after, status_of};

const FERRY_SEQ: HeaderName = HeaderName::from_static("ferry-seq");

/// A refusal, with the version that the reader may go on from.
#[derive(Clone, Debug)]
pub(in crate::pages) struct PagesError {
    error: Error,
    current: Option<VersionInfo>,
}

impl From<Error> for PagesError {
    fn from(error: Error) -> Self {
        Self { error, current: None }
    }
}

impl PagesError {
    /// The same with the newest version.
    pub(super) fn with_current(mut self, current: VersionInfo) -> Self {
        self.current = Some(current);
        self
    }

    /// The refusal alone, for another wire.
    pub(in crate::pages) fn into_error(self) -> Error {
        self.error
    }

    /// Whether it may go better in a moment.
    pub(super) fn is_busy(&self) -> bool {
        self.error.reason == Reason::Busy
    }

    /// Whether a version turned out to be damaged while it was read: others know beforehand, and name the newest.
    pub(super) fn is_of_damage(&self) -> bool {
        self.error.reason == Reason::VersionGone && self.current.is_none()
    }

    /// What goes out.
    pub(super) fn respond(self, id: &HttpRequestId) -> Response {
        let Self { error, current } = self;
        let mut body = json!({"error": {
            "code": error.code().as_str(),
            "reason": error.reason.as_str(),
            "message": error.message,
            "request_id": id.0,
        }});
        if let Some(info) = &current {
            body["current"] = json!({"tag": info.tag().to_string(), "root": info.root.to_string()});
        }
        let mut response = (status_of(error.reason), Json(body)).into_response();
        retry_after(&mut response, error.retry_after_ms);
        if let Some(info) = current {
            add_version(response.headers_mut(), &info);
        }
        response
    }
}

/// Says which version an answer shows.
pub(super) fn add_version(headers: &mut HeaderMap, info: &VersionInfo) {
    headers.insert(header::ETAG, etag(info.tag()));
    headers.insert(FERRY_SEQ, HeaderValue::from(info.version));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
}

/// A tag as a strong entity tag.
pub(super) fn etag(tag: Tag) -> HeaderValue {
    HeaderValue::try_from(format!("\"{tag}\"")).expect("BUG: a tag is plain text")
}
