//! Sync tokens on the wire.

use ferry_control::{Access, ListTokens, RevokeDatabaseTokens, RevokeToken};
use ferry_protocol::rpc::ferry::admin::v1 as wire;
use ferry_types::{Error, Result};

use crate::rpc::{Call, messages::token};

pub(super) async fn list_tokens(
    call: &Call<'_>,
    request: wire::ListTokensRequest,
) -> Result<wire::ListTokensResponse, Error> {
    let caller = call.session(Access::Read)?;
    let wire::ListTokensRequest { database, page_size, page_token, .. } = &request;
    let (rows, next_page_token) = ListTokens { caller: &caller, database, page_size: *page_size, page_token }
        .run(&call.control.db)
        .await?;
    let tokens = rows.into_iter().map(token).collect();
    Ok(wire::ListTokensResponse { tokens, next_page_token, ..Default::default() })
}

pub(super) async fn revoke_token(
    call: &Call<'_>,
    request: wire::RevokeTokenRequest,
) -> Result<wire::RevokeTokenResponse, Error> {
    let caller = call.session(Access::Full)?;
    RevokeToken { caller: &caller, token_id: &request.token_id, token: &request.token, origin: &call.origin }
        .run(&call.control.db)
        .await?;
    Ok(wire::RevokeTokenResponse::default())
}

pub(super) async fn revoke_database_tokens(
    call: &Call<'_>,
    request: wire::RevokeDatabaseTokensRequest,
) -> Result<wire::RevokeDatabaseTokensResponse, Error> {
    let caller = call.session(Access::Full)?;
    RevokeDatabaseTokens { caller: &caller, database: &request.database, origin: &call.origin }
        .run(&call.control.db)
        .await?;
    Ok(wire::RevokeDatabaseTokensResponse::default())
}
