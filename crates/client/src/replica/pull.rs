//! `pull` and `clone`: the hub's newest version becomes the local image.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use ferry_types::{DatabaseKind, PageCount, PageSize, Root};
use rusqlite::OptionalExtension as _;

use super::{
    BareTransfer, ROUNDS_MAX, Replica, Synchronised, Target,
    local::{self, Found, Local, Memory, blocking},
};
use crate::{
    ClientError, Result, ServerUrl,
    admin::{DatabaseName, Direction},
    local::{
        Base, Part, Scan, State, Synced, apply, backup,
        image::{Access, connect},
        point,
        state::Pending,
    },
    progress::{Progress, Stage},
    wire::edgereplica::{Session, Transferred},
};

/// How a hub refuses a new file of another page size to a client that can only create 4096 (PAG-13). Told
/// that the file has a page, it sends the image all the same.
const PAGE_SIZE_REFUSAL: &str = "page size is ";

/// How to pull.
#[derive(Clone, Copy, Debug, Default)]
pub struct PullOptions {
    /// Replace unsynced local changes, after saving the local image (PAG-65).
    pub force: bool,
    /// The file must not exist yet.
    pub only_new: bool,
}

/// What is replaced.
enum Replaced {
    Nothing,
    Empty,
    Image { base: Base, scan: Scan },
}

impl Replaced {
    fn leaves(&self, page_size: PageSize) -> &[ferry_types::Leaf] {
        match self {
            Self::Image { base, scan } if base.page_size() == page_size => &scan.leaves,
            _ => &[],
        }
    }

    const fn root(&self) -> Option<Root> {
        match self {
            Self::Image { scan, .. } => Some(scan.root),
            Self::Nothing | Self::Empty => None,
        }
    }
}

/// One received image.
struct Received {
    part: Part,
    root: Root,
    transferred: Transferred,
}

