//! Records as lines of JSON: a header, one record per line with times and tombstones, a trailer that proves the rest.

use std::{
    io::{self, BufWriter, Seek as _, Write},
    sync::Arc,
};

use axum::{body::Body, response::Response};
use ferry_core::records::{
    Dialect, PushCaller, ReachedTables, RecordStore as _,
    import::{self, Line},
    maintenance, query, restore,
};
use ferry_sqlite::pages::unnamed_file;
use ferry_types::{Error, Reason, Result, limits::RECORDS_EXPORT_MAX_BYTES};
use http::{HeaderValue, header};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::http::file_body;

use super::{
    super::{head::parameter, state::ChangedRecords, storage},
    ApiRequest, answer, upto,
};

const FORMAT: &str = "ferry-records";
const VERSION: u64 = 1;
/// Bytes written to the spool at once.
const WRITE_BYTES: usize = 1 << 20;

/// `GET /export`.
pub(super) async fn export(request: &ApiRequest<'_>) -> Result<Response> {
    let owner = Arc::clone(&request.entry.owner);
    let restrictions = Arc::clone(&request.entry.context.auth.restrictions);
    if !restrictions.table_prefixes.is_empty() {
        let message = "a credential that reaches only some collections cannot export: use one without tbl";
        return Err(Error::new(Reason::PermissionDenied, message));
    }
    // It is open for as long as it is sent, and counts as one of the database's.
    let database = &request.entry.context.database;
    let (permit, dir) = (database.hold_files(1).await?, database.dir().to_owned());
    let spooled = storage::read(database, move |store| {
        let epoch = restore::epoch_of(store, &store.owner(&owner)?)?.unwrap_or_default();
        let mut out = Spool::new(BufWriter::with_capacity(WRITE_BYTES, unnamed_file(&dir)?));
        out.line(&header_line(&owner, &epoch))?;
        let count = query::export(store, &owner, &mut |line| {
            if out.bytes + line.len() > RECORDS_EXPORT_MAX_BYTES {
                let message =
                    format!("the export is over {RECORDS_EXPORT_MAX_BYTES} bytes: pull the file instead");
                return Err(Error::new(Reason::TooLarge, message).into());
            }
            Ok(out.line(line)?)
        })?;
        let mut file = out.finish(count)?.into_inner().map_err(io::IntoInnerError::into_error)?;
        let bytes = file.stream_position()?;
        file.rewind()?;
        Ok((file, bytes, store.seq()?))
    });
    let mut response = match spooled.await? {
        Some((file, bytes, seq)) => {
            let mut response = answer::json(file_body(file, permit), Some(seq));
            response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(bytes));
            response
        }
        None => answer::json(empty(&request.entry.owner)?, None),
    };
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    Ok(response)
}

fn header_line(owner: &str, epoch: &str) -> String {
    json!({"format": FORMAT, "version": VERSION, "owner": owner, "epoch": epoch}).to_string()
}

/// The export of an owner of whom nothing is stored.
fn empty(owner: &str) -> Result<Vec<u8>> {
    let mut out = Spool::new(Vec::new());
    let written = out.line(&header_line(owner, "")).and_then(|()| out.finish(0));
    written.map_err(|error| ferry_sqlite::Error::from(error).into_refusal())
}

/// Lines as they are written, with what the trailer tells of them.
struct Spool<W> {
    out: W,
    bytes: usize,
    hash: Sha256,
}

impl<W: Write> Spool<W> {
    fn new(out: W) -> Self {
        Self { out, bytes: 0, hash: Sha256::new() }
    }

    fn line(&mut self, line: &str) -> io::Result<()> {
        for part in [line.as_bytes(), b"\n"] {
            self.out.write_all(part)?;
            self.hash.update(part);
            self.bytes += part.len();
        }
        Ok(())
    }

    /// Writes the trailer.
    fn finish(mut self, count: u64) -> io::Result<W> {
        let digest = hex::encode(self.hash.finalize());
        writeln!(self.out, "{}", json!({"count": count, "sha256": digest}))?;
        Ok(self.out)
    }
}

/// `POST /import?mode=merge|replace`.
pub(super) async fn import(request: &ApiRequest<'_>, body: Body) -> Result<Response> {
    let replaces = match parameter(request.parts, "mode").as_deref() {
        None | Some("merge") => false,
        Some("replace") => true,
        Some(_) => return Err(Error::new(Reason::InvalidArgument, "mode: expected merge or replace")),
    };
    let body = upto(request, body, RECORDS_EXPORT_MAX_BYTES).await?;
    let turn = request.hub.services.records.decoding.turn(body.len()).await?;
    let lines = read(&body)?;
    let count = lines.len();
    let (owner, hub) = (Arc::clone(&request.entry.owner), Arc::clone(request.hub));
    let committed = storage::write(request.hub, &request.entry, move |store, published| {
        let _turn = &turn;
        let now = hub.clock.now().into();
        if replaces {
            maintenance::clear_owner(store, &owner, now)?;
        }
        let caller = PushCaller {
            owner: &owner,
            app: "",
            client: "",
            now,
            since: now,
            dialect: Dialect::Ferry,
            max_changes: 0,
            tables: ReachedTables::default(),
        };
        let touched = import::merge(store, &caller, &lines)?;
        for (app, coll) in touched {
            published.push(ChangedRecords {
                owner: Arc::clone(&owner),
                app: app.into(),
                collections: vec![coll],
                client: "ferry-import".into(),
            });
        }
        Ok(())
    });
    let committed = committed.await?;
    Ok(answer::json(format!("{}\n", json!({ "records": count })), committed.seq))
}

/// The lines of records, whose header and trailer are right.
fn read(body: &[u8]) -> Result<Vec<Line>> {
    let wrong = |why: &str| Error::new(Reason::InvalidArgument, format!("not an export of records: {why}"));
    let text = std::str::from_utf8(body).map_err(|_| wrong("it is not UTF-8"))?;
    let lines: Vec<&str> = text.lines().collect();
    let [first, records @ .., last] = &lines[..] else { return Err(wrong("it has no header and trailer")) };
    let parse = |line: &str| serde_json::from_str::<Value>(line).map_err(|error| wrong(&error.to_string()));
    let header = parse(first)?;
    if header["format"] != FORMAT || header["version"] != VERSION {
        return Err(wrong("its header names another format or version"));
    }
    let trailer = parse(last)?;
    let covered = &body[..text.trim_end().len() - last.len()];
    if trailer["count"] != records.len() || trailer["sha256"] != hex::encode(Sha256::digest(covered)) {
        return Err(wrong("it was cut or changed: count or SHA-256 of the trailer do not fit"));
    }
    records.iter().map(|line| Line::read(line)).collect()
}
