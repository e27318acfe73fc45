//! The ops of the one store that a hub serves, for who runs in its own process: what apps ask at the spoke's socket.

use std::sync::{Arc, Mutex, PoisonError};

use ferry_core::ops::{
    OpsRefusal, Prefixes, Texts,
    append::{AppendedOps, OpWriter, append},
    conflict, entity, meta,
    resolve::resolve,
};
use ferry_protocol::ops::{
    AppendParams, ConflictPage, ConflictsListParams, EntityListParams, EntityPage, EntityView, ResolveParams,
    WrittenOps,
};
use ferry_sqlite::NativeSql;
use ferry_types::{Error, OpSeq, OriginId, Reason, Result};

use super::{
    api::{Drawn, note_conflicts},
    maintenance, storage, watermark,
};
use crate::{database::Database, hub::Hub};
use ferry_control::Requester;

/// In whose name the socket's apps write.
const LOCAL_PRINCIPAL: &str = "socket";

/// The log of the store that a hub serves.
pub struct LocalOps {
    hub: Arc<Hub>,
    database: Arc<Database>,
    /// Texts that are being edited go on under one client id.
    drawn: Arc<Mutex<Drawn>>,
}

/// How the log stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalState {
    /// Its identity.
    pub hub_id: String,
    /// Its epoch.
    pub epoch: String,
    /// Highest number given to an op.
    pub head: OpSeq,
    /// The store's own origin.
    pub origin: Option<OriginId>,
    /// Open conflicts.
    pub conflicts: u64,
}

/// What a write comes to.
pub type LocalWrite = Result<WrittenOps, OpsRefusal>;

impl LocalOps {
    /// The store of a hub that serves one.
    ///
    /// # Errors
    /// When it serves none, or stops.
    pub fn new(hub: &Arc<Hub>) -> Result<Self> {
        let id = hub.control.default_database();
        let id = id.ok_or_else(|| Error::new(Reason::NotFound, "this hub has no database of its own"))?;
        let database = hub.databases.get(id)?;
        Ok(Self { hub: Arc::clone(hub), database, drawn: Arc::new(Mutex::new(Drawn::new()?)) })
    }

    /// Writes ops, all or none; they are durable when this returns.
    ///
    /// # Errors
    /// What the actor or storage reports.
    pub async fn append(&self, params: AppendParams) -> Result<LocalWrite> {
        self.write(move |sql, by, texts, new_id| append(sql, &params.ops, by, texts, new_id)).await
    }

    /// Decides a conflict.
    ///
    /// # Errors
    /// What the actor or storage reports.
    pub async fn resolve(&self, params: ResolveParams) -> Result<LocalWrite> {
        self.write(move |sql, by, texts, new_id| resolve(sql, &params, Prefixes(&[]), by, texts, new_id))
            .await
    }

    /// What the ops of an entity come to.
    ///
    /// # Errors
    /// What storage reports.
    pub async fn entity(&self, name: String) -> Result<Option<EntityView>> {
        Ok(self.read(move |sql| entity::get(sql, &name)).await?.flatten())
    }

    /// A page of entities.
    ///
    /// # Errors
    /// What storage reports.
    pub async fn entities(&self, params: EntityListParams) -> Result<EntityPage> {
        let page = self.read(move |sql| entity::list(sql, &params, Prefixes(&[]))).await?;
        Ok(page.unwrap_or(EntityPage { entities: Vec::new(), next: None }))
    }

    /// A page of conflicts.
    ///
    /// # Errors
    /// What storage reports.
    pub async fn conflicts(&self, params: ConflictsListParams) -> Result<ConflictPage> {
        let page = self.read(move |sql| conflict::list(sql, &params, Prefixes(&[]))).await?;
        Ok(page.unwrap_or(ConflictPage { conflicts: Vec::new(), next: None }))
    }

    /// How the log stands.
    ///
    /// # Errors
    /// What storage reports.
    pub async fn state(&self) -> Result<LocalState> {
        let found = self.read(|sql| Ok((meta::read(sql)?, meta::origin(sql)?, conflict::open_count(sql)?)));
        let (log, origin, conflicts) = found.await?.unwrap_or_default();
        let log = log.map_or_else(|| storage::log_to_come(&self.database), Ok)?;
        Ok(LocalState { hub_id: log.hub_id, epoch: log.epoch, head: log.head, origin, conflicts })
    }

    /// As every request does that is let in.
    async fn enter(&self) -> Result<()> {
        if watermark::compare(&self.hub, &self.database).await? {
            maintenance::opened(&self.hub, &self.database);
        }
        Ok(())
    }

    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&NativeSql<'_>) -> ferry_sqlite::Result<T> + Send + 'static,
    ) -> Result<Option<T>> {
        self.enter().await?;
        storage::read(&self.database, work).await
    }

    async fn write(
        &self,
        work: impl FnOnce(
            &NativeSql<'_>,
            &OpWriter<'_>,
            &mut Texts,
            &mut dyn FnMut() -> String,
        ) -> ferry_sqlite::Result<Result<AppendedOps, OpsRefusal>>
        + Send
        + 'static,
    ) -> Result<LocalWrite> {
        self.enter().await?;
        let (hub, drawn, by) = (Arc::clone(&self.hub), Arc::clone(&self.drawn), Requester::hub());
        let committed = storage::write(&self.hub, &self.database, &by, move |writer| {
            let mut drawn = drawn.lock().unwrap_or_else(PoisonError::into_inner);
            drawn.write(writer, &hub, LOCAL_PRINCIPAL, work)
        });
        Ok(committed.await?.value.outcome.map(|appended| {
            note_conflicts(&self.hub, &self.database, &appended);
            WrittenOps { ops: appended.written }
        }))
    }
}
