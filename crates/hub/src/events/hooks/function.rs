//! Hooks that are functions of the database (FUN-85): called with the body that the operator's program would be sent. Whoever
//! runs functions says how ([`CallFunctionHooks`]).

use std::sync::Arc;

use ferry_control::Requester;
use ferry_protocol::events::{Hook, Verdict};
use futures_util::future::BoxFuture;
use tokio::time::Instant;

use super::{HookDown, seconds, word};
use crate::{database::Database, hub::Hub};

/// The hooks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FunctionHook {
    /// Whether a connection with this payload may be.
    ValidatePayload,
    /// Before a batch is committed.
    OnPush,
    /// Before a Pull begins.
    OnPull,
    /// After a commit: it may write.
    OnPushed,
}

impl FunctionHook {
    /// All.
    pub(crate) const ALL: [Self; 4] = [Self::ValidatePayload, Self::OnPush, Self::OnPull, Self::OnPushed];

    /// The name that it is exported by.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::ValidatePayload => "validatePayload",
            Self::OnPush => Hook::OnPush.as_str(),
            Self::OnPull => Hook::OnPull.as_str(),
            Self::OnPushed => Hook::OnPushed.as_str(),
        }
    }
}

impl From<Hook> for FunctionHook {
    fn from(hook: Hook) -> Self {
        match hook {
            Hook::OnPush => Self::OnPush,
            Hook::OnPull => Self::OnPull,
            Hook::OnPushed => Self::OnPushed,
        }
    }
}

/// For whom hooks are asked, and in which database.
#[derive(Clone, Copy)]
pub(crate) struct Asking<'a> {
    pub(crate) hub: &'a Arc<Hub>,
    pub(crate) database: &'a Arc<Database>,
    pub(crate) by: &'a Requester,
}

/// What calling a function came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum HookEnd {
    /// It returned this JSON, or nothing.
    Returned(Option<String>),
    /// It threw an error of its own, with this message.
    Threw(String),
    /// It reached a limit, is broken, or could not be called; the cause is in the log.
    Failed,
}

/// Calls functions that are hooks.
pub(crate) trait CallFunctionHooks: Send + Sync {
    /// Whether the database has such a hook; also if its functions cannot be loaded.
    fn has<'a>(&self, asking: Asking<'a>, hook: FunctionHook) -> BoxFuture<'a, bool>;

    /// Calls it with these arguments, a JSON array. `None`: there is none.
    fn call<'a>(
        &self,
        asking: Asking<'a>,
        hook: FunctionHook,
        args: &'a str,
    ) -> BoxFuture<'a, Option<HookEnd>>;
}

/// Whether the database has such a function, or nobody has looked yet.
pub(super) fn may_have(database: &Database, hook: FunctionHook) -> bool {
    database.models().functions.may_have_hook(hook)
}

impl Asking<'_> {
    /// Whether there is such a function.
    pub(super) async fn has(&self, hook: FunctionHook) -> bool {
        match self.hub.services.events.function_hooks.get() {
            Some(functions) if may_have(self.database, hook) => functions.has(*self, hook).await,
            _ => false,
        }
    }

    /// Calls a function. `None`: there is none.
    pub(super) async fn call(&self, hook: FunctionHook, args: &str) -> Option<HookEnd> {
        let functions = self.hub.services.events.function_hooks.get()?;
        if !may_have(self.database, hook) {
            return None;
        }
        functions.call(*self, hook, args).await
    }

    /// The verdict of the database's function on `body`, a JSON object; `None`: there is none. One that returns nothing
    /// accepts, one that throws rejects; what else it returns is a verdict as a program answers with.
    pub(super) async fn function(&self, hook: Hook, body: &str) -> Option<Result<Verdict, HookDown>> {
        let began = Instant::now();
        let verdict = match self.call(hook.into(), &format!("[{body}]")).await? {
            HookEnd::Returned(None) => Ok(Verdict::Accept(Vec::new())),
            HookEnd::Returned(Some(json)) if json == "null" || hook == Hook::OnPushed => {
                Ok(Verdict::Accept(Vec::new()))
            }
            HookEnd::Returned(Some(json)) => Verdict::decode(&json).map_err(|error| {
                let database = self.database.id();
                tracing::warn!(%database, hook = hook.as_str(), %error, "what a hook returned is no verdict");
                HookDown
            }),
            HookEnd::Threw(message) => Ok(Verdict::Reject(message)),
            HookEnd::Failed => Err(HookDown),
        };
        seconds(hook, word(&verdict), began.elapsed());
        Some(verdict)
    }
}
