//! Projects are compiled, and what comes out is run.

use oxc_sourcemap::SourceMap;
use rquickjs::{
    CatchResultExt, Context, Module, Object, Runtime,
    loader::{BuiltinLoader, BuiltinResolver},
};

use super::*;

fn project(files: &[(&str, &str)]) -> ProjectFiles {
    files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect()
}

fn compiled(files: &[(&str, &str)]) -> Compiled {
    compile(&project(files)).unwrap_or_else(|errors| panic!("{}", errors[0]))
}

fn errors(files: &[(&str, &str)]) -> Vec<String> {
    compile(&project(files)).expect_err("it compiles").iter().map(ToString::to_string).collect()
}

/// Runs the module and then `script`, which sees its exports as `program`; the answer is text.
fn run(compiled: &Compiled, script: &str) -> String {
    let runtime = Runtime::new().expect("a runtime");
    let mut resolver = BuiltinResolver::default();
    let mut loader = BuiltinLoader::default();
    for (name, source) in crate::MODULES {
        resolver.add_module(*name);
        loader.add_module(*name, *source);
    }
    runtime.set_loader(resolver, loader);
    let context = Context::full(&runtime).expect("a context");
    context.with(|ctx| {
        let globals = "globalThis.TextEncoder = globalThis.TextDecoder = class {}; globalThis.crypto = { randomUUID: () => 'uuid' };";
        ctx.eval::<(), _>(globals).catch(&ctx).expect("globals");
        let module = Module::declare(ctx.clone(), "bundle", compiled.bundle.as_str())
            .catch(&ctx)
            .unwrap_or_else(|error| panic!("{error}\n{}", compiled.bundle));
        let (module, promise) = module.eval().catch(&ctx).expect("evaluation");
        promise.finish::<()>().catch(&ctx).unwrap_or_else(|error| panic!("{error}\n{}", compiled.bundle));
        let namespace: Object<'_> = module.namespace().expect("a namespace");
        ctx.globals().set("program", namespace).expect("a global");
        ctx.eval::<String, _>(format!("String({script})"))
            .catch(&ctx)
            .unwrap_or_else(|error| panic!("{error}\n{}", compiled.bundle))
    })
}

#[test]
fn a_project_becomes_one_module() {
    let output = compiled(&[
        (
            "schema.ts",
            "import { table, integer, text } from \"@ferry/server/schema\";\n\
             export const users = table(\"users\", { id: integer(\"id\").primaryKey(), name: text(\"name\") });\n\
             export interface Row { id: number }\n",
        ),
        (
            "functions/index.ts",
            "import { eq } from \"drizzle-orm\";\nimport { query, type FerryContext } from \"@ferry/server\";\n\
             import * as schema from \"../schema\";\nimport { users, Row } from \"../schema\";\n\
             export const getUser = query(async (ctx: FerryContext<typeof schema>, args: { id: number }): Promise<Row> => {\n  \
             return ctx.db.select().from(users).where(eq(schema.users.id, args.id)).get();\n});\n\
             export type { Row };\nexport default 7;\n",
        ),
        ("functions/hooks.ts", "export const onPush = () => {};\n"),
    ]);
    assert_eq!(
        run(
            &output,
            "[typeof program.getUser, Object.keys(program._ferry_schema), Object.keys(program._ferry_hooks)].join()"
        ),
        "function,users,onPush"
    );
    assert!(!output.bundle.contains("FerryContext"), "{}", output.bundle);
    assert_eq!(output.files, ["functions/index.ts", "schema.ts", "functions/hooks.ts"]);
}

#[test]
fn scopes_of_files_stay_apart() {
    let output = compiled(&[
        (
            "functions/index.ts",
            "import { value as theirs, read, shadow } from \"./a\";\nconst value = \"mine\";\nconst name = \"index\";\n\
             export const f = () => [value, theirs, read(), shadow(\"arg\"), name, typeof fetch].join();\n",
        ),
        (
            "functions/a.ts",
            "const name = \"a\";\nconst fetch = \"own\";\nexport const value = \"theirs\";\n\
             export const read = () => ({ name, fetch }).name + fetch;\n\
             export function shadow(value: string) { return value + name; }\n",
        ),
    ]);
    assert_eq!(run(&output, "program.f()"), "mine,theirs,aown,arga,index,undefined");
}

#[test]
fn an_import_is_not_caught_by_a_name_inside() {
    let output = compiled(&[
        (
            "functions/index.ts",
            "import { users as table } from \"./a\";\n\
             export function f() { const users = \"inner\"; return users + table; }\n\
             export const g = ({ users } = { users: table }) => users;\n",
        ),
        ("functions/a.ts", "export const users = \"outer\";\n"),
    ]);
    assert_eq!(run(&output, "program.f() + program.g()"), "innerouterouter");
}

