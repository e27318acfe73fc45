//! `pull` and `clone`: a version of the hub becomes the local image.

use std::{path::Path, sync::Arc};

use ferry_types::{DatabaseKind, PageSize, Root, Tag};
use hyper::body::Incoming;

use super::{
    PagesClient, Synchronised, Target, TokenPurpose,
    conflict::ConflictAdvice,
    fetch::{BodyRequest, Receiving, VerifiedImage},
    http::{ChangesAnswer, Current, HubPages, KnownVersion},
    install::{Afterwards, ImageToPlace, Replaced, install_and_record},
    local_file::{self, blocking},
    reconcile,
    wire::Transferred,
};
use crate::{
    ClientError, Result,
    admin::DatabaseName,
    pages::file::{FoundFile, ImageTree, KnownImage, Synced, backup, check_target, image::FileAccess},
    progress::TransferPhase,
};

/// How to pull.
#[derive(Clone, Debug, Default)]
pub struct PullOptions {
    /// Replace unsynced local changes, after saving the local image (PAG-65).
    pub force: bool,
    /// The file must not exist yet.
    pub only_new: bool,
    /// The version to get: a number, a tag or a time; else the newest.
    pub at: Option<String>,
    /// Keep no base copy beside the file, now and later.
    pub no_base: bool,
}

