//! What was thrown: whose error it is, and what it says.

use rquickjs::{Array, Coerced, Ctx, FromJs, Object, Value};

use crate::{
    call::{CallFailure, Limit, ThrownClass},
    positions::{Positions, excerpt},
    state::shorten,
};

/// Longest message and stack, bytes.
const TEXT_MAX: usize = 16 * 1024;
/// How deep causes are followed: drizzle wraps what the database said once.
const CAUSES_MAX: usize = 8;
/// Errors of an `AggregateError` that are told.
const ERRORS_MAX: usize = 8;
/// How the engine begins messages that do not name what they are about: `not a function`, `not an object`.
const NAMELESS: &str = "not a";
/// Errors that engines throw for mistakes of the code (FUN-45).
const ENGINE_ERRORS: [&str; 7] =
    ["TypeError", "ReferenceError", "RangeError", "SyntaxError", "InternalError", "EvalError", "URIError"];

/// What `throw null` says. The engine throws null, too, where no memory is left for an error.
pub(crate) const NULL_THROWN: &str =
    "null was thrown: by the function, or by the engine where no memory was left (functions.heap_bytes).";

/// What an error without a message says.
const NO_MESSAGE: &str = "an error without a message was thrown.";

/// A value that was thrown, in words.
pub(crate) struct Thrown {
    /// `TypeError`, …; empty if it is no error object.
    pub(crate) name: String,
    pub(crate) message: String,
    /// As the engine wrote it.
    pub(crate) stack: String,
}

impl Thrown {
    /// Reading it may run code of the function: a getter, `toString`.
    pub(crate) fn of<'js>(ctx: &Ctx<'js>, value: &Value<'js>) -> Self {
        let Some(object) = value.as_object() else {
            let message = if value.is_null() { NULL_THROWN.to_owned() } else { text(ctx, value.clone()) };
            return Self { name: String::new(), message, stack: String::new() };
        };
        let message = property(ctx, object, "message").unwrap_or_else(|| text(ctx, value.clone()));
        let name = property(ctx, object, "name").filter(|_| value.is_error()).unwrap_or_default();
        Self { name, message, stack: property(ctx, object, "stack").unwrap_or_default() }
    }

    fn is_engine_error(&self) -> bool {
        ENGINE_ERRORS.contains(&self.name.as_str())
    }

    /// The limit that the engine reports by this error.
    pub(crate) fn limit(&self) -> Option<Limit> {
        match self.message.as_str() {
            "out of memory" | "invalid string length" | "string too long" if self.is_engine_error() => {
                Some(Limit::Memory)
            }
            "Maximum call stack size exceeded" if self.is_engine_error() => Some(Limit::Stack),
            _ => None,
        }
    }

    /// `TypeError: x is not a function`
    pub(crate) fn headline(&self) -> String {
        if self.name.is_empty() || self.name == "Error" {
            self.message.clone()
        } else {
            format!("{}: {}", self.name, self.message)
        }
    }
}

/// What an uncaught error means for the call.
pub(crate) fn failure<'js>(
    ctx: &Ctx<'js>,
    value: &Value<'js>,
    (bundle, positions): (&str, &Positions),
) -> CallFailure {
    let thrown = Thrown::of(ctx, value);
    if let Some(limit) = thrown.limit() {
        return CallFailure::Limit(limit);
    }
    let mut stack = positions.of_stack(&thrown.stack);
    let (class, mut message) = told(ctx, value, &thrown);
    if class == ThrownClass::Internal
        && thrown.message.starts_with(NAMELESS)
        && let Some(near) = excerpt(bundle, &thrown.stack)
    {
        message = format!("{message}, near `{near}`");
    }
    add_others(ctx, value, positions, &mut stack);
    shorten(&mut stack, TEXT_MAX);
    CallFailure::Thrown { class, message, stack }
}

/// Where the code was that threw, in files, lines and columns of the source.
pub(crate) fn place<'js>(ctx: &Ctx<'js>, value: &Value<'js>, positions: &Positions) -> String {
    let stack = value.as_object().and_then(|object| property(ctx, object, "stack"));
    stack.map_or_else(String::new, |stack| positions.of_stack(&stack))
}

/// Whose an error is, and what callers or logs are told of it.
fn told<'js>(ctx: &Ctx<'js>, value: &Value<'js>, thrown: &Thrown) -> (ThrownClass, String) {
    match sql_error(ctx, value) {
        Some((kind, message)) if kind == "constraint" => (ThrownClass::Constraint, message),
        Some((kind, message)) if kind == "told" => (ThrownClass::Function, message),
        Some((_, message)) => (ThrownClass::Internal, message),
        None if thrown.is_engine_error() => (ThrownClass::Internal, thrown.headline()),
        None if thrown.message.is_empty() => {
            told_of_all(ctx, value).unwrap_or_else(|| (ThrownClass::Function, NO_MESSAGE.to_owned()))
        }
        None => (ThrownClass::Function, thrown.message.clone()),
    }
}

