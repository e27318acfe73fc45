//! `GET /v1/databases/{db}/pages?since=`: what leads from the version that a reader has to another (PAG-21, PAG-22).

use std::time::Duration;

use axum::{body::Body, response::Response};
use ferry_protocol::pages::body::{GROUP_MAX_BYTES, MEDIA_TYPE, Run};
use ferry_sqlite::pages::{Since, VersionInfo};
use ferry_types::{
    Error, Reason, Result, Root, Seq,
    limits::{PAGES_BODY_WHOLE_MAX_BYTES, PAGES_WAIT_MAX_SECONDS},
};
use http::{HeaderValue, StatusCode, header, request::Parts};

use super::{
    answer::{PagesError, add_version},
    made_body::made_body,
    ranges,
    request::{PagesRequest, Served, parse_at},
    whole::{self, Made},
};
use crate::http::{HeldAhead, Query, SharedAnswer};

/// What a body holds that is made as it is taken: its begin, and the entry that was one too many.
const BEGUN_MAX_BYTES: u64 = PAGES_BODY_WHOLE_MAX_BYTES as u64 + GROUP_MAX_BYTES;

pub(super) async fn get(
    request: &PagesRequest,
    query: &Query<'_>,
    parts: &Parts,
) -> Result<Response, PagesError> {
    let since = parse_since(query.text("since"))?;
    let wait = query.number("wait", 0, i64::from(PAGES_WAIT_MAX_SECONDS))?.unwrap_or(0);
    let served = match query.text("at") {
        None => later(request, parts, request.newest(&parts.headers).await?, (&since, wait)).await?,
        Some(at) => request.at(parse_at(at)?, &parts.headers).await?,
    };
    let info = served.info().clone();
    if is_current(&since, &info) {
        return Ok(answer(StatusCode::NO_CONTENT, &info, Body::empty()));
    }
    let asked = query.text("pages").map(|text| ranges::pages(text, info.page_count)).transpose()?;
    answer_from(request, parts, &served, (since, asked)).await
}

/// The body that leads from `since` to `served`, of the pages `asked` only if some are.
pub(super) async fn answer_from(
    request: &PagesRequest,
    parts: &Parts,
    served: &Served,
    (since, asked): (Since, Option<Vec<Run>>),
) -> Result<Response, PagesError> {
    let is_kept = asked.is_none();
    let mut response = answer(StatusCode::OK, served.info(), Body::empty());
    *response.body_mut() = match whole::make(request, served, since, asked).await? {
        Made::Whole(body) => {
            if is_kept {
                response.extensions_mut().insert(SharedAnswer);
            }
            Body::from(body)
        }
        Made::Begun(begun, mut rest) => {
            response.extensions_mut().insert(HeldAhead(BEGUN_MAX_BYTES));
            let mut begun = Some(begun);
            made_body(request.held(parts, "http"), move || match begun.take() {
                Some(begun) => Ok(Some(begun)),
                None => rest.next(),
            })
        }
    };
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
    Ok(response)
}

fn answer(status: StatusCode, info: &VersionInfo, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    add_version(response.headers_mut(), info);
    response
}

/// `served`, or a later version if it is what the reader has and one comes within `seconds`.
async fn later(
    request: &PagesRequest,
    parts: &Parts,
    served: Served,
    (since, seconds): (&Since, i64),
) -> Result<Served, PagesError> {
    if seconds == 0 || !is_current(since, served.info()) {
        return Ok(served);
    }
    let next = Seq(served.info().version + 1);
    // What is read is not held while nothing happens; the database is.
    let held = request.held(parts, "poll");
    drop(served);
    let wait = Duration::from_secs(seconds.unsigned_abs());
    tokio::select! {
        () = request.version(next) => {}
        () = tokio::time::sleep(wait) => {}
        () = request.hub.stopping.cancelled() => {}
        () = held.closed().cancelled() => {}
    }
    if held.is_over() {
        return Err(Error::new(Reason::TokenRevoked, "the credential was revoked").into());
    }
    request.open().await
}

/// Whether the reader has this version.
pub(super) fn is_current(since: &Since, info: &VersionInfo) -> bool {
    match since {
        Since::Nothing => info.version == 0,
        Since::Tag(tag) => *tag == info.tag(),
        Since::Root(root) => *root == info.root,
    }
}

/// What a reader has: a tag, `0`, or `root:` and 64 hex digits.
pub(super) fn parse_since(text: Option<&str>) -> Result<Since> {
    let bad = || {
        let message = "since: expected the tag that you have, such as 42-47059a7efff88c8b, root: and 64 hex digits, or 0 \
                       for nothing";
        Error::new(Reason::InvalidArgument, message)
    };
    match text {
        Some("0") => Ok(Since::Nothing),
        Some(text) => match text.strip_prefix("root:") {
            Some(hex) => parse_root(hex).map(Since::Root).ok_or_else(bad),
            None => text.parse().map(Since::Tag).map_err(|_| bad()),
        },
        None => Err(bad()),
    }
}

fn parse_root(hex: &str) -> Option<Root> {
    if hex.len() != 64 || !hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
        return None;
    }
    let mut root = [0; 32];
    for (byte, digits) in root.iter_mut().zip(hex.as_bytes().chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(Root(root))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_reader_may_have() {
        assert_eq!(parse_since(Some("0")), Ok(Since::Nothing));
        let tag = "42-47059a7efff88c8b";
        assert_eq!(parse_since(Some(tag)), Ok(Since::Tag(tag.parse().unwrap())));
        let root = format!("root:{}", "0f".repeat(32));
        assert_eq!(parse_since(Some(&root)), Ok(Since::Root(Root([15; 32]))));
        for bad in ["", "42", "root:", "root:0F", &root.to_uppercase(), &root[..68]] {
            assert!(parse_since(Some(bad)).is_err(), "{bad}");
        }
        assert!(parse_since(None).is_err());
    }
}
