//! `pull` and `clone`: the hub's newest version becomes the local image.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use ferry_types::{DatabaseKind, UnixMillis};

use super::{
    PagesClient, ROUNDS_MAX, Synchronised, Target,
    conflict::ConflictAdvice,
    install::install_and_record,
    local_file::{self, Local, LocalFile, Memory, blocking},
    receive::{ReceivedImage, Replaced, receive},
};
use crate::{
    ClientError, Result,
    admin::{DatabaseName, Direction},
    pages::file::{Synced, backup, check_target, image::FileAccess},
    pages::wire::Transferred,
};

/// How to pull.
#[derive(Clone, Copy, Debug, Default)]
pub struct PullOptions {
    /// Replace unsynced local changes, after saving the local image (PAG-65).
    pub force: bool,
    /// The file must not exist yet.
    pub only_new: bool,
}

impl PagesClient<'_> {
    /// Brings `file` to the newest version of the named database, else of the one it was last synced with; a
    /// missing file is made.
    ///
    /// # Errors
    /// When the file holds changes that the hub does not have (nothing is changed then), is busy, or the hub
    /// refuses.
    pub async fn pull(
        &self,
        file: &Path,
        named: Option<&DatabaseName>,
        options: PullOptions,
    ) -> Result<Synchronised> {
        if options.only_new && file.exists() {
            return Err(ClientError::conflict(
                "FILE_EXISTS",
                format!("{} exists already: pull into it, or clone to another name", file.display()),
            ));
        }
        check_target(file)?;
        local_file::check_state(file.to_owned()).await?;
        let mut target = self.target(file, named).await?;
        let mut saved = None;
        let mut total: Option<Synchronised> = None;
        for _ in 0..ROUNDS_MAX {
            let outcome = self.round(file, &target, options.force, &mut saved).await?;
            let so_far = match total.take() {
                Some(before) => added(&before, outcome),
                None => outcome,
            };
            if so_far.version.is_some() {
                return Ok(Synchronised { backup: saved, ..so_far });
            }
            total = Some(so_far);
            target = self.look_again(&target).await?;
        }
        let outcome = total.expect("BUG: there was at least one round");
        Ok(Synchronised { backup: saved, ..outcome })
    }

    /// One session, applied. Its version is `None` if the hub moved on meanwhile.
    async fn round(
        &self,
        file: &Path,
        target: &Target,
        force: bool,
        saved: &mut Option<PathBuf>,
    ) -> Result<Synchronised> {
        let progress = Arc::clone(&self.progress);
        let found = local_file::find(file.to_owned(), FileAccess::Ordinary, progress).await?;
        let found = match found {
            LocalFile::Image(local) => {
                let (mut local, memory) = local_file::recall(local).await?;
                if let Some(equal) = self.guard(file, target, &local, &memory, force).await? {
                    return Ok(equal);
                }
                let base = self.base_of(target, &memory);
                if !memory.untouched || base.is_none_or(|base| target.went_back(base)) {
                    let (back, path) = save(local, self.clock.now()).await?;
                    local = back;
                    *saved = Some(path);
                }
                LocalFile::Image(local)
            }
            nothing => nothing,
        };
        let replaced = Replaced::from_found(found).await?;
        let open = async |count| self.open(target, Direction::Pull, count).await;
        let received = receive(open, file, &replaced, &self.progress).await?;
        let after = self.look_again(target).await?.version;
        let version = (after == target.version).then_some(after);
        self.install(file, target, replaced, received, version).await
    }

    /// Whether file and hub are equal already; or that the file holds what the hub does not have.
    async fn guard(
        &self,
        file: &Path,
        target: &Target,
        local: &Local,
        memory: &Memory,
        force: bool,
    ) -> Result<Option<Synchronised>> {
        if let Some(base) = self.base_of(target, memory)
            && memory.untouched
        {
            if target.is_at(base) && base.root == local.scan.root {
                return Ok(Some(self.equal(target, local)));
            }
            if force || !target.went_back(base) {
                return Ok(None);
            }
        }
        // A file that equals the hub's image needs no state to be recognised.
        let hub = self.probe(target, local).await?;
        if let (true, Some(version)) = (hub.root == Some(local.scan.root), hub.version) {
            let synced = self.synced(target, Some(version), &local.scan, local);
            local_file::record(file.to_owned(), synced, local.scan.clone()).await?;
            return Ok(Some(self.equal(target, local)));
        }
        if hub.is_empty {
            return Err(ConflictAdvice { target, file, theirs: String::new() }.nothing_there());
        }
        if force {
            return Ok(None);
        }
        let theirs = super::shown(hub.version.or(Some(target.version)), hub.root.as_ref());
        let conflict = ConflictAdvice { target, file, theirs };
        Err(match self.base_of(target, memory) {
            Some(base) if target.is_at(base) || hub.root == Some(base.root) => conflict.unpushed(base),
            Some(base) => conflict.moved_on("UNSYNCED_CHANGES", base, false),
            None => conflict.unrelated("UNSYNCED_CHANGES"),
        })
    }

    async fn install(
        &self,
        file: &Path,
        target: &Target,
        replaced: Replaced,
        received: ReceivedImage,
        version: Option<u64>,
    ) -> Result<Synchronised> {
        let ReceivedImage { part, root, transferred } = received;
        let synced = Synced {
            server: self.admin.server().to_string(),
            database: target.id,
            name: target.name.clone(),
            version,
            root,
            page_size: part.page_size(),
            page_count: part.page_count(),
        };
        let changed = replaced.root() != Some(root);
        let pages = part.received().count() as u64;
        let carries_seq = target.kind == Some(DatabaseKind::Hub);
        let (path, progress) = (file.to_owned(), Arc::clone(&self.progress));
        let synced = blocking(move || {
            install_and_record(&path, replaced, part, synced, carries_seq, progress.as_ref())
        })
        .await?;
        Ok(Synchronised {
            database: target.id,
            name: target.name.clone(),
            version: synced.version,
            root,
            page_count: synced.page_count,
            changed,
            pages: if changed { pages } else { 0 },
            transferred,
            backup: None,
        })
    }
}

/// Saves the local image beside the file.
async fn save(local: Box<Local>, now: UnixMillis) -> Result<(Box<Local>, PathBuf)> {
    blocking(move || {
        let path = backup::write(&local.image, now)?;
        Ok((local, path))
    })
    .await
}

/// Two rounds as one outcome.
fn added(before: &Synchronised, last: Synchronised) -> Synchronised {
    Synchronised {
        changed: before.changed || last.changed,
        pages: before.pages + last.pages,
        transferred: Transferred {
            pages: before.transferred.pages.saturating_add(last.transferred.pages),
            bytes: before.transferred.bytes + last.transferred.bytes,
            wire_bytes: before.transferred.wire_bytes + last.transferred.wire_bytes,
        },
        ..last
    }
}
