//! What only the operator may call.

use ferry_control::{
    CreateUser, DisableUser, IssuePasswordReset, LineageStep, ListLineageSteps, ListSigningKeys, ListUsers,
    RetireSigningKey, RotateSigningKey, SetUserOperator, UserInfo,
};
use ferry_protocol::rpc::ferry::admin::v1 as wire;
use ferry_types::{Error, Reason, Result, UnixMillis};

use crate::{
    config::ShownSetting,
    doctor::DoctorFinding,
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
    let origin = &call.operator()?;
    Ok(signing_key(RotateSigningKey { origin }.run(&call.control.signing_keys).await?))
}

pub(super) async fn retire_signing_key(
    call: &Call<'_>,
    request: wire::RetireSigningKeyRequest,
) -> Result<wire::RetireSigningKeyResponse, Error> {
    let origin = &call.operator()?;
    RetireSigningKey { kid: &request.kid, origin }.run(&call.control.signing_keys).await?;
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
        operator: info.is_operator,
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
    let origin = &call.operator()?;
    let user_id = CreateUser { email: &request.email, password: &request.password, origin }
        .run(&call.control.accounts)
        .await?;
    Ok(wire::CreateUserResponse { user_id: user_id.to_string(), ..Default::default() })
}

pub(super) async fn disable_user(
    call: &Call<'_>,
    request: wire::DisableUserRequest,
) -> Result<wire::DisableUserResponse, Error> {
    let origin = &call.operator()?;
    DisableUser { user: &request.user_id, disabled: request.disabled, origin }.run(&call.control.db).await?;
    Ok(wire::DisableUserResponse::default())
}

pub(super) async fn set_user_operator(
    call: &Call<'_>,
    request: wire::SetUserOperatorRequest,
) -> Result<wire::SetUserOperatorResponse, Error> {
    let origin = &call.operator()?;
    SetUserOperator { user: &request.user_id, operator: request.operator, origin }
        .run(&call.control.accounts)
        .await?;
    Ok(wire::SetUserOperatorResponse::default())
}

pub(super) async fn issue_password_reset(
    call: &Call<'_>,
    request: wire::IssuePasswordResetRequest,
) -> Result<wire::IssuePasswordResetResponse, Error> {
    let origin = &call.operator()?;
    let issued = IssuePasswordReset { email: &request.email, origin }.run(&call.control.db).await?;
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

pub(super) async fn run_doctor(
    call: &Call<'_>,
    _request: wire::RunDoctorRequest,
) -> Result<wire::RunDoctorResponse, Error> {
    call.operator()?;
    let hub = call.hub.ok_or_else(|| Error::new(Reason::NotYet, "this hub has no doctor"))?;
    let check = |found: DoctorFinding| wire::DoctorCheck {
        level: found.level.to_owned(),
        check: found.check.to_owned(),
        text: found.text,
        ..Default::default()
    };
    let checks = hub.doctor.examine(&hub.config).await?.into_iter().map(check).collect();
    Ok(wire::RunDoctorResponse { checks, ..Default::default() })
}

pub(super) async fn get_lineage(
    call: &Call<'_>,
    request: wire::GetLineageRequest,
) -> Result<wire::GetLineageResponse, Error> {
    call.operator()?;
    let lineage = call.hub.and_then(|hub| Some((hub, hub.lineage.as_ref()?)));
    let (hub, lineage) = lineage
        .ok_or_else(|| Error::new(Reason::NotYet, "this hub does not know where its data comes from"))?;
    let list = ListLineageSteps { page_size: request.page_size, page_token: &request.page_token };
    let (rows, next_page_token) = list.run(&call.control.db).await?;
    let verdict = lineage.verdict();
    Ok(wire::GetLineageResponse {
        hub_id: call.control.hub_id().to_owned(),
        run: lineage.run().to_string(),
        began_unix_ms: hub.started.0,
        verdict: verdict.as_str().to_owned(),
        sign: verdict.sign().map_or_else(String::new, |sign| sign.as_str().to_owned()),
        health: lineage.health().unwrap_or_default().to_owned(),
        steps: rows.into_iter().map(|step| lineage_step(call, step)).collect(),
        next_page_token,
        ..Default::default()
    })
}

fn lineage_step(call: &Call<'_>, step: LineageStep) -> wire::LineageStep {
    let database = step.scope.parse().ok().and_then(|id| call.control.database(id));
    wire::LineageStep {
        kind: step.kind,
        at_unix_ms: step.at.0,
        scope: step.scope,
        database_name: database.map(|entry| entry.name.to_string()).unwrap_or_default(),
        reason: step.reason,
        number: step.number,
        known_seq: step.known_seq,
        left_seq: step.left_seq,
        lost_since_unix_ms: step.since.map_or(0, |at| at.0),
        ..Default::default()
    }
}
