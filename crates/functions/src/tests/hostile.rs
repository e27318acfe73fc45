use std::{sync::mpsc, thread, time::Duration};

use super::support::{LIMITS, NOW_MS, RoteDb, drive, load_with, request};
use crate::*;

/// What a body ends with, under a small CPU limit.
fn end_of(body: &str) -> CallFailure {
    result_of(body, RunLimits { cpu_ms: 200, ..LIMITS }).expect_err(body)
}

fn result_of(body: &str, limits: RunLimits) -> Result<Option<String>, CallFailure> {
    let bundle = format!("export async function f(ctx, args) {{ {body} }}");
    let pool = Pool::new(load_with(&bundle, None, limits).expect("it loads"), 1);
    let mut call = FunctionCall::begin(pool.take(NOW_MS).expect("a context"), request("f", "{}"));
    let outcome = drive(&mut call, &mut RoteDb::default(), |_| None);
    assert!(outcome.cpu_us < 10_000_000, "{body}: took {} us of CPU", outcome.cpu_us);
    pool.give_back(call);
    assert_eq!(pool.idle(), usize::from(!matches!(outcome.result, Err(CallFailure::Limit(_)))), "{body}");
    outcome.result
}

/// Longest that a case may take: long above the limits, on whatever machine.
const END_WITHIN: Duration = Duration::from_secs(60);

