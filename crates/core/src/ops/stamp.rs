//! Stamps: when and by which commit a log stored an op. The id of the op at a number does not prove what lies before it: a
//! log that was put back loses some ops, and may get one of them again at the number it had, behind others than before.
//! It stores that one anew, and so at another time. Two logs that share the stamp of a number share what lies before it
//! (OPS-32).

use ferry_types::{OpSeq, Seq, UnixMillis};

use super::meta::{self, MetaKey};
use crate::sql::Sql;

const AT: &str = "SELECT received_ms, commit_seq FROM _ferry_ops WHERE op_seq = ?1";

/// The stamp of what a commit stored at a time.
#[must_use]
pub fn of(received: UnixMillis, commit: Seq) -> String {
    format!("{:x}-{:x}", received.0, commit.0)
}

/// The stamp of the op with this number; `None`: it is not known, since the op is none of this log or was dropped.
///
/// # Errors
/// What storage reports.
pub fn at<S: Sql>(sql: &S, seq: OpSeq) -> Result<Option<String>, S::Error> {
    let found = sql.first(AT, &[seq.into()], |row| {
        Ok(of(UnixMillis(row.integer(0)?), Seq(row.integer(1)?.unsigned_abs())))
    })?;
    match found {
        Some(found) => Ok(Some(found)),
        // Cursors stand at no other number whose op was dropped (OPS-41).
        None => kept(sql, MetaKey::FloorStamp, seq),
    }
}

/// Keeps the stamp of one number; `None`: it is not known.
pub(super) fn keep<S: Sql>(sql: &S, key: MetaKey, seq: OpSeq, stamp: Option<&str>) -> Result<(), S::Error> {
    match stamp {
        Some(stamp) => meta::set(sql, key, &format!("{seq} {stamp}")),
        None => meta::remove(sql, key),
    }
}

/// The stamp that was kept, if it is that of this number.
pub(super) fn kept<S: Sql>(sql: &S, key: MetaKey, seq: OpSeq) -> Result<Option<String>, S::Error> {
    let Some(kept) = meta::get(sql, key)? else { return Ok(None) };
    let found = kept.split_once(' ').filter(|(of, _)| of.parse() == Ok(seq.0));
    Ok(found.map(|(_, stamp)| stamp.to_owned()))
}
