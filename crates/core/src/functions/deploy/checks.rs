//! What must be true when a migration is done, or all of it is undone (FUN-62).

use std::ops::ControlFlow;

use super::{
    failure::MigrationFailure,
    sample::{damage, orphans},
    statement::RunStatement,
};
use crate::{
    functions::schema::{ExistingSchema, SchemaObject, TriggerEvent, same_name},
    sql::Sql,
    sql_text::identifier,
};

/// Rows of tables before a migration.
pub(super) struct RowCounts(Vec<(String, u64)>);

impl RowCounts {
    /// Counts the rows of these tables, which are read under the first name and will have the second.
    pub(super) fn of<'a, S: Sql>(
        sql: &S,
        tables: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, S::Error> {
        let counted = tables.map(|(now, then)| Ok((then.to_owned(), count(sql, now)?)));
        counted.collect::<Result<_, S::Error>>().map(Self)
    }

    /// The table that lost or got rows since, if there is one.
    pub(super) fn compare<S: Sql>(&self, sql: &S) -> Result<Option<MigrationFailure>, S::Error> {
        for (table, before) in &self.0 {
            let after = count(sql, table)?;
            if after != *before {
                let message = format!("{table} had {before} rows and would have {after}");
                return Ok(Some(MigrationFailure::new(message)));
            }
        }
        Ok(None)
    }
}

/// Rows of a table.
pub(super) fn count<S: Sql>(sql: &S, table: &str) -> Result<u64, S::Error> {
    let text = format!("SELECT count(*) FROM {}", identifier(table));
    let found = sql.first(&text, &[], |row| Ok(row.integer(0)?))?;
    Ok(found.and_then(|count| u64::try_from(count).ok()).unwrap_or(0))
}

/// Whether every foreign key leads somewhere and the file is sound.
pub(super) fn is_sound<S: Sql>(sql: &S) -> Result<Option<MigrationFailure>, S::Error> {
    let orphans = orphans(sql)?;
    if !orphans.is_empty() {
        let message = "FOREIGN KEY constraint failed: rows refer to others that are not there";
        return Ok(Some(MigrationFailure { rows: orphans, ..MigrationFailure::new(message) }));
    }
    Ok(damage(sql)?.map(|found| MigrationFailure::new(format!("the file is not sound afterwards: {found}"))))
}

/// Whether every view can be read and every trigger can run: SQLite itself looks only when one is used.
pub(super) fn all_work<S: Sql>(
    sql: &S,
    run: &mut RunStatement<'_, S::Error>,
    existing: &ExistingSchema,
    except: &[String],
) -> Result<Option<MigrationFailure>, S::Error> {
    let is_ours = |name: &str| except.iter().any(|ours| same_name(ours, name));
    let views = existing.objects.iter().filter(|object| object.kind == "view" && !is_ours(&object.name));
    for view in views {
        let read = format!("EXPLAIN SELECT * FROM {}", identifier(&view.name));
        if let Err(message) = run(&read)? {
            return Ok(Some(broken(view, &message)));
        }
    }
    let triggers =
        existing.objects.iter().filter(|object| object.kind == "trigger" && !is_ours(&object.table));
    for trigger in triggers {
        let Some(event) = TriggerEvent::of(&trigger.sql) else { continue };
        if let Some(write) = write_of(sql, &trigger.table, event)?
            && let Err(message) = run(&write)?
        {
            return Ok(Some(broken(trigger, &message)));
        }
    }
    Ok(None)
}

/// A statement that compiles the triggers of a table, and changes nothing.
fn write_of<S: Sql>(sql: &S, table: &str, event: TriggerEvent) -> Result<Option<String>, S::Error> {
    let name = identifier(table);
    Ok(Some(match event {
        TriggerEvent::Delete => format!("EXPLAIN DELETE FROM {name}"),
        TriggerEvent::Insert => format!("EXPLAIN INSERT INTO {name} DEFAULT VALUES"),
        TriggerEvent::Update => {
            let plain = "SELECT name FROM pragma_table_xinfo(?1) WHERE hidden = 0";
            let mut sets = Vec::new();
            sql.query(plain, &[table.into()], &mut |row| {
                let column = identifier(row.text(0)?);
                sets.push(format!("{column} = {column}"));
                Ok(ControlFlow::Continue(()))
            })?;
            if sets.is_empty() {
                return Ok(None);
            }
            format!("EXPLAIN UPDATE {name} SET {}", sets.join(", "))
        }
    }))
}

fn broken(object: &SchemaObject, message: &str) -> MigrationFailure {
    let SchemaObject { kind, name, sql, .. } = object;
    MigrationFailure {
        sql: Some(sql.clone()),
        ..MigrationFailure::new(format!("{kind} {name} does not work: {message}"))
    }
}
