//! The run of this hub: named in `control.db` and beside it, noted in each file, and compared with what files say when they
//! are opened (operate specification, 3.3). A file that does not go on from what its clients have seen gets a break.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicBool, Ordering},
    },
};

use ferry_backup::{NewIdentity, RestoreStamp, lineage_of, stamp_database};
use ferry_control::{Control, DatabaseBreak, KnownLineage, NewRun};
use ferry_core::{
    backup::log::TargetTenures,
    lineage::{
        FileLineage, FileNote, FileVerdict, LineageAnswer, LineageRecord, LineageState, LineageVerdict, Sign,
        TargetAnchor,
    },
    records::restore::GivenBy,
};
use ferry_database::FileCheck;
use ferry_sqlite::{NativeSql, fault};
use ferry_types::{Clock, DatabaseId, DatabaseKind, Error, Model, Result, RunId, Seq};
use tokio::runtime::Handle;

use crate::{
    config::ConfigError,
    data_dir::{
        lineage::{FoundLineage, make_lineage, write_lineage},
        run_mark::RunMark,
    },
    database::Databases,
};

/// A run that is written down beside `control.db`, which is not told of it yet.
pub(crate) struct StartingRun {
    dir: PathBuf,
    /// What `control.db` is told.
    pub(crate) new: NewRun,
    record: LineageRecord,
}

impl StartingRun {
    /// Begins a run over what was found in `dir`, of which `verdict` says what it is. A start that is cut short before
    /// `control.db` is told finds the same verdict again.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(crate) fn begin(
        dir: &Path,
        found: &FoundLineage,
        verdict: LineageVerdict,
    ) -> std::result::Result<Self, ConfigError> {
        let run = RunId(random().map_err(|error| unwritten(dir, &error))?);
        let control = &found.rows.control;
        let record = LineageRecord {
            serial: found.next_serial(),
            hub_id: control.hub_id.clone().unwrap_or_default(),
            run,
            previous: control.newest,
            born_ns: make_lineage(dir).map_err(|error| unwritten(dir, &error))?,
            state: LineageState::Starting,
            answer: verdict.to_do(),
            control_seq: control.seq,
        };
        write_lineage(dir, &record).map_err(|error| unwritten(dir, &error))?;
        fault::point("lineage.starting").map_err(|error| unwritten(dir, &error))?;
        Ok(Self { dir: dir.to_owned(), new: NewRun { run, verdict }, record })
    }

    /// Notes that `control.db` was told.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(crate) async fn named(
        self,
        control: &Arc<Control>,
        clock: &Arc<dyn Clock>,
        new_identity: Option<NewIdentity>,
    ) -> std::result::Result<Arc<Lineage>, ConfigError> {
        let Self { dir, new: NewRun { run, verdict }, record } = self;
        fault::point("lineage.named").map_err(|error| unwritten(&dir, &error))?;
        let seq = control.lineage.seq().await.map_err(|error| unwritten(&dir, &error))?;
        let record = LineageRecord {
            serial: record.serial + 1,
            hub_id: control.hub_id().to_owned(),
            state: LineageState::Running,
            answer: None,
            control_seq: seq.0,
            ..record
        };
        write_lineage(&dir, &record).map_err(|error| unwritten(&dir, &error))?;
        RunMark::running(run).leave(&dir).map_err(|error| unwritten(&dir, &error))?;
        tell(verdict);
        Ok(Arc::new(Lineage {
            run,
            dir,
            control: Arc::clone(control),
            clock: Arc::clone(clock),
            runtime: Handle::current(),
            known: RwLock::new(control.lineage.known().clone()),
            record: Mutex::new(record),
            new_identity,
            verdict: Mutex::new(verdict),
            is_broken: AtomicBool::new(verdict.to_do() == Some(LineageAnswer::Restored)),
            has_unserved: AtomicBool::new(false),
        }))
    }
}

fn unwritten(dir: &Path, error: &dyn std::fmt::Display) -> ConfigError {
    ConfigError(format!("{}: {error}", dir.join("lineage").display()))
}

/// The run of this hub, and what it knows of the files of databases.
pub struct Lineage {
    run: RunId,
    dir: PathBuf,
    control: Arc<Control>,
    clock: Arc<dyn Clock>,
    runtime: Handle,
    known: RwLock<KnownLineage>,
    record: Mutex<LineageRecord>,
    new_identity: Option<NewIdentity>,
    /// What the start found, or what was seen of it since.
    verdict: Mutex<LineageVerdict>,
    /// Whether anything was found that clients had seen more of, in this run.
    is_broken: AtomicBool,
    /// Whether a database is not served since its file does not belong to its WAL.
    has_unserved: AtomicBool,
}

