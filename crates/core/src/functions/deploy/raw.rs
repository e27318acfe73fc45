//! Migration files, run statement by statement, and what they may not do unasked: take rows away.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::ControlFlow,
};

use super::{
    aside::Aside,
    checks,
    failure::{DeployRefusal, MigrationFailure},
    files::MigrationFile,
    sample,
    statement::{RunStatement, statements as run_all},
};
use crate::{
    functions::schema::{
        ExistingSchema, SchemaLoss, SchemaPlan, SchemaWords, SqlStatement, reserved, same_name, statements,
    },
    sql::Sql,
    sql_text::identifier,
};

/// Pragmas of files that were written for other runners, which need them; here no foreign key acts anyway.
const SKIPPED_PRAGMAS: [&str; 3] = ["foreign_keys", "defer_foreign_keys", "legacy_alter_table"];

/// Whether a file does more than to add.
pub(super) fn changes_what_is_there(file: &MigrationFile) -> bool {
    statements(&file.sql)
        .iter()
        .any(|statement| !matches!(statement.words(), SchemaWords::Adds | SchemaWords::Pragma { .. }))
}

/// Runs files in their order. On `Ok(Err(…))` the transaction holds a part of them, and must be undone.
pub(super) fn run<S: Sql>(
    sql: &S,
    run: &mut RunStatement<'_, S::Error>,
    files: &[&MigrationFile],
    collections: &[String],
    allow_destructive: bool,
) -> Result<Result<(), DeployRefusal>, S::Error> {
    let (before, of_hub) = (ExistingSchema::read(sql)?, hubs(sql)?);
    let changes = files.iter().any(|file| changes_what_is_there(file));
    let mut contents = if changes { Contents::of(sql, &before)? } else { Contents::default() };
    for file in files {
        if let Err(failure) = run_file(sql, run, file, collections, &mut contents)? {
            return Ok(Err(DeployRefusal::Failed(failure)));
        }
    }
    let after = ExistingSchema::read(sql)?;
    if let Some([kind, name, table, _]) = hubs(sql)?.symmetric_difference(&of_hub).next() {
        let reason = reserved::reason(name).or_else(|| reserved::reason(table)).unwrap_or_default();
        return Ok(Err(DeployRefusal::conflict(format!("{kind} {name}: {reason}"))));
    }
    let losses = contents.losses(&after);
    if !losses.is_empty() && !allow_destructive {
        let plan = SchemaPlan { losses, ..SchemaPlan::default() };
        let message = plan.open_decisions(false).unwrap_or_default();
        return Ok(Err(DeployRefusal::conflict(message)));
    }
    let found = match contents.copied(sql, &after)? {
        None => checks::is_sound(sql)?,
        found => found,
    };
    Ok(found.map_or(Ok(()), |failure| Err(DeployRefusal::Failed(failure))))
}

fn run_file<S: Sql>(
    sql: &S,
    run: &mut RunStatement<'_, S::Error>,
    file: &MigrationFile,
    collections: &[String],
    contents: &mut Contents,
) -> Result<Result<(), MigrationFailure>, S::Error> {
    let all = statements(&file.sql);
    let words: Vec<SchemaWords> = all.iter().map(SqlStatement::words).collect();
    // What waits until the table that is copied has its name again.
    let mut aside: Option<(String, Aside)> = None;
    for (number, statement) in all.iter().enumerate() {
        match &words[number] {
            SchemaWords::Pragma { name } if SKIPPED_PRAGMAS.contains(&&**name) => continue,
            SchemaWords::DropTable { table }
                if aside.is_none() && is_named_again(table, &words[number..]) =>
            {
                let found = Aside::of(sql, collections, &[])?;
                if let Err(failure) = run_all(sql, run, &found.drops())? {
                    return Ok(Err(failed(file, number, statement, failure)));
                }
                aside = Some((table.clone(), found));
            }
            _ => {}
        }
        if let Err(message) = run(statement.text)? {
            let rows = sample::of_failure(sql, &message)?;
            let failure = MigrationFailure { rows, ..MigrationFailure::new(message) };
            return Ok(Err(failed(file, number, statement, failure)));
        }
        contents.follow(&words[number]);
        if let SchemaWords::RenameTable { to, .. } = &words[number]
            && let Some((_, found)) = aside.take_if(|(table, _)| same_name(table, to))
            && let Err(failure) = found.restore(sql, run)?
        {
            return Ok(Err(failed(file, number, statement, failure)));
        }
    }
    Ok(Ok(()))
}

/// Whether another table gets the name of one that is dropped: it is copied.
fn is_named_again(table: &str, words: &[SchemaWords]) -> bool {
    words.iter().any(|words| matches!(words, SchemaWords::RenameTable { to, .. } if same_name(to, table)))
}

fn failed(
    file: &MigrationFile,
    number: usize,
    statement: &SqlStatement<'_>,
    failure: MigrationFailure,
) -> MigrationFailure {
    let message = failure.message;
    MigrationFailure {
        message: format!("{}: statement {}, line {}: {message}", file.id, number + 1, statement.line),
        migration: Some(file.id.clone()),
        statement: Some(number + 1),
        sql: failure.sql.or_else(|| Some(statement.text.to_owned())),
        rows: failure.rows,
    }
}

