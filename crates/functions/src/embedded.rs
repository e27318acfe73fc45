//! The modules that Ferry carries for functions: compiled once per process, loaded into every context, and which of them
//! a program may import.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use rquickjs::{
    Context, Ctx, Exception, Module, Result, Runtime, WriteOptions,
    loader::{ImportAttributes, Loader, Resolver, bundle::Bundle},
    module::Declared,
};

use crate::positions::BUNDLE;

/// Modules by their specifiers: name and source. A table is a constant of this program.
pub type Modules = &'static [(&'static str, &'static str)];

/// Bytecode of modules by their specifiers; made in this process, never read from outside (FUN-10).
type Compiled = &'static [(&'static str, &'static [u8])];

/// Begins the specifiers that only embedded modules import.
const PRIVATE: &str = "ferry:";

/// Ferry's own modules, under every table.
const PRELUDE: Modules = &[
    ("ferry:prelude/kernel", include_str!("../js/prelude/kernel.js")),
    ("ferry:prelude/builtins", include_str!("../js/prelude/builtins.js")),
    ("ferry:prelude/clone", include_str!("../js/prelude/clone.js")),
    ("ferry:prelude/console", include_str!("../js/prelude/console.js")),
    ("ferry:prelude/crypto", include_str!("../js/prelude/crypto.js")),
    ("ferry:prelude/encoding", include_str!("../js/prelude/encoding.js")),
    ("ferry:prelude/events", include_str!("../js/prelude/events.js")),
    ("ferry:prelude/fetch", include_str!("../js/prelude/fetch.js")),
    ("ferry:prelude/host", include_str!("../js/prelude/host.js")),
    ("ferry:prelude/time", include_str!("../js/prelude/time.js")),
];

/// The prelude and these modules, compiled. Compiled once for each table, of which there are as many as the code has
/// constants, so what is kept for good is bounded.
pub(crate) fn compiled(modules: Modules) -> Result<Compiled> {
    static CACHE: Mutex<Option<HashMap<usize, Compiled>>> = Mutex::new(None);
    let mut cache = CACHE.lock().unwrap_or_else(PoisonError::into_inner);
    let cache = cache.get_or_insert_default();
    let table = modules.as_ptr().addr();
    if let Some(compiled) = cache.get(&table) {
        return Ok(compiled);
    }
    let runtime = Runtime::new()?;
    runtime.set_max_stack_size(0);
    runtime.set_loader(AnyName, Sources(modules));
    let context = Context::full(&runtime)?;
    let all = PRELUDE.iter().chain(modules);
    let compiled = context.with(|ctx| {
        let compile =
            |(name, source): &(&'static str, &'static str)| -> Result<(&'static str, &'static [u8])> {
                let module = Module::declare(ctx.clone(), *name, *source)?;
                let options = WriteOptions { strip_source: true, ..WriteOptions::default() };
                Ok((*name, module.write(options)?.leak()))
            };
        all.map(compile).collect::<Result<Vec<_>>>()
    })?;
    let compiled: Compiled = compiled.leak();
    cache.insert(table, compiled);
    Ok(compiled)
}

/// While compiling, names are taken as they are.
struct AnyName;

impl Resolver for AnyName {
    fn resolve<'js>(
        &mut self,
        _: &Ctx<'js>,
        _: &str,
        name: &str,
        _: Option<ImportAttributes<'js>>,
    ) -> Result<String> {
        Ok(name.to_owned())
    }
}

/// While compiling, modules come from their sources.
struct Sources(Modules);

impl Loader for Sources {
    fn load<'js>(
        &mut self,
        ctx: &Ctx<'js>,
        name: &str,
        _: Option<ImportAttributes<'js>>,
    ) -> Result<Module<'js, Declared>> {
        let source = PRELUDE.iter().chain(self.0).find(|(own, _)| *own == name);
        let (name, source) = source.ok_or_else(|| rquickjs::Error::new_loading(name))?;
        Module::declare(ctx.clone(), *name, *source)
    }
}

/// Says which modules there are: the embedded ones, and nothing else.
pub(crate) struct Embedded(Compiled);

impl Embedded {
    /// The resolver and the loader of a runtime.
    pub(crate) fn of(compiled: Compiled) -> (Self, Bundle<Compiled>) {
        (Self(compiled), Bundle(compiled))
    }

    fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(own, _)| *own == name)
    }
}

impl Resolver for Embedded {
    fn resolve<'js>(
        &mut self,
        ctx: &Ctx<'js>,
        base: &str,
        name: &str,
        _: Option<ImportAttributes<'js>>,
    ) -> Result<String> {
        // Without a base it is the host that asks.
        let is_trusted = base.is_empty() || self.has(base);
        if self.has(name) && (is_trusted || !name.starts_with(PRIVATE)) {
            return Ok(name.to_owned());
        }
        let importer = if base == BUNDLE { "the functions" } else { base };
        let message = format!("{importer} import \"{name}\", which is not available in functions");
        Err(Exception::throw_reference(ctx, &message))
    }
}
