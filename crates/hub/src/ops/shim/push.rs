//! `POST /sync/push`: a body of any number of ops, read and stored piece by piece.

use std::sync::Arc;

use axum::{body::Body, response::Response};
use ferry_protocol::ops::{ArrayScanner, BadArray, OpStatus, ShimPushed};
use ferry_types::{
    Error, Reason, Result, Seq,
    limits::{OPS_SHIM_ELEMENT_FACTOR, OPS_SHIM_GROUP_MAX_BYTES, OPS_SHIM_GROUP_MAX_OPS},
};
use futures_util::StreamExt as _;
use http::{HeaderName, HeaderValue, header, request::Parts};

use super::{
    super::push::{OpsBatch, PushEnd, push},
    refused,
};
use crate::{
    entry::RequestContext,
    http::{RequestBody, metering},
    hub::Hub,
};

const QUARANTINED: HeaderName = HeaderName::from_static("ferry-ops-quarantined");

/// Serves a push.
pub(super) async fn serve(hub: &Arc<Hub>, context: &RequestContext, parts: &Parts, body: Body) -> Response {
    let answer = match receive(hub, context, parts, body).await {
        Ok(stored) => stored.answer(),
        Err(error) => refused(&error),
    };
    metering::reply(answer, &context.meter)
}

/// What a push came to.
#[derive(Default)]
struct Stored {
    applied: u64,
    quarantined: u64,
    seq: Option<Seq>,
}

impl Stored {
    fn answer(&self) -> Response {
        let mut response = Response::new(Body::from(ShimPushed::body(self.applied)));
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(QUARANTINED, HeaderValue::from(self.quarantined));
        if let Some(seq) = self.seq {
            headers.insert("ferry-seq", HeaderValue::from(seq.0));
        }
        response
    }
}

/// Ops that were read and are not stored yet.
#[derive(Default)]
struct Group {
    ops: Vec<String>,
    bytes: usize,
}

async fn receive(hub: &Arc<Hub>, context: &RequestContext, parts: &Parts, body: Body) -> Result<Stored> {
    if parts.headers.contains_key(header::CONTENT_ENCODING) {
        let message = "this endpoint takes no compressed bodies: send the JSON as it is";
        return Err(Error::new(Reason::InvalidArgument, message));
    }
    let (most, config) = (hub.config.ops.shim_body_max_bytes, &hub.config.ops);
    let request_body = parts.extensions.get::<RequestBody>();
    let (mut stream, mut received) = (body.into_data_stream(), 0);
    let mut scanner = ArrayScanner::new(OPS_SHIM_ELEMENT_FACTOR * config.foreign_op_max_bytes);
    let (mut group, mut stored) = (Group::default(), Stored::default());
    while let Some(piece) = stream.next().await {
        let piece = piece.map_err(|_| broken_off())?;
        context.meter.charge(piece.len())?;
        received += piece.len() as u64;
        if received > most {
            let message = format!("the body is over {most} bytes: what came before is stored");
            return Err(Error::new(Reason::TooLarge, message));
        }
        for op in scanner.feed(&piece).map_err(|error| bad_body(&error))? {
            group.bytes += op.len();
            group.ops.push(op);
            if group.ops.len() >= OPS_SHIM_GROUP_MAX_OPS || group.bytes >= OPS_SHIM_GROUP_MAX_BYTES {
                commit(hub, context, &mut group, &mut stored).await?;
            }
        }
        if let Some(body) = request_body {
            body.passed_on((group.bytes + scanner.held_bytes()) as u64);
        }
    }
    scanner.finish().map_err(|error| bad_body(&error))?;
    if !group.ops.is_empty() || stored.seq.is_none() {
        commit(hub, context, &mut group, &mut stored).await?;
    }
    Ok(stored)
}

/// Stores a group: it has a commit of its own, and stays whatever comes behind it (OPS-02).
async fn commit(
    hub: &Arc<Hub>,
    context: &RequestContext,
    group: &mut Group,
    stored: &mut Stored,
) -> Result<()> {
    let Group { ops, .. } = std::mem::take(group);
    let batch = OpsBatch {
        origin: None,
        hub_id: None,
        epoch: None,
        ops,
        via_shim: true,
        is_atomic: false,
        turn: None,
    };
    let committed = push(hub, context, batch).await?;
    if let PushEnd::Pushed { pushed, .. } = committed.value {
        let count = |status| pushed.results.iter().filter(|result| result.status == status).count() as u64;
        stored.applied += count(OpStatus::Accepted);
        stored.quarantined += count(OpStatus::Quarantined);
    }
    stored.seq = match committed.seq {
        Some(seq) => Some(seq),
        None => Some(context.database.seq().await?),
    };
    Ok(())
}

fn broken_off() -> Error {
    Error::new(Reason::InvalidArgument, "the body broke off: what came before is stored, send it again")
}

fn bad_body(error: &BadArray) -> Error {
    let reason = match error {
        BadArray::TooLong(_) => Reason::TooLarge,
        _ => Reason::InvalidArgument,
    };
    Error::new(reason, error.to_string())
}
