//! What a function does to the other models of its database, in its own transaction (functions specification, 3.9).

use ferry_core::{
    events::{AppendOutcome, HUB_CLIENT_ID, append::check_added, schema::VIEW_NAME as EVENTS_VIEW},
    ops::schema as ops_schema,
    records::{
        intents::{self, Stamped},
        sqlite::SqliteRecords,
    },
};
use ferry_functions::{DbFailure, ModelCall, SqlFailure};
use ferry_protocol::events::{Event, RpcError, check_store_id};
use ferry_sqlite::Transaction;

use super::{
    PlannedCall,
    collections::{changed_records, note_collection},
    end::CallEnd,
    failing::{abort, engine_failed},
    progress::CallProgress,
};
use crate::{
    database::Effect,
    events::{AppendedOrNot, WantedEvents, append_in},
    ops,
};

/// Does what is asked. The answer is JSON.
pub(super) fn call(
    plan: &PlannedCall,
    progress: &mut CallProgress,
    transaction: &mut Transaction<'_, Effect>,
    call: &ModelCall<'_>,
) -> Result<String, DbFailure> {
    match *call {
        ModelCall::RecordsPut { collection, id, fields } => {
            write_record(plan, progress, transaction, (collection, id), "insert", Some(fields))
        }
        ModelCall::RecordsDelete { collection, id } => {
            write_record(plan, progress, transaction, (collection, id), "delete", None)
        }
        ModelCall::EventsAppend { store, name, args } => {
            append_event(plan, progress, transaction, (store, name, args))
        }
        ModelCall::OpsAppend { ops } => append_ops(plan, progress, transaction, ops),
    }
}

/// Appends at the head, as the hub (FUN-84).
fn append_event(
    plan: &PlannedCall,
    progress: &mut CallProgress,
    transaction: &mut Transaction<'_, Effect>,
    (store_id, name, args): (&str, &str, &str),
) -> Result<String, DbFailure> {
    check_store_id(store_id).map_err(|error| told(format!("INVALID: {}", error.0)))?;
    let Some(store) = plan.database.models().events.get(store_id) else {
        if progress.has_fetched {
            // Its run cannot begin again, and a store is opened by a commit of its own.
            return Err(told(format!("CONFLICT: the event store {store_id} is not open yet; retry.")));
        }
        return Err(abort(progress, CallEnd::OpenStore(store_id.into())));
    };
    let event = Event {
        seq_num: 1,
        parent_seq_num: 0,
        name: name.into(),
        args: Some(args.into()),
        client_id: HUB_CLIENT_ID.into(),
        session_id: format!("fn:{}", plan.request.function).into(),
    };
    let batch = vec![event];
    if let Err(bad) = check_added(&batch) {
        return Err(told(format!("INVALID: event: {}", bad.why)));
    }
    let wanted = WantedEvents {
        batch,
        own: 1,
        at_head: true,
        backend_id: None,
        keyed: None,
        principal: plan.owner.clone().unwrap_or_else(|| "functions".into()),
    };
    let appended = append_in(transaction, &store, wanted, plan.hub.clock.now());
    let appended = appended.map_err(|error| engine_failed(progress, error))?;
    progress.stores.push(store);
    match appended {
        AppendedOrNot::Decided(AppendOutcome::Appended(_), Some(receipt)) => {
            progress.run.note_written(EVENTS_VIEW);
            Ok(serde_json::json!({ "seqNum": receipt.head, "createdAt": receipt.created_at }).to_string())
        }
        AppendedOrNot::Decided(AppendOutcome::Refused(RpcError::Unknown { message, .. }), _) => {
            Err(told(format!("INVALID: event: {message}")))
        }
        _ => Err(told(format!(
            "CONFLICT: the event store {store_id} takes no events: it is on hold or deleted."
        ))),
    }
}

/// Appends ops under the hub's origin (OPS-28).
fn append_ops(
    plan: &PlannedCall,
    progress: &mut CallProgress,
    transaction: &mut Transaction<'_, Effect>,
    ops: &str,
) -> Result<String, DbFailure> {
    let principal = plan.owner.as_deref().unwrap_or("functions");
    let written = ops::append_in(transaction, &plan.hub, &plan.database, principal, ops);
    match written.map_err(|error| engine_failed(progress, error))? {
        Ok(json) => {
            ops_schema::VIEW_NAMES.iter().for_each(|view| progress.run.note_written(view));
            Ok(json)
        }
        Err(message) => Err(told(format!("INVALID: {message}"))),
    }
}

fn told(message: impl Into<String>) -> DbFailure {
    DbFailure::Thrown(SqlFailure::Told, message.into())
}

fn write_record(
    plan: &PlannedCall,
    progress: &mut CallProgress,
    transaction: &mut Transaction<'_, Effect>,
    (collection, id): (&str, &str),
    op: &str,
    fields: Option<&str>,
) -> Result<String, DbFailure> {
    let Some(app) = plan.deployed.collections.get(collection) else {
        return Err(told(format!("INVALID: the schema has no collection {collection}.")));
    };
    let Some(owner) = plan.owner.as_deref() else {
        return Err(told(format!("INVALID: {collection}._owner is required for anonymous callers.")));
    };
    let client = format!("function:{}", plan.request.function);
    let write = Stamped { owner, app, client: &client, coll: collection, id, op, fields };
    let sql = transaction.sql();
    let pushed = intents::stamped(&SqliteRecords::new(&sql), &write, plan.hub.clock.now().into());
    let pushed = pushed.map_err(|error| engine_failed(progress, error))?;
    for changed in pushed.collections {
        note_collection(plan, progress, app, &changed);
        changed_records(transaction, owner, app, changed, &client);
    }
    Ok("null".to_owned())
}
