//! The one writer of a database: it runs requests in groups, a savepoint each, one COMMIT (one fsync) for all.

mod checkpoint;
mod lent;

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::{Arc, atomic::Ordering},
};

use ferry_core::{lineage::FileNote, records::UnixNanos};
use ferry_types::{Reason, Seq};
use rusqlite::Connection;

pub use lent::LentWriter;

use crate::{
    Blank, Error, NativeSql, Result, blank, connection, fault, folder, meta::META, pages::CaptureSlot,
    wal_base,
};

/// The open database of one actor: the only connection that writes it.
pub struct Writer {
    connection: Connection,
    home: Home,
    wal_frame_bytes: u32,
    /// Below this size of the WAL, in MiB, no checkpoint is tried: it has nothing to gain, or readers held off the last one.
    checkpoint_from_mib: u16,
    /// How often the size has doubled from which on it is waited for readers, who did not let go of the WAL the last time.
    wait_doublings: u8,
    /// Whether it is the control plane's, for tests that stop commits.
    is_control: bool,
    /// Who captures versions beside it, and has to let go of the WAL before a checkpoint. It counts the WAL's frames, too.
    capture: Arc<CaptureSlot>,
    seq: Seq,
    /// What the next commit notes of the file; `None`: nothing.
    unnoted: Option<Box<Unnoted>>,
}

/// What a commit notes beside what it changes.
#[derive(Default)]
struct Unnoted {
    /// The hub's run, with its first commit.
    run: Option<FileNote>,
    /// The newest commit of records before it, if that is to be noted.
    newest_records: Option<UnixNanos>,
    /// The newest commit that the file has without its WAL, with the first one behind it.
    in_file: Option<Seq>,
}

/// Where a group's commit goes.
enum Home {
    /// Into the open file.
    File,
    /// Into a new file; what is open is in memory, and forgets it again.
    New(Box<Path>),
}

/// Bytes of the header before each page of a WAL (SQLite file format, section 4.1).
const WAL_FRAME_HEADER_BYTES: u32 = 24;

/// One request's share of a group: it reads and writes through [`Self::sql`], and names with [`Self::effect`]
/// what subscribers must learn.
pub struct Transaction<'group, E> {
    connection: &'group Connection,
    seq: Seq,
    effects: Vec<E>,
}

impl<'group, E> Transaction<'group, E> {
    /// The database as the engines see it, inside the request's savepoint.
    #[must_use]
    pub const fn sql(&self) -> NativeSql<'group> {
        NativeSql(self.connection)
    }

    /// The same as a connection, for SQL that is no engine's: the control plane's.
    #[must_use]
    pub const fn connection(&self) -> &'group Connection {
        self.connection
    }

    /// The number this request takes if it changes anything.
    #[must_use]
    pub const fn seq(&self) -> Seq {
        self.seq
    }

    /// Tells subscribers of a change.
    pub fn effect(&mut self, effect: E) {
        self.effects.push(effect);
    }
}

/// What a request did, now that its group is on disk.
#[derive(Debug, PartialEq, Eq)]
pub struct Applied<E> {
    /// The number the request took; `None` if it changed nothing.
    pub seq: Option<Seq>,
    /// What subscribers must learn.
    pub effects: Vec<E>,
}

impl Writer {
    /// Opens the database at `path`, which is made from `blank` if it is not there.
    ///
    /// # Errors
    /// When the file cannot be opened or made.
    pub fn open_or_make(path: &Path, blank: &Blank) -> Result<Self> {
        if !path.exists() {
            blank.make(path)?;
        }
        Self::open(path)
    }

    /// Opens the database at `path`, creating it.
    ///
    /// # Errors
    /// When SQLite cannot open the file or it holds no valid sequence number.
    pub fn open(path: &Path) -> Result<Self> {
        let connection = connection::open_writer(path)?;
        if !connection.table_exists(None, "_ferry_meta")? {
            connection.execute_batch(META)?;
        }
        let seq: i64 =
            connection.query_row("SELECT value FROM _ferry_meta WHERE key = 'seq'", [], |row| row.get(0))?;
        let seq =
            u64::try_from(seq).map_err(|_| Error::Damaged(format!("seq of {} is {seq}", path.display())))?;
        let page_size: u32 = connection.query_row("PRAGMA page_size", [], |row| row.get(0))?;
        let wal_frame_bytes = page_size + WAL_FRAME_HEADER_BYTES;
        let mut writer = Self { wal_frame_bytes, seq: Seq(seq), ..Self::of(connection) };
        if wal_base::is_empty(path) {
            writer.unnoted().in_file = Some(Seq(seq));
        }
        writer.captured_by(Arc::default())?;
        Ok(writer)
    }

    fn of(connection: Connection) -> Self {
        Self {
            connection,
            home: Home::File,
            wal_frame_bytes: 0,
            checkpoint_from_mib: 0,
            wait_doublings: 0,
            is_control: false,
            capture: Arc::default(),
            seq: Seq(0),
            unnoted: None,
        }
    }