/// Runs each body, and tells of all that end otherwise than `is_right` says, or not at all.
fn check_all(
    bodies: &[&'static str],
    limits: RunLimits,
    is_right: fn(&Result<Option<String>, CallFailure>) -> bool,
) {
    let mut wrong = Vec::new();
    for body in bodies.iter().copied() {
        let (sender, ended) = mpsc::channel();
        thread::spawn(move || sender.send(result_of(body, limits)));
        match ended.recv_timeout(END_WITHIN) {
            Ok(result) if is_right(&result) => {}
            Ok(result) => wrong.push(format!("{body}: {result:?}").chars().take(300).collect()),
            Err(error) => wrong.push(format!("{body}: {error}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn endless_work_ends_at_the_cpu_limit() {
    // Verifies: FUN-19
    let bodies = [
        "for (;;) {}",
        "while (true) { try { null.x } catch {} }",
        "for (;;) { try { for (;;) {} } catch {} finally { continue } }",
        "(async function again() { for (;;) await 0 })(); await new Promise(() => {})",
        "await (async function again() { return Promise.resolve().then(again) })()",
        "function again() { queueMicrotask(again) } again(); await new Promise(() => {})",
        "function again() { setTimeout(again, 0) } again(); await new Promise(() => {})",
        "/^(a+)+$/.test('a'.repeat(40) + 'b')",
        "'x'.repeat(30).replace(/(x+x+)+y/g, '')",
        "/(?:a|a|a|a)*b/.exec('a'.repeat(100000))",
        "return { toJSON() { for (;;); } }",
        "return { get x() { for (;;); } }",
        "return { toJSON() { return { toJSON: this.toJSON, next: Object.create(this) } } }",
        "return new Proxy({}, { ownKeys() { for (;;); } })",
        "throw { get message() { for (;;); } }",
        "let a = {}; for (let i = 0; i < 40; i++) a = { a, b: a }; return JSON.stringify(a)",
        "let a = Object.create(null); for (let i = 0; i < 40; i++) a = { a, b: a }; return JSON.stringify(a, null, 1)",
        "let a = []; for (let i = 0; i < 40; i++) a = [a, a]; return a.flat(Infinity)",
        "let a = []; for (let i = 0; i < 40; i++) a = [a, a]; return `${a}`",
        "const a = new Array(1e6).fill(1); for (;;) a.slice()",
        "const a = 'x'.repeat(1e7); for (;;) a.indexOf('y')",
        "const a = new Uint8Array(1e7); for (;;) a.indexOf(1)",
        "const a = {}; for (let i = 0; i < 1e5; i++) a[i] = 1; for (;;) JSON.stringify(a)",
        "const a = `[${'1,'.repeat(1e5)}1]`; for (;;) JSON.parse(a)",
        "const k = await crypto.subtle.importKey('raw', new Uint8Array(8), 'PBKDF2', false, ['deriveBits']); await crypto.subtle.deriveBits({ name: 'PBKDF2', hash: 'SHA-512', salt: new Uint8Array(8), iterations: 4e9 }, k, 512)",
        "throw { toString() { for (;;); } }",
        "[1, 2].sort(() => { for (;;); })",
        "new Promise(function again(resolve) { resolve({ then: again }) }); await new Promise(() => {})",
        "const it = { [Symbol.iterator]: () => ({ next: () => ({ value: 1 }) }) }; new Set(it)",
        "await Promise.all({ [Symbol.iterator]: () => ({ next: () => ({ value: 1 }) }) })",
    ];
    check_all(&bodies, RunLimits { cpu_ms: 200, ..LIMITS }, |result| {
        // A job that finds no memory ends without a word, and what waits for it is never settled.
        matches!(
            result,
            Err(CallFailure::Limit(Limit::Cpu | Limit::Memory | Limit::Stack | Limit::NeverSettles))
        )
    });
}

#[test]
fn memory_ends_at_the_heap_limit() {
    // Verifies: FUN-19
    let bodies = [
        "const a = []; for (;;) a.push(new Array(10000).fill(0))",
        "let s = 'x'; for (;;) s += s",
        "let s = 'x'; for (;;) { s += s; s.charCodeAt(s.length - 1) }",
        "return new ArrayBuffer(1 << 30)",
        "return new Uint8Array(1e9)",
        "return 'x'.repeat(1e9)",
        "return new Array(1e9).fill(1)",
        "const m = new Map(); for (let i = 0; ; i++) m.set(i, i)",
        "const o = {}; for (let i = 0; ; i++) o['k' + i] = i",
        "const all = []; for (;;) all.push(() => all)",
        "const all = []; for (;;) all.push(new Promise(() => {}))",
        "let a = []; for (;;) a = [a, new Array(100)]",
        "await (async () => { const a = []; for (;;) { a.push(new Array(1000).fill(0)); await 0 } })()",
        "return 'x'.repeat(30e6).split('')",
        "return JSON.stringify('\\u0001'.repeat(20e6))",
        "return 'ab'.repeat(10e6).replace(/a/g, 'xxxxxxxxxx')",
    ];
    check_all(&bodies, RunLimits { cpu_ms: 2000, ..LIMITS }, |result| match result {
        Err(CallFailure::Limit(limit)) => matches!(limit, Limit::Memory | Limit::Cpu | Limit::Result),
        // Before it comes to the heap, the engine refuses what is too long for it.
        Err(CallFailure::Thrown { message, .. }) => {
            ["RangeError", "string too long"].iter().any(|part| message.contains(part))
        }
        _ => false,
    });
}

#[test]
fn recursion_ends_at_the_stack_limit() {
    // Verifies: FUN-19
    let bodies = [
        "function again() { again() } again()",
        "function again() { return [1].map(again) } again()",
        "const o = { get x() { return this.x } }; o.x",
        "const o = { toString() { return `${this}` } }; `${o}`",
        "async function again() { await again() } await again()",
        "const p = new Proxy({}, { get: (t, k, r) => r[k] }); p.x",
        "class A { constructor() { new A() } } new A()",
        "let a = []; for (let i = 0; i < 100000; i++) a = [a]; return a",
        "JSON.parse('['.repeat(1e6))",
        "const o = { toJSON() { return JSON.stringify(o) } }; return o",
        "function again() { ctx.sql('x'); again() } again()",
        "function again() { try { again() } finally { again() } } again()",
        "new RegExp('('.repeat(1e5) + ')'.repeat(1e5))",
        "let a = []; for (let i = 0; i < 100000; i++) a = [a]; a.flat(Infinity)",
        "let a = []; for (let i = 0; i < 100000; i++) a = [a]; `${a}`",
    ];
    check_all(&bodies, RunLimits { cpu_ms: 200, ..LIMITS }, |result| match result {
        Err(CallFailure::Limit(limit)) => matches!(limit, Limit::Stack | Limit::Cpu),
        // Parsers say so in their own words.
        Err(CallFailure::Thrown { message, .. }) => {
            ["stack overflow", "SyntaxError"].iter().any(|part| message.contains(part))
        }
        _ => false,
    });
}

#[test]
fn promises_that_never_settle_end_at_once() {
    for body in ["await new Promise(() => {})", "return new Promise(() => {})", "return { then() {} }"] {
        assert_eq!(end_of(body), CallFailure::Limit(Limit::NeverSettles), "{body}");
    }
}

#[test]
fn results_that_are_too_large_are_told_as_such() {
    let bodies =
        ["return 'x'.repeat(9e6)", "return 'x'.repeat(50e6)", "return new Array(1e6).fill('0123456789')"];
    check_all(&bodies, RunLimits { cpu_ms: 5000, ..LIMITS }, |result| {
        matches!(result, Err(CallFailure::Limit(Limit::Result)))
    });
}

#[test]
fn code_from_text_is_refused() {
    for body in [
        "eval('1')",
        "(0, eval)('1')",
        "new Function('return 1')",
        "(() => {}).constructor('return 1')()",
        "(async () => {}).constructor('return 1')()",
        "(function* () {}).constructor('yield 1')()",
        "(async function* () {}).constructor('yield 1')()",
        "Reflect.construct(Function, ['return 1'])",
        "setTimeout('1', 0)",
    ] {
        let failure = end_of(body);
        assert!(
            matches!(&failure, CallFailure::Thrown { class: ThrownClass::Internal, .. }),
            "{body}: {failure:?}"
        );
    }
}

#[test]
fn a_function_that_breaks_its_globals_harms_itself_alone() {
    for body in [
        "Array.prototype.map = null; Promise.prototype.then = null; return 1",
        "Object.defineProperty(Object.prototype, 'columns', { set() { throw 1 } }); try { ctx.sql('x') } catch {} return 1",
        "globalThis.Promise = null; globalThis.Map = null; JSON.stringify = null; return 1",
        "Object.prototype.toJSON = () => 1; return {}",
        "delete globalThis.console; return 1",
        "Error.prepareStackTrace = () => { throw 1 }; return 1",
        "Object.prototype.then = function (resolve) { resolve(1) }; return 1",
        "Object.freeze(globalThis); return 1",
    ] {
        let bundle = format!("export async function f(ctx) {{ {body} }}");
        let pool = Pool::new(load_with(&bundle, None, LIMITS).expect("it loads"), 1);
        for _ in 0..2 {
            let mut call = FunctionCall::begin(pool.take(NOW_MS).expect("a context"), request("f", "{}"));
            // Whatever it answers, it answers.
            drive(&mut call, &mut RoteDb::default(), |_| None);
            pool.give_back(call);
        }
    }
}

#[test]
fn arrays_longer_than_any_heap_are_refused() {
    // Verifies: FUN-19
    // The engine walks them without a look at the clock.
    let bodies = [
        "Array.prototype.indexOf.call({ length: 2 ** 53 - 1 }, 1)",
        "Array.prototype.includes.call({ length: 2 ** 53 - 1 }, 1)",
        "Array.prototype.lastIndexOf.call({ length: 2 ** 53 - 1 }, 1)",
        "Array.prototype.fill.call({ length: 2 ** 53 - 1 }, 1)",
        "const a = []; a.length = 2 ** 32 - 1; for (;;) a.indexOf(1)",
        "Array.from({ length: 2 ** 53 - 1 }, () => 1)",
        "Array.prototype.reverse.call({ length: 2 ** 53 - 1 })",
        "Array.prototype.copyWithin.call({ length: 2 ** 53 - 1 }, 1, 0)",
        "Array.prototype.unshift.call({ length: 2 ** 53 - 2 }, 1)",
        "Array.prototype.splice.call({ length: 2 ** 53 - 1 }, 1, 1)",
        "Array.prototype.shift.call({ length: 2 ** 53 - 1 })",
        "Array.prototype.join.call({ length: 2 ** 31 }, '')",
        "Array.prototype.sort.call({ length: 2 ** 53 - 1 })",
        "const a = []; a.length = 2 ** 32 - 1; return a.flat()",
        "const a = []; a.length = 2 ** 32 - 1; return [].concat(a, a)",
        "const a = []; a.length = 2 ** 32 - 1; return [...a]",
        "const a = []; a.length = 2 ** 32 - 1; return a",
    ];
    check_all(&bodies, RunLimits { cpu_ms: 200, ..LIMITS }, |result| match result {
        Err(CallFailure::Limit(_)) => true,
        Err(CallFailure::Thrown { message, .. }) => message.contains("RangeError"),
        Err(CallFailure::Aborted | CallFailure::Died) | Ok(_) => false,
    });
}
