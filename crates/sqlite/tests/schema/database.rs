//! A database that is deployed to.

use ferry_core::functions::{
    deploy::{DeployRefusal, MigrationFile, NewDeployment, WantedSchema, active_id, sha256_hex},
    schema::{DatabaseSchema, ExistingSchema, Hints},
};
use ferry_sqlite::{
    NativeSql, Writer,
    deploy::{DeployOutcome, MadeDeployment},
};
use ferry_types::UnixMillis;
use serde_json::{Value as Json, json};

/// A database in a folder of its own.
pub(crate) struct Deployed {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) writer: Writer,
    count: u32,
}

impl Deployed {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let writer = Writer::open(&dir.path().join("main.db")).unwrap();
        Self { dir, writer, count: 0 }
    }

    /// What a deployment of this schema asks.
    pub(crate) fn asks(&mut self, schema_json: &str) -> NewDeployment {
        self.count += 1;
        let base = active_id(&NativeSql(self.writer.connection())).unwrap();
        NewDeployment {
            id: format!("dep_{}", self.count),
            now: UnixMillis(1_800_000_000_000 + i64::from(self.count)),
            wanted: WantedSchema {
                base,
                schema_json: schema_json.to_owned(),
                schema: DatabaseSchema::from_json(schema_json).unwrap(),
                hints: Hints::default(),
                accepts_drift: false,
            },
            files: Vec::new(),
            allow_destructive: false,
            bundle: "export {}".to_owned(),
            source_map: None,
            manifest: "{}".to_owned(),
            api_dts: String::new(),
            sha256: String::new(),
            records_epoch: "epoch".to_owned(),
        }
    }

    pub(crate) fn deploy(&mut self, new: &NewDeployment) -> Result<MadeDeployment, DeployRefusal> {
        let backups = self.dir.path().join("backups");
        let (outcome, effects) = self.writer.deploy(new, &backups, "effect", &mut || Ok(())).unwrap();
        assert!(self.writer.connection().is_autocommit());
        let on: i64 = self.one("PRAGMA foreign_keys");
        assert_eq!(on, 1, "foreign keys act again");
        match outcome {
            DeployOutcome::Made(made) => {
                assert_eq!(effects, ["effect"]);
                Ok(*made)
            }
            DeployOutcome::Refused(refusal) => {
                assert!(effects.is_empty());
                Err(refusal)
            }
        }
    }

    /// Deploys with hints and files, as they are written in requests.
    pub(crate) fn deploy_with(
        &mut self,
        schema: &Json,
        hints: Json,
        allow: bool,
    ) -> Result<MadeDeployment, DeployRefusal> {
        let mut new = self.asks(&schema.to_string());
        new.wanted.hints = serde_json::from_value(hints).unwrap();
        new.allow_destructive = allow;
        self.deploy(&new)
    }

    pub(crate) fn run(&mut self, sql: &str) {
        self.writer.connection().execute_batch(sql).unwrap();
    }

    pub(crate) fn one<T: rusqlite::types::FromSql>(&mut self, sql: &str) -> T {
        self.writer.connection().query_row(sql, [], |row| row.get(0)).unwrap()
    }

    pub(crate) fn existing(&mut self) -> ExistingSchema {
        ExistingSchema::read(&NativeSql(self.writer.connection())).unwrap()
    }

    /// Everything in it, as text.
    pub(crate) fn dump(&mut self) -> String {
        let connection = self.writer.connection();
        let mut tables = connection
            .prepare("SELECT name, coalesce(sql, '') FROM sqlite_schema ORDER BY type, name")
            .unwrap();
        let tables: Vec<(String, String)> =
            tables.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap().map(Result::unwrap).collect();
        let mut text = String::new();
        for (name, sql) in tables {
            text.push_str(&format!("{name}: {sql}\n"));
            if sql.starts_with("CREATE TABLE") {
                text.push_str(&rows(connection, &format!("SELECT * FROM \"{}\"", name.replace('"', "\"\""))));
            }
        }
        text
    }
}

/// The rows of a query, as text.
pub(crate) fn rows(connection: &rusqlite::Connection, sql: &str) -> String {
    let mut statement = connection.prepare(sql).unwrap();
    let columns = statement.column_count();
    let mut rows = statement.raw_query();
    let mut text = String::new();
    while let Some(row) = rows.next().unwrap() {
        let values: Vec<String> = (0..columns).map(|at| format!("{:?}", row.get_ref(at).unwrap())).collect();
        text.push_str(&format!("  {}\n", values.join(", ")));
    }
    text
}

/// A schema with these tables.
pub(crate) fn schema(tables: Json) -> Json {
    json!({ "version": 1, "tables": tables })
}

/// A column.
pub(crate) fn column(name: &str, kind: &str, more: Json) -> Json {
    let mut column = json!({ "name": name, "type": kind });
    column.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    column
}

/// A migration file.
pub(crate) fn file(id: &str, parent: Option<&str>, sql: &str) -> MigrationFile {
    MigrationFile {
        id: id.to_owned(),
        parent: parent.map(str::to_owned),
        name: id.to_owned(),
        sha256: sha256_hex(sql),
        sql: sql.to_owned(),
    }
}

/// What a refusal says.
pub(crate) fn told(refusal: &DeployRefusal) -> String {
    match refusal {
        DeployRefusal::Invalid(message) => format!("400 {message}"),
        DeployRefusal::Conflict { message, .. } => format!("409 {message}"),
        DeployRefusal::Failed(failure) => format!("422 {}", failure.message),
    }
}
