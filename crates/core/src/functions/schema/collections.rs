//! Collections in a schema: their views, and indexes over the records that these show (FUN-80).

use super::{
    model::{CollectionSchema, DatabaseSchema, same_name},
    plan::{PlanOp, PlanStep, SchemaPlan},
    read::ExistingSchema,
    reserved::INDEX_PREFIX,
};
use crate::{
    records::sqlite::{OwnerWritten, ViewSql},
    sql_text::identifier,
};

impl CollectionSchema {
    fn view(&self) -> ViewSql<'_> {
        ViewSql {
            name: &self.name,
            app: &self.app,
            coll: &self.name,
            columns: self.fields.iter().map(|field| (&*field.name, field.kind)).collect(),
            owner: OwnerWritten::OrCaller,
        }
    }

    fn indexes(&self) -> impl Iterator<Item = (String, String)> {
        let view = self.view();
        self.fields.iter().filter(|field| field.index).map(move |field| {
            let name = format!("{INDEX_PREFIX}{}_{}", self.name, field.name);
            let sql = view.index(&name, &field.name);
            (name, sql)
        })
    }
}

/// Steps that make the collections' views and indexes what `target` declares, where they are not.
pub(super) fn plan(
    existing: &ExistingSchema,
    owned: Option<&DatabaseSchema>,
    target: &DatabaseSchema,
    plan: &mut SchemaPlan,
) {
    let declared = |name: &str| target.collections.iter().any(|one| same_name(&one.name, name));
    let wanted: Vec<(String, String)> =
        target.collections.iter().flat_map(CollectionSchema::indexes).collect();
    for (name, sql) in &existing.collection_indexes {
        if !wanted.iter().any(|(wanted, text)| wanted == name && text == sql) {
            let drop = vec![format!("DROP INDEX {}", identifier(name))];
            plan.steps.push(of_hub(PlanOp::DropIndex, name, drop));
        }
    }
    for old in owned.into_iter().flat_map(|owned| &owned.collections) {
        if !declared(&old.name) && existing.view(&old.name).is_some() && !is_dropped(plan, &old.name) {
            let drop = vec![format!("DROP VIEW {}", identifier(&old.name))];
            plan.steps.push(of_hub(PlanOp::DropView, &old.name, drop));
        }
    }
    for collection in &target.collections {
        let statements = collection.view().statements();
        let there = |sql: &String| existing.objects.iter().any(|object| object.sql == *sql);
        if statements.iter().all(there) {
            continue;
        }
        if existing.view(&collection.name).is_some() && !is_dropped(plan, &collection.name) {
            let drop = vec![format!("DROP VIEW {}", identifier(&collection.name))];
            plan.steps.push(of_hub(PlanOp::DropView, &collection.name, drop));
        }
        plan.steps.push(of_hub(PlanOp::CreateView, &collection.name, statements.to_vec()));
    }
    for (name, sql) in wanted {
        if existing.collection_indexes.get(&name) != Some(&sql) {
            plan.steps.push(of_hub(PlanOp::CreateIndex, &name, vec![sql]));
        }
    }
}

/// Whether it was something else, or becomes that.
fn is_dropped(plan: &SchemaPlan, view: &str) -> bool {
    plan.steps.iter().any(|step| step.op == PlanOp::DropView && same_name(&step.table, view))
}

fn of_hub(op: PlanOp, name: &str, statements: Vec<String>) -> PlanStep {
    PlanStep { of_hub: true, ..PlanStep::new(op, name, statements) }
}
