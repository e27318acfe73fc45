//! Random schemas, and random steps from one to the next.

use ferry_core::functions::schema::{
    CheckConstraint, ColumnSchema, ColumnType, DatabaseSchema, ForeignKey, ForeignKeyAction, GeneratedColumn,
    IndexSchema, TableSchema, ViewSchema,
};
use ferry_testkit::rng::Rng;
use serde_json::{Map, Value as Json, json};

/// A schema that changes step by step.
pub(crate) struct World {
    pub(crate) rng: Rng,
    pub(crate) schema: DatabaseSchema,
    names: u32,
}

/// What a developer would have decided about a step.
#[derive(Default)]
pub(crate) struct Decided {
    pub(crate) renames: Map<String, Json>,
    pub(crate) backfills: Map<String, Json>,
    pub(crate) casts: Map<String, Json>,
    pub(crate) drops: Vec<String>,
}

impl Decided {
    pub(crate) fn hints(&self) -> Json {
        json!({ "renames": self.renames, "backfills": self.backfills, "casts": self.casts, "drops": self.drops })
    }
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let mut world = Self { rng: Rng::new(seed), schema: DatabaseSchema::default(), names: 0 };
        for _ in 0..=world.rng.below(3) {
            world.add_table();
        }
        for _ in 0..4 {
            world.change(&mut Decided::default());
        }
        world
    }

    pub(crate) fn chance(&mut self, of: u64) -> bool {
        self.rng.below(of) == 0
    }

    fn name(&mut self, prefix: &str) -> String {
        self.names += 1;
        // Names that must be quoted, and one in which case matters to people alone.
        match self.rng.below(8) {
            0 => format!("{prefix} {}", self.names),
            1 => format!("{}{}\"x", prefix.to_uppercase(), self.names),
            2 => format!("order{}é", self.names),
            _ => format!("{prefix}{}", self.names),
        }
    }

    fn kind(&mut self) -> ColumnType {
        ColumnType::ALL[self.rng.below(5) as usize]
    }

    fn column(&mut self) -> ColumnSchema {
        let (name, kind) = (self.name("c"), self.kind());
        let default = match self.rng.below(5) {
            0 => Some("0".to_owned()),
            1 => Some("(1 + 1)".to_owned()),
            2 => Some("'it''s; ok'".to_owned()),
            _ => None,
        };
        ColumnSchema { name, kind, not_null: self.chance(4), default, generated: None }
    }

    fn add_table(&mut self) {
        let mut table = TableSchema { name: self.name("t"), ..TableSchema::default() };
        let key = self.rng.below(4);
        if key < 2 {
            table.columns.push(ColumnSchema {
                name: "id".to_owned(),
                kind: ColumnType::Integer,
                not_null: true,
                default: None,
                generated: None,
            });
            table.primary_key = vec!["id".to_owned()];
            table.autoincrement = key == 0;
        }
        for _ in 0..=self.rng.below(4) {
            let column = self.column();
            table.columns.push(column);
        }
        if key == 2 && table.columns.len() > 1 {
            table.primary_key = table.columns.iter().take(2).map(|column| column.name.clone()).collect();
        }
        self.schema.tables.push(table);
    }

    fn any_table(&mut self) -> Option<usize> {
        let count = self.schema.tables.len() as u64;
        (count > 0).then(|| self.rng.below(count) as usize)
    }

    /// A column that nothing else in the schema rests on.
    fn free_column(&mut self, table: usize) -> Option<usize> {
        let at = self.rng.below(self.schema.tables[table].columns.len() as u64) as usize;
        let owner = &self.schema.tables[table];
        let name = owner.columns[at].name.clone();
        let quoted = quote(&name);
        let is_used = owner.primary_key.contains(&name)
            || owner
                .columns
                .iter()
                .any(|other| other.generated.as_ref().is_some_and(|one| one.expression.contains(&quoted)))
            || owner.columns[at].generated.is_some()
            || owner.checks.iter().any(|check| check.expression.contains(&quoted))
            || owner.foreign_keys.iter().any(|key| key.columns.contains(&name))
            || self.schema.tables.iter().any(|other| {
                other
                    .foreign_keys
                    .iter()
                    .any(|key| key.table == owner.name && key.foreign_columns.contains(&name))
            })
            || self
                .schema
                .indexes
                .iter()
                .any(|index| index.table == owner.name && index.columns.contains(&quoted))
            || self.schema.views.iter().any(|view| view.sql.contains(&quoted));
        (!is_used && owner.columns.len() > 1).then_some(at)
    }

    /// One random step, with what would be decided about it.
    pub(crate) fn change(&mut self, decided: &mut Decided) {
        let Some(table) = self.any_table() else { return self.add_table() };
        match self.rng.below(17) {
            0 => self.add_table(),
            1 => self.drop_table(table, decided),
            2 | 3 => self.add_column(table, decided),
            4 => self.drop_column(table, decided),
            5 => self.rename_column(table, decided),
            6 => self.rename_table(table, decided),
            7 => self.change_type(table, decided),
            8 | 9 => self.change_column(table, decided),
            10 | 11 => self.add_index(table),
            12 => self.drop_index(),
            13 => self.add_foreign_key(table),
            14 => self.change_checks(table),
            15 => self.change_views(table),
            _ => self.add_generated(table),
        }
    }

    fn drop_table(&mut self, table: usize, decided: &mut Decided) {
        let name = self.schema.tables[table].name.clone();
        let is_used =
            self.schema.tables.iter().any(|other| other.foreign_keys.iter().any(|key| key.table == name))
                || self.schema.views.iter().any(|view| view.sql.contains(&quote(&name)));
        if !is_used && self.schema.tables.len() > 1 {
            self.schema.tables.remove(table);
            self.schema.indexes.retain(|index| index.table != name);
            decided.drops.push(name);
        }
    }

    fn add_column(&mut self, table: usize, decided: &mut Decided) {
        let column = self.column();
        let place = format!("{}.{}", self.schema.tables[table].name, column.name);
        if column.not_null && column.default.is_none() && !self.chance(4) {
            decided.backfills.insert(place, json!("7"));
        }
        let count = self.schema.tables[table].columns.len() as u64;
        let at = self.rng.below(count + 1) as usize;
        self.schema.tables[table].columns.insert(at, column);
    }

    fn drop_column(&mut self, table: usize, decided: &mut Decided) {
        let Some(at) = self.free_column(table) else { return };
        let owner = &mut self.schema.tables[table];
        let column = owner.columns.remove(at);
        if owner.columns.iter().all(|column| column.generated.is_some()) {
            owner.columns.push(column);
            return;
        }
        decided.drops.push(format!("{}.{}", owner.name, column.name));
    }

    fn rename_column(&mut self, table: usize, decided: &mut Decided) {
        let Some(at) = self.free_column(table) else { return };
        let to = self.name("r");
        let owner = &mut self.schema.tables[table];
        let from = std::mem::replace(&mut owner.columns[at].name, to.clone());
        let (from, to) = (format!("{}.{from}", owner.name), format!("{}.{to}", owner.name));
        decided.renames.insert(from, to.into());
    }

    fn rename_table(&mut self, table: usize, decided: &mut Decided) {
        // Once in a step: a hint says from where to where.
        let from = self.schema.tables[table].name.clone();
        if decided.hints().to_string().contains(&json!(from).to_string()[1..]) {
            return;
        }
        let to = self.name("n");
        self.schema.tables[table].name.clone_from(&to);
        for other in &mut self.schema.tables {
            other
                .foreign_keys
                .iter_mut()
                .filter(|key| key.table == from)
                .for_each(|key| key.table.clone_from(&to));
        }
        for index in self.schema.indexes.iter_mut().filter(|index| index.table == from) {
            index.table.clone_from(&to);
        }
        for view in &mut self.schema.views {
            view.sql = view.sql.replace(&quote(&from), &quote(&to));
        }
        decided.renames.insert(from, to.into());
    }

    fn change_type(&mut self, table: usize, decided: &mut Decided) {
        let Some(at) = self.free_column(table) else { return };
        let kind = self.kind();
        let decides = !self.chance(4);
        let owner = &mut self.schema.tables[table];
        owner.columns[at].kind = kind;
        if decides {
            decided.casts.insert(format!("{}.{}", owner.name, owner.columns[at].name), kind.as_str().into());
        }
    }

    fn change_column(&mut self, table: usize, decided: &mut Decided) {
        let at = self.rng.below(self.schema.tables[table].columns.len() as u64) as usize;
        let (flips, decides) = (self.chance(2), !self.chance(4));
        let owner = &mut self.schema.tables[table];
        let column = &mut owner.columns[at];
        if column.generated.is_some() || owner.primary_key == ["id"] && column.name == "id" {
            return;
        }
        if flips {
            column.not_null = !column.not_null;
            if decides {
                decided.backfills.insert(format!("{}.{}", owner.name, column.name), json!(5));
            }
        } else {
            column.default = if column.default.is_some() { None } else { Some("-3".to_owned()) };
        }
    }

    fn add_index(&mut self, table: usize) {
        let (name, at) =
            (self.name("i"), self.rng.below(self.schema.tables[table].columns.len() as u64) as usize);
        let (unique, partial, computed) = (self.chance(3), self.chance(3), self.chance(3));
        let owner = &self.schema.tables[table];
        let column = quote(&owner.columns[at].name);
        self.schema.indexes.push(IndexSchema {
            name,
            table: owner.name.clone(),
            columns: if computed {
                vec![format!("lower({column})"), column.clone()]
            } else {
                vec![column.clone()]
            },
            unique,
            condition: partial.then(|| format!("{column} IS NOT NULL")),
        });
    }

    fn drop_index(&mut self) {
        if !self.schema.indexes.is_empty() {
            let at = self.rng.below(self.schema.indexes.len() as u64) as usize;
            self.schema.indexes.remove(at);
        }
    }

    fn add_foreign_key(&mut self, table: usize) {
        let keyed = self.schema.tables.iter().position(|other| other.primary_key == ["id"]);
        let Some(other) = keyed else { return };
        let action = [ForeignKeyAction::Cascade, ForeignKeyAction::SetNull, ForeignKeyAction::NoAction];
        let on_delete = action[self.rng.below(3) as usize];
        if self.chance(3) {
            self.schema.tables[table].foreign_keys.clear();
            return;
        }
        let name = self.name("f");
        let other = self.schema.tables[other].name.clone();
        let owner = &mut self.schema.tables[table];
        let column =
            ColumnSchema { name, kind: ColumnType::Integer, not_null: false, default: None, generated: None };
        owner.foreign_keys.push(ForeignKey {
            columns: vec![column.name.clone()],
            table: other,
            foreign_columns: vec!["id".to_owned()],
            on_delete,
            on_update: ForeignKeyAction::NoAction,
        });
        owner.columns.push(column);
    }

    fn change_checks(&mut self, table: usize) {
        let name = self.name("k");
        let owner = &mut self.schema.tables[table];
        if owner.checks.pop().is_none() {
            let column = quote(&owner.columns[0].name);
            let expression = format!("{}.{column} IS NULL OR {column} <> 'never' -- so", quote(&owner.name));
            let expression =
                expression.replace(&format!("{}.", quote(&owner.name)), "").replace(" -- so", "");
            owner.checks.push(CheckConstraint { name: Some(name), expression });
        }
    }

    fn change_views(&mut self, table: usize) {
        if self.chance(2) {
            self.schema.views.pop();
            return;
        }
        let name = self.name("v");
        let owner = &self.schema.tables[table];
        let sql = format!("select {} from {}", quote(&owner.columns[0].name), quote(&owner.name));
        self.schema.views.push(ViewSchema { name, sql });
    }

    fn add_generated(&mut self, table: usize) {
        let (name, stored) = (self.name("g"), self.chance(2));
        let owner = &mut self.schema.tables[table];
        if owner.columns[0].generated.is_some() {
            return;
        }
        let expression = format!("{} || 'x'", quote(&owner.columns[0].name));
        let generated = Some(GeneratedColumn { expression, stored });
        owner.columns.push(ColumnSchema {
            name,
            kind: ColumnType::Text,
            not_null: false,
            default: None,
            generated,
        });
    }
}

