//! A deployed program: what it exports, and how its contexts are made.

use std::sync::{Arc, Mutex, PoisonError};

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{
    call::{FunctionInfo, RunLimits},
    embedded::Modules,
    function_call::{Home, Instance},
    instance::{ContextInstance, ProgramCode},
    load_error::{LoadError, LoadErrorKind},
    positions::Positions,
    process::{ProcessContext, Processes},
};

/// What a program is made from.
#[derive(Clone, Copy, Debug)]
pub struct ProgramSource<'a> {
    /// One ES module, as `ferry deploy` sends it.
    pub bundle: &'a str,
    /// Its source map.
    pub source_map: Option<&'a str>,
    /// The modules that it may import.
    pub modules: Modules,
}

/// A program, evaluated once. Cheap to clone.
#[derive(Clone)]
pub struct Program(Arc<Inner>);

struct Inner {
    code: Arc<ProgramCode>,
    functions: Vec<FunctionInfo>,
    hooks: Vec<String>,
    schema: Option<String>,
    /// Where its contexts live, if not in this process.
    processes: Option<Processes>,
    /// The one that told what there is: the first call's.
    first: Mutex<Option<ProcessContext>>,
}

/// What the embedded runtime tells of the exports.
#[derive(Deserialize)]
struct Inspection<'a> {
    functions: Vec<FunctionInfo>,
    #[serde(default)]
    hooks: Vec<String>,
    #[serde(borrow, default)]
    schema: Option<&'a RawValue>,
}

impl Program {
    /// Evaluates the bundle in a context of its own, under the limits of a call.
    ///
    /// # Errors
    /// What is wrong with it, and where.
    pub fn load(source: &ProgramSource<'_>, limits: RunLimits, now_ms: u64) -> Result<Self, LoadError> {
        Self::load_in(source, limits, now_ms, None)
    }

    /// The same; its contexts live in `processes`, if there are such.
    ///
    /// # Errors
    /// As [`Self::load`]; [`LoadErrorKind::NoProcess`], too.
    pub fn load_in(
        source: &ProgramSource<'_>,
        limits: RunLimits,
        now_ms: u64,
        processes: Option<Processes>,
    ) -> Result<Self, LoadError> {
        let code = Arc::new(ProgramCode {
            bundle: source.bundle.to_owned(),
            positions: Positions::of(source.source_map),
            modules: source.modules,
            limits,
        });
        let (first, inspection) = match &processes {
            Some(processes) => {
                let (context, inspection) = ProcessContext::load(processes, &code, now_ms, true)?;
                (Some(context), inspection.unwrap_or_default())
            }
            None => (None, ContextInstance::load(&code, now_ms)?.inspect()?),
        };
        let inspection: Inspection<'_> = serde_json::from_str(&inspection).map_err(|error| LoadError {
            message: format!("the module's exports could not be read: {error}"),
            ..LoadError::new(LoadErrorKind::Inspect)
        })?;
        let schema =
            inspection.schema.map(|schema| schema.get().to_owned()).filter(|schema| schema != "null");
        let Inspection { functions, hooks, .. } = inspection;
        let first = Mutex::new(first);
        Ok(Self(Arc::new(Inner { code, functions, hooks, schema, processes, first })))
    }

    /// The functions that it exports.
    #[must_use]
    pub fn functions(&self) -> &[FunctionInfo] {
        &self.0.functions
    }

    /// One of them.
    #[must_use]
    pub fn function(&self, name: &str) -> Option<&FunctionInfo> {
        self.0.functions.iter().find(|function| function.name == name)
    }

    /// The hooks that it exports (FUN-85).
    #[must_use]
    pub fn hooks(&self) -> &[String] {
        &self.0.hooks
    }

    /// Its schema, JSON.
    #[must_use]
    pub fn schema(&self) -> Option<&str> {
        self.0.schema.as_deref()
    }

    /// Whether its contexts live in processes of their own.
    #[must_use]
    pub fn is_isolated(&self) -> bool {
        self.0.processes.is_some()
    }

    /// The limits of its calls.
    #[must_use]
    pub fn limits(&self) -> &RunLimits {
        &self.0.code.limits
    }

    /// Where its contexts live, if not in this process.
    pub(crate) fn processes(&self) -> Option<&Processes> {
        self.0.processes.as_ref()
    }

    /// A fresh context.
    pub(crate) fn instance(&self, now_ms: u64) -> Result<Instance, LoadError> {
        let home = match &self.0.processes {
            Some(processes) => {
                let first = self.0.first.lock().unwrap_or_else(PoisonError::into_inner).take();
                let context = match first {
                    Some(first) => first,
                    None => ProcessContext::load(processes, &self.0.code, now_ms, false)?.0,
                };
                Home::Process(Box::new(context))
            }
            None => Home::Here(Box::new(ContextInstance::load(&self.0.code, now_ms)?)),
        };
        Ok(Instance { home, place: None, used: 0 })
    }
}
