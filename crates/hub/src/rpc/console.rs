//! Tables and statements on the wire, for members (OPR-57).

use std::sync::Arc;

use ferry_control::{Access, Caller, DatabaseEntry, LookInto, NoteQuery};
use ferry_protocol::rpc::ferry::admin::v1 as wire;
use ferry_sqlite::{
    console::{TableInfo, TablesAfter},
    pages::PinnedVersion,
};
use ferry_types::{DatabaseId, Error, Reason, Result};

use crate::{
    console::{WantedQuery, check_size},
    hub::Hub,
    pages::pinned_at,
    rpc::Call,
};

/// Tables of a page, unless asked otherwise.
const PAGE_DEFAULT: usize = 100;
/// Most tables of a page.
const PAGE_MAX: usize = 1000;
/// What page tokens of the application's tables begin with, and those of own ones.
const APPLICATION: &str = "a";
const OWN: &str = "o";

/// The hub, who asks, and the database that he may look into.
fn open<'a>(call: &Call<'a>, database: &str) -> Result<(&'a Arc<Hub>, Caller, DatabaseEntry), Error> {
    let caller = call.session(Access::Read)?;
    let entry = LookInto { caller: &caller, database }.run(&call.control.db)?;
    let hub = call.hub.ok_or_else(|| Error::new(Reason::NotYet, "this hub shows no databases"))?;
    Ok((hub, caller, entry))
}

/// The version that `at` names; `None`: the database as it is.
async fn version(hub: &Hub, id: DatabaseId, at: &str) -> Result<Option<PinnedVersion>, Error> {
    if at.is_empty() {
        return Ok(None);
    }
    let database = hub.databases.get(id)?;
    if !database.has_file().await {
        let message = "nothing was written to this database yet: it has no older version";
        return Err(Error::new(Reason::FailedPrecondition, message));
    }
    // What is too large is refused before anything of it is read.
    Ok(Some(pinned_at(hub, &database, at, check_size).await?))
}

pub(super) async fn list_tables(
    call: &Call<'_>,
    request: wire::ListTablesRequest,
) -> Result<wire::ListTablesResponse, Error> {
    let (hub, caller, entry) = open(call, &request.database)?;
    let max = match usize::try_from(request.page_size) {
        Ok(0) => PAGE_DEFAULT,
        Ok(max) if max <= PAGE_MAX => max,
        _ => {
            let message = "page_size must be from 0 (meaning 100) to 1000";
            return Err(Error::new(Reason::InvalidArgument, message));
        }
    };
    let after = after(&request.page_token)?;
    // One more, so that it is known whether there are more.
    let part = request.name_contains;
    let mut tables = match version(hub, entry.id, &request.at).await? {
        None => hub.console.tables(entry.id, after, part, max + 1).await?,
        Some(at) => hub.console.tables_at(caller.user_id, (entry.id, at), after, part, max + 1).await?,
    };
    let has_more = tables.len() > max;
    tables.truncate(max);
    let next_page_token = match tables.last() {
        Some(last) if has_more => format!("{}{}", if last.is_own { OWN } else { APPLICATION }, last.name),
        _ => String::new(),
    };
    let tables = tables.into_iter().map(table).collect();
    Ok(wire::ListTablesResponse { tables, next_page_token, ..Default::default() })
}

fn after(token: &str) -> Result<TablesAfter, Error> {
    let of = |is_own: bool, name: &str| TablesAfter { is_own, name: name.to_owned() };
    match (token.strip_prefix(APPLICATION), token.strip_prefix(OWN)) {
        _ if token.is_empty() => Ok(TablesAfter::default()),
        (Some(name), _) => Ok(of(false, name)),
        (_, Some(name)) => Ok(of(true, name)),
        (None, None) => {
            let message = "page_token is not one of this list: repeat the request without it";
            Err(Error::new(Reason::InvalidArgument, message))
        }
    }
}

fn table(info: TableInfo) -> wire::Table {
    let (columns, column_types) = info.columns.into_iter().unzip();
    wire::Table {
        name: info.name,
        kind: info.kind,
        sql: info.sql,
        columns,
        own: info.is_own,
        column_types,
        key: info.key,
        ..Default::default()
    }
}

pub(super) async fn query_database(
    call: &Call<'_>,
    request: wire::QueryDatabaseRequest,
) -> Result<wire::QueryDatabaseResponse, Error> {
    let (hub, caller, entry) = open(call, &request.database)?;
    if hub.console.is_to_be_noted(caller.user_id, entry.id, &request.sql) {
        let note = NoteQuery { caller: &caller, entry: &entry, sql: &request.sql, origin: &call.origin };
        note.run(&call.control.db).await?;
    }
    let wanted = WantedQuery {
        sql: request.sql,
        at: version(hub, entry.id, &request.at).await?,
        params_json: request.params_json,
        max_rows: request.max_rows,
        max_value_bytes: request.max_value_bytes,
    };
    let answer = hub.console.query(caller.user_id, entry.id, wanted).await?;
    let (version, version_unix_ms) =
        answer.version.map_or_else(Default::default, |info| (info.tag().to_string(), info.time.0));
    Ok(wire::QueryDatabaseResponse {
        columns: answer.columns,
        rows_json: answer.rows_json,
        truncated: !answer.stopped_by.is_empty(),
        seq: answer.seq.0,
        micros: answer.micros,
        stopped_by: answer.stopped_by.to_owned(),
        version,
        version_unix_ms,
        ..Default::default()
    })
}
