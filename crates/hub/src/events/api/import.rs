//! `POST …/stores/{store}/import`: an export becomes a store, or goes on behind one; all of it or nothing (EVT-46).

use std::{
    fs::File,
    sync::{Arc, Mutex, PoisonError},
};

use axum::body::Body;
use ferry_core::events::{
    StoreRow,
    identity::IdentityChange,
    import::{BadImport, Check, ImportRequest, ImportWriter, Mode, Refused, admit},
};
use ferry_protocol::events::{CommittedEvent, ExportHeader};
use ferry_types::{DatabaseKind, Error, Reason, Seq, limits::EVENTS_IMPORT_MAX_BYTES};
use http::StatusCode;
use serde_json::json;

use super::{
    admin::audit,
    answer::{Answer, ViewError},
    request::EventsApiRequest,
    spool::{self, Lines},
};
use crate::{
    database::Effect,
    events::{
        Publication,
        hooks::{TOLD, deliver},
        open::new_backend_id,
        open_store, watermarks,
    },
    http::Query,
};

/// What a line has beside the arguments of its event.
const LINE_OVERHEAD_BYTES: usize = 8 << 10;

pub(super) async fn post(
    request: &EventsApiRequest,
    store_id: &str,
    query: &Query<'_>,
    body: Body,
) -> Result<Answer, ViewError> {
    let mode = match query.text("mode") {
        None | Some("create") => Mode::Create,
        Some("append") => Mode::Append,
        Some(_) => return Err(ViewError::bad_request("mode: expected create or append")),
    };
    let keep = match query.text("backendId") {
        None | Some("keep") => true,
        Some("mint") => false,
        Some(_) => return Err(ViewError::bad_request("backendId: expected keep or mint")),
    };
    request.check_id(store_id)?;
    // One that exists is opened first: it may have to be held.
    let found = match request.existing(store_id).await {
        Ok(store) => Some(store),
        Err(error) if error.is_not_found() => None,
        Err(error) => return Err(error),
    };
    let file = spool::receive(request, body, EVENTS_IMPORT_MAX_BYTES).await?;
    let line_max = request.hub.config.events.max_frame_bytes + LINE_OVERHEAD_BYTES;
    let checked = tokio::task::spawn_blocking(move || check(file, line_max)).await;
    let (header, file) = checked.map_err(|_| Error::internal())??;
    let import = Import { store_id: store_id.to_owned(), header, file, line_max, mode, keep };
    let count = import.header.count;
    let control = &request.hub.control;
    let requester = &request.context.requester;
    let claim = control.kinds.claim(request.context.database.id(), DatabaseKind::Hub, requester).await?;
    let written = import.write(request).await;
    if written.is_err() && claim.set_by_this_call {
        control.kinds.release(request.context.database.id(), requester).await?;
    }
    let (row, seq) = written?;
    match found {
        Some(store) => deliver(&request.hub, &request.context.database, &store),
        None => {
            // What the hub remembers of an earlier store of this name says nothing of this one.
            control.watermarks.forget(request.context.database.id(), store_id).await?;
            open_store(&request.hub, &request.context.database, store_id, None).await?;
        }
    }
    watermarks::save(&request.hub).await;
    let detail = json!({"newId": row.backend_id, "newHead": row.head, "count": count});
    audit(request, "events.import", store_id, detail).await?;
    let text = json!({
        "store": row.key.id, "backendId": row.backend_id, "head": row.head, "count": count,
        "seq": seq.map(|seq| seq.0),
    });
    Ok(Answer::json(StatusCode::OK, text.to_string(), seq))
}

/// Reads the whole file before anything is written.
fn check(file: File, line_max: usize) -> Result<(ExportHeader, File), ViewError> {
    let disk = |error: std::io::Error| ViewError::from(ferry_sqlite::Error::Io(error).into_refusal());
    let (mut lines, mut check, mut number) = (Lines::of(file, line_max), Check::default(), 0);
    while let Some(line) = lines.next().map_err(disk)? {
        number += 1;
        let line = line.map_err(|why| bad(&BadImport { line: number, why: why.to_owned() }))?;
        check.line(line).map_err(|error| bad(&error))?;
    }
    let header = check.finish().map_err(|error| bad(&error))?;
    Ok((header, lines.rewound().map_err(disk)?))
}

