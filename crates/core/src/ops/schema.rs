//! Tables of op-log sync inside the database's own file (section 4), and what SQL sees of them (OPS-28).
//!
//! Beside the specification's: `_ferry_op_heads` holds the heads that are not the newest of their field, so that the
//! usual write, which covers the one head there is, changes one row. `_ferry_op_edges` holds edges whose parent is not
//! there: of the others it is known what they did. `_ferry_op_seen` remembers whose writes of which field were dropped,
//! since a late op of that origin is covered by them (OPS-20).

use crate::{empty_views, sql::Sql};

/// Where hephd's clients stand; nobody else looks for an HLC alone.
const SHIM_INDEX: &str = "CREATE INDEX IF NOT EXISTS _ferry_ops_hlc ON _ferry_ops(hlc)";

const TABLES: &[&str] = &[
    // `hub_seq`: on a spoke the hub's number, once it is known.
    "CREATE TABLE IF NOT EXISTS _ferry_ops(
        op_seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, hlc TEXT NOT NULL,
        origin TEXT, kind TEXT, entity TEXT, field TEXT,
        via_shim INTEGER NOT NULL, principal TEXT, commit_seq INTEGER NOT NULL, received_ms INTEGER NOT NULL,
        hub_seq INTEGER, raw TEXT NOT NULL) STRICT",
    "CREATE INDEX IF NOT EXISTS _ferry_ops_entity ON _ferry_ops(entity, field, origin, hlc) WHERE entity IS NOT NULL",
    // The updates of one text in the order of arrival.
    "CREATE INDEX IF NOT EXISTS _ferry_ops_text ON _ferry_ops(entity, field, op_seq) WHERE kind = 'text'",
    "CREATE TABLE IF NOT EXISTS _ferry_op_edges(
        entity TEXT NOT NULL, parent TEXT NOT NULL, removes INTEGER NOT NULL, child TEXT NOT NULL,
        hlc TEXT NOT NULL, PRIMARY KEY(entity, parent, removes, child)) STRICT, WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS _ferry_op_entities(
        entity TEXT PRIMARY KEY, type TEXT, type_hlc TEXT, type_id TEXT, hlc TEXT NOT NULL,
        dead INTEGER NOT NULL) STRICT, WITHOUT ROWID",
    // What may be purged one day.
    "CREATE INDEX IF NOT EXISTS _ferry_op_entities_dead ON _ferry_op_entities(hlc) WHERE dead = 1",
    // `winner`, `hlc`, `value`: the greatest `set`; `text_id`, `text_hlc`: the greatest `text`; each may be a head.
    // `text_seq`: the newest to arrive; `unfolded`: bytes of updates behind `folded`, `text_bytes`: those of the state.
    "CREATE TABLE IF NOT EXISTS _ferry_op_fields(
        entity TEXT NOT NULL, field TEXT NOT NULL,
        winner TEXT, hlc TEXT, is_head INTEGER NOT NULL,
        text_id TEXT, text_hlc TEXT, text_is_head INTEGER NOT NULL, text_seq INTEGER NOT NULL,
        unfolded INTEGER NOT NULL, text_bytes INTEGER NOT NULL, others INTEGER NOT NULL,
        value TEXT, PRIMARY KEY(entity, field)) STRICT, WITHOUT ROWID",
    // `via`: the compacted op that holds it, else empty; `digest`: SHA-256 of a scalar's canonical value.
    "CREATE TABLE IF NOT EXISTS _ferry_op_heads(
        entity TEXT NOT NULL, field TEXT NOT NULL, kind TEXT NOT NULL, origin TEXT NOT NULL, hlc TEXT NOT NULL,
        id TEXT NOT NULL, via TEXT NOT NULL, digest BLOB,
        PRIMARY KEY(entity, field, kind, origin, hlc, id, via)) STRICT, WITHOUT ROWID",
    "CREATE INDEX IF NOT EXISTS _ferry_op_heads_id ON _ferry_op_heads(id)",
    "CREATE INDEX IF NOT EXISTS _ferry_op_heads_value ON _ferry_op_heads(entity, field, digest)
        WHERE digest IS NOT NULL",
    // The state holds every update up to number `folded` but those that wait for others, whose numbers are `waiting`;
    // `text` is what it reads.
    "CREATE TABLE IF NOT EXISTS _ferry_op_text(
        entity TEXT NOT NULL, field TEXT NOT NULL, folded INTEGER NOT NULL, waiting TEXT NOT NULL,
        text TEXT NOT NULL, state BLOB NOT NULL,
        PRIMARY KEY(entity, field)) STRICT",
    "CREATE TABLE IF NOT EXISTS _ferry_op_links(
        add_id TEXT PRIMARY KEY, entity TEXT NOT NULL, field TEXT NOT NULL, target TEXT NOT NULL,
        removed INTEGER NOT NULL) STRICT, WITHOUT ROWID",
    "CREATE INDEX IF NOT EXISTS _ferry_op_links_entity ON _ferry_op_links(entity, field, target)",
    "CREATE INDEX IF NOT EXISTS _ferry_op_links_target ON _ferry_op_links(target)",
    "CREATE TABLE IF NOT EXISTS _ferry_op_conflicts(
        id TEXT PRIMARY KEY, entity TEXT NOT NULL, field TEXT NOT NULL, loser TEXT NOT NULL,
        open INTEGER NOT NULL) STRICT, WITHOUT ROWID",
    "CREATE INDEX IF NOT EXISTS _ferry_op_conflicts_entity ON _ferry_op_conflicts(entity, id)",
    "CREATE INDEX IF NOT EXISTS _ferry_op_conflicts_open ON _ferry_op_conflicts(id) WHERE open = 1",
    "CREATE TABLE IF NOT EXISTS _ferry_op_seen(
        id TEXT PRIMARY KEY, op_seq INTEGER NOT NULL, hlc TEXT NOT NULL, origin TEXT, entity TEXT, field TEXT)
        STRICT, WITHOUT ROWID",
    "CREATE INDEX IF NOT EXISTS _ferry_op_seen_hlc ON _ferry_op_seen(hlc)",
    "CREATE INDEX IF NOT EXISTS _ferry_op_seen_entity ON _ferry_op_seen(entity, field, origin, hlc)
        WHERE entity IS NOT NULL",
    "CREATE TABLE IF NOT EXISTS _ferry_op_quarantine(
        id TEXT PRIMARY KEY, code TEXT NOT NULL, release_ms INTEGER, origin TEXT, principal TEXT,
        via_shim INTEGER NOT NULL, received_ms INTEGER NOT NULL, raw BLOB NOT NULL) STRICT",
    "CREATE TABLE IF NOT EXISTS _ferry_op_origins(origin TEXT PRIMARY KEY, principal TEXT NOT NULL)
        STRICT, WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS _ferry_op_meta(key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID",
];