impl Lineage {
    /// Notes that the run ends in order. Nothing is written to `control.db` afterwards.
    pub(crate) async fn end(&self) {
        let seq = match self.control.lineage.seq().await {
            Ok(seq) => seq.0,
            Err(error) => return tracing::warn!(%error, "that the hub stops cannot be written down"),
        };
        let mut record = self.record.lock().unwrap_or_else(PoisonError::into_inner);
        *record = LineageRecord {
            serial: record.serial + 1,
            state: LineageState::Stopped,
            control_seq: seq,
            ..record.clone()
        };
        let written = write_lineage(&self.dir, &record);
        if let Err(error) = written.and_then(|()| RunMark::ended(self.run, seq).leave(&self.dir)) {
            tracing::warn!(%error, "that the hub stops cannot be written down");
        }
    }

    /// What the start found, or what was seen of it since.
    pub(crate) fn verdict(&self) -> LineageVerdict {
        *self.verdict.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What `/readyz` tells; `None`: every file that was opened goes on from what clients have seen.
    #[must_use]
    pub fn health(&self) -> Option<&'static str> {
        if self.has_unserved.load(Ordering::Relaxed) {
            return Some("unserved");
        }
        self.is_broken.load(Ordering::Relaxed).then_some("restored")
    }

    /// Tells the control plane how far each database is, in one commit, so that one which is put back by itself is noticed
    /// (OPR-35).
    pub(crate) async fn save_positions(&self, databases: &Databases) {
        let unsaved =
            databases.all().into_iter().filter_map(|database| Some((database.unsaved()?, database)));
        let unsaved: Vec<_> = unsaved.collect();
        if unsaved.is_empty() {
            return;
        }
        let rows = unsaved.iter().map(|(seq, database)| (database.id(), *seq)).collect();
        if let Err(error) = self.control.lineage.save_positions(self.run, rows).await {
            return tracing::warn!(%error, "the positions of databases could not be saved");
        }
        let mut known = self.known_mut();
        for (seq, database) in unsaved {
            known.note_position(database.id(), self.run, seq);
            database.saved(seq);
        }
    }

    /// What a backup is given that is put in the place of a database, or beside it. `above` is the highest number that is known
    /// to have been given out.
    ///
    /// # Errors
    /// When the operating system has no randomness.
    pub(crate) fn stamp(&self, above: Seq) -> Result<RestoreStamp> {
        Ok(RestoreStamp {
            epoch: format!("{:016x}", random()?),
            now: self.clock.now(),
            above,
            break_number: self.break_number(),
            run: Some(self.run),
            new_identity: None,
        })
    }

    /// Writes down that a backup was put in the place of a database, of which `found` is the newest commit and `known` was.
    pub(crate) async fn replaced(&self, id: DatabaseId, (found, known): (Seq, Seq)) {
        let reason = "a backup was put in its place";
        let broken = DatabaseBreak { id, reason, known, found, applies: false };
        self.is_broken.store(true, Ordering::Relaxed);
        metrics::counter!("ferry_breaks_total").increment(1);
        if let Err(error) = self.control.lineage.add_break(broken).await {
            tracing::warn!(database = %id, %error, "the break of a database that was put back is not written down");
        }
    }

    /// The run that serves.
    pub(crate) const fn run(&self) -> RunId {
        self.run
    }

    /// What is known of a run that gave a position of records out.
    pub(crate) fn given_by(&self, run: RunId) -> GivenBy {
        if run == self.run {
            return GivenBy::ThisRun;
        }
        self.known().when(run).map_or(GivenBy::Unknown, GivenBy::Earlier)
    }

    /// Whether `control.db` names this run.
    pub(crate) fn knows(&self, run: RunId) -> bool {
        self.known().when(run).is_some()
    }

    /// What is written to a target that this run ships to.
    ///
    /// # Errors
    /// When `control.db` cannot be read.
    pub(crate) async fn anchor(&self) -> Result<TargetAnchor> {
        let control_seq = self.control.lineage.seq().await?.0;
        Ok(TargetAnchor {
            hub_id: self.control.hub_id().to_owned(),
            run: self.run,
            break_number: self.known().newest_break(),
            at_unix_ms: self.clock.now().0,
            control_seq,
            // Added by whoever knows the target.
            tenures: TargetTenures::default(),
        })
    }

    /// Notes that the hub was put back before it began to serve. Files that are open by now are the caller's to have mended.
    ///
    /// # Errors
    /// When `control.db` cannot be written.
    pub(crate) async fn put_back(&self, sign: Sign) -> Result<()> {
        let number = self.control.lineage.add_hub_break(self.run, sign).await?;
        self.known_mut().note_hub_break(number);
        *self.verdict.lock().unwrap_or_else(PoisonError::into_inner) = LineageVerdict::Restored(sign);
        self.is_broken.store(true, Ordering::Relaxed);
        tell(LineageVerdict::Restored(sign));
        Ok(())
    }

