//! The event log of a database over `/v1`: its stores, pages, appends, a live stream (events specification, 2.9,
//! 2.10).

pub mod reference;
mod stream;

use std::{io::Write, path::Path};

use bytes::Bytes;
use ferry_core::events::import::{BadImport, Check};
use ferry_protocol::events::ExportHeader;
use ferry_types::DatabaseId;
use http::{HeaderMap, HeaderValue, Method};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json, value::RawValue};
use tokio::io::AsyncRead;

pub use stream::{LiveEvents, LiveItem};

use self::reference::ReferenceDraft;
use crate::{
    ClientError, Result, ServerUrl,
    v1::{V1Client, encoded, stream_body, text_body},
};

/// A store, as the hub describes it.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StoreInfo {
    /// Its id.
    pub store_id: String,
    /// The table that holds its log.
    pub table: String,
    /// Its identity.
    pub backend_id: String,
    /// Number of its newest event; 0: none.
    pub head: i64,
    /// Events up to here are not kept.
    pub base: i64,
    /// How many events there are.
    pub count: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// `ok` or `hold`.
    pub state: String,
    /// Why it is on hold.
    #[serde(default)]
    pub hold_reason: Option<String>,
    /// Which clients hold events that it has lost.
    #[serde(default)]
    pub suspect: Option<Suspect>,
    /// Connections now.
    pub subscribers: u64,
    /// Live pulls that do not keep up.
    pub lagging: u64,
    /// When it was made.
    pub created_at: String,
    /// When the newest event was committed.
    pub last_push_at: Option<String>,
}

/// Clients hold acknowledged events that a store has lost.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Suspect {
    /// The first of these events: the store is held before its log reaches it.
    pub at: i64,
    /// How far that is from the end of the log.
    pub ahead_by: i64,
    /// The clients, the one with the lowest event first.
    pub devices: Vec<AheadDevice>,
}

/// One of them.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AheadDevice {
    /// Its id, or whose credential it had and from where.
    pub device: String,
    /// The event that it holds.
    pub at: i64,
    /// How far that is from the end of the log.
    pub ahead_by: i64,
    /// What it asked: `push` or `pull`.
    pub call: String,
    /// When that was seen first.
    pub since: String,
}

/// A page of a log. Events are kept as the JSON that the hub sent: numbers in them may be larger than any type.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EventsPage {
    /// The store.
    pub store: String,
    /// Its identity.
    pub backend_id: String,
    /// Its newest event.
    pub head: i64,
    /// Whether more follow.
    pub has_more: bool,
    /// Where the next page begins.
    pub next: i64,
    /// The events.
    pub events: Vec<Box<RawValue>>,
}

/// Events to append.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AppendRequest {
    /// Which store; `None`: the database's default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub store: Option<String>,
    /// The event that they build on; `None`: whatever is the newest.
    pub parent_seq_num: Option<i64>,
    /// Who appends.
    pub client_id: String,
    /// In which session.
    pub session_id: String,
    /// The events.
    pub events: Vec<NewEvent>,
}

/// One of them.
#[derive(Clone, Debug, Serialize)]
pub struct NewEvent {
    /// Name of its type.
    pub name: String,
    /// Its arguments, as JSON text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub args: Option<Box<RawValue>>,
}

/// How an import is taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImportOptions {
    /// Behind the events of an existing store, instead of as a new one.
    pub append: bool,
    /// Under a new identity, so that clients begin anew, instead of the file's.
    pub mint: bool,
}

/// What an export came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExportSummary {
    /// Events.
    pub count: u64,
    /// Number of the newest.
    pub head: i64,
}

/// The event log of one database, as the holder of one credential.
pub struct EventsClient {
    v1: V1Client,
    base: String,
}

impl EventsClient {
    /// The log of `database` at `server`. Admin calls take a session or a token with the right `admin`; reading and
    /// appending a token with `read`, `write`.
    ///
    /// # Errors
    /// When the token cannot stand in a header.
    pub fn new(server: &ServerUrl, token: &str, database: DatabaseId) -> Result<Self> {
        Self::named(server, token, &database.to_string())
    }

