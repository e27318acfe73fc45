//! What lies between HTTP and the RPC library. It refuses some requests before they reach a call: of an unknown method,
//! in another content type, too large, cut off. Those refusals get the `ErrorInfo` that every refusal has. And gRPC-Web as
//! text, which it does not speak, is gRPC-Web in base64.

use axum::body::{Body, Bytes, to_bytes};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, STANDARD_NO_PAD},
};
use connectrpc::{ConnectError, ConnectRpcBody, ConnectRpcService, ErrorCode, ErrorDetail, Protocol};
use ferry_protocol::rpc::ferry::admin::v1::ErrorInfo;
use ferry_types::{Reason, Result};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, header};
use http_body_util::BodyExt as _;
use serde::Deserialize;
use tower::ServiceExt as _;

use crate::http::HttpRequestId;

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_DETAILS: &str = "grpc-status-details-bin";
/// The type of the detail that every refusal has.
const INFO: &str = "ferry.admin.v1.ErrorInfo";
const TEXT: &str = "application/grpc-web-text";
const BINARY: HeaderValue = HeaderValue::from_static("application/grpc-web+proto");
const TEXT_ANSWER: HeaderValue = HeaderValue::from_static("application/grpc-web-text+proto");
/// The flag of a frame that holds gRPC-Web's trailers.
const TRAILERS: u8 = 0x80;
/// The flag of a frame that ends a Connect stream.
const END_OF_STREAM: u8 = 0x02;
/// Of a frame, before its content: flag and length.
const FRAME_HEAD_BYTES: usize = 5;

/// Serves one request by `service`, which takes bodies of at most so many bytes.
pub(crate) async fn serve(
    service: ConnectRpcService,
    body_max_bytes: usize,
    request: Request<Body>,
) -> Response<Body> {
    let id = request.extensions().get::<HttpRequestId>().map(|id| id.0.clone()).unwrap_or_default();
    let is_text = is_text(request.headers());
    let request = match is_text {
        true => from_text(request, body_max_bytes).await,
        false => Ok(request),
    };
    let response = match request {
        Ok(request) => match service.oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        },
        Err(error) => error.into_http_response(&HeaderMap::from_iter([(header::CONTENT_TYPE, BINARY)])),
    };
    let response = explained(response, &id).await;
    if is_text { to_text(response).await } else { response }
}

fn content_type(headers: &HeaderMap) -> &str {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    value.split(';').next().unwrap_or("").trim()
}

fn is_text(headers: &HeaderMap) -> bool {
    content_type(headers).strip_prefix(TEXT).is_some_and(|rest| matches!(rest, "" | "+proto"))
}

/// The request in binary.
async fn from_text(request: Request<Body>, most: usize) -> Result<Request<Body>, ConnectError> {
    let (mut parts, body) = request.into_parts();
    let Ok(text) = to_bytes(body, most.div_ceil(3) * 4).await else {
        return Err(ConnectError::resource_exhausted(format!("the body has more than {most} bytes")));
    };
    let bytes = decode(&text).ok_or_else(|| {
        ConnectError::invalid_argument("the body of application/grpc-web-text is no base64")
    })?;
    parts.headers.insert(header::CONTENT_TYPE, BINARY);
    parts.headers.remove(header::CONTENT_LENGTH);
    Ok(Request::from_parts(parts, bytes.into()))
}

/// Base64 of which each piece that was sent may end in padding.
fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    for quantum in text.chunks(4) {
        let mut three = [0; 3];
        let count = STANDARD.decode_slice(quantum, &mut three).ok()?;
        bytes.extend_from_slice(&three[..count]);
    }
    Some(bytes)
}

async fn to_text(response: Response<Body>) -> Response<Body> {
    let (mut parts, body) = response.into_parts();
    let bytes = body.collect().await.map_or_else(|_| Bytes::new(), http_body_util::Collected::to_bytes);
    parts.headers.insert(header::CONTENT_TYPE, TEXT_ANSWER);
    parts.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(parts, STANDARD.encode(bytes).into())
}

