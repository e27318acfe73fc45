//! The functions of a database, as their administrator sees them, over `/v1` (functions specification, 2.4).

use http::Method;
use serde::Deserialize;
use serde_json::{Value, json};

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
        let path = format!("{}/keys", self.base);
        let key: KeyName = self.v1.json(Method::POST, &path, text_body(body)).await?;
        Ok(key.kid)
    }
}
