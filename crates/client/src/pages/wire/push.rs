//! Push: announce every page, send those that the hub asks for, wait for its commit.

use std::sync::Arc;

use ferry_protocol::pages::{Frame, PageData, phase};
use ferry_types::PageNo;
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;

use super::{
    Traffic, Transferred, WireSession, failure,
    session::{self, FrameSink, FrameStream, HubMessage},
};
use crate::{
    ClientError, Result, ServerUrl,
    admin::Direction,
    pages::file::LocalImage,
    progress::{Progress, TransferPhase},
};

/// Encoded pages that wait for the socket: read ahead, but never much memory.
const PAGES_AHEAD: usize = 32;

impl WireSession {
    /// Pushes `image`, whose pages have `hashes` (page 1 as it is, the lock page as zeros). When this returns,
    /// the hub has committed. The image comes back with the result, still in its read transaction.
    ///
    /// # Errors
    /// When the hub refuses, the connection fails or the image cannot be read. Without an answer it is unknown
    /// whether the hub committed.
    pub async fn push(
        self,
        image: LocalImage,
        hashes: Arc<Vec<[u8; 32]>>,
        progress: Arc<dyn Progress>,
    ) -> (LocalImage, Result<Transferred>) {
        // The hub may ask for each page once: unbounded in form, bounded by the number of pages.
        let (wanted, wanting) = mpsc::unbounded_channel();
        let (pages, ready) = mpsc::channel(PAGES_AHEAD);
        let asked = Asked::of(&image, Arc::clone(&progress), wanted);
        let reading = tokio::task::spawn_blocking(move || {
            let outcome = read_pages(&image, wanting, &pages, progress.as_ref());
            (image, outcome)
        });
        let result = self.run_push(&hashes, asked, ready).await;
        // Its channels are closed by now.
        let (image, read) = reading.await.expect("BUG: the page reader panicked");
        (image, read.and(result))
    }

    async fn run_push(
        self,
        hashes: &[[u8; 32]],
        asked: Asked,
        mut ready: mpsc::Receiver<Vec<u8>>,
    ) -> Result<Transferred> {
        let Self { server, socket, traffic, .. } = self;
        let (mut outgoing, mut incoming) = socket.split();
        let complete = tokio::select! {
            complete = answer_requests(&mut incoming, &traffic, &server, asked) => complete?,
            failed = send(&mut outgoing, &traffic, hashes, &mut ready) => return Err(failed),
        };
        let mut socket = outgoing.reunite(incoming).expect("BUG: both halves come from one socket");
        session::close(&mut socket).await;
        Ok(Transferred { wire_bytes: traffic.total(), ..complete })
    }
}

/// Sends hashes and pages. A failing socket ends nothing here: the hub's reason for it is still to be read.
/// Returns only if the image cannot be read any more.
async fn send(
    outgoing: &mut FrameSink,
    traffic: &Traffic,
    hashes: &[[u8; 32]],
    ready: &mut mpsc::Receiver<Vec<u8>>,
) -> ClientError {
    let sending = async {
        session::send_hashes(outgoing, traffic, hashes, || ready.try_recv().ok()).await?;
        while let Some(page) = ready.recv().await {
            traffic.add(page.len());
            outgoing.feed(Message::binary(page)).await?;
            if ready.is_empty() {
                outgoing.flush().await?;
            }
        }
        Ok::<_, tokio_tungstenite::tungstenite::Error>(())
    };
    match sending.await {
        Ok(()) => ClientError::file("FILE_UNUSABLE", "the pages to send cannot be read"),
        Err(error) => {
            tracing::debug!(%error, "sending ended early");
            std::future::pending().await
        }
    }
}

/// What the hub has asked for.
struct Asked {
    /// Pages of the image.
    count: u32,
    page_bytes: u64,
    /// A bit per page.
    pages: Vec<u64>,
    /// To the reader of pages.
    wanted: mpsc::UnboundedSender<PageNo>,
    progress: Arc<dyn Progress>,
}

impl Asked {
    fn of(image: &LocalImage, progress: Arc<dyn Progress>, wanted: mpsc::UnboundedSender<PageNo>) -> Self {
        let count = image.page_count().0;
        let pages = vec![0; count as usize / 64 + 1];
        Self { count, page_bytes: image.page_size().bytes() as u64, pages, wanted, progress }
    }

    fn page(&mut self, number: u32) -> Result<()> {
        let Self { count, .. } = *self;
        let page = PageNo::new(number).filter(|page| page.get() <= count);
        let page = page.ok_or_else(|| {
            ClientError::unverified(format!("the hub asks for page {number} of an image of {count} pages"))
        })?;
        let (word, bit) = (page.index() / 64, 1 << (page.index() % 64));
        if self.pages[word] & bit != 0 {
            return Err(ClientError::unverified(format!("the hub asks for page {number} twice")));
        }
        self.pages[word] |= bit;
        self.progress.expect(self.page_bytes);
        // The reader ends early only with a failure of its own, which is then the one to tell.
        let _ = self.wanted.send(page);
        Ok(())
    }
}

/// Hands the hub's requests to the reader of pages, until the hub has committed or refused.
async fn answer_requests(
    incoming: &mut FrameStream,
    traffic: &Traffic,
    server: &ServerUrl,
    mut asked: Asked,
) -> Result<Transferred> {
    let mut stage = TransferPhase::Sending;
    loop {
        let bytes = match session::next(incoming, traffic, server).await? {
            HubMessage::Frame(bytes) => bytes,
            HubMessage::Ping(payload) => {
                let reached = match &*payload {
                    phase::CHECKING => TransferPhase::Checking,
                    phase::COMMITTING => TransferPhase::Committing,
                    _ => continue,
                };
                if reached != stage {
                    stage = reached;
                    asked.progress.begin(stage, None);
                }
                continue;
            }
        };
        match failure::decode(&bytes)? {
            Frame::RequestPage(page) => asked.page(page.page_no)?,
            Frame::RequestPages(pages) => {
                pages.page_numbers.into_iter().try_for_each(|number| asked.page(number))?;
            }
            Frame::SyncComplete(complete) => {
                return Ok(Transferred {
                    pages: complete.pages_transferred,
                    bytes: complete.bytes_transferred,
                    wire_bytes: 0,
                });
            }
            Frame::Error(message) => return Err(failure::of_frame(incoming, message).await),
            // A server that does not name the token's direction shows it by what it sends.
            Frame::PageData(_) | Frame::PageDataBatch(_) => {
                return Err(failure::wrong_direction(Direction::Push));
            }
            other => return Err(failure::unexpected(&other)),
        }
    }
}

/// Reads the wanted pages from the snapshot; runs on a thread that may block.
fn read_pages(
    image: &LocalImage,
    mut wanted: mpsc::UnboundedReceiver<PageNo>,
    pages: &mpsc::Sender<Vec<u8>>,
    progress: &dyn Progress,
) -> Result<()> {
    let mut data = vec![0; image.page_size().bytes()];
    while let Some(page) = wanted.blocking_recv() {
        image.read(page, &mut data)?;
        let frame = Frame::PageData(PageData { page_no: page.get(), data: &data }).encode();
        if pages.blocking_send(frame).is_err() {
            break;
        }
        progress.advance(data.len() as u64);
    }
    Ok(())
}
