//! Chains of random deployments: after each the file has the declared schema and what was kept has its rows, or nothing is
//! changed. `FERRY_SCHEMA_SEED=n` replays one chain; `FERRY_SCHEMA_SEEDS=n` runs so many.

use std::collections::BTreeMap;

use ferry_core::functions::{
    deploy::{DeployRefusal, MigrationFile, NewDeployment},
    schema::{ColumnType, DatabaseSchema, ExistingSchema, PlanStep, TableSchema, schema_hash},
};

use ferry_sqlite::deploy::MadeDeployment;

use super::{
    database::{Deployed, file, rows, told},
    random::{Decided, World, declared, quote},
};

/// Chains that run when nothing else is asked for.
const SEEDS: u64 = 12;
/// Deployments of a chain.
const STEPS: u64 = 8;

/// What a file says of its schema.
fn found(existing: &ExistingSchema) -> DatabaseSchema {
    DatabaseSchema {
        tables: existing
            .tables
            .iter()
            .map(|table| table.schema.clone())
            .filter(|table| table.name != "log")
            .collect(),
        indexes: existing.indexes.clone(),
        views: existing.views.clone(),
        collections: Vec::new(),
    }
}

fn fill(database: &mut Deployed, world: &mut World) {
    let tables = world.schema.tables.clone();
    for table in &tables {
        for _ in 0..world.rng.below(6) {
            let columns: Vec<_> = table.columns.iter().filter(|column| column.generated.is_none()).collect();
            let values: Vec<String> = columns.iter().map(|_| value(world)).collect();
            let names: Vec<String> = columns.iter().map(|column| quote(&column.name)).collect();
            let insert = format!(
                "INSERT OR IGNORE INTO {}({}) VALUES ({})",
                quote(&table.name),
                names.join(", "),
                values.join(", ")
            );
            // What a constraint refuses is not there, and that is all.
            let _ = database.writer.connection().execute(&insert, []);
        }
    }
}

fn value(world: &mut World) -> String {
    match world.rng.below(7) {
        0 => "NULL".to_owned(),
        1 => "'text'".to_owned(),
        2 => "1.5".to_owned(),
        3 => format!("'{}'", world.rng.below(100)),
        4 => "x'00ff'".to_owned(),
        _ => world.rng.below(50).to_string(),
    }
}

/// The values of every plain column, by table and column, in the order of rowids.
fn contents(database: &mut Deployed, schema: &DatabaseSchema) -> BTreeMap<(String, String), Vec<String>> {
    let mut all = BTreeMap::new();
    for table in &schema.tables {
        for column in table.columns.iter().filter(|column| column.generated.is_none()) {
            let query =
                format!("SELECT {} FROM {} ORDER BY _rowid_", quote(&column.name), quote(&table.name));
            let text = rows(database.writer.connection(), &query);
            all.insert((table.name.clone(), column.name.clone()), text.lines().map(str::to_owned).collect());
        }
    }
    all
}

/// What a table or column of `after` was called before.
fn name_before(decided: &Decided, table: &str, column: &str) -> (String, String) {
    let old_table = decided.renames.iter().find(|(_, to)| *to == table).map_or(table, |(from, _)| from);
    let place = |table: &str, column: &str| format!("{table}.{column}");
    let wanted = [place(table, column), place(old_table, column)];
    let old_column = decided
        .renames
        .iter()
        .find(|(_, to)| to.as_str().is_some_and(|to| wanted.iter().any(|one| one == to)));
    let old_column = old_column.map_or(column.to_owned(), |(from, _)| {
        let tables = [format!("{table}."), format!("{old_table}.")];
        tables.iter().find_map(|table| from.strip_prefix(table.as_str())).unwrap_or(from).to_owned()
    });
    (old_table.to_owned(), old_column)
}

/// Whether everything that was kept has its values.
fn check_kept(
    database: &mut Deployed,
    (before, values): (&DatabaseSchema, &BTreeMap<(String, String), Vec<String>>),
    after: &DatabaseSchema,
    decided: &Decided,
) {
    let now = contents(database, after);
    for table in &after.tables {
        for column in table.columns.iter().filter(|column| column.generated.is_none()) {
            let (old_table, old_column) = name_before(decided, &table.name, &column.name);
            let Some(old) = values.get(&(old_table.clone(), old_column.clone())) else { continue };
            let new = &now[&(table.name.clone(), column.name.clone())];
            assert_eq!(old.len(), new.len(), "rows of {}", table.name);
            let kind = kind_of(before, &old_table, &old_column);
            let place = format!("{}.{}", table.name, column.name);
            for (old, new) in old.iter().zip(new) {
                let is_filled = old.contains("Null") && decided.backfills.contains_key(&place);
                let is_cast = kind != Some(column.kind);
                assert!(old == new || is_filled || is_cast, "{place}: {old} became {new}");
            }
        }
    }
}

fn kind_of(schema: &DatabaseSchema, table: &str, column: &str) -> Option<ColumnType> {
    let find = |table: &TableSchema| table.columns.iter().find(|one| one.name == column).map(|one| one.kind);
    schema.tables.iter().find(|one| one.name == table).and_then(find)
}

#[derive(Default)]
struct Counts {
    made: u64,
    refused: BTreeMap<String, u64>,
}

