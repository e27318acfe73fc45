//! The command line of functions: the real binary, projects that it makes, hubs that it brings or meets.

mod deploy;
mod dev;
mod init;
mod logs;
mod migrations;

use ferry_testkit::dev::DevProject;

use crate::support::FERRY;

/// A project of the plain template.
pub(crate) fn project() -> DevProject {
    DevProject::new(FERRY)
}

/// The functions of most tests.
pub(crate) const FUNCTIONS: &str = r#"
import { mutation, query } from "@ferry/server";
import { todos } from "../schema";
export const listTodos = query(async (ctx) => ctx.db.select().from(todos));
export const addTodo = mutation(async (ctx, { title }) => ctx.db.insert(todos).values({ title }).returning().get());
export const version = query(async () => 1);
"#;

/// Their schema.
pub(crate) const SCHEMA: &str = r#"
import { integer, table, text } from "@ferry/server/schema";
export const todos = table("todos", {
  id: integer("id").primaryKey({ autoIncrement: true }),
  title: text("title").notNull(),
});
"#;

/// A project of these.
pub(crate) fn written() -> DevProject {
    let project = project();
    project.write("schema.ts", SCHEMA);
    project.write("functions/index.ts", FUNCTIONS);
    project
}
