//! Rights on long-lived connections: seen to end within a moment of the change that ends them (TOK-13).

use std::{sync::Arc, time::Duration};

use ferry_auth::AuthContext;
use ferry_types::{Clock, DatabaseId, OpSet, OrgId, SessionId, TokenId, UserId};

use super::{
    Control,
    directory::{Directory, Lost},
    state::{Bell, State, Subject},
};

/// Longest sleep before the wall clock is looked at again: it may have been set forward meanwhile.
const CLOCK_CHECK_MAX_MS: u64 = 60_000;

/// Why a connection's rights are over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RightsEnd {
    /// The credential's time is over. A model may grant a short grace.
    Expired,
    /// The credential was revoked, or its owner's role no longer covers what the connection may do.
    Revoked,
    /// The database is gone.
    DatabaseDeleted,
}

/// What of an [`AuthContext`] may be taken away later.
#[derive(Clone, Copy)]
pub(super) struct Standing {
    pub(super) kid: u32,
    pub(super) user_id: UserId,
    pub(super) user_epoch: u32,
    pub(super) org_id: OrgId,
    pub(super) database_id: DatabaseId,
    pub(super) database_epoch: u32,
    pub(super) session_id: SessionId,
    pub(super) token_id: TokenId,
    /// What the connection may do; the role must cover it all.
    pub(super) ops: OpSet,
}

impl Standing {
    /// Whether nothing of it was taken away: epochs, revocation, membership (TOK-03).
    pub(super) fn check(&self, directory: &Directory) -> Result<(), Lost> {
        let database = directory.database(self.database_id).ok_or(Lost::Database)?;
        let role = directory.role(self.user_id, self.org_id).ok_or(Lost::Revoked)?;
        let stands = directory.ring().knows(self.kid)
            && directory.user_stands(self.user_id, self.user_epoch)
            && database.epoch == self.database_epoch
            && database.org_id == self.org_id
            && !directory.token_is_revoked(self.token_id, self.session_id)
            && role.ops().includes(self.ops);
        if stands { Ok(()) } else { Err(Lost::Revoked) }
    }
}

/// Watches one connection's rights.
pub struct RightsWatch {
    standing: Standing,
    deadline_unix: i64,
    state: Arc<State>,
    clock: Arc<dyn Clock>,
    user: Bell,
    database: Bell,
}

impl Control {
    /// Watches what `auth` may lose while its connection lives.
    pub fn watch(&self, auth: &AuthContext) -> RightsWatch {
        let standing = Standing {
            kid: auth.kid,
            user_id: auth.user_id,
            user_epoch: auth.user_epoch,
            org_id: auth.org_id,
            database_id: auth.database_id,
            database_epoch: auth.database_epoch,
            session_id: auth.session_id,
            token_id: auth.token_id,
            ops: auth.ops,
        };
        RightsWatch {
            standing,
            deadline_unix: auth.deadline_unix,
            state: Arc::clone(&self.state),
            clock: Arc::clone(&self.clock),
            user: self.state.bell(Subject::User(auth.user_id)),
            database: self.state.bell(Subject::Database(auth.database_id)),
        }
    }
}

impl RightsWatch {
    /// Why the rights are over, if they are.
    #[must_use]
    pub fn now(&self) -> Option<RightsEnd> {
        match self.standing.check(&self.state.read()) {
            Err(Lost::Database) => return Some(RightsEnd::DatabaseDeleted),
            Err(Lost::Revoked) => return Some(RightsEnd::Revoked),
            Ok(()) => {}
        }
        (self.remaining_ms() == 0).then_some(RightsEnd::Expired)
    }

    /// Waits until the rights are over. Dropping the future loses nothing; call it again.
    pub async fn ended(&mut self) -> RightsEnd {
        loop {
            let (user, database) = (self.user.notify().notified(), self.database.notify().notified());
            tokio::pin!(user, database);
            // Waiting begins before looking, so that no change falls between the two.
            user.as_mut().enable();
            database.as_mut().enable();
            if let Some(end) = self.now() {
                return end;
            }
            let sleep = Duration::from_millis(self.remaining_ms().clamp(1, CLOCK_CHECK_MAX_MS));
            tokio::select! {
                () = user => {}
                () = database => {}
                () = tokio::time::sleep(sleep) => {}
            }
        }
    }

    fn remaining_ms(&self) -> u64 {
        let deadline_ms = self.deadline_unix.saturating_mul(1000);
        u64::try_from(deadline_ms.saturating_sub(self.clock.now().0)).unwrap_or(0)
    }
}
