//! `GET ops/conflicts` and what becomes of one: `POST ops/conflicts/{id}/resolve`.

use std::sync::Arc;

use axum::body::Body;
use ferry_core::ops::{Prefixes, conflict, meta, resolve::resolve as resolve_conflict};
use ferry_protocol::ops::{ConflictFilter, ConflictPage, ConflictsListParams, ResolveParams, read_body};
use ferry_types::limits::OPS_ADMIN_BODY_MAX_BYTES;

use super::{
    super::{access::check_entity, error::OpsError, storage},
    Asked,
    answer::OpsAnswer,
    rows, whole,
    write::{Drawn, answer},
};
use crate::database::seq_of;

pub(super) async fn list(asked: &Asked<'_>) -> Result<OpsAnswer, OpsError> {
    let query = &asked.query;
    let status = match query.text("status") {
        None | Some("open") => ConflictFilter::Open,
        Some("all") => ConflictFilter::All,
        Some(_) => return Err(OpsError::bad_request("status: expected open or all")),
    };
    if let Some(entity) = query.text("entity") {
        check_entity(&asked.context, entity)?;
    }
    let wanted = ConflictsListParams {
        status,
        entity: query.text("entity").map(str::to_owned),
        after: query.text("after").map(str::to_owned),
        limit: Some(rows(asked)?),
    };
    let restrictions = Arc::clone(&asked.context.auth.restrictions);
    let found = storage::read(&asked.context.database, move |sql| {
        let page = conflict::list(sql, &wanted, Prefixes(&restrictions.table_prefixes))?;
        Ok((page, meta::read(sql)?, seq_of(sql)?))
    });
    let (page, log, seq) = match found.await? {
        Some(found) => found,
        None => {
            let none = ConflictPage { conflicts: Vec::new(), next: None };
            (none, None, asked.context.database.seq().await?)
        }
    };
    Ok(OpsAnswer::json(&asked.head(log)?, &page, seq))
}

/// `POST conflicts/{id}/resolve`.
pub(super) async fn resolve(asked: &Asked<'_>, id: &str, body: Body) -> Result<OpsAnswer, OpsError> {
    let body = whole(asked, body, OPS_ADMIN_BODY_MAX_BYTES.max(asked.hub.config.ops.op_max_bytes)).await?;
    let mut wanted: ResolveParams = read_body(&body).map_err(|bad| OpsError::bad_request(bad.0))?;
    if let Some(entity) = &wanted.as_entity {
        check_entity(&asked.context, entity)?;
    }
    wanted.id = id.to_owned();
    let context = &asked.context;
    let (mut drawn, hub) = (Drawn::new()?, Arc::clone(asked.hub));
    let (owner, restrictions) = (context.auth.principal.owner(), Arc::clone(&context.auth.restrictions));
    let committed = storage::write_existing(&context.database, &context.requester, move |writer| {
        let prefixes = Prefixes(&restrictions.table_prefixes);
        drawn.write(writer, &hub, &owner, |sql, by, texts, new_id| {
            resolve_conflict(sql, &wanted, prefixes, by, texts, new_id)
        })
    });
    let no_log = || OpsError::not_found("this database has no log of ops, and so no conflicts");
    answer(asked, committed.await?.ok_or_else(no_log)?).await
}
