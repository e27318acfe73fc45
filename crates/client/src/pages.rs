//! Keeping a local file and its database on a hub in sync: push, pull, clone, follow.
//!
//! # Versions
//! A file is at the version that its state tells (`<file>-ferry`), as long as its root is that version's. What the hub is asked
//! for leads from there; a push is sent over it and is refused if the hub has another one by then, so that nobody's push
//! is ever overwritten unseen. A file of which the state tells nothing, or something else, is named by its root instead:
//! the hub knows the roots of the versions that it keeps.

mod bare;
mod conflict;
mod fetch;
pub mod file;
mod follow;
mod history;
mod http;
mod inspect;
mod install;
mod local_file;
mod pull;
mod push;
mod receive;
mod reconcile;
mod replica;
mod send;
mod watch;
pub mod wire;

use std::{path::Path, sync::Arc};

use ferry_types::{Clock, DatabaseId, DatabaseKind, Model, PageCount, PageSize, Root, Tag, UnixMillis};

pub use self::{
    bare::{BareTransfer, bare_pull, bare_push},
    follow::{FollowEvent, FollowOptions},
    history::RestoredVersion,
    http::{ForkedDatabase, KeptVersion},
    inspect::{FileDifference, FileStatus, TableDifference, Verification},
    pull::PullOptions,
    push::PushOptions,
    replica::Replica,
};
use self::{file::Synced, http::HubPages, wire::Transferred};
use crate::{
    ClientError, Result,
    admin::{self, AdminClient, DatabaseName, TokenWish, rpc},
    progress::Progress,
};

/// A minted sync token.
#[derive(Clone)]
pub struct SyncToken {
    /// The token itself: a secret.
    pub token: String,
    /// When it ends, unix seconds.
    pub expires_unix: i64,
}

/// What a token is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TokenPurpose {
    /// Reading pages.
    Read,
    /// Reading and writing them.
    Write,
    /// Reading pages, restoring versions and forking.
    Administer,
}

impl TokenPurpose {
    /// The word that it is kept under.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Administer => "administer",
        }
    }

    fn ops(self) -> Vec<String> {
        let ops: &[&str] = match self {
            Self::Read => &["read"],
            Self::Write => &["read", "write"],
            Self::Administer => &["read", "admin"],
        };
        ops.iter().map(|op| (*op).to_owned()).collect()
    }
}

/// Where sync tokens are kept between runs.
pub trait TokenStore: Send + Sync {
    /// A token that lives at `now` and for a while longer.
    fn get(&self, database: DatabaseId, access: TokenPurpose, now: UnixMillis) -> Option<String>;
    /// Keeps a token.
    fn put(&self, database: DatabaseId, access: TokenPurpose, token: &SyncToken, now: UnixMillis);
}

/// Keeps nothing: every run mints.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoTokens;

impl TokenStore for NoTokens {
    fn get(&self, _database: DatabaseId, _access: TokenPurpose, _now: UnixMillis) -> Option<String> {
        None
    }

    fn put(&self, _database: DatabaseId, _access: TokenPurpose, _token: &SyncToken, _now: UnixMillis) {}
}

/// Pushes and pulls files at one hub, as one user.
pub struct PagesClient<'a> {
    /// The hub.
    pub admin: &'a AdminClient,
    /// Where tokens are kept.
    pub tokens: &'a dyn TokenStore,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Told of progress.
    pub progress: Arc<dyn Progress>,
}

/// What a push or pull came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Synchronised {
    /// The database.
    pub database: DatabaseId,
    /// Its name.
    pub name: String,
    /// The version that file and hub now share.
    pub tag: Tag,
    /// Root of the shared image.
    pub root: Root,
    /// Pages of the shared image.
    pub page_count: PageCount,
    /// Whether anything had to change; else both were equal already.
    pub changed: bool,
    /// Pages that were written: at the hub by a push, locally by a pull.
    pub pages: u64,
    /// What travelled.
    pub transferred: Transferred,
    /// Where the local image was saved before something took its place.
    pub backup: Option<std::path::PathBuf>,
}

