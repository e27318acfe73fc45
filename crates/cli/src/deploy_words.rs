//! What people read of a deployment: its steps, and why it was not made, with the statement and a caret.

use ferry_client::{
    ClientError, ClientErrorCode,
    functions::{DeployRefused, PlannedStep},
};
use ferry_types::Code;

use crate::{failure::Failure, output};

/// Rows that are shown of those that a statement failed for.
const ROWS_MAX: usize = 5;
/// Lines of a statement that are shown before the one that is wrong.
const LINES_BEFORE: usize = 4;

/// Whether something must be decided.
pub(crate) fn is_decision(refused: &DeployRefused) -> bool {
    refused.error.code == ClientErrorCode::Table(Code::FailedPrecondition)
}

/// Shows what is done to the schema, a line each.
pub(crate) fn tell_steps(steps: &[PlannedStep]) -> Result<(), Failure> {
    steps.iter().try_for_each(|step| output::line(step_line(step)))
}

fn step_line(step: &PlannedStep) -> String {
    let mark = if step.destructive { '-' } else { '+' };
    let place = match &step.column {
        Some(column) if step.table != *column => format!("{}.{column}", step.table),
        _ => step.table.clone(),
    };
    let rows = match step.rows {
        0 => String::new(),
        1 => " (1 row)".to_owned(),
        rows => format!(" ({} rows)", output::count(rows)),
    };
    let place = if place.is_empty() { step.sql.lines().next().unwrap_or_default() } else { &place };
    format!("  {mark} {} {place}{rows}", step.op.replace('_', " "))
}

/// Shows why a deployment was not made.
pub(crate) fn tell_refusal(refused: &DeployRefused) -> Result<(), Failure> {
    let place = match (&refused.migration, refused.statement) {
        (Some(migration), Some(statement)) => format!("migration {migration}, statement {statement}: "),
        _ => String::new(),
    };
    output::block(format_args!("{place}{}", refused.error.message))?;
    if let Some(sql) = &refused.sql {
        marked(sql, &refused.error.message)
            .iter()
            .try_for_each(|line| output::line(format_args!("  {line}")))?;
    }
    for row in refused.rows.iter().take(ROWS_MAX) {
        output::line(format_args!("  row {row}"))?;
    }
    Ok(())
}

/// The failure of a command whose deployment was refused: what takes more than a line is told here.
pub(crate) fn failure(refused: DeployRefused, json: bool) -> Failure {
    let DeployRefused { mut error, sql, rows, .. } = refused;
    if !json {
        if let Some(sql) = &sql {
            marked(sql, &error.message).iter().for_each(|line| output::note(format_args!("  {line}")));
        }
        rows.iter().take(ROWS_MAX).for_each(|row| output::note(format_args!("  row {row}")));
        shorten(&mut error);
    }
    error.into()
}

/// The same of a failure that is not the hub's.
pub(crate) fn explained(failure: Failure, json: bool) -> Failure {
    match failure {
        Failure::Client(mut error) if !json => {
            shorten(&mut error);
            Failure::Client(error)
        }
        failure => failure,
    }
}

/// Tells a message of several lines, and leaves what fits one.
fn shorten(error: &mut ClientError) {
    if error.message.contains('\n') {
        error.message.lines().for_each(output::note);
        let is_decision = error.code == ClientErrorCode::Table(Code::FailedPrecondition);
        let short =
            if is_decision { "a decision is needed: nothing was changed" } else { "nothing was changed" };
        short.clone_into(&mut error.message);
    }
}

/// A statement up to the line that SQLite's message is about, with a caret below the word that it names.
fn marked(sql: &str, message: &str) -> Vec<String> {
    let lines: Vec<String> = sql.lines().map(|line| line.replace('\t', "  ")).collect();
    let found = culprit(message).and_then(|word| {
        lines.iter().enumerate().find_map(|(number, line)| Some((number, find_word(line, word)?)))
    });
    let Some((number, at)) = found else { return lines.into_iter().take(LINES_BEFORE + 1).collect() };
    let mut shown: Vec<String> = lines[number.saturating_sub(LINES_BEFORE)..=number].to_vec();
    shown.push(format!("{}^", " ".repeat(lines[number][..at].chars().count())));
    shown
}

/// The word that SQLite's message names.
fn culprit(message: &str) -> Option<&str> {
    if let Some((_, rest)) = message.split_once("near \"") {
        return rest.split('"').next().filter(|word| !word.is_empty());
    }
    let marks = ["no such column: ", "no such table: ", "no such function: ", "no such index: ", "failed: "];
    let rest = marks.iter().find_map(|mark| Some(message.split_once(mark)?.1))?;
    let name = rest.split([' ', ',', '\n', ';']).next()?.trim_matches('"');
    name.rsplit('.').next().filter(|word| !word.is_empty())
}

/// Where a word stands in a line, not as a part of another.
fn find_word(line: &str, word: &str) -> Option<usize> {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    let is_alone = |at: &usize| {
        let before = line[..*at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        !word.starts_with(is_part) || !before.is_some_and(is_part) && !after.is_some_and(is_part)
    };
    line.match_indices(word).map(|(at, _)| at).find(is_alone)
}

#[cfg(test)]
mod tests {
    use super::*;

    // Verifies: FUN-71
    #[test]
    fn a_statement_is_shown_with_a_caret_below_what_is_wrong() {
        let sql = "CREATE VIEW v AS\n  SELECT named, nam FROM t";
        let shown = marked(sql, "no such column: t.nam");
        assert_eq!(shown, ["CREATE VIEW v AS", "  SELECT named, nam FROM t", "                ^"]);
        assert_eq!(marked("SELEC 1", "near \"SELEC\": syntax error"), ["SELEC 1", "^"]);
        assert_eq!(marked("DROP TABLE t", "something else"), ["DROP TABLE t"]);
    }
}
