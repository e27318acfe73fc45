//! The loop of a session, the same for push and pull: what comes in goes in batches to the engine on a blocking
//! thread; what the engine has to say goes out as the socket takes it.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use ferry_core::pages::Refusal;
use ferry_protocol::pages::{DecodeError, Frame, close, phase};
use ferry_types::{
    Error,
    limits::{EDGEREPLICA_IDLE_MAX_MS, EDGEREPLICA_SESSION_MAX_MS, EXPIRY_GRACE_MS, TRANSFER_STALL_MAX_MS},
};
use futures_util::future::BoxFuture;
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, MissedTickBehavior},
};
use tokio_util::sync::CancellationToken;

use super::{end::End, socket::PageSocket};
use crate::{database::Database, hub::Hub, rights_end::rights_end};
use ferry_control::{Requester, RightsEnd, RightsWatch};

/// How long a session outlives its credential's expiry (PAG-16).
const EXPIRY_GRACE: Duration = Duration::from_millis(EXPIRY_GRACE_MS);
/// How often staged pages are brought onto the disk at least (PAG-03).
const SYNC_EVERY: Duration = Duration::from_secs(1);

/// After how much silence a client that waits for the end of its push is pinged: proxies cut what is silent for a minute.
const KEEP_ALIVE: Duration = Duration::from_secs(20);

/// One side's machine with its files. Steps run on blocking threads.
pub(super) trait Engine: Send {
    /// Takes frames in, and adds to `out` what is to be sent, about `room` bytes at most.
    fn step(&mut self, frames: &[Bytes], room: usize, out: &mut Vec<Bytes>) -> Result<StepOutcome, Refusal>;

    /// Brings what must outlive the process onto the disk.
    fn sync(&mut self) -> Result<(), Refusal>;

    /// Ends the session once [`StepOutcome::Whole`] was reported; returns the last frame.
    fn conclude<'s>(
        self: Box<Self>,
        session: &'s SessionRun<'_>,
        ending: Ending,
    ) -> BoxFuture<'s, Result<Frame<'static>, Refusal>>;
}

/// What passes between a session and the end of its work.
#[derive(Clone)]
pub(super) struct Ending {
    /// Nobody waits for the outcome any more: work that can be left without harm is left.
    pub(super) unwanted: CancellationToken,
    /// How far the work is, of [`phase`].
    pub(super) phase: watch::Sender<&'static [u8]>,
}

/// Bytes made ready at once; with the socket's own buffer, and one more frame in each, below
/// `EDGEREPLICA_UNSENT_MAX_BYTES`.
pub(super) const OUT_BYTES: usize = 96 << 10;

/// Where a session stands after a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StepOutcome {
    /// The client must send something; `owed` if it was asked for it.
    Waiting {
        /// Data was requested.
        owed: bool,
    },
    /// There is more to send.
    MoreToSend,
    /// Everything is here, or sent.
    Whole,
}

/// What a session runs in.
pub(super) struct SessionRun<'h> {
    pub(super) hub: &'h Arc<Hub>,
    pub(super) database: &'h Arc<Database>,
    /// Cancelled when the session is to end.
    pub(super) closed: &'h CancellationToken,
    pub(super) rights: RightsWatch,
    /// Whose session it is, for the audit trail.
    pub(super) requester: Arc<Requester>,
    /// Whether the client shows how far the hub is with its push.
    pub(super) hears_phases: bool,
}

/// What came of a step.
struct Stepped {
    engine: Box<dyn Engine>,
    out: Vec<Bytes>,
    outcome: Result<StepOutcome, Refusal>,
}

/// The engine is here, or a step is running with it.
struct Turn {
    here: Option<Box<dyn Engine>>,
    running: Option<JoinHandle<Stepped>>,
}

impl Turn {
    /// Starts a step on a blocking thread, if the engine is here.
    fn start(&mut self, frames: Vec<Bytes>, room: usize, sync: bool) {
        let Some(mut engine) = self.here.take() else { return };
        self.running = Some(tokio::task::spawn_blocking(move || {
            let mut out = Vec::new();
            let mut outcome = engine.step(&frames, room, &mut out);
            if sync && outcome.is_ok() {
                outcome = engine.sync().and(outcome);
            }
            Stepped { engine, out, outcome }
        }));
    }