/// The answer, whose refusal says why if it does not yet.
async fn explained(response: Response<ConnectRpcBody>, request_id: &str) -> Response<Body> {
    let kind = Protocol::detect(response.headers());
    let protocol = kind.map_or(Protocol::Connect, |kind| kind.protocol);
    let is_stream = kind.is_some_and(|kind| kind.is_streaming);
    // Connect tells a refusal of a call by the status, and gRPC in the head; the others in the body.
    let is_success = match protocol {
        Protocol::Connect => !is_stream && response.status().is_success(),
        Protocol::Grpc => !response.headers().contains_key(GRPC_STATUS),
        Protocol::GrpcWeb => false,
        _ => true,
    };
    if is_success {
        return response.map(Body::new);
    }
    let (parts, body) = response.into_parts();
    let collected = match body.collect().await {
        Ok(collected) => collected,
        Err(never) => match never {},
    };
    let trailers = collected.trailers().cloned();
    let bytes = collected.to_bytes();
    let refusal = match protocol {
        Protocol::Connect if !is_stream => Some(of_connect(parts.status, &bytes)),
        Protocol::Connect => of_stream(&bytes),
        Protocol::Grpc => trailers.as_ref().and_then(of_trailers),
        Protocol::GrpcWeb => of_frame(&bytes).as_ref().and_then(of_trailers),
        _ => None,
    };
    let Some(refusal) = refusal.filter(|refusal| refusal.details.is_empty()) else {
        let frames = std::iter::once(http_body::Frame::data(bytes))
            .chain(trailers.map(http_body::Frame::trailers))
            .map(Ok::<_, std::convert::Infallible>);
        let body = http_body_util::StreamBody::new(futures_util::stream::iter(frames));
        return Response::from_parts(parts, Body::new(body));
    };
    let info = ErrorInfo {
        reason: reason(parts.status, refusal.code).as_str().to_owned(),
        request_id: request_id.to_owned(),
        ..Default::default()
    };
    let detail = ErrorDetail::from_message(INFO, &info);
    let refusal = refusal.with_detail(detail).with_http_status(parts.status);
    let mut response = refusal.into_http_response(&parts.headers);
    // What else the refusal says: which methods, which content types.
    for (name, value) in &parts.headers {
        if !response.headers().contains_key(name) && name != header::CONTENT_LENGTH {
            response.headers_mut().append(name, value.clone());
        }
    }
    response.map(Body::new)
}

/// The word for a refusal of the library's.
const fn reason(status: StatusCode, code: ErrorCode) -> Reason {
    match (status, code) {
        (StatusCode::METHOD_NOT_ALLOWED, _) => Reason::MethodNotAllowed,
        (StatusCode::UNSUPPORTED_MEDIA_TYPE, _) | (_, ErrorCode::InvalidArgument | ErrorCode::OutOfRange) => {
            Reason::InvalidArgument
        }
        (_, ErrorCode::ResourceExhausted) => Reason::TooLarge,
        (_, ErrorCode::Unimplemented) => Reason::Unimplemented,
        (_, ErrorCode::Unauthenticated) => Reason::Unauthenticated,
        (_, ErrorCode::PermissionDenied) => Reason::PermissionDenied,
        (_, ErrorCode::NotFound) => Reason::NotFound,
        (_, ErrorCode::Unavailable | ErrorCode::DeadlineExceeded) => Reason::Unavailable,
        _ => Reason::Internal,
    }
}

fn of_connect(status: StatusCode, body: &[u8]) -> ConnectError {
    serde_json::from_slice(body).unwrap_or_else(|_| match status {
        StatusCode::METHOD_NOT_ALLOWED => ConnectError::method_not_allowed("use one of the methods in Allow"),
        _ => ConnectError::unsupported_media_type("use one of the content types in Accept-Post"),
    })
}

fn of_stream(body: &[u8]) -> Option<ConnectError> {
    #[derive(Deserialize)]
    struct End {
        error: Option<ConnectError>,
    }
    let is_end = body.first() == Some(&END_OF_STREAM);
    let content = body.get(FRAME_HEAD_BYTES..).filter(|_| is_end)?;
    serde_json::from_slice::<End>(content).ok()?.error
}

/// The trailers of a gRPC-Web answer that has nothing but them.
fn of_frame(body: &[u8]) -> Option<HeaderMap> {
    let is_trailers = body.first() == Some(&TRAILERS);
    let content = std::str::from_utf8(body.get(FRAME_HEAD_BYTES..).filter(|_| is_trailers)?).ok()?;
    let lines = content.lines().filter_map(|line| line.split_once(':'));
    Some(
        lines
            .filter_map(|(name, value)| Some((name.trim().parse().ok()?, value.trim().parse().ok()?)))
            .collect(),
    )
}

fn of_trailers(trailers: &HeaderMap) -> Option<ConnectError> {
    let text = |name: &str| trailers.get(name)?.to_str().ok();
    let code = ErrorCode::from_grpc_code(text(GRPC_STATUS.as_str())?.parse().ok()?)?;
    // The library always writes a google.rpc.Status there, with details or without.
    let status = text(GRPC_DETAILS).and_then(|text| STANDARD_NO_PAD.decode(text.trim_end_matches('=')).ok());
    let is_told = |status: &Vec<u8>| status.windows(INFO.len()).any(|part| part == INFO.as_bytes());
    if status.as_ref().is_some_and(is_told) {
        return None;
    }
    let message =
        percent_encoding::percent_decode_str(text("grpc-message").unwrap_or("")).decode_utf8_lossy();
    Some(ConnectError::new(code, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_may_be_sent_in_pieces() {
        assert_eq!(decode(b"AAAAAA==").unwrap(), [0; 4]);
        assert_eq!(decode(b"YQ==YmM=ZGVm").unwrap(), b"abcdef");
        assert_eq!(decode(b"").unwrap(), b"");
        for bad in [&b"YQ"[..], b"YQ=", b"####", b"YQ==Y"] {
            assert!(decode(bad).is_none());
        }
    }
}
