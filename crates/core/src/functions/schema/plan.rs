//! The way from one schema to another, as steps, and what must be decided before it is gone.

use std::fmt::Write as _;

use super::model::ColumnType;

/// What a step does (functions specification, 2.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlanOp {
    /// A new table.
    CreateTable,
    /// A table goes, with its rows.
    DropTable,
    /// A table gets another name.
    RenameTable,
    /// A new column.
    AddColumn,
    /// A column goes, with its values.
    DropColumn,
    /// A column gets another name.
    RenameColumn,
    /// A table is copied into one of another make.
    RebuildTable,
    /// A new index.
    CreateIndex,
    /// An index goes.
    DropIndex,
    /// A new view, or a collection's.
    CreateView,
    /// A view goes, or a collection's.
    DropView,
    /// Rows get a value that they lack.
    Backfill,
    /// A statement of a migration file.
    RawSql,
}

impl PlanOp {
    /// The word on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CreateTable => "create_table",
            Self::DropTable => "drop_table",
            Self::RenameTable => "rename_table",
            Self::AddColumn => "add_column",
            Self::DropColumn => "drop_column",
            Self::RenameColumn => "rename_column",
            Self::RebuildTable => "rebuild_table",
            Self::CreateIndex => "create_index",
            Self::DropIndex => "drop_index",
            Self::CreateView => "create_view",
            Self::DropView => "drop_view",
            Self::Backfill => "backfill",
            Self::RawSql => "raw_sql",
        }
    }
}

/// One step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanStep {
    /// What it does.
    pub op: PlanOp,
    /// The table, view or collection; empty for a statement of a file.
    pub table: String,
    /// The column or index, where it is about one.
    pub column: Option<String>,
    /// What it runs, in order.
    pub statements: Vec<String>,
    /// Whether it takes away what rows hold.
    pub destructive: bool,
    /// Whether the table is copied.
    pub rebuild: bool,
    /// Rows of the table that it touches.
    pub rows: u64,
    /// Whether the statements are the hub's own, and work on its tables.
    pub of_hub: bool,
}

impl PlanStep {
    pub(super) fn new(op: PlanOp, table: &str, statements: Vec<String>) -> Self {
        Self {
            op,
            table: table.to_owned(),
            column: None,
            statements,
            destructive: false,
            rebuild: false,
            rows: 0,
            of_hub: false,
        }
    }

    pub(super) fn column(self, column: &str) -> Self {
        Self { column: Some(column.to_owned()), ..self }
    }

    /// All statements as one text.
    #[must_use]
    pub fn sql(&self) -> String {
        self.statements.join(";\n")
    }
}

/// Where the comparison would have to guess: nothing runs before it is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SchemaQuestion {
    /// Something is gone and something like it is new (FUN-65).
    Renamed {
        /// `users.name`, or a table.
        from: String,
        /// What it may be called now.
        to: Vec<String>,
    },
    /// Rows have no value for a column that needs one (FUN-64).
    Required {
        /// `users.age`.
        column: String,
        /// How many rows.
        rows: u64,
    },
    /// Values get another type (FUN-66).
    Cast {
        /// `users.zip`.
        column: String,
        /// The type now.
        from: ColumnType,
        /// The type to come.
        to: ColumnType,
    },
}

/// What a plan would take away (FUN-63).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemaLoss {
    /// `posts`, or `users.zip`.
    pub what: String,
    /// Whether it is a column.
    pub is_column: bool,
    /// Rows of the table, or values of the column.
    pub count: u64,
}

/// Values that would not be the same in another type (FUN-66).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LossyCast {
    /// The table.
    pub table: String,
    /// The column.
    pub column: String,
    /// The type now.
    pub from: ColumnType,
    /// The type to come.
    pub to: ColumnType,
    /// How many rows.
    pub rows: u64,
    /// Which: a condition over the table.
    pub condition: String,
}