    /// Notes in a copy of a database, in the transaction that makes it one, that it is of this run and lacks no break.
    ///
    /// # Errors
    /// What storage reports.
    pub(crate) fn adopt(&self, sql: &NativeSql<'_>) -> ferry_sqlite::Result<()> {
        // The file begins a new epoch: no position of before counts.
        FileNote { break_number: self.break_number(), ..self.note() }.write(sql, None)
    }

    /// Of a file that lacks none.
    fn break_number(&self) -> i64 {
        self.clock.now().0.max(self.known().newest_break())
    }

    fn known(&self) -> RwLockReadGuard<'_, KnownLineage> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn known_mut(&self) -> RwLockWriteGuard<'_, KnownLineage> {
        self.known.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn judge(&self, id: DatabaseId, found: &FileLineage) -> FileVerdict {
        let known = self.known();
        found.judge(&known.of_file(id), |run| known.when(run))
    }

    /// The number of a break that the file of one database gets.
    fn add_break(&self, id: DatabaseId, reason: &'static str, (found, known): (Seq, Seq)) -> Result<i64> {
        let broken = DatabaseBreak { id, reason, known, found, applies: true };
        let number = self.runtime.block_on(self.control.lineage.add_break(broken))?;
        self.known_mut().note_break(id, number);
        metrics::counter!("ferry_breaks_total").increment(1);
        Ok(number)
    }
}

impl FileCheck for Lineage {
    fn note(&self) -> FileNote {
        let known = self.known();
        let place = known.when(self.run).expect("BUG: the run is named before files are opened");
        FileNote { run: self.run, place, break_number: known.newest_break() }
    }

    fn fits(&self, id: DatabaseId, sql: &NativeSql<'_>) -> ferry_sqlite::Result<bool> {
        // A file that is pushed may well be a copy of one that a hub has written.
        if self.control.database(id).is_some_and(|entry| entry.kind == Some(DatabaseKind::Replica)) {
            return Ok(true);
        }
        let found = FileLineage::read(sql)?;
        Ok(found.is_none_or(|found| self.judge(id, &found) == FileVerdict::Fits))
    }

    fn not_served(&self, _: DatabaseId) {
        self.has_unserved.store(true, Ordering::Relaxed);
    }

    fn mend(&self, id: DatabaseId, main: &Path) -> ferry_sqlite::Result<()> {
        let found = lineage_of(main).map_err(storage)?;
        let above = self.known().of_file(id).position.map_or(Seq(0), |(_, seq)| seq);
        let (number, reason) = match self.judge(id, &found) {
            FileVerdict::Fits => return Ok(()),
            FileVerdict::LacksBreak(number) => (number, "the hub was put back to an older state"),
            FileVerdict::Older(reason) => (self.add_break(id, reason, (found.seq, above))?, reason),
        };
        fault::point("break.noted")?;
        // Versions of pages are named anew from here on (PAG-48): those that were lost are none of them.
        match std::fs::remove_dir_all(main.with_file_name("pages")) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
        let stamp =
            RestoreStamp { break_number: number, new_identity: self.new_identity, ..self.stamp(above)? };
        let stamped = stamp_database(main, &stamp).map_err(storage)?;
        fault::point("break.applied")?;
        self.is_broken.store(true, Ordering::Relaxed);
        tracing::warn!(
            database = %id, reason, file_seq = found.seq.0, known_seq = above.0, seq = stamped.seq.0,
            held_stores = stamped.held_stores,
            "a database does not go on from what its clients have seen: they are told as they come"
        );
        Ok(())
    }
}

fn storage(error: ferry_backup::Error) -> ferry_sqlite::Error {
    match error {
        ferry_backup::Error::Sqlite(error) => error,
        error => ferry_sqlite::Error::Damaged(error.to_string()),
    }
}

/// Counts a client that holds what this hub has lost (OPR-36).
pub(crate) fn count_evidence(model: Model) {
    metrics::counter!("ferry_lineage_evidence_total", "model" => model.as_str()).increment(1);
}

/// Tells the operator what the start found.
fn tell(verdict: LineageVerdict) {
    match verdict {
        LineageVerdict::Restored(sign) => {
            metrics::counter!("ferry_breaks_total").increment(1);
            tracing::warn!(
                sign = sign.as_str(),
                "the hub was put back to an older state: clients are told as they come, and event stores wait for \
                 `ferry events resume` or `remint`"
            );
        }
        LineageVerdict::Moved => tracing::info!("the hub goes on in another place"),
        LineageVerdict::First | LineageVerdict::Same | LineageVerdict::Copied(_) => {}
    }
}

fn random() -> Result<u64> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(|error| {
        tracing::error!(%error, "the operating system gave no random bytes");
        Error::internal()
    })?;
    Ok(u64::from_be_bytes(bytes))
}
