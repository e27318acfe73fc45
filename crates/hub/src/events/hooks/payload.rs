//! `validatePayload`: a function decides whether what a connection was opened with is good, at its opening and before each
//! of its pushes (FUN-85).

use std::sync::Arc;

use ferry_protocol::events::{
    ConnectQuery, RpcError, Transport,
    close::{self, Close},
};
use ferry_types::{Error, Reason, Result};
use http::request::Parts;
use serde_json::json;

use super::{Asking, FunctionHook, HookEnd, may_have, shown};
use crate::{
    entry::RequestContext,
    events::{push::Pusher, refusal},
    http::shown_headers,
    hub::Hub,
};

/// What a connection was opened with, as its hook is shown it.
pub(in crate::events) struct PresentedPayload {
    /// The hook's arguments, a JSON array.
    args: Box<str>,
}

impl PresentedPayload {
    /// Asks about a connection that is being opened; what is to be shown again at its pushes, if there is a hook. A call over
    /// HTTP is asked about once.
    ///
    /// # Errors
    /// What the hook threw, or that it could not be asked.
    pub(in crate::events) async fn admit(
        hub: &Arc<Hub>,
        context: &RequestContext,
        parts: &Parts,
        query: &ConnectQuery,
    ) -> Result<Option<Arc<Self>>> {
        if !may_have(&context.database, FunctionHook::ValidatePayload) {
            return Ok(None);
        }
        let asking = Asking { hub, database: &context.database, by: &context.requester };
        let headers: serde_json::Map<_, _> =
            shown_headers(&parts.headers).map(|(name, value)| (name, value.into())).collect();
        let about = json!({ "storeId": query.store_id, "headers": headers });
        let args = json!([query.payload, about]).to_string();
        let is_kept = ask(&asking, &args).await? && query.transport == Transport::Ws;
        Ok(is_kept.then(|| Arc::new(Self { args: args.into() })))
    }

    /// Asks again, before a push; how the connection is closed where it is not good any more.
    ///
    /// # Errors
    /// The failure of the push, and that close.
    pub(in crate::events) async fn check(
        pusher: &Pusher,
        presented: Option<&Self>,
    ) -> Result<(), (RpcError, Close)> {
        if !may_have(&pusher.database, FunctionHook::ValidatePayload) {
            return Ok(());
        }
        let asked = match presented {
            Some(presented) => ask(&pusher.asking(), &presented.args).await.map(|_| true),
            // It was opened before there was a hook: it comes again, and is asked about.
            None => Ok(!pusher.asking().has(FunctionHook::ValidatePayload).await),
        };
        match asked {
            Ok(true) => Ok(()),
            Ok(false) => {
                let error = Error::new(Reason::Busy, "functions were deployed: connect again");
                Err((refusal::rpc_error(&error), close::RESTARTING))
            }
            Err(error) if error.reason == Reason::InvalidArgument => {
                Err((refusal::rpc_error(&error), close::WITHDRAWN))
            }
            Err(error) => Err((refusal::rpc_error(&error), close::ON_HOLD)),
        }
    }
}

/// Whether there is a hook, which accepts.
async fn ask(asking: &Asking<'_>, args: &str) -> Result<bool> {
    match asking.call(FunctionHook::ValidatePayload, args).await {
        None => Ok(false),
        Some(HookEnd::Returned(_)) => Ok(true),
        Some(HookEnd::Threw(message)) => {
            Err(Error::new(Reason::InvalidArgument, shown(&message, "the payload was refused")))
        }
        Some(HookEnd::Failed) => {
            let message = "the hook validatePayload does not answer: try again later";
            Err(Error::new(Reason::Unavailable, message).retry_after_ms(5_000))
        }
    }
}
