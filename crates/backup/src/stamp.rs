//! What a restore changes in a file, so that clients which have seen more of it notice (OPR-34): numbers go on where none was
//! given out, event stores wait for the operator, records and ops begin a new epoch. One transaction.

use std::path::Path;

use ferry_core::{
    events::{StoreRow, StoreState, first_layout, identity, identity::IdentityChange, store},
    lineage::{
        FileLineage,
        file::{note_break, note_run},
    },
    ops::{epoch, meta, schema},
    records::{RecordMaintenance as _, maintenance::begin_epoch, sqlite::SqliteRecords},
};
use ferry_protocol::ops::EpochPolicy;
use ferry_sqlite::{NativeSql, connection, meta::seq_of};
use ferry_types::{RunId, Seq, UnixMillis};
use rusqlite::Connection;

use crate::Result;

/// After a break `seq` goes on at the next multiple of this.
const SEQ_STEP: u64 = 1_000_000;

/// What a restored file is given.
#[derive(Clone, Debug)]
pub struct RestoreStamp {
    /// The new epoch of records and of ops: 16 hexadecimal digits that were never used.
    pub epoch: String,
    /// When.
    pub now: UnixMillis,
    /// The highest number that is known to have been given out, if the file itself may not have it.
    pub above: Seq,
    /// The break that the file is given with it, and with that all before.
    pub break_number: i64,
    /// The run of the hub that does it; `None`: it is not the hub.
    pub run: Option<RunId>,
    /// Identities for event stores, which then serve at once (EVT-44); `None`: they wait for the operator.
    pub new_identity: Option<NewIdentity>,
}

/// Draws the identity of an event store.
pub type NewIdentity = fn() -> ferry_types::Result<String>;

impl RestoreStamp {
    /// So that the file is not taken for one that lacks the break, or is of a run that nobody knows.
    fn note(&self, sql: &NativeSql<'_>) -> Result<()> {
        note_break(sql, self.break_number)?;
        if let Some(run) = self.run {
            note_run(sql, run)?;
        }
        Ok(())
    }
}

/// What a restored file was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StampedDatabase {
    /// Its `seq` now.
    pub seq: Seq,
    /// Event stores that wait for the operator.
    pub held_stores: u64,
}

/// Changes a restored database that the hub writes. Nobody else has it open.
///
/// # Errors
/// When it cannot be written; then nothing is changed.
pub fn stamp_database(path: &Path, stamp: &RestoreStamp) -> Result<StampedDatabase> {
    in_transaction(path, |connection, sql| {
        let seq = Seq((seq_of(sql)?.max(stamp.above).0 / SEQ_STEP + 1) * SEQ_STEP);
        let mut held_stores = 0;
        first_layout::take_over(sql)?;
        for mut row in store::list(sql)? {
            if row.state != StoreState::Ok {
                continue;
            }
            match stamp.new_identity {
                None => {
                    store::set_state(sql, &row.key.id, StoreState::Hold)?;
                    held_stores += 1;
                }
                Some(draw) => {
                    let new_id = draw().map_err(ferry_sqlite::Error::from)?;
                    remint(sql, &mut row, (seq, &new_id), stamp.now)?;
                }
            }
        }
        begin_records_epoch(sql, stamp)?;
        // A database without ops has no table of theirs.
        if schema::exists(sql)? && meta::read(sql)?.is_some() {
            epoch::begin_epoch(sql, &stamp.epoch, EpochPolicy::Repush)?;
        }
        stamp.note(sql)?;
        set_seq(connection, seq)?;
        Ok(StampedDatabase { seq, held_stores })
    })
}

/// Changes a restored database that becomes one of its own, beside the living one: `remint` gives what it shares with that
/// one identities of its own, in the commit of the number that it is handed.
///
/// # Errors
/// When it cannot be written; then nothing is changed.
pub fn stamp_copy(
    path: &Path,
    stamp: &RestoreStamp,
    remint: impl FnOnce(&NativeSql<'_>, Seq) -> ferry_sqlite::Result<()>,
) -> Result<StampedDatabase> {
    in_transaction(path, |connection, sql| {
        let seq = seq_of(sql)?.next();
        first_layout::take_over(sql)?;
        begin_records_epoch(sql, stamp)?;
        remint(sql, seq)?;
        stamp.note(sql)?;
        set_seq(connection, seq)?;
        Ok(StampedDatabase { seq, held_stores: 0 })
    })
}

/// The newest commit of a file that the hub writes, as it says itself.
///
/// # Errors
/// When it cannot be read.
pub fn newest_commit(path: &Path) -> Result<Seq> {
    Ok(seq_of(&NativeSql(&connection::open_reader(path)?))?)
}

/// What a file that the hub writes says of where it comes from.
///
/// # Errors
/// When it cannot be read.
pub fn lineage_of(path: &Path) -> Result<FileLineage> {
    Ok(FileLineage::read(&NativeSql(&connection::open_reader(path)?))?.unwrap_or_default())
}

/// Runs `work` in one transaction, if the file has anything of the hub's.
fn in_transaction(
    path: &Path,
    work: impl FnOnce(&Connection, &NativeSql<'_>) -> Result<StampedDatabase>,
) -> Result<StampedDatabase> {
    let connection = connection::open_writer(path)?;
    let mut stamped = StampedDatabase { seq: Seq(0), held_stores: 0 };
    if connection.table_exists(None, "_ferry_meta")? {
        connection.execute_batch("BEGIN IMMEDIATE")?;
        stamped = work(&connection, &NativeSql(&connection))?;
        connection.execute_batch("COMMIT")?;
    }
    close(connection)?;
    Ok(stamped)
}

/// Gives a store another identity, by which its clients begin anew.
fn remint(
    sql: &NativeSql<'_>,
    row: &mut StoreRow,
    (commit, new_id): (Seq, &str),
    now: UnixMillis,
) -> Result<()> {
    let change = IdentityChange {
        commit_seq: commit.0,
        new_id,
        actor: "hub",
        reason: "the database was put back to an older state",
        at: &now.to_string(),
    };
    Ok(identity::remint(sql, row, &change)?)
}

fn begin_records_epoch(sql: &NativeSql<'_>, stamp: &RestoreStamp) -> Result<()> {
    let records = SqliteRecords::new(sql);
    if records.exists()? && records.epoch()?.is_some() {
        begin_epoch(&records, &stamp.epoch, stamp.now.into())?;
    }
    Ok(())
}

fn set_seq(connection: &Connection, seq: Seq) -> Result<()> {
    let value = i64::try_from(seq.0).unwrap_or(i64::MAX);
    connection.execute("INSERT OR REPLACE INTO _ferry_meta(key, value) VALUES ('seq', ?1)", [value])?;
    Ok(())
}

/// Closes a file so that nothing of SQLite's lies beside it.
pub(crate) fn close(connection: Connection) -> Result<()> {
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    connection.close().map_err(|(_, error)| error)?;
    Ok(())
}
