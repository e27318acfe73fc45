//! What comes with a deployment and is kept by the control plane: how callers are known, and secrets.

use std::{collections::BTreeMap, sync::Arc};

use ferry_auth::{FunctionAuth, jwt::JwtSettingsText};
use ferry_control::{Requester, SetFunctionAuth, SetFunctionSecrets};
use ferry_protocol::functions::DeployAuthBody;
use ferry_types::{DatabaseId, Result};

use super::refusal::DeployError;
use crate::hub::Hub;

/// What of the control plane a deployment sets.
pub(super) struct DeploySettings {
    auth: Option<(FunctionAuth, Option<JwtSettingsText>)>,
    secrets: Vec<(String, Option<String>)>,
}

impl DeploySettings {
    pub(super) fn read(
        auth: Option<DeployAuthBody>,
        env: Option<BTreeMap<String, Option<String>>>,
    ) -> Result<Self, DeployError> {
        let auth = auth.map(|body| {
            let DeployAuthBody { mode, jwks_url, issuer, audience } = body;
            let mode: FunctionAuth =
                mode.parse().map_err(|wrong| DeployError::Invalid(format!("auth.mode: {wrong}")))?;
            let names_issuer = jwks_url.is_some() || issuer.is_some() || audience.is_some();
            let jwt = names_issuer.then(|| JwtSettingsText {
                jwks_url: jwks_url.unwrap_or_default(),
                issuer: issuer.unwrap_or_else(|| "*".to_owned()),
                audiences: vec![audience.unwrap_or_else(|| "*".to_owned())],
                ..JwtSettingsText::default()
            });
            Ok::<_, DeployError>((mode, jwt))
        });
        Ok(Self { auth: auth.transpose()?, secrets: env.unwrap_or_default().into_iter().collect() })
    }

    /// Refuses what is wrong with them, before anything is done.
    pub(super) fn check(&self, by: &Requester, database_id: DatabaseId) -> Result<()> {
        self.of_auth(by, database_id).map_or(Ok(()), |set| set.check())?;
        self.of_secrets(by, database_id).check()
    }

    fn of_auth<'r>(&self, by: &'r Requester, database_id: DatabaseId) -> Option<SetFunctionAuth<'r>> {
        let (auth, jwt) = self.auth.clone()?;
        Some(SetFunctionAuth { by, database_id, auth, jwt })
    }

    fn of_secrets<'r>(&self, by: &'r Requester, database_id: DatabaseId) -> SetFunctionSecrets<'r> {
        SetFunctionSecrets { by, database_id, secrets: self.secrets.clone() }
    }

    /// Sets them; the deployment is made by then.
    pub(super) async fn apply(&self, hub: &Arc<Hub>, by: &Requester, database_id: DatabaseId) -> Result<()> {
        if let Some(set) = self.of_auth(by, database_id) {
            set.run(&hub.control.db).await?;
        }
        self.of_secrets(by, database_id).run(&hub.control.db).await
    }
}
