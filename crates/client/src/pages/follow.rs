//! `follow`: the file is brought to each version that the hub announces, while other programs read it (PAG-68).

use std::{convert::Infallible, path::Path, sync::Arc, time::Duration};

use ferry_types::{Root, Tag};
use tokio::time::{MissedTickBehavior, interval};

use super::{
    PagesClient, PullOptions, Synchronised, Target, TokenPurpose,
    fetch::{BodyRequest, Receiving, VerifiedImage},
    http::{ChangesAnswer, HubPages, KnownVersion, VersionStream},
    install::{Afterwards, ImageToPlace, PlacedImage, Replaced, install_and_record},
    local_file::{self, blocking},
    pull::Pulling,
    wire::Transferred,
};
use crate::{
    ClientError, ClientErrorCode, FILE_BUSY, Result,
    admin::DatabaseName,
    pages::file::{Base, FoundFile, ImageTree, LocalImage, OpenedFile, check_target, image::FileAccess},
};

/// Longest body that an event may carry.
const INLINE_MAX_BYTES: u32 = 64 << 10;
/// The first pause before a stream is opened again, and the longest.
const PAUSE_MIN: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// How often it is looked whether another program has written to the file.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A WAL above this is moved into the file.
const WAL_MAX_BYTES: u64 = 4 << 20;

/// How to follow.
#[derive(Clone, Copy, Debug, Default)]
pub struct FollowOptions {
    /// Replace what other programs write to the file, after saving it.
    pub force: bool,
}

/// What happens while a file is followed.
#[derive(Clone, Debug)]
pub enum FollowEvent {
    /// The file is at this version now.
    At(Synchronised),
    /// The hub cannot be reached, or another program has the file locked; it is tried again after this pause.
    Lost(ClientError, Duration),
}

/// A file that is at a version, and whether it still is.
struct Held {
    tree: ImageTree,
    base: Box<Base>,
    root: Root,
    tag: Tag,
}

/// A file that is followed.
struct Following<'f> {
    file: &'f Path,
    target: &'f Target,
    options: PullOptions,
    held: Option<Held>,
    /// What the file is at, whether or not it is held.
    tag: Option<Tag>,
}

