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

/// By which an object that is replaced is known, until it is replaced again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectTag(pub(crate) String);

/// Held by whoever changes a target; let go when dropped.
pub trait TargetLock: Send {
    /// Asked before what others could undo.
    ///
    /// # Errors
    /// When it was lost.
    fn check(&self) -> Result<()>;
}

/// A place for objects, which are made once and stay as they are but for the one that is replaced. Paths are relative, with `/` between their parts.
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

    /// The whole object, of `max_bytes` at most, and its tag; `None`: there is none.
    ///
    /// # Errors
    /// When it cannot be read, or is longer.
    fn get_tagged(&self, path: &str, max_bytes: usize) -> Result<Option<(Vec<u8>, ObjectTag)>>;

    /// Puts an object in the place of the one that has the tag `was`, or where none is. False: another one stands there by now. Where the
    /// target does not know such conditions this process looks before it writes.
    ///
    /// # Errors
    /// When the target cannot be written.
    fn replace(&self, path: &str, bytes: &[u8], was: Option<&ObjectTag>) -> Result<bool>;

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
