//! Whose records there are, and where.

use std::{collections::BTreeMap, sync::Arc};

use axum::response::Response;
use ferry_core::records::{CollectionShown, RecordQueries as _};
use ferry_protocol::records::check_name;
use ferry_types::{Result, limits::RECORDS_LIST_MAX_RECORDS};
use serde_json::json;

use super::{
    super::{head::parameter, storage},
    ApiRequest, answer, number,
};

/// `GET /owners`.
pub(super) async fn owners(request: &ApiRequest<'_>) -> Result<Response> {
    let after = parameter(request.parts, "after").unwrap_or_default();
    let limit = number(request.parts, "limit", 100, RECORDS_LIST_MAX_RECORDS)?;
    let found = storage::read(&request.entry.context.database, move |store| {
        Ok((store.owners(&after, limit + 1)?, store.seq()?))
    });
    let (mut owners, seq) = found.await?.unwrap_or_default();
    let has_more = owners.len() > limit;
    owners.truncate(limit);
    let next = owners.last().filter(|_| has_more).map(|last| last.owner.clone());
    let owners: Vec<_> = owners
        .into_iter()
        .map(|shown| {
            json!({
                "owner": shown.owner,
                "apps": shown.apps,
                "records": shown.records,
                "lastCommit": shown.last_commit.text(),
            })
        })
        .collect();
    Ok(answer::json(format!("{}\n", json!({ "owners": owners, "next": next })), Some(seq)))
}

/// The collections that the credential reaches.
async fn reached(request: &ApiRequest<'_>) -> Result<(Vec<CollectionShown>, ferry_types::Seq)> {
    let app = parameter(request.parts, "app").filter(|app| !app.is_empty());
    if let Some(app) = &app {
        check_name(app, "app")?;
    }
    let owner = Arc::clone(&request.entry.owner);
    let found = storage::read(&request.entry.context.database, move |store| {
        Ok((store.collections(&owner, app.as_deref())?, store.seq()?))
    });
    let (mut collections, seq) = found.await?.unwrap_or_default();
    collections.retain(|shown| request.entry.tables().contain(&shown.coll));
    Ok((collections, seq))
}

/// `GET /collections`.
pub(super) async fn collections(request: &ApiRequest<'_>) -> Result<Response> {
    let (collections, seq) = reached(request).await?;
    let collections: Vec<_> = collections
        .into_iter()
        .map(|shown| {
            json!({
                "app": shown.app,
                "collection": shown.coll,
                "records": shown.records,
                "deleted": shown.deleted,
            })
        })
        .collect();
    Ok(answer::json(format!("{}\n", json!({ "collections": collections })), Some(seq)))
}

/// `GET /apps`.
pub(super) async fn apps(request: &ApiRequest<'_>) -> Result<Response> {
    let (collections, seq) = reached(request).await?;
    let mut apps: BTreeMap<String, (u64, i64)> = BTreeMap::new();
    for shown in collections {
        let (count, records) = apps.entry(shown.app).or_default();
        *count += 1;
        *records += shown.records;
    }
    let apps: Vec<_> = apps
        .into_iter()
        .map(|(app, (collections, records))| json!({"app": app, "collections": collections, "records": records}))
        .collect();
    Ok(answer::json(format!("{}\n", json!({ "apps": apps })), Some(seq)))
}
