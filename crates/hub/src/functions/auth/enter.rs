//! The way in for calls of functions: API key first, then bearer, then what both allow (functions specification, 2.1).

use ferry_auth::{FunctionAuth, Principal};
use ferry_control::{ClientInfo, Credentials};
use ferry_types::{DatabaseKind, Result};
use http::request::Parts;

use super::{EntryRefusal, FunctionsCaller};
use crate::{
    entry::{self, Carriers, Needs, Policy, RequestContext, anybody},
    http::request_origin,
    hub::Hub,
    rights::{FUNCTIONS_ADMIN, FUNCTIONS_CALL, FUNCTIONS_WRITE, Right},
};

/// What API keys begin with that were EdgePod's.
const EDGEPOD_KEY_PREFIX: &str = "ep_pk_";

/// Lets a call in, or a socket, or the `auth` frame of one ([`Carriers::Message`]), beside which the API key of the
/// socket's request counts still. `path`: `{db}`.
///
/// # Errors
/// See [`EntryRefusal`].
pub(in crate::functions) async fn enter(
    hub: &Hub,
    parts: &Parts,
    carriers: Carriers<'_>,
    path: Option<&str>,
) -> Result<FunctionsCaller, EntryRefusal> {
    let (headers, query) = (&parts.headers, parts.uri.query());
    let credentials = match carriers {
        Carriers::Message(token) => {
            Credentials::of_request(headers, query).without_bearer().with_bearer(token)
        }
        carriers => carriers.credentials(parts).unwrap_or_default(),
    };
    let credentials = credentials.with_first_key(headers, query);
    let client = ClientInfo::of(request_origin(parts).ip, headers);
    let authenticator = &hub.control.authenticator;
    let credential = authenticator.authenticate_function_caller(&credentials, &client, path).await?;
    FUNCTIONS_CALL.check(&credential.auth)?;
    let read_only = FUNCTIONS_WRITE.check(&credential.auth).is_err();
    let commits = if read_only { &[FUNCTIONS_CALL] } else { &[FUNCTIONS_WRITE] };
    let policy = policy(carriers, path, commits);
    let context = entry::authorize(hub, parts, &policy, credential.auth).await?;
    let is_edgepod = credentials.key_begins_with(EDGEPOD_KEY_PREFIX);
    Ok(FunctionsCaller {
        can_sign: hub.control.function_auth(context.auth.database_id) == FunctionAuth::Local,
        claims: credential.claims,
        read_only,
        api_key: match &context.auth.principal {
            Principal::ApiKey(id) => Some(*id),
            _ => context.auth.beside,
        },
        guard_prefix: if is_edgepod { "[EdgePod]" } else { "[Ferry]" },
        context,
    })
}

/// Lets a call of the deployment API in (functions specification, 2.4).
///
/// # Errors
/// What [`entry::enter`] says.
pub(in crate::functions) async fn enter_admin(
    hub: &Hub,
    parts: &Parts,
    path: Option<&str>,
) -> Result<RequestContext> {
    entry::enter(hub, parts, &policy(Carriers::Request, path, &[FUNCTIONS_ADMIN])).await
}

fn policy<'r>(carriers: Carriers<'r>, path: Option<&'r str>, rights: &'r [Right]) -> Policy<'r> {
    Policy {
        carriers,
        path,
        tenant: None,
        needs: Needs::All(rights),
        commits: rights,
        condition: &anybody,
        creates: None,
        kind: Some(DatabaseKind::Hub),
    }
}
