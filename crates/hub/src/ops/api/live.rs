//! `GET ops/live`: the log as it grows, as server-sent events (ops specification, 2.3).

use ferry_core::ops::epoch::{CursorClaim, LogRefusal, prove_cursor};
use ferry_protocol::ops::LiveReady;
use ferry_types::{OpSeq, Seq};

use super::{
    super::{
        error::OpsError,
        live::{self, LiveMode},
        storage,
    },
    Asked,
    answer::{OpsAnswer, refused},
    cursor::{note_loss, prove_without_log},
};
use crate::database::seq_of;

pub(super) async fn get(asked: &Asked<'_>) -> Result<OpsAnswer, OpsError> {
    let mode = match asked.query.text("mode") {
        None | Some("nudge") => LiveMode::Nudge,
        Some("ops") => LiveMode::Ops,
        Some(_) => return Err(OpsError::bad_request("mode: expected nudge or ops")),
    };
    let last = asked.parts.headers.get("last-event-id").and_then(|id| id.to_str().ok());
    let after = match last.filter(|id| !id.is_empty()) {
        // A browser sends it when it comes again.
        Some(id) => {
            let number = id.parse().ok().filter(|number| i64::try_from(*number).is_ok());
            Some(number.ok_or_else(|| {
                OpsError::bad_request("Last-Event-ID: expected the number of an op, as the event's id has it")
            })?)
        }
        None => asked.query.number("after_seq", 0, i64::MAX)?.and_then(|after| u64::try_from(after).ok()),
    };
    let mut seq = None;
    let (looked, state) = (look(asked, mode, after), &mut seq);
    let looked = async move {
        let (found, at) = looked.await?;
        *state = Some(at);
        Ok::<_, OpsError>(found)
    };
    let response = live::open(asked.hub, &asked.context, asked.parts, mode, looked).await?;
    Ok(OpsAnswer::new(response, seq))
}

/// Where the log stands, if it is one that the reader's cursor is of.
async fn look(
    asked: &Asked<'_>,
    mode: LiveMode,
    after: Option<u64>,
) -> Result<(live::LiveStart, Seq), OpsError> {
    let is_given = after.is_some();
    let after = OpSeq(after.unwrap_or(0));
    let text = |name: &str| asked.query.text(name).map(str::to_owned);
    let (hub_id, epoch, after_id) = (text("hub_id"), text("epoch"), text("after_id"));
    let after_stamp = text("after_stamp");
    let found = storage::read(&asked.context.database, {
        let (hub_id, epoch) = (hub_id.clone(), epoch.clone());
        move |sql| {
            let log = storage::log_of(sql)?;
            let claim = CursorClaim {
                hub_id: hub_id.as_deref(),
                epoch: epoch.as_deref(),
                after,
                after_id: after_id.as_deref(),
                after_stamp: after_stamp.as_deref(),
            };
            let proof = prove_cursor(sql, &log, &claim)?;
            Ok((log, proof, seq_of(sql)?))
        }
    });
    let (log, proof, seq) = match found.await? {
        Some(found) => found,
        None => {
            let log = storage::log_to_come(&asked.context.database)?;
            let proof = prove_without_log(&log, (hub_id.as_deref(), epoch.as_deref()), after);
            (log, proof, asked.context.database.seq().await?)
        }
    };
    let is_below_floor = match proof {
        Ok(()) => false,
        // A nudge is all that its reader asked for; what it then pulls tells it of the floor.
        Err(LogRefusal::SnapshotRequired { .. }) => is_given || mode == LiveMode::Ops,
        Err(refusal) => {
            note_loss(asked, &log, refusal);
            return Err(refused(&log, refusal));
        }
    };
    let ready = LiveReady { hub_id: log.hub_id, epoch: log.epoch, head: log.head };
    Ok((live::LiveStart { after, ready, is_below_floor }, seq))
}
