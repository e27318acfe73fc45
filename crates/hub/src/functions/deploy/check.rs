//! What is asked, read: bodies, schemas, hints, and the bundle, which is loaded once before anything is changed.

use std::sync::Arc;

use ferry_core::functions::schema::{DatabaseSchema, Hints, schema_hash};
use ferry_functions::LoadErrorKind;
use ferry_types::Error;
use serde_json::value::RawValue;

use super::{
    super::deployed::{load, refusal_of_load},
    refusal::DeployError,
};
use crate::hub::Hub;

/// The schema of code that declares none.
const NO_SCHEMA: &str = r#"{"version":1}"#;

/// Hints as they are written in a body.
pub(super) fn hints(text: Option<&RawValue>) -> Result<Hints, DeployError> {
    let Some(text) = text.filter(|text| text.get() != "null") else { return Ok(Hints::default()) };
    let hints: Hints =
        serde_json::from_str(text.get()).map_err(|error| DeployError::Invalid(format!("hints: {error}")))?;
    hints.check()?;
    Ok(hints)
}

/// A declared schema.
pub(super) struct DeclaredSchema {
    /// As it was written.
    pub(super) json: String,
    /// The same, read.
    pub(super) schema: DatabaseSchema,
}

impl DeclaredSchema {
    pub(super) fn read(json: &str) -> Result<Self, DeployError> {
        Ok(Self { schema: DatabaseSchema::from_json(json)?, json: json.to_owned() })
    }
}

/// Loads a bundle as a call would, and returns the schema that it exports.
pub(super) async fn bundle(
    hub: &Arc<Hub>,
    bundle: String,
    source_map: Option<String>,
) -> Result<Option<String>, DeployError> {
    let most = hub.config.functions.bundle_max_bytes;
    if bundle.len() > most {
        let message = format!("bundle over {most} bytes.");
        return Err(Error::new(ferry_types::Reason::TooLarge, message).into());
    }
    let program = load(hub, bundle, source_map).await?.map_err(|error| match error.kind {
        LoadErrorKind::NoProcess => refusal_of_load(&error).into(),
        _ => DeployError::Bundle(error),
    })?;
    Ok(program.schema().map(str::to_owned))
}

/// The schema of a deployment: what it names, which must be what its bundle exports; or that alone.
pub(super) fn schema(
    named: Option<&RawValue>,
    exported: Option<&str>,
) -> Result<DeclaredSchema, DeployError> {
    let named = named.map(RawValue::get).filter(|text| *text != "null");
    let schema = DeclaredSchema::read(named.or(exported).unwrap_or(NO_SCHEMA))?;
    if let (Some(_), Some(exported)) = (named, exported) {
        let exported = DeclaredSchema::read(exported)?;
        if schema_hash(&schema.schema) != schema_hash(&exported.schema) {
            let message =
                "schema: it is not the one that the bundle exports: make both anew from the same sources";
            return Err(DeployError::Invalid(message.to_owned()));
        }
    }
    Ok(schema)
}
