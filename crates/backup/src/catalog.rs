//! What is known of a target's packs: where each chunk stands. A file of SQLite beside the hub's data, which may be deleted
//! at any time; without one, all of it is read from the target's indexes.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use ferry_core::backup::{
    ChunkId, PackId, SnapshotId,
    index::{self, PackIndex, Stored},
};
use ferry_types::Leaf;
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::{BackupTarget, DatabaseFileIdentity, Error, Result};

/// Longest index: of four million chunks.
const INDEX_MAX_BYTES: usize = 256 << 20;
const VERSION: i64 = 1;
const TABLES: &str = "
CREATE TABLE indexes(name TEXT PRIMARY KEY) WITHOUT ROWID;
-- `present`: the target lists the pack, with the length that it must have. `damaged`: reading it found it so.
CREATE TABLE packs(
    pack BLOB PRIMARY KEY,
    index_name TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    present INTEGER NOT NULL,
    damaged INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE TABLE chunks(
    chunk BLOB NOT NULL,
    pack BLOB NOT NULL,
    offset INTEGER NOT NULL,
    stored INTEGER NOT NULL,
    length INTEGER NOT NULL,
    PRIMARY KEY(chunk, pack)
) WITHOUT ROWID;
CREATE INDEX chunks_pack ON chunks(pack);
-- Of chunks of pages: what each page of it was.
CREATE TABLE leaves(chunk BLOB PRIMARY KEY, leaves BLOB NOT NULL) WITHOUT ROWID;
-- By what the file of a database was known when this snapshot read it.
CREATE TABLE files(database TEXT PRIMARY KEY, snapshot TEXT NOT NULL, identity BLOB NOT NULL) WITHOUT ROWID;
-- When a snapshot was restored as a whole and compared, in Unix seconds.
PRAGMA user_version = 1;
";

/// Where a chunk stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ChunkPlace {
    pub(crate) pack: PackId,
    pub(crate) stored: Stored,
}

/// The object of a pack.
pub(crate) fn pack_path(pack: PackId) -> String {
    let name = pack.to_string();
    format!("packs/{}/{name}", &name[..2])
}

/// The pack whose object this is.
pub(crate) fn pack_of(path: &str) -> Option<PackId> {
    let pack = path.rsplit('/').next()?.parse().ok()?;
    (pack_path(pack) == path).then_some(pack)
}

/// The object of an index.
pub(crate) fn index_path(name: &str) -> String {
    format!("index/{name}")
}

/// What is known of a target.
pub(crate) struct ChunkCatalog(Connection);

