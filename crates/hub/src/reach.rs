//! `GET /v1/reach`: how a request arrived, told as a stream, so that an operator can look through whatever stands in front of
//! the hub (OPR-88). Anybody may ask, and learns of himself alone.

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Extension, Json,
    body::Body,
    extract::{ConnectInfo, State},
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use ferry_control::ClientIp;
use futures_util::{StreamExt as _, stream};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::json;
use tokio::sync::Semaphore;

use crate::{http::is_forwarded, hub::Hub};

/// Streams at once: each takes a connection for a while.
const AT_ONCE: usize = 8;
/// How long a stream goes on behind its first event: who holds answers back until they end holds that one back too.
const LASTS: Duration = Duration::from_secs(2);

/// Room for those who ask.
#[derive(Clone)]
pub(crate) struct ReachTurns(Arc<Semaphore>);

impl Default for ReachTurns {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(AT_ONCE)))
    }
}

/// Answers it.
pub(crate) async fn get(
    State(hub): State<Arc<Hub>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    Extension(client): Extension<ClientIp>,
    Extension(turns): Extension<ReachTurns>,
    headers: HeaderMap,
) -> Response {
    let Ok(turn) = turns.0.try_acquire_owned() else {
        let message = "others ask just now: ask again in some seconds";
        let body = Json(json!({"error": {"code": "unavailable", "message": message}}));
        return (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "2")], body).into_response();
    };
    let is_trusted = hub.config.listener.trusted_proxies.iter().any(|network| network.contains(peer.ip()));
    let told = json!({
        "client": client.to_string(),
        "forwarded": is_forwarded(&headers),
        "believed": is_trusted && headers.contains_key("x-forwarded-for"),
    });
    let first = Bytes::from(format!("event: reach\ndata: {told}\n\n"));
    let stopping = hub.stopping.clone();
    // A hub that stops ends the stream before its time, and without this event: it would look held back.
    let last = async move {
        let whole = stopping.run_until_cancelled(tokio::time::sleep(LASTS)).await;
        drop(turn);
        whole.map(|()| Bytes::from_static(b"event: end\ndata: {}\n\n"))
    };
    let last = stream::once(last).filter_map(std::future::ready);
    let events = stream::once(async { first }).chain(last).map(Ok::<_, Infallible>);
    let mut response = Response::new(Body::from_stream(events));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // As on every stream of the hub.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}
