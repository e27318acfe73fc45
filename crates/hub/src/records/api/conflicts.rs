//! Lost writes: listed, and resolved by a write like any other.

use std::sync::Arc;

use axum::response::Response;
use bytes::Bytes;
use ferry_core::records::{
    CollectionKey, Conflict, Numbered, ReachedTables, RecordQueries as _, Side,
    intents::{Stamped, stamped},
    query,
    record::DELETED_AT,
};
use ferry_protocol::records::json;
use ferry_types::{Error, Reason, Result, limits::RECORDS_NOTES_MAX_ENTRIES};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    super::{
        head::parameter,
        state::ChangedRecords,
        storage::{self, NativeRecords},
    },
    ApiRequest, HTTP_CLIENT, answer, device, number,
};

/// `GET /conflicts`.
pub(super) async fn list(request: &ApiRequest<'_>) -> Result<Response> {
    let state = parameter(request.parts, "state").unwrap_or_else(|| "open".to_owned());
    if !["open", "resolved"].contains(&&*state) {
        return Err(Error::new(Reason::InvalidArgument, "state: expected open or resolved"));
    }
    let after = parameter(request.parts, "after").and_then(|text| text.parse().ok()).unwrap_or(0);
    let limit = number(request.parts, "limit", 100, RECORDS_NOTES_MAX_ENTRIES)?;
    let owner = Arc::clone(&request.entry.owner);
    let found = storage::read(&request.entry.context.database, move |store| {
        Ok((store.conflicts(&owner, &state, after, limit)?, store.seq()?))
    });
    let (found, seq) = found.await?.unwrap_or_default();
    let reachable = found.iter().filter(|one| request.entry.tables().contain(&one.conflict.coll));
    let shown: Vec<String> = reachable.map(show).collect();
    let next = found.last().filter(|_| found.len() == limit).map(|last| last.number.to_string());
    let next = next.unwrap_or_else(|| "null".to_owned());
    Ok(answer::json(format!("{{\"conflicts\":[{}],\"next\":{next}}}\n", shown.join(",")), Some(seq)))
}

fn show(one: &Numbered) -> String {
    let conflict = &one.conflict;
    let side = |side: &Side| {
        format!(
            "{{\"value\":{},\"at\":\"{}\",\"by\":{}}}",
            side.value,
            side.at.text(),
            json::string(&side.writer)
        )
    };
    format!(
        "{{\"id\":{},\"state\":\"{}\",\"found\":\"{}\",\"app\":{},\"collection\":{},\"record\":{},\"field\":\"{}\",\
         \"winner\":{},\"loser\":{}}}",
        one.number,
        one.state,
        one.found.text(),
        json::string(&conflict.app),
        json::string(&conflict.coll),
        json::string(&conflict.id),
        conflict.field,
        side(&conflict.winner),
        side(&conflict.loser)
    )
}

/// What to take.
enum Take {
    Winner,
    Loser,
    Value(String),
}

fn take(body: &[u8]) -> Result<Take> {
    #[derive(Deserialize)]
    struct Raw<'a> {
        #[serde(borrow)]
        take: &'a RawValue,
    }
    let raw: Raw<'_> = serde_json::from_slice(body).map_err(|_| {
        let message = "expected {\"take\":\"winner\"}, {\"take\":\"loser\"} or {\"take\":value}";
        Error::new(Reason::InvalidArgument, message)
    })?;
    Ok(match raw.take.get() {
        "\"winner\"" => Take::Winner,
        "\"loser\"" => Take::Loser,
        value => Take::Value(value.to_owned()),
    })
}

/// Whether the record is deleted, and its tombstone is what the conflict was lost to.
fn lost_to_end(store: &NativeRecords<'_>, owner: &str, conflict: &Conflict) -> ferry_sqlite::Result<bool> {
    let of = CollectionKey { owner, app: &conflict.app, coll: &conflict.coll };
    let held = query::get(store, of, &conflict.id)?;
    Ok(conflict.field != DELETED_AT
        && held.and_then(|held| held.deleted).is_some_and(|end| end == conflict.winner.at))
}

/// `POST /conflicts/{id}/resolve`.
pub(super) async fn resolve(request: &ApiRequest<'_>, number: &str, body: Bytes) -> Result<Response> {
    let not_found = || Error::new(Reason::NotFound, "conflict not found");
    let number: i64 = number.parse().map_err(|_| not_found())?;
    let (take, owner) = (take(&body)?, Arc::clone(&request.entry.owner));
    let client = device(request)?.unwrap_or_else(|| HTTP_CLIENT.to_owned());
    let (hub, restrictions) = (Arc::clone(request.hub), Arc::clone(&request.entry.context.auth.restrictions));
    let committed = storage::write(request.hub, &request.entry, move |store, published| {
        let tables = ReachedTables(&restrictions.table_prefixes);
        let found = store.conflict(&owner, number)?;
        let found = found.filter(|found| found.state == "open" && tables.contain(&found.conflict.coll));
        let mut found = found.ok_or_else(not_found)?;
        let conflict = &found.conflict;
        let value = match take {
            Take::Winner => None,
            Take::Loser => Some(conflict.loser.value.clone()),
            Take::Value(value) => Some(value),
        };
        if let Some(value) = value {
            // Of a record that was written under a purged id the whole content is at stake.
            let (op, fields) = match conflict.field.is_empty() {
                true => ("insert", value),
                // What lost against the end of its record lives again with it.
                false if lost_to_end(store, &owner, conflict)? => {
                    ("update", format!("{{\"{}\":{value},\"{DELETED_AT}\":null}}", conflict.field))
                }
                false => ("update", format!("{{\"{}\":{value}}}", conflict.field)),
            };
            let wanted = Stamped {
                owner: &owner,
                app: &conflict.app,
                client: &client,
                coll: &conflict.coll,
                id: &conflict.id,
                op,
                fields: Some(&fields),
            };
            let pushed = stamped(store, &wanted, hub.clock.now().into())?;
            published.push(ChangedRecords {
                owner: Arc::clone(&owner),
                app: (&*conflict.app).into(),
                collections: pushed.collections,
                client: (&*client).into(),
            });
        }
        store.close_conflict(&owner, number)?;
        found.state = "resolved".to_owned();
        Ok(found)
    });
    let committed = committed.await?;
    Ok(answer::json(format!("{}\n", show(&committed.value)), committed.seq))
}
