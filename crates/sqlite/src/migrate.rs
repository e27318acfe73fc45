//! Schema migrations: numbered batches of SQL, applied in order, each in its own transaction. The number
//! reached is kept in `PRAGMA user_version`; beside it, in `_ferry_meta`, the oldest schema whose program may still write the
//! file, so that a program may be put back to an earlier one.

use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior};

use crate::{Error, Result};

/// Key of the oldest schema whose program may write the file, in `_ferry_meta`.
const MIN_READER: &str = "min_reader";

/// The state of a file's schema against the migrations that this program knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SchemaState {
    /// Nothing to do.
    Current,
    /// This many migrations have not run.
    Pending(usize),
    /// A newer program wrote the file, which knew this many migrations, and lets this one write it.
    Compatible(usize),
    /// A newer program wrote the file, which knew this many migrations.
    Newer(usize),
}

fn version(connection: &Connection) -> Result<usize> {
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    usize::try_from(version).map_err(|_| Error::Damaged(format!("user_version is {version}")))
}

/// Compares the file's schema with `migrations`, changing nothing.
///
/// # Errors
/// When SQLite cannot read the file.
pub fn state(connection: &Connection, migrations: &[&str]) -> Result<SchemaState> {
    let done = version(connection)?;
    Ok(match migrations.len().checked_sub(done) {
        Some(0) => SchemaState::Current,
        Some(pending) => SchemaState::Pending(pending),
        None if min_reader(connection)?.is_some_and(|oldest| oldest <= migrations.len()) => {
            SchemaState::Compatible(done)
        }
        None => SchemaState::Newer(done),
    })
}

/// Whether the migrations that have not run take the file from the programs that write it now: those of schema `oldest` and later
/// may still write it then.
///
/// # Errors
/// When SQLite cannot read the file.
pub fn takes_away(connection: &Connection, migrations: &[&str], oldest: usize) -> Result<bool> {
    let done = version(connection)?;
    Ok(done > 0 && done < oldest && matches!(state(connection, migrations)?, SchemaState::Pending(_)))
}

/// The oldest schema whose program may write the file, if that is noted.
fn min_reader(connection: &Connection) -> Result<Option<usize>> {
    if !connection.table_exists(None, "_ferry_meta")? {
        return Ok(None);
    }
    let sql = "SELECT value FROM _ferry_meta WHERE key = ?1 AND typeof(value) = 'integer'";
    let noted: Option<i64> = connection.query_row(sql, [MIN_READER], |row| row.get(0)).optional()?;
    Ok(noted.and_then(|noted| usize::try_from(noted).ok()))
}

/// [`run`], and notes that programs of schema `oldest` and later may write the file. What a newer program noted stays.
///
/// # Errors
/// As for [`run`].
pub fn run_noting(connection: &mut Connection, migrations: &[&str], oldest: usize) -> Result<()> {
    run(connection, migrations)?;
    if state(connection, migrations)? == SchemaState::Current && min_reader(connection)? != Some(oldest) {
        let oldest = i64::try_from(oldest).expect("BUG: so many migrations");
        connection.execute(
            "INSERT OR REPLACE INTO _ferry_meta VALUES (?1, ?2)",
            rusqlite::params![MIN_READER, oldest],
        )?;
    }
    Ok(())
}

/// Runs the migrations that have not run yet.
///
/// # Errors
/// When a newer program wrote the file, or a migration fails; what ran before it stays.
pub fn run(connection: &mut Connection, migrations: &[&str]) -> Result<()> {
    if let SchemaState::Newer(done) = state(connection, migrations)? {
        return Err(Error::Damaged(format!(
            "the schema has version {done}, this program knows {}: it was written by a newer ferry",
            migrations.len()
        )));
    }
    let done = version(connection)?;
    for (index, migration) in migrations.iter().enumerate().skip(done) {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        // Another process may have opened the file at the same moment.
        if version(&transaction)? > index {
            continue;
        }
        transaction.execute_batch(migration)?;
        transaction.pragma_update(None, "user_version", index + 1)?;
        transaction.commit()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_migration_runs_once_and_newer_files_are_refused() {
        let mut connection = Connection::open_in_memory().unwrap();
        let all = ["CREATE TABLE a(x)", "CREATE TABLE b(x)"];
        run(&mut connection, &all[..1]).unwrap();
        assert_eq!(state(&connection, &all).unwrap(), SchemaState::Pending(1));
        run(&mut connection, &all).unwrap();
        run(&mut connection, &all).unwrap();
        assert_eq!(state(&connection, &all).unwrap(), SchemaState::Current);
        assert_eq!(state(&connection, &all[..1]).unwrap(), SchemaState::Newer(2));
        assert!(run(&mut connection, &all[..1]).is_err());
    }

    // Verifies: OPR-77
    #[test]
    fn a_program_may_be_put_back_as_far_as_the_newer_one_lets_it() {
        let mut connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(crate::meta::META).unwrap();
        let all = ["CREATE TABLE a(x)", "CREATE TABLE b(x)", "CREATE TABLE c(x)"];
        run_noting(&mut connection, &all, 2).unwrap();
        assert_eq!(state(&connection, &all[..2]).unwrap(), SchemaState::Compatible(3));
        run_noting(&mut connection, &all[..2], 1).unwrap();
        assert_eq!(state(&connection, &all[..1]).unwrap(), SchemaState::Newer(3), "what was noted stays");
        assert!(run_noting(&mut connection, &all[..1], 1).is_err());
        run_noting(&mut connection, &all, 3).unwrap();
        assert_eq!(state(&connection, &all[..2]).unwrap(), SchemaState::Newer(3));
    }

    #[test]
    fn a_failed_migration_leaves_what_was_there() {
        let mut connection = Connection::open_in_memory().unwrap();
        let all = ["CREATE TABLE a(x)", "CREATE TABLE b(x); INSERT INTO missing VALUES (1)"];
        assert!(run(&mut connection, &all).is_err());
        assert_eq!(state(&connection, &all).unwrap(), SchemaState::Pending(1));
        connection.execute("INSERT INTO a VALUES (1)", []).unwrap();
        assert!(connection.execute("INSERT INTO b VALUES (1)", []).is_err());
    }
}
