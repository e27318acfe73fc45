//! `GET …/stores/{store}/export`: a consistent copy of a store as text (EVT-46).

use std::{
    io::{BufWriter, Seek as _, Write as _},
    sync::Arc,
};

use axum::response::Response;
use ferry_core::events::{export::export, store};
use ferry_sqlite::pages::unnamed_file;
use http::{HeaderValue, StatusCode, header};

use super::{
    answer::{Answer, ViewError},
    page::check_cursor,
    request::EventsApiRequest,
};
use crate::{
    database::seq_of,
    http::{Query, file_body},
};

/// Bytes written to the spool at once.
const WRITE_BYTES: usize = 1 << 20;

pub(super) async fn get(
    request: &EventsApiRequest,
    store_id: &str,
    query: &Query<'_>,
) -> Result<Answer, ViewError> {
    let after = query.number("after", 0, i64::MAX)?.unwrap_or(0);
    let store = request.existing(store_id).await?;
    // It is open for as long as it is sent, and counts as one of the database's.
    let permit = request.context.database.hold_files(1).await?;
    let (look, dir) = (Arc::clone(&store), request.context.database.dir().to_owned());
    let spooled = request
        .context
        .database
        .read(move |sql| {
            let Some(row) = store::find(sql, look.id())? else { return Ok(None) };
            let mut out = BufWriter::with_capacity(WRITE_BYTES, unnamed_file(&dir)?);
            export(sql, &row, after, &mut |piece| Ok(out.write_all(piece.as_bytes())?))?;
            let mut file = out.into_inner().map_err(std::io::IntoInnerError::into_error)?;
            let bytes = file.stream_position()?;
            file.rewind()?;
            Ok(Some((row, file, bytes, seq_of(sql)?)))
        })
        .await?;
    let gone = || ViewError::new(StatusCode::NOT_FOUND, "not_found", "store not found");
    let (row, file, bytes, seq) = spooled.ok_or_else(gone)?;
    check_cursor(request, &store, &row, (after, None)).await?;
    let mut response = Response::new(file_body(file, permit));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(bytes));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(Answer::new(response, Some(seq)))
}
