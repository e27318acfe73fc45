//! The functions of a database, as their administrator sees them, over `/v1` (functions specification, 2.4).

mod deploy;
mod info;
mod logs;

use http::{HeaderMap, Method};
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};

pub use deploy::{
    AppliedDeployment, DeployRefused, DeployReply, DeployRequest, MigrationText, PlanQuestion,
    PlannedChanges, PlannedStep,
};
pub use info::{BackupInfo, DeploymentInfo, FunctionsInfo, MigrationInfo};
pub use logs::{FunctionLogs, LogItem, LoggedLine};

use crate::{
    ClientError, Result, ServerUrl,
    v1::{V1Client, encoded, text_body},
};

/// The functions of one database, as the holder of one credential.
pub struct FunctionsClient {
    v1: V1Client,
    base: String,
}

/// The name of a key.
#[derive(Deserialize)]
struct KeyName {
    kid: String,
}

impl FunctionsClient {
    /// Those of `database` at `server`: its id, its name, or `-` for the token's.
    ///
    /// # Errors
    /// When the token cannot stand in a header.
    pub fn new(server: &ServerUrl, token: &str, database: &str) -> Result<Self> {
        let base = format!("/v1/databases/{}/functions", encoded(database));
        Ok(Self { v1: V1Client::new(server, token)?, base })
    }

    fn path(&self, call: &str) -> String {
        format!("{}/{call}", self.base)
    }

    /// What is deployed.
    ///
    /// # Errors
    /// The hub's refusal, or no answer. So of all calls.
    pub async fn info(&self) -> Result<FunctionsInfo> {
        self.v1.json(Method::GET, &self.path("info"), text_body("")).await
    }

    /// The same, as the JSON that the hub sent.
    ///
    /// # Errors
    /// See [`Self::info`].
    pub async fn info_text(&self) -> Result<Box<RawValue>> {
        self.v1.json(Method::GET, &self.path("info"), text_body("")).await
    }

    /// What a deployment would do to the schema.
    ///
    /// # Errors
    /// See [`Self::info`].
    pub async fn plan(&self, base: Option<&str>, schema: &Value, hints: &Value) -> Result<PlannedChanges> {
        let body = json!({ "base": base, "schema": schema, "hints": hints }).to_string();
        self.v1.json(Method::POST, &self.path("plan"), text_body(body)).await
    }

    /// Deploys.
    ///
    /// # Errors
    /// No answer, or a refusal that is not about what is deployed.
    pub async fn deploy(&self, request: &DeployRequest<'_>) -> Result<DeployReply> {
        let body = serde_json::to_vec(request).map_err(|error| ClientError::argument(error.to_string()))?;
        let (status, headers, answer) =
            self.v1.exchange(Method::POST, &self.path("deploy"), text_body(body)).await?;
        if status.is_success() {
            return serde_json::from_slice(&answer).map(DeployReply::Made).map_err(|error| {
                ClientError::unverified(format!("the hub's answer cannot be read: {error}"))
            });
        }
        let error = self.v1.refused(status, &headers, &answer);
        Ok(DeployReply::Refused(Box::new(DeployRefused::read(error, &answer))))
    }

    /// Calls a function, internal ones too, as this user or as nobody; gives the hub's answer as it is.
    ///
    /// # Errors
    /// What the function threw, as the hub's refusal; see [`Self::info`].
    pub async fn run(&self, function: &str, args: &RawValue, user: Option<&str>) -> Result<Box<RawValue>> {
        #[derive(serde::Serialize)]
        struct Run<'a> {
            r#fn: &'a str,
            args: &'a RawValue,
            #[serde(skip_serializing_if = "Option::is_none")]
            r#as: Option<&'a str>,
        }
        let body = serde_json::to_vec(&Run { r#fn: function, args, r#as: user })
            .map_err(|error| ClientError::argument(error.to_string()))?;
        self.v1.json(Method::POST, &self.path("run"), text_body(body)).await
    }

    /// The types of the functions, TypeScript.
    ///
    /// # Errors
    /// See [`Self::info`].
    pub async fn api_types(&self) -> Result<String> {
        types_of(&self.v1, &self.path("api.d.ts")).await
    }

    /// What functions wrote to the console and how calls failed, behind line `since`; with `follow` the lines to come too.
    ///
    /// # Errors
    /// See [`Self::info`].
    pub async fn logs(&self, since: Option<u64>, follow: bool) -> Result<FunctionLogs> {
        let since = since.map_or_else(String::new, |since| format!("&since={since}"));
        let path = format!("{}?follow={}{since}", self.path("logs"), u8::from(follow));
        let response = self.v1.send(Method::GET, &path, &HeaderMap::new(), text_body("")).await?;
        Ok(FunctionLogs::new(response.into_body()))
    }

    /// The types of the functions, for whoever has a publishable key. `database`: `-` for the key's.
    ///
    /// # Errors
    /// See [`Self::info`].
    pub async fn api_types_by_key(server: &ServerUrl, key: &str, database: &str) -> Result<String> {
        let v1 = V1Client::anonymous(server);
        let path = format!("/v1/databases/{}/functions/api.d.ts?key={}", encoded(database), encoded(key));
        types_of(&v1, &path).await
    }

    /// Puts a backup back (FUN-67).
    ///
    /// # Errors
    /// See [`Self::info`].
    pub async fn restore(&self, backup: &str, lose_writes: bool) -> Result<Value> {
        let body = json!({ "backup": backup, "loseWrites": lose_writes }).to_string();
        self.v1.json(Method::POST, &self.path("restore"), text_body(body)).await
    }

    /// Lets a new key of the database sign its JWTs; gives its name.
    ///
    /// # Errors
    /// The hub's refusal, or no answer.
    pub async fn rotate_key(&self) -> Result<String> {
        self.keys(&json!({"action": "rotate"})).await
    }

    /// Lets a private key that was made elsewhere sign; gives its name.
    ///
    /// # Errors
    /// The hub's refusal, or no answer.
    pub async fn import_key(&self, jwk: &Value) -> Result<String> {
        self.keys(&json!({"action": "import", "jwk": jwk})).await
    }

    async fn keys(&self, body: &Value) -> Result<String> {
        let body = serde_json::to_vec(body).map_err(|error| ClientError::argument(error.to_string()))?;
        let key: KeyName = self.v1.json(Method::POST, &self.path("keys"), text_body(body)).await?;
        Ok(key.kid)
    }
}

async fn types_of(v1: &V1Client, path: &str) -> Result<String> {
    let (status, headers, text) = v1.exchange(Method::GET, path, text_body("")).await?;
    if status.is_success() {
        return String::from_utf8(text.into())
            .map_err(|_| ClientError::unverified("the hub's answer is not text"));
    }
    Err(v1.refused(status, &headers, &text))
}
