//! Versions that a hub keeps: listing them, going back to one, making a database of one.

use ferry_types::Tag;

use super::{
    PagesClient, Target, TokenPurpose,
    http::{ForkedDatabase, KeptVersion, PagesPushAnswer},
};
use crate::{ClientError, Result, admin::DatabaseName};

/// How often a restore is tried again because others push.
const ATTEMPTS_MAX: u32 = 5;

/// What a restore came to.
#[derive(Clone, Debug)]
pub struct RestoredVersion {
    /// Name of the database.
    pub name: String,
    /// The version before it, which history keeps.
    pub before: Tag,
    /// The version now.
    pub tag: Tag,
    /// Pages that changed.
    pub pages: u64,
}

impl PagesClient<'_> {
    async fn named(&self, name: &DatabaseName) -> Result<Target> {
        Target::from_row(&self.admin.database(name).await?)
    }

    /// The versions of a database that its hub keeps, newest first, at most `most`.
    ///
    /// # Errors
    /// When the hub refuses.
    pub async fn versions(&self, database: &DatabaseName, most: usize) -> Result<Vec<KeptVersion>> {
        let target = self.named(database).await?;
        self.with_pages(&target, TokenPurpose::Read, async |pages| pages.versions(most).await).await
    }

    /// Makes the newest version of a database one with the pages of the one that `at` names.
    ///
    /// # Errors
    /// When the hub refuses.
    pub async fn restore(&self, database: &DatabaseName, at: &str) -> Result<RestoredVersion> {
        let target = self.named(database).await?;
        self.with_pages(&target, TokenPurpose::Administer, async |pages| {
            let mut before = pages.newest().await?;
            for _ in 0..ATTEMPTS_MAX {
                match pages.restore(at, before).await? {
                    PagesPushAnswer::Committed(pushed) => {
                        let (name, tag, pages) = (target.name.clone(), pushed.tag, pushed.pages);
                        return Ok(RestoredVersion { name, before, tag, pages });
                    }
                    PagesPushAnswer::Moved(current) => before = current.tag,
                }
            }
            let message = format!("others push to {} all the time: try again later", target.name);
            Err(ClientError::conflict("VERSION_CONFLICT", message))
        })
        .await
    }

    /// Makes a new database, called `name`, of the version that `at` names, or of the newest.
    ///
    /// # Errors
    /// When the hub refuses.
    pub async fn fork(
        &self,
        database: &DatabaseName,
        name: &str,
        at: Option<&str>,
    ) -> Result<ForkedDatabase> {
        let target = self.named(database).await?;
        self.with_pages(&target, TokenPurpose::Administer, async |pages| pages.fork(at, name).await).await
    }
}