fn bad(bad: &BadImport) -> ViewError {
    let refused = ViewError::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_import", bad.to_string());
    refused.with("line", bad.line)
}

/// A checked file and where it goes.
struct Import {
    store_id: String,
    header: ExportHeader,
    file: File,
    line_max: usize,
    mode: Mode,
    keep: bool,
}

impl Import {
    async fn write(self, request: &EventsApiRequest) -> Result<(StoreRow, Option<Seq>), ViewError> {
        let new_id = new_backend_id()?;
        let (actor, now) = (request.context.auth.principal(), request.hub.clock.now().to_string());
        let refusal = Arc::new(Mutex::new(None));
        let refused = Arc::clone(&refusal);
        let committed = request
            .context
            .database
            .submit(&request.context.requester, move |transaction| {
                let commit_seq = transaction.seq().0;
                let change =
                    IdentityChange { commit_seq, new_id: &new_id, actor: &actor, reason: "import", at: &now };
                let row = self.run(transaction, change, &refused)?;
                transaction.effect(Effect::Events(Publication::replaced(row.clone())));
                Ok(row)
            })
            .await;
        let refused = refusal.lock().unwrap_or_else(PoisonError::into_inner).take();
        match (committed, refused) {
            (Ok(committed), _) => Ok((committed.value, committed.seq)),
            (Err(_), Some(refused)) => Err(why(&refused)),
            (Err(error), None) => Err(error.into()),
        }
    }

    /// Inside the writer. A refusal is an error, so that nothing of it stays.
    fn run(
        self,
        transaction: &ferry_sqlite::writer::Transaction<'_, Effect>,
        change: IdentityChange<'_>,
        refusal: &Mutex<Option<Refused>>,
    ) -> ferry_sqlite::Result<StoreRow> {
        let sql = transaction.sql();
        let wanted = ImportRequest { mode: self.mode, keep: self.keep, change };
        let row = match admit(&sql, &self.store_id, &self.header, &wanted)? {
            Ok(row) => row,
            Err(refused) => {
                *refusal.lock().unwrap_or_else(PoisonError::into_inner) = Some(refused);
                return Err(Error::new(Reason::FailedPrecondition, "the import is refused").into());
            }
        };
        let old_head = row.head;
        let mut writer = ImportWriter::new(row, transaction.seq().0, change.actor);
        let mut lines = Lines::of(self.file, self.line_max);
        lines.next()?;
        for _ in 0..self.header.count {
            let line = lines.next()?.and_then(Result::ok);
            let event = line.and_then(|line| CommittedEvent::decode(line).ok());
            let gone =
                || ferry_sqlite::Error::Damaged("a spooled import is no longer what was checked".into());
            writer.push(&sql, event.ok_or_else(gone)?)?;
        }
        writer.finish(&sql, &TOLD, old_head)
    }
}

fn why(refused: &Refused) -> ViewError {
    match refused {
        Refused::NotEmpty => ViewError::conflict(
            "not_empty",
            "the store has events: import with mode=append (ferry events import --append), or reset or delete it first",
        ),
        Refused::NoStore => ViewError::new(StatusCode::NOT_FOUND, "not_found", "store not found"),
        Refused::OnHold => {
            ViewError::conflict("store_hold", "the store is on hold: remint or resume it first")
        }
        Refused::Head(head) => {
            let message = format!("the first event must follow the newest one here, {head}");
            ViewError::conflict("wrong_head", message).with("head", *head)
        }
        Refused::Identity => ViewError::conflict(
            "backend_mismatch",
            "only an empty store can take the file's backendId: import with backendId=mint",
        ),
    }
}
