//! Tables that only spokes have.

use crate::sql::Sql;

/// `state`: see [`super::outbox::OutboxState`]. `hub_seq`: of what is stored there. `raw`: of what left the merged state.
const OUTBOX: &str = "CREATE TABLE IF NOT EXISTS _ferry_op_outbox(
    id TEXT PRIMARY KEY, state TEXT NOT NULL, code TEXT, message TEXT, hlc TEXT NOT NULL, hub_seq INTEGER, raw TEXT
) STRICT, WITHOUT ROWID";
const OUTBOX_BY_STATE: &str =
    "CREATE INDEX IF NOT EXISTS _ferry_op_outbox_state ON _ferry_op_outbox(state, hlc)";
const OUTBOX_BY_SEQ: &str = "CREATE INDEX IF NOT EXISTS _ferry_op_outbox_seq ON _ferry_op_outbox(hub_seq)
    WHERE hub_seq IS NOT NULL";
/// `floor`: up to where the hub has compacted its log, `compacted`: and this store its own. `is_repushing`: the hub is being given what it lost, and nothing is pulled before.
const PEERS: &str = "CREATE TABLE IF NOT EXISTS _ferry_op_peers(
    hub_id TEXT PRIMARY KEY, epoch TEXT NOT NULL, url TEXT NOT NULL, database TEXT NOT NULL,
    cursor_seq INTEGER NOT NULL, cursor_id TEXT, floor INTEGER NOT NULL, compacted INTEGER NOT NULL,
    is_repushing INTEGER NOT NULL
) STRICT, WITHOUT ROWID";

/// Makes the tables where they are missing.
///
/// # Errors
/// What storage reports.
pub(super) fn create_tables<S: Sql>(sql: &S) -> Result<(), S::Error> {
    for table in [OUTBOX, OUTBOX_BY_STATE, OUTBOX_BY_SEQ, PEERS] {
        sql.execute(table, &[])?;
    }
    Ok(())
}