/// The database that is meant.
#[derive(Clone)]
struct Target {
    id: DatabaseId,
    name: String,
    /// As far as the hub was asked.
    kind: Option<DatabaseKind>,
}

impl Target {
    fn from_row(row: &rpc::Database) -> Result<Self> {
        Ok(Self { id: admin::database_id(row)?, name: row.name.clone(), kind: row.kind.parse().ok() })
    }
}

impl PagesClient<'_> {
    /// The database that is meant: the one named, else the one that the file's state remembers.
    async fn target(&self, file: &Path, named: Option<&DatabaseName>) -> Result<Target> {
        if let Some(name) = named {
            return Target::from_row(&self.admin.database(name).await?);
        }
        let remembered = local_file::remembered(file.to_owned()).await?;
        let Some(synced) = remembered else {
            return Err(ClientError::argument(format!(
                "{} has not been synced yet: name its database too",
                file.display()
            )));
        };
        let here = self.admin.server();
        if !here.is(&synced.server) {
            return Err(ClientError::argument(format!(
                "{} belongs to {} on {}, not on {here}: give --server {}, or name a database of {here}",
                file.display(),
                synced.name,
                synced.server,
                synced.server
            )));
        }
        Ok(Target { id: synced.database, name: synced.name, kind: None })
    }

    /// The same with what the hub says of it, for messages; as it is known where the hub does not say.
    async fn described(&self, target: &Target) -> Target {
        match self.admin.database(&DatabaseName::Id(target.id)).await {
            Ok(row) => Target::from_row(&row).unwrap_or_else(|_| target.clone()),
            Err(_) => target.clone(),
        }
    }

    /// Does `work` with a kept token, or a fresh one if there is none or the hub does not take it.
    async fn with_pages<T>(
        &self,
        target: &Target,
        access: TokenPurpose,
        work: impl AsyncFn(&HubPages) -> Result<T>,
    ) -> Result<T> {
        let server = self.admin.server();
        if let Some(kept) = self.tokens.get(target.id, access, self.clock.now()) {
            match work(&HubPages::new(server, &kept)?).await {
                Err(error) if error.is_unauthenticated() => {}
                done => return done,
            }
        }
        let wish = TokenWish {
            ops: access.ops(),
            models: vec![Model::Pages.to_string()],
            label: "ferry".into(),
            ..TokenWish::default()
        };
        let minted = self.admin.issue_sync_token(&target.id.to_string(), &wish).await?;
        let token = SyncToken { token: minted.token, expires_unix: minted.exp_unix };
        self.tokens.put(target.id, access, &token, self.clock.now());
        work(&HubPages::new(server, &token.token)?).await
    }

    fn synced(&self, target: &Target, tag: Tag, root: Root, shape: (PageSize, PageCount)) -> Synced {
        Synced {
            server: self.admin.server().to_string(),
            database: target.id,
            name: target.name.clone(),
            version: Some(tag.version),
            root,
            page_size: shape.0,
            page_count: shape.1,
        }
    }

    /// What the file was last synced with, if that was this database.
    fn base_of(&self, target: &Target, synced: Option<&Synced>) -> Option<Synced> {
        let here = self.admin.server();
        synced.filter(|synced| synced.database == target.id && here.is(&synced.server)).cloned()
    }

    /// The outcome where nothing had to move.
    fn equal(&self, synced: &Synced) -> Synchronised {
        Synchronised {
            database: synced.database,
            name: synced.name.clone(),
            tag: Tag::new(synced.version.unwrap_or(0), &synced.root),
            root: synced.root,
            page_count: synced.page_count,
            changed: false,
            pages: 0,
            transferred: Transferred::default(),
            backup: None,
        }
    }
}

/// A version in a message: its tag, or its root where it has no number.
fn shown(synced: &Synced) -> String {
    match synced.tag() {
        Some(tag) => tag.to_string(),
        None => format!("an unnumbered version {}", &synced.root.to_string()[..16]),
    }
}
