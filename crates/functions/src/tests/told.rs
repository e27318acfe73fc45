//! What the log and the caller are told of mistakes.

use super::support::{LIMITS, NOW_MS, RoteDb, drive, load_with, request, run};
use crate::*;

/// A function whose body begins on line 11 of `functions/index.ts`, in column 1.
fn outcome_of(body: &str) -> FunctionOutcome {
    outcome_under(body, LIMITS)
}

fn outcome_under(body: &str, limits: RunLimits) -> FunctionOutcome {
    let bundle = format!("export async function f(ctx, args) {{\n{body}\n}}");
    let lines = "AACA;".repeat(body.lines().count());
    let map = format!(
        r#"{{"version":3,"sources":["../functions/index.ts"],"names":[],"mappings":"AASA;{lines}"}}"#
    );
    let pool = Pool::new(load_with(&bundle, Some(&map), limits).expect("it loads"), 1);
    let mut call = FunctionCall::begin(pool.take(NOW_MS).expect("a context"), request("f", "{}"));
    drive(&mut call, &mut RoteDb::default(), |ask| panic!("unexpected: {ask:?}"))
}

fn thrown(body: &str) -> (ThrownClass, String, String) {
    match outcome_of(body).result {
        Err(CallFailure::Thrown { class, message, stack }) => (class, message, stack),
        other => panic!("{body}: {other:?}"),
    }
}

fn log_of(body: &str) -> Vec<(LogLevel, String)> {
    let outcome = outcome_of(body);
    assert!(outcome.result.is_ok(), "{body}: {:?}", outcome.result);
    outcome.log.into_iter().map(|line| (line.level, line.text)).collect()
}

// `Promise.any` was told as "an error without a message was thrown".
// Verifies: FUN-45
#[test]
fn an_aggregate_says_what_its_errors_say() {
    use ThrownClass::{Constraint, Function, Internal};
    for (body, class, message) in [
        (
            "return Promise.any([Promise.reject(new Error('NOT_FOUND: a')), Promise.reject('b')])",
            Function,
            "NOT_FOUND: a; b",
        ),
        ("throw new AggregateError([new Error('a')], 'its own')", Function, "its own"),
        ("throw new AggregateError([new Error('a'), new TypeError('b')])", Internal, "a; TypeError: b"),
        ("throw new AggregateError([])", Function, "an error without a message was thrown."),
        (
            "const e = new AggregateError([]); e.errors = [e]; throw e",
            Function,
            "an error without a message was thrown.",
        ),
        (
            "const e = new AggregateError([]); e.errors = 5; throw e",
            Function,
            "an error without a message was thrown.",
        ),
        (
            "try { ctx.sql('constraint') } catch (error) { throw new AggregateError([error]) }",
            Constraint,
            "UNIQUE constraint failed: users.email",
        ),
        (
            "try { ctx.sql('broken') } catch (error) { throw new AggregateError([new Error('a'), error]) }",
            Internal,
            "a; no such table: nothing",
        ),
    ] {
        let (found_class, found, _) = thrown(body);
        assert_eq!((found_class, found.as_str()), (class, message), "{body}");
    }
}

// The engine says "not a function", and not which.
// Verifies: FUN-45
#[test]
fn what_is_no_function_is_shown_where_it_stands() {
    for (body, message) in [
        ("return ctx.db.selct()", "TypeError: cannot read property 'selct' of undefined"),
        ("return ctx.selct().from(1)", "TypeError: not a function, near `return ctx.selct().from(1)`"),
        ("return [1].map(undefined)", "TypeError: not a function, near `return [1].map(undefined)`"),
        ("return new ctx.Nothing()", "TypeError: not a function, near `return new ctx.Nothing()`"),
        (
            "throw new TypeError('not a thing of mine')",
            "TypeError: not a thing of mine, near `throw new TypeError('not a thing of mine')`",
        ),
    ] {
        let (class, found, stack) = thrown(body);
        assert_eq!((class, found.as_str()), (ThrownClass::Internal, message), "{body}");
        assert!(stack.contains("functions/index.ts:11:"), "{body}: {stack}");
    }
    let far = format!("const a = '{}'; return ctx.selct('日本')", "日".repeat(300));
    let (_, found, _) = thrown(&far);
    assert!(found.contains("ctx.selct('日本')") && found.chars().count() < 160, "{found}");
}

// Verifies: FUN-45
#[test]
fn causes_are_told_behind_the_error() {
    let (_, message, stack) = thrown("throw new Error('outer', { cause: new RangeError('inner') })");
    assert_eq!(message, "outer");
    let lines: Vec<_> = stack.lines().collect();
    assert!(lines[0].contains("functions/index.ts:11:"), "{stack}");
    assert_eq!(lines[1], "caused by RangeError: inner");
    assert!(lines[2].contains("functions/index.ts:11:"), "{stack}");
    let (_, _, stack) = thrown("const e = new Error('self'); e.cause = e; throw e");
    assert!(!stack.contains("caused by"), "{stack}");
    let (_, _, stack) = thrown(
        "let e = new Error('0'); for (let i = 1; i < 100; i++) e = new Error(`${i}`, { cause: e }); throw e",
    );
    assert_eq!(stack.matches("caused by").count(), 8);
    let (_, _, stack) = thrown("throw { message: 'plain', cause: 'text' }");
    assert_eq!(stack, "caused by text");
    let (_, _, stack) = thrown("return Promise.any([Promise.reject(new Error('a'))])");
    assert!(stack.starts_with("one of them: a\n    at f (functions/index.ts:11:"), "{stack}");
}