    /// The same for a database by its name, or `-`: the token's.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn named(server: &ServerUrl, token: &str, database: &str) -> Result<Self> {
        let base = format!("/v1/databases/{}/events", encoded(database));
        Ok(Self { v1: V1Client::new(server, token)?, base })
    }

    fn store(&self, store: &str, action: &str) -> String {
        format!("{}/stores/{}{action}", self.base, encoded(store))
    }

    /// All stores.
    ///
    /// # Errors
    /// The hub's refusal, or no answer. So of all calls.
    pub async fn stores(&self) -> Result<Vec<StoreInfo>> {
        #[derive(Deserialize)]
        struct Listed {
            stores: Vec<StoreInfo>,
        }
        let path = format!("{}/stores", self.base);
        Ok(self.v1.json::<Listed>(Method::GET, &path, text_body("")).await?.stores)
    }

    /// One store.
    ///
    /// # Errors
    /// See [`Self::stores`].
    pub async fn stat(&self, store: &str) -> Result<StoreInfo> {
        self.v1.json(Method::GET, &self.store(store, ""), text_body("")).await
    }

    /// What became of the clients' pushes to a store, or to any.
    ///
    /// # Errors
    /// See [`Self::stores`].
    pub async fn clients(&self, store: Option<&str>) -> Result<Value> {
        let path = match store {
            Some(store) => self.store(store, "/clients"),
            None => format!("{}/clients", self.base),
        };
        self.v1.json(Method::GET, &path, text_body("")).await
    }

    /// Makes a store.
    ///
    /// # Errors
    /// See [`Self::stores`].
    pub async fn create(&self, store: &str) -> Result<StoreInfo> {
        let path = format!("{}/stores", self.base);
        self.v1.json(Method::POST, &path, text_body(json!({ "storeId": store }).to_string())).await
    }

    /// Deletes a store and its events.
    ///
    /// # Errors
    /// See [`Self::stores`].
    pub async fn delete(&self, store: &str) -> Result<()> {
        let body = text_body(json!({ "confirm": store }).to_string());
        self.v1.json::<Value>(Method::DELETE, &self.store(store, ""), body).await.map(drop)
    }

    /// Empties a store, under a new identity.
    ///
    /// # Errors
    /// See [`Self::stores`].
    pub async fn reset(&self, store: &str, reason: &str) -> Result<StoreInfo> {
        self.confirmed(store, "/reset", reason).await
    }

    /// Gives a store a new identity.
    ///
    /// # Errors
    /// See [`Self::stores`].
    pub async fn remint(&self, store: &str, reason: &str) -> Result<StoreInfo> {
        self.confirmed(store, "/remint", reason).await
    }

    async fn confirmed(&self, store: &str, action: &str, reason: &str) -> Result<StoreInfo> {
        let body = text_body(json!({ "confirm": store, "reason": reason }).to_string());
        self.v1.json(Method::POST, &self.store(store, action), body).await
    }

    /// Ends a store's hold under its own identity.
    ///
    /// # Errors
    /// See [`Self::stores`].
    pub async fn resume(&self, store: &str) -> Result<StoreInfo> {
        self.v1.json(Method::POST, &self.store(store, "/resume"), text_body("")).await
    }

    /// Writes an export of a store to `out`, and checks it on the way.
    ///
    /// # Errors
    /// See [`Self::stores`]; `UNVERIFIED` for a file that is not whole.
    pub async fn export(
        &self,
        store: &str,
        after: i64,
        out: &mut (dyn Write + Send),
    ) -> Result<ExportSummary> {
        let path = format!("{}?after={after}", self.store(store, "/export"));
        let mut check = Check::default();
        self.v1
            .download(&path, out, |line| {
                let line = line.strip_suffix(b"\n").unwrap_or(line);
                let line = std::str::from_utf8(line).unwrap_or("\u{fffd}");
                check
                    .line(line)
                    .map(drop)
                    .map_err(|bad| ClientError::unverified(format!("the export: {bad}")))
            })
            .await?;
        let header = check.finish().map_err(|bad| ClientError::unverified(format!("the export: {bad}")))?;
        Ok(ExportSummary { count: header.count, head: header.head })
    }

    /// Writes an export of a store to a new SQLite file at `path`, as LiveStore's own backend keeps it.
    ///
    /// # Errors
    /// As [`Self::export`]; `FILE_EXISTS`.
    pub async fn export_sqlite(&self, store: &str, after: i64, path: &Path) -> Result<ExportSummary> {
        let url = format!("{}?after={after}", self.store(store, "/export"));
        let (mut check, mut draft) = (Check::default(), None);
        let bad = |bad: BadImport| ClientError::unverified(format!("the export: {bad}"));
        self.v1
            .download(&url, &mut std::io::sink(), |line| {
                let line = line.strip_suffix(b"\n").unwrap_or(line);
                let line = std::str::from_utf8(line).unwrap_or("\u{fffd}");
                let event = check.line(line).map_err(bad)?;
                match (&mut draft, event) {
                    (None, _) => {
                        let header = ExportHeader::decode(line)
                            .map_err(|bad| ClientError::unverified(format!("the export: {}", bad.0)))?;
                        draft = Some(ReferenceDraft::create(path, &header)?);
                    }
                    (Some(draft), Some(event)) => draft.push(&event)?,
                    (Some(_), None) => {}
                }
                Ok(())
            })
            .await?;
        let header = check.finish().map_err(bad)?;
        draft.map_or(Ok(()), ReferenceDraft::finish)?;
        Ok(ExportSummary { count: header.count, head: header.head })
    }

    /// Takes an export in.
    ///
    /// # Errors
    /// See [`Self::stores`].
    pub async fn import(
        &self,
        store: &str,
        options: ImportOptions,
        file: impl AsyncRead + Send + Unpin + 'static,
    ) -> Result<Value> {
        let mode = if options.append { "append" } else { "create" };
        let id = if options.mint { "mint" } else { "keep" };
        let path = format!("{}?mode={mode}&backendId={id}", self.store(store, "/import"));
        self.v1.json(Method::POST, &path, stream_body(file)).await
    }

    /// A page of the events after `after`.
    ///
    /// # Errors
    /// See [`Self::stores`].
    pub async fn page(&self, store: Option<&str>, after: i64, limit: u32) -> Result<EventsPage> {
        let path = format!("{}?after={after}&limit={limit}{}", self.base, parameter(store));
        self.v1.json(Method::GET, &path, text_body("")).await
    }

    /// Appends events; under `key` at most once in a day.
    ///
    /// # Errors
    /// See [`Self::stores`].
    pub async fn append(&self, request: &AppendRequest, key: Option<&str>) -> Result<Value> {
        let mut headers = HeaderMap::new();
        if let Some(key) = key {
            let value = HeaderValue::try_from(key)
                .map_err(|_| ClientError::argument("an idempotency key is visible ASCII"))?;
            headers.insert("idempotency-key", value);
        }
        let body = serde_json::to_vec(request).map_err(|error| ClientError::argument(error.to_string()))?;
        let response = self.v1.send(Method::POST, &self.base, &headers, text_body(Bytes::from(body))).await?;
        self.v1.document(response).await
    }

    /// The events after `after`, and each later one as it is committed.
    ///
    /// # Errors
    /// See [`Self::stores`].
    pub async fn live(&self, store: Option<&str>, after: i64) -> Result<LiveEvents> {
        let path = format!("{}/live?after={after}{}", self.base, parameter(store));
        let response = self.v1.send(Method::GET, &path, &HeaderMap::new(), text_body("")).await?;
        Ok(LiveEvents::new(response.into_body()))
    }
}

fn parameter(store: Option<&str>) -> String {
    store.map(|store| format!("&store={}", encoded(store))).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn store_names_are_percent_encoded() {
        assert_eq!(encoded("Team A/b+é"), "Team%20A%2Fb%2B%C3%A9");
        assert_eq!(parameter(None), "");
    }
}