    /// Waits for the running step, whose engine is here again afterwards; for ever if none runs.
    async fn finished(&mut self) -> Result<(Vec<Bytes>, Result<StepOutcome, Refusal>), End> {
        let Some(running) = &mut self.running else { return std::future::pending().await };
        let stepped = running.await;
        self.running = None;
        let Stepped { engine, out, outcome } = stepped.map_err(|_| internal())?;
        self.here = Some(engine);
        Ok((out, outcome))
    }
}

impl SessionRun<'_> {
    /// Runs the session to its end. On success the last frame is ready to be sent.
    pub(super) async fn run(mut self, engine: Box<dyn Engine>, socket: &mut PageSocket) -> Result<(), End> {
        let mut turn = Turn { here: Some(engine), running: None };
        let ended = self.exchange(&mut turn, socket).await;
        if turn.running.is_some() {
            // What it says comes too late; its files are needed back.
            let _ = turn.finished().await;
        }
        let Some(mut engine) = turn.here else { return ended };
        if let Err(end) = ended {
            // Of a client that is gone, what arrived still counts; what was staged is durable before the hub closes
            // (PAG-03).
            let arrived = if matches!(end, End::Refused(_)) { Vec::new() } else { socket.take_received() };
            let synced = tokio::task::spawn_blocking(move || {
                let stepped = engine.step(&arrived, 0, &mut Vec::new());
                engine.sync().and(stepped)
            })
            .await;
            if !matches!(synced, Ok(Ok(_))) {
                tracing::warn!(database = %self.database.id(), "staged pages may be lost");
            }
            return Err(end);
        }
        if let Some(end) = self.rights.now().filter(|end| *end != RightsEnd::Expired) {
            return Err(rights_over(end).into());
        }
        let last = self.conclude(engine, socket).await?;
        socket.send([last.encode().into()]);
        Ok(())
    }

    /// Concludes while somebody wants it. Pings are answered meanwhile, and sent.
    async fn conclude(
        &self,
        engine: Box<dyn Engine>,
        socket: &mut PageSocket,
    ) -> Result<Frame<'static>, End> {
        let (phase, reached) = watch::channel(phase::CHECKING);
        let ending = Ending { unwanted: CancellationToken::new(), phase };
        let mut concluding = engine.conclude(self, ending.clone());
        let end = tokio::select! {
            biased;
            last = &mut concluding => return Ok(last?),
            end = self.deserted(socket, reached) => end,
        };
        tracing::info!(database = %self.database.id(), %end, "a push is given up, unless it is committed by now");
        ending.unwanted.cancel();
        // What was done by then is done, and said if somebody is there to hear it.
        concluding.await.map_err(|_| end)
    }

    /// Waits until nobody wants the outcome any more: the client has gone, or lost its right, or the hub stops.
    async fn deserted(&self, socket: &mut PageSocket, mut reached: watch::Receiver<&'static [u8]>) -> End {
        let mut rights = self.hub.control.watch(self.rights.auth());
        let mut silence = tokio::time::interval(KEEP_ALIVE);
        silence.reset();
        if self.hears_phases {
            reached.mark_changed();
        }
        let gone = async {
            loop {
                tokio::select! {
                    biased;
                    Ok(()) = reached.changed(), if self.hears_phases => {}
                    _ = silence.tick() => {}
                    exchanged = socket.exchange(false) => match exchanged {
                        Err(end) => return end,
                        // Nothing belongs behind the end of a push.
                        Ok(()) => {
                            socket.take_received();
                            continue;
                        }
                    },
                }
                socket.ping(*reached.borrow());
            }
        };
        tokio::select! {
            end = gone => end,
            end = rights_end(&mut rights, EXPIRY_GRACE) => rights_over(end).into(),
            () = self.hub.stopping.cancelled() => End::Stopping,
            () = self.closed.cancelled() => closed_by(self.hub, self.database),
        }
    }

    /// Until the engine is whole.
    async fn exchange(&mut self, turn: &mut Turn, socket: &mut PageSocket) -> Result<(), End> {
        let session_end = Instant::now() + Duration::from_millis(EDGEREPLICA_SESSION_MAX_MS);
        let (hub, database) = (self.hub, self.database);
        let (stopping, closed) = (hub.stopping.clone(), self.closed.clone());
        let mut rights_end = std::pin::pin!(rights_end(&mut self.rights, EXPIRY_GRACE));
        let mut sync = tokio::time::interval(SYNC_EVERY);
        sync.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut unsynced, mut sync_due) = (false, false);
        let mut progress = StepOutcome::Waiting { owed: false };
        loop {
            let more = progress == StepOutcome::MoreToSend && socket.wants_more();
            if turn.here.is_some() && (socket.has_received() || more || sync_due) {
                unsynced |= socket.has_received();
                let room = if socket.wants_more() { OUT_BYTES } else { 0 };
                turn.start(socket.take_received(), room, std::mem::take(&mut sync_due));
            }
            let is_here = turn.here.is_some();
            let idle = progress == StepOutcome::Waiting { owed: false } && !socket.is_sending();
            let stall_ms = if idle { EDGEREPLICA_IDLE_MAX_MS } else { TRANSFER_STALL_MAX_MS };
            let idle_end = socket.active_at + Duration::from_millis(stall_ms);
            tokio::select! {
                biased;
                () = stopping.cancelled() => return Err(End::Stopping),
                () = closed.cancelled() => return Err(closed_by(hub, database)),
                end = rights_end.as_mut() => return Err(rights_over(end).into()),
                finished = turn.finished() => {
                    let (out, outcome) = finished?;
                    socket.send(out);
                    progress = outcome?;
                    if progress == StepOutcome::Whole {
                        return Ok(());
                    }
                }
                exchanged = socket.exchange(is_here && progress == StepOutcome::MoreToSend) => exchanged?,
                _ = sync.tick(), if unsynced => {
                    unsynced = false;
                    sync_due = true;
                }
                () = tokio::time::sleep_until(idle_end.min(session_end)), if is_here => {
                    return Err(timed_out(session_end <= idle_end, stall_ms).into());
                }
            }
        }
    }
}

