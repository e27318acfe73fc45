//! What shows that the hub was put back to an older state, with everything that it remembers of it (REC-22): a position
//! that it gave out, and does not know. Devices of the owner then begin a new epoch, in which they send again what they
//! wrote.
//!
//! Ferry's own clients tell of which run of the hub a position is (OPR-36). A run that nobody knows of is one that was lost, or
//! of a copy of the hub; one that is known gave out nothing beyond what the next run found. What follows needs no run, and
//! trusts the hub's clock.
//!
//! Positions are commit times. One that lies ahead of the newest commit was given out for a commit that is lost; so was
//! one that lies in a time at which the hub was not running, when no commit can have been made: an older state that goes
//! on soon has commits that are newer than every position which is out.

use ferry_protocol::records::UnixNanos;
use ferry_types::limits::RECORDS_AHEAD_MAX_MS;

use super::{
    cursors,
    store::{Owner, RecordMaintenance, RecordStore},
};

/// A position that a device says it was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Given {
    /// The position.
    pub at: UnixNanos,
    /// By which run of the hub; `None`: it does not say.
    pub by: Option<GivenBy>,
}

impl Given {
    /// One that does not say of which run it is.
    #[must_use]
    pub const fn unnamed(at: UnixNanos) -> Self {
        Self { at, by: None }
    }
}

/// The run that gave a position out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GivenBy {
    /// The one that serves.
    ThisRun,
    /// An earlier one: its place among all.
    Earlier(u64),
    /// One that the hub does not know.
    Unknown,
}

impl GivenBy {
    /// As operators read it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ThisRun => "this run",
            Self::Earlier(_) => "an earlier run",
            Self::Unknown => "an unknown run",
        }
    }
}

/// A position that the hub gave out, and does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loss {
    /// The position.
    pub given: Given,
    /// The newest commit that is left.
    pub newest: UnixNanos,
    /// Of the owner.
    pub generation: i64,
}

impl Loss {
    /// How much older the newest commit is; 0 where others have followed since.
    #[must_use]
    pub const fn distance_ms(&self) -> i64 {
        let distance = self.given.at.0.saturating_sub(self.newest.0) / 1_000_000;
        if distance > 0 { distance } else { 0 }
    }
}

/// What `given` shows, a position of a device that is of the owner's epoch. One that does not say so shows nothing where
/// it is given everything anyway.
///
/// # Errors
/// What storage reports.
pub fn loss<S: RecordStore>(
    store: &S,
    owner: &Owner,
    given: Given,
    is_of_epoch: bool,
) -> Result<Option<Loss>, S::Error> {
    let at = cursors::cts_at(given.at);
    if at <= UnixNanos::EPOCH {
        return Ok(None);
    }
    let Owner { last_cts: newest, horizon, generation } = *owner;
    if !is_of_epoch && at < horizon {
        return Ok(None);
    }
    let is_of_lost_run = match given.by {
        Some(GivenBy::Unknown) => true,
        Some(GivenBy::Earlier(place)) => store.newest_behind_run(place)?.is_some_and(|newest| at > newest),
        Some(GivenBy::ThisRun) | None => false,
    };
    let is_lost = is_of_lost_run || at > newest || (at < newest && store.was_down(at)?);
    Ok(is_lost.then_some(Loss { given, newest, generation }))
}

/// What a cursor of the old wire shows. Its clients may send any time; what lies in the future was never given out, and
/// shows nothing.
///
/// # Errors
/// What storage reports.
pub fn loss_by_old_cursor<S: RecordStore>(
    store: &S,
    owner: &Owner,
    given: UnixNanos,
    now: UnixNanos,
) -> Result<Option<Loss>, S::Error> {
    match given <= now.plus_ms(RECORDS_AHEAD_MAX_MS) {
        true => loss(store, owner, Given::unnamed(given), false),
        false => Ok(None),
    }
}

/// Begins a new epoch for the devices of one owner: every cursor given out before leads to a full pass.
///
/// # Errors
/// What storage reports.
pub fn begin_owners_epoch<S: RecordStore>(store: &S, owner: &str, now: UnixNanos) -> Result<(), S::Error> {
    let mut state = store.owner(owner)?;
    store.set_horizon(owner, state.next_cts(now), state.generation + 1)
}

/// Runs `work`, which may commit, and remembers that no commit was made between the newest before it and the start of the
/// hub. Also tells whether that is remembered now, or needs not be.
///
/// # Errors
/// What `work` or storage reports.
pub fn remembering_down<S: RecordMaintenance, T>(
    store: &S,
    started: UnixNanos,
    work: impl FnOnce() -> Result<T, S::Error>,
) -> Result<(T, bool), S::Error> {
    let before = down_since(store, started)?;
    let done = work()?;
    if let Some(before) = before
        && store.newest_commit()? > Some(before)
    {
        store.add_down(before, started)?;
    }
    Ok((done, down_since(store, started)?.is_none()))
}

/// Since when no commit was made before the hub was started, if that is not remembered yet.
fn down_since<S: RecordMaintenance>(store: &S, started: UnixNanos) -> Result<Option<UnixNanos>, S::Error> {
    let newest = store.newest_commit()?.filter(|newest| *newest < started);
    Ok(if store.remembers_down(started)? { None } else { newest })
}

/// The epoch that the devices of an owner know; `None` before the first one began.
///
/// # Errors
/// What storage reports.
pub fn epoch_of<S: RecordMaintenance>(store: &S, owner: &Owner) -> Result<Option<String>, S::Error> {
    let generation = owner.generation;
    let epoch = store.epoch()?;
    Ok(epoch.map(|epoch| if generation > 0 { format!("{epoch}.{generation}") } else { epoch }))
}
