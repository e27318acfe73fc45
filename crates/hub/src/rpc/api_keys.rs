//! Messages of the API key RPCs.

use crate::{
    control::{ApiKeyInfo, ApiKeyLimits, ApiKeySpec, NewApiKey},
    rpc::messages::words,
};
use ferry_auth::api_key::KeyKind;
use ferry_protocol::rpc::ferry::admin::v1 as wire;
use ferry_types::{Error, Model, Op, Reason, UnixMillis};

pub(super) fn spec(request: wire::ApiKey) -> Result<ApiKeySpec, Error> {
    let kind: KeyKind = match request.kind.as_str() {
        "" => KeyKind::Publishable,
        word => word.parse().map_err(|error: ferry_auth::api_key::UnknownKeyKind| {
            Error::new(Reason::InvalidArgument, error.to_string())
        })?,
    };
    Ok(ApiKeySpec {
        kind,
        label: request.label,
        models: words::<Model, _>("models", &request.models)?,
        ops: words::<Op, _>("ops", &request.ops)?,
        limits: ApiKeyLimits {
            origins: request.origins,
            functions: request.functions,
            per_minute: request.per_minute,
            replaced_by: None,
        },
        expires_unix: request.exp_unix,
        import: request.value,
    })
}

pub(super) fn api_key(info: ApiKeyInfo) -> wire::ApiKey {
    wire::ApiKey {
        id: info.id.to_string(),
        kind: info.kind.as_str().to_owned(),
        label: info.label,
        prefix: info.prefix,
        models: info.models.iter().map(|model| model.to_string()).collect(),
        ops: info.ops.iter().map(|op| op.to_string()).collect(),
        origins: info.limits.origins,
        functions: info.limits.functions,
        per_minute: info.limits.per_minute,
        created_unix: info.created.as_secs(),
        exp_unix: info.expires.map_or(0, UnixMillis::as_secs),
        last_used_unix: info.last_used.map_or(0, UnixMillis::as_secs),
        ..Default::default()
    }
}

pub(super) fn new_api_key(made: NewApiKey) -> wire::ApiKey {
    wire::ApiKey { value: made.value, ..api_key(made.info) }
}
