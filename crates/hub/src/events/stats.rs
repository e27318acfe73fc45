//! Event sync's share of a database, for `GetDatabase`.

use ferry_core::events::{LogTable, StoreState, schema::has_tables, store};
use ferry_sqlite::NativeSql;
use ferry_types::{Model, Seq, UnixMillis};
use rusqlite::Connection;

use crate::control::LaneStats;

/// The lane of the file behind `connection`; `None` while it has no store.
///
/// # Errors
/// When the file cannot be read.
pub fn lane(connection: &Connection) -> ferry_sqlite::Result<Option<LaneStats>> {
    let sql = NativeSql(connection);
    if !has_tables(&sql)? {
        return Ok(None);
    }
    let mut lane =
        LaneStats { model: Model::Events, head_seq: Seq(0), items: 0, bytes: 0, last_activity: None };
    let count = |number: i64| u64::try_from(number).unwrap_or(0);
    for row in store::list(&sql)?.into_iter().filter(|row| row.state != StoreState::Deleted) {
        lane.items += count(row.event_count);
        lane.bytes += count(row.bytes);
        let newest = LogTable::of(&row.store_id).newest_commit(&sql)?;
        lane.head_seq = lane.head_seq.max(Seq(count(newest)));
        let at = row.last_created_at.as_deref().and_then(|text| text.parse::<jiff::Timestamp>().ok());
        lane.last_activity = lane.last_activity.max(at.map(|at| UnixMillis(at.as_millisecond())));
    }
    Ok(Some(lane))
}
