//! TypeScript to one module: the files of a project are stripped of types and linked. npm packages are not: those are
//! bundled by the project's esbuild before (specification, FUN-10).

mod collect;
mod diagnostic;
mod emit;
mod graph;
mod link;
mod names;
mod resolve;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use oxc::allocator::Allocator;

pub use diagnostic::Diagnostic;

/// Files of a project by their path in it, with `/` between folders: `functions/index.ts`.
pub type ProjectFiles = BTreeMap<String, String>;

/// A project as one ES module.
#[derive(Clone, Debug)]
pub struct Compiled {
    /// The module. It imports what is embedded ([`crate::MODULES`]) and nothing else, and exports the functions,
    /// `_ferry_schema` and, if there are hooks, `_ferry_hooks`.
    pub bundle: String,
    /// Its source map, version 3, with the sources inside.
    pub source_map: String,
    /// The files that are in it.
    pub files: Vec<String>,
}

/// Where a project's functions, its schema and its hooks stand; each may be one of several files.
const FUNCTIONS: [&str; 2] = ["functions/index.ts", "functions/index.js"];
const SCHEMA: [&str; 3] = ["schema.ts", "schema/index.ts", "schema.js"];
const HOOKS: [&str; 3] = ["functions/hooks.ts", "functions/hooks.js", "hooks.ts"];

/// Makes one module of a project's files.
///
/// # Errors
/// What is wrong with them, each with its place.
pub fn compile(project: &ProjectFiles) -> Result<Compiled, Vec<Diagnostic>> {
    let present = |names: &[&'static str]| names.iter().copied().find(|name| project.contains_key(*name));
    let Some(functions) = present(&FUNCTIONS) else {
        return Err(vec![Diagnostic::of_project(
            FUNCTIONS[0],
            "is missing: export your functions from it by name",
        )]);
    };
    let allocator = Allocator::default();
    let mut graph = graph::Graph::new(&allocator, project);
    let functions = graph.add_entry(functions);
    let schema = present(&SCHEMA).map(|path| graph.add_entry(path));
    let hooks = present(&HOOKS).map(|path| graph.add_entry(path));
    let modules = graph.finish()?;
    let linked = link::link(modules, functions, schema, hooks)?;
    Ok(emit::emit(linked))
}