// Their frames named lines of the bundle, and of Ferry.
// Verifies: FUN-45
#[test]
fn errors_in_the_log_name_lines_of_the_source() {
    let log = log_of("console.error('failed:', new Error('here')); console.log('    at nothing (else)')");
    assert_eq!(log.len(), 2);
    assert!(log[0].1.starts_with("failed: Error: here\n    at f (functions/index.ts:11:"), "{log:?}");
    assert_eq!(log[1].1, "    at nothing (else)");
    let log = log_of(
        "setTimeout(() => { throw new Error('late') }, 0); await new Promise((done) => setTimeout(done, 5))",
    );
    assert!(log[0].1.contains("late") && log[0].1.contains("functions/index.ts:11:"), "{log:?}");
    assert!(!log[0].1.contains("ferry:"), "{log:?}");
}

// It was lost without a word.
// Verifies: FUN-17
#[test]
fn a_rejected_promise_that_nothing_awaits_is_logged() {
    for body in [
        "Promise.reject(new Error('lost'))",
        "(async () => { await null; throw new Error('lost') })()",
        "(async () => { await null; await null; await null; throw new Error('lost') })(); await null",
        "Promise.resolve().then(() => { throw new Error('lost') })",
    ] {
        let log = log_of(body);
        assert_eq!(log.len(), 1, "{body}: {log:?}");
        let (level, text) = &log[0];
        assert_eq!(*level, LogLevel::Error, "{body}");
        assert!(text.starts_with("a promise was rejected and nothing awaited it: lost"), "{body}: {text}");
        assert!(text.contains("functions/index.ts:11:"), "{body}: {text}");
    }
    for body in [
        "const p = Promise.reject(new Error('x')); await null; await null; await p.catch(() => {})",
        "await Promise.allSettled([Promise.reject(1), (async () => { throw 2 })()])",
        "await Promise.race([new Promise((done) => setTimeout(done, 1)), Promise.resolve()]); Promise.reject(1).catch(() => {})",
        "try { await (async () => { throw 1 })() } catch {}",
        "return { then(resolve) { resolve(1) } }",
    ] {
        assert_eq!(log_of(body), [], "{body}");
    }
    // Its own failure is its answer, and no line of the log.
    for body in ["throw new Error('x')", "await Promise.reject(new Error('x'))", "return Promise.reject(1)"] {
        assert_eq!(outcome_of(body).log, [], "{body}");
    }
    assert_eq!(log_of("for (let i = 0; i < 1000; i++) Promise.reject(i)").len(), 20);
    // Those of one call are nothing to the next one.
    let pool = Pool::new(
        load_with("export async function f(ctx, { lose }) { if (lose) Promise.reject(1) }", None, LIMITS)
            .expect("it loads"),
        1,
    );
    for (args, lines) in [("{\"lose\":true}", 1), ("{}", 0)] {
        let mut call = FunctionCall::begin(pool.take(NOW_MS).expect("a context"), request("f", args));
        let outcome = drive(&mut call, &mut RoteDb::default(), |_| None);
        assert_eq!(outcome.log.len(), lines, "{args}");
        pool.give_back(call);
    }
}

// Verifies: FUN-19, FUN-45
#[test]
fn what_ended_at_a_limit_is_told_with_its_place() {
    let limits = RunLimits { cpu_ms: 100, ..LIMITS };
    for body in
        ["for (;;) {}", "const again = () => again() + 1; again()", "return { toJSON() { for (;;); } }"]
    {
        let outcome = outcome_under(body, limits);
        assert!(matches!(outcome.result, Err(CallFailure::Limit(_))), "{body}: {:?}", outcome.result);
        // Of a loop without anything in it the engine knows the function alone.
        assert!(outcome.ended_at.contains("functions/index.ts:1"), "{body}: {}", outcome.ended_at);
    }
    // What runs after an await is ended without a word from the engine.
    let later = outcome_under("await null; for (;;) {}", limits);
    assert_eq!((later.result, later.ended_at.as_str()), (Err(CallFailure::Limit(Limit::Cpu)), ""));
    assert_eq!(run("export async function f() {}", &mut RoteDb::default()).ended_at, "");
}

// After 10 ms of CPU it was told as the memory limit, and the log did not say that it may be something else.
// Verifies: FUN-19
#[test]
fn null_is_told_as_the_memory_limit_only_where_the_heap_may_have_been_full() {
    let spin = |ms: u32| {
        format!("const until = performance.now() + {ms}; while (performance.now() < until); throw null")
    };
    let early = outcome_of(&spin(20));
    let neutral =
        "null was thrown: by the function, or by the engine where no memory was left (functions.heap_bytes).";
    assert!(
        matches!(&early.result, Err(CallFailure::Thrown { message, .. }) if message == neutral),
        "{:?}",
        early.result
    );
    let late = outcome_of(&spin(150));
    assert_eq!(late.result, Err(CallFailure::Limit(Limit::Memory)));
    assert_eq!(late.log.len(), 1);
    assert_eq!(late.log[0].text, neutral);
    let full = outcome_of("const all = []; for (;;) all.push({})");
    assert_eq!(full.result, Err(CallFailure::Limit(Limit::Memory)));
}
