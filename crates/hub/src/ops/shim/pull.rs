//! `GET /sync/pull?after=<hlc>`: everything behind what the client has seen, streamed in the order of arrival.

use std::sync::Arc;

use axum::{body::Body, response::Response};
use bytes::Bytes;
use ferry_core::ops::shim::ShimPull;
use ferry_types::{Result, Seq, limits::OPS_SHIM_PART_BYTES};
use http::{HeaderValue, header, request::Parts};

use super::{super::storage, refused};
use crate::{
    config::ShimScope,
    database::seq_of,
    entry::RequestContext,
    http::{Query, metering},
    hub::Hub,
};

/// What a log answers that nobody has made yet.
const NOTHING: &[u8] = b"{\"ops\":[]}";

/// Serves a pull.
pub(super) async fn serve(hub: &Arc<Hub>, context: RequestContext, parts: &Parts) -> Response {
    let meter = context.meter.clone();
    let answer = answer(hub, context, parts).await;
    answer
        .and_then(|response| metering::admit(response, &meter))
        .unwrap_or_else(|error| metering::reply(refused(&error), &meter))
}

async fn answer(hub: &Arc<Hub>, context: RequestContext, parts: &Parts) -> Result<Response> {
    let config = &hub.config.ops;
    let after = Query::of(parts).text("after").unwrap_or_default().to_owned();
    let is_all = config.shim_scope == ShimScope::All;
    let page_bytes = config.shim_page_bytes as u64;
    let first = storage::read(&context.database, move |sql| {
        let mut pull = ShimPull::begin(sql, &after, is_all, page_bytes)?;
        let part = pull.next_part(sql, OPS_SHIM_PART_BYTES)?;
        Ok((pull, part, seq_of(sql)?))
    });
    Ok(match first.await? {
        Some((pull, part, seq)) => {
            let part = part.map(Bytes::from);
            response(body(part, Rest { context, pull: Some(pull) }), seq)
        }
        None => response(Body::from(NOTHING), context.database.seq().await?),
    })
}

/// What is left of an answer. Between its parts it holds no snapshot and no file: a slow reader costs nothing.
struct Rest {
    context: RequestContext,
    /// `None`: it broke off.
    pull: Option<ShimPull>,
}

fn body(first: Option<Bytes>, rest: Rest) -> Body {
    let parts = futures_util::stream::unfold((first, rest), |(first, mut rest)| async move {
        let part = match first {
            Some(first) => Ok(first),
            // The head has left: an answer that cannot be finished breaks off, and the client begins anew.
            None => rest.next().await.transpose()?,
        };
        Some((part, (None, rest)))
    });
    Body::from_stream(parts)
}

impl Rest {
    async fn next(&mut self) -> Result<Option<Bytes>> {
        let Some(mut pull) = self.pull.take() else { return Ok(None) };
        self.context.requester.recheck()?;
        let read = storage::read(&self.context.database, move |sql| {
            let part = pull.next_part(sql, OPS_SHIM_PART_BYTES)?;
            Ok((pull, part))
        });
        // A log is never unmade.
        let Some((pull, part)) = read.await? else { return Ok(None) };
        self.pull = Some(pull);
        Ok(part.map(Bytes::from))
    }
}

fn response(body: Body, seq: Seq) -> Response {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert("ferry-seq", HeaderValue::from(seq.0));
    response
}
