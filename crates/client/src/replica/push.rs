//! `push`: the local image becomes the hub's next version.

use std::{path::Path, sync::Arc};

use ferry_types::DatabaseKind;

use super::{
    ROUNDS_MAX, Replica, Synchronised, Target,
    local::{self, Found, Local, Memory},
    shown,
};
use crate::{
    ClientError, Result,
    admin::{DatabaseName, Direction},
    local::image::Access,
    progress::Stage,
    wire::edgereplica::{Session, Transferred},
};

/// How to push.
#[derive(Clone, Copy, Debug)]
pub struct PushOptions {
    /// Push over whatever the hub has (PAG-63).
    pub force: bool,
    /// How the file may be opened.
    pub access: Access,
}

impl Replica<'_> {
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
        let found = local::find(file.to_owned(), options.access, Arc::clone(&self.progress)).await?;
        let (local, memory) = match found {
            Found::Image(local) => local::recall(local).await?,
            Found::Missing => return Err(local::nothing_to_push(file, false)),
            Found::Empty => return Err(local::nothing_to_push(file, true)),
        };
        let target = self.target(file, named).await?;
        if target.kind == Some(DatabaseKind::Hub) {
            return Err(ClientError::conflict(
                "WRONG_KIND",
                format!("{} is written by the hub's own models: it is pulled, not pushed", target.name),
            ));
        }
        if let Some(equal) = self.already_equal(file, &target, &local, &memory, options.force).await? {
            return Ok(equal);
        }
        let (target, session) = self.greet(target, &local, options.force).await?;
        self.send(file, target, *local, session).await
    }

    /// Whether there is nothing to push; or that pushing would overwrite what this file does not stem from.
    async fn already_equal(
        &self,
        file: &Path,
        target: &Target,
        local: &Local,
        memory: &Memory,
        force: bool,
    ) -> Result<Option<Synchronised>> {
        if target.version == 0 {
            return Ok(None);
        }
        let base = self.base_of(target, memory);
        if base.is_some_and(|base| base.version == Some(target.version)) {
            let equal = base.is_some_and(|base| base.root == local.scan.root);
            return Ok(equal.then(|| self.equal(target, local)));
        }
        // The state may be lost, or the answer to an earlier push: what the hub has decides.
        let hub = self.probe(target, local).await?;
        if let (true, Some(version)) = (hub.root == Some(local.scan.root), hub.version) {
            let synced = self.synced(target, Some(version), &local.scan, local);
            local::record(file.to_owned(), synced, local.scan.clone()).await?;
            return Ok(Some(self.equal(target, local)));
        }
        if force {
            return Ok(None);
        }
        let theirs = shown(hub.version.or(Some(target.version)), hub.root.as_ref());
        Err(match base {
            Some(base) => ClientError::conflict(
                "VERSION_CONFLICT",
                format!(
                    "{} has moved on to {theirs}; {} stems from {}: pull first, or push over it with --force",
                    target.name,
                    file.display(),
                    shown(base.version, Some(&base.root)),
                ),
            ),
            None => ClientError::conflict(
                "NO_COMMON_BASE",
                format!(
                    "{} holds {theirs}, and {} was not made from it ({}): clone it, or push over it with --force",
                    target.name,
                    file.display(),
                    shown(None, Some(&local.scan.root)),
                ),
            ),
        })
    }

    /// Opens a session that is known to be about the version that was looked at. With `force`, any version.
    async fn greet(&self, mut target: Target, local: &Local, force: bool) -> Result<(Target, Session)> {
        for _ in 0..ROUNDS_MAX {
            let session = self.open(&target, Direction::Push, local.page_count().0).await?;
            let now = self.look_again(&target).await?;
            if now.version == target.version {
                return Ok((target, session));
            }
            session.abandon().await;
            if !force {
                return Err(ClientError::conflict(
                    "VERSION_CONFLICT",
                    format!(
                        "another push to {} was committed meanwhile (version {}, was {}): pull, then push again",
                        target.name, now.version, target.version
                    ),
                ));
            }
            target = now;
        }
        Err(ClientError::conflict(
            "VERSION_CONFLICT",
            format!("others push to {} all the time: try again later", target.name),
        ))
    }

    async fn send(
        &self,
        file: &Path,
        target: Target,
        local: Local,
        session: Session,
    ) -> Result<Synchronised> {
        let hashes = Arc::new(local.hashes());
        self.progress.begin(Stage::Sending, Some(0));
        let Local { image, scan } = local;
        let (image, outcome) = session.push(image, hashes, Arc::clone(&self.progress)).await;
        self.progress.end();
        let transferred = outcome?;
        crate::local::point("push.sent")?;
        // Page 1 travels with every change: without a page nothing was committed.
        let version = if transferred.pages == 0 { target.version } else { target.version + 1 };
        let local = Local { image, scan };
        let synced = self.synced(&target, Some(version), &local.scan, &local);
        local::record(file.to_owned(), synced, local.scan.clone()).await?;
        Ok(Synchronised {
            version: Some(version),
            changed: transferred.pages > 0,
            pages: transferred.pages.into(),
            transferred,
            ..self.equal(&target, &local)
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