fn rights_over(end: RightsEnd) -> Refusal {
    let (message, reason) = match end {
        RightsEnd::Expired => ("this token has expired: issue a new one", "token expired"),
        RightsEnd::Revoked => ("this token was revoked: issue a new one", "token revoked"),
        RightsEnd::DatabaseDeleted => ("the database was deleted", "database deleted"),
    };
    Refusal { message: message.into(), close: (close::RIGHTS.0, reason) }
}

/// What ended a session from outside.
fn closed_by(hub: &Hub, database: &Database) -> End {
    if hub.stopping.is_cancelled() {
        End::Stopping
    } else if database.closed().is_cancelled() {
        rights_over(RightsEnd::DatabaseDeleted).into()
    } else {
        let message = "closed by an administrator: run it again; what was transferred is kept".into();
        Refusal { message, close: close::TRY_AGAIN }.into()
    }
}

fn timed_out(session: bool, stall_ms: u64) -> Refusal {
    let message = if session {
        "the session took too long: run it again; what was transferred is kept".to_owned()
    } else {
        format!("nothing came or went for {} seconds: run it again", stall_ms / 1000)
    };
    Refusal { message: message.into(), close: close::TRY_AGAIN }
}

fn internal() -> Refusal {
    super::refusal(Error::internal())
}

/// Reads one frame.
pub(super) fn decode(bytes: &[u8]) -> Result<Frame<'_>, Refusal> {
    Frame::decode(bytes).map_err(|error| {
        let message = match error {
            // Serde's words name our types, which say nothing to the sender.
            DecodeError::Malformed(_) => "malformed message".to_owned(),
            other => other.to_string(),
        };
        Refusal { message: message.into(), close: close::PROTOCOL_ERROR }
    })
}
