//! Appending a batch: the rules it must keep, and the one place where it is accepted (EVT-01…11).

use std::borrow::Cow;

use ferry_protocol::events::{ErrorCode, Event, RpcError, SEQ_NUM_MAX};

use super::{
    CLIENT_ID_MAX_BYTES, HUB_CLIENT_ID, NAME_MAX_BYTES, ahead, arrivals, log,
    store::{StoreRow, StoreState},
};
use crate::sql::{Sql, Value};

/// What is to be appended.
#[derive(Clone, Copy, Debug)]
pub struct Append<'a> {
    /// Which store.
    pub store_id: &'a str,
    /// The store's identity as the client knows it, if it says.
    pub backend_id: Option<&'a str>,
    /// The present time: RFC 3339, UTC, milliseconds.
    pub now: &'a str,
    /// The number this commit takes.
    pub commit_seq: u64,
    /// Who appends.
    pub principal: &'a str,
    /// Whether clients may hold events that the log does not have (EVT-47): then it must not reach them.
    pub is_suspect: bool,
}

/// Events that were appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Appended {
    /// When they were committed; never before the events ahead of them (EVT-10).
    pub created_at: Box<str>,
    /// Number of the last one: the new head.
    pub head: i64,
}

/// What became of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AppendOutcome {
    /// It is in the log.
    Appended(Appended),
    /// It is not, and the log is unchanged.
    Refused(RpcError),
    /// The store is on hold, or was deleted meanwhile.
    Unserved(StoreState),
    /// The batch would have reached what a client holds and the log lost: the store is on hold now (EVT-47).
    Held(StoreRow),
}

/// A batch that breaks a rule, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadBatch {
    /// Place of the event, from 0; `None`: the batch as a whole.
    pub index: Option<usize>,
    /// What is wrong.
    pub why: Cow<'static, str>,
}

impl From<BadBatch> for RpcError {
    fn from(bad: BadBatch) -> Self {
        let text = match bad.index {
            Some(place) => format!("batch[{place}].{}", bad.why),
            None => format!("batch: {}", bad.why),
        };
        Self::new(ErrorCode::InvalidBatch, text)
    }
}

/// Checks what a client pushes, as far as that can be done without the log (EVT-04 and the limits). An empty batch
/// passes.
///
/// # Errors
/// `INVALID_BATCH`, naming the event.
pub fn check_batch(batch: &[Event], events_max: usize) -> Result<(), RpcError> {
    Ok(find_mistake(batch, events_max)?)
}

/// What [`check_batch`] finds, in parts.
///
/// # Errors
/// The first mistake.
pub fn find_mistake(batch: &[Event], events_max: usize) -> Result<(), BadBatch> {
    if batch.len() > events_max {
        let why = format!("{} events are more than the {events_max} of one push", batch.len()).into();
        return Err(BadBatch { index: None, why });
    }
    let mut before: Option<&Event> = None;
    for (place, event) in batch.iter().enumerate() {
        let checked = check_author(event).and_then(|()| check_new(event, before));
        checked.map_err(|why| BadBatch { index: Some(place), why })?;
        before = Some(event);
    }
    Ok(())
}

/// Checks events that a hook adds: as [`find_mistake`], but that they are the hub's own (EVT-57).
///
/// # Errors
/// The first mistake.
pub fn check_added(batch: &[Event]) -> Result<(), BadBatch> {
    let mut before: Option<&Event> = None;
    for (place, event) in batch.iter().enumerate() {
        check_new(event, before).map_err(|why| BadBatch { index: Some(place), why })?;
        before = Some(event);
    }
    Ok(())
}

/// Nobody but the hub writes under its name, so that readers know what a hook has added.
fn check_author(event: &Event) -> Result<(), Cow<'static, str>> {
    if *event.client_id == *HUB_CLIENT_ID {
        return Err(format!("clientId: {HUB_CLIENT_ID} is the hub's own name: take another one").into());
    }
    Ok(())
}

/// Checks an event that comes into a log now; those of an older log may have been taken under older rules.
fn check_new(event: &Event, before: Option<&Event>) -> Result<(), Cow<'static, str>> {
    if event.name.is_empty() {
        return Err("name: must not be empty".into());
    }
    check_event(event, before)
}

