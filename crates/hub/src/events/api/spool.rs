//! Large bodies on disk: exports before they are sent, imports before they are looked at, so that neither is held
//! in memory nor keeps a snapshot or the writer waiting for the network. The files have no names.

use std::{
    fs::File,
    io::{self, BufRead as _, BufReader, Read as _, Seek as _},
    time::Duration,
};

use axum::body::Body;
use ferry_sqlite::pages::unnamed_file;
use ferry_types::{Error, limits::TRANSFER_STALL_MAX_MS};
use futures_util::StreamExt as _;
use tokio::io::AsyncWriteExt as _;

use super::{answer::ViewError, request::EventsApiRequest};

/// Takes a body of at most `most` bytes in; the file stands at its beginning.
///
/// # Errors
/// When it is larger than that or than the caller's byte budget, or does not arrive, or the disk is full.
pub(super) async fn receive(request: &EventsApiRequest, body: Body, most: u64) -> Result<File, ViewError> {
    let disk = |error: io::Error| ViewError::from(ferry_sqlite::Error::Io(error).into_refusal());
    let dir = request.context.database.dir().to_owned();
    let made = tokio::task::spawn_blocking(move || {
        std::fs::create_dir_all(&dir)?;
        unnamed_file(&dir)
    });
    let file = made.await.map_err(|_| Error::internal())?;
    let mut file = tokio::fs::File::from_std(file.map_err(ferry_sqlite::Error::into_refusal)?);
    if let Some(body) = &request.body {
        body.is_spooled();
    }
    let (mut stream, mut received) = (body.into_data_stream(), 0);
    let stall = Duration::from_millis(TRANSFER_STALL_MAX_MS);
    loop {
        let piece = tokio::time::timeout(stall, stream.next()).await;
        let piece = piece.map_err(|_| ViewError::bad_request("the body does not arrive"))?;
        let Some(piece) = piece else { break };
        let piece = piece.map_err(|_| ViewError::bad_request("the body broke off"))?;
        request.context.meter.charge(piece.len())?;
        received += piece.len() as u64;
        if received > most {
            return Err(ViewError::too_large(most));
        }
        file.write_all(&piece).await.map_err(disk)?;
    }
    file.flush().await.map_err(disk)?;
    request.context.requester.recheck()?;
    let mut file = file.into_std().await;
    file.rewind().map_err(disk)?;
    Ok(file)
}

/// The lines of a file, none longer than a limit.
pub(super) struct Lines {
    reader: BufReader<File>,
    line: Vec<u8>,
    most: u64,
}

impl Lines {
    /// The lines of `file` from where it stands.
    pub(super) fn of(file: File, most: usize) -> Self {
        Self { reader: BufReader::with_capacity(1 << 20, file), line: Vec::new(), most: most as u64 }
    }

    /// The next line without its line feed; `None` at the end. A line that is too long or no UTF-8 is a mistake of
    /// the file, and not of reading it.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(super) fn next(&mut self) -> io::Result<Option<Result<&str, &'static str>>> {
        self.line.clear();
        let read = self.reader.by_ref().take(self.most + 1).read_until(b'\n', &mut self.line)?;
        if read == 0 {
            return Ok(None);
        }
        if self.line.last() == Some(&b'\n') {
            self.line.pop();
        } else if self.line.len() as u64 > self.most {
            return Ok(Some(Err("the line is longer than any event may be")));
        }
        Ok(Some(std::str::from_utf8(&self.line).map_err(|_| "the line is no UTF-8")))
    }

    /// The file again, at its beginning.
    ///
    /// # Errors
    /// When it cannot be rewound.
    pub(super) fn rewound(self) -> io::Result<File> {
        let mut file = self.reader.into_inner();
        file.rewind()?;
        Ok(file)
    }
}
