//! `POST restore`: a backup that a deployment made is put back (FUN-67). Everything that goes on with the database ends
//! first; events and ops find the older file at their next use, as they do a file that an operator put back.

use std::{path::Path, sync::Arc};

use axum::response::Response;
use ferry_core::{
    functions::deploy::active_id,
    records::{RecordMaintenance as _, maintenance::begin_epoch, sqlite::SqliteRecords},
};
use ferry_protocol::functions::{MovedAnswer, RestoreBody};
use ferry_sqlite::backups::{self, Restored, Restoring};
use ferry_types::{DatabaseId, Error, Reason, Result};

use super::{DeployCall, answer, refusal::DeployError};
use crate::{functions::replaced_file::replace_file, hub::Hub, lineage::Lineage};

pub(super) async fn run(asked: &DeployCall<'_>) -> Result<Response, DeployError> {
    let RestoreBody { backup, lose_writes } = RestoreBody::decode(asked.body)?;
    let database = &asked.context.database;
    if !database.has_file().await {
        return Err(Error::new(Reason::NotFound, "this database was never written: it has no backups").into());
    }
    asked.context.requester.recheck()?;
    let wanted = WantedBackup {
        name: backup.clone(),
        lose_writes,
        epoch: super::make::random_hex()?,
        now: asked.hub.clock.now(),
    };
    let (hub, id) = (Arc::clone(asked.hub), database.id());
    // Whoever asks may go: what is begun is finished.
    let restored = asked.hub.tasks.spawn(async move { put_back(&hub, id, wanted).await });
    let restored = restored.await.map_err(|_| Error::internal())??;
    tracing::warn!(
        database = %id, by = %asked.context.requester.principal, backup, lost = restored.lost,
        "a backup is put back"
    );
    let now = asked.hub.databases.get(id)?;
    let deployment = now.read(|sql| active_id(sql)).await?;
    let answer =
        MovedAnswer { deployment: deployment.as_deref(), seq: restored.seq.0, lost: Some(restored.lost) };
    Ok(answer::json(&answer, restored.seq))
}

struct WantedBackup {
    name: String,
    lose_writes: bool,
    epoch: String,
    now: ferry_types::UnixMillis,
}

async fn put_back(hub: &Arc<Hub>, id: DatabaseId, wanted: WantedBackup) -> Result<Restored> {
    // Before anything ends: a backup that cannot be put back disturbs nobody.
    let (name, lose_writes) = (wanted.name.clone(), wanted.lose_writes);
    let dir = hub.databases.dir_of(id);
    let checked =
        tokio::task::spawn_blocking(move || backups::check(&dir, &Restoring { name: &name, lose_writes }));
    checked.await.map_err(|_| Error::internal())?.map_err(ferry_sqlite::Error::into_refusal)?;
    let refusal = Error::new(Reason::Busy, "a backup of the database is being put back: try again")
        .retry_after_ms(1_000);
    let lineage = hub.lineage.clone();
    let seq = |restored: &Restored| restored.seq;
    replace_file(hub, id, refusal, seq, move |dir| restore(dir, &wanted, lineage.as_deref())).await
}

fn restore(dir: &Path, wanted: &WantedBackup, lineage: Option<&Lineage>) -> ferry_sqlite::Result<Restored> {
    let restoring = Restoring { name: &wanted.name, lose_writes: wanted.lose_writes };
    backups::restore(dir, &restoring, |sql, _| {
        // `seq` goes on rising, by which the age of records is told: they are told here.
        let records = SqliteRecords::new(sql);
        if records.exists()? && records.epoch()?.is_some() {
            begin_epoch(&records, &wanted.epoch, wanted.now.into())?;
        }
        // As the file has it that it takes the place of.
        lineage.map_or(Ok(()), |lineage| lineage.adopt(sql))
    })
}
