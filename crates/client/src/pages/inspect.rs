//! Looking at a synced file: where it stands, what was changed in it, whether it is what the hub has.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use ferry_types::{Code, Root, Tag};

use super::{
    PagesClient, Target, TokenPurpose,
    http::{ChangesAnswer, KnownVersion},
    local_file::{self, blocking},
};
use crate::{
    ClientError, ClientErrorCode, Result,
    pages::file::{FoundFile, ImageDigests, KnownImage, Synced, compare, image::FileAccess, known::LookedAt},
};

/// Where a file stands.
#[derive(Clone, Debug)]
pub struct FileStatus {
    /// What it was last synced with.
    pub synced: Synced,
    /// Root of the file as it is.
    pub root: Root,
    /// Whether it was changed since.
    pub is_changed: bool,
    /// Pages that differ from what was synced, where that is known.
    pub changed_pages: Option<u64>,
    /// Bytes of its pages.
    pub bytes: u64,
    /// How that was found.
    pub looked_at: LookedAt,
    /// What the hub has, or why that is not known.
    pub hub: Result<Tag>,
    /// Bytes of what is kept beside the file: state and base copy.
    pub beside_bytes: u64,
}

/// What was changed in a file since it was synced.
#[derive(Clone, Debug)]
pub struct FileDifference {
    /// What it was last synced with.
    pub synced: Synced,
    /// By table or index, most pages first.
    pub tables: Vec<TableDifference>,
    /// Pages that differ, together.
    pub pages: u64,
    /// Pages that it had and no longer has.
    pub cut_off: u64,
}

/// Pages of one table or index that differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableDifference {
    /// Its name; `(free)` of pages that are in no table.
    pub name: String,
    /// How many pages.
    pub pages: u64,
}

/// What a verification found.
#[derive(Clone, Debug)]
pub struct Verification {
    /// What the file was last synced with.
    pub synced: Synced,
    /// Root of the file, hashed anew.
    pub root: Root,
    /// Whether that is the root of the version that the file is at, as the hub has it; `None` where the hub does not keep it
    /// any more, so that only the 8 bytes in its tag were compared.
    pub is_hubs: Option<bool>,
    /// What SQLite says of the file: `ok`, or what is wrong.
    pub integrity: String,
}

impl Verification {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.is_hubs != Some(false) && self.integrity == "ok" && self.root == self.synced.root
    }
}

impl PagesClient<'_> {
    /// A file that was synced, and its database.
    async fn synced_file(&self, file: &Path) -> Result<(KnownImage, Synced, Target)> {
        let known = match self.look_at(file, FileAccess::Ordinary).await? {
            FoundFile::Image(known) => *known,
            FoundFile::Missing => return Err(local_file::nothing_there(file)),
            FoundFile::Empty => return Err(local_file::nothing_to_push(file, true)),
        };
        let target = self.target(file, None).await?;
        let synced = known.synced.clone();
        let synced = synced.ok_or_else(|| ClientError::argument("the file has not been synced yet"))?;
        Ok((known, synced, target))
    }

    /// Where a file stands, and what the hub has.
    ///
    /// # Errors
    /// When the file cannot be read or was never synced.
    pub async fn status(&self, file: &Path) -> Result<FileStatus> {
        let (known, synced, target) = self.synced_file(file).await?;
        let hub = self.with_pages(&target, TokenPurpose::Read, async |pages| pages.newest().await).await;
        // The answer to a HEAD has no words.
        let hub = hub.map_err(|error| match error.code {
            ClientErrorCode::Table(Code::NotFound) => {
                let message = format!("{} has no database {} (any more)", self.admin.server(), synced.name);
                ClientError { message, ..error }
            }
            _ => error,
        });
        let path = file.to_owned();
        let beside_bytes = blocking(move || crate::pages::file::bytes_beside(&path)).await;
        Ok(FileStatus {
            root: known.root,
            is_changed: !known.is_untouched,
            changed_pages: known.changed.as_ref().map(|pages| pages.len() as u64),
            bytes: known.image.bytes(),
            looked_at: known.looked_at,
            synced,
            hub,
            beside_bytes,
        })
    }

    /// What was changed in a file since it was synced.
    ///
    /// # Errors
    /// When the file cannot be read or was never synced.
    pub async fn difference(&self, file: &Path) -> Result<FileDifference> {
        let (known, synced, _) = self.synced_file(file).await?;
        blocking(move || {
            let changed = known.changed.as_deref();
            let changed: Vec<_> = match changed {
                Some(changed) => changed.to_vec(),
                // Of another page size every page is another one.
                None => known.image.page_count().pages().collect(),
            };
            let mut tables: BTreeMap<String, u64> = BTreeMap::new();
            if !changed.is_empty() {
                let names = known.image.tables()?;
                for page in &changed {
                    let name = names.get(page).map_or("(free)", String::as_str);
                    *tables.entry(name.to_owned()).or_default() += 1;
                }
            }
            let mut tables: Vec<TableDifference> =
                tables.into_iter().map(|(name, pages)| TableDifference { name, pages }).collect();
            tables.sort_by_key(|table| std::cmp::Reverse(table.pages));
            let cut_off = synced.page_count.0.saturating_sub(known.image.page_count().0).into();
            Ok(FileDifference { synced, tables, pages: changed.len() as u64, cut_off })
        })
        .await
    }

    /// Hashes a file anew, compares it with the hub's version, and has SQLite check it.
    ///
    /// # Errors
    /// When the file cannot be read or was never synced, or the hub cannot be asked.
    pub async fn verify(&self, file: &Path) -> Result<Verification> {
        let (known, synced, target) = self.synced_file(file).await?;
        let progress = Arc::clone(&self.progress);
        let (known, digests) = blocking(move || {
            let digests = ImageDigests::of(&known.image, progress.as_ref());
            (known, digests)
        })
        .await;
        let root = digests?.root;
        drop(known);
        let at = synced.tag().map(|tag| tag.to_string());
        let is_hubs = self
            .with_pages(&target, TokenPurpose::Read, async |pages| {
                match pages.changes(KnownVersion::Root(root), at.as_deref(), Some("1")).await {
                    Ok(ChangesAnswer::None(_)) => Ok(Some(true)),
                    Ok(ChangesAnswer::Body(..) | ChangesAnswer::Unknown(..)) => Ok(Some(false)),
                    Err(error) if error.reason == "VERSION_GONE" => Ok(None),
                    Err(error) => Err(error),
                }
            })
            .await?;
        let path = file.to_owned();
        let integrity = blocking(move || compare::integrity(&path)).await?;
        Ok(Verification { synced, root, is_hubs, integrity })
    }
}
