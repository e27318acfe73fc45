//! The push side of a session: the machine and its files.

use std::sync::Arc;

use bytes::Bytes;
use ferry_core::pages::{PushSession, Refusal, SessionError, push::PushOutcome};
use ferry_protocol::pages::Frame;
use ferry_sqlite::pages::{PageSource as _, PushFiles, ReadConsistency, Replica, Stage};
use ferry_types::{DatabaseKind, Model, Result};
use futures_util::{FutureExt as _, future::BoxFuture};

use super::{
    commit::{self, Arrived, make_room},
    session::{Ending, Engine, SessionRun, StepOutcome, decode},
    session_refusal,
    state::{SESSION_DESCRIPTORS, blocking},
};
use crate::{
    database::{Database, FilePermit},
    entry,
    hub::Hub,
};

/// A push in progress.
pub(super) struct PushEngine {
    replica: Arc<Replica>,
    machine: PushSession,
    files: PushFiles,
    origin: ReadConsistency,
    outcome: Option<PushOutcome>,
    _permit: FilePermit,
}

impl PushEngine {
    /// A push onto the present version, of pages that the client reads as `origin` says.
    pub(super) async fn open(hub: &Hub, database: &Arc<Database>, origin: ReadConsistency) -> Result<Self> {
        entry::check_kind(hub, database.id(), DatabaseKind::Replica)?;
        let permit = database.hold_files(SESSION_DESCRIPTORS).await?;
        let replica = database.models().pages.replica(hub, database).await?;
        let pinned = replica.pin();
        let files = blocking(move || PushFiles::new(pinned)).await?;
        let machine = PushSession::new(files.pinned().info().image(), hub.config.pages.max_database_bytes);
        Ok(Self { replica, machine, files, origin, outcome: None, _permit: permit })
    }
}

impl PushEngine {
    fn failed(&self, error: SessionError<ferry_sqlite::Error>) -> Refusal {
        if let SessionError::Store(error) = &error
            && error.is_storage_full()
        {
            make_room(&self.replica);
        }
        session_refusal(error)
    }
}

impl Engine for PushEngine {
    fn step(&mut self, frames: &[Bytes], room: usize, out: &mut Vec<Bytes>) -> Result<StepOutcome, Refusal> {
        for frame in frames {
            let received = self.machine.receive(&decode(frame)?, &mut self.files);
            received.map_err(|error| self.failed(error))?;
        }
        let mut bytes = 0;
        while bytes < room {
            let Some(frame) = self.machine.next_frame() else {
                self.outcome = self.machine.outcome()?;
                return Ok(match self.outcome {
                    Some(_) => StepOutcome::Whole,
                    None => StepOutcome::Waiting { owed: self.machine.is_awaiting_data() },
                });
            };
            let frame = Bytes::from(frame.encode());
            bytes += frame.len();
            out.push(frame);
        }
        Ok(StepOutcome::MoreToSend)
    }

    fn sync(&mut self) -> Result<(), Refusal> {
        let synced = self.replica.stage().and_then(Stage::sync);
        synced.map_err(|error| self.failed(SessionError::Store(error)))
    }

    fn conclude<'s>(
        self: Box<Self>,
        session: &'s SessionRun<'_>,
        ending: Ending,
    ) -> BoxFuture<'s, Result<Frame<'static>, Refusal>> {
        let Self { replica, machine, files, origin, outcome, _permit } = *self;
        async move {
            let committed = match outcome {
                Some(PushOutcome::Changed(plan)) => {
                    let by = &session.requester;
                    let arrived = Arrived { files, plan: *plan, origin };
                    let span = session.hub.traces.message("pages push", Model::Pages, session.database.id());
                    let commit = commit::run(session.hub, session.database, arrived, by, &ending);
                    span.scope(commit).await.map(drop)
                }
                _ => Ok(()),
            };
            if committed.is_err() && ending.unwanted.is_cancelled() {
                // Before the hub closes, what was staged is durable (PAG-03).
                let stage = Arc::clone(&replica);
                let synced = blocking(move || stage.stage().and_then(Stage::sync)).await;
                synced.map_err(super::refusal)?;
            }
            // With its last session a replica is closed, which may write; the client need not wait for that.
            session.hub.tasks.spawn_blocking(move || drop((replica, _permit)));
            committed.map(|()| machine.complete_frame())
        }
        .boxed()
    }
}
