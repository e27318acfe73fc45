//! EdgeReplica's command-line client, imitated from the specification (pages, 2.2), with its weaknesses: it says
//! page size 4096 whatever its file has, reads each page in a transaction of its own, reads nothing from the hub
//! before it has announced everything, gives up on `hash_mismatch_batch`, writes pages into its live file as they come,
//! cannot truncate a file, and writes each frame by itself to a connection on which Nagle's algorithm holds small writes
//! back until the hub has acknowledged the one before.

use std::{net::SocketAddr, path::Path};

use rusqlite::{Connection, OptionalExtension as _};

use crate::{
    frames::Frame,
    http,
    socket::{Event, Moved, Socket},
};

/// What a finished session moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// Pages, as the hub counted them.
    pub pages: u64,
    /// Bytes, as the hub counted them.
    pub bytes: u64,
    /// Bytes of all frames, as the client counted them.
    pub moved: Moved,
}

/// Why a session failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The hub refused the connection: status and text.
    Refused(u16, String),
    /// The hub sent an `error` frame.
    ErrorFrame(String),
    /// The connection ended before `sync_complete`.
    Ended(String),
    /// The hub sent a frame that this client does not understand here.
    Confused(String),
    /// SQLite did not take what was pulled.
    Local(String),
}

impl Failure {
    /// The text of the hub's `error` frame.
    ///
    /// # Panics
    /// If the session failed otherwise.
    #[must_use]
    pub fn message(&self) -> &str {
        match self {
            Self::ErrorFrame(message) => message,
            other => panic!("expected an error frame, not {other:?}"),
        }
    }
}

/// `edgereplica sync push`.
///
/// # Errors
/// As the client would report them.
///
/// # Panics
/// If the local file cannot be read.
pub fn push(address: SocketAddr, token: &str, file: &Path) -> Result<Report, Failure> {
    let connection = open(file);
    let mut socket = connect(address, token)?;
    let max_page = greet(&connection, &mut socket)?;
    announce(&connection, &mut socket, max_page);
    loop {
        match expect_frame(&mut socket)? {
            Frame::RequestPage { page_no } => {
                let data = read_page(&connection, page_no);
                socket.send(&Frame::PageData { page_no, data });
            }
            Frame::RequestPages { page_numbers } => {
                for page_no in page_numbers {
                    let data = read_page(&connection, page_no);
                    socket.send(&Frame::PageData { page_no, data });
                }
            }
            Frame::SyncComplete { pages_transferred, bytes_transferred } => {
                return Ok(Report {
                    pages: pages_transferred,
                    bytes: bytes_transferred,
                    moved: socket.moved(),
                });
            }
            other => return Err(Failure::Confused(format!("{other:?}"))),
        }
    }
}

/// `edgereplica sync pull`.
///
/// # Errors
/// As the client would report them.
///
/// # Panics
/// If the local file cannot be read or written.
pub fn pull(address: SocketAddr, token: &str, file: &Path) -> Result<Report, Failure> {
    let connection = open(file);
    let mut socket = connect(address, token)?;
    let max_page = greet(&connection, &mut socket)?;
    announce(&connection, &mut socket, max_page);
    let mut is_begun = false;
    let report = {
        let mut write = connection
            .prepare("INSERT INTO sqlite_dbpage(pgno, data) VALUES (?1, ?2)")
            .expect("SQLite has sqlite_dbpage");
        loop {
            match expect_frame(&mut socket)? {
                Frame::PageData { page_no, data } => {
                    if !std::mem::replace(&mut is_begun, true) {
                        connection.execute_batch("BEGIN IMMEDIATE").expect("the local file can be locked");
                    }
                    let written = write.execute((page_no, data));
                    written.map_err(|error| Failure::Local(format!("writing page {page_no}: {error}")))?;
                }
                Frame::SyncComplete { pages_transferred, bytes_transferred } => {
                    break Report {
                        pages: pages_transferred,
                        bytes: bytes_transferred,
                        moved: socket.moved(),
                    };
                }
                other => return Err(Failure::Confused(format!("{other:?}"))),
            }
        }
    };
    if is_begun {
        connection.execute_batch("COMMIT").map_err(|error| Failure::Local(format!("committing: {error}")))?;
    }
    Ok(report)
}

fn open(file: &Path) -> Connection {
    let connection = Connection::open(file).expect("the local file opens");
    connection.busy_timeout(std::time::Duration::from_secs(30)).expect("SQLite takes a timeout");
    connection
}

fn refused(response: &http::Response) -> Failure {
    Failure::Refused(response.status, response.text())
}

/// Opens a session.
///
/// # Errors
/// The hub's refusal.
///
/// # Panics
/// If the hub cannot be reached.
pub fn connect(address: SocketAddr, token: &str) -> Result<Socket, Failure> {
    let socket = Socket::open(address, token).map_err(|response| refused(&response))?;
    socket.stream().set_nodelay(false).expect("Nagle's algorithm can be switched on");
    Ok(socket)
}

/// Says hello; gives the number of local pages.
fn greet(connection: &Connection, socket: &mut Socket) -> Result<u32, Failure> {
    let max_page: u32 =
        connection.query_row("PRAGMA page_count", [], |row| row.get(0)).expect("SQLite counts the pages");
    socket.send(&Frame::hello(max_page));
    match expect_frame(socket)? {
        Frame::HelloReply { .. } => Ok(max_page),
        other => Err(Failure::Confused(format!("{other:?}"))),
    }
}

/// Announces every page, ascending, one by one, then completes; reads nothing meanwhile.
fn announce(connection: &Connection, socket: &mut Socket, max_page: u32) {
    for page_no in 1..=max_page {
        socket.send(&Frame::page_hash(page_no, &read_page(connection, page_no)));
    }
    socket.send(&Frame::Complete);
}

/// The pages of a file, the first one first.
///
/// # Panics
/// If the file cannot be read.
#[must_use]
pub fn pages(file: &Path) -> Vec<Vec<u8>> {
    let connection = open(file);
    let count: u32 =
        connection.query_row("PRAGMA page_count", [], |row| row.get(0)).expect("SQLite counts the pages");
    (1..=count).map(|page_no| read_page(&connection, page_no)).collect()
}

/// Reads one page in a transaction of its own.
fn read_page(connection: &Connection, page_no: u32) -> Vec<u8> {
    let mut statement = connection
        .prepare_cached("SELECT data FROM sqlite_dbpage WHERE pgno = ?1")
        .expect("SQLite has sqlite_dbpage");
    let data = statement.query_row([page_no], |row| row.get(0)).optional().expect("the page is readable");
    data.unwrap_or_default()
}

fn expect_frame(socket: &mut Socket) -> Result<Frame, Failure> {
    match socket.next() {
        Event::Frame(Frame::Error { message }) => Err(Failure::ErrorFrame(message)),
        Event::Frame(Frame::HashMismatchBatch { .. }) => Err(Failure::Confused("hash_mismatch_batch".into())),
        Event::Frame(frame) => Ok(frame),
        Event::Closed { code, reason } => Err(Failure::Ended(format!("closed {code} {reason}"))),
        Event::Lost(why) => Err(Failure::Ended(why)),
    }
}