/// The way from one schema to another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SchemaPlan {
    /// Renames, which come first: what else refers to the names is changed by SQLite.
    pub renames: Vec<PlanStep>,
    /// The other steps.
    pub steps: Vec<PlanStep>,
    /// What must be decided.
    pub questions: Vec<SchemaQuestion>,
    /// What is taken away, if anything is there.
    pub losses: Vec<SchemaLoss>,
    /// Conversions that are decided on, and would change values.
    pub lossy: Vec<LossyCast>,
    /// What makes it impossible, whatever is decided.
    pub impossible: Vec<String>,
    /// What the developer may want to know.
    pub warnings: Vec<String>,
    /// Whether views and triggers must be out of the way between the renames and the end: a table is gone for a moment.
    pub sets_aside: bool,
    /// Tables that stay: what they are called before, and behind the plan.
    pub kept: Vec<(String, String)>,
    /// Views that are collections, before or after: they know no table of the application, and stay.
    pub collections: Vec<String>,
}

impl SchemaPlan {
    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.renames.is_empty() && self.steps.is_empty()
    }

    /// All steps in order.
    pub fn all_steps(&self) -> impl Iterator<Item = &PlanStep> {
        self.renames.iter().chain(&self.steps)
    }

    /// Whether a backup comes first (FUN-67).
    #[must_use]
    pub fn needs_backup(&self) -> bool {
        self.all_steps().any(|step| step.destructive || step.rebuild)
    }

    /// Why it cannot run as it stands, as people read it; `None`: it can. Losses count unless they are allowed.
    #[must_use]
    pub fn open_decisions(&self, allow_destructive: bool) -> Option<String> {
        let mut text = self.impossible.join("\n");
        let mut section = |title: &str, lines: Vec<String>| {
            if !lines.is_empty() {
                let separator = if text.is_empty() { "" } else { "\n" };
                let _ = write!(text, "{separator}{title}");
                lines.iter().for_each(|line| {
                    let _ = write!(text, "\n  {line}");
                });
            }
        };
        let of = |line: fn(&SchemaQuestion) -> Option<String>| {
            self.questions.iter().filter_map(line).collect::<Vec<_>>()
        };
        let mut casts = of(cast_line);
        casts.extend(self.lossy.iter().map(|lossy| {
            let LossyCast { table, column, from, to, rows, .. } = lossy;
            format!("{table}.{column}: {from} → {to} ({rows} rows would lose something)")
        }));
        section("Column type changes need a decision:", casts);
        section("Renamed, or removed and added?", of(rename_line));
        section("Required columns need a value for the rows that are there:", of(required_line));
        if !allow_destructive {
            section(
                "This would lose data; allow it with --allow-destructive:",
                self.losses.iter().map(loss_line).collect(),
            );
        }
        (!text.is_empty()).then_some(text)
    }
}

fn cast_line(question: &SchemaQuestion) -> Option<String> {
    match question {
        SchemaQuestion::Cast { column, from, to } => Some(format!("{column}: {from} → {to}")),
        _ => None,
    }
}

fn rename_line(question: &SchemaQuestion) -> Option<String> {
    let SchemaQuestion::Renamed { from, to } = question else { return None };
    let renames: Vec<String> = to.iter().map(|to| format!("--rename {from}={to}")).collect();
    Some(format!("{from}: {} or --drop {from}", renames.join(" or ")))
}

fn required_line(question: &SchemaQuestion) -> Option<String> {
    let SchemaQuestion::Required { column, rows } = question else { return None };
    Some(format!("{column}: {rows} rows; give it a default, or --backfill {column}=<json>"))
}

fn loss_line(loss: &SchemaLoss) -> String {
    let unit = match (loss.is_column, loss.count) {
        (true, 1) => "value",
        (true, _) => "values",
        (false, 1) => "row",
        (false, _) => "rows",
    };
    let kind = if loss.is_column { "column" } else { "table" };
    format!("{kind} {}: {} {unit}", loss.what, loss.count)
}
