//! Rights on long-lived connections: seen to end within a moment of the change that ends them (TOK-13).

use std::{sync::Arc, time::Duration};

use ferry_auth::{AuthContext, JwtSubject, Principal, TokenHolder};
use ferry_types::{ApiKeyId, Clock, DatabaseId, OpSet, Result, UnixMillis};
use tokio::sync::futures::Notified;

use crate::{
    control_db::ControlDb,
    directory::{
        Directory,
        entries::{DatabaseEntry, RightsLost},
        shared::{Listener, SharedDirectory, Subject},
    },
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

/// Whether nothing that `auth` rests on was taken away: key, epochs, revocation, membership (TOK-03).
pub(crate) fn standing(auth: &AuthContext, directory: &Directory) -> Result<(), RightsLost> {
    let database = directory.database(auth.database_id).ok_or(RightsLost::Database)?;
    let stands = match &auth.principal {
        Principal::SyncToken { holder, database_epoch } => {
            check_holder(holder, directory)
                && database.epoch == *database_epoch
                && role_covers(auth.ops, holder, database, directory)
                && !directory.token_is_revoked(holder.token_id, holder.session_id)
        }
        Principal::Session { holder, .. } => {
            check_holder(holder, directory)
                && role_covers(auth.ops, holder, database, directory)
                && !directory.session_is_revoked(holder.session_id)
        }
        Principal::Jwt(jwt) => {
            database.admits_jwt_of(jwt.issued_unix)
                && settings_let_in(jwt, database.id, directory)
                && !jwt.key.is_withdrawn()
        }
        Principal::ApiKey(id) => directory.api_keys().by_id(*id).is_some(),
        Principal::Anonymous => true,
    };
    let key_stands = auth.beside.is_none_or(|id| directory.api_keys().by_id(id).is_some());
    if stands && key_stands { Ok(()) } else { Err(RightsLost::Revoked) }
}

/// Whether the settings that let a JWT in are still those, and still decide for the database `id`: one with settings of
/// its own takes nobody whom another's let in.
fn settings_let_in(jwt: &JwtSubject, id: DatabaseId, directory: &Directory) -> bool {
    let own = jwt.settings_of == id || !directory.jwt().has_own(id);
    let by = directory.database(jwt.settings_of).filter(|by| by.admits_jwt_of(jwt.issued_unix));
    let entry = by.and_then(|by| directory.jwt_entry_of(jwt.trust, by.id));
    own && entry.is_some_and(|entry| entry.version == jwt.settings_version)
}

/// Whether the key that signed and the user still stand.
pub(crate) fn check_holder(holder: &TokenHolder, directory: &Directory) -> bool {
    directory.ring().knows(holder.kid) && directory.user_stands(holder.user_id, holder.user_epoch)
}

/// Whether the user's role in the database's organisation still allows all of `ops`.
fn role_covers(ops: OpSet, holder: &TokenHolder, database: &DatabaseEntry, directory: &Directory) -> bool {
    database.org_id == holder.org_id
        && directory.role(holder.user_id, holder.org_id).is_some_and(|role| role.ops().includes(ops))
}

/// Watches one connection's rights. It holds all that a connection need keep of them.
pub struct RightsWatch {
    auth: AuthContext,
    state: Arc<SharedDirectory>,
    clock: Arc<dyn Clock>,
    /// Of the user, or of another database whose settings let a JWT in.
    holder: Option<Listener>,
    database: Listener,
}

impl RightsWatch {
    /// Watches what `auth` may lose while its connection lives.
    pub(crate) fn new(db: &ControlDb, auth: &AuthContext) -> Self {
        Self {
            auth: auth.clone(),
            state: Arc::clone(db.state()),
            clock: Arc::clone(db.clock()),
            holder: holder(auth).map(|subject| db.state().listen(subject)),
            database: db.state().listen(Subject::Database(auth.database_id)),
        }
    }

    /// The rights that are watched.
    #[must_use]
    pub const fn auth(&self) -> &AuthContext {
        &self.auth
    }

    /// Why the rights are over, if they are.
    #[must_use]
    pub fn now(&self) -> Option<RightsEnd> {
        self.look().err()
    }

    /// Waits until the rights are over. Dropping the future loses nothing; call it again.
    pub async fn ended(&mut self) -> RightsEnd {
        loop {
            let (holder, database) = (self.holder.as_ref().map(changed), changed(&self.database));
            tokio::pin!(holder, database);
            // Waiting begins before looking, so that no change falls between the two.
            if let Some(holder) = holder.as_mut().as_pin_mut() {
                holder.enable();
            }
            database.as_mut().enable();
            let remaining_ms = match self.look() {
                Err(end) => return end,
                Ok(remaining_ms) => remaining_ms,
            };
            let sleep = Duration::from_millis(remaining_ms.clamp(1, CLOCK_CHECK_MAX_MS));
            tokio::select! {
                () = async {
                    match holder.as_mut().as_pin_mut() {
                        Some(holder) => holder.await,
                        None => std::future::pending().await,
                    }
                } => {}
                () = database => {}
                () = tokio::time::sleep(sleep) => {}
            }
        }
    }

    /// Milliseconds until the credential expires, or why the rights are over.
    fn look(&self) -> Result<u64, RightsEnd> {
        remaining_ms(&self.auth, &self.state.read(), self.clock.now())
    }
}

/// Milliseconds until the credential behind `auth` expires, or why its rights are over.
pub(crate) fn remaining_ms(
    auth: &AuthContext,
    directory: &Directory,
    now: UnixMillis,
) -> Result<u64, RightsEnd> {
    standing(auth, directory).map_err(|lost| match lost {
        RightsLost::Database => RightsEnd::DatabaseDeleted,
        RightsLost::Revoked => RightsEnd::Revoked,
    })?;
    let own = auth.deadline_unix.map(|secs| UnixMillis(secs.saturating_mul(1000)));
    // Rotating an API key shortens its life while connections live on it.
    let keys = match &auth.principal {
        Principal::ApiKey(id) => [Some(*id), auth.beside],
        _ => [auth.beside, None],
    };
    let expires = |id: ApiKeyId| directory.api_keys().by_id(id)?.expires;
    let deadline = keys.into_iter().flatten().filter_map(expires).chain(own).min();
    let Some(deadline) = deadline else { return Ok(u64::MAX) };
    match u64::try_from(deadline.0.saturating_sub(now.0)) {
        Ok(0) | Err(_) => Err(RightsEnd::Expired),
        Ok(remaining_ms) => Ok(remaining_ms),
    }
}

/// Who else than the database may end these rights.
fn holder(auth: &AuthContext) -> Option<Subject> {
    match &auth.principal {
        Principal::Jwt(jwt) if jwt.settings_of != auth.database_id => {
            Some(Subject::Database(jwt.settings_of))
        }
        principal => principal.user_id().map(Subject::User),
    }
}

fn changed(listener: &Listener) -> Notified<'_> {
    listener.notify().notified()
}

#[cfg(test)]
mod tests {
    use tokio::sync::Notify;

    use super::*;

    /// What the two listeners of a connection add that shares neither user nor database with another: the waker
    /// and its entry in the table.
    const LISTENER_BYTES: usize =
        size_of::<Notify>() + 2 * size_of::<usize>() + size_of::<(Subject, usize)>();

    #[test]
    fn a_connection_keeps_little_of_its_rights() {
        // Connections of a token without caveats share their (absent) restrictions.
        let all = size_of::<RightsWatch>() + 2 * LISTENER_BYTES;
        assert!(all <= 512, "{all} bytes");
    }
}
