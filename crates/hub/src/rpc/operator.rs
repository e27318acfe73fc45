//! What only the operator may call.

use ferry_control::{
    CreateUser, DisableUser, IssuePasswordReset, ListSigningKeys, ListUsers, RetireSigningKey,
    RotateSigningKey, UserInfo,
};
use ferry_protocol::rpc::ferry::admin::v1 as wire;
use ferry_types::{Error, Reason, Result, UnixMillis};

use crate::{
    config::ShownSetting,
    rpc::{Call, messages::signing_key},
    series::KeptSeries,
};

pub(super) async fn get_server_info(
    call: &Call<'_>,
    _request: wire::GetServerInfoRequest,
) -> Result<wire::GetServerInfoResponse, Error> {
    call.operator()?;
    Ok(wire::GetServerInfoResponse {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        hub_id: call.control.hub_id().to_owned(),
        users: call.control.user_count() as u64,
        databases: call.control.database_count() as u64,
        ..Default::default()
    })
}

pub(super) async fn list_signing_keys(
    call: &Call<'_>,
    request: wire::ListSigningKeysRequest,
) -> Result<wire::ListSigningKeysResponse, Error> {
    call.operator()?;
    let (rows, next_page_token) =
        ListSigningKeys { page_size: request.page_size, page_token: &request.page_token }
            .run(&call.control.signing_keys)
            .await?;
    let keys = rows.into_iter().map(signing_key).collect();
    Ok(wire::ListSigningKeysResponse { keys, next_page_token, ..Default::default() })
}

pub(super) async fn rotate_signing_key(
    call: &Call<'_>,
    _request: wire::RotateSigningKeyRequest,
) -> Result<wire::SigningKey, Error> {
    call.operator()?;
    Ok(signing_key(RotateSigningKey { origin: &call.origin }.run(&call.control.signing_keys).await?))
}

pub(super) async fn retire_signing_key(
    call: &Call<'_>,
    request: wire::RetireSigningKeyRequest,
) -> Result<wire::RetireSigningKeyResponse, Error> {
    call.operator()?;
    RetireSigningKey { kid: &request.kid, origin: &call.origin }.run(&call.control.signing_keys).await?;
    Ok(wire::RetireSigningKeyResponse::default())
}

pub(super) async fn list_users(
    call: &Call<'_>,
    request: wire::ListUsersRequest,
) -> Result<wire::ListUsersResponse, Error> {
    call.operator()?;
    let wire::ListUsersRequest { email_contains, page_size, page_token, .. } = &request;
    let (rows, next_page_token) =
        ListUsers { email_contains, page_size: *page_size, page_token }.run(&call.control.db).await?;
    let user = |info: UserInfo| wire::User {
        user_id: info.id.to_string(),
        email: info.email,
        email_verified: info.is_email_verified,
        disabled: info.is_disabled,
        created_unix: info.created.as_secs(),
        last_seen_unix: info.last_seen.map_or(0, UnixMillis::as_secs),
        ..Default::default()
    };
    let users = rows.into_iter().map(user).collect();
    Ok(wire::ListUsersResponse { users, next_page_token, ..Default::default() })
}

pub(super) async fn create_user(
    call: &Call<'_>,
    request: wire::CreateUserRequest,
) -> Result<wire::CreateUserResponse, Error> {
    call.operator()?;
    let user_id = CreateUser { email: &request.email, password: &request.password, origin: &call.origin }
        .run(&call.control.accounts)
        .await?;
    Ok(wire::CreateUserResponse { user_id: user_id.to_string(), ..Default::default() })
}

pub(super) async fn disable_user(
    call: &Call<'_>,
    request: wire::DisableUserRequest,
) -> Result<wire::DisableUserResponse, Error> {
    call.operator()?;
    DisableUser { user: &request.user_id, disabled: request.disabled, origin: &call.origin }
        .run(&call.control.db)
        .await?;
    Ok(wire::DisableUserResponse::default())
}

pub(super) async fn issue_password_reset(
    call: &Call<'_>,
    request: wire::IssuePasswordResetRequest,
) -> Result<wire::IssuePasswordResetResponse, Error> {
    call.operator()?;
    let issued =
        IssuePasswordReset { email: &request.email, origin: &call.origin }.run(&call.control.db).await?;
    let (code, exp_unix) = (issued.code, issued.exp_unix);
    Ok(wire::IssuePasswordResetResponse { code, exp_unix, ..Default::default() })
}

pub(super) async fn get_settings(
    call: &Call<'_>,
    _request: wire::GetSettingsRequest,
) -> Result<wire::GetSettingsResponse, Error> {
    call.operator()?;
    let hub = call.hub.ok_or_else(|| Error::new(Reason::NotYet, "this hub shows no settings"))?;
    let setting = |shown: &ShownSetting| wire::Setting {
        key: shown.key.to_owned(),
        value: shown.value.clone(),
        source: shown.source.clone(),
        help: shown.help.to_owned(),
        ..Default::default()
    };
    let settings = hub.config.shown.iter().map(setting).collect();
    Ok(wire::GetSettingsResponse { settings, ..Default::default() })
}

pub(super) async fn get_series(
    call: &Call<'_>,
    request: wire::GetSeriesRequest,
) -> Result<wire::GetSeriesResponse, Error> {
    call.operator()?;
    let hub = call.hub.ok_or_else(|| Error::new(Reason::NotYet, "this hub keeps no series"))?;
    let series = |kept: KeptSeries| wire::Series {
        name: kept.name.to_owned(),
        step_seconds: kept.step_seconds,
        start_unix: kept.start_unix,
        values: kept.values,
        is_counter: kept.is_counter,
        ..Default::default()
    };
    let series = hub.series.since(&request.names, request.since_unix).into_iter().map(series).collect();
    Ok(wire::GetSeriesResponse { series, ..Default::default() })
}