/// Checks one event and that it follows `before`.
pub(super) fn check_event(event: &Event, before: Option<&Event>) -> Result<(), Cow<'static, str>> {
    if event.parent_seq_num < 0 {
        return Err("parentSeqNum: must not be negative".into());
    }
    if event.seq_num <= event.parent_seq_num {
        return Err(format!("seqNum: must be above parentSeqNum, {}", event.parent_seq_num).into());
    }
    if event.seq_num > SEQ_NUM_MAX {
        return Err("seqNum: must be at most 2^53 - 1".into());
    }
    if let Some(before) = before.filter(|before| before.seq_num != event.parent_seq_num) {
        return Err(format!("parentSeqNum: must be the seqNum before it, {}", before.seq_num).into());
    }
    if event.name.len() > NAME_MAX_BYTES {
        return Err(format!("name: longer than {NAME_MAX_BYTES} bytes").into());
    }
    if event.client_id.len() > CLIENT_ID_MAX_BYTES {
        return Err(format!("clientId: longer than {CLIENT_ID_MAX_BYTES} bytes").into());
    }
    if event.session_id.len() > CLIENT_ID_MAX_BYTES {
        return Err(format!("sessionId: longer than {CLIENT_ID_MAX_BYTES} bytes").into());
    }
    if event.nests_too_deep() {
        return Err("args: nested deeper than 512 levels".into());
    }
    Ok(())
}

/// Whether a batch built on `parent` fits a log whose newest event is `head`.
///
/// # Errors
/// `ServerAheadError`, or `CLIENT_AHEAD` (EVT-09).
pub fn check_head(parent: i64, head: i64) -> Result<(), RpcError> {
    match parent.cmp(&head) {
        std::cmp::Ordering::Equal => Ok(()),
        std::cmp::Ordering::Less => Err(RpcError::ServerAhead { head, provided: parent }),
        std::cmp::Ordering::Greater => Err(RpcError::new(
            ErrorCode::ClientAhead,
            format!("the batch builds on event {parent}, and the newest here is {head}: ask the operator"),
        )),
    }
}

/// Whether the identity that a client names is the store's (EVT-41).
///
/// # Errors
/// `BackendIdMismatchError`.
pub fn check_backend(named: Option<&str>, backend_id: &str) -> Result<(), RpcError> {
    match named {
        Some(named) if named != backend_id => {
            Err(RpcError::BackendIdMismatch { expected: backend_id.into(), received: named.into() })
        }
        _ => Ok(()),
    }
}

/// Gives the events of `batch` the numbers that follow `parent`.
pub fn renumber(batch: &mut [Event], parent: i64) {
    let mut parent = parent;
    for event in batch {
        event.parent_seq_num = parent;
        event.seq_num = parent + 1;
        parent = event.seq_num;
    }
}

/// The registry's part of a store that an append looks at.
struct Current {
    number: i64,
    head: i64,
    backend_id: Box<str>,
    state: StoreState,
    last_created_at: Option<Box<str>>,
    /// Events of all stores that wait to be filed; `None`: in this database they do not.
    waiting: Option<i64>,
}

fn current<S: Sql>(sql: &S, store_id: &str) -> Result<Option<Current>, S::Error> {
    let has_arrivals = arrivals::exist(sql)?;
    let text = if has_arrivals {
        arrivals::CURRENT
    } else {
        "SELECT number, head, backend_id, state, last_created_at FROM _ferry_event_logs WHERE store_id = ?1"
    };
    sql.first(text, &[store_id.into()], |row| {
        Ok(Current {
            number: row.integer(0)?,
            head: row.integer(1)?,
            backend_id: row.text(2)?.into(),
            state: row.text(3)?.parse()?,
            last_created_at: row.optional_text(4)?.map(Into::into),
            waiting: if has_arrivals { row.optional_integer(5)?.or(Some(0)) } else { None },
        })
    })
}

/// The newest event's number as the transaction sees it; `None`: no such store.
///
/// # Errors
/// What storage reports.
pub fn head<S: Sql>(sql: &S, store_id: &str) -> Result<Option<i64>, S::Error> {
    Ok(current(sql, store_id)?.map(|current| current.head))
}

