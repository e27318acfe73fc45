//! The file of a database is replaced under a running hub: by a copy that a deployment made, or by a backup. Everything that
//! goes on with the database ends first; each model finds at its next use what became of the file.

use std::{path::Path, sync::Arc};

use ferry_types::{DatabaseId, Error, Result, Seq};

use crate::{
    functions::state::FunctionsState, hub::Hub, models::for_each_model, monotonic::now_ms, shell::Shell,
};

macro_rules! save_watermarks {
    ($($name:ident: $model:ident, $config:ident, $state:ident, $service:ident;)+) => {
        /// Tells the control plane how far each database is: what the file lacks afterwards is known by that.
        async fn save_watermarks(hub: &Hub) {
            $(<crate::$name::$service as Shell>::save_watermarks(hub).await;)+
            if let Some(lineage) = &hub.lineage {
                lineage.save_positions(&hub.databases).await;
            }
        }
    };
}
for_each_model!(save_watermarks);

/// Has `work` put another file in the place of the database's, in whose folder it runs, and has those who watched results be
/// told what they are now; `seq_of` says of which commit the new file is. Meanwhile others are refused with `refusal`.
///
/// # Errors
/// What `work` reports.
pub(crate) async fn replace_file<T: Send + 'static>(
    hub: &Arc<Hub>,
    id: DatabaseId,
    refusal: Error,
    seq_of: impl FnOnce(&T) -> Seq,
    work: impl FnOnce(&Path) -> ferry_sqlite::Result<T> + Send + 'static,
) -> Result<T> {
    // What pages show is what was: who comes back is told so.
    let before = hub.databases.get(id)?;
    let shown = before.models().functions.look_at_live(|live| live.queries.shown()).unwrap_or_default();
    drop(before);
    let saved = async || save_watermarks(hub).await;
    let replaced = hub.databases.replace(id, refusal, saved, work).await?;
    if !shown.is_empty() {
        let database = hub.databases.get(id)?;
        FunctionsState::track(hub, &database).await?;
        let state = &database.models().functions;
        state.with_live(|live| live.queries.expect(shown, seq_of(&replaced), now_ms()));
        hub.services.functions.look_after(&database);
    }
    Ok(replaced)
}
