//! `push`: the local image becomes the hub's next version.

use std::{path::Path, sync::Arc};

use ferry_types::{DatabaseKind, Root, Tag};

use super::{
    PagesClient, Synchronised, Target, TokenPurpose,
    conflict::ConflictAdvice,
    http::{ChangesAnswer, Current, HubPages, KnownVersion, PagesPushAnswer},
    local_file::{self, blocking},
    reconcile::{self, DigestComparison},
    send::{PushBase, Sending},
    wire::Transferred,
};
use crate::{
    ClientError, Result,
    admin::DatabaseName,
    pages::file::{BaseCopy, FoundFile, KnownImage, Synced, image::FileAccess},
    progress::TransferPhase,
};

/// How often a push is sent anew: because the hub moved on without a change, or the connection broke.
const ATTEMPTS_MAX: u32 = 6;
/// How often a push begins anew because another process has pushed the same file.
const RACES_MAX: u32 = 20;
/// How long another process may take from the hub's answer to its record of it.
const RECORD_MAX: std::time::Duration = std::time::Duration::from_secs(1);
/// How often it is looked for that record.
const LOOK_EVERY: std::time::Duration = std::time::Duration::from_millis(20);
/// The first pause after a connection broke; each is twice the one before.
const RETRY_PAUSE: std::time::Duration = std::time::Duration::from_millis(200);

/// How to push.
#[derive(Clone, Copy, Debug)]
pub struct PushOptions {
    /// Push over whatever the hub has (PAG-63).
    pub force: bool,
    /// How the file may be opened.
    pub access: FileAccess,
    /// Keep no base copy beside the file, now and later.
    pub no_base: bool,
}

/// A push that is under way.
struct Pushing<'p> {
    file: &'p Path,
    target: &'p Target,
    pages: &'p HubPages,
    options: PushOptions,
}

