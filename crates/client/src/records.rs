//! The records of a database over `/v1`: read one by one and listed, with their history and lost writes; exports and
//! imports (records specification, 2.8).

use std::io::Write;

use http::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Value, value::RawValue};
use sha2::{Digest as _, Sha256};
use tokio::io::AsyncRead;

use crate::{
    ClientError, Result, ServerUrl,
    v1::{V1Client, encoded, stream_body, text_body},
};

/// Records, or conflicts, asked for at a time.
const PAGE_ENTRIES: usize = 500;

/// A collection of records.
#[derive(Clone, Copy, Debug)]
pub struct Collection<'a> {
    /// The app.
    pub app: &'a str,
    /// Its collection.
    pub name: &'a str,
}

/// Somebody who has records in a database.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OwnerInfo {
    /// As `--owner` and `?owner=` name it.
    pub owner: String,
    /// Apps with records.
    pub apps: u64,
    /// Live records.
    pub records: u64,
    /// When they were last written, RFC 3339.
    pub last_commit: Option<String>,
}

/// An app of an owner.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct AppInfo {
    /// Its name.
    pub app: String,
    /// Collections.
    pub collections: u64,
    /// Live records.
    pub records: u64,
}

/// A collection of an owner.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct CollectionInfo {
    /// The app.
    pub app: String,
    /// Its name.
    pub collection: String,
    /// Live records.
    pub records: u64,
    /// Records that were deleted.
    pub deleted: u64,
}

/// The records of one owner in one database, as the holder of one credential.
pub struct RecordsClient {
    v1: V1Client,
    base: String,
    owner: Option<String>,
}

impl RecordsClient {
    /// The records of `owner` in `database` at `server`; without an owner the credential's. `database`: an id, a name,
    /// or `-`, the token's. Another owner's records take a token with the right `admin`.
    ///
    /// # Errors
    /// When the token cannot stand in a header.
    pub fn named(server: &ServerUrl, token: &str, database: &str, owner: Option<&str>) -> Result<Self> {
        let base = format!("/v1/databases/{}/records", encoded(database));
        Ok(Self { v1: V1Client::new(server, token)?, base, owner: owner.map(str::to_owned) })
    }

    fn path(&self, segments: &[&str], parameters: &[(&str, &str)]) -> String {
        let mut path = self.base.clone();
        for segment in segments {
            path.push('/');
            path.push_str(&encoded(segment));
        }
        let owner = self.owner.as_deref().map(|owner| ("owner", owner));
        for (index, (name, value)) in owner.iter().chain(parameters).enumerate() {
            path.push(if index == 0 { '?' } else { '&' });
            path.push_str(&format!("{}={}", encoded(name), encoded(value)));
        }
        path
    }

    /// Who has records in the database, by name. Takes the right `admin`.
    ///
    /// # Errors
    /// See [`Self::get`].
    pub async fn owners(&self) -> Result<Vec<OwnerInfo>> {
        #[derive(Deserialize)]
        struct Page {
            owners: Vec<OwnerInfo>,
            next: Option<String>,
        }
        let limit = PAGE_ENTRIES.to_string();
        let (mut all, mut after) = (Vec::new(), String::new());
        loop {
            let path = self.path(&["owners"], &[("limit", &*limit), ("after", &*after)]);
            let page: Page = self.v1.json(Method::GET, &path, text_body("")).await?;
            all.extend(page.owners);
            let Some(next) = page.next else { return Ok(all) };
            after = next;
        }
    }

    /// The owner's apps, by name.
    ///
    /// # Errors
    /// See [`Self::get`].
    pub async fn apps(&self) -> Result<Vec<AppInfo>> {
        #[derive(Deserialize)]
        struct Found {
            apps: Vec<AppInfo>,
        }
        Ok(self.v1.json::<Found>(Method::GET, &self.path(&["apps"], &[]), text_body("")).await?.apps)
    }

    /// The owner's collections, of one app or of all.
    ///
    /// # Errors
    /// See [`Self::get`].
    pub async fn collections(&self, app: Option<&str>) -> Result<Vec<CollectionInfo>> {
        #[derive(Deserialize)]
        struct Found {
            collections: Vec<CollectionInfo>,
        }
        let app = app.map(|app| ("app", app));
        let path = self.path(&["collections"], app.as_slice());
        Ok(self.v1.json::<Found>(Method::GET, &path, text_body("")).await?.collections)
    }

    /// A record, as the JSON that the hub sent: numbers in it may be larger than any type.
    ///
    /// # Errors
    /// The hub's refusal, or no answer. So of all calls.
    pub async fn get(&self, collection: Collection<'_>, id: &str) -> Result<Box<RawValue>> {
        let path = self.path(&[collection.app, collection.name, id], &[]);
        self.v1.json(Method::GET, &path, text_body("")).await
    }

