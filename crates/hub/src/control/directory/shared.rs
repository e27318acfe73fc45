//! What the publishing side of `control.db` shares with those who ask: the directory, and who waits for which
//! change of it. Order of a revocation: durable commit, memory, broadcast, answer (TOK-12).

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak},
};

use ferry_auth::KeyRing;
use ferry_types::{DatabaseId, UserId};
use tokio::sync::Notify;

use crate::control::directory::{Directory, effects::ControlEffect};
use ferry_database::Commit;

/// Whose rights may have changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Subject {
    User(UserId),
    Database(DatabaseId),
}

/// The directory, and who waits for which change of it.
pub(crate) struct State {
    directory: RwLock<Directory>,
    /// Wakes the connections that depend on a subject. An entry lives as long as somebody waits.
    bells: Mutex<HashMap<Subject, Weak<Notify>>>,
}

impl State {
    pub(crate) fn new(directory: Directory) -> Self {
        Self { directory: RwLock::new(directory), bells: Mutex::default() }
    }

    pub(crate) fn read(&self) -> RwLockReadGuard<'_, Directory> {
        // `apply` cannot panic half-way: every step of it is one insertion or removal.
        self.directory.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn write(&self) -> RwLockWriteGuard<'_, Directory> {
        self.directory.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a commit in: memory first, then the bells.
    pub(crate) fn publish(&self, commit: Commit<ControlEffect>) {
        let mut subjects: Vec<_> = commit.effects.iter().filter_map(subject).collect();
        // One change may revoke many tokens of one user.
        subjects.dedup();
        let keys_changed =
            commit.effects.iter().any(|effect| matches!(effect, ControlEffect::KeysChanged(_)));
        {
            let mut directory = self.write();
            commit.effects.into_iter().for_each(|effect| directory.apply(effect));
        }
        if keys_changed {
            self.ring_all();
        } else {
            subjects.into_iter().for_each(|subject| self.ring(subject));
        }
    }

    /// The signing keys as they are now.
    pub(crate) fn keys(&self) -> Arc<KeyRing> {
        Arc::clone(self.read().ring())
    }

    /// Wakes everyone: any credential may have lost its key.
    pub(crate) fn ring_all(&self) {
        let bells: Vec<_> = self.bells().values().filter_map(Weak::upgrade).collect();
        bells.into_iter().for_each(|bell| bell.notify_waiters());
    }

    /// Wakes everyone whose rights depend on `subject`.
    fn ring(&self, subject: Subject) {
        let bell = self.bells().get(&subject).and_then(Weak::upgrade);
        if let Some(bell) = bell {
            bell.notify_waiters();
        }
    }

    /// The bell of `subject`.
    pub(crate) fn bell(self: &Arc<Self>, subject: Subject) -> Bell {
        let mut bells = self.bells();
        let entry = bells.entry(subject).or_default();
        let notify = entry.upgrade().unwrap_or_else(|| {
            let notify = Arc::new(Notify::new());
            *entry = Arc::downgrade(&notify);
            notify
        });
        drop(bells);
        Bell { state: Arc::clone(self), subject, notify: Some(notify) }
    }

    fn bells(&self) -> std::sync::MutexGuard<'_, HashMap<Subject, Weak<Notify>>> {
        self.bells.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(crate) fn bell_count(&self) -> usize {
        self.bells().len()
    }
}

/// Whose connections a change may end.
const fn subject(effect: &ControlEffect) -> Option<Subject> {
    match effect {
        ControlEffect::SessionRevoked { user_id, .. }
        | ControlEffect::TokenRevoked { user_id, .. }
        | ControlEffect::UserChanged { user_id, .. }
        | ControlEffect::MembershipChanged { user_id, .. }
        | ControlEffect::UserDeleted { user_id } => Some(Subject::User(*user_id)),
        ControlEffect::DatabaseDeleted { id }
        | ControlEffect::DatabaseEpoch { id, .. }
        | ControlEffect::JwtChanged { id, .. } => Some(Subject::Database(*id)),
        ControlEffect::ApiKeyExpires { database_id, .. }
        | ControlEffect::ApiKeyRevoked { database_id, .. } => Some(Subject::Database(*database_id)),
        // These concern everyone, or nobody who holds a connection.
        ControlEffect::KeysChanged(_)
        | ControlEffect::OrgCreated { .. }
        | ControlEffect::OrgRenamed { .. }
        | ControlEffect::OrgDeleted { .. }
        | ControlEffect::UserCreated { .. }
        | ControlEffect::EmailVerified { .. }
        | ControlEffect::DatabaseCreated(_)
        | ControlEffect::ApiKeyCreated(_)
        | ControlEffect::DatabaseRenamed { .. }
        | ControlEffect::KindChanged { .. } => None,
    }
}

/// Rings when something about its subject changes.
pub(crate) struct Bell {
    state: Arc<State>,
    subject: Subject,
    /// Only empty while being dropped.
    notify: Option<Arc<Notify>>,
}

impl Bell {
    pub(crate) fn notify(&self) -> &Notify {
        self.notify.as_ref().expect("BUG: a bell that is not being dropped has its notify")
    }
}

impl Drop for Bell {
    fn drop(&mut self) {
        let mut bells = self.state.bells();
        self.notify = None;
        // Under the lock nobody can take a new one between the two lines.
        if bells.get(&self.subject).is_some_and(|bell| bell.strong_count() == 0) {
            bells.remove(&self.subject);
        }
    }
}