/// Appends `batch`, which kept [`check_batch`] and is not empty, whole or not at all. Runs inside a request of the
/// writer: what it compares with is what the log holds then (EVT-01).
///
/// # Errors
/// What storage reports.
pub fn append<S: Sql>(sql: &S, append: &Append<'_>, batch: &[Event]) -> Result<AppendOutcome, S::Error> {
    let Some(current) = current(sql, append.store_id)? else {
        return Ok(AppendOutcome::Unserved(StoreState::Deleted));
    };
    if current.state != StoreState::Ok {
        return Ok(AppendOutcome::Unserved(current.state));
    }
    let (Some(first), Some(last)) = (batch.first(), batch.last()) else {
        return Ok(AppendOutcome::Refused(RpcError::new(ErrorCode::InvalidBatch, "batch: is empty")));
    };
    let fits = check_backend(append.backend_id, &current.backend_id)
        .and_then(|()| check_head(first.parent_seq_num, current.head));
    if let Err(refused) = fits {
        return Ok(AppendOutcome::Refused(refused));
    }
    if append.is_suspect
        && let Some(held) = ahead::hold_if_reached(sql, append.store_id, last.seq_num)?
    {
        return Ok(AppendOutcome::Held(held));
    }
    // The hub's clock may have been set back.
    let created_at: Box<str> = match &current.last_created_at {
        Some(last) if **last > *append.now => last.clone(),
        _ => append.now.into(),
    };
    write(sql, append, &current, batch, &created_at)?;
    Ok(AppendOutcome::Appended(Appended { created_at, head: last.seq_num }))
}

/// Writes a batch behind its log, and counts it.
fn write<S: Sql>(
    sql: &S,
    append: &Append<'_>,
    current: &Current,
    batch: &[Event],
    created_at: &str,
) -> Result<(), S::Error> {
    let commit_seq = i64::try_from(append.commit_seq).unwrap_or(i64::MAX);
    let row = |event| row(current.number, event, (created_at, commit_seq), append.principal);
    let bytes: usize = batch.iter().map(size_of_event).sum();
    if let Some(waiting) = current.waiting.filter(|_| arrivals::takes(batch.len(), bytes)) {
        let mut values = Vec::with_capacity(batch.len() * arrivals::COLUMNS);
        for event in batch {
            values.extend_from_slice(&row(event));
            values.extend_from_slice(&[integer(size_of_event(event)), append.store_id.into()]);
        }
        return arrivals::add(sql, waiting, &values);
    }
    if current.waiting.is_some() {
        arrivals::file_store(sql, current.number)?;
    }
    let values: Vec<_> = batch.iter().flat_map(row).collect();
    sql.execute_rows(log::INSERT, COLUMNS, &values)?;
    let text = "UPDATE _ferry_event_logs SET head = ?2, event_count = event_count + ?3, bytes = bytes + ?4,
                    last_created_at = ?5 WHERE store_id = ?1";
    let head = batch.last().map_or(current.head, |event| event.seq_num);
    let counted =
        [append.store_id.into(), head.into(), integer(batch.len()), integer(bytes), created_at.into()];
    sql.execute(text, &counted).map(drop)
}

pub(super) const COLUMNS: usize = 10;

/// The columns of an event's row.
pub(super) fn row<'a>(
    number: i64,
    event: &'a Event,
    (created_at, commit_seq): (&'a str, i64),
    principal: &'a str,
) -> [Value<'a>; COLUMNS] {
    [
        number.into(),
        event.seq_num.into(),
        event.parent_seq_num.into(),
        (*event.name).into(),
        event.args.as_deref().into(),
        created_at.into(),
        (*event.client_id).into(),
        (*event.session_id).into(),
        commit_seq.into(),
        principal.into(),
    ]
}

pub(super) fn integer(count: usize) -> Value<'static> {
    Value::Integer(i64::try_from(count).unwrap_or(i64::MAX))
}

/// Bytes that an event takes, as `_ferry_event_logs.bytes` counts them.
#[must_use]
pub fn size_of_event(event: &Event) -> usize {
    event.name.len()
        + event.args.as_deref().map_or(0, str::len)
        + event.client_id.len()
        + event.session_id.len()
}
