//! What a key may be asked to be (KEY-01, KEY-02).

use ferry_auth::api_key::{self, KeyKind};
use ferry_types::{
    Error, Model, ModelSet, Op, OpSet, Reason, Result, UnixMillis,
    limits::{API_KEY_ITEM_MAX_BYTES, API_KEY_LIST_MAX},
};

use super::invalid;

use crate::{
    credentials::label::check_label, directory::api_key_rows::ApiKeyLimits, web_origins::parse_origin,
};

/// What a key is asked to be.
#[derive(Clone, Debug)]
pub struct ApiKeySpec {
    /// Who may know it.
    pub kind: KeyKind,
    /// A name for lists.
    pub label: String,
    /// Models it reaches; empty: functions.
    pub models: ModelSet,
    /// What it may do; empty: read and write.
    pub ops: OpSet,
    /// Origins, functions and rate.
    pub limits: ApiKeyLimits,
    /// From this Unix second on it is dead; 0: never.
    pub expires_unix: i64,
    /// A value that another system made; empty: one is drawn.
    pub import: String,
}

impl ApiKeySpec {
    /// The same with its defaults, if it asks for what can be had (KEY-02).
    pub(super) fn checked(mut self, now: UnixMillis) -> Result<Self> {
        check_label(&self.label)?;
        if self.models.is_empty() {
            self.models = ModelSet::of(&[Model::Functions]);
        }
        if self.ops.is_empty() {
            self.ops = OpSet::of(&[Op::Read, Op::Write]);
        }
        if self.kind == KeyKind::Publishable && self.ops.contains(Op::Admin) {
            return Err(invalid("ops: only a secret key may have admin"));
        }
        if self.expires_unix < 0 || (self.expires_unix > 0 && self.expires_unix <= now.as_secs()) {
            return Err(invalid("exp_unix must lie in the future, or be 0 for a key that never ends"));
        }
        let limits = &mut self.limits;
        limits.replaced_by = None;
        limits.origins = limits.origins.iter().map(|text| origin(text)).collect::<Result<_>>()?;
        let is_name = |name: &String| {
            (1..=API_KEY_ITEM_MAX_BYTES).contains(&name.len()) && !name.chars().any(char::is_control)
        };
        if limits.origins.len() > API_KEY_LIST_MAX {
            return Err(invalid("origins: at most 256"));
        }
        if limits.functions.len() > API_KEY_LIST_MAX || !limits.functions.iter().all(is_name) {
            return Err(invalid("functions: at most 256 names of 1 to 256 bytes without control characters"));
        }
        if !self.import.is_empty() {
            api_key::check_import(self.kind, &self.import)
                .map_err(|error| Error::new(Reason::InvalidArgument, error.to_string()))?;
        }
        Ok(self)
    }
}

/// An origin, or a pattern of origins, as requests are compared with it.
fn origin(text: &str) -> Result<String> {
    let shaped = parse_origin(text).ok();
    let fits = |origin: &String| origin != "*" && origin.len() <= API_KEY_ITEM_MAX_BYTES;
    shaped.filter(fits).ok_or_else(|| {
        invalid("origins: expected such as https://app.example.com or https://*.example.com; none: any")
    })
}
