//! Which binding of which file every import and export means.

use std::collections::{BTreeMap, BTreeSet};

use oxc::semantic::SymbolId;

use super::{
    collect::{Export, Import, Imported},
    diagnostic::Diagnostic,
    graph::{LinkOrder, Placed, Target},
    names::Names,
};

/// What a name stands for in the end.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Binding {
    /// Bound at the top of a file.
    Local { module: usize, symbol: SymbolId },
    /// All exports of a file, as an object.
    Namespace(usize),
    /// An export of a built-in module.
    Embedded { specifier: String, name: String },
    /// All exports of a built-in module.
    EmbeddedNamespace(String),
}

/// Files with their names settled.
pub(super) struct Linked<'a> {
    pub(super) modules: LinkOrder<'a>,
    pub(super) names: BTreeMap<Binding, String>,
    /// ExportList of the objects that stand for whole files.
    pub(super) namespaces: BTreeMap<usize, ExportList>,
    /// What the linked module exports beside schema and hooks.
    pub(super) functions: ExportList,
    pub(super) schema: Option<ExportList>,
    pub(super) hooks: Option<ExportList>,
}

/// Exports by name.
pub(super) type ExportList = Vec<(String, Binding)>;

pub(super) fn link(
    modules: LinkOrder<'_>,
    functions: usize,
    schema: Option<usize>,
    hooks: Option<usize>,
) -> Result<Linked<'_>, Vec<Diagnostic>> {
    let linker = Linker { modules: &modules };
    let imports = linker.imports()?;
    let members = |module: Option<usize>| module.map(|module| linker.members(module));
    let (functions_members, schema, hooks) = (linker.members(functions), members(schema), members(hooks));
    let mut needed = Needed::new(&linker);
    for (_, _, binding) in &imports {
        needed.add(binding);
    }
    for (_, binding) in functions_members.iter().chain(schema.iter().flatten()).chain(hooks.iter().flatten())
    {
        needed.add(binding);
    }
    let Needed { bindings, namespaces, .. } = needed;
    let names = named(&modules, functions, &imports, &bindings);
    let mut modules = modules;
    rename(&mut modules, &imports, &names);
    Ok(Linked { modules, names, namespaces, functions: functions_members, schema, hooks })
}

struct Linker<'m, 'a> {
    modules: &'m LinkOrder<'a>,
}

/// An import of a module, with its file, and what it means.
type Bound = (usize, SymbolId, Binding);

impl Linker<'_, '_> {
    fn placed(&self, module: usize) -> &Placed<'_> {
        &self.modules.placed[module]
    }

    /// All imports; those that mean nothing are errors, unless nothing uses them.
    fn imports(&self) -> Result<Vec<Bound>, Vec<Diagnostic>> {
        let mut bound = Vec::new();
        let mut diagnostics = Vec::new();
        for (index, placed) in self.modules.placed.iter().enumerate() {
            for import in &placed.module.imports {
                match self.find_import(index, import, &mut BTreeSet::new()) {
                    Some(binding) => bound.push((index, import.symbol, binding)),
                    None if import.is_used => diagnostics.push(missing(placed, import)),
                    None => {}
                }
            }
        }
        if diagnostics.is_empty() { Ok(bound) } else { Err(diagnostics) }
    }

    fn find_import(
        &self,
        module: usize,
        import: &Import,
        seen: &mut BTreeSet<(usize, String)>,
    ) -> Option<Binding> {
        self.find_from(module, import.request, &import.imported, seen)
    }

    fn find_from(
        &self,
        module: usize,
        request: usize,
        imported: &Imported,
        seen: &mut BTreeSet<(usize, String)>,
    ) -> Option<Binding> {
        match (&self.placed(module).targets[request], imported) {
            (Target::Module(target), Imported::Name(name)) => self.find_export(*target, name, seen),
            (Target::Module(target), Imported::Namespace) => Some(Binding::Namespace(*target)),
            (Target::Embedded(specifier), Imported::Name(name)) => embedded(specifier, name),
            (Target::Embedded(specifier), Imported::Namespace) => {
                Some(Binding::EmbeddedNamespace(specifier.clone()))
            }
        }
    }

    fn find_export(
        &self,
        module: usize,
        name: &str,
        seen: &mut BTreeSet<(usize, String)>,
    ) -> Option<Binding> {
        if !seen.insert((module, name.to_owned())) {
            return None;
        }
        let placed = self.placed(module);
        for export in &placed.module.exports {
            match export {
                Export::Local { name: exported, symbol } if exported == name => {
                    let import = placed.module.imports.iter().find(|import| import.symbol == *symbol);
                    return match import {
                        Some(import) => self.find_import(module, import, seen),
                        None => Some(Binding::Local { module, symbol: *symbol }),
                    };
                }
                Export::From { name: exported, request, imported } if exported == name => {
                    return self.find_from(module, *request, imported, seen);
                }
                _ => {}
            }
        }
        if name == "default" {
            return None;
        }
        placed.module.exports.iter().find_map(|export| match export {
            Export::All { request } => {
                self.find_from(module, *request, &Imported::Name(name.to_owned()), seen)
            }
            _ => None,
        })
    }

    /// Names that a file exports, its own and those of `export *`.
    fn export_names(&self, module: usize, seen: &mut BTreeSet<usize>) -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        if !seen.insert(module) {
            return names;
        }
        let placed = self.placed(module);
        for export in &placed.module.exports {
            match export {
                Export::Local { name, .. } | Export::From { name, .. } => {
                    names.insert(name.clone());
                }
                Export::All { request } => {
                    let mut others = match &placed.targets[*request] {
                        Target::Module(target) => self.export_names(*target, seen),
                        Target::Embedded(specifier) => {
                            crate::modules::exports(specifier).into_iter().map(str::to_owned).collect()
                        }
                    };
                    others.remove("default");
                    names.extend(others);
                }
            }
        }
        names
    }

    /// What a file exports; types, which mean nothing, are left out.
    fn members(&self, module: usize) -> ExportList {
        self.export_names(module, &mut BTreeSet::new())
            .into_iter()
            .filter_map(|name| {
                let binding = self.find_export(module, &name, &mut BTreeSet::new())?;
                Some((name, binding))
            })
            .collect()
    }
}

