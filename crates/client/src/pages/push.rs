//! `push`: the local image becomes the hub's next version.

use std::{path::Path, sync::Arc};

use ferry_types::DatabaseKind;

use super::{
    PagesClient, ROUNDS_MAX, Synchronised, Target,
    conflict::ConflictAdvice,
    local_file::{self, Local, LocalFile, Memory},
    shown,
};
use crate::{
    ClientError, Result,
    admin::{DatabaseName, Direction},
    pages::file::image::FileAccess,
    pages::wire::{Transferred, WireSession},
    progress::TransferPhase,
};

/// How to push.
#[derive(Clone, Copy, Debug)]
pub struct PushOptions {
    /// Push over whatever the hub has (PAG-63).
    pub force: bool,
    /// How the file may be opened.
    pub access: FileAccess,
}

/// File and hub, compared.
enum Compared {
    /// There is nothing to push.
    Equal(Synchronised),
    /// A push loses nothing, or may.
    Free,
    /// Somebody pushed meanwhile.
    Moved,
}

impl PagesClient<'_> {
    /// Pushes `file` to the named database, else to the one it was last synced with.
    ///
    /// # Errors
    /// When file and hub have no common base (nothing is changed then), the hub refuses, or the file cannot be
    /// read.
    pub async fn push(
        &self,
        file: &Path,
        named: Option<&DatabaseName>,
        options: PushOptions,
    ) -> Result<Synchronised> {
        // The file first: what cannot be pushed is told before anything is sent (PAG-70).
        let found = local_file::find(file.to_owned(), options.access, Arc::clone(&self.progress)).await?;
        let (local, memory) = match found {
            LocalFile::Image(local) => local_file::recall(local).await?,
            LocalFile::Missing => return Err(local_file::nothing_to_push(file, false)),
            LocalFile::Empty => return Err(local_file::nothing_to_push(file, true)),
        };
        let target = self.target(file, named).await?;
        if target.kind == Some(DatabaseKind::Hub) {
            return Err(ClientError::conflict(
                "WRONG_KIND",
                format!("{} is written by the hub's own models: it is pulled, not pushed", target.name),
            ));
        }
        let mut local = *local;
        let mut target = target;
        for _ in 0..ROUNDS_MAX {
            match self.compare(file, &target, &local, &memory, options.force).await? {
                Compared::Equal(equal) => return Ok(equal),
                Compared::Free => {}
                Compared::Moved => {
                    target = self.look_again(&target).await?;
                    continue;
                }
            }
            let session = self.open(&target, Direction::Push, local.page_count().0).await?;
            let now = self.look_again(&target).await?;
            if (now.version, now.tag) != (target.version, target.tag) {
                // The session is about a version that nobody has compared with.
                session.abandon().await;
                target = now;
                continue;
            }
            let (back, outcome) = self.send(file, &target, local, session).await;
            local = back;
            match outcome {
                Err(lost) if lost.reason == "VERSION_CONFLICT" => target = self.look_again(&target).await?,
                outcome => return outcome,
            }
        }
        Err(ClientError::conflict(
            "VERSION_CONFLICT",
            format!("others push to {} all the time: try again later", target.name),
        ))
    }

    /// Compares the file with what the hub has. An error says that a push would overwrite what the file does not stem from.
    async fn compare(
        &self,
        file: &Path,
        target: &Target,
        local: &Local,
        memory: &Memory,
        force: bool,
    ) -> Result<Compared> {
        if target.version == 0 {
            return Ok(Compared::Free);
        }
        let base = self.base_of(target, memory);
        if let Some(base) = base.filter(|base| target.is_at(base)) {
            let equal = base.root == local.scan.root;
            return Ok(if equal { Compared::Equal(self.equal(target, local)) } else { Compared::Free });
        }
        // The state may be lost, or the answer to an earlier push: what the hub has decides.
        let hub = self.probe(target, local).await?;
        if hub.version.is_none() {
            return Ok(Compared::Moved);
        }
        if hub.root == Some(local.scan.root) {
            let synced = self.synced(target, hub.version, &local.scan, local);
            local_file::record(file.to_owned(), synced, local.scan.clone()).await?;
            return Ok(Compared::Equal(self.equal(target, local)));
        }
        // An equal root is an equal base: others may have pushed, but they changed nothing.
        if force || base.is_some_and(|base| hub.root == Some(base.root)) {
            return Ok(Compared::Free);
        }
        let conflict = ConflictAdvice { target, file, theirs: shown(hub.version, hub.root.as_ref()) };
        Err(match base {
            Some(base) => conflict.moved_on("VERSION_CONFLICT", base, memory.untouched),
            None => conflict.unrelated("NO_COMMON_BASE"),
        })
    }

    /// Sends what the hub lacks. The local image comes back with the outcome.
    async fn send(
        &self,
        file: &Path,
        target: &Target,
        local: Local,
        session: WireSession,
    ) -> (Local, Result<Synchronised>) {
        let hashes = Arc::new(local.hashes());
        self.progress.begin(TransferPhase::Sending, Some(0));
        let Local { image, scan } = local;
        let (image, outcome) = session.push(image, hashes, Arc::clone(&self.progress)).await;
        self.progress.end();
        let local = Local { image, scan };
        let outcome = match outcome {
            Ok(transferred) => self.sent(file, target, &local, transferred).await,
            Err(error) => Err(error),
        };
        (local, outcome)
    }

    /// Records what was sent.
    async fn sent(
        &self,
        file: &Path,
        target: &Target,
        local: &Local,
        transferred: Transferred,
    ) -> Result<Synchronised> {
        crate::pages::file::point("push.sent")?;
        // Page 1 travels with every change: without a page nothing was committed.
        let version = if transferred.pages == 0 { target.version } else { target.version + 1 };
        let synced = self.synced(target, Some(version), &local.scan, local);
        local_file::record(file.to_owned(), synced, local.scan.clone()).await?;
        Ok(Synchronised {
            version: Some(version),
            changed: transferred.pages > 0,
            pages: transferred.pages.into(),
            transferred,
            ..self.equal(target, local)
        })
    }

    /// The outcome where nothing had to move.
    pub(super) fn equal(&self, target: &Target, local: &Local) -> Synchronised {
        Synchronised {
            database: target.id,
            name: target.name.clone(),
            version: Some(target.version),
            root: local.scan.root,
            page_count: local.page_count(),
            changed: false,
            pages: 0,
            transferred: Transferred::default(),
            backup: None,
        }
    }
}
