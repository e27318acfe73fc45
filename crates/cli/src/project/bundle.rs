//! A project's functions as one module, and what that exports. Without npm packages the binary does it all; with them the
//! project's own esbuild bundles (FUN-10).

use std::path::PathBuf;

use ferry_functions::{
    Compiled, Diagnostic, LoadError, LoadErrorKind, MODULES, Program, ProgramSource, ProjectFiles, RunLimits,
    compile,
};
use serde_json::{Value, json};

use super::{Project, esbuild};

/// What a module's top level may use: as a hub's calls may, but with time for a machine that does much else.
const LIMITS: RunLimits = RunLimits {
    cpu_ms: 5_000,
    heap_bytes: 64 << 20,
    stack_bytes: 512 << 10,
    result_bytes: 8 << 20,
    fetches: 0,
    calls_per_context: 1,
};

/// A bundle that loads.
#[derive(Clone, Debug)]
pub(crate) struct Bundle {
    /// One ES module.
    pub(crate) text: String,
    pub(crate) source_map: String,
    /// `{"functions":[{"name","kind","internal"}],"hooks":[…]}`
    pub(crate) manifest: Value,
    /// The schema that it exports, if it does.
    pub(crate) schema: Option<Value>,
    /// Files that it was made of and that lie outside the functions' folder.
    pub(crate) outside: Vec<PathBuf>,
}

/// Why there is no bundle.
#[derive(Clone, Debug)]
pub(crate) enum NotBundled {
    /// Places in the sources.
    Wrong(Vec<Diagnostic>),
    /// In the words of the bundler.
    Told(String),
}

impl Bundle {
    /// Makes one. Takes some milliseconds of the thread, and of its stack.
    pub(crate) fn make(project: &Project, files: &ProjectFiles, now_ms: u64) -> Result<Self, NotBundled> {
        let (compiled, outside) = match compile(files) {
            Ok(compiled) => (compiled, Vec::new()),
            Err(wrong) if wrong.iter().any(|diagnostic| diagnostic.package.is_some()) => {
                match esbuild::find(project) {
                    Some(program) => esbuild::bundle(project, files, &program).map_err(NotBundled::Told)?,
                    None => return Err(NotBundled::Wrong(wrong)),
                }
            }
            Err(wrong) => return Err(NotBundled::Wrong(wrong)),
        };
        let Compiled { bundle, source_map, .. } = compiled;
        let source = ProgramSource { bundle: &bundle, source_map: Some(&source_map), modules: MODULES };
        let program = Program::load(&source, LIMITS, now_ms)
            .map_err(|error| NotBundled::Wrong(vec![of_load(files, &error)]))?;
        let schema = program.schema().and_then(|schema| serde_json::from_str(schema).ok());
        let manifest = json!({ "functions": program.functions(), "hooks": program.hooks() });
        Ok(Self { text: bundle, source_map, manifest, schema, outside })
    }

    /// How many functions callers may call.
    pub(crate) fn function_count(&self) -> usize {
        let all = self.manifest["functions"].as_array().map_or(&[][..], Vec::as_slice);
        all.iter().filter(|function| function["internal"] != true).count()
    }
}

/// What threw while the module was evaluated, as a place of its sources.
fn of_load(files: &ProjectFiles, error: &LoadError) -> Diagnostic {
    let message = match error.kind {
        LoadErrorKind::Thrown => format!("this threw while the module was loaded: {}", error.message),
        _ => error.message.clone(),
    };
    let place = error.position.as_ref();
    let line = place.map_or(0, |place| place.line);
    let source = place.and_then(|place| files.get(&place.file));
    let source_line = source.and_then(|text| text.lines().nth((line as usize).saturating_sub(1)));
    Diagnostic {
        file: place.map_or_else(|| "the functions:".to_owned(), |place| place.file.clone()),
        line,
        column: place.map_or(0, |place| place.column),
        message,
        source_line: source_line.unwrap_or_default().to_owned(),
        package: None,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::project::settings::ProjectSettings;

    fn made(files: &[(&str, &str)]) -> Result<Bundle, String> {
        let root = Path::new("/nowhere");
        let project =
            Project { root: root.into(), dir: root.join("ferry"), settings: ProjectSettings::default() };
        let files = files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
        Bundle::make(&project, &files, 0).map_err(|wrong| match wrong {
            NotBundled::Wrong(all) => all.iter().map(ToString::to_string).collect(),
            NotBundled::Told(text) => text,
        })
    }

    // Verifies: FUN-60
    #[test]
    fn a_bundle_tells_its_functions_and_its_schema() {
        let schema = "import { table, text } from '@ferry/server/schema';\nexport const t = table('t', { a: text('a') });";
        let functions = "export const one = () => 1;\nimport { internal } from '@ferry/server';\nexport const two = internal(() => 2);";
        let bundle = made(&[("schema.ts", schema), ("functions/index.ts", functions)]).unwrap();
        assert_eq!(bundle.function_count(), 1);
        assert_eq!(bundle.schema.unwrap()["tables"][0]["name"], "t");
    }

    // Verifies: FUN-71
    #[test]
    fn what_is_wrong_is_shown_with_its_line() {
        let wrong = made(&[("functions/index.ts", "export const one = () => 1;\nthrow new Error('top');")])
            .unwrap_err();
        assert!(wrong.contains("functions/index.ts:2:") && wrong.contains("top"), "{wrong}");
        assert!(wrong.contains("\n  throw new Error('top');\n"), "{wrong}");
        let wrong = made(&[("functions/index.ts", "import { z } from 'zod';\nexport const one = () => z;")]);
        assert!(wrong.unwrap_err().contains("npm install --save-dev esbuild"));
    }
}
