//! Signing keys while the hub runs (TOK-10): a new one signs at once, the one before verifies until nothing
//! that it signed lives any more, and a retired one voids what it signed at once.

pub(crate) mod list;
pub(crate) mod retire;
pub(crate) mod rotate;

use std::{path::PathBuf, sync::Arc};

use ferry_auth::StoredKeys;
use ferry_types::{Error, Reason, Result, UnixMillis};
use serde_json::json;

use crate::{
    audit::{AuditRow, Who},
    control_db::ControlDb,
    credentials::{
        functions::{change::tell, reseal::reseal},
        key_ring::Keys,
        recheck::refuse_demoted,
        secret_files,
    },
    directory::effects::ControlEffect,
    mail,
    origin::Origin,
};

pub(super) fn precondition(message: &'static str) -> Error {
    Error::new(Reason::FailedPrecondition, message)
}

/// The name of a key as people write it.
pub(super) fn kid_text(kid: u32) -> String {
    format!("{kid:08x}")
}

/// The signing keys of a running hub.
pub struct SigningKeys {
    pub(super) db: Arc<ControlDb>,
    /// Held while the key ring changes, so that changes follow one another.
    pub(super) keys: tokio::sync::Mutex<Keys>,
    data_dir: PathBuf,
    /// The longest that anything signed may live, seconds.
    pub(super) longest_life_seconds: i64,
}

impl SigningKeys {
    /// Those of the hub in `data_dir`.
    pub(crate) fn new(db: Arc<ControlDb>, keys: Keys, data_dir: PathBuf, longest_life_seconds: i64) -> Self {
        Self { db, keys: tokio::sync::Mutex::new(keys), data_dir, longest_life_seconds }
    }

    /// Removes the keys whose last token is dead. A failure is logged; the next sweep tries again.
    pub(crate) async fn prune(&self) {
        let mut keys = self.keys.lock().await;
        let Some(mut stored) = keys.stored.clone() else { return };
        if !stored.prune(self.db.now().as_secs()) {
            return;
        }
        if let Err(error) = self.change_keys(&mut keys, stored, None).await {
            tracing::warn!(%error, "signing keys past their time stay until the next sweep");
        }
    }

    /// The file first, then the commit that announces it: if the commit fails, memory keeps the old keys and the
    /// next change writes the file from them.
    pub(super) async fn change_keys(
        &self,
        keys: &mut Keys,
        stored: StoredKeys,
        note: Option<(UnixMillis, Origin, &'static str, u32)>,
    ) -> Result<()> {
        let ring = Arc::new(keys.ring_with(Some(&stored)));
        let former = self.db.keys();
        let (data_dir, file) = (self.data_dir.clone(), stored.clone());
        self.db
            .write(move |transaction| {
                if let Some((now, origin, action, kid)) = &note {
                    refuse_demoted(transaction.connection(), origin)?;
                    let target = kid_text(*kid);
                    let mut row = AuditRow::ok(*now, origin, Who::Operator, action, &target);
                    row.detail = json!({ "kid": target });
                    row.insert(transaction.connection())?;
                }
                for id in reseal(transaction.connection(), &former, ring.signing())? {
                    tell(transaction, id)?;
                }
                mail::reseal(transaction.connection(), &former, ring.signing())?;
                secret_files::write_keys(&data_dir, &file)?;
                transaction.effect(ControlEffect::KeysChanged(ring));
                Ok(())
            })
            .await?;
        keys.stored = Some(stored);
        Ok(())
    }
}
