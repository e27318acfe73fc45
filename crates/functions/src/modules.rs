//! Modules that are built in: what programs import, made by packages/server (`npm run embed`).

macro_rules! dist {
    ($name:literal) => {
        include_str!(concat!("../js/dist/", $name))
    };
}

const SERVER: &str = dist!("server.js");
const SCHEMA: &str = dist!("schema.js");
const BUFFER: &str = dist!("node-buffer.js");
const CRYPTO: &str = dist!("node-crypto.js");
const EVENTS: &str = dist!("node-events.js");
const PATH: &str = dist!("node-path.js");
const UTIL: &str = dist!("node-util.js");

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
    ("node:buffer", BUFFER),
    ("buffer", BUFFER),
    ("node:crypto", CRYPTO),
    ("crypto", CRYPTO),
    ("node:events", EVENTS),
    ("events", EVENTS),
    ("node:path", PATH),
    ("path", PATH),
    ("node:util", UTIL),
    ("util", UTIL),
];

/// Whether programs may import it.
pub(crate) fn is_importable(specifier: &str) -> bool {
    !specifier.starts_with("ferry:") && MODULES.iter().any(|(name, _)| *name == specifier)
}

/// Names that a built-in module exports. All of them end with one list: `export{a,b as c}`.
pub(crate) fn exports(specifier: &str) -> Vec<&'static str> {
    let source = MODULES.iter().find(|(name, _)| *name == specifier).map_or("", |(_, source)| *source);
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
