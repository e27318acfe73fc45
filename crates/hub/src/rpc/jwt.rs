//! JWT settings as the wire carries them.

use crate::control::JwtTrial;
use ferry_auth::jwt::JwtSettingsText;
use ferry_protocol::rpc::ferry::admin::v1 as wire;

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