    /// The same, whose first commit notes of which run of the hub it is (OPR-30).
    #[must_use]
    pub fn noting(mut self, note: FileNote) -> Self {
        self.unnoted().run = Some(note);
        self
    }

    fn unnoted(&mut self) -> &mut Unnoted {
        self.unnoted.get_or_insert_default()
    }

    /// Whoever is in `capture` captures versions beside this writer.
    ///
    /// # Errors
    /// When SQLite refuses the hook.
    pub fn captured_by(&mut self, capture: Arc<CaptureSlot>) -> Result<()> {
        let counter = Arc::clone(capture.committed_frames());
        counter.store(0, Ordering::Release);
        self.capture = capture;
        // Called once the commit is visible to readers.
        self.connection.wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, frames: i32| {
            counter.store(frames.unsigned_abs().into(), Ordering::Release);
            Ok(())
        }))?;
        Ok(())
    }

    /// The same as the writer of the control plane's books. The hub writes those on its own too: a test that stops a commit
    /// of a database must not meet them.
    #[must_use]
    pub const fn of_control(mut self) -> Self {
        self.is_control = true;
        self
    }

    /// One of a database in memory with the tables that `make` makes, for groups that become files
    /// ([`Self::run_first_group`]).
    pub(crate) fn in_memory(make: impl FnOnce(&NativeSql<'_>) -> Result<()>) -> Result<Self> {
        let connection = connection::open_memory()?;
        connection.execute_batch(META)?;
        make(&NativeSql(&connection))?;
        Ok(Self::of(connection))
    }

    /// Runs a group in memory and makes what it leaves the file at `path`, where none is, unless all of it failed. What is
    /// in memory is as before afterwards.
    pub(crate) fn run_first_group<R, E>(
        &mut self,
        (path, note): (&Path, Option<FileNote>),
        requests: &mut [R],
        apply: impl FnMut(&mut R, &mut Transaction<'_, E>) -> Result<()>,
    ) -> Vec<Result<Applied<E>>> {
        self.home = Home::New(path.into());
        self.unnoted = note.map(|run| Box::new(Unnoted { run: Some(run), ..Unnoted::default() }));
        let answers = self.run_group(requests, apply);
        self.home = Home::File;
        self.seq = Seq(0);
        answers
    }

    /// The newest committed sequence number.
    #[must_use]
    pub const fn seq(&self) -> Seq {
        self.seq
    }

    /// The connection, for work between groups: migrations, checkpoints.
    pub const fn connection(&mut self) -> &mut Connection {
        &mut self.connection
    }

    /// Runs every request in order, each in its own savepoint, and commits them together. The answer for
    /// request `i` stands at place `i`. A refused, failed or panicking request is rolled back alone; when the
    /// COMMIT itself fails, all requests of the group fail with it and nothing has changed.
    pub fn run_group<R, E>(
        &mut self,
        requests: &mut [R],
        mut apply: impl FnMut(&mut R, &mut Transaction<'_, E>) -> Result<()>,
    ) -> Vec<Result<Applied<E>>> {
        let mut answers = Vec::with_capacity(requests.len());
        while answers.len() < requests.len() {
            let first = answers.len();
            let outcome = self.try_group(&mut requests[first..], &mut apply, &mut answers);
            if let Err(error) = outcome {
                // SQLite ended the transaction (disk full, I/O error): what it held is gone, and the requests
                // behind the one that met the error run in a group of their own.
                let stopped = answers.pop_if(|last| matches!(error, Error::Refused(_)) && last.is_err());
                answers[first..].fill_with(|| Err(group_failed(&error)));
                // Whose statement was stopped knows why.
                answers.extend(stopped);
                if answers.len() == first {
                    // It did not even begin. While another process holds the database, each request that tried
                    // for itself would keep those behind it waiting: all of them have waited as long.
                    let is_busy = error.is_busy();
                    answers.push(Err(error));
                    if is_busy {
                        answers.resize_with(requests.len(), || Err(Error::Refused(Error::busy())));
                    }
                }
            }
        }
        answers
    }

    /// One BEGIN … COMMIT. On error the transaction is over and `answers` holds the requests it covered.
    fn try_group<R, E>(
        &mut self,
        requests: &mut [R],
        apply: &mut impl FnMut(&mut R, &mut Transaction<'_, E>) -> Result<()>,
        answers: &mut Vec<Result<Applied<E>>>,
    ) -> Result<()> {
        let first = answers.len();
        // A lone request needs no savepoint: the transaction is its own.
        let alone = requests.len() == 1;
        self.run("BEGIN IMMEDIATE")?;
        if let Err(error) = self.look_before_first() {
            self.run("ROLLBACK")?;
            return Err(error);
        }
        let mut seq = self.seq;
        for request in requests {
            let answer = if alone {
                self.apply(request, seq.next(), apply)
            } else {
                self.apply_in_savepoint(request, seq.next(), apply)
            };
            if let Ok(Applied { seq: Some(taken), .. }) = &answer {
                seq = *taken;
            }
            let failed = answer.is_err();
            let is_full = answer.as_ref().is_err_and(Error::is_storage_full);
            answers.push(answer);
            if self.connection.is_autocommit() {
                let full = || Error::Io(std::io::ErrorKind::StorageFull.into());
                return Err(if is_full { full() } else { transaction_undone() });
            }
            if alone && failed {
                return self.run("ROLLBACK");
            }
        }
        let committed = match &self.home {
            Home::File => self.commit(seq),
            Home::New(path) => {
                let is_wanted = answers[first..].iter().any(Result::is_ok);
                self.commit_as_file(seq, path, is_wanted)
            }
        };
        if committed.is_err() && !self.connection.is_autocommit() {
            self.run("ROLLBACK")?;
        }
        committed?;
        if seq != self.seq {
            self.unnoted = None;
        }
        self.seq = seq;
        Ok(())
    }

    /// Looks up what the first commit of a run notes of what was before it. A new file has nothing.
    fn look_before_first(&mut self) -> Result<()> {
        let Self { unnoted: Some(unnoted), home: Home::File, connection, .. } = self else { return Ok(()) };
        if let Some(note) = unnoted.run {
            unnoted.newest_records = note.newest_records(&NativeSql(connection))?;
        }
        Ok(())
    }

    fn commit(&self, seq: Seq) -> Result<()> {
        self.save_seq(seq)?;
        self.run("COMMIT")?;
        // A group that only read has nothing to lose.
        if seq == self.seq { Ok(()) } else { self.point("actor.committed", "control.committed") }
    }

    /// Writes what the transaction made of the database in memory, if some request was done, and takes it back there.
    fn commit_as_file(&self, seq: Seq, path: &Path, is_wanted: bool) -> Result<()> {
        self.save_seq(seq)?;
        if is_wanted {
            blank::write_new(path, &blank::bytes_of(&self.connection)?)?;
            if let Some(folder) = path.parent()
                && let Err(error) = folder::sync(folder)
            {
                // Its requests fail: it must not be found later.
                let _ = std::fs::remove_file(path);
                return Err(error.into());
            }
        }
        self.run("ROLLBACK")?;
        self.point("actor.committed", "control.committed")
    }

    fn point(&self, database: &str, control: &str) -> Result<()> {
        fault::point(if self.is_control { control } else { database })
    }

    fn save_seq(&self, seq: Seq) -> Result<()> {
        if seq != self.seq {
            let value = i64::try_from(seq.0).map_err(|_| Error::Damaged("seq is over 2^63".into()))?;
            self.connection
                .prepare_cached("UPDATE _ferry_meta SET value = ?1 WHERE key = 'seq'")?
                .execute([value])?;
            if let Some(unnoted) = &self.unnoted {
                let sql = NativeSql(&self.connection);
                unnoted.run.map_or(Ok(()), |run| run.write(&sql, unnoted.newest_records))?;
                unnoted.in_file.map_or(Ok(()), |seq| wal_base::note(&self.connection, seq))?;
            }
            self.point("actor.commit", "control.commit")?;
        }
        Ok(())
    }

    fn apply_in_savepoint<R, E>(
        &self,
        request: &mut R,
        seq: Seq,
        apply: &mut impl FnMut(&mut R, &mut Transaction<'_, E>) -> Result<()>,
    ) -> Result<Applied<E>> {
        self.run("SAVEPOINT request")?;
        let answer = self.apply(request, seq, apply);
        if answer.is_ok() {
            self.run("RELEASE request")?;
        } else if !self.connection.is_autocommit() {
            self.run("ROLLBACK TO request")?;
            self.run("RELEASE request")?;
        }
        answer
    }

    fn apply<R, E>(
        &self,
        request: &mut R,
        seq: Seq,
        apply: &mut impl FnMut(&mut R, &mut Transaction<'_, E>) -> Result<()>,
    ) -> Result<Applied<E>> {
        let before = self.connection.total_changes();
        let mut transaction = Transaction { connection: &self.connection, seq, effects: Vec::new() };
        catch_unwind(AssertUnwindSafe(|| apply(request, &mut transaction)))
            .unwrap_or_else(|panic| Err(Error::Panicked(panic_text(panic.as_ref()))))?;
        let effects = transaction.effects;
        let changed = self.connection.total_changes() != before || !effects.is_empty();
        Ok(Applied { seq: changed.then_some(seq), effects })
    }

    fn run(&self, sql: &str) -> Result<()> {
        self.connection.prepare_cached(sql)?.execute([])?;
        Ok(())
    }
}

fn group_failed(error: &Error) -> Error {
    match error {
        error if error.is_storage_full() => Error::Io(std::io::ErrorKind::StorageFull.into()),
        Error::Refused(refusal) => Error::Refused(refusal.clone()),
        other => Error::Damaged(format!("the group commit failed: {other}")),
    }
}

/// SQLite undid a transaction because a statement in it was stopped.
fn transaction_undone() -> Error {
    let message = "a statement had to be stopped, and all that shared its transaction was undone: try again";
    Error::Refused(ferry_types::Error::new(Reason::Busy, message).retry_after_ms(0))
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".into())
}

#[cfg(test)]
mod tests;
