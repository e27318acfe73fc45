//! Projects in TypeScript, compiled, and run over what is built in.

use super::support::{LIMITS, NOW_MS, Owned, RoteDb, drive, request};
use crate::*;

const SCHEMA: &str = r#"
import { collection, integer, table, text } from "@ferry/server/schema";
export const users = table("users", {
  id: integer("id").primaryKey(),
  fullName: text("full_name").notNull(),
  active: integer("active", { mode: "boolean" }).notNull().default(true),
  createdAt: integer("created_at", { mode: "timestamp_ms" }),
});
export const tasks = collection("tasks", { app: "todo", title: text().index() });
"#;

const FUNCTIONS: &str = r#"
import { eq } from "drizzle-orm";
import { query, mutation, internal, verifyJwt, type FerryContext } from "@ferry/server";
import path from "node:path";
import { Buffer } from "buffer";
import * as schema from "../schema";
import { users } from "../schema";

type Ctx = FerryContext<typeof schema>;
export const getUser = query(async (ctx: Ctx, args: { id: number }) => ctx.db.select().from(users).where(eq(users.id, args.id)).get());
export const addUser = mutation(async (ctx: Ctx) => {
  await ctx.db.transaction(async (tx) => { await tx.insert(users).values({ fullName: "Ann" }); });
  return ctx.db.insert(users).values({ fullName: "Ben", createdAt: new Date(5) }).returning({ id: users.id });
});
export const empty = internal(async (ctx: Ctx) => ctx.db.delete(users));
export const check = async (_: Ctx, args: { token: string }) => verifyJwt(args.token, {}, { issuer: "i" });
export const shims = () => [path.join("a", "..", "b"), Buffer.from([195, 169]).toString("hex"), new Uint8Array([1]), 2n ** 60n];
"#;

fn program() -> Program {
    let files = [("schema.ts", SCHEMA), ("functions/index.ts", FUNCTIONS)];
    let project: ProjectFiles = files.map(|(path, text)| (path.to_owned(), text.to_owned())).into();
    let compiled = compile(&project).unwrap_or_else(|errors| panic!("{}", errors[0]));
    let source =
        ProgramSource { bundle: &compiled.bundle, source_map: Some(&compiled.source_map), modules: MODULES };
    Program::load(&source, LIMITS, NOW_MS).unwrap_or_else(|error| panic!("{error}\n{}", compiled.bundle))
}

fn outcome(program: &Program, function: &str, args: &str, db: &mut RoteDb) -> FunctionOutcome {
    let pool = Pool::new(program.clone(), 1);
    let mut call = FunctionCall::begin(pool.take(NOW_MS).expect("a context"), request(function, args));
    drive(&mut call, db, |ask| panic!("unexpected: {ask:?}"))
}

#[test]
fn a_program_tells_its_kinds_and_its_schema() {
    // Verifies: FUN-01, FUN-02
    let program = program();
    let mut kinds: Vec<_> =
        program.functions().iter().map(|info| (info.name.as_str(), info.kind, info.internal)).collect();
    kinds.sort_by_key(|(name, _, _)| *name);
    assert_eq!(
        kinds,
        [
            ("addUser", FunctionKind::Mutation, false),
            ("check", FunctionKind::Auto, false),
            ("empty", FunctionKind::Auto, true),
            ("getUser", FunctionKind::Query, false),
            ("shims", FunctionKind::Auto, false),
        ]
    );
    let schema: serde_json::Value =
        serde_json::from_str(program.schema().expect("a schema")).expect("it is JSON");
    assert_eq!(schema["tables"][0]["columns"][1]["name"], "full_name");
    assert_eq!(schema["collections"][0]["fields"][0]["index"], true);
}

#[test]
fn rows_come_with_the_names_and_types_of_the_schema() {
    // Verifies: FUN-06
    let mut db = RoteDb {
        columns: vec!["id", "full_name", "active", "created_at"],
        rows: vec![vec![
            Owned::Integer(7),
            Owned::Text("Ann".to_owned()),
            Owned::Integer(1),
            Owned::Integer(5),
        ]],
        ..RoteDb::default()
    };
    let outcome = outcome(&program(), "getUser", r#"{"id":7}"#, &mut db);
    let row = r#"{"id":7,"fullName":"Ann","active":true,"createdAt":"1970-01-01T00:00:00.005Z"}"#;
    assert_eq!(outcome.result, Ok(Some(row.to_owned())));
    let sql =
        r#"select "id", "full_name", "active", "created_at" from "users" where "users"."id" = ? limit ?"#;
    assert_eq!(db.statements, [(sql.to_owned(), vec![Owned::Integer(7), Owned::Integer(1)])]);
}

#[test]
fn writes_go_through_savepoints_and_guards() {
    // Verifies: FUN-16, FUN-40
    let program = program();
    let mut db = RoteDb { columns: vec!["id"], rows: vec![vec![Owned::Integer(2)]], ..RoteDb::default() };
    assert_eq!(outcome(&program, "addUser", "{}", &mut db).result, Ok(Some(r#"[{"id":2}]"#.to_owned())));
    let statements: Vec<&str> = db.statements.iter().map(|(sql, _)| sql.as_str()).collect();
    let insert = |values: &str| {
        format!(r#"insert into "users" ("id", "full_name", "active", "created_at") values {values}"#)
    };
    assert_eq!(
        statements,
        ["Begin", &insert("(null, ?, ?, null)"), "Release", &insert(r#"(null, ?, ?, ?) returning "id""#)]
    );
    let blocked = outcome(&program, "empty", "{}", &mut db).result;
    let Err(CallFailure::Thrown { class: ThrownClass::Function, message, .. }) = blocked else {
        panic!("{blocked:?}");
    };
    assert_eq!(message, "[Ferry] DELETE without WHERE is blocked. If intentional, chain .withoutWhere().");
}

#[test]
fn what_node_has_built_in_is_there_in_parts() {
    // Verifies: FUN-10
    let outcome = outcome(&program(), "shims", "{}", &mut RoteDb::default());
    assert_eq!(outcome.result, Ok(Some(r#"["b","c3a9","AQ==","1152921504606846976"]"#.to_owned())));
}

#[test]
fn tokens_are_verified_by_the_host() {
    // Verifies: FUN-55
    let pool = Pool::new(program(), 1);
    let verified = |token: &str| {
        let args = format!(r#"{{"token":"{token}"}}"#);
        let mut call = FunctionCall::begin(pool.take(NOW_MS).expect("a context"), request("check", &args));
        let outcome = drive(&mut call, &mut RoteDb::default(), |ask| {
            let Ask::Verify { token, issuer, audience } = ask else { panic!("{ask:?}") };
            assert_eq!((issuer.as_deref(), audience.as_deref()), (Some("i"), None));
            let is_good = token == "good";
            let answer =
                if is_good { Ok(r#"{"sub":"u1"}"#.to_owned()) } else { Err("Token expired".to_owned()) };
            Some(AskAnswer::Verify(answer))
        });
        outcome.result
    };
    assert_eq!(verified("good"), Ok(Some(r#"{"ok":true,"payload":{"sub":"u1"}}"#.to_owned())));
    assert_eq!(verified("bad"), Ok(Some(r#"{"ok":false,"error":"Token expired"}"#.to_owned())));
}
