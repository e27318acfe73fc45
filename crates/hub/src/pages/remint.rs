//! The identities of logs in a fork of a database that the hub writes: two logs that diverge never share one (PAG-31).

use ferry_core::{
    events::{
        admin,
        identity::IdentityChange,
        store::{self, StoreState},
    },
    ops::{
        meta::{self, MetaKey},
        schema,
    },
};
use ferry_sqlite::{NativeSql, Result};
use ferry_types::{DatabaseId, Seq};

use crate::{events::new_backend_id, ops::random_hex};

/// Bytes of randomness in the id of a log of ops, and in its epoch.
const HUB_ID_BYTES: usize = 16;
const EPOCH_BYTES: usize = 8;

/// Who forks what, and when.
pub(super) struct Forked {
    pub(super) of: DatabaseId,
    pub(super) by: String,
    /// RFC 3339, UTC.
    pub(super) at: String,
}

impl Forked {
    /// Gives the logs in the fork identities of their own.
    ///
    /// # Errors
    /// What storage reports, or when the operating system has no randomness.
    pub(super) fn remint(&self, sql: &NativeSql<'_>, seq: Seq) -> Result<()> {
        let reason = format!("fork of {}", self.of);
        for mut row in store::list(sql)? {
            let state = row.state;
            if state == StoreState::Deleted {
                // Made again, it gets an identity of its own.
                continue;
            }
            let new_id = new_backend_id()?;
            let change = IdentityChange {
                commit_seq: seq.0,
                new_id: &new_id,
                actor: &self.by,
                reason: &reason,
                at: &self.at,
            };
            admin::remint(sql, &mut row, &change)?;
            if state == StoreState::Hold {
                // That is its operator's to decide here too.
                store::set_state(sql, &row.key.id, StoreState::Hold)?;
            }
        }
        if schema::exists(sql)? && meta::read(sql)?.is_some() {
            meta::set(sql, MetaKey::HubId, &random_hex(HUB_ID_BYTES)?)?;
            meta::set(sql, MetaKey::Epoch, &random_hex(EPOCH_BYTES)?)?;
        }
        Ok(())
    }
}
