//! The project's esbuild, for functions that import npm packages (FUN-10).

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ferry_functions::{Compiled, MODULES, ProjectFiles};

use super::Project;

/// Where esbuild puts a source map that is part of its output.
const MAP_MARK: &str = "//# sourceMappingURL=data:application/json;base64,";
/// Names under which users' code may have the entries of a project.
const ENTRIES: [(&str, &[&str]); 3] = [
    ("export * from", &["functions/index.ts", "functions/index.js"]),
    ("export * as _ferry_schema from", &["schema.ts", "schema/index.ts", "schema.js"]),
    ("export * as _ferry_hooks from", &["functions/hooks.ts", "functions/hooks.js", "hooks.ts"]),
];

/// The esbuild that the project has installed.
pub(super) fn find(project: &Project) -> Option<PathBuf> {
    project.node_module(".bin/esbuild").or_else(|| project.node_module("esbuild/bin/esbuild"))
}

/// Bundles the project, npm packages included; gives the files that lie outside of it too. What is wrong is told in
/// esbuild's words.
pub(super) fn bundle(
    project: &Project,
    files: &ProjectFiles,
    program: &Path,
) -> Result<(Compiled, Vec<PathBuf>), String> {
    let failed = |error: std::io::Error| format!("{}: {error}", program.display());
    let mut command = Command::new(program);
    command
        .args(["--bundle", "--format=esm", "--platform=neutral", "--target=es2023", "--charset=utf8"])
        .args(["--conditions=ferry,workerd,worker,import", "--main-fields=module,main"])
        .args(["--sourcemap=inline", "--sources-content=true", "--loader=ts", "--sourcefile=ferry-entry.ts"])
        .args(["--log-level=error", "--color=false"])
        .args(MODULES.iter().map(|(name, _)| format!("--external:{name}")))
        .args(["--alias:@edgepod/server=@ferry/server"])
        .current_dir(&project.dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().map_err(failed)?;
    let mut stdin = child.stdin.take().expect("BUG: stdin is piped");
    // One that ends at once tells why on stderr.
    let _ = stdin.write_all(entry(files).as_bytes());
    drop(stdin);
    let output = child.wait_with_output().map_err(failed)?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).trim().to_owned());
    }
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (bundle, map) = match text.rsplit_once(MAP_MARK) {
        Some((bundle, map)) => (bundle.to_owned(), STANDARD.decode(map.trim()).unwrap_or_default()),
        None => (text, Vec::new()),
    };
    let source_map = String::from_utf8_lossy(&map).into_owned();
    let outside = sources(&source_map).into_iter().filter(|path| path.starts_with("../"));
    let outside = outside.map(|path| project.root.join(path.trim_start_matches("../"))).collect();
    Ok((Compiled { bundle, source_map, files: files.keys().cloned().collect() }, outside))
}

/// A module that exports what a bundle must.
fn entry(files: &ProjectFiles) -> String {
    let present = |names: &[&'static str]| names.iter().copied().find(|name| files.contains_key(*name));
    let lines = ENTRIES.iter().filter_map(|(export, names)| {
        Some(format!("{export} {};\n", serde_json::Value::from(format!("./{}", present(names)?))))
    });
    lines.collect()
}

fn sources(map: &str) -> Vec<String> {
    let map: serde_json::Value = serde_json::from_str(map).unwrap_or_default();
    let all = map["sources"].as_array().map_or(&[][..], Vec::as_slice);
    all.iter().filter_map(|path| path.as_str().map(str::to_owned)).collect()
}
