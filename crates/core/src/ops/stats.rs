//! How much a log holds.

use ferry_types::{Seq, UnixMillis};

use crate::sql::Sql;

const TOTALS: &str = "SELECT count(*), coalesce(sum(octet_length(raw)), 0), max(received_ms), max(commit_seq)
    FROM _ferry_ops";

/// Totals of a log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogTotals {
    /// Ops that it holds.
    pub ops: u64,
    /// Bytes of their texts.
    pub bytes: u64,
    /// When the last one came.
    pub last: Option<UnixMillis>,
    /// The commit that stored it.
    pub last_commit: Option<Seq>,
}

/// Counts a log; looks at every row, but not at the texts.
///
/// # Errors
/// What storage reports.
pub fn totals<S: Sql>(sql: &S) -> Result<LogTotals, S::Error> {
    let unsigned = |value: i64| u64::try_from(value).unwrap_or(0);
    let totals = sql.first(TOTALS, &[], |row| {
        Ok(LogTotals {
            ops: unsigned(row.integer(0)?),
            bytes: unsigned(row.integer(1)?),
            last: row.optional_integer(2)?.map(UnixMillis),
            last_commit: row.optional_integer(3)?.map(|seq| Seq(unsigned(seq))),
        })
    })?;
    Ok(totals.unwrap_or_default())
}
