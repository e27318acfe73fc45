//! Who asks, for which version of which database.

use std::{io, sync::Arc, time::Duration};

use ferry_sqlite::pages::{At, PageSource, PinnedVersion, Replica, VersionInfo};
use ferry_types::{DatabaseKind, Error, Model, Reason, Result, Seq, UnixMillis, limits::MIN_SEQ_WAIT_MAX_MS};
use http::{HeaderMap, request::Parts};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use super::answer::PagesError;
use crate::{
    connections::{ConnectionHead, ConnectionPosition, OpenConnection},
    entry::{self, Carriers, Needs, Policy, RequestContext},
    hub::Hub,
    pages::state::{blocking, is_hub_written},
    rights::{PAGES_ADMIN, PAGES_READ, PAGES_WRITE, Right},
};
use ferry_control::{RightsEnd, RightsWatch};

/// What a request wants of a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PagesAccess {
    /// To read it.
    Read,
    /// To follow it.
    Follow,
    /// To push to it.
    Write,
    /// To put an old version in place of the newest.
    Restore,
    /// To make another of it.
    Fork,
}

impl PagesAccess {
    const fn rights(self) -> &'static [Right] {
        match self {
            Self::Read | Self::Follow => &[PAGES_READ],
            Self::Write => &[PAGES_WRITE],
            Self::Restore | Self::Fork => &[PAGES_ADMIN],
        }
    }

    const fn commits(self) -> &'static [Right] {
        match self {
            Self::Read | Self::Follow => &[],
            Self::Write | Self::Restore | Self::Fork => self.rights(),
        }
    }

    const fn kind(self) -> Option<DatabaseKind> {
        match self {
            Self::Read | Self::Follow | Self::Fork => None,
            Self::Write | Self::Restore => Some(DatabaseKind::Replica),
        }
    }
}

/// Somebody who is let in.
pub(super) struct PagesRequest {
    pub(super) hub: Arc<Hub>,
    pub(super) context: RequestContext,
}

/// How far the clock of who names a time may be ahead of the hub's.
const CLOCKS_DIFFER_MAX_MS: i64 = 60_000;

/// A version that is read, and the replica that it is of.
pub(super) struct Served {
    pub(super) source: Arc<dyn PageSource>,
    pub(super) replica: Arc<Replica>,
}

impl Served {
    pub(super) fn info(&self) -> &VersionInfo {
        self.source.info()
    }
}

/// What is held while an answer is on its way, and whether it may go on.
pub(super) struct Held {
    rights: RightsWatch,
    connection: OpenConnection,
    /// Turns of the making of its pieces.
    turns: Arc<Semaphore>,
}

impl Held {
    /// Whether what lets the reader in was taken away. What expires meanwhile may be finished.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.rights.now(), Some(RightsEnd::Revoked | RightsEnd::DatabaseDeleted))
    }

    /// Cancelled when the answer is to end before its end.
    pub(super) fn closed(&self) -> &CancellationToken {
        self.connection.closed()
    }

    /// How far it has come is told by `position`, for those who look at the connection.
    pub(super) fn follows(&self, position: impl Fn() -> Option<ConnectionPosition> + Send + Sync + 'static) {
        self.connection.follows(position);
    }

    /// Waits for the turn to make a piece.
    pub(super) async fn turn(&self) -> io::Result<OwnedSemaphorePermit> {
        Arc::clone(&self.turns).acquire_owned().await.map_err(io::Error::other)
    }
}

impl PagesRequest {
    /// Checks the credential, and that it may have what it wants.
    pub(super) async fn enter(
        hub: &Arc<Hub>,
        parts: &Parts,
        database: &str,
        access: PagesAccess,
    ) -> Result<Self, PagesError> {
        let policy = Policy {
            carriers: Carriers::of_stream(access == PagesAccess::Follow),
            path: Some(database),
            tenant: None,
            needs: Needs::All(access.rights()),
            commits: access.commits(),
            condition: &entry::anybody,
            creates: None,
            kind: access.kind(),
        };
        let context = entry::enter(hub, parts, &policy).await?;
        Ok(Self { hub: Arc::clone(hub), context })
    }

    pub(super) fn held(&self, parts: &Parts, transport: &'static str) -> Held {
        Held {
            rights: self.context.watch(&self.hub),
            connection: self.context.connect(&self.hub, ConnectionHead::of(parts), (Model::Pages, transport)),
            turns: Arc::clone(&self.hub.services.pages.piece_turns),
        }
    }

