//! What the hub itself writes for somebody, under an origin of its own.

use std::sync::atomic::Ordering;

use ferry_core::ops::{
    OpsRefusal, StoreRole, Texts,
    append::{AppendedOps, OpWriter},
    meta::{self, LogMeta},
};
use ferry_protocol::ops::{SpokeErrorCode, WrittenOps};
use ferry_sqlite::NativeSql;
use ferry_types::OriginId;
use http::StatusCode;

use super::{
    super::{
        error::OpsError,
        storage::{LogOutcome, LogWriter},
    },
    Asked,
    answer::{OpsAnswer, head_of},
};
use crate::{
    clock,
    database::{Committed, Database},
    hub::Hub,
};

/// Random numbers that a write may need, drawn before it, since an engine draws none.
pub(crate) struct Drawn {
    /// The hub's origin in this log, if it has none yet.
    origin: OriginId,
    texts: Texts,
}

/// What a write came to.
pub(crate) struct HubWrite {
    pub(crate) outcome: Result<AppendedOps, OpsRefusal>,
    log: LogMeta,
}

impl Drawn {
    pub(crate) fn new() -> ferry_types::Result<Self> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).map_err(|error| {
            tracing::error!(%error, "the operating system gave no random bytes");
            ferry_types::Error::internal()
        })?;
        let [origin, client] = [&bytes[..8], &bytes[8..]]
            .map(|half| u64::from_le_bytes(half.try_into().expect("BUG: eight of sixteen bytes")));
        // Zero is the origin of derived ops.
        Ok(Self { origin: OriginId(origin.max(1)), texts: Texts::new(client) })
    }

    /// Has `write` write as the hub, on behalf of `principal`.
    pub(in crate::ops) fn write(
        &mut self,
        writer: &mut LogWriter<'_>,
        hub: &Hub,
        principal: &str,
        write: impl FnOnce(
            &NativeSql<'_>,
            &OpWriter<'_>,
            &mut Texts,
            &mut dyn FnMut() -> String,
        ) -> ferry_sqlite::Result<Result<AppendedOps, OpsRefusal>>,
    ) -> ferry_sqlite::Result<LogOutcome<HubWrite>> {
        let (sql, config) = (writer.sql, &hub.config.ops);
        let by = OpWriter {
            role: StoreRole::Hub,
            origin: self.origin(&sql)?,
            now: hub.clock.now(),
            commit: writer.commit,
            principal: Some(principal),
            op_max_bytes: config.op_max_bytes,
            text_max_bytes: config.text_max_bytes as u64,
        };
        let outcome = write(&sql, &by, &mut self.texts, &mut || clock::new_id().to_string())?;
        let mut log = writer.log.clone();
        let Ok(appended) = &outcome else { return Ok(LogOutcome::Undo(HubWrite { outcome, log })) };
        let effect = Some(appended.effect.clone()).filter(|effect| !effect.ops.is_empty());
        log.head = log.head.max(appended.effect.head);
        // A repeated id, or no draft, makes no log.
        let is_kept = !writer.is_new || effect.is_some();
        writer.stored(effect);
        let done = HubWrite { outcome, log };
        Ok(if is_kept { LogOutcome::Keep(done) } else { LogOutcome::Undo(done) })
    }

    /// The hub's origin in this log.
    fn origin(&self, sql: &NativeSql<'_>) -> ferry_sqlite::Result<OriginId> {
        if let Some(origin) = meta::origin(sql)? {
            return Ok(origin);
        }
        meta::set_origin(sql, self.origin)?;
        Ok(self.origin)
    }
}

/// The answer, or the refusal.
pub(super) async fn answer(asked: &Asked<'_>, committed: Committed<HubWrite>) -> Result<OpsAnswer, OpsError> {
    let HubWrite { outcome, log } = committed.value;
    let appended = outcome.map_err(refused)?;
    let database = &asked.context.database;
    let seq = match committed.seq {
        Some(seq) => seq,
        None => database.seq().await?,
    };
    note_conflicts(asked.hub, database, &appended);
    let head = head_of(&log, asked.hub.clock.now());
    Ok(OpsAnswer::json(&head, &WrittenOps { ops: appended.written }, seq))
}

/// Has open conflicts counted again, if they may be others.
pub(in crate::ops) fn note_conflicts(hub: &Hub, database: &Database, appended: &AppendedOps) {
    if appended.conflicts > 0 || hub.services.ops.counts.has(database.id()) {
        database.models().ops.is_uncounted.store(true, Ordering::Release);
    }
}

fn refused(refusal: OpsRefusal) -> OpsError {
    let status = match refusal.code {
        SpokeErrorCode::NotFound => StatusCode::NOT_FOUND,
        SpokeErrorCode::EntityDeleted | SpokeErrorCode::ConflictClosed => StatusCode::CONFLICT,
        _ => StatusCode::UNPROCESSABLE_ENTITY,
    };
    OpsError::new(status, refusal.code.as_str(), refusal.message)
}
