//! `POST ops/missing`: which of these ops the log has never known.

use axum::body::Body;
use ferry_core::ops::{meta, pull::missing};
use ferry_protocol::ops::{MissingBody, MissingIds};

use super::{
    super::{error::OpsError, storage},
    Asked,
    answer::OpsAnswer,
    whole,
};
use crate::database::seq_of;

pub(super) async fn post(asked: &Asked<'_>, body: Body) -> Result<OpsAnswer, OpsError> {
    let body = whole(asked, body, asked.hub.config.ops.body_max_bytes).await?;
    let read = MissingBody::decode(&body).map_err(|bad| OpsError::bad_request(bad.0))?;
    let ids: Vec<String> = read.ids.into_iter().map(std::borrow::Cow::into_owned).collect();
    drop(body);
    let all = ids.clone();
    let found = storage::read(&asked.context.database, move |sql| {
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        Ok((missing(sql, &ids)?, meta::read(sql)?, seq_of(sql)?))
    });
    let (missing, log, seq) = match found.await? {
        Some(found) => found,
        // Nothing is known where there is no log yet.
        None => (all, None, asked.context.database.seq().await?),
    };
    Ok(OpsAnswer::json(&asked.head(log)?, &MissingIds { missing }, seq))
}
