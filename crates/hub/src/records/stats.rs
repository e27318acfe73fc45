//! Record sync's share of a database, for `GetDatabase`.

use ferry_core::records::{RecordQueries as _, sqlite::SqliteRecords};
use ferry_database::{ModelStats, seq_of};
use ferry_sqlite::NativeSql;
use ferry_types::{Model, Seq, UnixMillis};

/// `None` while the database has no records. `head`: its newest commit of records, if there was one since the hub knows the
/// database; else nobody remembers it, and that of any model stands for it.
///
/// # Errors
/// When the file cannot be read.
pub(super) fn of(sql: &NativeSql<'_>, head: Option<Seq>) -> ferry_sqlite::Result<Option<ModelStats>> {
    let store = SqliteRecords::new(sql);
    if !store.exists()? {
        return Ok(None);
    }
    let totals = store.totals()?;
    let count = |number: i64| u64::try_from(number).unwrap_or(0);
    let last_ms = totals.last_commit.0 / 1_000_000;
    Ok(Some(ModelStats {
        model: Model::Records,
        head_seq: head.map_or_else(|| seq_of(sql), Ok)?,
        items: count(totals.records),
        bytes: count(totals.bytes),
        last_activity: (last_ms > 0).then_some(UnixMillis(last_ms)),
    }))
}
