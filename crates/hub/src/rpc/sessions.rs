//! Sessions on the wire.

use ferry_control::{Access, ListSessions, RefreshSession, RevokeAllSessions, RevokeSession};
use ferry_protocol::rpc::ferry::admin::v1 as wire;
use ferry_types::{Error, Result};

use crate::rpc::{
    Call,
    messages::{auth_response, session},
};

pub(super) async fn refresh_session(
    call: &Call<'_>,
    _request: wire::RefreshSessionRequest,
) -> Result<wire::AuthResponse, Error> {
    let caller = call.unproven_session(Access::Full)?;
    Ok(auth_response(
        RefreshSession { caller: &caller, origin: &call.origin }.run(&call.control.accounts).await?,
    ))
}

pub(super) async fn list_sessions(
    call: &Call<'_>,
    request: wire::ListSessionsRequest,
) -> Result<wire::ListSessionsResponse, Error> {
    let caller = call.session(Access::Read)?;
    let (rows, next_page_token) =
        ListSessions { caller: &caller, page_size: request.page_size, page_token: &request.page_token }
            .run(&call.control.db)
            .await?;
    let sessions = rows.into_iter().map(|row| session(row, caller.session_id)).collect();
    Ok(wire::ListSessionsResponse { sessions, next_page_token, ..Default::default() })
}

pub(super) async fn revoke_session(
    call: &Call<'_>,
    request: wire::RevokeSessionRequest,
) -> Result<wire::RevokeSessionResponse, Error> {
    let caller = call.unproven_session(Access::Full)?;
    let (id, keep) = (&request.session_id, request.keep_sync_tokens);
    RevokeSession { caller: &caller, session_id: id, keep_sync_tokens: keep, origin: &call.origin }
        .run(&call.control.db)
        .await?;
    Ok(wire::RevokeSessionResponse::default())
}

pub(super) async fn revoke_all_sessions(
    call: &Call<'_>,
    _request: wire::RevokeAllSessionsRequest,
) -> Result<wire::RevokeAllSessionsResponse, Error> {
    let caller = call.session(Access::Full)?;
    RevokeAllSessions { caller: &caller, origin: &call.origin }.run(&call.control.db).await?;
    Ok(wire::RevokeAllSessionsResponse::default())
}
