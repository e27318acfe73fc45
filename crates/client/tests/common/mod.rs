//! A hub of a few lines: one database, its image kept as plain pages. It speaks EdgeReplica's page wire, and keeps to the protocol unless a [`Fault`] tells it otherwise.

#![allow(dead_code, reason = "each test uses its own part of it")]

use std::{
    path::Path,
    sync::{Arc, Mutex},
};

use ferry_client::ServerUrl;
use ferry_protocol::pages::{Frame, HelloReply, PageData, PageNumber, SyncComplete};
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::{
    WebSocketStream, accept_async,
    tungstenite::{
        Message,
        protocol::{CloseFrame, frame::coding::CloseCode},
    },
};

/// How the fake hub misbehaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    /// Refuses after the hashes with this message and close code.
    Refuse(&'static str, u16),
    /// Cuts the connection after this many pages.
    CutAfter(usize),
    /// Leaves the last differing page out.
    OmitLast,
    /// Sends the first differing page twice.
    Twice,
    /// Sends pages one byte short.
    Short,
    /// Sends page 1 with another page count than it announced.
    WrongHeader,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pages {
    pub(crate) version: u64,
    pub(crate) page_size: usize,
    pub(crate) pages: Vec<Vec<u8>>,
}

impl Pages {
    /// The bytes of a file in rollback mode, as some version.
    pub(crate) fn of(file: &Path) -> Self {
        let bytes = std::fs::read(file).unwrap();
        let stated = usize::from(u16::from_be_bytes([bytes[16], bytes[17]]));
        let page_size = if stated == 1 { 65536 } else { stated };
        Self { version: 0, page_size, pages: bytes.chunks(page_size).map(<[u8]>::to_vec).collect() }
    }
}

pub(crate) struct FakeHub {
    pub(crate) server: ServerUrl,
    pub(crate) image: Arc<Mutex<Pages>>,
    pub(crate) fault: Arc<Mutex<Fault>>,
}

/// What a client may do, told by the token as real tokens do.
const PUSH: &str = "push";

impl FakeHub {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let image = Arc::new(Mutex::new(Pages::default()));
        let fault = Arc::new(Mutex::new(Fault::None));
        let (shared, faults) = (Arc::clone(&image), Arc::clone(&fault));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let fault = *faults.lock().unwrap();
                tokio::spawn(serve(stream, Arc::clone(&shared), fault));
            }
        });
        Self { server, image, fault }
    }

    pub(crate) fn misbehave(&self, fault: Fault) {
        *self.fault.lock().unwrap() = fault;
    }
}

type Socket = WebSocketStream<TcpStream>;

async fn serve(stream: TcpStream, image: Arc<Mutex<Pages>>, fault: Fault) {
    let mut peeked = [0; 2048];
    let read = stream.peek(&mut peeked).await.unwrap();
    let head = String::from_utf8_lossy(&peeked[..read]).into_owned();
    let is_push = head.contains(PUSH);
    let mut socket = accept_async(stream).await.unwrap();
    let pinned = image.lock().unwrap().clone();
    let Some(max_page) = greet(&mut socket, &pinned).await else { return };
    let ended = if is_push {
        push(&mut socket, &pinned, &image, max_page, fault).await
    } else {
        pull(&mut socket, &pinned, max_page, fault).await
    };
    if let Some((pages, bytes)) = ended {
        send(
            &mut socket,
            &Frame::SyncComplete(SyncComplete { pages_transferred: pages, bytes_transferred: bytes }),
        )
        .await;
        close(&mut socket, 1000, "sync complete").await;
    }
}

async fn greet(socket: &mut Socket, pinned: &Pages) -> Option<u32> {
    let bytes = next(socket).await?;
    let Ok(Frame::Hello(hello)) = Frame::decode(&bytes) else { panic!("the first frame is not hello") };
    let page_size = if pinned.pages.is_empty() { hello.page_size } else { pinned.page_size as u32 };
    if hello.max_page == 0 && page_size != 4096 {
        let message = format!("page size is {page_size}; this client can only create 4096: use ferry pull");
        refuse(socket, &message, 1011).await;
        return None;
    }
    let max_page = pinned.pages.len() as u32;
    send(socket, &Frame::HelloReply(HelloReply { protocol_version: 1, page_size, max_page })).await;
    Some(hello.max_page)
}

