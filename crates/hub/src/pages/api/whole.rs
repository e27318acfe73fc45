//! Bodies of pages: made once for all readers that come from the same version (PAG-26).

use std::sync::Arc;

use bytes::Bytes;
use ferry_core::pages::body::{BodyEncoder, BodyPlan};
use ferry_protocol::pages::body::{BodyHeader, Flags, Run};
use ferry_sqlite::pages::{BaseFound, BodyBase, BodyImages, Since, VersionInfo, Zstd};
use ferry_types::{Error, PageCount, PageNo, PageSize, Reason, Tag, limits::PAGES_BODY_WHOLE_MAX_BYTES};

use super::{
    answer::PagesError,
    request::{PagesRequest, Served},
};
use crate::pages::{body_cache::BodyKey, state::blocking};

/// A body that is made.
pub(super) enum Made {
    /// All of it.
    Whole(Bytes),
    /// What was made until it was too much to hold, and what makes the rest.
    Begun(Bytes, Box<Rest>),
}

/// What makes the rest of a body.
pub(super) struct Rest {
    encoder: BodyEncoder,
    images: BodyImages,
}

impl Rest {
    pub(super) fn next(&mut self) -> ferry_sqlite::Result<Option<Bytes>> {
        Ok(self.encoder.next_piece(&mut self.images, &mut Zstd)?.map(Bytes::from))
    }
}

/// The body for a reader that has `since`, of the pages `asked` only if some are.
pub(super) async fn make(
    request: &PagesRequest,
    served: &Served,
    since: Since,
    asked: Option<Vec<Run>>,
) -> Result<Made, PagesError> {
    let base = find_base(request, served, since).await?;
    let new = served.info().tag();
    let key = BodyKey {
        database: request.context.database.id(),
        base: base.as_ref().map(|base| Tag { version: base.version, root_prefix: base.root_prefix }),
        new,
    };
    let service = &request.hub.services.pages;
    let kept = || service.bodies.get(&key).filter(|_| asked.is_none());
    if let Some(body) = kept() {
        count("kept");
        return Ok(Made::Whole(body));
    }
    request.context.check_room(&request.hub)?;
    let turn = Arc::clone(&service.body_turns).acquire_owned().await;
    let turn = turn.map_err(|_| Error::internal())?;
    // Whoever had the turn before may have made the same.
    if let Some(body) = kept() {
        count("kept");
        return Ok(Made::Whole(body));
    }
    count("made");
    let is_partial = asked.is_some();
    let (database, source) = (request.context.database.id(), Arc::clone(&served.source));
    let replica = Arc::clone(&served.replica);
    let made = blocking(move || {
        let info = source.info().clone();
        let mut pages = match &base {
            Some(base) => replica.differing(base, &info)?,
            None => all_pages(&info),
        };
        if let Some(asked) = &asked {
            pages.retain(|page| {
                asked.iter().any(|run| run.first <= *page && u64::from(page.get()) < run.end())
            });
        }
        let header = header(database, base.as_ref(), &info, is_partial);
        let encoder = BodyEncoder::new(BodyPlan { header, pages, root: info.root });
        let images = BodyImages::new(source, base.and_then(|base| base.pinned));
        let made = begin(Rest { encoder, images });
        // The rest of a long body waits for its reader, for whom nobody else should wait.
        drop(turn);
        made
    });
    let made = made.await?;
    if let Made::Whole(body) = &made
        && !is_partial
    {
        service.bodies.keep(key, body.clone());
    }
    Ok(made)
}

fn count(what: &'static str) {
    metrics::counter!("ferry_pages_bodies_total", "from" => what).increment(1);
}

async fn find_base(
    request: &PagesRequest,
    served: &Served,
    since: Since,
) -> Result<Option<BodyBase>, PagesError> {
    let (replica, info) = (Arc::clone(&served.replica), served.info().clone());
    match blocking(move || replica.find_base(&info, &since)).await? {
        BaseFound::Nothing => Ok(None),
        BaseFound::Known(base) => Ok(Some(base)),
        BaseFound::Unknown => {
            let message = "the hub does not know the version that you have: fetch the whole with since=0";
            let current = request.open().await?.info().clone();
            Err(PagesError::from(Error::new(Reason::BaseUnknown, message)).with_current(current))
        }
    }
}

fn all_pages(info: &VersionInfo) -> Vec<PageNo> {
    let lock_page = info.page_size.map(PageSize::lock_page);
    info.page_count.pages().filter(|page| Some(*page) != lock_page).collect()
}

fn header(
    database: ferry_types::DatabaseId,
    base: Option<&BodyBase>,
    info: &VersionInfo,
    partial: bool,
) -> BodyHeader {
    /// The file format version that says WAL.
    const WAL: u8 = 2;
    BodyHeader {
        flags: Flags { full: base.is_none(), partial, wal: info.volatile.0[0] == WAL, push: false },
        page_size: info.page_size,
        database,
        base_version: base.map_or(0, |base| base.version),
        version: info.version,
        base_count: base.map_or(PageCount(0), |base| base.page_count),
        page_count: info.page_count,
        base_root: base.map_or([0; 8], |base| base.root_prefix),
        time: info.time,
        volatile: None,
    }
}

/// Makes as much as may be held.
fn begin(mut rest: Rest) -> ferry_sqlite::Result<Made> {
    let mut body = Vec::new();
    while let Some(piece) = rest.next()? {
        body.extend_from_slice(&piece);
        if body.len() > PAGES_BODY_WHOLE_MAX_BYTES {
            return Ok(Made::Begun(body.into(), Box::new(rest)));
        }
    }
    Ok(Made::Whole(body.into()))
}
