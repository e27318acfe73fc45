//! `GET /v1/databases/{db}/pages/versions`: the versions that are kept, newest first.

use std::sync::Arc;

use axum::{
    Json,
    response::{IntoResponse as _, Response},
};
use ferry_sqlite::pages::ListedVersion;
use ferry_types::{PageSize, limits::PAGES_VERSIONS_MAX};
use http::request::Parts;
use serde_json::{Value, json};

use super::{
    answer::{PagesError, add_version},
    request::PagesRequest,
};
use crate::{http::Query, pages::state::blocking};

const LIMIT_DEFAULT: u32 = 100;

pub(super) async fn get(
    request: &PagesRequest,
    query: &Query<'_>,
    parts: &Parts,
) -> Result<Response, PagesError> {
    let before = query.number("before", 0, i64::MAX)?.map(i64::unsigned_abs);
    let limit = query.number("limit", 1, i64::from(PAGES_VERSIONS_MAX))?;
    let limit = limit.and_then(|limit| u32::try_from(limit).ok()).unwrap_or(LIMIT_DEFAULT);
    let newest = request.newest(&parts.headers).await?;
    let info = newest.info().clone();
    let replica = Arc::clone(&newest.replica);
    // One more tells whether there is more.
    let mut versions = blocking(move || replica.versions(before, limit + 1)).await?;
    let has_more = versions.len() > limit as usize;
    versions.truncate(limit as usize);
    let next = versions.last().filter(|_| has_more).map(|last| last.info.version);
    let versions: Vec<Value> = versions.iter().map(row).collect();
    let mut response = Json(json!({ "versions": versions, "next": next })).into_response();
    add_version(response.headers_mut(), &info);
    // The list is no version's.
    response.headers_mut().remove(http::header::ETAG);
    Ok(response)
}

fn row(row: &ListedVersion) -> Value {
    let info = &row.info;
    json!({
        "version": info.version,
        "tag": info.tag().to_string(),
        "time": info.time.to_string(),
        "page_size": info.page_size.map_or(0, PageSize::get),
        "page_count": info.page_count.0,
        "pages": row.pages,
        "bytes": row.bytes,
    })
}
