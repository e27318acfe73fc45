//! The manifest of a snapshot, `snapshots/<id>.json`, and the parts of its list of databases. What is read here may be
//! anybody's: each field is looked at before it names a file, a length or an amount of memory.

use std::{fmt, str::FromStr};

use ferry_types::{DatabaseId, PageCount, PageSize, Root, RunId};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{
    ChunkId, FORMAT, MalformedBackup, SnapshotId, chunk,
    id::hex_id,
    log::{LogSpan, LogStart},
    map::PART_ENTRIES,
};
use crate::pages::{Volatile, tree};

/// Longest manifest.
pub const MANIFEST_MAX_BYTES: usize = 16 << 20;
/// Databases of a part of the list; the last part may have fewer. Few, so that one change makes a small part anew.
pub const PART_DATABASES: usize = 64;
/// Files beside the databases that a backup may hold, and a restore may write.
pub const FILES: &[&str] = &["ferry.toml", "keyring.json", "operator.token"];

/// What a snapshot is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// All of a hub.
    Hub,
    /// One database.
    Database(DatabaseId),
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hub => f.write_str("hub"),
            Self::Database(id) => id.fmt(f),
        }
    }
}

impl FromStr for Scope {
    type Err = MalformedBackup;

    fn from_str(text: &str) -> Result<Self, MalformedBackup> {
        let bad = || MalformedBackup::new("the scope of a backup is hub or the id of a database");
        if text == "hub" { Ok(Self::Hub) } else { text.parse().map(Self::Database).map_err(|_| bad()) }
    }
}

/// Which database: the control plane's, or one of those that it names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SnapshotDatabase {
    /// `control.db`, before all others.
    Control,
    /// `databases/<id>/main.db`.
    Main(DatabaseId),
}

impl fmt::Display for SnapshotDatabase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Control => f.write_str("control"),
            Self::Main(id) => id.fmt(f),
        }
    }
}

impl FromStr for SnapshotDatabase {
    type Err = MalformedBackup;

    fn from_str(text: &str) -> Result<Self, MalformedBackup> {
        let bad = || MalformedBackup::new("a database is called control or by its id");
        if text == "control" { Ok(Self::Control) } else { text.parse().map(Self::Main).map_err(|_| bad()) }
    }
}

/// Types that stand in JSON as their text.
macro_rules! as_text {
    ($($type:ty),+) => {$(
        impl Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )+};
}
as_text!(Scope, SnapshotDatabase, SnapshotId);

hex_id!(
    /// A root, as it stands in JSON.
    RootText, 32, "a root"
);
hex_id!(
    /// The volatile bytes of page 1, as they stand in JSON.
    VolatileText, 14, "the volatile bytes of page 1"
);

/// A file beside the databases.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// Its name in the data directory; one of [`FILES`].
    pub path: String,
    /// What it holds.
    pub chunk: ChunkId,
}

/// A database in a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackedUpDatabase {
    /// Which one.
    pub id: SnapshotDatabase,
    /// What people call it.
    pub name: String,
    /// Its organisation.
    pub org: String,
    /// `hub`, `replica`, `control`, or empty while nothing was written.
    pub kind: String,
    /// Its newest commit; of a replica its version.
    pub seq: u64,
    /// Digest of all of it.
    root: RootText,
    /// 0 if it has no page.
    page_size: u32,
    pages: u32,
    volatile: VolatileText,
    /// `user_version` of its file.
    pub schema: u32,
    /// The parts of its map.
    pub map: Vec<ChunkId>,
    /// Its file could not be read: what stands here is what an earlier snapshot had, of this moment, in Unix milliseconds; 0:
    /// none had it, and nothing stands here. `None`: it was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unread: Option<i64>,
}

/// An image: what its pages are like, whatever they hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageShape {
    /// `None`: no page.
    pub page_size: Option<PageSize>,
    /// How many pages.
    pub pages: PageCount,
    /// Of page 1.
    pub volatile: Volatile,
    /// Digest of all of them.
    pub root: Root,
}

