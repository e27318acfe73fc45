//! What an endpoint asks of a credential. Which endpoints there are, and what each asks, the models say.

use ferry_auth::{AuthContext, CredentialKind};
use ferry_types::{Error, Model, Op, Reason, Result};

/// What an endpoint, or an action of one, asks.
#[derive(Clone, Copy, Debug)]
pub struct Right {
    /// What it is for, in refusals.
    pub name: &'static str,
    /// The model that the credential must reach.
    pub model: Model,
    /// What it must be allowed to do there.
    pub op: Op,
    /// The kinds of credentials that are let in at all.
    pub kinds: &'static [CredentialKind],
}

/// Whoever may use data.
pub const DATA: &[CredentialKind] =
    &[CredentialKind::SyncToken, CredentialKind::Jwt, CredentialKind::ApiKey, CredentialKind::Anonymous];
/// The same without the anonymous caller of `--dev`.
pub const DATA_WITH_CREDENTIAL: &[CredentialKind] =
    &[CredentialKind::SyncToken, CredentialKind::Jwt, CredentialKind::ApiKey];
/// Whoever may administer: tokens and secret keys with `admin`, and sessions with their role.
pub const ADMINISTRATION: &[CredentialKind] =
    &[CredentialKind::SyncToken, CredentialKind::ApiKey, CredentialKind::Session];
/// Who can stand in an `Authorization` header as EdgeReplica's client writes it: sync tokens, and secret API keys.
pub const SYNC_BEARERS: &[CredentialKind] = &[CredentialKind::SyncToken, CredentialKind::ApiKey];

impl Right {
    /// Refuses a credential that may not do this.
    ///
    /// # Errors
    /// Unauthenticated for the anonymous caller where a credential is asked for; wrong purpose for a kind that is
    /// not let in; else what [`AuthContext::require`] says.
    pub fn check(&self, auth: &AuthContext) -> Result<()> {
        match auth.principal.kind() {
            kind if self.kinds.contains(&kind) => auth.require(self.model, self.op),
            CredentialKind::Anonymous => {
                Err(Error::new(Reason::Unauthenticated, format!("{} asks for a credential", self.name)))
            }
            CredentialKind::Session if self.op != Op::Admin => auth.require(self.model, self.op),
            kind => {
                let message = format!("{} does not take a {}: issue a sync token", self.name, kind.as_str());
                Err(Error::new(Reason::WrongPurpose, message))
            }
        }
    }
}
