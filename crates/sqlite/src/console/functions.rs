//! Functions of SQL that take time by the product of two arguments. SQLite looks at what stops a statement between its steps
//! only, and a call is one step: without a bound, one on two long texts would hold a core for minutes, whoever waits for it.

use std::{
    os::raw::c_int,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rusqlite::{
    Connection, Error, Result, ToSql, ffi,
    functions::{Context, FunctionFlags},
    limits::Limit,
    types::{ToSqlOutput, ValueRef},
};

/// Asks whether the statement is to end.
pub(super) type StopCheck = Arc<Mutex<dyn FnMut() -> bool + Send>>;

/// What a call may cost: so many comparisons of bytes, some tenths of a second. The longest value there is may be searched for
/// 256 bytes.
const COST_MAX: u64 = 1 << 28;
/// Bytes of JSON to one comparison: keys and values stand between two keys.
const JSON_SPREAD: u64 = 16;
/// Arguments of a function: some walk through the whole first one for each.
const ARGUMENTS_MAX: i32 = 127;
/// SQLite's mark on texts that are JSON.
const JSON_SUBTYPE: u32 = b'J' as u32;

/// By what the time of a call grows, of the lengths of its first two arguments.
#[derive(Clone, Copy)]
enum Cost {
    /// Each byte of the one against each of the other.
    Product,
    /// Each key of the patch against each that is there, or came by the patch.
    Patch,
}

impl Cost {
    const fn of(self, first: u64, second: u64) -> u64 {
        match self {
            Self::Product => first.saturating_mul(second),
            Self::Patch => first.saturating_add(second).saturating_mul(second) / JSON_SPREAD,
        }
    }
}

const FUNCTIONS: [(&str, c_int, Cost); 8] = [
    ("instr", 2, Cost::Product),
    ("replace", 3, Cost::Product),
    ("trim", 2, Cost::Product),
    ("ltrim", 2, Cost::Product),
    ("rtrim", 2, Cost::Product),
    ("unhex", 2, Cost::Product),
    ("json_patch", 2, Cost::Patch),
    ("jsonb_patch", 2, Cost::Patch),
];

/// Puts bounded ones in place of such functions of `connection`, which ask `stop` before each call. What they find, SQLite's
/// own do, on a database in memory.
pub(super) fn bound(connection: &Connection, stop: &StopCheck) -> Result<()> {
    connection.set_limit(Limit::SQLITE_LIMIT_FUNCTION_ARG, ARGUMENTS_MAX)?;
    let own = Connection::open_in_memory()?;
    for limit in [Limit::SQLITE_LIMIT_LENGTH, Limit::SQLITE_LIMIT_SQL_LENGTH] {
        own.set_limit(limit, connection.limit(limit)?)?;
    }
    let own = Arc::new(Mutex::new(own));
    // Views may call them, as they may SQLite's own.
    let flags = FunctionFlags::SQLITE_UTF8
        | FunctionFlags::SQLITE_DETERMINISTIC
        | FunctionFlags::SQLITE_INNOCUOUS
        | FunctionFlags::SQLITE_RESULT_SUBTYPE;
    for (name, count, cost) in FUNCTIONS {
        let (own, stop) = (Arc::clone(&own), Arc::clone(stop));
        let places = if count == 2 { "?1, ?2" } else { "?1, ?2, ?3" };
        let sql = format!("SELECT {name}({places})");
        let subtype = (name == "json_patch").then_some(JSON_SUBTYPE);
        connection.create_scalar_function(name, count, flags, move |context| {
            if (held(&stop))() {
                return Err(failed(ffi::SQLITE_INTERRUPT));
            }
            let lengths = (length(context.get_raw(0)), length(context.get_raw(1)));
            if cost.of(lengths.0, lengths.1) > COST_MAX {
                return Err(refusal(format!(
                    "{name}() of {} and {} bytes would take too long here: one of both may be long, not both (a text of \
                     1 MiB and one of 256 bytes, or two of 16 KiB, at most)",
                    lengths.0, lengths.1
                )));
            }
            let found = call(&held(&own), &sql, context)?;
            Ok((found, subtype))
        })?;
    }
    Ok(())
}

/// What SQLite's own function found; texts of SQLite need not be UTF-8.
enum Found {
    Null,
    Integer(i64),
    Text(Vec<u8>),
    Blob(Vec<u8>),
}

impl ToSql for Found {
    fn to_sql(&self) -> Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Integer(number) => ValueRef::Integer(*number),
            Self::Text(bytes) => ValueRef::Text(bytes),
            Self::Blob(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

fn call(own: &Connection, sql: &str, context: &Context<'_>) -> Result<Found> {
    let arguments = (0..context.len()).map(|at| ToSqlOutput::Borrowed(context.get_raw(at)));
    let mut statement = own.prepare_cached(sql)?;
    let mut rows = statement.query(rusqlite::params_from_iter(arguments)).map_err(told)?;
    let row = rows.next().map_err(told)?.ok_or(Error::QueryReturnedNoRows)?;
    match row.get_ref(0)? {
        ValueRef::Null => Ok(Found::Null),
        ValueRef::Integer(number) => Ok(Found::Integer(number)),
        ValueRef::Text(bytes) => Ok(Found::Text(bytes.to_vec())),
        ValueRef::Blob(bytes) => Ok(Found::Blob(bytes.to_vec())),
        ValueRef::Real(_) => Err(refusal(format!("BUG: {sql} finds a number with a point"))),
    }
}

/// What the caller's own statement says of an error of this function.
fn told(error: Error) -> Error {
    match error {
        Error::SqliteFailure(code, Some(text)) if code.extended_code == ffi::SQLITE_ERROR => refusal(text),
        Error::SqliteFailure(code, _) => Error::SqliteFailure(code, None),
        other => other,
    }
}

fn failed(code: c_int) -> Error {
    Error::SqliteFailure(ffi::Error::new(code), None)
}

fn refusal(text: String) -> Error {
    Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_ERROR), Some(text))
}

/// Bytes of a value, as a text if it is a number.
fn length(value: ValueRef<'_>) -> u64 {
    match value {
        ValueRef::Null => 0,
        ValueRef::Integer(_) | ValueRef::Real(_) => 32,
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => bytes.len() as u64,
    }
}

/// Nothing is left half done by whoever panics with it.
pub(super) fn held<T: ?Sized>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
