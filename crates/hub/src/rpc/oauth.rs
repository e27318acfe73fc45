//! Logins at providers on the wire.

use ferry_control::{Access, CompleteOAuth, StartOAuth};
use ferry_protocol::rpc::ferry::admin::v1 as wire;
use ferry_types::{Error, Result};

use crate::rpc::{Call, messages::auth_response};

pub(super) async fn start_o_auth(
    call: &Call<'_>,
    request: wire::StartOAuthRequest,
) -> Result<wire::StartOAuthResponse, Error> {
    let linker = if request.link { Some(call.session(Access::Full)?) } else { None };
    let wanted = StartOAuth {
        provider: &request.provider,
        client_challenge: &request.client_challenge,
        loopback_port: request.loopback_port,
        is_of_page: call.is_of_page(),
    };
    let started = wanted.run(&call.control.oauth, linker.as_ref(), &call.origin).await?;
    let (redirect_url, state) = started;
    Ok(wire::StartOAuthResponse { redirect_url, state, ..Default::default() })
}

pub(super) async fn complete_o_auth(
    call: &Call<'_>,
    request: wire::CompleteOAuthRequest,
) -> Result<wire::AuthResponse, Error> {
    let linker = if request.confirm_link { Some(call.session(Access::Full)?) } else { None };
    let wanted = CompleteOAuth {
        state: &request.state,
        code: &request.code,
        client_verifier: &request.client_verifier,
        password: &request.password,
    };
    Ok(auth_response(wanted.run(&call.control.oauth, linker.as_ref(), &call.origin).await?))
}
