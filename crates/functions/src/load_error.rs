//! Why a program could not be loaded.

use serde::{Deserialize, Serialize};

use crate::{call::Limit, positions::SourcePosition};

/// Why a program could not be loaded, in words for whoever wrote it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadError {
    /// What kind of failure.
    pub kind: LoadErrorKind,
    /// What is wrong.
    pub message: String,
    /// Where, if that is known.
    pub position: Option<SourcePosition>,
    /// The stack, in places of the sources; may be empty.
    pub stack: String,
}

/// Kinds of failures to load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LoadErrorKind {
    /// The text is no module.
    Syntax,
    /// The module threw while it was evaluated.
    Thrown,
    /// A limit was reached.
    Limit(Limit),
    /// A top-level `await` waits for nothing.
    NeverSettles,
    /// What the modules tell of themselves cannot be read.
    Inspect,
    /// The engine could not be set up.
    Engine,
    /// It brought down the process that evaluated it.
    Died,
    /// There is no process for it: it is nobody's mistake but the hub's.
    NoProcess,
}

impl LoadError {
    pub(crate) fn new(kind: LoadErrorKind) -> Self {
        let message = match kind {
            LoadErrorKind::Limit(Limit::Cpu) => {
                "the module used more CPU than a call may have: move the work into functions"
            }
            LoadErrorKind::Limit(Limit::Memory) => "the module exceeded the memory limit of functions",
            LoadErrorKind::Limit(_) => "the module exceeded the stack limit of functions",
            LoadErrorKind::NeverSettles => {
                "the module's top level awaits what never comes: requests and timers work inside functions only"
            }
            LoadErrorKind::Syntax => "the module is no JavaScript",
            LoadErrorKind::Thrown => "the module threw",
            LoadErrorKind::Inspect => "the module's exports could not be read",
            LoadErrorKind::Engine => "the engine could not be set up",
            LoadErrorKind::Died => "the module brought down the process that evaluated it",
            LoadErrorKind::NoProcess => "no process could be started for functions",
        };
        Self { kind, message: message.to_owned(), position: None, stack: String::new() }
    }

    pub(crate) fn engine(error: &rquickjs::Error) -> Self {
        Self {
            message: format!("the engine could not be set up: {error}"),
            ..Self::new(LoadErrorKind::Engine)
        }
    }
}

impl std::fmt::Display for LoadError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(SourcePosition { file, line, column }) = &self.position {
            write!(f, "{file}:{line}:{column}: ")?;
        }
        f.write_str(&self.message)
    }
}

impl std::error::Error for LoadError {}
