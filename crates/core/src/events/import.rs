//! Taking an export in, all or nothing (EVT-46): its text is checked first, whole, without the database; then its
//! events are written in one transaction.

use ferry_protocol::events::{CommittedEvent, Event, ExportHeader, ExportTrailer};
use sha2::{Digest as _, Sha256};

use super::{
    admin, ahead,
    append::{COLUMNS, check_event, integer, row as columns, size_of_event},
    arrivals,
    export::hex,
    hook_position,
    identity::{self, IdentityChange},
    log,
    store::{self, StoreRow, StoreState},
    store_key::StoreKey,
};
use crate::sql::Sql;

/// Longest identity of a store.
const BACKEND_ID_MAX_BYTES: usize = 256;
/// Events written by one statement.
const INSERT_EVENTS: usize = 256;

/// What is wrong with an export, and in which line, from 1.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {why}")]
pub struct BadImport {
    /// The line.
    pub line: u64,
    /// What it should be.
    pub why: String,
}

/// Reads an export line by line.
#[derive(Debug, Default)]
pub struct Check {
    header: Option<ExportHeader>,
    line: u64,
    before: Option<Event>,
    seen: u64,
    digest: Sha256,
    is_over: bool,
}

impl Check {
    /// Takes the next line in, without its line feed; an event, if it holds one.
    ///
    /// # Errors
    /// When it is not what must stand there.
    pub fn line(&mut self, text: &str) -> Result<Option<CommittedEvent>, BadImport> {
        self.line += 1;
        self.read(text).map_err(|why| BadImport { line: self.line, why })
    }

    /// What the whole file said it is.
    ///
    /// # Errors
    /// When it ended early.
    pub fn finish(self) -> Result<ExportHeader, BadImport> {
        let cut =
            BadImport { line: self.line + 1, why: "the file ends here, before its last line".to_owned() };
        self.header.filter(|_| self.is_over).ok_or(cut)
    }

    fn read(&mut self, text: &str) -> Result<Option<CommittedEvent>, String> {
        if self.is_over {
            return Err("nothing may follow the last line".to_owned());
        }
        let Some(header) = &self.header else {
            let header = ExportHeader::decode(text).map_err(|bad| bad.0)?;
            if header.base < 0 || header.head < header.base {
                return Err("head must not be below base, nor base below 0".to_owned());
            }
            ferry_protocol::events::check_store_id(&header.store_id).map_err(|bad| bad.0.to_owned())?;
            check_identity(&header.backend_id)?;
            self.header = Some(header);
            return Ok(None);
        };
        if self.seen == header.count {
            let (base, head) = (header.base, header.head);
            self.trailer(text, base, head)?;
            self.is_over = true;
            return Ok(None);
        }
        let read = CommittedEvent::decode(text).map_err(|bad| bad.0)?;
        self.event(&read, header.base)?;
        self.digest.update(text);
        self.digest.update("\n");
        self.seen += 1;
        self.before = Some(Event { args: None, ..read.event.clone() });
        Ok(Some(read))
    }

    fn event(&self, read: &CommittedEvent, base: i64) -> Result<(), String> {
        check_event(&read.event, self.before.as_ref())?;
        if self.before.is_none() && read.event.parent_seq_num != base {
            return Err(format!("parentSeqNum: the first must be the header's base, {base}"));
        }
        if is_time(&read.created_at) {
            Ok(())
        } else {
            Err("createdAt: expected a time such as 2026-11-20T10:27:52.250Z".to_owned())
        }
    }

    fn trailer(&mut self, text: &str, base: i64, head: i64) -> Result<(), String> {
        let trailer = ExportTrailer::decode(text).map_err(|bad| bad.0)?;
        let newest = self.before.as_ref().map_or(base, |event| event.seq_num);
        let digest = hex(&std::mem::take(&mut self.digest).finalize());
        if !trailer.end || trailer.count != self.seen {
            Err(format!("count: {} lines of events were read, not {}", self.seen, trailer.count))
        } else if newest != head {
            Err(format!("the header says head {head}, and the newest event is {newest}"))
        } else if *trailer.sha256 != *digest {
            Err(format!("sha256: the lines of events have {digest}: the file was changed or damaged"))
        } else {
            Ok(())
        }
    }
}

/// An identity that clients can name, and tell from none.
fn check_identity(id: &str) -> Result<(), String> {
    if (1..=BACKEND_ID_MAX_BYTES).contains(&id.len()) && !id.chars().any(char::is_control) {
        return Ok(());
    }
    Err(format!("backendId: expected 1 to {BACKEND_ID_MAX_BYTES} bytes without control characters"))
}

/// Whether `text` has the form that this system writes, which sorts as time does.
fn is_time(text: &str) -> bool {
    const FORM: &[u8; 24] = b"0000-00-00T00:00:00.000Z";
    text.len() == FORM.len()
        && text.bytes().zip(FORM).all(|(byte, form)| match form {
            b'0' => byte.is_ascii_digit(),
            other => byte == *other,
        })
}

/// Where an import may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// To a store that does not exist or is empty.
    Create,
    /// Behind the newest event of a store.
    Append,
}

/// What an import asks.
#[derive(Clone, Copy, Debug)]
pub struct ImportRequest<'a> {
    /// Where it goes.
    pub mode: Mode,
    /// Whether the file's identity becomes the store's; else the new one of `change` does.
    pub keep: bool,
    /// The identity to mint, who asks and when.
    pub change: IdentityChange<'a>,
}

