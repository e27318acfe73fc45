//! `POST /v1/databases/{db}/restore`: an old version becomes the newest again (PAG-30).

use std::sync::Arc;

use axum::{body::Body, response::Response};
use ferry_sqlite::pages::{At, PageSource as _, PushError, VersionInfo};
use ferry_types::{Error, Reason, Result, limits::PAGES_JSON_MAX_BYTES};
use http::request::Parts;
use serde::Deserialize;
use serde_json::Value;

use super::{
    answer::PagesError,
    push,
    request::{PagesRequest, gone, parse_at, refuse_what_never_was},
};
use crate::{
    http::metering,
    pages::{
        commit,
        state::{SESSION_DESCRIPTORS, blocking},
    },
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Question {
    at: Value,
}

pub(super) async fn post(request: &PagesRequest, parts: &Parts, body: Body) -> Result<Response, PagesError> {
    let based_on = push::if_match(&parts.headers)?;
    let question: Question = read(request, body).await?;
    let at = at_of(&question.at)?;
    let place = push::place(request)?;
    let (hub, context) = (Arc::clone(&request.hub), request.context.clone());
    let restored = request.hub.tasks.spawn(async move {
        let _place = place;
        let database = &context.database;
        let _files = database.hold_files(SESSION_DESCRIPTORS).await?;
        let replica = database.models().pages.replica(&hub, database).await?;
        if replica.tag() != based_on {
            return Err(push::conflict(&replica, based_on.version));
        }
        refuse_what_never_was(at, &replica.current(), hub.clock.now())?;
        let refused = |error| push::refusal(error, &replica, based_on.version);
        let found = hub.services.pages.lookups.find(&replica, at, |_| Ok(()));
        let Some(old) = found.await? else { return Err(gone(Arc::clone(&replica), replica.current()).await) };
        let onto = Arc::clone(&replica);
        let prepared = commit::blocking(move || {
            if old.info().version == 0 {
                return Err(PushError::NothingPushed);
            }
            onto.prepare_restore(old)
        });
        let prepared = commit::seal(prepared.await.map_err(refused)?).await.map_err(refused)?;
        let made = commit::make_version(&hub, database, prepared, &context.requester).await;
        let info = made.map_err(refused)?;
        let (listing, version) = (Arc::clone(&replica), info.version);
        let listed = blocking(move || listing.versions(version.checked_add(1), 1)).await?;
        Ok::<(VersionInfo, u32), PagesError>((info, listed.first().map_or(0, |row| row.pages)))
    });
    let (info, pages) = restored.await.map_err(|_| Error::internal())??;
    Ok(push::answer(&info, pages))
}

/// A JSON body.
pub(super) async fn read<T: for<'de> Deserialize<'de>>(
    request: &PagesRequest,
    body: Body,
) -> Result<T, PagesError> {
    let too_large = || PagesError::from(Error::new(Reason::TooLarge, "the body is over 1 MiB"));
    let text = metering::read(body, PAGES_JSON_MAX_BYTES, &request.context.meter, too_large).await?;
    let bad = |why: &str| Error::new(Reason::InvalidArgument, format!("body: {why}"));
    if text.trim_ascii_start().first() != Some(&b'{') {
        return Err(bad("expected a JSON object").into());
    }
    Ok(serde_json::from_slice(&text).map_err(|error| bad(&error.to_string()))?)
}

/// A version in JSON: a number, or the text of one, of a tag, of a time.
pub(super) fn at_of(value: &Value) -> Result<At> {
    match value {
        Value::Number(number) => parse_at(&number.to_string()),
        Value::String(text) => parse_at(text),
        _ => parse_at(""),
    }
}