/// What a push begins from.
enum Plan {
    /// Hub and file are equal at this version.
    Equal(Tag),
    /// This goes over that version.
    Send(PushBase),
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
        for _ in 0..RACES_MAX {
            let before = local_file::remembered(file.to_owned()).await.ok();
            match self.push_once(file, named, options).await {
                Err(error) if is_of_race(&error) && self.is_synced_anew(file, before, RECORD_MAX).await => {
                    tracing::debug!(%error, "another process has pushed the file");
                }
                pushed => return pushed,
            }
        }
        self.push_once(file, named, options).await
    }

    async fn push_once(
        &self,
        file: &Path,
        named: Option<&DatabaseName>,
        options: PushOptions,
    ) -> Result<Synchronised> {
        // The file first: what cannot be pushed is told before anything is sent (PAG-70).
        let known = match self.look_at(file, options.access).await? {
            FoundFile::Image(known) => known,
            FoundFile::Missing => return Err(local_file::nothing_to_push(file, false)),
            FoundFile::Empty => return Err(local_file::nothing_to_push(file, true)),
        };
        let target = self.target(file, named).await?;
        if target.kind == Some(DatabaseKind::Hub) {
            return Err(ClientError::conflict(
                "WRONG_KIND",
                format!("{} is written by the hub's own models: it is pulled, not pushed", target.name),
            ));
        }
        self.push_known(file, &target, *known, options).await.map(|(_, pushed)| pushed)
    }

    /// Whether another process records within `longest` that it has synced the file, beyond what was remembered `before`.
    pub(super) async fn is_synced_anew(
        &self,
        file: &Path,
        before: Option<Option<Synced>>,
        longest: std::time::Duration,
    ) -> bool {
        let Some(before) = before else { return false };
        let looking = async {
            while !matches!(local_file::remembered(file.to_owned()).await, Ok(now) if now != before) {
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        tokio::time::timeout(longest, looking).await.is_ok()
    }

    /// Pushes an image. It comes back, still in its read transaction.
    pub(super) async fn push_known(
        &self,
        file: &Path,
        target: &Target,
        known: KnownImage,
        options: PushOptions,
    ) -> Result<(KnownImage, Synchronised)> {
        if let Some(tag) = self.look_first(file, target, &known, options).await? {
            let (known, noted) = self.noted(file, target, options, known, tag).await;
            return noted.map(|equal| (known, equal));
        }
        // Lent to whatever attempt is made: a fresh token makes a second one.
        let known = tokio::sync::Mutex::new(Some(known));
        let pushed = self
            .with_pages(target, TokenPurpose::Write, async |pages| {
                let mut place = known.lock().await;
                let taken = place.take().expect("BUG: an attempt gives the image back");
                let pushing = Pushing { file, target, pages, options };
                let (back, outcome) = self.push_attempts(&pushing, taken).await;
                *place = Some(back);
                outcome
            })
            .await?;
        let known = known.into_inner().expect("BUG: an attempt gives the image back");
        Ok((known, pushed))
    }

    /// What can be told without a token to write, whose minting may need a login: the version, if hub and file are equal, or
    /// that the push would be refused. Where one is kept only of a file that was not changed.
    async fn look_first(
        &self,
        file: &Path,
        target: &Target,
        known: &KnownImage,
        options: PushOptions,
    ) -> Result<Option<Tag>> {
        let now = self.clock.now();
        let kept = |access| self.tokens.get(target.id, access, now).is_some();
        let Some(base) = self.base_of(target, known.synced.as_ref()) else { return Ok(None) };
        let only_reads = !kept(TokenPurpose::Write) && kept(TokenPurpose::Read);
        if base.root != known.root && !only_reads {
            return Ok(None);
        }
        self.with_pages(target, TokenPurpose::Read, async |pages| {
            if let Some(tag) = base.tag()
                && let ChangesAnswer::None(tag) = pages.changes(KnownVersion::Tag(tag), None, None).await?
            {
                return Ok((base.root == known.root).then_some(tag));
            }
            if options.force {
                return Ok(None);
            }
            let current = match pages.changes(KnownVersion::Root(known.root), None, Some("1")).await? {
                ChangesAnswer::None(tag) => return Ok(Some(tag)),
                ChangesAnswer::Body(tag, _) => Current { tag, root: Root([0; 32]) },
                ChangesAnswer::Unknown(current, _) if current.tag.version == 0 => return Ok(None),
                ChangesAnswer::Unknown(current, _) => current,
            };
            if current.root == base.root {
                return Ok(None);
            }
            Err(self.refused(&Pushing { file, target, pages, options }, known, current).await)
        })
        .await
    }

    async fn push_attempts(
        &self,
        pushing: &Pushing<'_>,
        known: KnownImage,
    ) -> (KnownImage, Result<Synchronised>) {
        let mut known = known;
        let (mut plan, mut asks_staged) = (None, false);
        let mut pause = RETRY_PAUSE;
        for _ in 0..ATTEMPTS_MAX {
            let over = match plan.take() {
                Some(over) => over,
                None => match self.plan(pushing, &mut known).await {
                    Ok(Plan::Equal(tag)) => {
                        let outcome;
                        (known, outcome) =
                            self.noted(pushing.file, pushing.target, pushing.options, known, tag).await;
                        return (known, outcome);
                    }
                    Ok(Plan::Send(over)) => over,
                    Err(error) => return (known, Err(error)),
                },
            };
            let answer;
            (known, answer) = self.send(pushing, known, &over, asks_staged).await;
            match answer {
                Ok((PagesPushAnswer::Committed(pushed), transferred)) => {
                    return self.committed(pushing, known, pushed.tag, pushed.pages, transferred).await;
                }
                Ok((PagesPushAnswer::Moved(current), _)) => {
                    match self.moved(pushing, &known, &over, current).await {
                        Ok(Some(Plan::Equal(tag))) => {
                            // The answer to an earlier attempt was lost (PAG-24).
                            return self.committed(pushing, known, tag, 0, Transferred::default()).await;
                        }
                        Ok(Some(Plan::Send(over))) => plan = Some(over),
                        Ok(None) => {}
                        Err(error) => return (known, Err(error)),
                    }
                }
                Err(error) if may_be_sent_again(&error) => {
                    tracing::debug!(%error, "the push is sent again");
                    asks_staged = error.reason != "STAGED_GONE";
                    tokio::time::sleep(pause).await;
                    pause *= 2;
                    plan = Some(over);
                }
                Err(error) => return (known, Err(error)),
            }
        }
        let message = format!(
            "others push to {} all the time, or connections break: try again later",
            pushing.target.name
        );
        (known, Err(ClientError::conflict("VERSION_CONFLICT", message)))
    }

    /// Compares the file with what the hub has. An error says that a push would overwrite what the file does not stem from.
    async fn plan(&self, pushing: &Pushing<'_>, known: &mut KnownImage) -> Result<Plan> {
        let Pushing { target, pages, options, .. } = pushing;
        let base = self.base_of(target, known.synced.as_ref());
        if let Some((base, tag)) = base.as_ref().and_then(|base| Some((base, base.tag()?)))
            && base.root != known.root
        {
            // Whether the hub is still there is found out by the push itself.
            return Ok(Plan::Send(PushBase::base(tag, base, known)));
        }
        let newest = pages.newest().await?;
        if newest.version == 0 {
            return Ok(Plan::Send(PushBase::Empty));
        }
        if newest == Tag::new(newest.version, &known.root) {
            return Ok(Plan::Equal(newest));
        }
        // Whether it is an older version of the hub's that the file has, and whether the roots are equal, beyond the 8 bytes
        // of a tag.
        let current = match pages.changes(KnownVersion::Root(known.root), None, Some("1")).await? {
            ChangesAnswer::None(tag) => return Ok(Plan::Equal(tag)),
            ChangesAnswer::Body(tag, _) => Current { tag, root: Root([0; 32]) },
            ChangesAnswer::Unknown(current, _) => current,
        };
        if options.force {
            return self.forced(pushing, known, current.tag).await.map(Plan::Send);
        }
        Err(self.refused(pushing, known, current).await)
    }

    /// The hub is elsewhere than the push was based on. `None`: it is to be planned anew.
    async fn moved(
        &self,
        pushing: &Pushing<'_>,
        known: &KnownImage,
        over: &PushBase,
        current: Current,
    ) -> Result<Option<Plan>> {
        if current.root == known.root {
            return Ok(Some(Plan::Equal(current.tag)));
        }
        // An equal root is an equal base: others may have pushed, but they changed nothing.
        if let PushBase::Base { base, .. } = over
            && base.root == current.root
        {
            return Ok(Some(Plan::Send(PushBase::base(current.tag, base, known))));
        }
        if pushing.options.force {
            return Ok(Some(Plan::Send(self.forced_over(pushing, known, current.tag).await?)));
        }
        Err(self.refused(pushing, known, current).await)
    }

    async fn refused(&self, pushing: &Pushing<'_>, known: &KnownImage, current: Current) -> ClientError {
        let target = self.described(pushing.target).await;
        let conflict =
            ConflictAdvice { target: &target, file: pushing.file, theirs: current.tag.to_string() };
        match self.base_of(pushing.target, known.synced.as_ref()) {
            Some(base) => conflict.moved_on("VERSION_CONFLICT", &base, known.is_untouched, current),
            None => conflict.unrelated("NO_COMMON_BASE"),
        }
    }

    async fn forced(&self, pushing: &Pushing<'_>, known: &mut KnownImage, tag: Tag) -> Result<PushBase> {
        // Only what the hub lacks is sent, where that can be found out.
        match reconcile::compare(pushing.pages, (known.image.page_size(), &mut known.tree)).await? {
            DigestComparison::Differ { tag, page_count, pages, .. } => Ok(PushBase::Hubs {
                tag,
                page_count,
                differing: pages.into_iter().map(|(page, _)| page).collect(),
            }),
            DigestComparison::Whole(now) if now.version == 0 => Ok(PushBase::Empty),
            DigestComparison::Whole(now) => {
                Ok(PushBase::Whole(if now.version >= tag.version { now } else { tag }))
            }
        }
    }

    async fn forced_over(&self, _pushing: &Pushing<'_>, _known: &KnownImage, tag: Tag) -> Result<PushBase> {
        Ok(PushBase::Whole(tag))
    }

    /// Sends the image over a version. The image comes back with the answer.
    async fn send(
        &self,
        pushing: &Pushing<'_>,
        known: KnownImage,
        over: &PushBase,
        asks_staged: bool,
    ) -> (KnownImage, Result<(PagesPushAnswer, Transferred)>) {
        self.progress.begin(TransferPhase::Sending, None);
        let sending = Sending {
            file: pushing.file,
            database: pushing.target.id,
            pages: pushing.pages,
            over,
            progress: Arc::clone(&self.progress),
        };
        let sent = sending.send(known, asks_staged).await;
        self.progress.end();
        sent
    }

    async fn committed(
        &self,
        pushing: &Pushing<'_>,
        known: KnownImage,
        tag: Tag,
        pages: u64,
        transferred: Transferred,
    ) -> (KnownImage, Result<Synchronised>) {
        if let Err(error) = crate::pages::file::point("push.sent") {
            return (known, Err(error));
        }
        let (known, noted) = self.noted(pushing.file, pushing.target, pushing.options, known, tag).await;
        let done = noted.map(|equal| Synchronised { changed: pages > 0, pages, transferred, ..equal });
        (known, done)
    }

    /// Notes that the file is what the hub has at `tag`.
    async fn noted(
        &self,
        file: &Path,
        target: &Target,
        options: PushOptions,
        known: KnownImage,
        tag: Tag,
    ) -> (KnownImage, Result<Synchronised>) {
        let shape = (known.image.page_size(), known.image.page_count());
        let synced = self.synced(target, tag, known.root, shape);
        let equal = self.equal(&synced);
        if Tag::new(tag.version, &known.root) != tag {
            return (
                known,
                Err(ClientError::unverified(format!("the hub names {tag}, which is another image"))),
            );
        }
        let (file, no_base) = (file.to_owned(), options.no_base);
        let (known, noted) = blocking(move || {
            let mut known = known;
            let noted = note(&file, &mut known, synced, no_base);
            (known, noted)
        })
        .await;
        (known, noted.map(|()| equal))
    }
}

fn note(file: &Path, known: &mut KnownImage, synced: Synced, no_base: bool) -> Result<()> {
    let is_noted = known.synced.as_ref() == Some(&synced) && known.is_untouched;
    if !is_noted {
        let mark = known.mark;
        known.tree.record_or_warn(file, &synced, mark.as_ref())?;
    }
    if let Some(state) = known.tree.state() {
        if no_base {
            state.keep_no_base()?;
        }
        if state.keeps_base()? {
            if let Err(error) = bring_base_up_to_date(file, known) {
                tracing::warn!("no base copy: {}; the next push sends more", error.message);
                BaseCopy::remove(file);
            }
        } else {
            BaseCopy::remove(file);
        }
    }
    known.synced = Some(synced);
    (known.changed, known.is_untouched) = (Some(Vec::new()), true);
    Ok(())
}

fn bring_base_up_to_date(file: &Path, known: &KnownImage) -> Result<()> {
    let size = known.image.page_size();
    let same_size = known.synced.as_ref().is_some_and(|synced| synced.page_size == size);
    let copy = BaseCopy::open(file, size).filter(|_| same_size);
    let (Some(copy), Some(changed)) = (copy, &known.changed) else {
        return BaseCopy::create(&known.image).map(drop);
    };
    let mut data = vec![0; size.bytes()];
    for page in changed {
        known.image.read(*page, &mut data)?;
        copy.write(*page, &data)?;
    }
    copy.resize(known.image.page_count())
}

/// Whether the refusal is one of a file that another process pushes at the same time.
pub(super) fn is_of_race(error: &ClientError) -> bool {
    matches!(error.reason.as_str(), "VERSION_CONFLICT" | "NO_COMMON_BASE" | "STATE_CHANGED")
}

/// Whether what went wrong may go better at once.
fn may_be_sent_again(error: &ClientError) -> bool {
    matches!(error.reason.as_str(), "BROKEN_OFF" | "STAGED_GONE" | "BASE_COPY_CHANGED" | "RATE_LIMITED")
}
