//! One exchange, driven: the machine of `ferry_core` says what to ask, the hub is asked, the answer is stored.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use ferry_core::ops::{
    Texts,
    spoke::{PeerTarget, SpokeExchange, SpokeFailure, SpokeNext, SpokeRequest, SpokeStep, clock_offset_ms},
};
use ferry_protocol::ops::{
    LogHead, MissingIds, PageAnswer, PushResults, SnapshotHeader, SnapshotLine, SnapshotReader, SyncCounts,
    read_answer,
};
use ferry_sqlite::{NativeSql, fault};
use ferry_types::OpSeq;
use hyper::body::Incoming;
use tokio::io::AsyncWriteExt as _;

use super::{
    coding::Coding,
    environment::Environment,
    hub::{HubAnswer, HubClient, HubFailure, HubFailureKind, body_idle_max},
    lock::beside,
    store::SpokeStore,
};

/// Longest line of a snapshot: an op of the largest size and its number.
const SNAPSHOT_LINE_MAX_BYTES: usize = 40 << 20;

/// What one exchange works with.
pub(super) struct ExchangeRun<'a> {
    pub(super) store: &'a SpokeStore,
    pub(super) hub: &'a HubClient,
    pub(super) environment: &'a Environment,
    /// Texts that apps are editing.
    pub(super) texts: &'a Arc<Mutex<Texts>>,
}

/// The machine, and what it wants next.
type Turn = (SpokeExchange, SpokeNext);

/// What was made of an answer.
enum Stored {
    Next(Box<Turn>),
    /// It is none.
    Garbled(String),
}

impl ExchangeRun<'_> {
    /// Exchanges with the hub at `target` until both have all.
    pub(super) async fn run(
        &self,
        target: PeerTarget,
        accepted: Option<String>,
    ) -> Result<SyncCounts, HubFailure> {
        let exchange = SpokeExchange::new(target, accepted).with_credential(self.hub.credential());
        let mut turn = self.write(move |sql, step| next_turn(exchange, sql, step)).await?;
        loop {
            let (mut exchange, next) = turn;
            for warning in exchange.take_warnings() {
                tracing::warn!("{warning}");
            }
            let request = match next {
                SpokeNext::Done => return Ok(exchange.counts()),
                SpokeNext::Again => {
                    turn = self.write(move |sql, step| next_turn(exchange, sql, step)).await?;
                    continue;
                }
                SpokeNext::Failed(failure) => {
                    let is_foreign = matches!(failure, SpokeFailure::Foreign { .. });
                    let kind = if is_foreign { HubFailureKind::Foreign } else { HubFailureKind::NoAnswer };
                    return Err(HubFailure { kind, ..HubFailure::new(failure.to_string()) });
                }
                SpokeNext::Ask(request) => request,
            };
            fault::point("spoke.before_request").map_err(|error| store_failed(&error))?;
            let sent = self.environment.clock.now();
            let answer = self.hub.ask(&request).await?;
            fault::point("spoke.before_store").map_err(|error| store_failed(&error))?;
            turn = match answer {
                HubAnswer::Refused(refusal) => {
                    let texts = Arc::clone(self.texts);
                    let refused = move |sql: &NativeSql<'_>, step: &mut SpokeStep<'_>| {
                        exchange.refused(sql, &refusal, step)?;
                        renew_texts(&texts, &mut exchange, step);
                        next_turn(exchange, sql, step)
                    };
                    self.write(refused).await?
                }
                HubAnswer::Snapshot(body, coding) => self.snapshot(exchange, body, coding).await?,
                HubAnswer::Body(body) => {
                    let received = self.environment.clock.now();
                    let head: LogHead = self.hub.read(&body)?;
                    self.environment.set_offset(clock_offset_ms(head.hub_time_ms, sent, received));
                    self.answer(exchange, request, head, body).await?
                }
            };
        }
    }

    async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&NativeSql<'_>, &mut SpokeStep<'_>) -> ferry_sqlite::Result<T> + Send + 'static,
    ) -> Result<T, HubFailure> {
        let environment = self.environment.clone();
        let written = self.store.write(move |sql, commit| environment.step(commit, |step| work(sql, step)));
        written.await.map_err(|error| store_failed(&error))
    }

    /// Stores an answer and asks for the next request, in one transaction.
    async fn answer(
        &self,
        mut exchange: SpokeExchange,
        request: SpokeRequest,
        head: LogHead,
        body: Bytes,
    ) -> Result<Turn, HubFailure> {
        let texts = Arc::clone(self.texts);
        let stored = self.write(move |sql, step| {
            let garbled = |error: ferry_protocol::ops::BadOpsMessage| Ok(Stored::Garbled(error.0));
            match request {
                SpokeRequest::Pull(_) => match read_answer::<PageAnswer<'_>>(&body) {
                    Ok(page) => exchange.pulled(sql, &head, &page, step)?,
                    Err(error) => return garbled(error),
                },
                SpokeRequest::Push(_) => match read_answer::<PushResults>(&body) {
                    Ok(pushed) => exchange.pushed(sql, &head, &pushed, step)?,
                    Err(error) => return garbled(error),
                },
                SpokeRequest::Missing(_) => match read_answer::<MissingIds>(&body) {
                    Ok(ids) => exchange.missing(sql, &head, &ids.missing, step)?,
                    Err(error) => return garbled(error),
                },
                SpokeRequest::Snapshot => {}
            }
            renew_texts(&texts, &mut exchange, step);
            Ok(Stored::Next(Box::new(next_turn(exchange, sql, step)?)))
        });
        match stored.await? {
            Stored::Next(turn) => Ok(*turn),
            Stored::Garbled(what) => {
                Err(HubFailure::new(format!("the answer is no answer of a hub: {what}")))
            }
        }
    }

    /// Reads a snapshot into a file beside the store, and once it is known to be whole, into the store.
    async fn snapshot(
        &self,
        mut exchange: SpokeExchange,
        body: Incoming,
        coding: Coding,
    ) -> Result<Turn, HubFailure> {
        let file = SnapshotFile { path: beside(self.store.path(), ".snapshot"), coding };
        self.receive(&file.path, body).await?;
        let checked = tokio::task::spawn_blocking(move || {
            let header = file.read(&mut |_, _| Ok(()))?;
            Ok::<_, ferry_sqlite::Error>((file, header))
        });
        let (file, header) = match checked.await {
            Ok(checked) => checked.map_err(|error| HubFailure::new(format!("it is discarded, {error}")))?,
            Err(error) => return Err(HubFailure::new(format!("the snapshot was not read: {error}"))),
        };
        let texts = Arc::clone(self.texts);
        self.write(move |sql, step| {
            exchange.load_snapshot(sql, &header, step, |store| file.read(store).map(drop))?;
            drop(file);
            renew_texts(&texts, &mut exchange, step);
            next_turn(exchange, sql, step)
        })
        .await
    }

    async fn receive(&self, path: &Path, mut body: Incoming) -> Result<(), HubFailure> {
        let disk = |error: std::io::Error| HubFailure::new(format!("{}: {error}", path.display()));
        let mut options = tokio::fs::OpenOptions::new();
        let mut file =
            options.create(true).truncate(true).write(true).mode(0o600).open(path).await.map_err(disk)?;
        while let Some(piece) = self.hub.piece(&mut body, body_idle_max()).await? {
            file.write_all(&piece).await.map_err(disk)?;
        }
        file.flush().await.map_err(disk)
    }
}