impl ImageShape {
    /// That of a database that was never written.
    #[must_use]
    pub fn empty() -> Self {
        let root = tree::empty_root();
        Self { page_size: None, pages: PageCount(0), volatile: Volatile::NORMAL, root }
    }
}

impl BackedUpDatabase {
    /// One with this image, of which nothing else is told yet.
    #[must_use]
    pub fn new(id: SnapshotDatabase, image: &ImageShape, map: Vec<ChunkId>) -> Self {
        Self {
            id,
            name: String::new(),
            org: String::new(),
            kind: String::new(),
            seq: 0,
            root: RootText(image.root.0),
            page_size: image.page_size.map_or(0, PageSize::get),
            pages: image.pages.0,
            volatile: VolatileText(image.volatile.0),
            schema: 0,
            map,
            unread: None,
        }
    }

    /// Its image.
    #[must_use]
    pub fn image(&self) -> ImageShape {
        ImageShape {
            page_size: PageSize::new(self.page_size),
            pages: PageCount(self.pages),
            volatile: Volatile(self.volatile.0),
            root: Root(self.root.0),
        }
    }

    /// The commit that its image shows; `None`: it has no page.
    #[must_use]
    pub fn shown_seq(&self) -> Option<u64> {
        self.image().page_size.map(|_| self.seq)
    }

    /// Bytes of its file.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        u64::from(self.page_size) * u64::from(self.pages)
    }

    /// Entries of each part of its map, in their order.
    pub fn map_parts(&self) -> impl Iterator<Item = (ChunkId, u32)> {
        let chunks = chunk::count(PageCount(self.pages));
        (0_u32..).zip(&self.map).map(move |(part, id)| {
            (*id, chunks.saturating_sub(part.saturating_mul(PART_ENTRIES)).min(PART_ENTRIES))
        })
    }

    fn check(&self) -> Result<(), MalformedBackup> {
        let bad = |what: &str| Err(MalformedBackup::new(format!("database {}: {what}", self.id)));
        let is_empty = self.page_size == 0 && self.pages == 0;
        if !is_empty && (PageSize::new(self.page_size).is_none() || self.pages == 0) {
            return bad("no image has such a page size, or so few pages");
        }
        let parts = chunk::count(PageCount(self.pages)).div_ceil(PART_ENTRIES);
        if u32::try_from(self.map.len()) != Ok(parts) {
            return bad("its map has another number of parts than its pages need");
        }
        Ok(())
    }
}

/// A part of the list of databases, as it is stored.
///
/// # Panics
/// Never: the entries are text and numbers.
#[must_use]
pub fn encode_databases(databases: &[BackedUpDatabase]) -> Vec<u8> {
    serde_json::to_vec(databases).expect("BUG: text and numbers are JSON")
}

/// Reads a part of the list.
///
/// # Errors
/// When it holds anything else, or more than a part may.
pub fn decode_databases(bytes: &[u8]) -> Result<Vec<BackedUpDatabase>, MalformedBackup> {
    let databases: Vec<BackedUpDatabase> = serde_json::from_slice(bytes)
        .map_err(|error| MalformedBackup::new(format!("a list of databases: {error}")))?;
    if databases.len() > PART_DATABASES {
        return Err(MalformedBackup::new("a part of a list of databases is too long"));
    }
    databases.iter().try_for_each(BackedUpDatabase::check)?;
    Ok(databases)
}

