//! One database of a running hub is read into a snapshot. No writer waits for it (OPR-02), and its file is opened through
//! SQLite alone (OPR-03).

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use ferry_backup::{DatabaseFileIdentity, Error, JobProgress, Result, SnapshotWriter};
use ferry_control::DatabaseEntry;
use ferry_core::backup::manifest::{self, SnapshotDatabase};
use ferry_database::{CONNECTION_DESCRIPTORS, main_of};
use ferry_sqlite::pages::{
    CaptureSlot, PageSource,
    dbpage::{Schema, Snapshot},
};
use ferry_sqlite::wal_base;
use ferry_types::{DatabaseId, DatabaseKind, Tag};
use tokio::runtime::Handle;

use crate::{hub::Hub, pages};

/// A database whose file could not be read.
pub(super) struct UnreadDatabase {
    id: DatabaseId,
    name: String,
    /// Why.
    why: String,
    /// Of which moment is what stands for it, in Unix milliseconds; 0: nothing does.
    of_ms: i64,
    stands_as: Option<Tag>,
}

impl UnreadDatabase {
    pub(super) const fn id(&self) -> DatabaseId {
        self.id
    }

    /// The version that stands for it.
    pub(super) const fn stands_as(&self) -> Option<Tag> {
        self.stands_as
    }

    /// What the operator is told.
    pub(super) fn told(&self) -> serde_json::Value {
        serde_json::json!({ "id": self.id.to_string(), "name": self.name, "why": self.why, "of_unix_ms": self.of_ms })
    }
}

/// Adds a database as it is now. One whose file cannot be read keeps none of the others out: what the target has of it
/// stands for it, and is told of.
pub(super) fn add_or_leave(
    hub: &Arc<Hub>,
    runtime: &Handle,
    writer: &mut SnapshotWriter<'_>,
    database: &DatabaseEntry,
    progress: &JobProgress,
) -> Result<Option<UnreadDatabase>> {
    let error = match add_database(hub, runtime, writer, database, progress) {
        Err(Error::Sqlite(error)) if error.is_of_the_file() => error,
        added => return added.map(|()| None),
    };
    tracing::error!(
        database = %database.id, %error,
        "a database cannot be read, and is in the backup as the target had it, if it did"
    );
    let entry = writer.take_last(database.id, progress)?;
    let unread = UnreadDatabase {
        id: database.id,
        name: database.name.to_string(),
        why: error.to_string(),
        of_ms: entry.unread.unwrap_or(0),
        stands_as: entry.shown_seq().map(|seq| Tag::new(seq, &entry.image().root)),
    };
    writer.add(described(entry, database), None)?;
    Ok(Some(unread))
}

/// Adds a database as it is now.
pub(super) fn add_database(
    hub: &Arc<Hub>,
    runtime: &Handle,
    writer: &mut SnapshotWriter<'_>,
    database: &DatabaseEntry,
    progress: &JobProgress,
) -> Result<()> {
    let id = SnapshotDatabase::Main(database.id);
    let main = find_main(hub, database.id)?;
    let (Some(kind), Some(main)) = (database.kind, main) else {
        return writer.add(described(SnapshotWriter::empty_entry(id), database), None);
    };
    let identity = DatabaseFileIdentity::of(&main).map_err(ferry_sqlite::Error::from)?;
    if let Some(known) = writer.unchanged(id, identity.as_ref())? {
        return writer.add(described(known, database), identity);
    }
    metrics::counter!("ferry_backup_databases_read_total").increment(1);
    let last = writer.last_map(id)?;
    let (image, seq) = match kind {
        // Of one that is captured a version that its log knows: upon another one it could not be played.
        DatabaseKind::Hub | DatabaseKind::Replica
            if kind == DatabaseKind::Replica || is_logged(hub, database.id, &main) =>
        {
            let held = hub.databases.get(database.id).map_err(refused)?;
            let pinned = runtime.block_on(pages::pinned(hub, &held)).map_err(refused)?;
            let source: &dyn PageSource = &pinned;
            (writer.take(source, &last, progress)?, source.info().version)
        }
        DatabaseKind::Hub | DatabaseKind::Replica => {
            wal_base::check(&main)?;
            let held = hub.databases.get(database.id).map_err(refused)?;
            let _permit = runtime.block_on(held.hold_files(CONNECTION_DESCRIPTORS)).map_err(refused)?;
            let snapshot = Snapshot::open(&main, Schema::Read)?;
            let seq = snapshot.seq()?.0;
            (writer.take(&snapshot, &last, progress)?, seq)
        }
    };
    let mut entry = writer.entry(id, &image)?;
    entry.seq = seq;
    writer.add(described(entry, database), identity)
}

/// Whether the log may have, or get, a part of this file that does not begin with all of it.
fn is_logged(hub: &Hub, id: DatabaseId, main: &Path) -> bool {
    let dir = hub.databases.dir_of(id);
    hub.config.backup.log.is_some() && main == main_of(&dir) && CaptureSlot::was_captured(&dir)
}

fn refused(error: ferry_types::Error) -> Error {
    Error::Sqlite(error.into())
}

fn described(mut entry: manifest::BackedUpDatabase, database: &DatabaseEntry) -> manifest::BackedUpDatabase {
    entry.name = database.name.to_string();
    entry.org = database.org_id.to_string();
    entry.kind = database.kind.map_or("", DatabaseKind::as_str).to_owned();
    entry
}

/// The file of a database: in its place, or in the trash if it was deleted after the moment that the snapshot shows. `None`:
/// nothing was ever written.
fn find_main(hub: &Hub, id: DatabaseId) -> Result<Option<PathBuf>> {
    let main = main_of(&hub.databases.dir_of(id));
    if main.exists() {
        return Ok(Some(main));
    }
    let trash = hub.config.process.data_dir.join("trash");
    in_trash(&trash, id).map_err(|error| Error::Sqlite(error.into()))
}

fn in_trash(trash: &Path, id: DatabaseId) -> io::Result<Option<PathBuf>> {
    let entries = match std::fs::read_dir(trash) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        read => read?,
    };
    let prefix = format!("{id}-");
    for entry in entries {
        let entry = entry?;
        let main = main_of(&entry.path());
        if entry.file_name().to_string_lossy().starts_with(&prefix) && main.exists() {
            return Ok(Some(main));
        }
    }
    Ok(None)
}