/// Why a sound file cannot be taken in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The store has events already.
    NotEmpty,
    /// No such store to append to.
    NoStore,
    /// The operator must end the hold first.
    OnHold,
    /// The file's first event does not follow the newest one here.
    Head(i64),
    /// The identity can be kept by an empty store or its own only.
    Identity,
}

/// Prepares the store, and tells where it stands now; the events follow with [`ImportWriter`].
///
/// # Errors
/// What storage reports.
pub fn admit<S: Sql>(
    sql: &S,
    store_id: &str,
    header: &ExportHeader,
    wanted: &ImportRequest<'_>,
) -> Result<Result<StoreRow, Refused>, S::Error> {
    let at = wanted.change.at;
    let id = if wanted.keep { &*header.backend_id } else { wanted.change.new_id };
    let change = IdentityChange { new_id: id, ..wanted.change };
    let mut row = match store::find(sql, store_id)? {
        None if wanted.mode == Mode::Append => return Ok(Err(Refused::NoStore)),
        None => {
            let key = StoreKey { id: store_id.into(), number: change.number() };
            return refuse_gap(header, store::create(sql, key, id, StoreState::Ok, at)?);
        }
        Some(row) => row,
    };
    // The writer counts from the row, and puts its events behind what is filed.
    arrivals::file_store(sql, row.key.number)?;
    match row.state {
        StoreState::Hold => return Ok(Err(Refused::OnHold)),
        StoreState::Deleted if wanted.mode == Mode::Append => return Ok(Err(Refused::NoStore)),
        StoreState::Deleted => admin::revive(sql, &mut row, &change)?,
        StoreState::Ok if *row.backend_id == *id => {}
        StoreState::Ok if wanted.mode == Mode::Create && row.event_count > 0 => {
            return Ok(Err(Refused::NotEmpty));
        }
        StoreState::Ok if wanted.keep && row.event_count > 0 => return Ok(Err(Refused::Identity)),
        StoreState::Ok => identity::remint(sql, &mut row, &change)?,
    }
    if wanted.mode == Mode::Create && row.event_count > 0 {
        return Ok(Err(Refused::NotEmpty));
    }
    refuse_gap(header, row)
}

/// The first event must follow the newest.
fn refuse_gap<E>(header: &ExportHeader, row: StoreRow) -> Result<Result<StoreRow, Refused>, E> {
    Ok(if header.base == row.head { Ok(row) } else { Err(Refused::Head(row.head)) })
}

/// Writes checked events behind a log.
#[derive(Debug)]
pub struct ImportWriter<'a> {
    row: StoreRow,
    commit_seq: u64,
    principal: &'a str,
    waiting: Vec<CommittedEvent>,
}

impl<'a> ImportWriter<'a> {
    /// A writer behind the log of `row`, for the commit `commit_seq`.
    #[must_use]
    pub fn new(row: StoreRow, commit_seq: u64, principal: &'a str) -> Self {
        Self { row, commit_seq, principal, waiting: Vec::new() }
    }

    /// Takes the next event in.
    ///
    /// # Errors
    /// What storage reports.
    pub fn push<S: Sql>(&mut self, sql: &S, event: CommittedEvent) -> Result<(), S::Error> {
        self.waiting.push(event);
        if self.waiting.len() == INSERT_EVENTS { self.flush(sql) } else { Ok(()) }
    }

    fn flush<S: Sql>(&mut self, sql: &S) -> Result<(), S::Error> {
        let commit_seq = i64::try_from(self.commit_seq).unwrap_or(i64::MAX);
        let mut values = Vec::with_capacity(self.waiting.len() * COLUMNS);
        for CommittedEvent { event, created_at } in &self.waiting {
            values.extend_from_slice(&columns(
                self.row.key.number,
                event,
                (created_at, commit_seq),
                self.principal,
            ));
        }
        sql.execute_rows(log::INSERT, COLUMNS, &values)?;
        for CommittedEvent { event, created_at } in self.waiting.drain(..) {
            self.row.head = event.seq_num;
            self.row.event_count += 1;
            self.row.bytes += i64::try_from(size_of_event(&event)).unwrap_or(0);
            if self.row.last_created_at.as_deref().is_none_or(|last| last < &*created_at) {
                self.row.last_created_at = Some(created_at);
            }
        }
        Ok(())
    }

    /// Writes the rest and the registry's row. `hook` is not told of what it did not wait for already.
    ///
    /// # Errors
    /// What storage reports.
    pub fn finish<S: Sql>(mut self, sql: &S, hooks: &[&str], old_head: i64) -> Result<StoreRow, S::Error> {
        self.flush(sql)?;
        let row = self.row;
        let text =
            "UPDATE _ferry_event_logs SET head = ?2, event_count = ?3, bytes = ?4, last_created_at = ?5
                    WHERE store_id = ?1";
        let count = usize::try_from(row.event_count).unwrap_or(0);
        let values = [
            (*row.key.id).into(),
            row.head.into(),
            integer(count),
            row.bytes.into(),
            row.last_created_at.as_deref().into(),
        ];
        sql.execute(text, &values)?;
        ahead::forget_upto(sql, &row.key.id, row.head)?;
        for hook in hooks {
            hook_position::skip(sql, hook, &row.key.id, (old_head, row.head))?;
        }
        Ok(row)
    }
}
