//! Modules that are built in: what programs import, made by packages/server (`npm run embed`).

macro_rules! dist {
    ($name:literal) => {
        include_str!(concat!("../js/dist/", $name))
    };
}

/// A module under a second name, so that both are one.
macro_rules! again {
    ($name:literal) => {
        concat!("export*from\"", $name, "\";export{default}from\"", $name, "\";\n")
    };
}

const SERVER: &str = dist!("server.js");
const SCHEMA: &str = dist!("schema.js");

/// Built-in modules, specifier and source. Those that begin with `ferry:` are for the others alone.
pub const MODULES: &[(&str, &str)] = &[
    ("ferry:core", dist!("core.js")),
    ("ferry:runtime", dist!("runtime.js")),
    ("@ferry/server", SERVER),
    ("@ferry/server/schema", SCHEMA),
    ("@edgepod/server", SERVER),
    ("@edgepod/server/schema", SCHEMA),
    ("drizzle-orm", dist!("drizzle-orm.js")),
    ("drizzle-orm/relations", dist!("drizzle-orm-relations.js")),
    ("drizzle-orm/sql", dist!("drizzle-orm-sql.js")),
    ("drizzle-orm/sqlite-core", dist!("drizzle-orm-sqlite-core.js")),
    ("node:buffer", dist!("node-buffer.js")),
    ("buffer", again!("node:buffer")),
    ("node:crypto", dist!("node-crypto.js")),
    ("crypto", again!("node:crypto")),
    ("node:events", dist!("node-events.js")),
    ("events", again!("node:events")),
    ("node:path", dist!("node-path.js")),
    ("path", again!("node:path")),
    ("node:util", dist!("node-util.js")),
    ("util", again!("node:util")),
];

/// Whether programs may import it.
pub(crate) fn is_importable(specifier: &str) -> bool {
    !specifier.starts_with("ferry:") && MODULES.iter().any(|(name, _)| *name == specifier)
}

/// Names that a built-in module exports. All of them end with one list: `export{a,b as c}`.
pub(crate) fn exports(specifier: &str) -> Vec<&'static str> {
    let source_of = |specifier: &str| {
        let found = MODULES.iter().find(|(name, _)| *name == specifier);
        found.map_or("", |(_, source)| *source)
    };
    let mut source = source_of(specifier);
    if source.starts_with("export*from") {
        source = source_of(&format!("node:{specifier}"));
    }
    let Some((_, list)) = source.rsplit_once("export{") else {
        return Vec::new();
    };
    let list = list.split_once('}').map_or(list, |(list, _)| list);
    let mut names: Vec<&str> =
        list.split(',').map(|part| part.rsplit_once(" as ").map_or(part, |(_, name)| name).trim()).collect();
    if source.contains("export default") {
        names.push("default");
    }
    names
}