impl PagesClient<'_> {
    /// Follows the named database, else the one that the file was last synced with, until something ends it; a missing file is
    /// made. `random` gives numbers for the jitter of pauses.
    ///
    /// # Errors
    /// When another program has written to the file, it cannot be written, or the hub refuses.
    pub async fn follow(
        &self,
        file: &Path,
        named: Option<&DatabaseName>,
        options: FollowOptions,
        random: &dyn Fn() -> u64,
        told: &mut dyn FnMut(FollowEvent),
    ) -> Result<Infallible> {
        check_target(file)?;
        local_file::check_state(file.to_owned()).await?;
        let target = self.target(file, named).await?;
        let options = PullOptions { force: options.force, ..PullOptions::default() };
        let following = Following { file, target: &target, options, held: None, tag: None };
        let following = tokio::sync::Mutex::new((following, told));
        let mut pause = PAUSE_MIN;
        loop {
            let before = following.lock().await.0.tag;
            let ended = self.with_pages(&target, TokenPurpose::Read, async |pages| {
                let mut place = following.lock().await;
                let (following, told) = &mut *place;
                self.follow_stream(following, pages, *told).await
            });
            let error = match ended.await {
                Ok(()) => {
                    ClientError::new(ClientErrorCode::Unreachable, "STREAM_ENDED", "the hub ended the stream")
                }
                Err(error) if passes(&error) => error,
                Err(error) => return Err(error),
            };
            let mut place = following.lock().await;
            if place.0.tag != before {
                pause = PAUSE_MIN;
            }
            // Half of it and up to as much again, so that followers of a hub that was away do not all come at once.
            let jitter = random() % (u64::try_from(pause.as_millis()).unwrap_or(1) + 1);
            let wait =
                error.retry_after_ms.map_or(pause / 2 + Duration::from_millis(jitter), Duration::from_millis);
            (place.1)(FollowEvent::Lost(error, wait));
            drop(place);
            tokio::time::sleep(wait.min(PAUSE_MAX * 2)).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// Follows one stream to its end.
    async fn follow_stream(
        &self,
        following: &mut Following<'_>,
        pages: &HubPages,
        told: &mut dyn FnMut(FollowEvent),
    ) -> Result<()> {
        // What the file is now; where nothing was pushed yet there is none.
        match self.catch_up(following, pages).await {
            Ok(Some(done)) => told(FollowEvent::At(done)),
            Ok(None) => {}
            Err(error) if error.reason == "DATABASE_EMPTY" => {}
            Err(error) => return Err(error),
        }
        let mut stream: VersionStream = pages.stream(following.tag, INLINE_MAX_BYTES).await?;
        let mut looks = interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                announced = stream.next() => {
                    let Some(announced) = announced? else { return Ok(()) };
                    if following.tag == Some(announced.tag) {
                        continue;
                    }
                    let done = self.advance(following, pages, announced.tag, announced.body).await?;
                    told(FollowEvent::At(done));
                }
                _ = looks.tick() => {
                    if following.is_written().await? && let Some(done) = self.catch_up(following, pages).await? {
                        told(FollowEvent::At(done));
                    }
                }
            }
        }
    }

    /// Brings the file to the newest version, whatever it is now; `None` if it was there.
    async fn catch_up(
        &self,
        following: &mut Following<'_>,
        pages: &HubPages,
    ) -> Result<Option<Synchronised>> {
        if following.held.is_some() && !following.is_written().await? {
            return Ok(None);
        }
        following.held = None;
        let known = following.tag;
        let pulling = Pulling {
            file: following.file,
            target: following.target,
            pages,
            options: &following.options,
            afterwards: Afterwards::Follow,
            recovers: true,
        };
        let done = self.pull_once(&pulling).await?;
        following.tag = Some(done.tag);
        let FoundFile::Image(known_image) = self.look_at(following.file, FileAccess::Ordinary).await? else {
            return Ok(Some(done));
        };
        if known_image.root == done.root {
            let (tree, image, root) = (known_image.tree, known_image.image, known_image.root);
            let base = Box::new(blocking(move || image.release()).await?);
            following.held = Some(Held { tree, base, root, tag: done.tag });
        }
        Ok((known != Some(done.tag) || done.changed).then_some(done))
    }

    /// Brings a held file to an announced version.
    async fn advance(
        &self,
        following: &mut Following<'_>,
        pages: &HubPages,
        announced: Tag,
        body: Option<Vec<u8>>,
    ) -> Result<Synchronised> {
        let Some(held) = following.held.take() else {
            let done = self.catch_up(following, pages).await?;
            return done.ok_or_else(|| ClientError::unverified("the file was there already"));
        };
        let since = KnownVersion::Tag(held.tag);
        let (file, progress) = (following.file.to_owned(), Arc::clone(&self.progress));
        let Held { tree, base, root, .. } = held;
        let receiving = Receiving::new(file, following.target.id, tree, Some((base, root)), progress);
        let (receiving, named, tag) = match body {
            Some(body) => {
                let (receiving, named) = blocking(move || receiving.take_whole(body)).await;
                (receiving, named, announced)
            }
            None => match pages.changes(since, None, None).await? {
                ChangesAnswer::Body(tag, body) => {
                    let (receiving, named) =
                        receiving.receive(pages, BodyRequest::ChangesAnswer(since, tag), body).await;
                    (receiving, named, tag)
                }
                // Put back meanwhile, or by now the same: looked at from the beginning.
                ChangesAnswer::None(_) | ChangesAnswer::Unknown(..) => {
                    drop(receiving);
                    return self.start_over(following, pages).await;
                }
            },
        };
        let verified = match named {
            Ok(named) => receiving.verify(named).await,
            Err(error) => Err(error),
        };
        match verified {
            Ok(verified) => match self.put(following, verified, root, tag).await {
                Err(error) if error.reason == "FILE_CHANGED" => self.start_over(following, pages).await,
                put => put,
            },
            Err(error) if error.code == ClientErrorCode::Unverified => {
                tracing::debug!(%error, "the announced body is of no use");
                self.start_over(following, pages).await
            }
            Err(error) => Err(error),
        }
    }

    async fn start_over(&self, following: &mut Following<'_>, pages: &HubPages) -> Result<Synchronised> {
        following.held = None;
        following.tag = None;
        let done = self.catch_up(following, pages).await?;
        done.ok_or_else(|| ClientError::unverified("the file was there already"))
    }

    /// Puts a verified image in the place of the held one.
    async fn put(
        &self,
        following: &mut Following<'_>,
        verified: VerifiedImage,
        old: Root,
        tag: Tag,
    ) -> Result<Synchronised> {
        let VerifiedImage { part, root, tree, base, is_wal, bytes } = verified;
        if Tag::new(tag.version, &root) != tag {
            return Err(ClientError::unverified(format!("the hub names {tag}, and sent another image")));
        }
        let base = base.expect("BUG: a file that is held has an image");
        let shape = (part.page_size(), part.page_count());
        let synced = self.synced(following.target, tag, root, shape);
        let equal = self.equal(&synced);
        let pages = part.received().len() as u64;
        let (file, progress, clock) =
            (following.file.to_owned(), Arc::clone(&self.progress), Arc::clone(&self.clock));
        let received = ImageToPlace { part, synced, tree, is_wal, no_base: false };
        let held = blocking(move || {
            let replaced = Replaced::Image { base, root: old };
            let now = || clock.now();
            let placed =
                install_and_record(&file, replaced, received, Afterwards::Follow, &now, progress.as_ref())?;
            hold(&file, placed, root, tag)
        })
        .await?;
        (following.held, following.tag) = (held, Some(tag));
        let transferred = Transferred {
            pages: u32::try_from(pages).unwrap_or(u32::MAX),
            bytes: pages * shape.0.bytes() as u64,
            wire_bytes: bytes,
        };
        Ok(Synchronised { changed: root != old, pages, transferred, ..equal })
    }
}