/// What a snapshot is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    format: u32,
    /// Which snapshot.
    pub id: SnapshotId,
    /// The moment that it shows, in Unix milliseconds.
    pub time_ms: i64,
    /// Whose.
    pub hub_id: String,
    /// The program that made it.
    pub hub_version: String,
    /// What it is of.
    pub scope: Scope,
    /// Files beside the databases.
    pub files: Vec<FileEntry>,
    /// How many databases it has.
    pub database_count: u64,
    /// Bytes of all their files.
    pub bytes: u64,
    /// Bytes that were stored for it.
    pub new_bytes: u64,
    /// The parts of the list of its databases.
    pub databases: Vec<ChunkId>,
    /// How many of them could not be read.
    #[serde(default, skip_serializing_if = "is_none_of_them")]
    pub unread_count: u64,
    /// Where the log goes on; `None`: none is shipped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<LogStart>,
    /// What of the log was on the target when it was taken, all of it since there was no gap; `None`: nothing, or nobody knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shipped: Option<LogSpan>,
    /// When the last of its databases had been read, in Unix milliseconds: nothing in it is newer. Told where a log goes on, and
    /// where the clock was set back: then it is later than any moment that the target had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_ms: Option<i64>,
    /// The run that took it; `None`: an older program, or a hub that names no runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunId>,
}

/// What stands between the manifest and its digest, and behind that.
const DIGEST_KEY: &str = ",\"sha256\":\"";
const DIGEST_END: &str = "\"}";

impl Manifest {
    /// One of a snapshot with nothing in it yet.
    #[must_use]
    pub fn new(id: SnapshotId, time_ms: i64, scope: Scope) -> Self {
        Self {
            format: FORMAT,
            id,
            time_ms,
            hub_id: String::new(),
            hub_version: String::new(),
            scope,
            files: Vec::new(),
            database_count: 0,
            bytes: 0,
            new_bytes: 0,
            databases: Vec::new(),
            unread_count: 0,
            log: None,
            shipped: None,
            read_ms: None,
            run: None,
        }
    }

    /// The run that took it, as far as it tells.
    #[must_use]
    pub fn taken_by(&self) -> Option<RunId> {
        self.run.or_else(|| self.log.map(|start| start.run))
    }

    /// As it is stored: JSON, whose last member is the SHA-256 of all before it.
    ///
    /// # Panics
    /// Never: it is text and numbers.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut text = serde_json::to_string(self).expect("BUG: text and numbers are JSON");
        text.pop();
        let digest = digest(&text);
        text.push_str(DIGEST_KEY);
        text.push_str(&digest);
        text.push_str(DIGEST_END);
        text.into_bytes()
    }

    /// Reads the manifest of `id`.
    ///
    /// # Errors
    /// When it was damaged, is another's, or names what no backup holds.
    pub fn decode(id: SnapshotId, bytes: &[u8]) -> Result<Self, MalformedBackup> {
        let bad = |what: &str| MalformedBackup::new(format!("the manifest of {id} {what}"));
        if bytes.len() > MANIFEST_MAX_BYTES {
            return Err(bad("is longer than any"));
        }
        let text = std::str::from_utf8(bytes).map_err(|_| bad("is damaged"))?;
        let signed = text.strip_suffix(DIGEST_END).and_then(|text| text.rsplit_once(DIGEST_KEY));
        let (body, sha256) = signed.ok_or_else(|| bad("is damaged"))?;
        if digest(body) != sha256 {
            return Err(bad("is damaged"));
        }
        // Before its other members, which a later format may have otherwise.
        #[derive(Deserialize)]
        struct Head {
            format: u32,
        }
        let head: Head =
            serde_json::from_str(text).map_err(|error| bad(&format!("is no manifest: {error}")))?;
        if head.format != FORMAT {
            return Err(bad("was written by a newer ferry: use that one"));
        }
        let manifest: Self =
            serde_json::from_str(text).map_err(|error| bad(&format!("is no manifest: {error}")))?;
        if manifest.id != id {
            return Err(bad(&format!("is that of {}", manifest.id)));
        }
        if let Some(file) = manifest.files.iter().find(|file| !FILES.contains(&file.path.as_str())) {
            return Err(bad(&format!("names the file {:?}, which no backup holds", file.path)));
        }
        Ok(manifest)
    }
}

