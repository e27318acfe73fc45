//! What the control plane asks of the databases: their size and sequence, and their end.

use std::{fs, io, path::Path, sync::Arc};

use ferry_sqlite::{Error, pages};
use ferry_types::{DatabaseId, Model, Result, Seq, UnixMillis};
use futures_util::{FutureExt as _, future::BoxFuture};

use super::{
    Database, Databases,
    files::{CONNECTION_DESCRIPTORS, SHARED_DESCRIPTORS},
    main_of, seq_of,
};
use crate::{
    control::{DatabaseHost, DatabaseStats, LaneStats},
    events,
};

impl DatabaseHost for Databases {
    fn close_and_trash(&self, id: DatabaseId) -> BoxFuture<'_, io::Result<()>> {
        self.trash(id).boxed()
    }

    fn stats(&self, id: DatabaseId) -> BoxFuture<'_, Result<DatabaseStats>> {
        async move {
            let database = self.get(id)?;
            let connections = database.connections();
            // Of the pages' index, which is open meanwhile.
            let _held = database.hold_files(SHARED_DESCRIPTORS + CONNECTION_DESCRIPTORS).await?;
            let looked = Arc::clone(&database);
            let replica = tokio::task::spawn_blocking(move || replica_stats(looked.dir())).await;
            let replica =
                replica.map_err(|_| ferry_types::Error::internal())?.map_err(Error::into_refusal)?;
            let stats = match replica {
                Some(stats) => stats,
                None => hub_stats(&database).await?,
            };
            Ok(DatabaseStats { connections, ..stats })
        }
        .boxed()
    }

    fn sizes(&self, ids: Vec<DatabaseId>) -> BoxFuture<'_, Vec<u64>> {
        let dirs: Vec<_> = ids.into_iter().map(|id| self.dir_of(id)).collect();
        async move {
            let count = dirs.len();
            let sized = tokio::task::spawn_blocking(move || dirs.iter().map(|dir| size_of(dir)).collect());
            sized.await.unwrap_or_else(|_| vec![0; count])
        }
        .boxed()
    }
}

/// State of a database whose file is pushed; `None` if it is not one.
fn replica_stats(dir: &Path) -> ferry_sqlite::Result<Option<DatabaseStats>> {
    let Some(version) = pages::peek_version(dir)? else { return Ok(None) };
    let lane = LaneStats {
        model: Model::Pages,
        head_seq: Seq(version.version),
        items: version.page_count.0.into(),
        bytes: version.bytes(),
        last_activity: (version.version > 0).then_some(version.time),
    };
    let (seq, last_activity) = (lane.head_seq, lane.last_activity);
    Ok(Some(DatabaseStats {
        size_bytes: size_of(dir),
        seq,
        last_activity,
        tag: Some(version.tag()),
        lanes: vec![lane],
        connections: 0,
    }))
}

async fn hub_stats(database: &Arc<Database>) -> Result<DatabaseStats> {
    let Ok(metadata) = fs::metadata(main_of(database.dir())) else { return Ok(DatabaseStats::default()) };
    let read = database.read(|connection| {
        let lanes: Vec<LaneStats> = events::lane(connection)?.into_iter().collect();
        Ok((seq_of(connection)?, lanes))
    });
    let (seq, lanes) = read.await?;
    let written = metadata.modified().ok().and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
    let last_activity = written.and_then(|since| i64::try_from(since.as_millis()).ok()).map(UnixMillis);
    let size_bytes = size_of(database.dir());
    Ok(DatabaseStats { size_bytes, seq, last_activity, lanes, ..DatabaseStats::default() })
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
