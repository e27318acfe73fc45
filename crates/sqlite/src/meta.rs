//! What every database of the hub has.

/// The table that every database of the hub has.
pub(crate) const META: &str =
    "CREATE TABLE IF NOT EXISTS _ferry_meta(key TEXT PRIMARY KEY, value ANY) STRICT, WITHOUT ROWID;
     INSERT OR IGNORE INTO _ferry_meta VALUES ('seq', 0);";
