//! Whose a target is, and where its snapshots stand.

use ferry_core::backup::{FORMAT, SnapshotId};
use serde::{Deserialize, Serialize};

use crate::{BackupKey, BackupTarget, Error, Result, key::CIPHER};

pub(crate) const IDENTITY: &str = "ferry-backup.json";
const IDENTITY_MAX_BYTES: usize = 64 << 10;
pub(crate) const SNAPSHOTS: &str = "snapshots";
/// The cipher of what is not encrypted.
pub(crate) const PLAIN: &str = "none";

/// Whose a target is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetIdentity {
    pub(crate) format: u32,
    /// What tells it from other targets.
    pub target_id: String,
    /// The hub whose backups it holds.
    pub hub_id: String,
    /// How objects are encrypted; `none`.
    pub(crate) cipher: String,
    /// Fingerprint of the key, if they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) key_check: Option<String>,
}

pub(crate) fn manifest_path(id: SnapshotId) -> String {
    format!("{SNAPSHOTS}/{id}.json")
}

/// The snapshot whose manifest this is.
pub(crate) fn snapshot_of(path: &str) -> Option<SnapshotId> {
    path.strip_prefix(SNAPSHOTS)?.strip_prefix('/')?.strip_suffix(".json")?.parse().ok()
}

impl TargetIdentity {
    /// Whether this is the key of what lies there.
    pub(crate) fn check_key(&self, url: &str, key: Option<&BackupKey>) -> Result<()> {
        let its = self.key_check.as_deref().unwrap_or_default();
        match (&*self.cipher, key) {
            (PLAIN, None) => Ok(()),
            (PLAIN, Some(_)) => Err(Error::Invalid(format!(
                "the backups in {url} are not encrypted, and backup.key_file is set: name a target of its own for encrypted \
                 ones, or leave the key out for this one"
            ))),
            (_, None) => Err(Error::WrongKey(format!(
                "the backups in {url} are encrypted with the key {its}: name its file by backup.key_file \
                 (FERRY_BACKUP_KEY_FILE)"
            ))),
            (_, Some(key)) if key.fingerprint() == its => Ok(()),
            (_, Some(key)) => Err(Error::WrongKey(format!(
                "the backups in {url} are encrypted with the key {its}, and backup.key_file holds {}",
                key.fingerprint()
            ))),
        }
    }
}

pub(crate) fn read_identity(target: &dyn BackupTarget) -> Result<Option<TargetIdentity>> {
    let Some(bytes) = target.get(IDENTITY, IDENTITY_MAX_BYTES)? else { return Ok(None) };
    let identity: TargetIdentity =
        serde_json::from_slice(&bytes).map_err(|error| Error::damaged(IDENTITY, error.to_string()))?;
    let is_name = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if identity.format != FORMAT || ![PLAIN, CIPHER].contains(&&*identity.cipher) {
        return Err(Error::Invalid(format!(
            "the backups in {} were written by a newer ferry: use that one",
            target.url()
        )));
    }
    if !is_name(&identity.target_id) {
        return Err(Error::damaged(IDENTITY, "its target_id is no name"));
    }
    Ok(Some(identity))
}
