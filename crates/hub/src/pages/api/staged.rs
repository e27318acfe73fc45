//! `POST /v1/databases/{db}/pages/staged`: which pages of a broken push are here already (PAG-25).

use axum::{body::Body, response::Response};
use ferry_types::{Error, Leaf, Reason, Result, limits::PAGES_STAGED_MAX_LEAVES};
use http::{HeaderValue, header};

use super::{answer::PagesError, request::PagesRequest};
use crate::{http::metering, pages::state::blocking};

const LEAF_BYTES: usize = 32;

pub(super) async fn post(request: &PagesRequest, body: Body) -> Result<Response, PagesError> {
    let too_large = || {
        let message = format!("more than {PAGES_STAGED_MAX_LEAVES} leaves: ask for fewer at once");
        PagesError::from(Error::new(Reason::TooLarge, message))
    };
    let most = PAGES_STAGED_MAX_LEAVES * LEAF_BYTES;
    let leaves = metering::read(body, most, &request.context.meter, too_large).await?;
    if !leaves.len().is_multiple_of(LEAF_BYTES) {
        let message = "expected leaves of 32 bytes, one after the other";
        return Err(Error::new(Reason::InvalidArgument, message).into());
    }
    let database = &request.context.database;
    let replica = database.models().pages.replica(&request.hub, database).await?;
    let turn = std::sync::Arc::clone(&request.hub.services.pages.upload_turns).acquire_owned().await;
    let turn = turn.map_err(|_| Error::internal())?;
    let bits = blocking(move || {
        let _turn = turn;
        let stage = replica.stage()?;
        let mut bits = vec![0_u8; leaves.len().div_ceil(LEAF_BYTES * 8)];
        for (n, leaf) in leaves.chunks_exact(LEAF_BYTES).enumerate() {
            let leaf = Leaf(leaf.try_into().expect("BUG: chunks have 32 bytes"));
            if stage.contains(&leaf)? {
                bits[n / 8] |= 1 << (n % 8);
            }
        }
        Ok(bits)
    });
    let mut response = Response::new(Body::from(bits.await?));
    let octets = HeaderValue::from_static("application/octet-stream");
    response.headers_mut().insert(header::CONTENT_TYPE, octets);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}