/// A second database, whose changes come by migration files that the first one's plans are written into.
struct Twin {
    database: Deployed,
    files: Vec<MigrationFile>,
}

impl Twin {
    /// Rows as the first one has them.
    fn fill(&mut self, from: &mut Deployed, schema: &DatabaseSchema) {
        let connection = self.database.writer.connection();
        let path = from.dir.path().join("main.db");
        let before = "PRAGMA foreign_keys=OFF; ATTACH ?1 AS other";
        let (pragma, attach) = before.split_once("; ").unwrap();
        connection.execute_batch(pragma).unwrap();
        connection.execute(attach, [path.to_str().unwrap()]).unwrap();
        for table in &schema.tables {
            let columns = table.columns.iter().filter(|column| column.generated.is_none());
            let columns: Vec<String> = columns.map(|column| quote(&column.name)).collect();
            let (name, columns) = (quote(&table.name), format!("_rowid_, {}", columns.join(", ")));
            let copy = format!(
                "DELETE FROM {name}; INSERT INTO {name}({columns}) SELECT {columns} FROM other.{name}"
            );
            connection.execute_batch(&copy).unwrap();
        }
        connection.execute_batch("DETACH other; PRAGMA foreign_keys=ON").unwrap();
    }

    /// Deploys what the first one did, by a file.
    fn follow(&mut self, new: &NewDeployment, made: &MadeDeployment) {
        if !made.decision.plan.is_empty() {
            let parent = self.files.last().map(|file| file.id.clone());
            let text: Vec<String> = made.decision.plan.all_steps().map(PlanStep::sql).collect();
            self.files.push(file(&new.id, parent.as_deref(), &text.join(";\n--> statement-breakpoint\n")));
        }
        let mut asked = self.database.asks(&new.wanted.schema_json);
        asked.files.clone_from(&self.files);
        asked.allow_destructive = true;
        let text = self.files.last().map(|file| file.sql.clone()).unwrap_or_default();
        self.database.deploy(&asked).unwrap_or_else(|refusal| panic!("{}\n{text}", told(&refusal)));
    }
}

fn chain(seed: u64, counts: &mut Counts) {
    let mut world = World::new(seed);
    let mut database = Deployed::new();
    let first = database.asks(&declared(&world.schema));
    let made = database
        .deploy(&first)
        .unwrap_or_else(|refusal| panic!("{}\n{}", told(&refusal), declared(&world.schema)));
    let mut twin = Twin { database: Deployed::new(), files: Vec::new() };
    twin.follow(&first, &made);
    for _ in 0..STEPS {
        fill(&mut database, &mut world);
        twin.fill(&mut database, &world.schema);
        let (before, values) = (world.schema.clone(), contents(&mut database, &world.schema));
        let dump = database.dump();
        let mut decided = Decided::default();
        for _ in 0..=world.rng.below(3) {
            world.change(&mut decided);
        }
        let mut new = database.asks(&declared(&world.schema));
        new.wanted.hints = serde_json::from_value(decided.hints()).unwrap();
        new.allow_destructive = !world.chance(4);
        match database.deploy(&new) {
            Ok(made) => {
                counts.made += 1;
                twin.follow(&new, &made);
                assert_eq!(
                    contents(&mut twin.database, &world.schema),
                    contents(&mut database, &world.schema)
                );
                let existing = database.existing();
                assert_eq!(
                    schema_hash(&found(&existing)),
                    schema_hash(&new.wanted.schema),
                    "{:#?}\n{:#?}",
                    found(&existing),
                    new.wanted.schema
                );
                check_kept(&mut database, (&before, &values), &world.schema, &decided);
            }
            Err(refusal) => {
                let DeployRefusal::Failed(failure) = &refusal else {
                    let line = told(&refusal).lines().next().unwrap_or_default().to_owned();
                    *counts.refused.entry(line).or_default() += 1;
                    assert_eq!(database.dump(), dump, "{}", told(&refusal));
                    world.schema = before;
                    continue;
                };
                // Rows that a new constraint does not take; anything else is a mistake of the plan.
                assert!(
                    failure.message.contains("constraint failed"),
                    "{failure:#?}\nfrom {before:#?}\nto {}",
                    declared(&world.schema)
                );
                *counts
                    .refused
                    .entry(failure.message.split(':').next().unwrap_or_default().to_owned())
                    .or_default() += 1;
                assert_eq!(database.dump(), dump);
                world.schema = before;
            }
        }
    }
}

// Verifies: FUN-62, FUN-63, FUN-64, FUN-65, FUN-66, FUN-68
#[test]
fn every_chain_of_deployments_leads_to_what_is_declared_or_changes_nothing() {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seeds = match number("FERRY_SCHEMA_SEED") {
        Some(seed) => seed..=seed,
        None => 1..=number("FERRY_SCHEMA_SEEDS").unwrap_or(SEEDS),
    };
    let is_one = seeds.clone().count() == 1;
    let mut counts = Counts::default();
    for seed in seeds {
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| chain(seed, &mut counts)));
        if let Err(panic) = outcome {
            eprintln!("to replay: FERRY_SCHEMA_SEED={seed}");
            std::panic::resume_unwind(panic);
        }
    }
    println!("{} deployments were made; refused: {:#?}", counts.made, counts.refused);
    assert!(is_one || counts.made > 0 && counts.refused.len() > 3, "the chains try both");
}
