//! `push --watch`: the file is pushed whenever it has changed.

use std::{path::Path, sync::Arc, time::Duration};

use super::{
    PagesClient, PushOptions, Synchronised,
    local_file::{self, blocking},
    push::is_of_race,
};
use crate::{
    ClientError, Result,
    admin::DatabaseName,
    pages::file::{FoundFile, KnownImage, Watcher, image::FileAccess},
};

/// How often it is looked whether the file has changed.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How long another process that has pushed the same file may take to record it: longer than a single push waits, since this
/// one is to go on.
const RECORD_MAX: Duration = Duration::from_secs(10);

impl PagesClient<'_> {
    /// Pushes `file`, and again whenever it has changed, until `told` of a push says that it is enough.
    ///
    /// # Errors
    /// As [`Self::push`]; also when others have pushed meanwhile.
    pub async fn push_watching(
        &self,
        file: &Path,
        named: Option<&DatabaseName>,
        options: PushOptions,
        told: &mut dyn FnMut(&Synchronised) -> bool,
    ) -> Result<()> {
        // In a snapshot that is held no frame of the WAL is overwritten, so that its newest frames always name the pages that
        // have changed since. With a rollback journal it would keep others from writing.
        let mut held: Option<KnownImage> = None;
        let mut is_first = true;
        let mut target = None;
        loop {
            let (path, progress, clock) =
                (file.to_owned(), Arc::clone(&self.progress), Arc::clone(&self.clock));
            let is_held = held.is_some();
            let (watcher, found) = blocking(move || {
                // Before the file is looked at: what changes from here on is seen later.
                let watcher = Watcher::open(&path)?;
                let now = || clock.now();
                let found =
                    KnownImage::open_while(is_held, &path, FileAccess::Ordinary, &now, progress.as_ref())?;
                Ok::<_, ClientError>((watcher, found))
            })
            .await?;
            let FoundFile::Image(known) = found else {
                return Err(local_file::nothing_to_push(file, file.exists()));
            };
            drop(held.take());
            let target = match &target {
                Some(target) => target,
                None => target.insert(self.target(file, named).await?),
            };
            let options = PushOptions { force: options.force && is_first, ..options };
            let before = known.synced.clone();
            let (known, pushed) = match self.push_known(file, target, *known, options).await {
                Err(error)
                    if is_of_race(&error) && self.is_synced_anew(file, Some(before), RECORD_MAX).await =>
                {
                    tracing::debug!(%error, "another process has pushed the file");
                    continue;
                }
                pushed => pushed?,
            };
            if (is_first || pushed.changed) && !told(&pushed) {
                return Ok(());
            }
            is_first = false;
            held = known.image.is_in_wal_mode().then_some(known);
            let mut watcher = watcher;
            loop {
                tokio::time::sleep(LOOK_EVERY).await;
                let changed;
                (watcher, changed) = blocking(move || {
                    let changed = watcher.has_changed();
                    (watcher, changed)
                })
                .await;
                if changed? {
                    break;
                }
            }
        }
    }
}