pub(crate) fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A schema as it is declared.
pub(crate) fn declared(schema: &DatabaseSchema) -> String {
    let column = |table: &TableSchema, column: &ColumnSchema| {
        let is_key = table.primary_key == [column.name.clone()];
        json!({ "name": column.name, "type": column.kind.as_str(), "notNull": column.not_null, "primaryKey": is_key,
            "autoincrement": is_key && table.autoincrement, "default": column.default,
            "generated": column.generated.as_ref().map(|one| json!({ "as": one.expression, "mode": if one.stored { "stored" } else { "virtual" } })) })
    };
    let tables: Vec<Json> = schema
        .tables
        .iter()
        .map(|table| {
            let columns: Vec<Json> = table.columns.iter().map(|one| column(table, one)).collect();
            let key = (table.primary_key.len() > 1).then(|| json!({ "name": null, "columns": table.primary_key }));
            let keys: Vec<Json> = table
                .foreign_keys
                .iter()
                .map(|key| {
                    json!({ "columns": key.columns, "foreignTable": key.table, "foreignColumns": key.foreign_columns,
                        "onDelete": key.on_delete.as_sql(), "onUpdate": key.on_update.as_sql() })
                })
                .collect();
            let checks: Vec<Json> =
                table.checks.iter().map(|check| json!({ "name": check.name, "value": check.expression })).collect();
            json!({ "name": table.name, "columns": columns, "primaryKey": key, "foreignKeys": keys, "checks": checks })
        })
        .collect();
    json!({ "version": 1, "tables": tables, "indexes": schema.indexes, "views": schema.views }).to_string()
}
