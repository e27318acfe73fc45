//! What the control plane asks of the databases: their size and sequence, and their end.

use std::{fs, io, path::Path, sync::Arc};

use ferry_types::{DatabaseId, Error, Result, Seq};
use futures_util::{FutureExt as _, future::BoxFuture};
use rusqlite::OptionalExtension as _;

use super::{Database, Databases};
use crate::control::{DatabaseHost, DatabaseStats};

impl DatabaseHost for Databases {
    fn close_and_trash(&self, id: DatabaseId) -> BoxFuture<'_, io::Result<()>> {
        self.trash(id).boxed()
    }

    fn stats(&self, id: DatabaseId) -> BoxFuture<'_, Result<DatabaseStats>> {
        async move {
            let database = self.get(id)?;
            let seq = seq(&database).await?;
            let size_bytes = size_of(database.dir());
            Ok(DatabaseStats {
                size_bytes,
                seq,
                connections: database.connections(),
                ..DatabaseStats::default()
            })
        }
        .boxed()
    }
}

async fn seq(database: &Arc<Database>) -> Result<Seq> {
    // A replica holds nothing of Ferry's: its version stands in its page index, and main.db is left alone.
    let dir = database.dir().to_owned();
    let replica = tokio::task::spawn_blocking(move || ferry_store::pages::peek_version(&dir)).await;
    let replica = replica.map_err(|_| Error::internal())?.map_err(ferry_store::Error::into_refusal)?;
    if let Some(version) = replica {
        return Ok(Seq(version.version));
    }
    if !database.dir().join("main.db").exists() {
        return Ok(Seq(0));
    }
    let seq = database.read(|connection| {
        let row =
            connection.query_row("SELECT value FROM _ferry_meta WHERE key = 'seq'", [], |row| row.get(0));
        Ok(Seq(row.optional()?.unwrap_or(0)))
    });
    seq.await
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
