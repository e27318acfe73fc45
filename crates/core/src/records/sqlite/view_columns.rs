//! The columns of the views of collections, as `_ferry_meta` keeps them, and the names of those views.

use std::fmt::Write as _;

use ferry_types::limits::{RECORDS_VIEW_COLUMN_MAX_BYTES, RECORDS_VIEW_MAX_COLUMNS};

use super::{super::record::DELETED_AT, SqliteRecords};
use crate::sql::Sql;

/// What the key of a view in `_ferry_meta` begins with, its name behind.
const KEY: &str = "view:";

/// Columns of every view that are no fields.
const OWN_COLUMNS: [&str; 5] = ["id", "_owner", "_space", "_updated_at", "_extra"];

/// Name of a collection's view: bytes outside of `[a-z0-9]` are written `_hh`, so that no two share a name.
#[must_use]
pub fn view_name(app: &str, coll: &str) -> String {
    let mut name = String::from("records_");
    spell(&mut name, app);
    name.push_str("__");
    spell(&mut name, coll);
    name
}

/// The key of a collection's view in `_ferry_meta`.
pub(super) fn key(app: &str, coll: &str) -> String {
    format!("{KEY}{}", view_name(app, coll))
}

/// The columns of a view that are fields, a line each: no name holds a line feed, it would be escaped.
pub(super) struct ViewColumns {
    text: String,
    pub(super) count: usize,
}

impl ViewColumns {
    pub(super) fn read(text: &str) -> Self {
        Self { text: text.to_owned(), count: text.lines().count() }
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.text.lines()
    }

    /// Adds a field if it gets a column: SQL must be able to name it, alone, in a JSON path between quotes.
    pub(super) fn add(&mut self, field: &str) {
        let taken = |name: &str| name.eq_ignore_ascii_case(field);
        if self.count < RECORDS_VIEW_MAX_COLUMNS && may_be_column(field) && !self.names().any(taken) {
            if self.count > 0 {
                self.text.push('\n');
            }
            self.text.push_str(field);
            self.count += 1;
        }
    }
}

/// Whether a field, as it stands between the quotes, may be a column of a view.
fn may_be_column(field: &str) -> bool {
    !field.is_empty()
        && field.len() <= RECORDS_VIEW_COLUMN_MAX_BYTES
        && !field.contains('\\')
        && field != DELETED_AT
        && !OWN_COLUMNS.iter().any(|name| name.eq_ignore_ascii_case(field))
}

/// Whether a field that is called so may be a column of a view: it is spelled the same between quotes.
#[must_use]
pub fn is_view_column(name: &str) -> bool {
    let is_plain = |c: char| c != '"' && c != '/' && !c.is_control();
    name.chars().all(is_plain) && may_be_column(name)
}

fn spell(name: &mut String, text: &str) {
    for byte in text.bytes() {
        if byte.is_ascii_lowercase() || byte.is_ascii_digit() {
            name.push(char::from(byte));
        } else {
            let _ = write!(name, "_{byte:02x}");
        }
    }
}

/// Remembers the columns of a collection's view.
pub(super) fn set_columns<S: Sql>(
    store: &SqliteRecords<'_, S>,
    app: &str,
    coll: &str,
    columns: &ViewColumns,
) -> Result<(), S::Error> {
    store.set_meta(&key(app, coll), (&*columns.text).into())
}

/// Collections with a view.
pub(super) fn count<S: Sql>(sql: &S) -> Result<usize, S::Error> {
    let all = "SELECT count(*) FROM _ferry_meta WHERE key >= 'view:' AND key < 'view;'";
    let found = sql.first(all, &[], |row| Ok(row.integer(0)?))?;
    Ok(usize::try_from(found.unwrap_or(0)).unwrap_or(usize::MAX))
}
