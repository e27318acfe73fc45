//! The ops of a database over `/v1`, without a spoke: written by the hub under its own origin (ops specification, 2.2).

use ferry_protocol::ops::{
    AppendParams, ConflictFilter, ConflictsListParams, EntityGetParams, EntityListParams, ResolveParams,
    SpokeCall,
};
use http::Method;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::{
    ClientError, Result, ServerUrl,
    v1::{V1Client, encoded, text_body},
};

/// The op log of one database, as the holder of one credential.
pub struct OpsClient {
    v1: V1Client,
    base: String,
}

impl OpsClient {
    /// The ops of `database` at `server`: its id, its name, or `-` for the token's.
    ///
    /// # Errors
    /// When the token cannot stand in a header.
    pub fn new(server: &ServerUrl, token: &str, database: &str) -> Result<Self> {
        let base = format!("/v1/databases/{}/ops", encoded(database));
        Ok(Self { v1: V1Client::new(server, token)?, base })
    }

    /// Does what a call of the spoke's socket would do, and gives its result as JSON: the members that the socket gives,
    /// behind those of the log.
    ///
    /// # Errors
    /// The hub's refusal, or no answer. For calls about a spoke, that there is none.
    pub async fn call(&self, call: &SpokeCall) -> Result<Box<RawValue>> {
        match call {
            SpokeCall::OpAppend(params) => self.append(params).await,
            SpokeCall::EntityGet(params) => self.entity(params).await,
            SpokeCall::EntityList(params) => self.entities(params).await,
            SpokeCall::ConflictsList(params) => self.conflicts(params).await,
            SpokeCall::ConflictsResolve(params) => self.resolve(params).await,
            SpokeCall::Health | SpokeCall::SyncNow(_) | SpokeCall::SyncStatus => {
                Err(ClientError::argument("only a spoke can be asked that: leave --hub out"))
            }
        }
    }

    async fn post(&self, path: &str, body: &impl Serialize) -> Result<Box<RawValue>> {
        let body = serde_json::to_vec(body).map_err(|error| ClientError::argument(error.to_string()))?;
        self.v1.json(Method::POST, &format!("{}{path}", self.base), text_body(body)).await
    }

    async fn get(&self, path: &str, pairs: &[(&str, Option<&str>)]) -> Result<Box<RawValue>> {
        let given = pairs.iter().filter_map(|(name, value)| Some((name, (*value)?)));
        let query: Vec<String> = given.map(|(name, value)| format!("{name}={}", encoded(value))).collect();
        let path = format!("{}{path}?{}", self.base, query.join("&"));
        self.v1.json(Method::GET, &path, text_body("")).await
    }

    async fn append(&self, params: &AppendParams) -> Result<Box<RawValue>> {
        self.post("/append", params).await
    }

    async fn entity(&self, params: &EntityGetParams) -> Result<Box<RawValue>> {
        self.get("/entity", &[("entity", Some(&params.entity))]).await
    }

    async fn entities(&self, params: &EntityListParams) -> Result<Box<RawValue>> {
        let limit = params.limit.map(|limit| limit.to_string());
        let pairs = [
            ("prefix", params.prefix.as_deref()),
            ("after", params.after.as_deref()),
            ("limit", limit.as_deref()),
            ("deleted", params.deleted.then_some("true")),
        ];
        self.get("/entities", &pairs).await
    }

    async fn conflicts(&self, params: &ConflictsListParams) -> Result<Box<RawValue>> {
        let limit = params.limit.map(|limit| limit.to_string());
        let pairs = [
            ("status", (params.status == ConflictFilter::All).then_some("all")),
            ("entity", params.entity.as_deref()),
            ("after", params.after.as_deref()),
            ("limit", limit.as_deref()),
        ];
        self.get("/conflicts", &pairs).await
    }

    async fn resolve(&self, params: &ResolveParams) -> Result<Box<RawValue>> {
        let path = format!("/conflicts/{}/resolve", encoded(&params.id));
        self.post(&path, &ResolveParams { id: String::new(), ..params.clone() }).await
    }
}