fn embedded(specifier: &str, name: &str) -> Option<Binding> {
    crate::modules::exports(specifier)
        .contains(&name)
        .then(|| Binding::Embedded { specifier: specifier.to_owned(), name: name.to_owned() })
}

fn missing(placed: &Placed<'_>, import: &Import) -> Diagnostic {
    let specifier = &placed.module.requests[import.request].specifier;
    let what = match &import.imported {
        Imported::Name(name) if name == "default" => format!("\"{specifier}\" has no default export"),
        Imported::Name(name) => format!("\"{specifier}\" exports no \"{name}\""),
        Imported::Namespace => format!("\"{specifier}\" exports nothing"),
    };
    Diagnostic::at(&placed.module.path, placed.module.source, import.span, what)
}

/// All that needs a name.
struct Needed<'l, 'm, 'a> {
    linker: &'l Linker<'m, 'a>,
    bindings: BTreeSet<Binding>,
    namespaces: BTreeMap<usize, ExportList>,
}

impl<'l, 'm, 'a> Needed<'l, 'm, 'a> {
    fn new(linker: &'l Linker<'m, 'a>) -> Self {
        Self { linker, bindings: BTreeSet::new(), namespaces: BTreeMap::new() }
    }

    fn add(&mut self, binding: &Binding) {
        self.bindings.insert(binding.clone());
        let Binding::Namespace(module) = binding else {
            return;
        };
        if self.namespaces.contains_key(module) {
            return;
        }
        let members = self.linker.members(*module);
        self.namespaces.insert(*module, members.clone());
        for (_, member) in &members {
            self.add(member);
        }
    }
}

/// Names of everything at the top: first what the file of functions binds, so that stacks show its names as written.
fn named(
    modules: &LinkOrder<'_>,
    functions: usize,
    imports: &[Bound],
    needed: &BTreeSet<Binding>,
) -> BTreeMap<Binding, String> {
    let mut given = Names::new(modules);
    let mut names = BTreeMap::new();
    let rest = (0..modules.placed.len()).filter(|index| *index != functions);
    for index in std::iter::once(functions).chain(rest) {
        let module = &modules.placed[index].module;
        let scoping = &module.scoping;
        for symbol in scoping.symbol_ids() {
            let is_import = module.imports.iter().any(|import| import.symbol == symbol);
            if is_import || scoping.symbol_scope_id(symbol) != scoping.root_scope_id() {
                continue;
            }
            let name = given.give(scoping.symbol_name(symbol), Some(index));
            names.insert(Binding::Local { module: index, symbol }, name);
        }
    }
    for binding in needed {
        if matches!(binding, Binding::Local { .. }) {
            continue;
        }
        let imported_as = imports.iter().find(|(_, _, bound)| bound == binding);
        let wanted = match (imported_as, binding) {
            (Some((module, symbol, _)), _) => modules.placed[*module].module.scoping.symbol_name(*symbol),
            (None, Binding::Embedded { name, .. }) if name != "default" => name.as_str(),
            _ => "imported",
        };
        names.insert(binding.clone(), given.give(wanted, None));
    }
    names
}

fn rename(modules: &mut LinkOrder<'_>, imports: &[Bound], names: &BTreeMap<Binding, String>) {
    for (binding, name) in names {
        if let Binding::Local { module, symbol } = binding {
            let scoping = &mut modules.placed[*module].module.scoping;
            scoping.set_symbol_name(*symbol, name.as_str().into());
        }
    }
    for (module, symbol, binding) in imports {
        let scoping = &mut modules.placed[*module].module.scoping;
        scoping.set_symbol_name(*symbol, names[binding].as_str().into());
    }
}
