//! Views of a sync model that a database does not have yet: whoever reads them finds them empty, and learns of the first row.

use crate::sql::Sql;

/// What such a view shows: no row of an engine's table that all databases have, by which it is known for an engine's.
const NO_ROWS: &str = "FROM _ferry_meta WHERE 0 /* until there are some */";

/// Makes it, unless something has its name.
///
/// # Errors
/// What storage reports.
pub(crate) fn create<S: Sql>(sql: &S, view: &str, columns: &[&str]) -> Result<(), S::Error> {
    // A column of the table: by what is read through a view SQLite tells of it.
    let (names, keys) = (columns.join(", "), vec!["key"; columns.len()].join(", "));
    let text = format!("CREATE VIEW IF NOT EXISTS {view}({names}) AS SELECT {keys} {NO_ROWS}");
    sql.execute(&text, &[]).map(drop)
}

/// Removes it, so that the view of what there is now can take its place.
///
/// # Errors
/// What storage reports.
pub(crate) fn make_room<S: Sql>(sql: &S, view: &str) -> Result<(), S::Error> {
    let empty = "SELECT 1 FROM sqlite_master WHERE type = 'view' AND name = ?1 AND instr(sql, ?2) > 0";
    if sql.first(empty, &[view.into(), NO_ROWS.into()], |_| Ok(()))?.is_some() {
        sql.execute(&format!("DROP VIEW {view}"), &[])?;
    }
    Ok(())
}