/// A text's later edits would hang on ops that have left the log: apps go on with what is left of it. On the writer's
/// thread, so that no edit comes in between.
fn renew_texts(texts: &Mutex<Texts>, exchange: &mut SpokeExchange, step: &mut SpokeStep<'_>) {
    if exchange.take_dropped_own() {
        *texts.lock().unwrap_or_else(PoisonError::into_inner) = Texts::new((step.random)());
    }
}

fn store_failed(error: &ferry_sqlite::Error) -> HubFailure {
    HubFailure::new(format!("the store failed: {error}"))
}

/// Where a snapshot is kept until it is loaded.
struct SnapshotFile {
    path: PathBuf,
    coding: Coding,
}

impl SnapshotFile {
    /// Hands over its ops; what it has told is true if this succeeds.
    fn read(
        &self,
        each: &mut dyn FnMut(OpSeq, &str) -> ferry_sqlite::Result<()>,
    ) -> ferry_sqlite::Result<SnapshotHeader> {
        let mut lines = BufReader::new(self.coding.reader(std::fs::File::open(&self.path)?)?);
        let (mut reader, mut line, mut header) = (SnapshotReader::default(), String::new(), None);
        let damaged = |what: String| ferry_sqlite::Error::Damaged(format!("the hub's snapshot: {what}"));
        loop {
            line.clear();
            let most = SNAPSHOT_LINE_MAX_BYTES as u64 + 1;
            if lines.by_ref().take(most).read_line(&mut line)? == 0 {
                let whole = header.filter(|_| reader.is_whole());
                return whole.ok_or_else(|| damaged("it is not whole".to_owned()));
            }
            match reader.line(line.trim_end_matches('\n')).map_err(|error| damaged(error.0))? {
                SnapshotLine::Header(found) => header = Some(found),
                SnapshotLine::Op { seq, raw } => each(seq, raw)?,
                SnapshotLine::End => {}
            }
        }
    }
}

impl Drop for SnapshotFile {
    fn drop(&mut self) {
        // The next one overwrites it.
        let _ = std::fs::remove_file(&self.path);
    }
}

fn next_turn(
    mut exchange: SpokeExchange,
    sql: &NativeSql<'_>,
    step: &mut SpokeStep<'_>,
) -> ferry_sqlite::Result<Turn> {
    let next = exchange.next(sql, step)?;
    Ok((exchange, next))
}
