//! What a module asks for by a specifier.

use super::ProjectFiles;

/// What a specifier stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Resolved {
    /// A file of the project.
    File(String),
    /// A module that is built in.
    Embedded,
    /// An npm package: which, why it cannot be had, and what to do.
    Package(String, String),
    /// Nothing: why, and what to do.
    Unknown(String),
}

const EXTENSIONS: [&str; 5] = ["ts", "mts", "js", "mjs", "json"];

pub(super) fn resolve(project: &ProjectFiles, importer: &str, specifier: &str) -> Resolved {
    if specifier.starts_with("./") || specifier.starts_with("../") || specifier == "." || specifier == ".." {
        return local(project, importer, specifier);
    }
    if crate::modules::is_importable(specifier) {
        return Resolved::Embedded;
    }
    if let Some(built_in) = node_module(specifier) {
        return Resolved::Unknown(format!(
            "\"{built_in}\" of Node.js is not available in functions. Those that are: node:buffer, node:crypto, node:events, \
             node:path, node:util"
        ));
    }
    if specifier.starts_with("ferry:") {
        return Resolved::Unknown(format!("\"{specifier}\" is the hub's own; import from @ferry/server"));
    }
    let package = package_name(specifier);
    let why = format!(
        "\"{package}\" is an npm package, and only files of the project, @ferry/server and drizzle-orm can be linked without \
         esbuild. Install it beside the package: npm install --save-dev esbuild"
    );
    Resolved::Package(package, why)
}

fn local(project: &ProjectFiles, importer: &str, specifier: &str) -> Resolved {
    let folder = importer.rsplit_once('/').map_or("", |(folder, _)| folder);
    let Some(path) = joined(folder, specifier) else {
        return Resolved::Unknown(format!("\"{specifier}\" leaves the project's folder"));
    };
    let found = candidates(&path).find(|candidate| project.contains_key(candidate));
    found.map_or_else(
        || {
            Resolved::Unknown(format!(
                "There is no file \"{specifier}\"; looked for {path} with .ts, .js, .json and index.ts"
            ))
        },
        Resolved::File,
    )
}

/// `a/b` + `../c` = `a/c`; `None` above the top.
fn joined(folder: &str, specifier: &str) -> Option<String> {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in specifier.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            _ => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// As TypeScript looks for files: as named, `./x.js` for `x.ts`, with an extension, `index` of a folder.
fn candidates(path: &str) -> impl Iterator<Item = String> {
    let exact = std::iter::once(path.to_owned());
    let written_as_js = path
        .strip_suffix(".js")
        .map(|stem| format!("{stem}.ts"))
        .or_else(|| path.strip_suffix(".mjs").map(|stem| format!("{stem}.mts")));
    let with_extension = EXTENSIONS.map(|extension| format!("{path}.{extension}"));
    let folder = if path.is_empty() { String::new() } else { format!("{path}/") };
    let index = EXTENSIONS.map(|extension| format!("{folder}index.{extension}"));
    exact.chain(written_as_js).chain(with_extension).chain(index)
}

/// `fs` and `node:fs/promises` as they are, if Node.js has them built in.
fn node_module(specifier: &str) -> Option<&str> {
    const NAMES: &[&str] = &[
        "assert",
        "async_hooks",
        "child_process",
        "cluster",
        "console",
        "constants",
        "dgram",
        "diagnostics_channel",
        "dns",
        "domain",
        "fs",
        "http",
        "http2",
        "https",
        "inspector",
        "module",
        "net",
        "os",
        "perf_hooks",
        "process",
        "punycode",
        "querystring",
        "readline",
        "repl",
        "stream",
        "string_decoder",
        "timers",
        "tls",
        "trace_events",
        "tty",
        "url",
        "v8",
        "vm",
        "wasi",
        "worker_threads",
        "zlib",
    ];
    let name = specifier.strip_prefix("node:");
    let first = name.unwrap_or(specifier).split('/').next().unwrap_or_default();
    (name.is_some() || NAMES.contains(&first)).then_some(specifier)
}

fn package_name(specifier: &str) -> String {
    let count = if specifier.starts_with('@') { 2 } else { 1 };
    specifier.split('/').take(count).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn project(paths: &[&str]) -> ProjectFiles {
        paths.iter().map(|path| ((*path).to_owned(), String::new())).collect()
    }

    fn file(path: &str) -> Resolved {
        Resolved::File(path.to_owned())
    }

    #[test]
    fn files_are_found_as_typescript_finds_them() {
        let files = project(&["schema.ts", "functions/index.ts", "lib/a.ts", "lib/index.ts", "data.json"]);
        let from = |specifier| resolve(&files, "functions/index.ts", specifier);
        assert_eq!(from("../schema"), file("schema.ts"));
        assert_eq!(from("../schema.ts"), file("schema.ts"));
        assert_eq!(from("../lib/a.js"), file("lib/a.ts"));
        assert_eq!(from("../lib"), file("lib/index.ts"));
        assert_eq!(from("../data.json"), file("data.json"));
        assert_eq!(from("."), file("functions/index.ts"));
    }

    #[test]
    fn what_cannot_be_had_says_what_to_do() {
        let message = |specifier| match resolve(&project(&[]), "functions/index.ts", specifier) {
            Resolved::Unknown(message) | Resolved::Package(_, message) => message,
            other => panic!("{other:?}"),
        };
        assert!(
            message("zod/v4").contains("\"zod\" is an npm package") && message("zod/v4").contains("esbuild")
        );
        assert!(message("@scope/name/sub").contains("\"@scope/name\""));
        assert!(message("node:fs").contains("not available in functions"));
        assert!(message("fs/promises").contains("not available in functions"));
        assert!(message("ferry:runtime").contains("hub's own"));
        assert!(message("../../x").contains("leaves the project's folder"));
        assert!(message("./x").contains("There is no file"));
    }
}
