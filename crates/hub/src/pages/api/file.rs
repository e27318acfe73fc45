//! `GET`, `HEAD /v1/databases/{db}/file`: a version as the file that it is (PAG-20).

use std::{convert::Infallible, io::Write as _, sync::Arc};

use axum::{body::Body, response::Response};
use bytes::Bytes;
use ferry_sqlite::pages::{PageSource, VersionInfo};
use ferry_types::PageNo;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header, request::Parts};

use super::{
    answer::{PagesError, add_version, etag},
    made_body::made_body,
    ranges::{WantedBytes, wanted},
    request::{PagesRequest, parse_at},
};
use crate::http::{HeldAhead, KnownTags, Query, accepts};

const MEDIA_TYPE: HeaderValue = HeaderValue::from_static("application/vnd.sqlite3");
/// Bytes read at once.
const PIECE_BYTES: u64 = 256 << 10;
/// Level at which a file is compressed on its way.
const ZSTD_LEVEL: i32 = 3;
/// What the compression of one file holds, as measured.
const ENCODER_BYTES: u64 = 4 << 20;

pub(super) async fn get(
    request: &PagesRequest,
    query: &Query<'_>,
    parts: &Parts,
) -> Result<Response, PagesError> {
    let served = match query.text("at") {
        None => request.newest(&parts.headers).await?,
        Some(at) => request.at(parse_at(at)?, &parts.headers).await?,
    };
    let info = served.info().clone();
    let (length, headers) = (info.bytes(), &parts.headers);
    if KnownTags::of(headers).has(&format!("\"{}\"", info.tag())) {
        return Ok(answer(StatusCode::NOT_MODIFIED, &info, Body::empty()));
    }
    let range = text(headers, &header::RANGE)
        .filter(|_| text(headers, &header::IF_RANGE).is_none_or(|tag| tag == etag(info.tag())));
    let compress = range.is_none() && length > 0 && accepts(headers, "zstd");
    let (status, from, to) = match range.map_or(WantedBytes::All, |range| wanted(range, length)) {
        WantedBytes::All => (StatusCode::OK, 0, length),
        WantedBytes::Part(from, to) => (StatusCode::PARTIAL_CONTENT, from, to),
        WantedBytes::Beyond => {
            let mut response = answer(StatusCode::RANGE_NOT_SATISFIABLE, &info, Body::empty());
            set(response.headers_mut(), header::CONTENT_RANGE, &format!("bytes */{length}"));
            return Ok(response);
        }
    };
    let is_head = parts.method == Method::HEAD;
    let body = if is_head || from == to {
        Body::empty()
    } else {
        let pieces = Pieces { source: served.source, from, to };
        if compress {
            let encoder = zstd::stream::Encoder::new(Vec::new(), ZSTD_LEVEL);
            let encoder = encoder.map_err(|error| ferry_sqlite::Error::from(error).into_refusal())?;
            made_body(request.held(parts, "http"), compressed(pieces, encoder))
        } else {
            let mut pieces = pieces;
            made_body(request.held(parts, "http"), move || pieces.next())
        }
    };
    let mut response = answer(status, &info, body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, MEDIA_TYPE);
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    if compress {
        if is_head {
            // Nobody knows the length before it is compressed, and that of the empty body is not it.
            *response.body_mut() =
                Body::from_stream(futures_util::stream::empty::<Result<Bytes, Infallible>>());
        } else {
            response.extensions_mut().insert(HeldAhead(ENCODER_BYTES));
        }
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("zstd"));
        set(headers, header::ETAG, &format!("W/\"{}\"", info.tag()));
    } else {
        response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(to - from));
    }
    if status == StatusCode::PARTIAL_CONTENT {
        set(response.headers_mut(), header::CONTENT_RANGE, &format!("bytes {from}-{}/{length}", to - 1));
    }
    Ok(response)
}

fn answer(status: StatusCode, info: &VersionInfo, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    add_version(response.headers_mut(), info);
    response
}

fn set(headers: &mut HeaderMap, name: http::HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::try_from(value) {
        headers.insert(name, value);
    }
}

fn text<'h>(headers: &'h HeaderMap, name: &http::HeaderName) -> Option<&'h str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// The bytes of an image, piece by piece.
struct Pieces {
    source: Arc<dyn PageSource>,
    from: u64,
    to: u64,
}

impl Pieces {
    fn next(&mut self) -> ferry_sqlite::Result<Option<Bytes>> {
        let Some(size) = self.source.info().page_size.filter(|_| self.from < self.to) else {
            return Ok(None);
        };
        let page_bytes = u64::from(size.get());
        let end = self.to.min(self.from + PIECE_BYTES);
        let number = |byte: u64| u32::try_from(byte / page_bytes + 1).ok().and_then(PageNo::new);
        let (Some(first), Some(last)) = (number(self.from), number(end - 1)) else { return Ok(None) };
        let pages: Vec<PageNo> = (first.get()..=last.get()).filter_map(PageNo::new).collect();
        let mut data = Vec::with_capacity(pages.len() * size.bytes());
        self.source.read(&pages, &mut |_, page| {
            data.extend_from_slice(page);
            Ok(())
        })?;
        // Less than two pieces: it fits.
        let skipped = usize::try_from(self.from % page_bytes).unwrap_or(0);
        let length = usize::try_from(end - self.from).unwrap_or(0);
        self.from = end;
        Ok(Some(Bytes::from(data).slice(skipped..skipped + length)))
    }
}

/// The same, compressed as one frame.
fn compressed(
    mut pieces: Pieces,
    encoder: zstd::stream::Encoder<'static, Vec<u8>>,
) -> impl FnMut() -> ferry_sqlite::Result<Option<Bytes>> {
    let mut encoder = Some(encoder);
    move || {
        let Some(mut running) = encoder.take() else { return Ok(None) };
        loop {
            let Some(piece) = pieces.next()? else { return Ok(Some(running.finish()?.into())) };
            running.write_all(&piece)?;
            let made = std::mem::take(running.get_mut());
            if !made.is_empty() {
                encoder = Some(running);
                return Ok(Some(made.into()));
            }
        }
    }
}
