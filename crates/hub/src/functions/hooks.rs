//! Hooks of event stores that are functions (FUN-85): `functions/hooks.ts`, as event sync calls it.

use std::sync::Arc;

use ferry_control::Requester;
use ferry_functions::{CallFailure, CallRequest, FunctionKind, ThrownClass};
use ferry_types::Result;
use futures_util::future::BoxFuture;

use super::{
    call::{PlannedCall, Writes, run as run_call},
    deployed::{self, LoadedFunctions, hook_bit},
    logs::LoggedCall,
    rpc::log_lines,
};
use crate::{
    clock::new_id,
    events::{Asking, CallFunctionHooks, FunctionHook, HookEnd},
};

/// Calls hooks for event sync.
pub(super) struct FunctionHooks;

impl CallFunctionHooks for FunctionHooks {
    fn has<'a>(&self, asking: Asking<'a>, hook: FunctionHook) -> BoxFuture<'a, bool> {
        Box::pin(async move { !matches!(functions_with(asking, hook).await, Ok(None)) })
    }

    fn call<'a>(
        &self,
        asking: Asking<'a>,
        hook: FunctionHook,
        args: &'a str,
    ) -> BoxFuture<'a, Option<HookEnd>> {
        Box::pin(call(asking, hook, args))
    }
}

/// The functions, if they have such a hook.
async fn functions_with(asking: Asking<'_>, hook: FunctionHook) -> Result<Option<Arc<LoadedFunctions>>> {
    let deployed = deployed::current(asking.hub, asking.database).await?;
    Ok(deployed.filter(|deployed| deployed.hooks() & hook_bit(hook) != 0))
}

async fn call(asking: Asking<'_>, hook: FunctionHook, args: &str) -> Option<HookEnd> {
    let deployed = match functions_with(asking, hook).await {
        Ok(deployed) => deployed?,
        Err(error) => {
            tracing::warn!(database = %asking.database.id(), %error, "a hook's functions cannot be loaded");
            return Some(HookEnd::Failed);
        }
    };
    let calling = call_loaded(asking, deployed, hook, args);
    if hook == FunctionHook::OnPushed {
        return Some(calling.await);
    }
    // What it decides on waits no longer than for a program of the operator's.
    let ended = tokio::time::timeout(asking.hub.config.events.hooks.timeout, calling).await;
    Some(ended.unwrap_or_else(|_| {
        tracing::warn!(database = %asking.database.id(), hook = hook.as_str(), "a hook takes too long");
        HookEnd::Failed
    }))
}

async fn call_loaded(
    asking: Asking<'_>,
    deployed: Arc<LoadedFunctions>,
    hook: FunctionHook,
    args: &str,
) -> HookEnd {
    let Asking { hub, database, by } = asking;
    let Ok(env) = hub.control.function_env(database.id()) else { return HookEnd::Failed };
    let (kind, writes, commits_by) = match hook {
        FunctionHook::OnPushed => (FunctionKind::Mutation, Writes::Allowed, Requester::hub()),
        _ => (FunctionKind::Query, Writes::Hook, by.clone()),
    };
    let request_id: Arc<str> = new_id().to_string().into();
    let function: Arc<str> = format!("hooks:{}", hook.as_str()).into();
    let user = by.subject().map(|subject| serde_json::json!({ "sub": subject }).to_string().into());
    let deployment = Arc::clone(&deployed.id);
    let plan = PlannedCall {
        hub: Arc::clone(hub),
        database: Arc::clone(database),
        by: Arc::new(commits_by),
        owner: None,
        deployed,
        request: CallRequest {
            function: Arc::clone(&function),
            args: args.into(),
            headers: Arc::from([]),
            user,
            // A hook is nobody's call: no device keeps records of it.
            owner: Arc::from(""),
            env: env.values,
            request_id: Arc::clone(&request_id),
            guard_prefix: "[Ferry]",
            can_sign: false,
            is_dev: hub.config.dev,
        },
        kind,
        writes,
        idempotency: None,
    };
    let done = match run_call(plan).await {
        Ok(done) => done,
        Err(error) => {
            tracing::warn!(database = %asking.database.id(), %function, %error, "a hook could not be called");
            return HookEnd::Failed;
        }
    };
    let logged = LoggedCall {
        hub,
        database: database.id(),
        function: &function,
        request_id: &request_id,
        deployment: &deployment,
    };
    logged.wrote(&done.outcome.log);
    if let Err(failure) = &done.outcome.result {
        logged.hook_failed(failure);
    }
    log_lines(&request_id, database.id(), &function, &done.outcome.log);
    match done.outcome.result {
        Ok(returned) => HookEnd::Returned(returned),
        Err(CallFailure::Thrown {
            class: ThrownClass::Function | ThrownClass::Constraint, message, ..
        }) => HookEnd::Threw(message),
        Err(failure) => {
            let database = database.id();
            tracing::warn!(%request_id, %database, %function, ?failure, end = ?done.end, "a hook failed");
            HookEnd::Failed
        }
    }
}