/// A pull that is under way.
pub(super) struct Pulling<'p> {
    pub(super) file: &'p Path,
    pub(super) target: &'p Target,
    pub(super) pages: &'p HubPages,
    pub(super) options: &'p PullOptions,
    pub(super) afterwards: Afterwards,
    /// Whether what the hub has lost is replaced unasked, once it is saved: by a follower, which has nothing of its own.
    pub(super) recovers: bool,
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
        let target = self.target(file, named).await?;
        self.with_pages(&target, TokenPurpose::Read, async |pages| {
            let (target, options) = (&target, &options);
            let pulling =
                Pulling { file, target, pages, options, afterwards: Afterwards::End, recovers: false };
            self.pull_once(&pulling).await
        })
        .await
    }

    /// Opens and compares the local file.
    pub(super) async fn look_at(&self, file: &Path, access: FileAccess) -> Result<FoundFile> {
        let (path, progress, clock) = (file.to_owned(), Arc::clone(&self.progress), Arc::clone(&self.clock));
        blocking(move || KnownImage::open(&path, access, &|| clock.now(), progress.as_ref())).await
    }

    pub(super) async fn pull_once(&self, pulling: &Pulling<'_>) -> Result<Synchronised> {
        let Pulling { file, target, pages, options, .. } = pulling;
        let known = match self.look_at(file, FileAccess::Ordinary).await? {
            FoundFile::Image(known) => known,
            FoundFile::Missing => return self.first(pulling, Replaced::Nothing).await,
            FoundFile::Empty => return self.first(pulling, Replaced::Empty).await,
        };
        let base = self.base_of(target, known.synced.as_ref());
        let clean = base.as_ref().filter(|base| known.is_untouched && base.root == known.root);
        let since = match clean.and_then(Synced::tag) {
            Some(tag) => KnownVersion::Tag(tag),
            None => KnownVersion::Root(known.root),
        };
        let is_clean = clean.is_some();
        match pages.changes(since, options.at.as_deref(), None).await? {
            ChangesAnswer::None(tag) => self.adopt(pulling, known, tag).await,
            ChangesAnswer::Body(tag, body) => self.take(pulling, known, since, tag, body).await,
            ChangesAnswer::Unknown(current, error) => {
                self.take_unknown(pulling, known, base, current, error, is_clean).await
            }
        }
    }

    /// The file has that version: it is noted, and nothing moves.
    pub(super) async fn adopt(
        &self,
        pulling: &Pulling<'_>,
        known: Box<KnownImage>,
        tag: Tag,
    ) -> Result<Synchronised> {
        let target = pulling.target;
        let synced =
            self.synced(target, tag, known.root, (known.image.page_size(), known.image.page_count()));
        let equal = self.equal(&synced);
        if known.synced.as_ref() != Some(&synced) {
            let file = pulling.file.to_owned();
            blocking(move || {
                let mut known = known;
                let mark = known.mark;
                known.tree.record_or_warn(&file, &synced, mark.as_ref())
            })
            .await?;
        }
        Ok(equal)
    }

    /// Into no file yet, or one without a page.
    async fn first(&self, pulling: &Pulling<'_>, replaced: Replaced) -> Result<Synchronised> {
        let at = pulling.options.at.as_deref();
        let (tag, body) = match pulling.pages.changes(KnownVersion::Nothing, at, None).await? {
            ChangesAnswer::Body(tag, body) => (tag, body),
            ChangesAnswer::None(_) => {
                let message = "the database is empty: push a file to it first";
                return Err(ClientError::conflict("DATABASE_EMPTY", message));
            }
            ChangesAnswer::Unknown(_, error) => return Err(error),
        };
        let state = {
            let file = pulling.file.to_owned();
            blocking(move || crate::pages::file::SyncState::open(&file)).await?
        };
        let tree = ImageTree::default().kept_in(state);
        let receiving = self.receiving(pulling, tree, None);
        self.progress.begin(TransferPhase::Receiving, None);
        let (receiving, root) = receiving
            .receive(pulling.pages, BodyRequest::ChangesAnswer(KnownVersion::Nothing, tag), body)
            .await;
        self.progress.end();
        let verified = receiving.verify(root?).await?;
        self.place(pulling, replaced, verified, tag, None).await
    }

    /// A body over what the file has.
    async fn take(
        &self,
        pulling: &Pulling<'_>,
        known: Box<KnownImage>,
        since: KnownVersion,
        tag: Tag,
        body: Incoming,
    ) -> Result<Synchronised> {
        let (root, size) = (known.root, known.image.page_size());
        let receiving = self.over(pulling, known).await?;
        self.progress.begin(TransferPhase::Receiving, None);
        let (receiving, named) =
            receiving.receive(pulling.pages, BodyRequest::ChangesAnswer(since, tag), body).await;
        self.progress.end();
        let (verified, tag) = match named {
            Ok(named) => match receiving.verify(named).await {
                Ok(verified) => (verified, tag),
                // The hub took the file for what it is not: the pages that differ are found out once (PAG-21).
                Err(error) if error.reason == "ROOT_MISMATCH" && pulling.options.at.is_none() => {
                    self.reconciled(pulling, size).await?
                }
                Err(error) => return Err(error),
            },
            Err(error) => return Err(error),
        };
        self.place_over(pulling, root, verified, tag, None).await
    }

    /// The hub does not know what the file has.
    async fn take_unknown(
        &self,
        pulling: &Pulling<'_>,
        known: Box<KnownImage>,
        base: Option<Synced>,
        current: Current,
        error: ClientError,
        is_clean: bool,
    ) -> Result<Synchronised> {
        if current.root == known.root {
            return self.adopt(pulling, known, current.tag).await;
        }
        let target = self.described(pulling.target).await;
        let theirs = current.tag.to_string();
        let conflict = ConflictAdvice { target: &target, file: pulling.file, theirs };
        if current.tag.version == 0 {
            return Err(conflict.nothing_there());
        }
        // Nobody could push a file to a database that the hub writes: there is nothing to choose.
        let is_hubs = target.kind == Some(DatabaseKind::Hub);
        // A pull that was cut off while the page size changed left what nobody has edited.
        let is_half_done = base.is_some() && known.is_untouched && !is_clean;
        let may_replace = pulling.options.force || is_half_done || is_clean && (pulling.recovers || is_hubs);
        if !may_replace {
            return Err(match &base {
                Some(base) if is_clean => conflict.moved_on("UNSYNCED_CHANGES", base, true, current),
                Some(base) if base.root == current.root => conflict.unpushed(base),
                Some(base) => conflict.moved_on("UNSYNCED_CHANGES", base, false, current),
                None => conflict.unrelated("UNSYNCED_CHANGES"),
            });
        }
        tracing::debug!(%error, "what the file has is not known at the hub");
        let (root, size) = (known.root, known.image.page_size());
        let saved = if is_half_done {
            None
        } else {
            let now = self.clock.now();
            Some(blocking(move || backup::write(&known.image, now)).await?)
        };
        let (verified, tag) = match &pulling.options.at {
            None => self.reconciled(pulling, size).await?,
            Some(at) => self.whole_at(pulling, at).await?,
        };
        self.place_over(pulling, root, verified, tag, saved).await
    }

    /// The hub's newest image over whatever the file is now.
    async fn reconciled(&self, pulling: &Pulling<'_>, size: PageSize) -> Result<(VerifiedImage, Tag)> {
        let FoundFile::Image(known) = self.look_at(pulling.file, FileAccess::Ordinary).await? else {
            return Err(changed_meanwhile(pulling.file));
        };
        let receiving = self.over(pulling, known).await?;
        self.progress.begin(TransferPhase::Receiving, None);
        let (receiving, found) = reconcile::reconcile(pulling.pages, receiving, size).await;
        self.progress.end();
        let (tag, root) = found?;
        match receiving.verify(root).await {
            Err(error) if error.reason == "ROOT_MISMATCH" => {
                let FoundFile::Image(known) = self.look_at(pulling.file, FileAccess::Ordinary).await? else {
                    return Err(changed_meanwhile(pulling.file));
                };
                let receiving = self.over(pulling, known).await?;
                let (receiving, found) = reconcile::whole(pulling.pages, receiving, tag).await;
                let (tag, root) = found?;
                Ok((receiving.verify(root).await?, tag))
            }
            verified => Ok((verified?, tag)),
        }
    }

    async fn whole_at(&self, pulling: &Pulling<'_>, at: &str) -> Result<(VerifiedImage, Tag)> {
        let (tag, body) = match pulling.pages.changes(KnownVersion::Nothing, Some(at), None).await? {
            ChangesAnswer::Body(tag, body) => (tag, body),
            ChangesAnswer::None(_) => {
                return Err(ClientError::conflict("DATABASE_EMPTY", "the database was empty then"));
            }
            ChangesAnswer::Unknown(_, error) => return Err(error),
        };
        let FoundFile::Image(known) = self.look_at(pulling.file, FileAccess::Ordinary).await? else {
            return Err(changed_meanwhile(pulling.file));
        };
        let receiving = self.over(pulling, known).await?;
        let (receiving, root) = receiving
            .receive(pulling.pages, BodyRequest::ChangesAnswer(KnownVersion::Nothing, tag), body)
            .await;
        Ok((receiving.verify(root?).await?, tag))
    }

    /// What is received over a local image, whose read transaction ends.
    async fn over(&self, pulling: &Pulling<'_>, known: Box<KnownImage>) -> Result<Receiving> {
        let KnownImage { image, tree, root, .. } = *known;
        let base = Box::new(blocking(move || image.release()).await?);
        Ok(self.receiving(pulling, tree, Some((base, root))))
    }

    fn receiving(
        &self,
        pulling: &Pulling<'_>,
        tree: ImageTree,
        base: Option<(Box<crate::pages::file::Base>, Root)>,
    ) -> Receiving {
        let progress = Arc::clone(&self.progress);
        Receiving::new(pulling.file.to_owned(), pulling.target.id, tree, base, progress)
    }

    async fn place_over(
        &self,
        pulling: &Pulling<'_>,
        root: Root,
        mut verified: VerifiedImage,
        tag: Tag,
        saved: Option<std::path::PathBuf>,
    ) -> Result<Synchronised> {
        let base = verified.base.take().expect("BUG: it was received over an image");
        self.place(pulling, Replaced::Image { base, root }, verified, tag, saved).await
    }

    /// Puts what was received in its place, and records it.
    async fn place(
        &self,
        pulling: &Pulling<'_>,
        replaced: Replaced,
        verified: VerifiedImage,
        tag: Tag,
        saved: Option<std::path::PathBuf>,
    ) -> Result<Synchronised> {
        let VerifiedImage { part, root, tree, is_wal, bytes, .. } = verified;
        if Tag::new(tag.version, &root) != tag {
            return Err(ClientError::unverified(format!(
                "the hub names {tag}, and sent another image: pull again"
            )));
        }
        let synced = self.synced(pulling.target, tag, root, (part.page_size(), part.page_count()));
        let changed = replaced.root() != Some(root);
        let (pages, page_bytes) = (part.received().len() as u64, part.page_size().bytes() as u64);
        let equal = self.equal(&synced);
        let (file, progress, clock) =
            (pulling.file.to_owned(), Arc::clone(&self.progress), Arc::clone(&self.clock));
        let (afterwards, no_base) = (pulling.afterwards, pulling.options.no_base);
        let received =
            ImageToPlace { part, synced, tree, is_wal: is_wal || afterwards == Afterwards::Follow, no_base };
        blocking(move || {
            install_and_record(&file, replaced, received, afterwards, &|| clock.now(), progress.as_ref())
        })
        .await?;
        let transferred = Transferred { pages: count(pages), bytes: pages * page_bytes, wire_bytes: bytes };
        Ok(Synchronised {
            changed,
            pages: if changed { pages } else { 0 },
            transferred,
            backup: saved,
            ..equal
        })
    }
}

fn count(pages: u64) -> u32 {
    u32::try_from(pages).unwrap_or(u32::MAX)
}

pub(super) fn changed_meanwhile(file: &Path) -> ClientError {
    ClientError::conflict(
        "FILE_CHANGED",
        format!("{} was changed while it was pulled: pull again", file.display()),
    )
}
