//! A live result, who may see it, and what it takes to make it again.

use std::sync::Arc;

use ferry_functions::FunctionKind;
use ferry_types::Seq;

use super::auth::FunctionsCaller;
use crate::entry::RequestContext;

/// Who calls, as far as a result may depend on him.
#[derive(Clone)]
pub(super) struct LiveCaller {
    pub(super) context: RequestContext,
    /// His claims, a JSON object.
    pub(super) claims: Option<Arc<str>>,
    /// Whose records his own devices keep.
    pub(super) owner: Arc<str>,
    pub(super) guard_prefix: &'static str,
    pub(super) can_sign: bool,
}

impl LiveCaller {
    pub(super) fn of(caller: &FunctionsCaller) -> Self {
        Self {
            context: caller.context.clone(),
            claims: caller.claims.clone(),
            owner: caller.context.auth.principal.owner(),
            guard_prefix: caller.guard_prefix,
            can_sign: caller.can_sign,
        }
    }

    /// An admin who calls as this user, or as nobody. `owner`: whose records the user's devices keep.
    pub(super) fn as_user(context: RequestContext, user: Option<(&str, Arc<str>)>, can_sign: bool) -> Self {
        let claims = user.as_ref().map(|(sub, _)| serde_json::json!({ "sub": sub }).to_string().into());
        let owner = user.map_or_else(|| context.auth.principal.owner(), |(_, owner)| owner);
        Self { context, claims, owner, guard_prefix: "[Ferry]", can_sign }
    }

    /// What a result depends on that depends on its user: his owner, and all that is claimed of him, since a role that was
    /// taken away must not show what it showed.
    pub(super) fn claims_key(&self) -> Arc<str> {
        let mut hasher = blake3::Hasher::new();
        hasher.update(self.owner.as_bytes()).update(b"\0");
        hasher.update(self.claims.as_deref().unwrap_or_default().as_bytes());
        hasher.finalize().to_hex().as_str().into()
    }

    /// The user: claim `sub`, else a hash of the claims; empty for nobody.
    pub(super) fn user_key(&self) -> Arc<str> {
        #[derive(serde::Deserialize)]
        struct Claims {
            sub: Option<String>,
        }
        let Some(claims) = &self.claims else { return "".into() };
        match serde_json::from_str::<Claims>(claims) {
            Ok(Claims { sub: Some(sub) }) => format!("sub {sub}").into(),
            _ => format!("claims {}", blake3::hash(claims.as_bytes()).to_hex()).into(),
        }
    }

    /// Whether his credential has ended (FUN-31).
    pub(super) fn is_over(&self) -> bool {
        self.context.requester.recheck().is_err()
    }

    /// Whose records he writes where no owner is named; an app by itself has none (FUN-83).
    pub(super) fn owner_of_writes(&self) -> Option<Arc<str>> {
        self.claims.as_ref().map(|_| Arc::clone(&self.owner))
    }
}

/// A result.
#[derive(Clone)]
pub(super) struct LiveAnswer {
    pub(super) data: Option<Arc<str>>,
    pub(super) hash: Arc<str>,
    pub(super) seq: Seq,
    /// Hashes of the tables that it depends on, or that the call changed.
    pub(super) tables: Vec<String>,
    pub(super) warnings: Arc<[String]>,
    /// CPU that making it took, microseconds; 0: it was kept.
    pub(super) cpu_us: u64,
}

/// What it takes to make a result again.
pub(super) struct Rerun {
    pub(super) caller: LiveCaller,
    pub(super) kind: FunctionKind,
}