    /// The newest version, once it is that of `Ferry-Min-Seq`.
    pub(super) async fn newest(&self, headers: &HeaderMap) -> Result<Served, PagesError> {
        let least = match headers.get("ferry-min-seq") {
            None => 0,
            Some(text) => text
                .to_str()
                .ok()
                .and_then(|text| text.parse().ok())
                .ok_or_else(|| Error::new(Reason::InvalidArgument, "Ferry-Min-Seq: expected a number"))?,
        };
        let served = self.versions(Seq(least)).await?;
        if served.info().version >= least {
            return Ok(served);
        }
        let wait = self.context.database.committed(Seq(least));
        let waited = tokio::time::timeout(Duration::from_millis(MIN_SEQ_WAIT_MAX_MS), wait).await;
        let served = self.versions(Seq(least)).await?;
        if waited.is_ok() || served.info().version >= least {
            return Ok(served);
        }
        let message =
            format!("version {least} has not been made here: the newest is {}", served.info().version);
        Err(Error::new(Reason::SeqNotReached, message).retry_after_ms(1_000).into())
    }

    /// The newest version.
    pub(super) async fn open(&self) -> Result<Served, PagesError> {
        self.versions(Seq(0)).await
    }

    /// The newest version, that of the commit `least` at least if it is made.
    async fn versions(&self, least: Seq) -> Result<Served, PagesError> {
        let state = &self.context.database.models().pages;
        let replica = state.versions(&self.hub, &self.context.database, least).await?;
        Ok(Served { source: Arc::new(replica.pin()), replica })
    }

    /// Waits for the version `least`, or a later one; may return before.
    pub(super) async fn version(&self, least: Seq) {
        let database = &self.context.database;
        if is_hub_written(&self.hub, database) {
            database.capture().version(least).await;
        } else {
            database.committed(least).await;
        }
    }

    /// The refusal of a version that was found damaged, with the newest.
    pub(super) async fn damaged(&self, error: PagesError) -> PagesError {
        match self.open().await {
            Ok(newest) => error.with_current(newest.info().clone()),
            Err(_) => error,
        }
    }

    /// The version that `at` names.
    pub(super) async fn at(&self, at: At, headers: &HeaderMap) -> Result<Served, PagesError> {
        let newest = self.newest(headers).await?;
        let replica = Arc::clone(&newest.replica);
        let pinned = version_at(&self.hub, &replica, newest.info(), at, |_| Ok(())).await?;
        Ok(Served { source: Arc::new(pinned), replica })
    }
}

/// The version of `replica` that `at` names, where `newest` is the newest, unless `judge` refuses it.
pub(in crate::pages) async fn version_at(
    hub: &Hub,
    replica: &Arc<Replica>,
    newest: &VersionInfo,
    at: At,
    judge: impl FnOnce(&VersionInfo) -> Result<()>,
) -> Result<PinnedVersion, PagesError> {
    refuse_what_never_was(at, newest, hub.clock.now())?;
    match hub.services.pages.lookups.find(replica, at, judge).await? {
        Some(pinned) => Ok(pinned),
        None => Err(gone(Arc::clone(replica), newest.clone()).await),
    }
}

/// The refusal of a version that `replica` does not keep.
pub(super) async fn gone(replica: Arc<Replica>, current: VersionInfo) -> PagesError {
    let (oldest, is_cut_by_damage) =
        match blocking(move || Ok((replica.oldest()?, replica.is_cut_by_damage()?))).await {
            Ok(found) => found,
            Err(error) => return error.into(),
        };
    let mut message = format!(
        "this version is not kept: the oldest is {}, of {}, and the newest {}",
        oldest.tag(),
        oldest.time,
        current.tag()
    );
    if is_cut_by_damage {
        message.push_str(
            "; what was kept from before was damaged on the hub's disk, and a backup may still have it",
        );
    }
    PagesError::from(Error::new(Reason::VersionGone, message)).with_current(current)
}

/// Refuses a version above the newest and a time that is still to come: who names one has mistyped it. A tag is either found or
/// told as one that is not kept: a hub that was put back may have had it.
pub(super) fn refuse_what_never_was(at: At, newest: &VersionInfo, now: UnixMillis) -> Result<()> {
    let what = match at {
        At::Version(version) if version > newest.version => format!("version {version} was never made"),
        At::Time(time) if time.0 > now.0.saturating_add(CLOCKS_DIFFER_MAX_MS) => {
            format!("{time} is still to come")
        }
        At::Version(_) | At::Tag(_) | At::Time(_) => return Ok(()),
    };
    Err(Error::new(Reason::NotFound, format!("at: {what}; the newest version is {}", newest.tag())))
}

/// A version as people and programs write it: a number, a tag, a time.
pub(in crate::pages) fn parse_at(text: &str) -> Result<At> {
    if let Ok(number) = text.parse() {
        return Ok(At::Version(number));
    }
    if let Ok(tag) = text.parse() {
        return Ok(At::Tag(tag));
    }
    let time = text.parse::<jiff::Timestamp>();
    time.map(|time| At::Time(UnixMillis(time.as_millisecond()))).map_err(|_| {
        let message = "at: expected a version, a tag such as 42-47059a7efff88c8b, or a time such as \
                       2026-11-20T10:27:52Z";
        Error::new(Reason::InvalidArgument, message)
    })
}