/// The announced hashes by page, until `complete`.
async fn hashes(socket: &mut Socket) -> Option<Vec<[u8; 32]>> {
    let mut hashes = Vec::new();
    loop {
        let bytes = next(socket).await?;
        match Frame::decode(&bytes).unwrap() {
            Frame::PageHash(page) => {
                assert_eq!(page.page_no as usize, hashes.len() + 1, "announced in order, once");
                hashes.push(page.hash.try_into().unwrap());
            }
            Frame::Complete => return Some(hashes),
            other => panic!("unexpected {}", other.kind()),
        }
    }
}

async fn push(
    socket: &mut Socket,
    pinned: &Pages,
    image: &Mutex<Pages>,
    max_page: u32,
    fault: Fault,
) -> Option<(u32, u64)> {
    let hashes = hashes(socket).await?;
    assert_eq!(hashes.len(), max_page as usize);
    if let Fault::Refuse(message, code) = fault {
        refuse(socket, message, code).await;
        return None;
    }
    let mut pages = vec![Vec::new(); hashes.len()];
    let mut moved = (0, 0);
    // Page 1 last, as Ferry does.
    for index in (1..hashes.len()).chain([0]) {
        if let Some(own) = pinned.pages.get(index).filter(|own| blake3::hash(own) == hashes[index]) {
            pages[index] = own.clone();
            continue;
        }
        if fault == Fault::CutAfter(moved.0 as usize) {
            return None;
        }
        send(socket, &Frame::RequestPage(PageNumber { page_no: index as u32 + 1 })).await;
        let bytes = next(socket).await?;
        let Ok(Frame::PageData(page)) = Frame::decode(&bytes) else { panic!("no page came") };
        assert_eq!(blake3::hash(page.data), hashes[index], "page {} is what was announced", page.page_no);
        pages[index] = page.data.to_vec();
        moved = (moved.0 + 1, moved.1 + page.data.len() as u64);
    }
    let lost = {
        let mut current = image.lock().unwrap();
        let lost = (current.version != pinned.version).then_some(current.version);
        if lost.is_none() && moved.0 > 0 {
            *current = Pages { version: pinned.version + 1, page_size: pages[0].len(), pages };
        }
        lost
    };
    if let Some(now) = lost {
        let message = format!(
            "another push was committed first (now version {now}); pull before you push again, or you replace it"
        );
        refuse(socket, &message, 1013).await;
        return None;
    }
    Some(moved)
}

async fn pull(socket: &mut Socket, pinned: &Pages, max_page: u32, fault: Fault) -> Option<(u32, u64)> {
    let hashes = hashes(socket).await?;
    if let Fault::Refuse(message, code) = fault {
        refuse(socket, message, code).await;
        return None;
    }
    let mut differing: Vec<usize> = (0..pinned.pages.len())
        .filter(|&index| {
            let equal = hashes.get(index).is_some_and(|hash| blake3::hash(&pinned.pages[index]) == *hash);
            !equal || index == 0 && max_page as usize > pinned.pages.len()
        })
        .collect();
    match fault {
        Fault::OmitLast => drop(differing.pop()),
        Fault::Twice => differing.insert(0, differing[0]),
        _ => {}
    }
    let mut moved = (0, 0);
    for index in differing {
        if fault == Fault::CutAfter(moved.0 as usize) {
            return None;
        }
        let mut data = pinned.pages[index].clone();
        match fault {
            Fault::Short => data.truncate(data.len() - 1),
            Fault::WrongHeader if index == 0 => data[31] ^= 1,
            _ => {}
        }
        send(socket, &Frame::PageData(PageData { page_no: index as u32 + 1, data: &data })).await;
        moved = (moved.0 + 1, moved.1 + data.len() as u64);
    }
    Some(moved)
}

async fn next(socket: &mut Socket) -> Option<Vec<u8>> {
    loop {
        match socket.next().await? {
            Ok(Message::Binary(bytes)) => return Some(bytes.to_vec()),
            Ok(Message::Close(_)) | Err(_) => return None,
            Ok(_) => {}
        }
    }
}

async fn send(socket: &mut Socket, frame: &Frame<'_>) {
    let _ = socket.send(Message::binary(frame.encode())).await;
}

async fn refuse(socket: &mut Socket, message: &str, code: u16) {
    send(socket, &Frame::Error(message.to_owned())).await;
    close(socket, code, "server error").await;
}

async fn close(socket: &mut Socket, code: u16, reason: &'static str) {
    let _ = socket.close(Some(CloseFrame { code: CloseCode::from(code), reason: reason.into() })).await;
    while let Some(Ok(_)) = socket.next().await {}
}
