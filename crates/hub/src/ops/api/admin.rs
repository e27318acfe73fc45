//! What operators do: the quarantine, compaction, epochs.

use std::sync::Arc;

use axum::body::Body;
use ferry_core::ops::{meta, quarantine, release::release};
use ferry_protocol::ops::{
    Compacted, EpochBegun, EpochBody, LogHead, PushResults, QuarantineAction, QuarantineBody, QuarantinePage,
    read_body,
};
use ferry_types::{Seq, limits::OPS_ADMIN_BODY_MAX_BYTES};

use super::{
    super::{
        access::check_whole,
        counts,
        error::OpsError,
        maintenance,
        push::{clocks, limits, took_effect},
        storage::{self, LogOutcome},
        watermark,
    },
    Asked,
    answer::OpsAnswer,
    rows, whole,
};
use crate::database::seq_of;

/// The log's head and the newest commit, as they are now.
async fn head(asked: &Asked<'_>) -> Result<(LogHead, Seq), OpsError> {
    let read = storage::read(&asked.context.database, |sql| Ok((meta::read(sql)?, seq_of(sql)?)));
    let (log, seq) = match read.await? {
        Some(found) => found,
        None => (None, asked.context.database.seq().await?),
    };
    Ok((asked.head(log)?, seq))
}

/// `GET quarantine`.
pub(super) async fn quarantine(asked: &Asked<'_>) -> Result<OpsAnswer, OpsError> {
    check_whole(&asked.context)?;
    let after = asked.query.text("after").map(str::to_owned);
    let limit = usize::try_from(rows(asked)?).unwrap_or(usize::MAX);
    let read = storage::read(&asked.context.database, move |sql| {
        let page = quarantine::list(sql, after.as_deref(), limit)?;
        Ok((page, meta::read(sql)?, seq_of(sql)?))
    });
    let (page, log, seq) = match read.await? {
        Some(read) => read,
        None => {
            let none = QuarantinePage { quarantine: Vec::new(), next: None };
            (none, None, asked.context.database.seq().await?)
        }
    };
    Ok(OpsAnswer::json(&asked.head(log)?, &page, seq))
}

/// `POST quarantine/{id}`.
pub(super) async fn decide(asked: &Asked<'_>, id: &str, body: Body) -> Result<OpsAnswer, OpsError> {
    check_whole(&asked.context)?;
    let body = whole(asked, body, OPS_ADMIN_BODY_MAX_BYTES).await?;
    let QuarantineBody { action } = read_body(&body).map_err(|bad| OpsError::bad_request(bad.0))?;
    let (clock, config, wanted) = (Arc::clone(&asked.hub.clock), asked.hub.config.ops, id.to_owned());
    let context = &asked.context;
    let decided = storage::write_existing(&context.database, &context.requester, move |writer| {
        Ok(LogOutcome::Keep(match action {
            QuarantineAction::Discard => quarantine::discard(&writer.sql, &wanted)?.then_some(None),
            QuarantineAction::Release => {
                let clocks = clocks(&config, clock.now());
                let limits = limits(&config);
                let released = release(&writer.sql, &wanted, &clocks, &limits, writer.commit)?;
                released.map(|mut pushed| {
                    writer.stored(pushed.effect.take());
                    Some(pushed)
                })
            }
        }))
    });
    let decided = decided.await?.and_then(|committed| committed.value);
    let pushed = decided.ok_or_else(|| OpsError::not_found("no op of this id is in the quarantine"))?;
    if let Some(pushed) = &pushed {
        took_effect(asked.hub, &context.database, pushed);
    }
    counts::count(asked.hub, &context.database).await;
    tracing::info!(
        database = %context.database.id(), by = %context.requester.principal, op = id, action = ?action,
        "an op in quarantine was decided on"
    );
    let (head, seq) = head(asked).await?;
    let results = pushed.map(|pushed| pushed.results).unwrap_or_default();
    Ok(OpsAnswer::json(&head, &PushResults { stamp: None, results }, seq))
}

/// `POST compact`.
pub(super) async fn compact(asked: &Asked<'_>) -> Result<OpsAnswer, OpsError> {
    check_whole(&asked.context)?;
    let context = &asked.context;
    let done = maintenance::compact(asked.hub, &context.database, &context.requester).await?;
    let (head, seq) = head(asked).await?;
    Ok(OpsAnswer::json(&head, &Compacted { dropped: done.dropped, floor: done.floor }, seq))
}

/// `POST epoch`.
pub(super) async fn epoch(asked: &Asked<'_>, body: Body) -> Result<OpsAnswer, OpsError> {
    check_whole(&asked.context)?;
    let body = whole(asked, body, OPS_ADMIN_BODY_MAX_BYTES).await?;
    let EpochBody { policy, confirm } = read_body(&body).map_err(|bad| OpsError::bad_request(bad.0))?;
    let context = &asked.context;
    let entry = asked.hub.control.database(context.auth.database_id);
    let is_meant = entry.is_some_and(|entry| *entry.name == *confirm || entry.id.to_string() == *confirm);
    if !is_meant {
        let message = "confirm: write the database's name or id, so that no other one is meant";
        return Err(OpsError::bad_request(message));
    }
    if storage::read(&context.database, |_| Ok(())).await?.is_none() {
        return Err(OpsError::not_found(
            "this database has no log of ops yet: a new one begins with its first push",
        ));
    }
    watermark::begin_anew(asked.hub, &context.database, &context.requester, policy).await?;
    tracing::warn!(
        database = %context.database.id(), by = %context.requester.principal, policy = policy.as_str(),
        "the log of ops begins a new epoch"
    );
    counts::count(asked.hub, &context.database).await;
    let (head, seq) = head(asked).await?;
    Ok(OpsAnswer::json(&head, &EpochBegun { policy }, seq))
}
