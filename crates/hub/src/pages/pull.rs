//! The pull side of a session: the machine and the version it serves.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use ferry_core::pages::{PullSession, Refusal};
use ferry_protocol::pages::{Frame, PageData};
use ferry_sqlite::pages::{PageSource, ServedHashes};
use ferry_types::{PageNo, PageSize, Result};
use futures_util::{FutureExt as _, future::BoxFuture};

use super::{
    session::{Ending, Engine, OUT_BYTES, SessionRun, StepOutcome, decode},
    session_refusal,
    state::SESSION_DESCRIPTORS,
};
use crate::{
    database::{Database, FilePermit},
    hub::Hub,
};

/// What a `page_data` frame adds to its page, at most.
const FRAME_OVERHEAD_BYTES: usize = 64;

/// A pull in progress.
pub(super) struct PullEngine {
    machine: PullSession,
    hashes: ServedHashes<Arc<dyn PageSource>>,
    pages_at_once: usize,
    _permit: FilePermit,
}

impl PullEngine {
    /// A pull of the present version.
    pub(super) async fn open(hub: &Hub, database: &Arc<Database>) -> Result<Self> {
        let permit = database.hold_files(SESSION_DESCRIPTORS).await?;
        let newest = database.newest_seq();
        let versions = database.models().pages.versions(hub, database, newest).await?;
        let source: Arc<dyn PageSource> = Arc::new(versions.pin());
        let image = source.info().image();
        Ok(Self {
            machine: PullSession::new(image, hub.config.pages.max_database_bytes),
            hashes: ServedHashes::new(source),
            pages_at_once: (OUT_BYTES / image.page_size.map_or(1, PageSize::bytes)).max(1),
            _permit: permit,
        })
    }

    /// Adds the next pages to `out`; false if none is left.
    fn send_pages(&mut self, out: &mut Vec<Bytes>) -> Result<bool, Refusal> {
        let pages: Vec<PageNo> =
            std::iter::from_fn(|| self.machine.next_page()).take(self.pages_at_once).collect();
        let size = self.hashes.source().info().page_size.map_or(0, PageSize::bytes);
        let mut buffer = Vec::with_capacity(pages.len() * (size + FRAME_OVERHEAD_BYTES));
        let mut ends = Vec::with_capacity(pages.len());
        let read = self.hashes.source().read(&pages, &mut |page, data| {
            Frame::PageData(PageData { page_no: page.get(), data }).encode_into(&mut buffer);
            ends.push(buffer.len());
            Ok(())
        });
        read.map_err(|error| super::refusal(error.into_refusal()))?;
        // One allocation for all frames of the step.
        let mut buffer = BytesMut::from(Bytes::from(buffer));
        let mut start = 0;
        for end in ends {
            out.push(buffer.split_to(end - start).freeze());
            start = end;
        }
        Ok(!pages.is_empty())
    }
}

impl Engine for PullEngine {
    fn step(&mut self, frames: &[Bytes], room: usize, out: &mut Vec<Bytes>) -> Result<StepOutcome, Refusal> {
        for frame in frames {
            self.machine.receive(&decode(frame)?, &mut self.hashes).map_err(session_refusal)?;
        }
        let mut bytes = 0;
        while bytes < room {
            let Some(frame) = self.machine.next_frame() else {
                return Ok(match self.machine.is_sending() {
                    false => StepOutcome::Waiting { owed: false },
                    // Frames of before leave first: together they would be over the limit.
                    true if bytes > 0 => StepOutcome::MoreToSend,
                    true if self.send_pages(out)? => StepOutcome::MoreToSend,
                    true => StepOutcome::Whole,
                });
            };
            let frame = Bytes::from(frame.encode());
            bytes += frame.len();
            out.push(frame);
        }
        Ok(StepOutcome::MoreToSend)
    }

    fn sync(&mut self) -> Result<(), Refusal> {
        Ok(())
    }

    fn conclude<'s>(
        self: Box<Self>,
        session: &'s SessionRun<'_>,
        _ending: Ending,
    ) -> BoxFuture<'s, Result<Frame<'static>, Refusal>> {
        let last = self.machine.complete_frame();
        // With its last session a replica is closed, which may write; the client need not wait for that.
        session.hub.tasks.spawn_blocking(move || drop(self));
        async move { Ok(last) }.boxed()
    }
}
