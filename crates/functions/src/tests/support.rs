//! A small `ferry:runtime`, a database that answers by rote, and a driver that runs a call to its end.

use ferry_core::sql::{Row, Value};

use crate::*;

/// Follows the contract of the real one.
pub(super) const MODULES: Modules = &[
    (
        "ferry:runtime",
        r#"
        BigInt.prototype.toJSON = function () { return this.toString(); };
        export function inspect(ns) {
          const functions = Object.keys(ns).filter((name) => typeof ns[name] === "function")
            .map((name) => ({ name, kind: "auto", internal: false }));
          return JSON.stringify({ functions, hooks: [], schema: ns._ferry_schema ?? null });
        }
        export function call(ns, name, request, host) {
          return ns[name]({ ...request, host, sql: (text, ...values) => host.execute(text, values, 1).rows }, request.args);
        }
        "#,
    ),
    ("@ferry/server", "export const greeting = 'hello';"),
];

pub(super) const LIMITS: RunLimits = RunLimits {
    cpu_ms: 1000,
    heap_bytes: 64 << 20,
    stack_bytes: 512 << 10,
    result_bytes: 8 << 20,
    fetches: 20,
    calls_per_context: 1000,
};

/// When tests happen.
pub(super) const NOW_MS: u64 = 1_790_000_000_000;

pub(super) fn load(bundle: &str) -> Result<Program, LoadError> {
    load_with(bundle, None, LIMITS)
}

pub(super) fn load_with(
    bundle: &str,
    source_map: Option<&str>,
    limits: RunLimits,
) -> Result<Program, LoadError> {
    Program::load(&ProgramSource { bundle, source_map, modules: MODULES }, limits, NOW_MS)
}

pub(super) fn pool(bundle: &str) -> Pool {
    Pool::new(load(bundle).expect("it loads"), 16)
}

pub(super) fn request(function: &str, args: &str) -> CallRequest {
    CallRequest {
        function: function.into(),
        args: args.into(),
        headers: Vec::new().into(),
        user: None,
        env: std::sync::Arc::default(),
        request_id: "r1".into(),
        owner: "u_1".into(),
        guard_prefix: "[Ferry]",
        can_sign: true,
        is_dev: false,
    }
}

/// A value of SQL that owns its text.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Owned {
    Null,
    Integer(i64),
    Real(f64),
    Text(String),
    Blob(Vec<u8>),
}

impl Owned {
    pub(super) fn of(value: Value<'_>) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Integer(value) => Self::Integer(value),
            Value::Real(value) => Self::Real(value),
            Value::Text(value) => Self::Text(value.to_owned()),
            Value::Blob(value) => Self::Blob(value.to_owned()),
        }
    }

    fn value(&self) -> Value<'_> {
        match self {
            Self::Null => Value::Null,
            Self::Integer(value) => Value::Integer(*value),
            Self::Real(value) => Value::Real(*value),
            Self::Text(value) => Value::Text(value),
            Self::Blob(value) => Value::Blob(value),
        }
    }
}

struct OwnedRow<'a>(&'a [Owned]);

impl Row for OwnedRow<'_> {
    fn value(&self, column: usize) -> Value<'_> {
        self.0.get(column).map_or(Value::Null, Owned::value)
    }
}

/// Answers every statement with the same rows; some texts make it fail.
#[derive(Default)]
pub(super) struct RoteDb {
    pub(super) columns: Vec<&'static str>,
    pub(super) rows: Vec<Vec<Owned>>,
    /// What it was asked.
    pub(super) statements: Vec<(String, Vec<Owned>)>,
}

impl FunctionDb for RoteDb {
    fn execute(
        &mut self,
        sql: &str,
        parameters: &[Value<'_>],
        rows: &mut dyn RowSink,
    ) -> Result<Executed, DbFailure> {
        self.statements.push((sql.to_owned(), parameters.iter().map(|value| Owned::of(*value)).collect()));
        let fail = |kind, message: &str| Err(DbFailure::Thrown(kind, message.to_owned()));
        match sql {
            "abort" => return Err(DbFailure::Abort),
            "constraint" => return fail(SqlFailure::Constraint, "UNIQUE constraint failed: users.email"),
            "prohibited" => return fail(SqlFailure::Prohibited, "access to _ferry_meta is prohibited"),
            "broken" => return fail(SqlFailure::Sql, "no such table: nothing"),
            "told" => return fail(SqlFailure::Told, "CONFLICT: try again"),
            _ => {}
        }
        rows.columns(&self.columns);
        for row in &self.rows {
            if !rows.row(&OwnedRow(row)) {
                break;
            }
        }
        Ok(Executed { changes: 1, last_insert_rowid: 7 })
    }

    fn savepoint(&mut self, step: SavepointStep) -> Result<(), DbFailure> {
        self.statements.push((format!("{step:?}"), Vec::new()));
        Ok(())
    }

    fn model(&mut self, call: &ModelCall<'_>) -> Result<String, DbFailure> {
        Ok(format!("\"{call:?}\"").replace(['\\'], ""))
    }

    fn seq(&mut self) -> Result<u64, DbFailure> {
        Ok(42)
    }
}

/// Runs a call to its end. Timers are due at once; what it asks for is answered by `answer`.
pub(super) fn drive(
    call: &mut FunctionCall,
    db: &mut dyn FunctionDb,
    mut answer: impl FnMut(&Ask) -> Option<AskAnswer>,
) -> FunctionOutcome {
    let mut now_ms = NOW_MS;
    let mut answers = Vec::new();
    for _ in 0..10_000 {
        match call.step(db, std::mem::take(&mut answers), now_ms) {
            Step::Done(outcome) => return outcome,
            Step::Waiting { asks, due_ms } => {
                answers = asks.iter().filter_map(|(id, ask)| Some((*id, answer(ask)?))).collect();
                if answers.is_empty() {
                    now_ms = now_ms.max(due_ms.expect("it waits for something"));
                }
            }
        }
    }
    panic!("the call does not end");
}

/// A whole call in a fresh context.
pub(super) fn run(bundle: &str, db: &mut dyn FunctionDb) -> FunctionOutcome {
    let pool = pool(bundle);
    let mut call = FunctionCall::begin(pool.take(NOW_MS).expect("a context"), request("f", "{}"));
    drive(&mut call, db, |ask| panic!("unexpected: {ask:?}"))
}

/// The JSON that the body of a function gives.
pub(super) fn value_of(body: &str) -> String {
    let outcome = run(&format!("export async function f(ctx, args) {{ {body} }}"), &mut RoteDb::default());
    outcome.result.unwrap_or_else(|failure| panic!("{body}: {failure:?}")).unwrap_or_default()
}

/// How the body of a function fails.
pub(super) fn failure_of(body: &str) -> CallFailure {
    let outcome = run(&format!("export async function f(ctx, args) {{ {body} }}"), &mut RoteDb::default());
    outcome.result.expect_err(body)
}
