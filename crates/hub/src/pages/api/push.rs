//! `POST /v1/databases/{db}/pages`: a push, read as it arrives (PAG-21, PAG-23, PAG-24, PAG-25).

use std::sync::Arc;

use axum::{
    Json,
    body::Body,
    response::{IntoResponse as _, Response},
};
use bytes::BytesMut;
use ferry_core::pages::body::BodyReader;
use ferry_sqlite::pages::{PageSource as _, PushError, Replica, Stage, Upload, Uploaded, VersionInfo, Zstd};
use ferry_types::{Error, Reason, Result, Tag, limits::PAGES_BODY_EXTRA_BYTES};
use futures_util::StreamExt as _;
use http::{HeaderMap, header, request::Parts};
use serde_json::json;
use tokio::sync::OwnedSemaphorePermit;

use super::{
    answer::{PagesError, add_version},
    request::{Held, PagesRequest},
};
use crate::{
    database::FilePermit,
    http::RequestBody,
    pages::{
        commit::{self, make_room},
        state::{SESSION_DESCRIPTORS, blocking},
    },
};

/// Bytes of a body that are read at once.
const READ_AT_ONCE_BYTES: usize = 256 << 10;
/// How long a push that finds no place should wait.
const FULL_RETRY_MS: u64 = 5_000;

pub(super) async fn post(request: &PagesRequest, parts: &Parts, body: Body) -> Result<Response, PagesError> {
    let based_on = if_match(&parts.headers)?;
    let database = &request.context.database;
    let place = place(request)?;
    let max_bytes = request.hub.config.pages.max_database_bytes.saturating_add(PAGES_BODY_EXTRA_BYTES);
    if content_length(&parts.headers).is_some_and(|bytes| bytes > max_bytes) {
        return Err(too_large(max_bytes).into());
    }
    let files = database.hold_files(SESSION_DESCRIPTORS).await?;
    let replica = database.models().pages.replica(&request.hub, database).await?;
    let pinned = replica.pin();
    if pinned.info().tag() != based_on {
        return Err(conflict(&replica, based_on.version));
    }
    let id = database.id();
    let upload = blocking(move || Upload::new(pinned, id)).await?;
    let arriving = Arriving {
        request: PagesRequest { hub: Arc::clone(&request.hub), context: request.context.clone() },
        accounted: parts.extensions.get::<RequestBody>().cloned(),
        held: request.held(parts, "push"),
        replica,
        max_bytes,
        _place: place,
        _files: files,
    };
    // A task of its own: what a client leaves behind that goes away is kept, and what is begun is finished.
    let pushed = request.hub.tasks.spawn(arriving.run(upload, body));
    let (info, pages) = pushed.await.map_err(|_| Error::internal())??;
    Ok(answer(&info, pages))
}

/// One of the places for what writes whole images.
pub(super) fn place(request: &PagesRequest) -> Result<OwnedSemaphorePermit> {
    request.context.database.models().pages.upload().ok_or_else(|| {
        let message = "too many pushes of this database are under way: try again in a few seconds";
        Error::new(Reason::RateLimited, message).retry_after_ms(FULL_RETRY_MS)
    })
}

