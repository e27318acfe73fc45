use super::support::{LIMITS, load, load_with};
use crate::*;

#[test]
fn a_program_tells_its_functions_and_its_schema() {
    // Verifies: FUN-01
    let program = load("export function a() {}\nexport const b = 1;\nexport const c = async () => {};\nexport const _ferry_schema = { version: 1 };")
        .expect("it loads");
    let names: Vec<&str> = program.functions().iter().map(|function| function.name.as_str()).collect();
    assert_eq!(names, ["a", "c"]);
    assert_eq!(program.schema(), Some(r#"{"version":1}"#));
    assert_eq!(load("export const a = 1").expect("it loads").schema(), None);
}

#[test]
fn what_does_not_load_is_told_with_its_place() {
    // Verifies: FUN-68
    // The bundle's first line is line 5 of the source.
    let map = r#"{"version":3,"sources":["../functions/index.ts"],"names":[],"mappings":"AAIA;AACA"}"#;
    let cases = [
        ("export const a = ;", LoadErrorKind::Syntax, "functions/index.ts:5:", ""),
        (
            "const a = 1;\nthrow new Error('at the top')",
            LoadErrorKind::Thrown,
            "functions/index.ts:6:",
            "at the top",
        ),
        ("null.x", LoadErrorKind::Thrown, "functions/index.ts:5:", "TypeError"),
        ("import fs from 'node:fs';", LoadErrorKind::Thrown, "functions/index.ts:5:", "\"node:fs\""),
        ("for (;;) {}", LoadErrorKind::Limit(Limit::Cpu), "the module used more CPU", ""),
        (
            "const a = []; for (;;) a.push(new Array(1000).fill(1))",
            LoadErrorKind::Limit(Limit::Memory),
            "the module exceeded the memory",
            "",
        ),
        ("function f() { f() } f()", LoadErrorKind::Limit(Limit::Stack), "the module exceeded the stack", ""),
        ("await new Promise(() => {})", LoadErrorKind::NeverSettles, "the module's top level awaits", ""),
        ("function again() { queueMicrotask(again) } again()", LoadErrorKind::Limit(Limit::Cpu), "", ""),
        ("setTimeout(() => {}, 1)", LoadErrorKind::Thrown, "functions/index.ts:5:", "while its module loads"),
        ("import { nothing } from '@ferry/server';", LoadErrorKind::Syntax, "", "nothing"),
        ("export { a as b } from 'ferry:runtime';", LoadErrorKind::Thrown, "", "\"ferry:runtime\""),
        ("(", LoadErrorKind::Syntax, "", ""),
        ("\0", LoadErrorKind::Syntax, "", ""),
    ];
    for (bundle, kind, start, part) in cases {
        let limits = RunLimits { cpu_ms: 200, ..LIMITS };
        let error = load_with(bundle, Some(map), limits).err().unwrap_or_else(|| panic!("{bundle} loads"));
        let text = error.to_string();
        assert_eq!(error.kind, kind, "{bundle}: {text}");
        assert!(text.starts_with(start) && text.contains(part), "{bundle}: {text}");
    }
    assert!(load("export const f = () => 1;").is_ok());
}