#[test]
fn every_form_of_import_and_export() {
    let output = compiled(&[
        (
            "functions/index.ts",
            "import first, { b as second } from \"./a\";\nimport * as all from \"./a\";\nimport Klass from \"./class\";\n\
             import data from \"./data.json\";\nimport \"./effect\";\nimport { deep } from \"../lib\";\n\
             export const f = () => [first(), second, all.c, all.default === first, Object.keys(all), new Klass().x, data.list[1], globalThis.ran, deep].join();\n\
             export { b as renamed } from \"./a\";\nexport * from \"./star\";\nexport * as ns from \"./star\";\n\
             export { second as again };\n",
        ),
        (
            "functions/a.ts",
            "export default function () { return \"default\"; }\nexport let b = 1, [c, { d }] = [2, { d: 3 }];\n\
             export type T = string;\nexport enum Color { Red = \"red\", Blue = \"blue\" }\n",
        ),
        ("functions/class.ts", "export default class { constructor(public x = \"x\") {} }\n"),
        (
            "functions/star.ts",
            "export const star = \"*\";\nexport { c as viaStar } from \"./a\";\nexport default 1;\n",
        ),
        ("functions/data.json", "{ \"list\": [1, 2], \"__proto__\": 1 }"),
        ("functions/effect.ts", "(globalThis as any).ran = true;\nexport {};\n"),
        ("lib/index.ts", "export { deep } from \"./deep.js\";\n"),
        ("lib/deep.ts", "const deep = \"deep\" as const satisfies string;\nexport { deep };\n"),
    ]);
    assert_eq!(
        run(
            &output,
            "[program.f(), program.renamed, program.star, program.viaStar, program.ns.star, program.again].join()"
        ),
        "default,1,2,true,Color,b,c,d,default,x,2,true,deep,1,*,2,*,1"
    );
}

#[test]
fn what_is_built_in_may_be_passed_on() {
    let output = compiled(&[
        (
            "functions/index.ts",
            "import { eq, table, one, EventEmitter, made } from \"./all\";\nimport * as orm from \"drizzle-orm\";\n\
             import { default as Emitter } from \"node:events\";\n\
             export const f = () => [eq === orm.eq, typeof table, one, EventEmitter === Emitter, made()].join();\n",
        ),
        (
            "functions/all.ts",
            "export * from \"drizzle-orm\";\nexport * from \"@ferry/server/schema\";\nexport { default as EventEmitter } from \"events\";\n\
             export { default as made, default_export as one } from \"./made\";\nexport { default } from \"./made\";\n",
        ),
        (
            "functions/made.ts",
            "export const default_export = 1;\nnamespace Inner { export const x = \"inner\"; }\ndeclare const nowhere: number;\n\
             const waited = await Promise.resolve(\"waited\");\nexport default () => Inner.x + waited;\n",
        ),
    ]);
    assert_eq!(run(&output, "program.f()"), "true,function,1,true,innerwaited");
}

#[test]
fn files_that_import_each_other_work_as_modules_do() {
    let output = compiled(&[
        (
            "functions/index.ts",
            "import { even } from \"./even\";\nexport const f = () => [even(10), even(7)].join();\n",
        ),
        (
            "functions/even.ts",
            "import { odd } from \"./odd\";\nimport * as self from \"./even\";\nexport function even(n: number): boolean { return n === 0 || odd(n - 1); }\nexport const name = typeof self;\n",
        ),
        (
            "functions/odd.ts",
            "import { even } from \"./even\";\nexport const odd = (n: number): boolean => n !== 0 && even(n - 1);\n",
        ),
    ]);
    assert_eq!(run(&output, "program.f()"), "true,false");
    // A file runs after those that it imports, in the order of its imports, and once.
    let order = compiled(&[
        (
            "functions/index.ts",
            "import \"./b\";\nimport \"./a\";\nglobalThis.order.push(\"index\");\nexport const f = () => globalThis.order.join();\n",
        ),
        ("functions/a.js", "import \"./start\";\nglobalThis.order.push(\"a\");\n"),
        ("functions/b.js", "import \"./start\";\nimport \"./a\";\nglobalThis.order.push(\"b\");\n"),
        ("functions/start.js", "globalThis.order = [\"start\"];\n"),
    ]);
    assert_eq!(run(&order, "program.f()"), "start,a,b,index");
}

