use super::support::{MODULES, NOW_MS, Owned, RoteDb, drive, failure_of, load, pool, request, run, value_of};
use crate::*;

#[test]
fn a_function_gets_what_it_was_called_with_and_gives_json() {
    // Verifies: FUN-05
    let pool = pool(
        "export const f = (ctx, args) => ({ args, user: ctx.user, env: ctx.env, h: ctx.headers, id: ctx.requestId })",
    );
    let mut request = request("f", r#"{"a":[1,2],"__proto__":{"x":1}}"#);
    request.user = Some(r#"{"sub":"u1"}"#.into());
    request.headers = vec![("accept".to_owned(), "x".to_owned())].into();
    request.env = std::sync::Arc::new([("SECRET".to_owned(), "s".to_owned())].into());
    let mut call = FunctionCall::begin(pool.take(NOW_MS).expect("a context"), request);
    let outcome = drive(&mut call, &mut RoteDb::default(), |_| None);
    let expected = r#"{"args":{"a":[1,2],"__proto__":{"x":1}},"user":{"sub":"u1"},"env":{"SECRET":"s"},"h":{"accept":"x"},"id":"r1"}"#;
    assert_eq!(outcome.result, Ok(Some(expected.to_owned())));
}

#[test]
fn what_json_does_not_know_is_written_as_specified() {
    let body = "return { d: new Date(0), m: new Map([[1, 2]]), s: new Set([1]), b: 12345678901234567890n, \
                n: NaN, i: Infinity, u: undefined };";
    let expected =
        r#"{"d":"1970-01-01T00:00:00.000Z","m":{},"s":{},"b":"12345678901234567890","n":null,"i":null}"#;
    assert_eq!(value_of(body), expected);
    assert_eq!(value_of("return undefined;"), "", "no result is no member");
    assert_eq!(value_of("return null;"), "null");
}

#[test]
fn results_are_written_as_json_stringify_writes_them() {
    let values = r#"[0, -0, 1.5, 1e21, 1e-7, 123456789012, -5, "a\"\\\n\u0001\u2028é", "\ud83d\ude00", "\ud800", "", null, true,
      [undefined, () => 1, Symbol()], { a: undefined, f() {}, "k\"\n": 1, ["\udc00"]: 2, 2: 3, 1: 4 }, new Number(1),
      new Boolean(false), new Number(NaN), new Date(NaN), { toJSON(key) { return key } }, { x: { toJSON: (key) => key } },
      Object.create({ inherited: 1 }), [[], {}, [[]]], [, 1], new Map([[1, 2]]), new Proxy([1, 2], {}), new Proxy({ a: 1 }, {}),
      Object.create(null), new Uint16Array([1, 2]), Object.defineProperty({}, "hidden", { value: 1 })]"#;
    let outcome = run(&format!("export const f = () => JSON.stringify({values})"), &mut RoteDb::default());
    let expected = outcome.result.expect("it ran").expect("a text");
    let expected: String = serde_json::from_str(&expected).expect("a JSON text");
    assert_eq!(value_of(&format!("return {values}")), expected);
}

#[test]
fn parameters_and_rows_keep_their_values() {
    // Verifies: FUN-06
    let mut db = RoteDb {
        columns: vec!["n", "i", "big", "r", "t", "b", "__proto__"],
        rows: vec![vec![
            Owned::Null,
            Owned::Integer(1 << 53),
            Owned::Integer((1 << 53) + 1),
            Owned::Real(1.5),
            Owned::Text("日本 \0 é".to_owned()),
            Owned::Blob(vec![0, 255, 7]),
            Owned::Integer(9),
        ]],
        ..RoteDb::default()
    };
    let bundle = r#"
        export function f(ctx) {
          const bytes = new Uint8Array([1, 2, 250]);
          const rows = ctx.host.execute("select ?", [null, undefined, 1, 2 ** 40, 1.5, -0, NaN, 9007199254740993n, "ü\ud800", true,
            bytes, bytes.buffer, new Uint16Array([258])], 1).rows;
          const r = rows[0];
          const answer = ctx.host.execute("x", [], 0);
          return [Object.keys(r), r.n, r.i, typeof r.big, r.big, r.r, r.t, [...r.b], r.b instanceof Uint8Array, r["__proto__"],
            answer.columns, answer.rows[0][3], answer.changes, answer.lastInsertRowid, ctx.host.execute("y", [], 2).rows.length];
        }"#;
    let outcome = run(bundle, &mut db);
    let expected = concat!(
        r#"[["n","i","big","r","t","b","__proto__"],null,9007199254740992,"bigint","9007199254740993",1.5,"日本 \u0000 é","#,
        r#"[0,255,7],true,9,["n","i","big","r","t","b","__proto__"],1.5,1,7,0]"#
    );
    assert_eq!(outcome.result, Ok(Some(expected.to_owned())));
    let bound = &db.statements[0].1;
    assert_eq!(
        bound[..],
        [
            Owned::Null,
            Owned::Null,
            Owned::Integer(1),
            Owned::Integer(1 << 40),
            Owned::Real(1.5),
            Owned::Real(-0.0),
            Owned::Null,
            Owned::Integer((1 << 53) + 1),
            Owned::Text("ü\u{fffd}".to_owned()),
            Owned::Integer(1),
            Owned::Blob(vec![1, 2, 250]),
            Owned::Blob(vec![1, 2, 250]),
            Owned::Blob(vec![2, 1]),
        ]
    );
}

#[test]
fn what_cannot_be_bound_is_told() {
    for body in ["ctx.sql('x', {})", "ctx.sql('x', [1])", "ctx.sql('x', Symbol())", "ctx.sql('x', 2n ** 64n)"]
    {
        let failure = failure_of(body);
        assert!(
            matches!(&failure, CallFailure::Thrown { class: ThrownClass::Internal, .. }),
            "{body}: {failure:?}"
        );
    }
}

#[test]
fn the_other_models_and_savepoints_are_reached() {
    let mut db = RoteDb::default();
    let bundle = r#"
        export function f({ host }) {
          host.savepoint("begin"); host.savepoint("release"); host.savepoint("rollback");
          host.subscribeTo(["a", "b", "a"]); host.invalidate("c"); host.warn("w"); host.warn("w"); host.used("user");
          return [host.seq(), host.model("recordsPut", "todo", "t1", "{}"), host.model("opsAppend", "[]")];
        }"#;
    let outcome = run(bundle, &mut db);
    let result = outcome.result.expect("it ran").expect("a result");
    assert!(result.starts_with("[42,\"\\\"RecordsPut { collection: "), "{result}");
    let steps: Vec<&str> = db.statements.iter().map(|(step, _)| step.as_str()).collect();
    assert_eq!(steps, ["Begin", "Release", "Rollback"]);
    assert_eq!(outcome.subscribe_to, ["a", "b"]);
    assert_eq!(outcome.invalidate, ["c"]);
    assert_eq!(outcome.warnings, ["w"]);
    assert!(outcome.used.user && !outcome.used.headers && !outcome.used.clock);
}

#[test]
fn thrown_values_have_the_class_that_the_answer_needs() {
    // Verifies: FUN-45
    use ThrownClass::{Constraint, Function, Internal};
    let wrap = "catch (cause) { throw new Error('Failed query: insert', { cause }); }";
    let cases: &[(&str, ThrownClass, &str)] = &[
        ("throw new Error('NOT_FOUND: no such user')", Function, "NOT_FOUND: no such user"),
        ("throw 'Unauthorized'", Function, "Unauthorized"),
        ("throw { message: 'Forbidden' }", Function, "Forbidden"),
        ("throw undefined", Function, "undefined"),
        ("class Mine extends Error {}; throw new Mine('mine')", Function, "mine"),
        ("null.x", Internal, "TypeError: cannot read property 'x' of null"),
        ("missing()", Internal, "ReferenceError: missing is not defined"),
        ("new Array(-1)", Internal, "RangeError: invalid array length"),
        ("JSON.parse('{')", Internal, ""),
        ("const a = {}; a.a = a; return a", Internal, "TypeError: circular reference"),
        (
            "const q = { then() {} }; q.session = { q }; return { users: q }",
            Internal,
            "TypeError: circular reference: the result holds a query or a promise; await it",
        ),
        ("return { toJSON() { throw new Error('INVALID: no') } }", Function, "INVALID: no"),
        ("ctx.sql('constraint')", Constraint, "UNIQUE constraint failed: users.email"),
        ("ctx.sql('prohibited')", Internal, "access to _ferry_meta is prohibited"),
        ("ctx.sql('broken')", Internal, "no such table: nothing"),
        ("ctx.sql('told')", Function, "CONFLICT: try again"),
        ("throw new Proxy(new Error('x'), { get() { throw 1 } })", Function, "an error that cannot be shown"),
    ];
    for (body, class, message) in cases {
        let CallFailure::Thrown { class: found, message: text, .. } = failure_of(body) else {
            panic!("{body}: {:?}", failure_of(body));
        };
        assert_eq!(found, *class, "{body}: {text}");
        assert!(text.starts_with(message), "{body}: {text}");
    }
    for (sql, class) in [("constraint", Constraint), ("told", Function), ("broken", Internal)] {
        let failure = failure_of(&format!("try {{ ctx.sql('{sql}') }} {wrap}"));
        assert!(
            matches!(&failure, CallFailure::Thrown { class: found, .. } if *found == class),
            "{failure:?}"
        );
    }
}

#[test]
fn a_stack_names_places_in_the_sources() {
    // Verifies: FUN-45
    // Line 2 of the bundle is line 10 of the source, column for column.
    let bundle = "// made\nexport function f() { inner(); }\nfunction inner() { null.x; }\n";
    let map = r#"{"version":3,"sources":["../functions/index.ts"],"names":[],"mappings":";AASA;AACA"}"#;
    let program = super::support::load_with(bundle, Some(map), super::support::LIMITS).expect("it loads");
    let pool = Pool::new(program, 1);
    let mut call = FunctionCall::begin(pool.take(NOW_MS).expect("a context"), request("f", "{}"));
    let outcome = drive(&mut call, &mut RoteDb::default(), |_| None);
    let Err(CallFailure::Thrown { stack, .. }) = outcome.result else { panic!("{:?}", outcome.result) };
    assert!(stack.contains("inner (functions/index.ts:11:"), "{stack}");
    assert!(stack.contains("f (functions/index.ts:10:"), "{stack}");
    assert!(!stack.contains("ferry:prelude"), "{stack}");
}

#[test]
fn a_call_waits_for_timers_and_for_what_it_asked() {
    let pool = pool(
        r#"export async function f(ctx) {
          const token = await ctx.host.sign("{}", "1h");
          const start = Date.now();
          await new Promise((resolve) => setTimeout(resolve, 50, 1));
          const waited = Date.now() - start;
          const order = [];
          setTimeout(() => order.push("b"), 2); setTimeout(() => order.push("a"), 1); clearTimeout(setTimeout(() => order.push("c"), 1));
          let turns = 0;
          await new Promise((resolve) => { const i = setInterval(() => { if (++turns === 3) { clearInterval(i); resolve(); } }, 10); });
          let refused;
          try { await ctx.host.sign("{}", "soon"); } catch (error) { refused = error.message; }
          return [token, waited >= 50 && waited < 1000, order, turns, refused];
        }"#,
    );
    let mut call = FunctionCall::begin(pool.take(NOW_MS).expect("a context"), request("f", "{}"));
    let outcome = drive(&mut call, &mut RoteDb::default(), |ask| {
        let Ask::Sign { expires_in, .. } = ask else { panic!("{ask:?}") };
        let is_good = expires_in == "1h";
        Some(AskAnswer::Sign(if is_good { Ok("t0ken".to_owned()) } else { Err("no time".to_owned()) }))
    });
    assert_eq!(outcome.result, Ok(Some(r#"["t0ken",true,["a","b"],3,"no time"]"#.to_owned())));
    assert!(outcome.used.clock);
}

#[test]
fn after_the_handler_has_returned_nothing_reaches_the_database() {
    // Verifies: FUN-17
    let pool = pool(
        r#"globalThis.seen = [];
        export function f(ctx, { again }) {
          if (again) return globalThis.seen;
          setTimeout(() => globalThis.seen.push("timer"), 0);
          ctx.host.sign("{}", "1h").then(() => globalThis.seen.push("signed"));
          Promise.resolve().then(() => {}).then(() => {}).then(() => {}).then(() => {
            try { ctx.sql("late"); } catch (error) { globalThis.seen.push(error.message); }
          });
          return 1;
        }"#,
    );
    let mut db = RoteDb::default();
    let mut call = FunctionCall::begin(pool.take(NOW_MS).expect("a context"), request("f", "{}"));
    assert_eq!(drive(&mut call, &mut db, |_| None).result, Ok(Some("1".to_owned())));
    pool.give_back(call);
    assert_eq!(pool.idle(), 1);
    let mut call =
        FunctionCall::begin(pool.take(NOW_MS).expect("a context"), request("f", r#"{"again":true}"#));
    let outcome = drive(&mut call, &mut db, |_| None);
    assert_eq!(outcome.result, Ok(Some(r#"["ctx.db was used after the function returned."]"#.to_owned())));
    assert_eq!(db.statements, []);
}

#[test]
fn what_the_database_ends_cannot_be_caught() {
    let cases = [
        "try { ctx.sql('abort') } catch {} return 'went on'",
        "try { ctx.sql('abort') } finally { return 'went on' }",
        "for (;;) { try { ctx.sql('abort') } catch {} }",
        "await new Promise((r) => { try { ctx.sql('abort') } catch {} r() }); return 1",
        "await Promise.reject(1).catch(() => { try { ctx.sql('abort') } catch {} }); return 1",
        "try { ctx.sql('abort') } catch {} ctx.sql('went on')",
        "try { ctx.sql('abort') } catch {} await ctx.host.sign('{}', '1h')",
    ];
    for body in cases {
        let mut db = RoteDb::default();
        let outcome = run(&format!("export async function f(ctx) {{ {body} }}"), &mut db);
        assert_eq!(outcome.result, Err(CallFailure::Aborted), "{body}");
        assert!(db.statements.iter().all(|(sql, _)| sql == "abort"), "{body}");
    }
}

#[test]
fn the_log_is_bounded_and_shows_values() {
    let bundle = r#"export function f() {
        const circle = { name: "c" }; circle.self = circle;
        console.log("a", 1, [1, "two", null], { b: 2n, f() {} }, new Map([[1, { x: 1 }]]), circle, undefined);
        console.error(new TypeError("bad")); console.debug("d"); console.warn("w");
        for (let i = 0; i < 5000; i++) console.log(i);
        console.log("x".repeat(1e6));
      }"#;
    let outcome = run(bundle, &mut RoteDb::default());
    assert_eq!(outcome.result, Ok(None));
    let log = &outcome.log;
    let first = r#"a 1 [ 1, "two", null ] { b: 2n, f: [Function: f] } Map { 1 => { x: 1 } } { name: "c", self: [Circular] } undefined"#;
    assert_eq!((log[0].level, log[0].text.as_str()), (LogLevel::Info, first));
    assert_eq!(log[1].level, LogLevel::Error);
    assert!(log[1].text.starts_with("TypeError: bad\n"), "{}", log[1].text);
    assert_eq!((log[2].level, log[3].level), (LogLevel::Debug, LogLevel::Warn));
    assert_eq!(log.len(), 1001);
    assert!(log[1000].text.starts_with("the log ends here"), "{:?}", log[1000]);
}

#[test]
fn only_embedded_modules_can_be_imported() {
    // Verifies: FUN-10
    assert_eq!(value_of("return (await import('@ferry/server')).greeting"), "\"hello\"");
    for specifier in
        ["ferry:runtime", "ferry:prelude/kernel", "fs", "./x.js", "functions.js", "https://example.com/x.js"]
    {
        let body = format!("try {{ await import('{specifier}') }} catch (error) {{ return error.message }}");
        let expected =
            format!("\"the functions import \\\"{specifier}\\\", which is not available in functions\"");
        assert_eq!(value_of(&body), expected);
    }
    assert!(MODULES.iter().any(|(name, _)| *name == "ferry:runtime"));
    assert!(load("import { greeting } from '@ferry/server'; export const f = () => greeting;").is_ok());
}