/// The same of an `AggregateError` without a message of its own, as `Promise.any` makes it: what its errors say.
fn told_of_all<'js>(ctx: &Ctx<'js>, value: &Value<'js>) -> Option<(ThrownClass, String)> {
    let errors = errors_of(ctx, value);
    let all: Vec<_> = errors
        .iter()
        .map(|error| {
            let thrown = Thrown::of(ctx, error);
            // An aggregate of aggregates is not followed.
            if thrown.message.is_empty() {
                (ThrownClass::Function, NO_MESSAGE.to_owned())
            } else {
                told(ctx, error, &thrown)
            }
        })
        .collect();
    let has = |class| all.iter().any(|(of, _)| *of == class);
    let class = match (has(ThrownClass::Internal), has(ThrownClass::Function)) {
        (true, _) => ThrownClass::Internal,
        (false, true) => ThrownClass::Function,
        (false, false) => ThrownClass::Constraint,
    };
    let mut message = all.iter().map(|(_, message)| message.as_str()).collect::<Vec<_>>().join("; ");
    shorten(&mut message, TEXT_MAX);
    (!all.is_empty()).then_some((class, message))
}

/// Adds to a stack what caused the error, and the errors of which it is one.
fn add_others<'js>(ctx: &Ctx<'js>, value: &Value<'js>, positions: &Positions, stack: &mut String) {
    let mut add = |how: &str, other: &Value<'js>| {
        let thrown = Thrown::of(ctx, other);
        let (headline, frames) = (thrown.headline(), positions.of_stack(&thrown.stack));
        let break_before = if stack.is_empty() { "" } else { "\n" };
        let break_within = if frames.is_empty() { "" } else { "\n" };
        stack.push_str(&format!("{break_before}{how}{headline}{break_within}{frames}"));
    };
    for error in errors_of(ctx, value) {
        add("one of them: ", &error);
    }
    let mut seen = vec![value.clone()];
    while seen.len() <= CAUSES_MAX
        && let Some(object) = seen.last().and_then(Value::as_object)
        && let Some(Some(cause)) = caught(ctx, object.get::<_, Option<Value<'js>>>("cause"))
        && !cause.is_null()
        && !seen.contains(&cause)
    {
        add("caused by ", &cause);
        seen.push(cause);
    }
}

/// The first errors of an `AggregateError`.
fn errors_of<'js>(ctx: &Ctx<'js>, value: &Value<'js>) -> Vec<Value<'js>> {
    let object = value.as_object().filter(|_| value.is_error());
    let Some(object) =
        object.filter(|object| property(ctx, object, "name").as_deref() == Some("AggregateError"))
    else {
        return Vec::new();
    };
    let Some(Some(errors)) = caught(ctx, object.get::<_, Option<Array<'js>>>("errors")) else {
        return Vec::new();
    };
    (0..errors.len().min(ERRORS_MAX)).filter_map(|index| caught(ctx, errors.get(index))).collect()
}

/// Kind and message of the error of SQL that this is, or that caused it.
fn sql_error<'js>(ctx: &Ctx<'js>, value: &Value<'js>) -> Option<(String, String)> {
    let mut error = value.as_object()?.clone();
    for _ in 0..CAUSES_MAX {
        if property(ctx, &error, "name").as_deref() == Some("SqlError") {
            return Some((property(ctx, &error, "kind")?, property(ctx, &error, "message")?));
        }
        error = caught(ctx, error.get::<_, Option<Object<'js>>>("cause"))??;
    }
    None
}

/// A property that is a text.
fn property<'js>(ctx: &Ctx<'js>, object: &Object<'js>, name: &str) -> Option<String> {
    let value: Value<'js> = caught(ctx, object.get(name))?;
    value.as_string()?;
    Some(text(ctx, value))
}

/// A value as `String(value)` writes it.
fn text<'js>(ctx: &Ctx<'js>, value: Value<'js>) -> String {
    let Coerced(mut text) = caught(ctx, Coerced::<String>::from_js(ctx, value))
        .unwrap_or_else(|| Coerced("an error that cannot be shown".to_owned()));
    shorten(&mut text, TEXT_MAX);
    text
}

/// What is thrown while an error is read is dropped.
fn caught<T>(ctx: &Ctx<'_>, result: rquickjs::Result<T>) -> Option<T> {
    if result.is_err() {
        ctx.catch();
    }
    result.ok()
}
