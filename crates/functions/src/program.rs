//! A deployed program: what it exports, and how its contexts are made.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{
    call::{FunctionInfo, RunLimits},
    embedded::Modules,
    instance::{Instance, ProgramCode},
    load_error::{LoadError, LoadErrorKind},
    positions::Positions,
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
        let code = Arc::new(ProgramCode {
            bundle: source.bundle.to_owned(),
            positions: Positions::of(source.source_map),
            modules: source.modules,
            limits,
        });
        let inspection = Instance::load(&code, now_ms)?.inspect()?;
        let inspection: Inspection<'_> = serde_json::from_str(&inspection).map_err(|error| LoadError {
            message: format!("the module's exports could not be read: {error}"),
            ..LoadError::new(LoadErrorKind::Inspect)
        })?;
        let schema =
            inspection.schema.map(|schema| schema.get().to_owned()).filter(|schema| schema != "null");
        Ok(Self(Arc::new(Inner { code, functions: inspection.functions, hooks: inspection.hooks, schema })))
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

    /// The limits of its calls.
    #[must_use]
    pub fn limits(&self) -> &RunLimits {
        &self.0.code.limits
    }

    /// A fresh context.
    pub(crate) fn instance(&self, now_ms: u64) -> Result<Instance, LoadError> {
        Instance::load(&self.0.code, now_ms)
    }
}
