//! From what a file holds to what is declared. What was never declared is left alone; what would have to be guessed is
//! asked (FUN-60 to FUN-66).

use std::collections::BTreeSet;

use super::{
    changes::TableChange,
    collections, create,
    expression::{is_constant, is_null, normal, same_option, same_sql},
    facts::{Facts, loses},
    hints::Hints,
    model::{ColumnSchema, DatabaseSchema, IndexSchema, TableSchema, same_name},
    parse::ParsedTable,
    plan::{LossyCast, PlanOp, PlanStep, SchemaLoss, SchemaPlan, SchemaQuestion},
    read::ExistingSchema,
    rebuild, renames,
};
use crate::{sql::Sql, sql_text::identifier};

/// The plan that brings a database from what it holds to `target`. `owned` is what was declared before: of that alone
/// something may be removed.
///
/// # Errors
/// What storage reports.
pub fn diff<S: Sql>(
    facts: &Facts<'_, S>,
    before: &ExistingSchema,
    owned: Option<&DatabaseSchema>,
    target: &DatabaseSchema,
    hints: &Hints,
) -> Result<SchemaPlan, S::Error> {
    let renames = renames::of(before, &target.tables, hints);
    let existing = renames.applied(before);
    let collections = owned.into_iter().chain([target]).flat_map(|schema| &schema.collections);
    let mut plan = SchemaPlan {
        renames: renames.steps(before),
        warnings: renames.unused.clone(),
        collections: collections.map(|collection| collection.name.clone()).collect(),
        ..SchemaPlan::default()
    };
    let mut diff =
        Diff { facts, renames: &renames, existing: &existing, owned, target, hints, plan: &mut plan };
    diff.run()?;
    let is_dropped = |table: &str| {
        plan.steps.iter().any(|step| step.op == PlanOp::DropTable && same_name(&step.table, table))
    };
    let triggers = existing.objects.iter().filter(|object| object.kind == "trigger");
    let going: Vec<String> = triggers
        .filter(|trigger| is_dropped(&trigger.table))
        .map(|trigger| format!("trigger {} goes with its table {}", trigger.name, trigger.table))
        .collect();
    let stay = existing.tables.iter().map(|table| &table.schema.name).filter(|name| !is_dropped(name));
    let kept = stay.map(|name| (renames.old_table(name).to_owned(), name.clone())).collect();
    plan.warnings.extend(going);
    plan.kept = kept;
    Ok(plan)
}

struct Diff<'a, S> {
    facts: &'a Facts<'a, S>,
    renames: &'a renames::Renames,
    /// Behind the renames.
    existing: &'a ExistingSchema,
    owned: Option<&'a DatabaseSchema>,
    target: &'a DatabaseSchema,
    hints: &'a Hints,
    plan: &'a mut SchemaPlan,
}

impl<'a, S: Sql> Diff<'a, S> {
    fn run(&mut self) -> Result<(), S::Error> {
        let (existing, target) = (self.existing, self.target);
        self.refuse_taken_names();
        let removed = self.removed_tables();
        let (mut matched, mut added) = (Vec::new(), Vec::new());
        for table in &target.tables {
            match existing.table(&table.name) {
                Some(old) => matched.push((old, table, TableChange::of(old, table))),
                None => added.push(table),
            }
        }
        self.ask_for_tables(&removed, &added);
        for (old, new, change) in &mut matched {
            self.decide(old, new, change)?;
        }
        self.plan.sets_aside = !removed.is_empty()
            || matched.iter().any(|(_, _, change)| change.is_rebuilt || !change.removed.is_empty());
        self.drop_views();
        let rebuilt = |name: &str| {
            matched.iter().any(|(old, _, change)| change.is_rebuilt && same_name(&old.schema.name, name))
        };
        let gone = |name: &str| removed.iter().any(|table| same_name(&table.schema.name, name));
        self.drop_indexes(|table| rebuilt(table) || gone(table));
        for table in &removed {
            self.drop_table(table)?;
        }
        for table in added {
            self.plan.steps.push(PlanStep::new(
                PlanOp::CreateTable,
                &table.name,
                vec![create::table(table, &table.name)],
            ));
        }
        for (old, new, change) in matched.iter().filter(|(_, _, change)| !change.is_empty()) {
            if change.is_rebuilt { self.rebuild(old, new, change)? } else { self.alter(new, change)? }
        }
        self.create_indexes();
        self.create_views();
        collections::plan(existing, self.owned, target, self.plan);
        Ok(())
    }

