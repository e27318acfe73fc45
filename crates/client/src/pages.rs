//! Keeping a local file and its database on a hub in sync: push, pull, clone.
//!
//! # Versions on EdgeReplica's wire
//! The wire moves pages of one version and never names it. What is known of it:
//!
//! - A session is about the version V that the hub pinned when it answered `hello`.
//! - `GetDatabase` tells the current version (`seq`), which only grows, and its tag, by which another version of that
//!   number is known: then the hub was put back from a backup.
//!
//! Asked before a session (`s`) and after its greeting (`t`): `s ≤ V ≤ t`. Where `s = t`, V is known, and with
//! the root that this side computes itself, so is its tag. A push is sent only if V is known to be the version
//! that the local file stems from, or to have the same root, and the hub commits it only if V is still current then: no
//! push of somebody else is ever overwritten unseen, and the new version is V + 1. A pull that finds `s < t` knows its content
//! but not its number; it is repeated, which costs only what changed, until the hub has rested for the length
//! of one (at most `ROUNDS_MAX` times). Should it never rest, the state keeps the content without a number, and a later
//! push goes by the root. Hub databases carry their number inside.
//!
//! What remains: a hub that was put back and has grown past the number that a file knows looks like one that moved on.

mod bare;
mod conflict;
pub mod file;
mod install;
mod local_file;
mod probe;
mod pull;
mod push;
mod receive;
pub mod wire;

use std::{path::Path, sync::Arc};

use ferry_types::{Clock, DatabaseId, DatabaseKind, Model, PageCount, Root, Tag, UnixMillis};

use self::local_file::{Local, Memory};
pub use self::{
    bare::{BareTransfer, bare_pull, bare_push},
    pull::PullOptions,
    push::PushOptions,
};
use crate::{
    ClientError, Result,
    admin::{self, AdminClient, DatabaseName, Direction, TokenWish, rpc},
    pages::file::Synced,
    pages::wire::{Transferred, WireSession},
    progress::Progress,
};

/// How often a transfer is repeated because others commit meanwhile.
const ROUNDS_MAX: u32 = 5;

/// A minted sync token.
#[derive(Clone)]
pub struct SyncToken {
    /// The token itself: a secret.
    pub token: String,
    /// When it ends, unix seconds.
    pub expires_unix: i64,
}

/// Where sync tokens are kept between runs.
pub trait TokenStore: Send + Sync {
    /// A token that lives at `now` and for a while longer.
    fn get(&self, database: DatabaseId, direction: Direction, now: UnixMillis) -> Option<String>;
    /// Keeps a token.
    fn put(&self, database: DatabaseId, direction: Direction, token: &SyncToken, now: UnixMillis);
}

/// Keeps nothing: every run mints.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoTokens;

impl TokenStore for NoTokens {
    fn get(&self, _database: DatabaseId, _direction: Direction, _now: UnixMillis) -> Option<String> {
        None
    }

    fn put(&self, _database: DatabaseId, _direction: Direction, _token: &SyncToken, _now: UnixMillis) {}
}

/// Pushes and pulls files at one hub, as one user.
pub struct PagesClient<'a> {
    /// The hub.
    pub admin: &'a AdminClient,
    /// Where tokens are kept.
    pub tokens: &'a dyn TokenStore,
    /// The time.
    pub clock: &'a dyn Clock,
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
    /// Its version that file and hub now share; `None` if the hub never rested (see the module).
    pub version: Option<u64>,
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
    /// Where the local image was saved before `--force` replaced it.
    pub backup: Option<std::path::PathBuf>,
}

impl Synchronised {
    /// The tag, where the version is known.
    #[must_use]
    pub fn tag(&self) -> Option<Tag> {
        self.version.map(|version| Tag::new(version, &self.root))
    }
}

/// A database as the hub described it at one moment.
struct Target {
    id: DatabaseId,
    name: String,
    kind: Option<DatabaseKind>,
    version: u64,
    /// Its name; hubs of an earlier program, and databases that are not pushed, tell none.
    tag: Option<Tag>,
}

impl Target {
    fn from_row(row: &rpc::Database) -> Result<Self> {
        Ok(Self {
            id: admin::database_id(row)?,
            name: row.name.clone(),
            kind: row.kind.parse().ok(),
            version: row.seq,
            tag: row.tag.parse().ok(),
        })
    }

    /// Whether the hub has just what a file was synced with. A hub that was put back may have another version of that
    /// number.
    fn is_at(&self, base: &Synced) -> bool {
        base.version == Some(self.version)
            && self.tag.is_none_or(|tag| tag == Tag::new(self.version, &base.root))
    }

    /// Whether the hub has lost what a file was synced with: it was put back to an older state.
    fn went_back(&self, base: &Synced) -> bool {
        base.version.is_some_and(|version| version >= self.version) && !self.is_at(base)
    }

    fn name(&self) -> DatabaseName {
        DatabaseName::Id(self.id)
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
        Target::from_row(&self.admin.database(&DatabaseName::Id(synced.database)).await?)
    }

    /// The database as it is now.
    async fn look_again(&self, target: &Target) -> Result<Target> {
        Target::from_row(&self.admin.database(&target.name()).await?)
    }

    /// Opens a session with a kept token, or a fresh one if there is none or the hub does not take it.
    async fn open(&self, target: &Target, direction: Direction, max_page: u32) -> Result<WireSession> {
        let server = self.admin.server();
        if let Some(kept) = self.tokens.get(target.id, direction, self.clock.now()) {
            match WireSession::open(server, &kept, direction, max_page).await {
                Err(error) if error.is_unauthenticated() => {}
                opened => return opened,
            }
        }
        let wish = TokenWish {
            direction: Some(direction),
            models: vec![Model::Pages.to_string()],
            label: "ferry".into(),
            ..TokenWish::default()
        };
        let minted = self.admin.issue_sync_token(&target.id.to_string(), &wish).await?;
        let token = SyncToken { token: minted.token, expires_unix: minted.exp_unix };
        self.tokens.put(target.id, direction, &token, self.clock.now());
        WireSession::open(server, &token.token, direction, max_page).await
    }

    fn synced(
        &self,
        target: &Target,
        version: Option<u64>,
        scan: &crate::pages::file::ImageDigests,
        local: &Local,
    ) -> Synced {
        Synced {
            server: self.admin.server().to_string(),
            database: target.id,
            name: target.name.clone(),
            version,
            root: scan.root,
            page_size: local.page_size(),
            page_count: local.page_count(),
        }
    }

    /// What the file was last synced with, if that was this database.
    fn base_of<'m>(&self, target: &Target, memory: &'m Memory) -> Option<&'m Synced> {
        let here = self.admin.server();
        memory.synced.as_ref().filter(|synced| synced.database == target.id && here.is(&synced.server))
    }
}

/// A version in a message: its tag, or its number where the root is not known.
fn shown(version: Option<u64>, root: Option<&Root>) -> String {
    match (version, root) {
        (Some(version), Some(root)) => Tag::new(version, root).to_string(),
        (Some(version), None) => format!("version {version}"),
        (None, Some(root)) => format!("an unnumbered version {}", &root.to_string()[..16]),
        (None, None) => "an unknown version".into(),
    }
}
