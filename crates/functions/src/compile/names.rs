//! Names in the linked module, where the top levels of all files are one.

use std::collections::{BTreeMap, BTreeSet};

use super::graph::LinkOrder;

/// Who uses which names, so that no name is given that would mean something else in a file.
pub(super) struct Names {
    /// Given already.
    given: BTreeSet<String>,
    /// Read from outside of all files: globals.
    globals: BTreeSet<String>,
    /// Bound inside functions and blocks, and in which files.
    nested: BTreeMap<String, BTreeSet<usize>>,
}

impl Names {
    pub(super) fn new(modules: &LinkOrder<'_>) -> Self {
        let mut globals = BTreeSet::new();
        let mut nested: BTreeMap<String, BTreeSet<usize>> = BTreeMap::new();
        for (index, placed) in modules.placed.iter().enumerate() {
            let scoping = &placed.module.scoping;
            globals.extend(scoping.root_unresolved_references().keys().map(ToString::to_string));
            for symbol in scoping.symbol_ids() {
                if scoping.symbol_scope_id(symbol) != scoping.root_scope_id() {
                    nested.entry(scoping.symbol_name(symbol).to_owned()).or_default().insert(index);
                }
            }
        }
        let given = BTreeSet::from(["_ferry_schema".to_owned(), "_ferry_hooks".to_owned()]);
        Self { given, globals, nested }
    }

    /// A name at the top: as `wanted`, if that is free. `owner`: the file that binds it there already under that name.
    pub(super) fn give(&mut self, wanted: &str, owner: Option<usize>) -> String {
        let mut name = wanted.to_owned();
        let mut owner = owner;
        let mut count = 0;
        while !self.is_free(&name, owner) {
            count += 1;
            owner = None;
            name = format!("{wanted}${count}");
        }
        self.given.insert(name.clone());
        name
    }

    fn is_free(&self, name: &str, owner: Option<usize>) -> bool {
        let is_hidden =
            self.nested.get(name).is_some_and(|files| files.iter().any(|file| Some(*file) != owner));
        !self.given.contains(name) && !self.globals.contains(name) && !is_hidden
    }
}