impl ChunkCatalog {
    /// The one kept at `path`, made anew if it is missing or cannot be used.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        if let Ok(catalog) = Self::open_as_it_is(path) {
            return Ok(catalog);
        }
        for file in [path.to_owned(), ferry_sqlite::sidecars::beside(path, "-wal")] {
            let _ = std::fs::remove_file(file);
        }
        Self::open_as_it_is(path)
    }

    fn open_as_it_is(path: &Path) -> Result<Self> {
        let connection = ferry_sqlite::connection::open_writer(path)?;
        // Without its last commits it knows less, never wrong things.
        connection.execute_batch("PRAGMA synchronous=NORMAL; PRAGMA wal_autocheckpoint=1000")?;
        Self::prepare(connection)
    }

    /// One that is forgotten when it is dropped.
    pub(crate) fn temporary() -> Result<Self> {
        Self::prepare(ferry_sqlite::connection::open_temporary()?)
    }

    fn prepare(connection: Connection) -> Result<Self> {
        match connection.query_row("PRAGMA user_version", [], |row| row.get(0))? {
            VERSION => {}
            0 => connection.execute_batch(&format!("BEGIN; {TABLES} COMMIT"))?,
            _ => return Err(Error::Invalid("a newer ferry wrote the catalog of backups".into())),
        }
        Ok(Self(connection))
    }

    /// Learns what the target has now.
    pub(crate) fn sync(&mut self, target: &dyn BackupTarget) -> Result<()> {
        let listed: BTreeSet<String> = target
            .list("index")?
            .into_iter()
            .filter_map(|object| object.path.strip_prefix("index/").map(str::to_owned))
            .collect();
        let known: BTreeSet<String> = {
            let mut statement = self.0.prepare("SELECT name FROM indexes")?;
            let names = statement.query_map([], |row| row.get(0))?;
            names.collect::<rusqlite::Result<_>>()?
        };
        for gone in known.difference(&listed) {
            self.forget_index(gone)?;
        }
        for name in listed.difference(&known) {
            let path = index_path(name);
            let bytes = match target.get(&path, INDEX_MAX_BYTES) {
                // Whoever needs one of its chunks is told that it is in no index.
                Err(Error::Damaged { .. }) => continue,
                read => read?.ok_or_else(|| Error::damaged(&path, "it is missing"))?,
            };
            if let Ok(packs) = index::decode(&bytes) {
                self.add_index(name, &packs, false)?;
            }
        }
        let packs: BTreeMap<PackId, u64> = target
            .list("packs")?
            .into_iter()
            .filter_map(|object| Some((pack_of(&object.path)?, object.bytes)))
            .collect();
        self.note_present(&packs)
    }

    fn note_present(&mut self, listed: &BTreeMap<PackId, u64>) -> Result<()> {
        let transaction = self.0.transaction()?;
        let known: Vec<(Vec<u8>, i64, bool)> = {
            let mut statement = transaction.prepare("SELECT pack, bytes, present FROM packs")?;
            let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
            rows.collect::<rusqlite::Result<_>>()?
        };
        for (pack, bytes, was) in known {
            let id = pack.as_slice().try_into().map(PackId).ok();
            let is =
                id.and_then(|id| listed.get(&id)).is_some_and(|length| i64::try_from(*length) == Ok(bytes));
            if is != was {
                transaction.execute("UPDATE packs SET present = ?2 WHERE pack = ?1", params![pack, is])?;
            }
        }
        transaction.commit()?;
        Ok(())
    }

    /// Takes in what an index says.
    pub(crate) fn add_index(&mut self, name: &str, packs: &[PackIndex], present: bool) -> Result<()> {
        let transaction = self.0.transaction()?;
        {
            let mut pack_row = transaction.prepare(
                "INSERT OR REPLACE INTO packs(pack, index_name, bytes, present) VALUES (?1, ?2, ?3, ?4)",
            )?;
            let mut chunk_row =
                transaction.prepare("INSERT OR REPLACE INTO chunks VALUES (?1, ?2, ?3, ?4, ?5)")?;
            for pack in packs {
                let bytes = i64::try_from(pack.bytes()).unwrap_or(i64::MAX);
                pack_row.execute(params![pack.pack.0, name, bytes, present])?;
                for Stored { chunk, offset, stored, length } in &pack.chunks {
                    chunk_row.execute(params![chunk.0, pack.pack.0, offset, stored, length])?;
                }
            }
        }
        transaction.execute("INSERT OR REPLACE INTO indexes VALUES (?1)", [name])?;
        transaction.commit()?;
        Ok(())
    }

    /// Forgets an index that is gone, with its packs.
    pub(crate) fn forget_index(&mut self, name: &str) -> Result<()> {
        let transaction = self.0.transaction()?;
        let chunks = "DELETE FROM chunks WHERE pack IN (SELECT pack FROM packs WHERE index_name = ?1)";
        for statement in
            [chunks, "DELETE FROM packs WHERE index_name = ?1", "DELETE FROM indexes WHERE name = ?1"]
        {
            transaction.execute(statement, [name])?;
        }
        transaction.execute("DELETE FROM leaves WHERE chunk NOT IN (SELECT chunk FROM chunks)", [])?;
        transaction.commit()?;
        Ok(())
    }

    /// Where a chunk stands, in a pack that is whole if there is one.
    pub(crate) fn find(&self, chunk: ChunkId) -> Result<Option<ChunkPlace>> {
        let sql = "SELECT pack, offset, stored, length FROM chunks JOIN packs USING(pack) WHERE chunk = ?1
                   ORDER BY damaged, present DESC, index_name DESC LIMIT 1";
        let mut statement = self.0.prepare_cached(sql)?;
        let found = statement.query_row([chunk.0], |row| {
            let stored = Stored { chunk, offset: row.get(1)?, stored: row.get(2)?, length: row.get(3)? };
            Ok(ChunkPlace { pack: PackId(row.get(0)?), stored })
        });
        Ok(found.optional()?)
    }

    /// Whether a chunk need not be stored: a pack that is whole, as far as is known, has it.
    pub(crate) fn has(&self, chunk: ChunkId) -> Result<bool> {
        let sql = "SELECT 1 FROM chunks JOIN packs USING(pack) WHERE chunk = ?1 AND present AND NOT damaged LIMIT 1";
        Ok(self.0.prepare_cached(sql)?.exists([chunk.0])?)
    }

    /// Whether all packs are whole, as far as is known.
    pub(crate) fn is_whole(&self) -> Result<bool> {
        let sql = "SELECT 1 FROM packs WHERE damaged OR NOT present LIMIT 1";
        Ok(!self.0.prepare_cached(sql)?.exists([])?)
    }

    /// Whether a pack is there as long as it must be.
    pub(crate) fn is_present(&self, pack: PackId) -> Result<bool> {
        let mut statement = self.0.prepare_cached("SELECT present FROM packs WHERE pack = ?1")?;
        Ok(statement.query_row([pack.0], |row| row.get(0)).optional()?.unwrap_or(false))
    }

    /// Notes that what a pack holds is not what it must: its chunks are stored anew.
    pub(crate) fn note_damaged(&self, pack: PackId) -> Result<()> {
        self.0.execute("UPDATE packs SET damaged = 1 WHERE pack = ?1", [pack.0])?;
        Ok(())
    }

    /// The leaves of a chunk of pages, if they are known.
    pub(crate) fn leaves(&self, chunk: ChunkId) -> Result<Option<Vec<Leaf>>> {
        let mut statement = self.0.prepare_cached("SELECT leaves FROM leaves WHERE chunk = ?1")?;
        let bytes: Option<Vec<u8>> = statement.query_row([chunk.0], |row| row.get(0)).optional()?;
        Ok(bytes.map(|bytes| bytes.as_chunks().0.iter().map(|leaf| Leaf(*leaf)).collect()))
    }

    /// Remembers the leaves of chunks.
    pub(crate) fn set_leaves(&mut self, all: &[(ChunkId, Vec<Leaf>)]) -> Result<()> {
        let transaction = self.0.transaction()?;
        {
            let mut statement =
                transaction.prepare_cached("INSERT OR REPLACE INTO leaves VALUES (?1, ?2)")?;
            for (chunk, leaves) in all {
                let bytes: Vec<u8> = leaves.iter().flat_map(|leaf| leaf.0).collect();
                statement.execute(params![chunk.0, bytes])?;
            }
        }
        transaction.commit()?;
        Ok(())
    }

    /// Whether the file of a database is the one that this snapshot read.
    pub(crate) fn is_unchanged(
        &self,
        database: &str,
        snapshot: SnapshotId,
        identity: &DatabaseFileIdentity,
    ) -> Result<bool> {
        let sql = "SELECT 1 FROM files WHERE database = ?1 AND snapshot = ?2 AND identity = ?3";
        let values = params![database, snapshot.to_string(), identity.bytes()];
        Ok(self.0.prepare_cached(sql)?.exists(values)?)
    }

    /// Remembers which files a snapshot has read.
    pub(crate) fn set_files(
        &mut self,
        snapshot: SnapshotId,
        files: &[(String, DatabaseFileIdentity)],
    ) -> Result<()> {
        let transaction = self.0.transaction()?;
        transaction.execute("DELETE FROM files", [])?;
        {
            let mut statement = transaction.prepare("INSERT INTO files VALUES (?1, ?2, ?3)")?;
            for (database, identity) in files {
                statement.execute(params![database, snapshot.to_string(), identity.bytes()])?;
            }
        }
        transaction.commit()?;
        Ok(())
    }

    /// Begins to note which chunks are needed.
    pub(crate) fn begin_marking(&self) -> Result<()> {
        self.0.execute_batch(
            "CREATE TEMP TABLE IF NOT EXISTS needed(chunk BLOB PRIMARY KEY) WITHOUT ROWID; DELETE FROM needed",
        )?;
        Ok(())
    }

    /// Notes that a chunk is needed; false if that was noted before.
    pub(crate) fn mark(&self, chunk: ChunkId) -> Result<bool> {
        Ok(self.0.prepare_cached("INSERT OR IGNORE INTO needed VALUES (?1)")?.execute([chunk.0])? > 0)
    }

    /// The packs of which no chunk is needed, and to which index they belong.
    pub(crate) fn unneeded_packs(&self) -> Result<Vec<(PackId, String)>> {
        let sql = "SELECT pack, index_name FROM packs WHERE NOT EXISTS (
                       SELECT 1 FROM chunks JOIN needed USING(chunk) WHERE chunks.pack = packs.pack)";
        let mut statement = self.0.prepare(sql)?;
        let rows = statement.query_map([], |row| Ok((PackId(row.get(0)?), row.get(1)?)))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// Whether an index names this pack.
    pub(crate) fn is_known(&self, pack: PackId) -> Result<bool> {
        Ok(self.0.prepare_cached("SELECT 1 FROM packs WHERE pack = ?1")?.exists([pack.0])?)
    }

    /// What an index says.
    pub(crate) fn packs_of_index(&self, name: &str) -> Result<Vec<PackIndex>> {
        let mut statement = self.0.prepare_cached("SELECT pack FROM packs WHERE index_name = ?1")?;
        let packs: Vec<PackId> =
            statement.query_map([name], |row| Ok(PackId(row.get(0)?)))?.collect::<rusqlite::Result<_>>()?;
        let sql = "SELECT chunk, offset, stored, length FROM chunks WHERE pack = ?1 ORDER BY offset";
        let mut statement = self.0.prepare_cached(sql)?;
        let mut all = Vec::new();
        for pack in packs {
            let chunks = statement.query_map([pack.0], |row| {
                let chunk = ChunkId(row.get(0)?);
                Ok(Stored { chunk, offset: row.get(1)?, stored: row.get(2)?, length: row.get(3)? })
            })?;
            all.push(PackIndex { pack, chunks: chunks.collect::<rusqlite::Result<_>>()? });
        }
        Ok(all)
    }
}
