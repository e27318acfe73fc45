//! What a restore changes in a file, so that clients which have seen more of it notice (OPR-34): numbers go on where none was
//! given out, event stores wait for the operator, records and ops begin a new epoch. One transaction.

use std::path::Path;

use ferry_core::{
    events::{StoreState, first_layout, store},
    ops::{epoch, meta},
    records::{RecordMaintenance as _, maintenance::begin_epoch, sqlite::SqliteRecords},
};
use ferry_protocol::ops::EpochPolicy;
use ferry_sqlite::{NativeSql, connection, meta::seq_of};
use ferry_types::{Seq, UnixMillis};
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
}

/// Changes a restored database that the hub writes. Nobody else has it open.
///
/// # Errors
/// When it cannot be written; then nothing is changed.
pub fn stamp_database(path: &Path, stamp: &RestoreStamp) -> Result<()> {
    let connection = connection::open_writer(path)?;
    if connection.table_exists(None, "_ferry_meta")? {
        connection.execute_batch("BEGIN IMMEDIATE")?;
        apply(&connection, stamp)?;
        connection.execute_batch("COMMIT")?;
    }
    close(connection)
}

fn apply(connection: &Connection, stamp: &RestoreStamp) -> Result<()> {
    let sql = NativeSql(connection);
    let next = Seq((seq_of(&sql)?.0 / SEQ_STEP + 1) * SEQ_STEP);
    first_layout::take_over(&sql)?;
    for row in store::list(&sql)? {
        if row.state == StoreState::Ok {
            store::set_state(&sql, &row.key.id, StoreState::Hold)?;
        }
    }
    let records = SqliteRecords::new(&sql);
    if records.exists()? && records.epoch()?.is_some() {
        begin_epoch(&records, &stamp.epoch, stamp.now.into())?;
    }
    if meta::read(&sql)?.is_some() {
        epoch::begin_epoch(&sql, &stamp.epoch, EpochPolicy::Repush)?;
    }
    let value = i64::try_from(next.0).unwrap_or(i64::MAX);
    connection.execute("INSERT OR REPLACE INTO _ferry_meta(key, value) VALUES ('seq', ?1)", [value])?;
    Ok(())
}

/// Closes a file so that nothing of SQLite's lies beside it.
pub(crate) fn close(connection: Connection) -> Result<()> {
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    connection.close().map_err(|(_, error)| error)?;
    Ok(())
}
