//! Passwords, and the end of an account, on the wire.

use ferry_control::{Access, ChangePassword, DeleteAccount, ResetPassword};
use ferry_protocol::rpc::ferry::admin::v1 as wire;
use ferry_types::{Error, Result};

use crate::rpc::Call;

pub(super) async fn change_password(
    call: &Call<'_>,
    request: wire::ChangePasswordRequest,
) -> Result<wire::ChangePasswordResponse, Error> {
    let caller = call.session(Access::Full)?;
    let wire::ChangePasswordRequest { current, new, keep_other_sessions, .. } = &request;
    let changed = ChangePassword {
        caller: &caller,
        current,
        new,
        keep_other_sessions: *keep_other_sessions,
        origin: &call.origin,
    }
    .run(&call.control.accounts);
    changed.await?;
    Ok(wire::ChangePasswordResponse::default())
}

pub(super) async fn reset_password(
    call: &Call<'_>,
    request: wire::ResetPasswordRequest,
) -> Result<wire::ResetPasswordResponse, Error> {
    let wire::ResetPasswordRequest { email, code, new_password, .. } = &request;
    ResetPassword { email, code, new_password, origin: &call.origin }.run(&call.control.accounts).await?;
    Ok(wire::ResetPasswordResponse::default())
}

pub(super) async fn delete_account(
    call: &Call<'_>,
    request: wire::DeleteAccountRequest,
) -> Result<wire::DeleteAccountResponse, Error> {
    let caller = call.session(Access::Full)?;
    let wire::DeleteAccountRequest { confirm_email, password, .. } = &request;
    DeleteAccount { caller: &caller, confirm_email, password, origin: &call.origin }
        .run(&call.control.accounts, &call.control.storage)
        .await?;
    Ok(wire::DeleteAccountResponse::default())
}
