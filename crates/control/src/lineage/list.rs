//! Breaks and moves of the hub that serves, page by page.

use ferry_types::{Result, UnixMillis};

use super::HUB;
use crate::{control_db::ControlDb, directory::listing::Listing};

/// Where files did not go on from what clients had seen, or went on in another place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineageStep {
    /// `break` or `moved`.
    pub kind: String,
    /// When it was found.
    pub at: UnixMillis,
    /// `hub`, or the id of a database.
    pub scope: String,
    /// What showed it.
    pub reason: String,
    /// Of a break, its number; otherwise 0.
    pub number: i64,
    /// The newest commit that was known of: of `control.db`, or of the database; 0: it is not known.
    pub known_seq: u64,
    /// The newest that the file of one database had; 0: none, or it is not known any more.
    pub left_seq: u64,
    /// The newest moment that is left, if that is known.
    pub since: Option<UnixMillis>,
}

/// A page of them, the newest first, and the token of the next one. Moves, and how far the file of one database was, stand in the
/// audit trail, and are told as long as that is kept.
pub struct ListLineageSteps<'a> {
    /// Rows of the page; 0: the default.
    pub page_size: i32,
    /// Where the page before ended; empty: the beginning.
    pub page_token: &'a str,
}

/// A run that was moved is written down in the trail at the moment at which it begins.
const STEPS: &str = "
    SELECT 'break' AS kind, at, scope, reason, n, known_seq, since,
           (SELECT json_extract(detail, '$.file_seq') FROM audit
            WHERE audit.at = breaks.at AND action = 'lineage.break' AND target = scope
                AND json_extract(detail, '$.known_seq') = breaks.known_seq)
    FROM breaks WHERE (at, n) < (?1, ?2)
    UNION ALL
    SELECT 'moved', runs.at, ?3, '', 0, 0, NULL, NULL FROM runs
    WHERE (runs.at, 0) < (?1, ?2)
        AND EXISTS (SELECT 1 FROM audit WHERE audit.at = runs.at AND action = 'lineage.moved')
    ORDER BY at DESC, n DESC LIMIT ?4";

impl ListLineageSteps<'_> {
    /// # Errors
    /// Bad page size or token.
    pub async fn run(self, db: &ControlDb) -> Result<(Vec<LineageStep>, String)> {
        let Self { page_size, page_token } = self;
        let listing = Listing::new("GetLineage", &[], page_size, page_token)?;
        let before = listing.after.split_once(' ').and_then(|(at, number)| {
            let before: (i64, i64) = (at.parse().ok()?, number.parse().ok()?);
            Some(before)
        });
        let ((at, number), wanted) = (before.unwrap_or((i64::MAX, i64::MAX)), listing.wanted());
        let rows = db
            .read(move |connection| {
                let mut statement = connection.prepare_cached(STEPS)?;
                let rows = statement.query_map(rusqlite::params![at, number, HUB, wanted], |row| {
                    let seq = |value: Option<i64>| value.and_then(|seq| u64::try_from(seq).ok()).unwrap_or(0);
                    Ok(LineageStep {
                        kind: row.get(0)?,
                        at: UnixMillis(row.get(1)?),
                        scope: row.get(2)?,
                        reason: row.get(3)?,
                        number: row.get(4)?,
                        known_seq: seq(row.get(5)?),
                        since: row.get::<_, Option<i64>>(6)?.map(UnixMillis),
                        left_seq: seq(row.get(7)?),
                    })
                })?;
                Ok(rows.collect::<rusqlite::Result<Vec<_>>>()?)
            })
            .await?;
        Ok(listing.page(rows, |step| format!("{} {}", step.at.0, step.number)))
    }
}