    /// All live records of a collection, by id, whose fields have these values as text; `incomplete`: instead those that
    /// wait for their insert.
    ///
    /// # Errors
    /// See [`Self::get`].
    pub async fn list(
        &self,
        collection: Collection<'_>,
        wanted: &[(String, String)],
        incomplete: bool,
    ) -> Result<Vec<Box<RawValue>>> {
        #[derive(Deserialize)]
        struct Page {
            records: Vec<Box<RawValue>>,
            next: Option<String>,
        }
        let limit = PAGE_ENTRIES.to_string();
        let names: Vec<(String, &str)> =
            wanted.iter().map(|(field, value)| (format!("where[{field}]"), &**value)).collect();
        let (mut all, mut after) = (Vec::new(), String::new());
        loop {
            let mut parameters = vec![("limit", &*limit), ("after", &*after)];
            if incomplete {
                parameters.push(("incomplete", "true"));
            }
            parameters.extend(names.iter().map(|(name, value)| (&**name, *value)));
            let path = self.path(&[collection.app, collection.name], &parameters);
            let page: Page = self.v1.json(Method::GET, &path, text_body("")).await?;
            all.extend(page.records);
            let Some(next) = page.next else { return Ok(all) };
            after = next;
        }
    }

    /// What was written to a record, newest first.
    ///
    /// # Errors
    /// See [`Self::get`].
    pub async fn history(&self, collection: Collection<'_>, id: &str) -> Result<Vec<Box<RawValue>>> {
        #[derive(Deserialize)]
        struct Found {
            entries: Vec<Box<RawValue>>,
        }
        let path = self.path(&[collection.app, collection.name, id, "history"], &[]);
        Ok(self.v1.json::<Found>(Method::GET, &path, text_body("")).await?.entries)
    }

    /// Lost writes: `open` or `resolved`.
    ///
    /// # Errors
    /// See [`Self::get`].
    pub async fn conflicts(&self, state: &str) -> Result<Vec<Box<RawValue>>> {
        #[derive(Deserialize)]
        struct Page {
            conflicts: Vec<Box<RawValue>>,
            next: Option<i64>,
        }
        let limit = PAGE_ENTRIES.to_string();
        let (mut all, mut after) = (Vec::new(), "0".to_owned());
        loop {
            let path = self.path(&["conflicts"], &[("state", state), ("limit", &*limit), ("after", &*after)]);
            let page: Page = self.v1.json(Method::GET, &path, text_body("")).await?;
            all.extend(page.conflicts);
            let Some(next) = page.next else { return Ok(all) };
            after = next.to_string();
        }
    }

    /// Writes an export of the owner's records to `out`, and checks it on the way. Returns how many they are.
    ///
    /// # Errors
    /// See [`Self::get`]; `UNVERIFIED` for an export that is not whole.
    pub async fn export(&self, out: &mut (dyn Write + Send)) -> Result<u64> {
        let path = self.path(&["export"], &[]);
        let mut check = Check::default();
        self.v1
            .download(&path, out, |line| {
                check.line(line);
                Ok(())
            })
            .await?;
        check.finish()
    }

    /// Takes an export in, merged with what is there, or in its place. Returns how many records it held.
    ///
    /// # Errors
    /// See [`Self::get`].
    pub async fn import(
        &self,
        replaces: bool,
        file: impl AsyncRead + Send + Unpin + 'static,
    ) -> Result<Value> {
        let mode = if replaces { "replace" } else { "merge" };
        self.v1.json(Method::POST, &self.path(&["import"], &[("mode", mode)]), stream_body(file)).await
    }
}

/// Whether lines are an export as a whole: its last one counts the others and proves them.
#[derive(Default)]
struct Check {
    digest: Sha256,
    lines: u64,
    last: Vec<u8>,
}

impl Check {
    fn line(&mut self, line: &[u8]) {
        self.digest.update(&self.last);
        self.last.clear();
        self.last.extend_from_slice(line);
        self.lines += 1;
    }

    fn finish(self) -> Result<u64> {
        #[derive(Deserialize)]
        struct Trailer {
            count: u64,
            sha256: String,
        }
        let digest: String = self.digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        let trailer = serde_json::from_slice::<Trailer>(&self.last).ok();
        // Beside the records there are a header and the trailer itself.
        let whole = trailer.filter(|trailer| trailer.sha256 == digest && trailer.count + 2 == self.lines);
        let whole = whole.ok_or_else(|| ClientError::unverified("the export is not whole".to_owned()))?;
        Ok(whole.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(lines: &[&str]) -> Option<u64> {
        let mut check = Check::default();
        lines.iter().for_each(|line| check.line(format!("{line}\n").as_bytes()));
        check.finish().ok()
    }

    #[test]
    fn a_truncated_export_is_detected() {
        let digest: String =
            Sha256::digest(b"{\"format\":\"f\"}\n{\"id\":1}\n").iter().map(|b| format!("{b:02x}")).collect();
        let trailer = format!("{{\"count\":1,\"sha256\":\"{digest}\"}}");
        assert_eq!(checked(&["{\"format\":\"f\"}", "{\"id\":1}", &trailer]), Some(1));
        assert_eq!(checked(&["{\"format\":\"f\"}", "{\"id\":1}"]), None);
        assert_eq!(checked(&["{\"format\":\"f\"}", &trailer]), None);
        assert_eq!(checked(&["{\"format\":\"f\"}", "{\"id\":2}", &trailer]), None);
        assert_eq!(checked(&[]), None);
    }
}
