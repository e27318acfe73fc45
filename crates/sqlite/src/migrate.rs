//! Schema migrations: numbered batches of SQL, applied in order, each in its own transaction. The number
//! reached is kept in `PRAGMA user_version`.

use rusqlite::Connection;

use crate::{Error, Result};

/// The state of a file's schema against the migrations that this program knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SchemaState {
    /// Nothing to do.
    Current,
    /// This many migrations have not run.
    Pending(usize),
    /// The file was written by a newer program, which knew this many migrations.
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
        None => SchemaState::Newer(done),
    })
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
        let transaction = connection.transaction()?;
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
