//! `GET ops/snapshot`: the log as if it had just been compacted, as text (ops specification, 2.4). It is made on one
//! snapshot, written to a file without a name, compressed once, and sent from there: neither the database nor memory
//! waits for a slow reader.

use std::{
    fs::File,
    io::{BufWriter, Seek as _, Write},
    path::Path,
    sync::Arc,
    time::Duration,
};

use axum::response::Response;
use ferry_core::ops::{
    Prefixes,
    meta::{self, LogMeta},
    snapshot::snapshot,
};
use ferry_protocol::ops::{SNAPSHOT_CONTENT_TYPE, SnapshotHeader, SnapshotLines};
use ferry_sqlite::pages::unnamed_file;
use ferry_types::{Error, Reason, limits::OPS_SNAPSHOT_WAIT_MAX_MS};
use http::{HeaderMap, HeaderValue, header};

use super::{
    super::{error::OpsError, storage},
    Asked,
    answer::OpsAnswer,
};
use crate::{
    database::seq_of,
    http::{accepts, file_body},
};

/// Bytes written to the file at once.
const WRITE_BYTES: usize = 256 << 10;
/// How hard zstd tries: its own default, at some hundred megabytes a second.
const ZSTD_LEVEL: i32 = 3;

/// How the file is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coding {
    Identity,
    Gzip,
    Zstd,
}

impl Coding {
    /// The best one that the reader takes.
    fn accepted(headers: &HeaderMap) -> Self {
        let codings = [(Self::Zstd, "zstd"), (Self::Gzip, "gzip")];
        codings
            .into_iter()
            .find(|(_, name)| accepts(headers, name))
            .map_or(Self::Identity, |(coding, _)| coding)
    }

    /// The word in `Content-Encoding`.
    const fn word(self) -> Option<&'static str> {
        match self {
            Self::Identity => None,
            Self::Gzip => Some("gzip"),
            Self::Zstd => Some("zstd"),
        }
    }
}

pub(super) async fn get(asked: &Asked<'_>) -> Result<OpsAnswer, OpsError> {
    let database = &asked.context.database;
    // It is open for as long as it is sent, and counts as one of the database's.
    let permit = database.hold_files(1).await?;
    let turns = Arc::clone(&asked.hub.services.ops.snapshots);
    let wait = Duration::from_millis(OPS_SNAPSHOT_WAIT_MAX_MS);
    let turn = tokio::time::timeout(wait, turns.acquire_owned()).await;
    let Ok(Ok(turn)) = turn else {
        let message = "other snapshots are being made: try again in a few seconds";
        return Err(Error::new(Reason::Busy, message).retry_after_ms(5_000).into());
    };
    asked.context.requester.recheck()?;
    let coding = Coding::accepted(&asked.parts.headers);
    let (dir, restrictions) = (database.dir().to_owned(), Arc::clone(&asked.context.auth.restrictions));
    let spooled = storage::read(database, move |sql| {
        let _turn = turn;
        let seq = seq_of(sql)?;
        let Some(log) = meta::read(sql)? else { return Ok(None) };
        let prefixes = Prefixes(&restrictions.table_prefixes);
        let mut plain_bytes = 0;
        let file = spool(&dir, coding, |out| {
            snapshot(sql, &log, prefixes, &mut |piece| {
                plain_bytes += piece.len() as u64;
                Ok(out.write_all(piece)?)
            })
        })?;
        Ok(Some((file, plain_bytes, seq)))
    });
    let ((file, bytes), plain_bytes, seq) = match spooled.await?.flatten() {
        Some(spooled) => spooled,
        None => {
            let empty = empty(database.dir().to_owned(), storage::log_to_come(database)?, coding);
            (empty.await?, 0, database.seq().await?)
        }
    };
    let mut response = Response::new(file_body(file, permit));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(SNAPSHOT_CONTENT_TYPE));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(bytes));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    if let Some(word) = coding.word() {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(word));
    }
    Ok(OpsAnswer::new(response, Some(seq)).of_plain_bytes(plain_bytes))
}

/// What a log has that nobody has made yet.
async fn empty(dir: std::path::PathBuf, log: LogMeta, coding: Coding) -> ferry_types::Result<(File, u64)> {
    let made = tokio::task::spawn_blocking(move || {
        std::fs::create_dir_all(&dir)?;
        spool(&dir, coding, |out| {
            let lines = SnapshotLines::default();
            out.write_all(
                SnapshotHeader::new(&log.hub_id, &log.epoch, log.head, (None, None)).line().as_bytes(),
            )?;
            Ok(out.write_all(lines.finish().as_bytes())?)
        })
    });
    made.await.map_err(|_| Error::internal())?.map_err(ferry_sqlite::Error::into_refusal)
}

/// A file with what `write` writes, at its beginning, and its bytes.
fn spool(
    dir: &Path,
    coding: Coding,
    write: impl FnOnce(&mut dyn Write) -> ferry_sqlite::Result<()>,
) -> ferry_sqlite::Result<(File, u64)> {
    let file = unnamed_file(dir)?;
    let mut file = match coding {
        Coding::Identity => {
            let mut out = BufWriter::with_capacity(WRITE_BYTES, file);
            write(&mut out)?;
            out.into_inner().map_err(std::io::IntoInnerError::into_error)?
        }
        Coding::Gzip => {
            let mut out = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
            write(&mut BufWriter::with_capacity(WRITE_BYTES, &mut out))?;
            out.finish()?
        }
        Coding::Zstd => {
            let mut out = zstd::Encoder::new(file, ZSTD_LEVEL)?;
            write(&mut BufWriter::with_capacity(WRITE_BYTES, &mut out))?;
            out.finish()?
        }
    };
    let bytes = file.stream_position()?;
    file.rewind()?;
    Ok((file, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_coding_that_is_taken() {
        for (accept, coding) in [
            ("", Coding::Identity),
            ("gzip", Coding::Gzip),
            ("gzip, ZSTD", Coding::Zstd),
            ("br;q=1.0, gzip;q=0.8, zstd;q=0", Coding::Gzip),
            ("identity", Coding::Identity),
        ] {
            let headers = HeaderMap::from_iter([(header::ACCEPT_ENCODING, accept.parse().unwrap())]);
            assert_eq!(Coding::accepted(&headers), coding, "{accept}");
        }
    }
}
