//! What the control plane asks of the databases: their size and sequence, and their end.

use std::{fs, io, path::Path, sync::Arc};

use ferry_database::{CONNECTION_DESCRIPTORS, ModelStats, Models as _, SHARED_DESCRIPTORS, main_of, seq_of};
use ferry_sqlite::{Error, NativeSql, pages};
use ferry_types::{DatabaseId, Model, Result, Seq, UnixMillis};
use futures_util::{FutureExt as _, future::BoxFuture};

use crate::database::{Database, Databases};
use ferry_control::{DatabaseHost, DatabaseStats};

/// The hub's databases, as the control plane asks of them.
pub(crate) struct Host(pub(crate) Arc<Databases>);

impl DatabaseHost for Host {
    fn close_and_trash(&self, id: DatabaseId) -> BoxFuture<'_, io::Result<()>> {
        self.0.trash(id).boxed()
    }

    fn stats(&self, id: DatabaseId) -> BoxFuture<'_, Result<DatabaseStats>> {
        async move { stats(&self.0.get(id)?, Reading::Stays).await }.boxed()
    }

    fn stats_of_each(&self, ids: Vec<DatabaseId>) -> BoxFuture<'_, Vec<DatabaseStats>> {
        async move {
            let mut all = Vec::with_capacity(ids.len());
            // One after the other: they may be a thousand, and take the room of one.
            for id in ids {
                let found = match self.0.get(id) {
                    Ok(database) => stats(&database, Reading::Passes).await,
                    Err(error) => Err(error),
                };
                all.push(found.unwrap_or_else(|error| {
                    tracing::warn!(database = %id, %error, "a list tells nothing of a database that cannot be read");
                    DatabaseStats::default()
                }));
            }
            all
        }
        .boxed()
    }
}

/// Whether a closed database is opened for those who come next.
#[derive(Clone, Copy)]
enum Reading {
    Stays,
    Passes,
}

async fn stats(database: &Arc<Database>, reading: Reading) -> Result<DatabaseStats> {
    let connections = database.connections();
    // Of the pages' index, which is open meanwhile.
    let held = match tokio::fs::try_exists(database.dir().join("pages")).await {
        Ok(true) => Some(database.hold_files(SHARED_DESCRIPTORS + CONNECTION_DESCRIPTORS).await?),
        _ => None,
    };
    let looked = Arc::clone(database);
    let replica = tokio::task::spawn_blocking(move || replica_stats(looked.dir())).await;
    let replica = replica.map_err(|_| ferry_types::Error::internal())?.map_err(Error::into_refusal)?;
    drop(held);
    let stats = match replica {
        Some(stats) => stats,
        None => hub_stats(database, reading).await?,
    };
    Ok(DatabaseStats { connections, ..stats })
}

/// State of a database whose file is pushed; `None` if it is not one.
fn replica_stats(dir: &Path) -> ferry_sqlite::Result<Option<DatabaseStats>> {
    let Some(version) = pages::peek_version(dir)? else { return Ok(None) };
    let pages_stats = ModelStats {
        model: Model::Pages,
        head_seq: Seq(version.version),
        items: version.page_count.0.into(),
        bytes: version.bytes(),
        last_activity: (version.version > 0).then_some(version.time),
    };
    let (seq, last_activity) = (pages_stats.head_seq, pages_stats.last_activity);
    Ok(Some(DatabaseStats {
        size_bytes: size_of(dir),
        seq,
        last_activity,
        tag: Some(version.tag()),
        models: vec![pages_stats],
        connections: 0,
    }))
}

async fn hub_stats(database: &Arc<Database>, reading: Reading) -> Result<DatabaseStats> {
    let Ok(metadata) = fs::metadata(main_of(database.dir())) else { return Ok(DatabaseStats::default()) };
    let models = Arc::clone(database.models());
    let read = move |sql: &NativeSql<'_>| {
        // A pushed file that was restored, or put there by hand, has nothing of the hub's, and no index yet.
        if sql.0.table_exists(None, "_ferry_meta")? {
            Ok((seq_of(sql)?, models.stats(sql)?))
        } else {
            Ok((Seq(0), Vec::new()))
        }
    };
    let (seq, models) = match reading {
        Reading::Stays => database.read(read).await?,
        Reading::Passes => database.read_in_passing(read).await?,
    };
    let written = metadata.modified().ok().and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
    let last_activity = written.and_then(|since| i64::try_from(since.as_millis()).ok()).map(UnixMillis);
    let size_bytes = size_of(database.dir());
    Ok(DatabaseStats { size_bytes, seq, last_activity, models, ..DatabaseStats::default() })
}

/// Bytes of all files below `dir`; 0 if there is none.
fn size_of(dir: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(dir) else { return 0 };
    let size = |entry: fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => size_of(&entry.path()),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    };
    entries.flatten().map(size).sum()
}
