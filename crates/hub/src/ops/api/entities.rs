//! `GET ops/entity`, `GET ops/entities`: what the ops come to.

use std::sync::Arc;

use ferry_core::ops::{Prefixes, entity, meta};
use ferry_protocol::ops::{EntityListParams, EntityPage};

use super::{
    super::{access::check_entity, error::OpsError, storage},
    Asked,
    answer::OpsAnswer,
    rows,
};
use crate::database::seq_of;

pub(super) async fn get(asked: &Asked<'_>) -> Result<OpsAnswer, OpsError> {
    let name = asked.query.text("entity").ok_or_else(|| OpsError::bad_request("entity: name one"))?;
    check_entity(&asked.context, name)?;
    let name = name.to_owned();
    let found = storage::read(&asked.context.database, move |sql| {
        Ok((entity::get(sql, &name)?, meta::read(sql)?, seq_of(sql)?))
    });
    let Some((Some(view), log, seq)) = found.await? else {
        return Err(OpsError::not_found("no op names this entity"));
    };
    Ok(OpsAnswer::json(&asked.head(log)?, &view, seq))
}

pub(super) async fn list(asked: &Asked<'_>) -> Result<OpsAnswer, OpsError> {
    let query = &asked.query;
    let deleted = match query.text("deleted") {
        None | Some("0" | "false") => false,
        Some("1" | "true") => true,
        Some(_) => return Err(OpsError::bad_request("deleted: expected 1 or 0")),
    };
    let wanted = EntityListParams {
        prefix: query.text("prefix").map(str::to_owned),
        after: query.text("after").map(str::to_owned),
        limit: Some(rows(asked)?),
        deleted,
    };
    let restrictions = Arc::clone(&asked.context.auth.restrictions);
    let found = storage::read(&asked.context.database, move |sql| {
        let page = entity::list(sql, &wanted, Prefixes(&restrictions.table_prefixes))?;
        Ok((page, meta::read(sql)?, seq_of(sql)?))
    });
    let (page, log, seq) = match found.await? {
        Some(found) => found,
        None => {
            let none = EntityPage { entities: Vec::new(), next: None };
            (none, None, asked.context.database.seq().await?)
        }
    };
    Ok(OpsAnswer::json(&asked.head(log)?, &page, seq))
}