/// Holds a file that was just written, if nobody else wrote to it since.
fn hold(file: &Path, placed: PlacedImage, root: Root, tag: Tag) -> Result<Option<Held>> {
    let Some(committed) = placed.committed else { return Ok(None) };
    let failed = |error: ferry_sqlite::Error| ClientError::store(file.display(), &error);
    if ferry_sqlite::sidecars::beside(file, "-wal").metadata().is_ok_and(|wal| wal.len() > WAL_MAX_BYTES) {
        committed.checkpoint().map_err(failed)?;
    }
    let OpenedFile::Image(image) = LocalImage::open(file, FileAccess::Ordinary)? else { return Ok(None) };
    if !committed.is_newest().map_err(failed)? {
        return Ok(None);
    }
    let base = Box::new(image.release()?);
    Ok(Some(Held { tree: placed.tree, base, root, tag }))
}

impl Following<'_> {
    /// Whether another program has written to the held file.
    async fn is_written(&mut self) -> Result<bool> {
        let Some(held) = self.held.take() else { return Ok(self.tag.is_some()) };
        let (held, unchanged) = blocking(move || {
            let unchanged = held.base.is_unchanged();
            (held, unchanged)
        })
        .await;
        self.held = Some(held);
        unchanged.map(|unchanged| !unchanged)
    }
}

/// Whether what ended a stream may pass by itself.
fn passes(error: &ClientError) -> bool {
    use ferry_types::Code;
    // Whoever has the file open closes it some day; until then readers have the version before.
    error.reason == FILE_BUSY
        || matches!(
            error.code,
            ClientErrorCode::Unreachable
                | ClientErrorCode::Table(Code::Unavailable | Code::ResourceExhausted)
        )
}
