//! Where backups lie: objects with names, made once and never changed.

use crate::Result;

/// An object of a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectInfo {
    /// Its path.
    pub path: String,
    /// Its bytes.
    pub bytes: u64,
    /// When it was made, in Unix seconds by the target's clock.
    pub made: i64,
}

/// Held by whoever changes a target; let go when dropped.
pub trait TargetLock: Send {
    /// Asked before what others could undo.
    ///
    /// # Errors
    /// When it was lost.
    fn check(&self) -> Result<()>;
}

/// A place for objects. Paths are relative, with `/` between their parts.
pub trait BackupTarget: Send + Sync {
    /// Its address, without secrets.
    fn url(&self) -> &str;

    /// Makes an object, whole or not at all, on disk when it returns. False if there is one of this path: that one stays.
    ///
    /// # Errors
    /// When the target cannot be written.
    fn put_new(&self, path: &str, bytes: &[u8]) -> Result<bool>;

    /// Whether it is the target itself that makes an object only once; else this process looked before it wrote.
    fn creates_once(&self) -> bool;

    /// Whether an object is replaced only by whoever names the tag that it has: tried with a tag that none has.
    ///
    /// # Errors
    /// When the target cannot be written.
    fn swaps(&self, path: &str) -> Result<bool>;

    /// The whole object, of `max_bytes` at most; `None`: there is none.
    ///
    /// # Errors
    /// When it cannot be read, or is longer.
    fn get(&self, path: &str, max_bytes: usize) -> Result<Option<Vec<u8>>>;

    /// Bytes `offset` up to `offset + length` of an object.
    ///
    /// # Errors
    /// When it is missing, shorter, or cannot be read.
    fn get_range(&self, path: &str, offset: u64, length: usize) -> Result<Vec<u8>>;

    /// The objects below a folder.
    ///
    /// # Errors
    /// When they cannot be listed.
    fn list(&self, folder: &str) -> Result<Vec<ObjectInfo>>;

    /// Removes an object; one that is not there is removed.
    ///
    /// # Errors
    /// When it cannot be removed.
    fn delete(&self, path: &str) -> Result<()>;

    /// Keeps others from changing the target meanwhile.
    ///
    /// # Errors
    /// When somebody else does.
    fn lock(&self) -> Result<Box<dyn TargetLock>>;

    /// Removes what writers that were killed left before `before`, in Unix seconds.
    ///
    /// # Errors
    /// When the target cannot be read.
    fn remove_leftovers(&self, before: i64) -> Result<()>;
}