impl Replica<'_> {
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
        let mut target = self.target(file, named).await?;
        let mut saved = None;
        let mut total: Option<Synchronised> = None;
        for _ in 0..ROUNDS_MAX {
            let outcome = self.round(file, &target, options.force, &mut saved).await?;
            let so_far = match total.take() {
                Some(before) => added(before, outcome),
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
        let found = local::find(file.to_owned(), Access::Ordinary, progress).await?;
        let replaced = match found {
            Found::Missing => Replaced::Nothing,
            Found::Empty => Replaced::Empty,
            Found::Image(local) => {
                let (local, memory) = local::recall(local).await?;
                if let Some(equal) = self.guard(file, target, &local, &memory, force).await? {
                    return Ok(equal);
                }
                let unsynced = !memory.untouched || self.base_of(target, &memory).is_none();
                let now = self.clock.now();
                let Local { image, scan } = *local;
                let save = unsynced.then_some(now);
                let (base, path) = blocking(move || {
                    let path = save.map(|now| backup::write(&image, now)).transpose()?;
                    Ok::<_, ClientError>((image.release()?, path))
                })
                .await?;
                *saved = path.or(saved.take());
                Replaced::Image { base, scan }
            }
        };
        let (replaced, received) = self.receive(file, target, replaced).await?;
        let Some(received) = received else {
            return Err(ClientError::conflict(
                "DATABASE_EMPTY",
                format!("{} is empty: push a file to it first", target.name),
            ));
        };
        let after = self.look_again(target).await?.version;
        let version = (after == target.version).then_some(after);
        self.apply(file, target, replaced, received, version).await
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
            let equal = base.version == Some(target.version) && base.root == local.scan.root;
            return Ok(equal.then(|| self.equal(target, local)));
        }
        // A file that equals the hub's image needs no state to be recognised.
        let hub = self.probe(target, local).await?;
        if let (true, Some(version)) = (hub.root == Some(local.scan.root), hub.version) {
            let synced = self.synced(target, Some(version), &local.scan, local);
            local::record(file.to_owned(), synced, local.scan.clone()).await?;
            return Ok(Some(self.equal(target, local)));
        }
        if force {
            return Ok(None);
        }
        let message = match self.base_of(target, memory) {
            Some(base) => format!(
                "{} was changed since {}: push it, or pull with --force (which saves it first)",
                file.display(),
                super::shown(base.version, Some(&base.root)),
            ),
            None => format!(
                "{} is not known to stem from {}: pull to another name, or pull with --force (which saves it first)",
                file.display(),
                target.name,
            ),
        };
        Err(ClientError::conflict("UNSYNCED_CHANGES", message))
    }

    /// Receives the hub's image into the part; `None` if the hub's database is empty.
    async fn receive(
        &self,
        file: &Path,
        target: &Target,
        replaced: Replaced,
    ) -> Result<(Replaced, Option<Received>)> {
        let local_count = match &replaced {
            Replaced::Image { base, .. } => base.page_count().0,
            Replaced::Nothing | Replaced::Empty => 0,
        };
        let outcome = self.receive_as(file, target, &replaced, local_count).await;
        let received = match outcome {
            Err(error) if local_count == 0 && error.message.contains(PAGE_SIZE_REFUSAL) => {
                self.receive_as(file, target, &replaced, 1).await?
            }
            outcome => outcome?,
        };
        Ok((replaced, received))
    }

    async fn receive_as(
        &self,
        file: &Path,
        target: &Target,
        replaced: &Replaced,
        max_page: u32,
    ) -> Result<Option<Received>> {
        let session = self.open(target, Direction::Pull, max_page).await?;
        receive_image(session, file, replaced, Arc::clone(&self.progress)).await
    }

    async fn apply(
        &self,
        file: &Path,
        target: &Target,
        replaced: Replaced,
        received: Received,
        version: Option<u64>,
    ) -> Result<Synchronised> {
        let Received { part, root, transferred } = received;
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
        let synced =
            blocking(move || put(&path, replaced, part, synced, carries_seq, progress.as_ref())).await?;
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

/// Runs the session into a part and verifies the image.
async fn receive_image(
    session: Session,
    file: &Path,
    replaced: &Replaced,
    progress: Arc<dyn Progress>,
) -> Result<Option<Received>> {
    let count = PageCount(session.page_count());
    if count.0 == 0 {
        session.abandon().await;
        return Ok(None);
    }
    let page_size = PageSize::new(session.page_size()).ok_or_else(|| {
        ClientError::unverified(format!("the hub names a page size of {}", session.page_size()))
    })?;
    let leaves = replaced.leaves(page_size);
    let (hashes, first) = match replaced {
        // Without leaves in common there is nothing to announce: the hub sends every page.
        Replaced::Image { base, .. } if !leaves.is_empty() => {
            let first = base.first_page();
            (crate::local::scan::announced_hashes(leaves, page_size, first), Some(first))
        }
        _ => (Vec::new(), None),
    };
    let (path, own, at) = (file.to_owned(), leaves.to_vec(), Arc::clone(&progress));
    let part = blocking(move || Part::create(&path, page_size, count, &own, at)).await?;
    progress.begin(Stage::Receiving, None);
    let (part, outcome) = session.pull(&hashes, part).await;
    progress.end();
    let transferred = outcome?.expect("BUG: a part takes every page");
    let root = part.verify(first)?;
    point("pull.received")?;
    Ok(Some(Received { part, root, transferred }))
}

/// Puts the verified image in its place, then records it. Runs where it may block.
fn put(
    file: &Path,
    replaced: Replaced,
    part: Part,
    mut synced: Synced,
    carries_seq: bool,
    progress: &dyn Progress,
) -> Result<Synced> {
    let leaves = part.leaves().to_vec();
    let before_commit = |interim| {
        State::create(file)?.set_pending(&Pending { synced: synced.clone(), interim })?;
        point("pull.pending")
    };
    place(file, replaced, part, synced.root, progress, before_commit)?;
    if carries_seq {
        synced.version = seq_inside(file).or(synced.version);
    }
    State::create(file)?.record(&synced, &leaves)?;
    point("pull.state")?;
    Ok(synced)
}

/// Puts the verified image with this root in its place. `before_commit` is called right before an existing
/// file changes, with the root that it may have for a moment, if that is neither the old nor the new one.
fn place(
    file: &Path,
    replaced: Replaced,
    part: Part,
    root: Root,
    progress: &dyn Progress,
    before_commit: impl FnOnce(Option<Root>) -> Result<()>,
) -> Result<()> {
    progress.begin(Stage::Applying, None);
    match replaced {
        Replaced::Nothing => part.place(file)?,
        // Equal content: only SQLite's own counters on page 1 may differ, and those stay the file's.
        Replaced::Image { scan, .. } if scan.root == root => {}
        Replaced::Image { base, .. } if base.page_size() == part.page_size() => {
            part.sync()?;
            point("pull.part")?;
            before_commit(None)?;
            apply::in_place(&base, &part, progress)?;
        }
        rebuilt => {
            part.mark_rollback()?;
            part.sync()?;
            point("pull.part")?;
            let old = rebuilt.root();
            // Its connection would keep the file from being locked for us alone.
            drop(rebuilt);
            let target = apply::Rebuild::lock(file, old, &part)?;
            before_commit(Some(target.interim_root()))?;
            apply::rebuild(target, &part, root)?;
        }
    }
    progress.end();
    Ok(())
}

/// The commit number that a hub database carries inside.
fn seq_inside(file: &Path) -> Option<u64> {
    let connection = connect(file, Access::ReadOnly).ok()?;
    connection
        .query_row("SELECT value FROM _ferry_meta WHERE key = 'seq'", [], |row| row.get(0))
        .optional()
        .ok()
        .flatten()
}

/// Two rounds as one outcome.
fn added(before: Synchronised, last: Synchronised) -> Synchronised {
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

/// A pull with a token alone: nothing is remembered, and local changes are not asked about.
pub(super) async fn bare(
    server: &ServerUrl,
    token: &str,
    file: &Path,
    progress: Arc<dyn Progress>,
) -> Result<BareTransfer> {
    let replaced = match local::find(file.to_owned(), Access::Ordinary, Arc::clone(&progress)).await? {
        Found::Missing => Replaced::Nothing,
        Found::Empty => Replaced::Empty,
        Found::Image(local) => {
            let Local { image, scan } = *local;
            let base = blocking(move || image.release()).await?;
            Replaced::Image { base, scan }
        }
    };
    let count = match &replaced {
        Replaced::Image { base, .. } => base.page_count().0,
        Replaced::Nothing | Replaced::Empty => 0,
    };
    let attempt = async |max_page| {
        let session = Session::open(server, token, max_page).await?;
        receive_image(session, file, &replaced, Arc::clone(&progress)).await
    };
    let received = match attempt(count).await {
        Err(error) if count == 0 && error.message.contains(PAGE_SIZE_REFUSAL) => attempt(1).await?,
        outcome => outcome?,
    };
    let Some(Received { part, root, transferred }) = received else {
        return Err(ClientError::conflict(
            "DATABASE_EMPTY",
            "the database is empty: push a file to it first",
        ));
    };
    let changed = replaced.root() != Some(root);
    let written = if changed { part.received().count() as u64 } else { 0 };
    let path = file.to_owned();
    blocking(move || place(&path, replaced, part, root, progress.as_ref(), |_| Ok(()))).await?;
    Ok(BareTransfer { transferred, written, root })
}