#[test]
fn live_bindings_stay_live() {
    let output = compiled(&[
        (
            "functions/index.ts",
            "import { count, up } from \"./a\";\nexport { count };\nexport const f = () => { up(); up(); return count; };\n",
        ),
        ("functions/a.ts", "export let count = 0;\nexport const up = () => { count += 1; };\n"),
    ]);
    assert_eq!(run(&output, "program.f() + program.count"), "4");
}

#[test]
fn types_alone_need_no_export() {
    let output = compiled(&[
        (
            "functions/index.ts",
            "import { Row, make } from \"./types\";\nimport type { Other } from \"./types\";\nexport { Row, make } from \"./types\";\n\
             export type Mine = Other;\nexport const f = (row: Row): Other => make(row);\n",
        ),
        (
            "functions/types.ts",
            "export interface Row { a: 1 }\nexport type Other = Row;\nexport const make = (row: Row) => row;\n",
        ),
    ]);
    assert_eq!(run(&output, "[program.f(5), Object.keys(program)].join()"), "5,f,make");
}

#[test]
fn errors_name_file_line_and_column() {
    let syntax = errors(&[("functions/index.ts", "export const a = 1;\nconst b = ;\n")]);
    assert!(syntax[0].starts_with("functions/index.ts:2:11: "), "{syntax:?}");
    assert!(syntax[0].ends_with("\n  const b = ;\n            ^"), "{syntax:?}");
    let found = errors(&[
        (
            "functions/index.ts",
            "import { a, b } from \"./a\";\nimport { eqq } from \"drizzle-orm\";\nexport const f = () => a + b + eqq;\n",
        ),
        ("functions/a.ts", "export const a = 1;\n"),
    ]);
    assert_eq!(
        found,
        [
            "functions/index.ts:1:13: \"./a\" exports no \"b\"\n  import { a, b } from \"./a\";\n              ^",
            "functions/index.ts:2:10: \"drizzle-orm\" exports no \"eqq\"\n  import { eqq } from \"drizzle-orm\";\n           ^",
        ]
    );
    let package =
        errors(&[("functions/index.ts", "\nimport { z } from \"zod\";\nexport const f = () => z;\n")]);
    assert!(package[0].starts_with("functions/index.ts:2:19: \"zod\" is an npm package"), "{package:?}");
    let built_in = errors(&[("functions/index.ts", "import \"node:fs\";\n")]);
    assert!(
        built_in[0].starts_with("functions/index.ts:1:8: \"node:fs\" of Node.js is not available"),
        "{built_in:?}"
    );
    let dynamic = errors(&[("functions/index.ts", "export const f = () => import(\"./a\");\n")]);
    assert!(dynamic[0].contains("import() cannot be linked"), "{dynamic:?}");
    let json = errors(&[
        ("functions/index.ts", "import x from \"./x.json\";\nexport const f = () => x;\n"),
        ("functions/x.json", "{\n  \"a\": }\n"),
    ]);
    assert!(json[0].starts_with("functions/x.json:2:8: This is not JSON"), "{json:?}");
    assert_eq!(
        errors(&[("schema.ts", "")]),
        ["functions/index.ts is missing: export your functions from it by name"]
    );
    let twice = errors(&[("functions/index.ts", "const a = 1;\nconst a = 2;\n")]);
    assert!(twice[0].starts_with("functions/index.ts:"), "{twice:?}");
}

#[test]
fn the_source_map_leads_back_to_the_sources() {
    let output = compiled(&[
        (
            "functions/index.ts",
            "import { boom } from \"./a\";\ninterface Long {\n  a: string;\n}\nexport const f = (x: Long) => boom(x);\n",
        ),
        (
            "functions/a.ts",
            "type T = { a: string };\n\nexport function boom(t: T) {\n  throw new Error(\"here\" + t);\n}\n",
        ),
    ]);
    let map = SourceMap::from_json_string(&output.source_map).expect("a source map");
    let table = map.generate_lookup_table();
    let original = |text: &str| {
        let (line, found) = output
            .bundle
            .lines()
            .enumerate()
            .find(|(_, line)| line.contains(text))
            .expect("it is in the bundle");
        let column = found.find(text).expect("found above");
        let token = map
            .lookup_source_view_token(
                &table,
                u32::try_from(line).expect("a line"),
                u32::try_from(column).expect("a column"),
            )
            .expect("a token");
        (token.get_source().map(ToString::to_string), token.get_src_line() + 1, token.get_src_col() + 1)
    };
    assert_eq!(original("throw new"), (Some("functions/a.ts".to_owned()), 4, 3));
    assert_eq!(original("boom(x)"), (Some("functions/index.ts".to_owned()), 5, 31));
    assert_eq!(map.get_source_contents().count(), 2);
}
