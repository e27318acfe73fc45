//! Pull: announce every page that the local file has, receive those that differ.

use std::ops::ControlFlow;

use bytes::Bytes;
use ferry_protocol::pages::{Frame, PageData};
use ferry_types::PageNo;
use futures_util::StreamExt as _;
use tokio::sync::mpsc;

use super::{Transferred, WireSession, failure, session};
use crate::{ClientError, Result, admin::Direction};

/// Pages that wait for the disk.
const PAGES_AHEAD: usize = 64;

/// Where received pages go. It runs on a thread that may block.
pub trait PageSink: Send + 'static {
    /// Takes one page; with `Break` the session ends here, since the caller knows enough.
    ///
    /// # Errors
    /// When the page cannot be what the hub's image holds, or cannot be kept.
    fn page(&mut self, number: PageNo, data: &[u8]) -> Result<ControlFlow<()>>;
}

impl WireSession {
    /// Announces `hashes`, the hashes of all local pages (page 1 as it is, the lock page as zeros), and hands
    /// `sink` every page that the hub sends. `None`: the sink ended the session.
    ///
    /// # Errors
    /// When the hub refuses, the connection fails or the sink does.
    pub async fn pull<S: PageSink>(self, hashes: &[[u8; 32]], sink: S) -> (S, Result<Option<Transferred>>) {
        let (pages, received) = mpsc::channel(PAGES_AHEAD);
        let keeping = tokio::task::spawn_blocking(move || keep_pages(sink, received));
        let result = self.run_pull(hashes, pages).await;
        let (sink, kept) = keeping.await.expect("BUG: the sink of pages panicked");
        match kept {
            Err(error) => (sink, Err(error)),
            Ok(ControlFlow::Break(())) => (sink, Ok(None)),
            Ok(ControlFlow::Continue(())) => (sink, result.map(Some)),
        }
    }

    async fn run_pull(
        self,
        hashes: &[[u8; 32]],
        pages: mpsc::Sender<(PageNo, Bytes)>,
    ) -> Result<Transferred> {
        let Self { server, socket, traffic, .. } = self;
        let (mut outgoing, mut incoming) = socket.split();
        let receiving = async {
            loop {
                let bytes = session::next_frame(&mut incoming, &traffic, &server).await?;
                match failure::decode(&bytes)? {
                    Frame::PageData(page) => {
                        let (number, data) = owned(&bytes, page)?;
                        if pages.send((number, data)).await.is_err() {
                            return Err(ended());
                        }
                    }
                    Frame::PageDataBatch(batch) => {
                        for page in batch {
                            let (number, data) = owned(&bytes, page)?;
                            if pages.send((number, data)).await.is_err() {
                                return Err(ended());
                            }
                        }
                    }
                    Frame::SyncComplete(complete) => return Ok(complete),
                    Frame::Error(message) => return Err(failure::of_frame(&mut incoming, message).await),
                    // A server that does not name the token's direction shows it by what it sends.
                    Frame::RequestPage(_) | Frame::RequestPages(_) => {
                        return Err(failure::wrong_direction(Direction::Pull));
                    }
                    other => return Err(failure::unexpected(&other)),
                }
            }
        };
        // Whatever stops the sending, the hub's reason for it is read; so only receiving ends the session.
        let sending = async {
            if let Err(error) = session::send_hashes(&mut outgoing, &traffic, hashes, || None).await {
                tracing::debug!(%error, "sending ended early");
            }
            std::future::pending::<()>().await;
        };
        let complete = tokio::select! {
            complete = receiving => complete?,
            () = sending => unreachable!("BUG: sending never ends by itself"),
        };
        let mut socket = outgoing.reunite(incoming).expect("BUG: both halves come from one socket");
        session::close(&mut socket).await;
        Ok(Transferred {
            pages: complete.pages_transferred,
            bytes: complete.bytes_transferred,
            wire_bytes: traffic.total(),
        })
    }
}

/// The page with its data as a share of the frame's buffer.
fn owned(frame: &Bytes, page: PageData<'_>) -> Result<(PageNo, Bytes)> {
    let number = PageNo::new(page.page_no).ok_or_else(|| ClientError::unverified("the hub sent a page 0"))?;
    Ok((number, frame.slice_ref(page.data)))
}

/// Never seen: the sink's own outcome precedes it.
fn ended() -> ClientError {
    ClientError::unverified("the sink of pages has ended")
}

fn keep_pages<S: PageSink>(
    mut sink: S,
    mut received: mpsc::Receiver<(PageNo, Bytes)>,
) -> (S, Result<ControlFlow<()>>) {
    while let Some((number, data)) = received.blocking_recv() {
        match sink.page(number, &data) {
            Ok(ControlFlow::Continue(())) => {}
            ended => return (sink, ended),
        }
    }
    (sink, Ok(ControlFlow::Continue(())))
}