    /// Names of the schema under which the file has something else.
    fn refuse_taken_names(&mut self) {
        let wanted = |kind: &'static str, name: &'a str| (kind, name);
        let tables = self.target.tables.iter().map(|table| wanted("table", &table.name));
        let indexes = self.target.indexes.iter().map(|index| wanted("index", &index.name));
        let views = self.target.views.iter().map(|view| wanted("view", &view.name));
        let collections = self.target.collections.iter().map(|one| wanted("view", &one.name));
        let owns = |name: &str| self.owned.is_some_and(|owned| owned.names().any(|own| same_name(own, name)));
        for (kind, name) in tables.chain(indexes).chain(views).chain(collections) {
            let Some(object) = self.existing.object(name) else { continue };
            let is_readable = kind != "table" || self.existing.table(name).is_some();
            if object.kind != kind && !owns(name) || object.kind == kind && !is_readable {
                self.plan.impossible.push(format!(
                    "{name}: the database has {} {} of this name that the schema does not declare: rename or drop it in a \
                     migration file",
                    if object.kind == "index" { "an" } else { "a" },
                    if is_readable { &*object.kind } else { "virtual table" }
                ));
            }
        }
    }

    fn removed_tables(&self) -> Vec<&'a ParsedTable> {
        let owned = self.owned.into_iter().flat_map(|owned| &owned.tables);
        // What was renamed is found by its new name.
        let is_removed = |table: &&'a ParsedTable| self.target.table(&table.schema.name).is_none();
        owned.filter_map(|table| self.existing.table(&table.name)).filter(is_removed).collect()
    }

    /// A table that is gone and a new one that is like it (FUN-65).
    fn ask_for_tables(&mut self, removed: &[&ParsedTable], added: &[&TableSchema]) {
        for table in
            removed.iter().map(|table| &table.schema).filter(|table| !self.hints.drops_table(&table.name))
        {
            let like = added.iter().filter(|new| is_like(table, new)).map(|new| new.name.clone());
            let to: Vec<String> = like.collect();
            if !to.is_empty() {
                self.plan.questions.push(SchemaQuestion::Renamed { from: table.name.clone(), to });
            }
        }
    }

    /// What must be known about a table before it can be changed, and whether it has to be copied because of its rows.
    fn decide(
        &mut self,
        old: &ParsedTable,
        new: &TableSchema,
        change: &mut TableChange<'_>,
    ) -> Result<(), S::Error> {
        if change.is_empty() {
            return Ok(());
        }
        let now = self.now(&new.name);
        let rows = self.facts.rows(&now)?;
        for column in &change.added {
            let needs_value = column.not_null && column.generated.is_none();
            let has_default = column.default.as_deref().is_some_and(|default| !is_null(default));
            let has_backfill = self.hints.backfill(&new.name, &column.name).is_some();
            if needs_value && !has_default && !has_backfill && rows > 0 {
                let column = format!("{}.{}", new.name, column.name);
                self.plan.questions.push(SchemaQuestion::Required { column, rows });
            }
            let comes_by_alter = column.generated.as_ref().is_none_or(|generated| !generated.stored)
                && !new.is_key(&column.name)
                && column.default.as_deref().is_none_or(is_constant)
                && (!needs_value || has_default);
            change.is_rebuilt |= rows > 0 && !comes_by_alter;
            change.is_rebuilt |= new.is_key(&column.name);
        }
        self.ask_for_columns(new, change);
        for (is, becomes) in &change.kept {
            self.decide_column(&now, new, (is, becomes), rows)?;
        }
        for column in &change.removed {
            self.lose(&now, new, column)?;
        }
        if change.is_rebuilt && !old.extras.is_empty() {
            self.plan.impossible.push(format!(
                "{}: it has to be copied, and has what a schema cannot say ({}): change it in a migration file",
                new.name,
                old.extras.join(", ")
            ));
        }
        Ok(())
    }

    fn decide_column(
        &mut self,
        now: &str,
        table: &TableSchema,
        (is, becomes): (&ColumnSchema, &ColumnSchema),
        rows: u64,
    ) -> Result<(), S::Error> {
        let place = || format!("{}.{}", table.name, becomes.name);
        let stored = self.stored(table, is);
        if becomes.generated.is_some() {
            return if is.generated.is_none() { self.lose(now, table, is) } else { Ok(()) };
        }
        if is.kind != becomes.kind {
            if self.hints.cast(&table.name, &becomes.name) == Some(becomes.kind) {
                let condition = loses(&stored, becomes.kind);
                let lost = self.facts.count(now, &condition)?;
                if lost > 0 {
                    self.plan.lossy.push(LossyCast {
                        table: now.to_owned(),
                        column: becomes.name.clone(),
                        from: is.kind,
                        to: becomes.kind,
                        rows: lost,
                        condition,
                    });
                }
            } else {
                let (from, to) = (is.kind, becomes.kind);
                self.plan.questions.push(SchemaQuestion::Cast { column: place(), from, to });
            }
        }
        if becomes.not_null
            && !is.not_null
            && rows > 0
            && self.hints.backfill(&table.name, &becomes.name).is_none()
        {
            let nulls = self.facts.nulls(now, &stored)?;
            if nulls > 0 {
                self.plan.questions.push(SchemaQuestion::Required { column: place(), rows: nulls });
            }
        }
        Ok(())
    }

    /// A column that is gone and a new one of its type (FUN-65).
    fn ask_for_columns(&mut self, table: &TableSchema, change: &TableChange<'_>) {
        for column in change.removed.iter().filter(|column| column.generated.is_none()) {
            let now = self.now(&table.name);
            let is_known = self.hints.drops_column(&table.name, &column.name)
                || self.hints.drops_column(&now, &column.name);
            let like = change.added.iter().filter(|new| new.kind == column.kind && new.generated.is_none());
            let to: Vec<String> = like.map(|new| format!("{}.{}", table.name, new.name)).collect();
            if !is_known && !to.is_empty() {
                let from = format!("{}.{}", table.name, column.name);
                self.plan.questions.push(SchemaQuestion::Renamed { from, to });
            }
        }
    }

    /// Notes that the values of a column go (FUN-63).
    fn lose(&mut self, now: &str, table: &TableSchema, column: &ColumnSchema) -> Result<(), S::Error> {
        if column.generated.is_some() {
            return Ok(());
        }
        let count = self.facts.values(now, &self.stored(table, column))?;
        if count > 0 {
            let what = format!("{}.{}", table.name, column.name);
            self.plan.losses.push(SchemaLoss { what, is_column: true, count });
        }
        Ok(())
    }

    /// What the table that will have this name is called in the file now.
    fn now(&self, table: &str) -> String {
        self.renames.old_table(table).to_owned()
    }

    /// What a column is called in the file now.
    fn stored(&self, table: &TableSchema, column: &ColumnSchema) -> String {
        self.renames.old_column(&table.name, &column.name).to_owned()
    }

    fn drop_table(&mut self, table: &ParsedTable) -> Result<(), S::Error> {
        let name = &table.schema.name;
        let count = self.facts.rows(&self.now(name))?;
        if count > 0 {
            self.plan.losses.push(SchemaLoss { what: name.clone(), is_column: false, count });
        }
        let drop = vec![format!("DROP TABLE {}", identifier(name))];
        let step = PlanStep::new(PlanOp::DropTable, name, drop);
        self.plan.steps.push(PlanStep { destructive: true, rows: count, ..step });
        Ok(())
    }

    fn rebuild(
        &mut self,
        old: &ParsedTable,
        new: &TableSchema,
        change: &TableChange<'_>,
    ) -> Result<(), S::Error> {
        // What is declared is made at the end; what is not, and still can be, is made again here.
        let is_declared = |index: &&IndexSchema| {
            self.target.indexes.iter().any(|other| same_name(&other.name, &index.name))
        };
        let was_declared = |index: &&IndexSchema| {
            self.owned
                .is_some_and(|owned| owned.indexes.iter().any(|other| same_name(&other.name, &index.name)))
        };
        let of_table = self.existing.indexes.iter().filter(|index| same_name(&index.table, &new.name));
        let kept = of_table.filter(|index| !is_declared(index) && !was_declared(index));
        let again = kept.map(create::index).collect();
        let step = rebuild::step(old, new, change, self.hints, again);
        let rows = self.facts.rows(&self.now(&new.name))?;
        let loses = !change.removed.is_empty()
            || change.kept.iter().any(|(is, becomes)| becomes.generated.is_some() && is.generated.is_none());
        self.plan.steps.push(PlanStep { rows, destructive: loses, ..step });
        Ok(())
    }

    fn alter(&mut self, table: &TableSchema, change: &TableChange<'_>) -> Result<(), S::Error> {
        let rows = self.facts.rows(&self.now(&table.name))?;
        for column in &change.removed {
            let drop =
                format!("ALTER TABLE {} DROP COLUMN {}", identifier(&table.name), identifier(&column.name));
            let step = PlanStep::new(PlanOp::DropColumn, &table.name, vec![drop]).column(&column.name);
            let destructive = column.generated.is_none();
            self.plan.steps.push(PlanStep { destructive, rows, ..step });
        }
        for column in &change.added {
            let key = change
                .keys_of_added
                .iter()
                .find(|key| key.columns.iter().any(|name| same_name(name, &column.name)));
            let add = create::add_column(&table.name, column, key.copied());
            let step = PlanStep::new(PlanOp::AddColumn, &table.name, vec![add]).column(&column.name);
            self.plan.steps.push(PlanStep { rows, ..step });
            if let Some(value) = self.hints.backfill(&table.name, &column.name)
                && rows > 0
            {
                let fill =
                    format!("UPDATE {} SET {} = {value}", identifier(&table.name), identifier(&column.name));
                let step = PlanStep::new(PlanOp::Backfill, &table.name, vec![fill]).column(&column.name);
                self.plan.steps.push(PlanStep { rows, ..step });
            }
        }
        Ok(())
    }

    /// Indexes that are gone or others; those of tables that are copied or gone go with these.
    fn drop_indexes(&mut self, goes_along: impl Fn(&str) -> bool) {
        for index in &self.existing.indexes {
            let declared = self.target.indexes.iter().find(|other| same_name(&other.name, &index.name));
            let was_declared = self
                .owned
                .is_some_and(|owned| owned.indexes.iter().any(|other| same_name(&other.name, &index.name)));
            let goes = match declared {
                Some(declared) => !same_index(index, declared),
                None => was_declared,
            };
            if goes && !goes_along(&index.table) {
                let drop = vec![format!("DROP INDEX {}", identifier(&index.name))];
                self.plan
                    .steps
                    .push(PlanStep::new(PlanOp::DropIndex, &index.table, drop).column(&index.name));
            }
        }
    }

    fn create_indexes(&mut self) {
        let gone: BTreeSet<String> = self
            .plan
            .steps
            .iter()
            .filter(|step| matches!(step.op, PlanOp::RebuildTable | PlanOp::DropTable))
            .map(|step| step.table.to_ascii_lowercase())
            .collect();
        for index in &self.target.indexes {
            let stays = self
                .existing
                .index(&index.name)
                .is_some_and(|old| same_index(old, index) && !gone.contains(&old.table.to_ascii_lowercase()));
            if !stays {
                let create = vec![create::index(index)];
                self.plan
                    .steps
                    .push(PlanStep::new(PlanOp::CreateIndex, &index.table, create).column(&index.name));
            }
        }
    }

    fn drop_views(&mut self) {
        let was_view = |name: &str| {
            self.owned.is_some_and(|owned| owned.views.iter().any(|view| same_name(&view.name, name)))
        };
        for view in &self.existing.views {
            let declared = self.target.views.iter().find(|other| same_name(&other.name, &view.name));
            let goes = match declared {
                Some(declared) => !same_sql(&declared.sql, &view.sql) || declared.name != view.name,
                None => was_view(&view.name),
            };
            if goes {
                let drop = vec![format!("DROP VIEW {}", identifier(&view.name))];
                self.plan.steps.push(PlanStep::new(PlanOp::DropView, &view.name, drop));
            }
        }
    }

    fn create_views(&mut self) {
        for view in &self.target.views {
            let stays = self
                .existing
                .view(&view.name)
                .is_some_and(|old| same_sql(&old.sql, &view.sql) && old.name == view.name);
            if !stays {
                self.plan.steps.push(PlanStep::new(PlanOp::CreateView, &view.name, vec![create::view(view)]));
            }
        }
    }
}

/// Whether one table may be the other under another name: half of its columns are there again.
fn is_like(old: &TableSchema, new: &TableSchema) -> bool {
    let same =
        |column: &&ColumnSchema| new.column(&column.name).is_some_and(|other| other.kind == column.kind);
    old.columns.iter().filter(same).count() * 2 >= old.columns.len().max(new.columns.len())
}

/// Whether both indexes are the same.
pub(super) fn same_index(a: &IndexSchema, b: &IndexSchema) -> bool {
    let column = |sql: &String| {
        let text = normal(sql);
        text.strip_suffix(" asc").map(str::to_owned).unwrap_or(text)
    };
    a.name == b.name
        && same_name(&a.table, &b.table)
        && a.unique == b.unique
        && a.columns.len() == b.columns.len()
        && a.columns.iter().zip(&b.columns).all(|(a, b)| column(a) == column(b))
        && same_option(a.condition.as_deref(), b.condition.as_deref())
}
