//! All files that a project's entries need, in the order in which they run.

use std::collections::BTreeMap;

use oxc::allocator::Allocator;

use super::{
    ProjectFiles,
    collect::{Module, collect},
    diagnostic::Diagnostic,
    resolve::{Resolved, resolve},
};

/// A request's target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// Index of a module of the project.
    Module(usize),
    /// A module that is built in.
    Embedded(String),
}

/// A module and where its requests go.
pub(super) struct Placed<'a> {
    pub(super) module: Module<'a>,
    /// One per request.
    pub(super) targets: Vec<Target>,
}

/// The files read so far.
pub(super) struct Graph<'a, 'p> {
    allocator: &'a Allocator,
    project: &'p ProjectFiles,
    modules: Vec<Option<Placed<'a>>>,
    by_path: BTreeMap<String, usize>,
    order: Vec<usize>,
    diagnostics: Vec<Diagnostic>,
}

/// The modules by index, and the order in which they run.
pub(super) struct LinkOrder<'a> {
    pub(super) placed: Vec<Placed<'a>>,
    pub(super) order: Vec<usize>,
}

impl<'a, 'p> Graph<'a, 'p> {
    pub(super) fn new(allocator: &'a Allocator, project: &'p ProjectFiles) -> Self {
        Self {
            allocator,
            project,
            modules: Vec::new(),
            by_path: BTreeMap::new(),
            order: Vec::new(),
            diagnostics: Vec::new(),
        }
    }

    /// Reads a file that is there and all that it needs; its index.
    pub(super) fn add_entry(&mut self, path: &str) -> usize {
        if let Some(known) = self.by_path.get(path) {
            return *known;
        }
        let index = self.modules.len();
        self.modules.push(None);
        self.by_path.insert(path.to_owned(), index);
        let text = self.project.get(path).expect("BUG: a file is added that is not there");
        let text = if path.ends_with(".json") {
            match json_module(path, text) {
                Ok(module) => module,
                Err(diagnostic) => {
                    self.diagnostics.push(diagnostic);
                    return index;
                }
            }
        } else {
            text.clone()
        };
        let source = self.allocator.alloc_str(&text);
        match collect(self.allocator, path, source) {
            Ok(module) => {
                let targets = self.add_requests(&module);
                self.modules[index] = Some(Placed { module, targets });
            }
            Err(diagnostics) => self.diagnostics.extend(diagnostics),
        }
        self.order.push(index);
        index
    }

    fn add_requests(&mut self, module: &Module<'a>) -> Vec<Target> {
        let mut targets = Vec::new();
        for request in &module.requests {
            match resolve(self.project, &module.path, &request.specifier) {
                Resolved::File(path) => targets.push(Target::Module(self.add_entry(&path))),
                Resolved::Embedded => targets.push(Target::Embedded(request.specifier.clone())),
                Resolved::Package(package, message) => {
                    let found = Diagnostic::at(&module.path, module.source, request.span, message);
                    self.diagnostics.push(Diagnostic { package: Some(package), ..found });
                }
                Resolved::Unknown(message) => {
                    self.diagnostics.push(Diagnostic::at(&module.path, module.source, request.span, message));
                }
            }
        }
        targets
    }

    pub(super) fn finish(self) -> Result<LinkOrder<'a>, Vec<Diagnostic>> {
        if !self.diagnostics.is_empty() {
            return Err(self.diagnostics);
        }
        let placed = self
            .modules
            .into_iter()
            .map(|module| module.expect("BUG: a file without errors was not read"))
            .collect();
        Ok(LinkOrder { placed, order: self.order })
    }
}

/// A JSON file as a module with a default export.
fn json_module(path: &str, text: &str) -> Result<String, Diagnostic> {
    let value: serde_json::Value = serde_json::from_str(text).map_err(|error| {
        let line_start: usize =
            text.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum();
        let offset = u32::try_from(line_start + error.column().saturating_sub(1)).unwrap_or(u32::MAX);
        Diagnostic::at(path, text, oxc::span::Span::new(offset, offset), format!("This is not JSON: {error}"))
    })?;
    let literal = serde_json::Value::String(value.to_string());
    Ok(format!("export default JSON.parse({literal});\n"))
}