/// The version that `If-Match` names.
pub(super) fn if_match(headers: &HeaderMap) -> Result<Tag> {
    let value = headers.get(header::IF_MATCH).ok_or_else(|| {
        let message = "If-Match is missing: send the tag of the version that this is based on, in quotes";
        Error::new(Reason::PreconditionRequired, message)
    })?;
    let tag = value.to_str().ok().map(str::trim);
    let tag = tag.and_then(|text| text.strip_prefix('"')?.strip_suffix('"')?.parse().ok());
    tag.ok_or_else(|| {
        let message = "If-Match: expected one tag in quotes, such as \"42-47059a7efff88c8b\"";
        Error::new(Reason::InvalidArgument, message)
    })
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn too_large(max_bytes: u64) -> Error {
    Error::new(Reason::TooLarge, format!("the body is over this hub's limit of {max_bytes} bytes"))
}

/// Another version came first.
pub(super) fn conflict(replica: &Replica, based_on: u64) -> PagesError {
    let current = replica.current();
    let message =
        format!("database is at version {}, not {based_on}: pull, then push again", current.version);
    PagesError::from(Error::new(Reason::VersionConflict, message)).with_current(current)
}

/// What is answered once a version is made; `pages` of it are others than before.
pub(super) fn answer(info: &VersionInfo, pages: u32) -> Response {
    let mut response = Json(json!({
        "version": info.version,
        "tag": info.tag().to_string(),
        "root": info.root.to_string(),
        "seq": info.version,
        "pages": pages,
    }))
    .into_response();
    add_version(response.headers_mut(), info);
    response
}

/// What a push failed with, as it is told.
pub(super) fn refusal(error: PushError, replica: &Replica, based_on: u64) -> PagesError {
    let reason = match &error {
        PushError::Conflict { .. } => return conflict(replica, based_on),
        PushError::Store(_) => {
            let PushError::Store(error) = error else { return Error::internal().into() };
            if error.is_storage_full() {
                make_room(replica);
            }
            return error.into_refusal().into();
        }
        PushError::Body(_) | PushError::Length { .. } | PushError::Torn { .. } => Reason::BadBody,
        PushError::WrongDatabase => Reason::WrongDatabase,
        PushError::NotSqlite(_) | PushError::NothingPushed => Reason::NotSqlite,
        PushError::TooLarge { .. } => Reason::TooLarge,
        PushError::RootMismatch => Reason::RootMismatch,
        PushError::StagedGone { .. } => Reason::StagedGone,
        PushError::Unwanted => Reason::ShuttingDown,
    };
    Error::new(reason, error.to_string()).into()
}

/// A push whose body arrives.
struct Arriving {
    request: PagesRequest,
    accounted: Option<RequestBody>,
    held: Held,
    replica: Arc<Replica>,
    max_bytes: u64,
    _place: OwnedSemaphorePermit,
    _files: FilePermit,
}

/// What reads it.
struct Receiving {
    reader: BodyReader,
    upload: Upload,
}

impl Receiving {
    fn push(&mut self, bytes: &[u8]) -> Result<(), PushError> {
        self.reader.push(bytes, &mut self.upload, &mut Zstd)
    }

    fn finish(self) -> Result<Uploaded, PushError> {
        let Self { reader, mut upload } = self;
        let (_, root) = reader.finish(&mut upload, &mut Zstd)?;
        upload.finish(root)
    }
}

impl Arriving {
    async fn run(self, upload: Upload, body: Body) -> Result<(VersionInfo, u32), PagesError> {
        let base = self.replica.current();
        let made = self.make(upload, body, &base).await;
        if made.is_err() {
            // A retry finds what is whole of it, also after the power was lost.
            let replica = Arc::clone(&self.replica);
            if let Err(error) = blocking(move || replica.stage().and_then(Stage::sync)).await {
                tracing::warn!(%error, "staged pages may be lost");
            }
        }
        let Self { request, replica, _files, .. } = self;
        // With its last user a replica is closed, which may write; the client need not wait for that.
        request.hub.tasks.spawn_blocking(move || drop((replica, _files)));
        made
    }

    async fn make(
        &self,
        upload: Upload,
        body: Body,
        base: &VersionInfo,
    ) -> Result<(VersionInfo, u32), PagesError> {
        let refused = |error| refusal(error, &self.replica, base.version);
        let uploaded = self.receive(upload, body, base).await?;
        let Uploaded::Changed(prepared) = uploaded else { return Ok((base.clone(), 0)) };
        let prepared = commit::seal(*prepared).await.map_err(refused)?;
        let (request, context) = (&self.request, &self.request.context);
        let made = commit::make_version(&request.hub, &context.database, prepared, &context.requester).await;
        let info = made.map_err(refused)?;
        let (replica, version) = (Arc::clone(&self.replica), info.version);
        let listed = blocking(move || replica.versions(version.checked_add(1), 1)).await?;
        Ok((info, listed.first().map_or(0, |row| row.pages)))
    }

    /// Reads the body to its end.
    async fn receive(&self, upload: Upload, body: Body, base: &VersionInfo) -> Result<Uploaded, PagesError> {
        let refused = |error| refusal(error, &self.replica, base.version);
        let mut stream = body.into_data_stream();
        let mut receiving = Box::new(Receiving { reader: BodyReader::new(None), upload });
        let mut received = 0_u64;
        loop {
            let (bytes, after) = self.gather(&mut stream).await;
            received += bytes.len() as u64;
            if received > self.max_bytes {
                return Err(too_large(self.max_bytes).into());
            }
            if self.held.is_over() {
                return Err(Error::new(Reason::TokenRevoked, "the credential was revoked").into());
            }
            let is_last = matches!(after, After::End);
            let turns = Arc::clone(&self.request.hub.services.pages.upload_turns);
            let turn = turns.acquire_owned().await.map_err(|_| Error::internal())?;
            let step = commit::blocking(move || {
                let _turn = turn;
                receiving.push(&bytes)?;
                if is_last { receiving.finish().map(Step::Whole) } else { Ok(Step::Further(receiving)) }
            });
            match step.await.map_err(refused)? {
                Step::Whole(uploaded) => return Ok(uploaded),
                Step::Further(further) => receiving = further,
            }
            // What came before it broke off is kept.
            if let After::Broken(error) = after {
                return Err(error.into());
            }
            if let Some(accounted) = &self.accounted {
                accounted.passed_on(receiving.reader.waiting_bytes() as u64);
            }
        }
    }

    /// What ended it from outside.
    fn closed_by(&self) -> Error {
        if self.request.context.database.closed().is_cancelled() {
            Error::new(Reason::NotFound, "the database was deleted")
        } else {
            Error::new(Reason::BadBody, "closed by an administrator: push again")
        }
    }

    /// The next bytes, and what is after them.
    async fn gather(&self, stream: &mut axum::body::BodyDataStream) -> (BytesMut, After) {
        let (stopping, closed) = (&self.request.hub.stopping, self.held.closed());
        let mut bytes = BytesMut::new();
        let broken = loop {
            if bytes.len() >= READ_AT_ONCE_BYTES {
                return (bytes, After::More);
            }
            let piece = tokio::select! {
                biased;
                () = stopping.cancelled() => break Error::new(Reason::ShuttingDown, "the hub stops: push again"),
                () = closed.cancelled() => break self.closed_by(),
                piece = stream.next() => piece,
            };
            match piece {
                None => return (bytes, After::End),
                Some(Err(_)) => break Error::new(Reason::BadBody, "the body broke off: push again"),
                Some(Ok(piece)) => {
                    if let Err(spent) = self.request.context.meter.charge(piece.len()) {
                        break spent;
                    }
                    bytes.extend_from_slice(&piece);
                }
            }
        };
        (bytes, After::Broken(broken))
    }
}

/// What is after bytes that came.
enum After {
    More,
    End,
    Broken(Error),
}

enum Step {
    Further(Box<Receiving>),
    Whole(Uploaded),
}