/// What is in the schema under names of the hub's, or belongs to a table of the hub's: kind, name, table, SQL.
fn hubs<S: Sql>(sql: &S) -> Result<BTreeSet<[String; 4]>, S::Error> {
    let mut found = BTreeSet::new();
    let all = "SELECT type, name, tbl_name, coalesce(sql, '') FROM sqlite_schema WHERE name NOT LIKE 'sqlite!_%' ESCAPE '!'";
    sql.query(all, &[], &mut |row| {
        let text = |column| row.text(column).map(str::to_owned);
        let object = [text(0)?, text(1)?, text(2)?, text(3)?];
        if reserved::is_reserved(&object[1]) || reserved::is_reserved(&object[2]) {
            found.insert(object);
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(found)
}

/// What filled tables held before the files: their rows, and the values of each column.
#[derive(Default)]
struct Contents {
    tables: Vec<FilledTable>,
}

struct FilledTable {
    /// What it is called by now.
    name: String,
    rows: u64,
    /// Values by what the column is called by now.
    columns: BTreeMap<String, u64>,
    /// It was dropped on the way: if it is there at the end, it was copied.
    was_dropped: bool,
}

impl Contents {
    fn of<S: Sql>(sql: &S, existing: &ExistingSchema) -> Result<Self, S::Error> {
        let mut tables = Vec::new();
        for table in &existing.tables {
            let schema = &table.schema;
            let plain: Vec<&str> = schema
                .columns
                .iter()
                .filter(|column| column.generated.is_none())
                .map(|column| &*column.name)
                .collect();
            let counts: Vec<String> =
                plain.iter().map(|name| format!("count({})", identifier(name))).collect();
            let text = format!("SELECT count(*), {} FROM {}", counts.join(", "), identifier(&schema.name));
            let counted = sql.first(&text, &[], |row| {
                let count = |at| Ok::<u64, crate::sql::Damaged>(u64::try_from(row.integer(at)?).unwrap_or(0));
                let columns = plain.iter().enumerate();
                let columns = columns.map(|(at, name)| Ok((name.to_ascii_lowercase(), count(at + 1)?)));
                Ok((count(0)?, columns.collect::<Result<BTreeMap<_, _>, crate::sql::Damaged>>()?))
            })?;
            if let Some((rows, columns)) = counted.filter(|(rows, _)| *rows > 0) {
                let name = schema.name.to_ascii_lowercase();
                tables.push(FilledTable { name, rows, columns, was_dropped: false });
            }
        }
        Ok(Self { tables })
    }

    fn table(&mut self, name: &str) -> Option<&mut FilledTable> {
        let name = name.to_ascii_lowercase();
        self.tables.iter_mut().find(|table| table.name == name && !table.was_dropped)
    }

    fn follow(&mut self, words: &SchemaWords) {
        match words {
            SchemaWords::RenameTable { table, to } => {
                if let Some(table) = self.table(table) {
                    table.name = to.to_ascii_lowercase();
                }
            }
            SchemaWords::RenameColumn { table, column, to } => {
                if let Some(table) = self.table(table)
                    && let Some(values) = table.columns.remove(&column.to_ascii_lowercase())
                {
                    table.columns.insert(to.to_ascii_lowercase(), values);
                }
            }
            SchemaWords::DropTable { table } => {
                if let Some(table) = self.table(table) {
                    table.was_dropped = true;
                }
            }
            SchemaWords::Pragma { .. } | SchemaWords::Adds | SchemaWords::Other => {}
        }
    }

    /// Filled tables and columns that are not there any more.
    fn losses(&self, after: &ExistingSchema) -> Vec<SchemaLoss> {
        let mut losses = Vec::new();
        for FilledTable { name, rows, columns, .. } in &self.tables {
            let Some(table) = after.table(name) else {
                losses.push(SchemaLoss { what: name.clone(), is_column: false, count: *rows });
                continue;
            };
            let gone = columns
                .iter()
                .filter(|(column, values)| **values > 0 && table.schema.column(column).is_none());
            losses.extend(gone.map(|(column, values)| SchemaLoss {
                what: format!("{name}.{column}"),
                is_column: true,
                count: *values,
            }));
        }
        losses
    }

    /// A table that was copied and lost rows thereby (FUN-62).
    fn copied<S: Sql>(&self, sql: &S, after: &ExistingSchema) -> Result<Option<MigrationFailure>, S::Error> {
        let copied =
            self.tables.iter().filter(|table| table.was_dropped && after.table(&table.name).is_some());
        for table in copied {
            let rows = checks::count(sql, &table.name)?;
            if rows < table.rows {
                let message = format!("{} had {} rows and would have {rows}", table.name, table.rows);
                return Ok(Some(MigrationFailure::new(message)));
            }
        }
        Ok(None)
    }
}
