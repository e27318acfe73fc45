//! The database of a call: statements, savepoints, the other sync models.

use std::sync::Arc;

use ferry_core::sql::Value as SqlValue;
use rquickjs::{Array, Ctx, Exception, Function, Object, Result, Value};

use super::{
    DATABASE, may_use_database,
    rows::{BoundValue, Rows, integer_to_js},
};
use crate::{
    call::{CallFailure, Limit},
    db::{DbFailure, FunctionDb, ModelCall, SavepointStep, SqlFailure},
    state::State,
};

pub(super) fn install<'js>(native: &Object<'js>, state: &Arc<State>) -> Result<()> {
    let ctx = native.ctx();
    let of = Arc::clone(state);
    let execute = move |ctx: Ctx<'js>, sql: String, parameters: Array<'js>, mode: Value<'js>| {
        execute(&ctx, &of, &sql, &parameters, &mode)
    };
    native.set("execute", Function::new(ctx.clone(), execute)?)?;
    let of = Arc::clone(state);
    let savepoint = move |ctx: Ctx<'js>, step: String| {
        may_use_database(&ctx, &of)?;
        let step = match step.as_str() {
            "begin" => SavepointStep::Begin,
            "release" => SavepointStep::Release,
            "rollback" => SavepointStep::Rollback,
            _ => return Err(Exception::throw_type(&ctx, "unknown step of a savepoint")),
        };
        ask(&ctx, &of, |db| db.savepoint(step))?.map_or_else(Ok, |()| undefined(&ctx))
    };
    native.set("savepoint", Function::new(ctx.clone(), savepoint)?)?;
    let of = Arc::clone(state);
    let model = move |ctx: Ctx<'js>, kind: String, a: String, b: String, c: String| {
        model(&ctx, &of, &kind, [&a, &b, &c])
    };
    native.set("model", Function::new(ctx.clone(), model)?)?;
    let of = Arc::clone(state);
    let seq = move |ctx: Ctx<'js>| {
        may_use_database(&ctx, &of)?;
        let seq = |seq: u64| integer_to_js(&ctx, i64::try_from(seq).unwrap_or(i64::MAX));
        ask(&ctx, &of, |db| db.seq())?.map_or_else(Ok, seq)
    };
    native.set("seq", Function::new(ctx.clone(), seq)?)
}

/// Runs one statement. The answer is `{columns, rows, changes, lastInsertRowid}`.
fn execute<'js>(
    ctx: &Ctx<'js>,
    state: &State,
    sql: &str,
    parameters: &Array<'js>,
    mode: &Value<'js>,
) -> Result<Value<'js>> {
    may_use_database(ctx, state)?;
    let parameters: Vec<BoundValue> =
        parameters.iter::<Value<'js>>().map(|value| BoundValue::of(ctx, &value?)).collect::<Result<_>>()?;
    let parameters: Vec<SqlValue<'_>> = parameters.iter().map(BoundValue::as_sql).collect();
    let mut rows = Rows::new(ctx, mode)?;
    let executed = match ask(ctx, state, |db| db.execute(sql, &parameters, &mut rows))? {
        Answer::Told(failure) => return Ok(failure),
        Answer::Done(executed) => executed,
    };
    let (columns, rows) = rows.finish()?;
    let answer = Object::new(ctx.clone())?;
    answer.set("columns", columns)?;
    answer.set("rows", rows)?;
    answer.set("changes", integer_to_js(ctx, i64::try_from(executed.changes).unwrap_or(i64::MAX))?)?;
    answer.set("lastInsertRowid", integer_to_js(ctx, executed.last_insert_rowid)?)?;
    Ok(answer.into_value())
}

fn model<'js>(ctx: &Ctx<'js>, state: &State, kind: &str, [a, b, c]: [&str; 3]) -> Result<Value<'js>> {
    may_use_database(ctx, state)?;
    let call = match kind {
        "recordsPut" => ModelCall::RecordsPut { collection: a, id: b, fields: c },
        "recordsDelete" => ModelCall::RecordsDelete { collection: a, id: b },
        "eventsAppend" => ModelCall::EventsAppend { store: a, name: b, args: c },
        "opsAppend" => ModelCall::OpsAppend { ops: a },
        _ => return Err(Exception::throw_type(ctx, "unknown call of a model")),
    };
    ask(ctx, state, |db| db.model(&call))?
        .map_or_else(Ok, |json| Ok(rquickjs::String::from_str(ctx.clone(), &json)?.into_value()))
}

/// What the database said.
enum Answer<'js, T> {
    Done(T),
    /// A failure for the function: an array of kind and message, which the prelude throws as `SqlError`.
    Told(Value<'js>),
}

impl<'js, T> Answer<'js, T> {
    fn map_or_else<R>(self, told: impl FnOnce(Value<'js>) -> R, done: impl FnOnce(T) -> R) -> R {
        match self {
            Self::Told(failure) => told(failure),
            Self::Done(value) => done(value),
        }
    }
}

/// Asks the database of the step.
fn ask<'js, T>(
    ctx: &Ctx<'js>,
    state: &State,
    question: impl FnOnce(&mut dyn FunctionDb) -> std::result::Result<T, DbFailure>,
) -> Result<Answer<'js, T>> {
    if !DATABASE.is_set() {
        return Err(Exception::throw_internal(ctx, "no database is at hand"));
    }
    let (kind, message) = match DATABASE.with(|db| question(db)) {
        Ok(value) => return Ok(Answer::Done(value)),
        Err(DbFailure::Thrown(kind, message)) => (kind, message),
        Err(DbFailure::Abort) => {
            // Statements are stopped when the call's CPU is used up; that is the reason then.
            let is_over = state.meter.is_over();
            state.end(if is_over { CallFailure::Limit(Limit::Cpu) } else { CallFailure::Aborted });
            return Err(Exception::throw_internal(ctx, "the call was ended"));
        }
    };
    let kind = match kind {
        SqlFailure::Constraint => "constraint",
        SqlFailure::Prohibited => "prohibited",
        SqlFailure::Sql => "sql",
        SqlFailure::Told => "told",
    };
    let failure = Array::new(ctx.clone())?;
    failure.set(0, kind)?;
    failure.set(1, message)?;
    Ok(Answer::Told(failure.into_value()))
}

fn undefined<'js>(ctx: &Ctx<'js>) -> Result<Value<'js>> {
    Ok(Value::new_undefined(ctx.clone()))
}
