//! Event sync's share of a database, for `GetDatabase`.

use ferry_core::events::{StoreState, log, store};
use ferry_database::ModelStats;
use ferry_sqlite::NativeSql;
use ferry_types::{Model, Seq, UnixMillis};

/// `None` while the database has no store.
///
/// # Errors
/// When the file cannot be read.
pub(super) fn of(sql: &NativeSql<'_>) -> ferry_sqlite::Result<Option<ModelStats>> {
    let rows = store::list(sql)?;
    if rows.is_empty() {
        return Ok(None);
    }
    let mut stats =
        ModelStats { model: Model::Events, head_seq: Seq(0), items: 0, bytes: 0, last_activity: None };
    let count = |number: i64| u64::try_from(number).unwrap_or(0);
    for row in rows.into_iter().filter(|row| row.state != StoreState::Deleted) {
        stats.items += count(row.event_count);
        stats.bytes += count(row.bytes);
        let newest = log::newest(sql, &row.key)?.map_or(0, |newest| newest.commit_seq);
        stats.head_seq = stats.head_seq.max(Seq(count(newest)));
        let at = row.last_created_at.as_deref().and_then(|text| text.parse::<jiff::Timestamp>().ok());
        stats.last_activity = stats.last_activity.max(at.map(|at| UnixMillis(at.as_millisecond())));
    }
    Ok(Some(stats))
}
