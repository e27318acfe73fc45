//! Messages of the API key RPCs.

use ferry_auth::api_key::KeyKind;
use ferry_control::{
    Access, ApiKeyInfo, ApiKeyLimits, ApiKeySpec, CreateApiKey, ListApiKeys, NewApiKey, RevokeApiKey,
    RotateApiKey,
};
use ferry_protocol::rpc::ferry::admin::v1 as wire;
use ferry_types::{Error, Model, Op, Reason, Result, UnixMillis};

use crate::rpc::{Call, messages::words};

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

pub(super) async fn create_api_key(
    call: &Call<'_>,
    request: wire::CreateApiKeyRequest,
) -> Result<wire::ApiKey, Error> {
    let caller = call.session(Access::Full)?;
    let spec = spec(request.spec.into_option().unwrap_or_default())?;
    let made = CreateApiKey { caller: &caller, database: &request.database, spec, origin: &call.origin }
        .run(&call.control.db)
        .await?;
    Ok(new_api_key(made))
}

pub(super) async fn list_api_keys(
    call: &Call<'_>,
    request: wire::ListApiKeysRequest,
) -> Result<wire::ListApiKeysResponse, Error> {
    let caller = call.session(Access::Read)?;
    let wire::ListApiKeysRequest { database, page_size, page_token, .. } = &request;
    let (rows, next_page_token) =
        ListApiKeys { caller: &caller, database, page_size: *page_size, page_token }
            .run(&call.control.db)
            .await?;
    let api_keys = rows.into_iter().map(api_key).collect();
    Ok(wire::ListApiKeysResponse { api_keys, next_page_token, ..Default::default() })
}

pub(super) async fn rotate_api_key(
    call: &Call<'_>,
    request: wire::RotateApiKeyRequest,
) -> Result<wire::ApiKey, Error> {
    let caller = call.session(Access::Full)?;
    let (id, overlap) = (&request.id, request.overlap_seconds);
    let made = RotateApiKey { caller: &caller, id, overlap_seconds: overlap, origin: &call.origin }
        .run(&call.control.db)
        .await?;
    Ok(new_api_key(made))
}

pub(super) async fn revoke_api_key(
    call: &Call<'_>,
    request: wire::RevokeApiKeyRequest,
) -> Result<wire::RevokeApiKeyResponse, Error> {
    let caller = call.session(Access::Full)?;
    RevokeApiKey { caller: &caller, id: &request.id, origin: &call.origin }.run(&call.control.db).await?;
    Ok(wire::RevokeApiKeyResponse::default())
}
