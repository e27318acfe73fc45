//! JWT settings as the wire carries them.

use ferry_auth::jwt::JwtSettingsText;
use ferry_control::{Access, GetJwtSettings, JwtTrial, SetJwtSettings, TestJwt};
use ferry_protocol::rpc::ferry::admin::v1 as wire;
use ferry_types::{Error, Result};

use crate::rpc::Call;

pub(super) fn settings(text: JwtSettingsText) -> wire::JwtSettings {
    wire::JwtSettings {
        jwks_url: text.jwks_url,
        jwks_json: text.jwks_json,
        issuer: text.issuer,
        audiences: text.audiences,
        algorithms: text.algorithms,
        leeway_seconds: text.leeway_seconds,
        max_age_seconds: text.max_age_seconds,
        models: text.models,
        ops: text.ops,
        ..Default::default()
    }
}

pub(super) fn settings_text(settings: wire::JwtSettings) -> JwtSettingsText {
    JwtSettingsText {
        jwks_url: settings.jwks_url,
        jwks_json: settings.jwks_json,
        issuer: settings.issuer,
        audiences: settings.audiences,
        algorithms: settings.algorithms,
        leeway_seconds: settings.leeway_seconds,
        max_age_seconds: settings.max_age_seconds,
        models: settings.models,
        ops: settings.ops,
    }
}

pub(super) fn trial(trial: JwtTrial) -> wire::TestJwtResponse {
    wire::TestJwtResponse {
        ok: trial.refused.is_none(),
        reason: trial.refused.unwrap_or_default(),
        sub: trial.subject,
        exp_unix: trial.exp_unix,
        ..Default::default()
    }
}

pub(super) async fn get_jwt_settings(
    call: &Call<'_>,
    request: wire::GetJwtSettingsRequest,
) -> Result<wire::JwtSettings, Error> {
    let caller = call.session(Access::Read)?;
    Ok(settings(GetJwtSettings { caller: &caller, database: &request.database }.run(&call.control.db).await?))
}

pub(super) async fn set_jwt_settings(
    call: &Call<'_>,
    request: wire::SetJwtSettingsRequest,
) -> Result<wire::SetJwtSettingsResponse, Error> {
    let caller = call.session(Access::Full)?;
    let text = settings_text(request.settings.into_option().unwrap_or_default());
    SetJwtSettings { caller: &caller, database: &request.database, text, origin: &call.origin }
        .run(&call.control.db)
        .await?;
    Ok(wire::SetJwtSettingsResponse::default())
}

pub(super) async fn test_jwt(
    call: &Call<'_>,
    request: wire::TestJwtRequest,
) -> Result<wire::TestJwtResponse, Error> {
    let caller = call.session(Access::Full)?;
    Ok(trial(
        TestJwt { caller: &caller, database: &request.database, token: &request.token }
            .run(&call.control.authenticator)
            .await?,
    ))
}