/// Made unless the application has given something these names. Of what was deleted only the entity itself is shown
/// (OPS-22); a field's value is JSON; a text is shown as of its last fold (see `merge::text`).
const VIEWS: &[&str] = &[
    "CREATE VIEW IF NOT EXISTS ops_entities(entity, type, deleted, hlc) AS
        SELECT entity, CASE WHEN json_valid(type) THEN type ->> '$' ELSE type END, dead, hlc
        FROM _ferry_op_entities",
    "CREATE VIEW IF NOT EXISTS ops_fields(entity, field, value, hlc) AS
        SELECT f.entity, f.field, f.value, f.hlc FROM _ferry_op_fields AS f
        JOIN _ferry_op_entities AS e ON e.entity = f.entity
        WHERE e.dead = 0 AND f.winner IS NOT NULL",
    "CREATE VIEW IF NOT EXISTS ops_links(entity, field, target) AS
        SELECT DISTINCT l.entity, l.field, l.target FROM _ferry_op_links AS l
        JOIN _ferry_op_entities AS e ON e.entity = l.entity
        LEFT JOIN _ferry_op_entities AS t ON t.entity = l.target
        WHERE l.removed = 0 AND e.dead = 0 AND coalesce(t.dead, 0) = 0",
    "CREATE VIEW IF NOT EXISTS ops_text(entity, field, text, hlc) AS
        SELECT t.entity, t.field, t.text, f.text_hlc FROM _ferry_op_text AS t
        JOIN _ferry_op_fields AS f ON f.entity = t.entity AND f.field = t.field
        JOIN _ferry_op_entities AS e ON e.entity = t.entity
        WHERE e.dead = 0",
];

/// Names of the views, and their columns.
pub const VIEW_COLUMNS: &[(&str, &[&str])] = &[
    ("ops_entities", &["entity", "type", "deleted", "hlc"]),
    ("ops_fields", &["entity", "field", "value", "hlc"]),
    ("ops_links", &["entity", "field", "target"]),
    ("ops_text", &["entity", "field", "text", "hlc"]),
];
/// Names of the views.
pub const VIEW_NAMES: &[&str] = &["ops_entities", "ops_fields", "ops_links", "ops_text"];

/// Tables that follow from the ops alone.
pub(super) const DERIVED: &[&str] = &[
    "_ferry_op_edges",
    "_ferry_op_entities",
    "_ferry_op_fields",
    "_ferry_op_heads",
    "_ferry_op_text",
    "_ferry_op_links",
    "_ferry_op_conflicts",
];

/// Makes tables and views where they are missing.
///
/// # Errors
/// What storage reports.
pub fn create<S: Sql>(sql: &S) -> Result<(), S::Error> {
    create_tables(sql)?;
    create_shim_index(sql)
}

/// The same for a spoke's store, every op of which would be written into an index that only hubs need.
///
/// # Errors
/// What storage reports.
pub(super) fn create_for_spoke<S: Sql>(sql: &S) -> Result<(), S::Error> {
    create_tables(sql)?;
    sql.execute("DROP INDEX IF EXISTS _ferry_ops_hlc", &[]).map(drop)
}

fn create_tables<S: Sql>(sql: &S) -> Result<(), S::Error> {
    if !exists(sql)? {
        VIEW_NAMES.iter().try_for_each(|view| empty_views::make_room(sql, view))?;
    }
    TABLES.iter().chain(VIEWS).try_for_each(|statement| sql.execute(statement, &[]).map(drop))
}

/// Makes the index that only hubs need.
///
/// # Errors
/// What storage reports.
pub(super) fn create_shim_index<S: Sql>(sql: &S) -> Result<(), S::Error> {
    sql.execute(SHIM_INDEX, &[]).map(drop)
}

/// Whether the tables are there.
///
/// # Errors
/// What storage reports.
pub fn exists<S: Sql>(sql: &S) -> Result<bool, S::Error> {
    let text = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = '_ferry_op_meta'";
    Ok(sql.first(text, &[], |_| Ok(()))?.is_some())
}