// What `serde` calls it with is a reference.
#[allow(clippy::trivially_copy_pass_by_ref)]
const fn is_none_of_them(count: &u64) -> bool {
    *count == 0
}

fn digest(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use ferry_types::UnixMillis;

    use super::*;

    fn manifest() -> Manifest {
        let id = SnapshotId::new(UnixMillis(1_795_916_520_123), 7);
        let mut manifest = Manifest::new(id, 1_795_916_520_123, Scope::Hub);
        manifest.hub_id = "a \"hub\"".to_owned();
        manifest.files.push(FileEntry { path: "ferry.toml".to_owned(), chunk: ChunkId([1; 32]) });
        manifest.databases.push(ChunkId([2; 32]));
        manifest
    }

    fn signed(json: &serde_json::Value) -> Vec<u8> {
        let mut text = json.to_string();
        text.pop();
        let digest = digest(&text);
        format!("{text}{DIGEST_KEY}{digest}{DIGEST_END}").into_bytes()
    }

    #[test]
    fn a_manifest_survives_its_bytes_and_no_damage() {
        let manifest = manifest();
        let bytes = manifest.encode();
        assert_eq!(Manifest::decode(manifest.id, &bytes), Ok(manifest.clone()));
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1;
            assert!(Manifest::decode(manifest.id, &flipped).is_err(), "byte {at}");
            assert!(Manifest::decode(manifest.id, &bytes[..at]).is_err(), "cut at {at}");
        }
        let other = SnapshotId::new(UnixMillis(1_795_916_520_123), 8);
        assert!(Manifest::decode(other, &bytes).is_err(), "swapped with another");
    }

    #[test]
    fn a_manifest_that_was_made_to_harm_is_refused() {
        let good = serde_json::to_value(manifest()).unwrap();
        let decode = |json: &serde_json::Value| Manifest::decode(manifest().id, &signed(json));
        assert!(decode(&good).is_ok());
        for path in ["../ferry.toml", "/etc/passwd", "a/../../b", "control.db", "", "databases/x/main.db"] {
            let mut bad = good.clone();
            bad["files"][0]["path"] = path.into();
            assert!(decode(&bad).is_err(), "{path}");
        }
        for (member, value) in [("format", 2.into()), ("scope", "../x".into()), ("time_ms", 1e300.into())] {
            let mut bad = good.clone();
            bad[member] = value;
            assert!(decode(&bad).is_err(), "{member}");
        }
        let deep = "[".repeat(100_000).into();
        let mut bad = good;
        bad["hub_id"] = deep;
        assert!(Manifest::decode(manifest().id, &signed(&bad)).is_ok(), "a text is a text");
    }

    #[test]
    fn a_database_has_the_map_that_its_pages_need() {
        let image =
            ImageShape { page_size: PageSize::new(4096), pages: PageCount(65_537), ..ImageShape::empty() };
        let entry = BackedUpDatabase::new(SnapshotDatabase::Control, &image, vec![ChunkId([0; 32]); 2]);
        let bytes = encode_databases(std::slice::from_ref(&entry));
        assert_eq!(decode_databases(&bytes), Ok(vec![entry.clone()]));
        assert_eq!(entry.map_parts().map(|(_, entries)| entries).collect::<Vec<_>>(), [1024, 1]);
        assert_eq!(entry.image(), image);
        let good: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        for (member, value) in [
            ("pages", 1_000_000_000.into()),
            ("pages", 0.into()),
            ("page_size", 4097.into()),
            ("page_size", 0.into()),
            ("id", "../x".into()),
            ("root", "00".into()),
            ("pages", (-1).into()),
        ] as [(&str, serde_json::Value); 7]
        {
            let mut bad = good.clone();
            bad[0][member] = value.clone();
            assert!(decode_databases(bad.to_string().as_bytes()).is_err(), "{member} {value}");
        }
        let many = vec![good[0].clone(); PART_DATABASES + 1];
        assert!(decode_databases(serde_json::Value::from(many).to_string().as_bytes()).is_err());
    }
}
