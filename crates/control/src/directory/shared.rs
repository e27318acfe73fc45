//! What the publishing side of `control.db` shares with those who ask: the directory, and who waits for which
//! change of it. Order of a revocation: durable commit, memory, broadcast, answer (TOK-12).

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak},
};

use ferry_auth::KeyRing;
use ferry_database::Commit;
use ferry_types::{DatabaseId, UserId};
use tokio::sync::Notify;

use crate::directory::{Directory, effects::ControlEffect};

/// Whose rights may have changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Subject {
    User(UserId),
    Database(DatabaseId),
}

/// The directory, and who waits for which change of it.
pub(crate) struct SharedDirectory {
    directory: RwLock<Directory>,
    /// Wakes the connections that depend on a subject. An entry lives as long as somebody waits.
    listeners: Mutex<HashMap<Subject, Weak<Notify>>>,
}

impl SharedDirectory {
    pub(crate) fn new(directory: Directory) -> Self {
        Self { directory: RwLock::new(directory), listeners: Mutex::default() }
    }

    pub(crate) fn read(&self) -> RwLockReadGuard<'_, Directory> {
        // `apply` cannot panic half-way: every step of it is one insertion or removal.
        self.directory.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn write(&self) -> RwLockWriteGuard<'_, Directory> {
        self.directory.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a commit in: memory first, then the listeners.
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
            self.wake_all();
        } else {
            subjects.into_iter().for_each(|subject| self.wake(subject));
        }
    }

    /// The signing keys as they are now.
    pub(crate) fn keys(&self) -> Arc<KeyRing> {
        Arc::clone(self.read().ring())
    }

    /// Wakes everyone: any credential may have lost its key.
    pub(crate) fn wake_all(&self) {
        let listeners: Vec<_> = self.listeners().values().filter_map(Weak::upgrade).collect();
        listeners.into_iter().for_each(|listener| listener.notify_waiters());
    }

    /// Wakes everyone whose rights depend on `subject`.
    fn wake(&self, subject: Subject) {
        let listener = self.listeners().get(&subject).and_then(Weak::upgrade);
        if let Some(listener) = listener {
            listener.notify_waiters();
        }
    }

    /// A listener to `subject`.
    pub(crate) fn listen(self: &Arc<Self>, subject: Subject) -> Listener {
        let mut listeners = self.listeners();
        let entry = listeners.entry(subject).or_default();
        let notify = entry.upgrade().unwrap_or_else(|| {
            let notify = Arc::new(Notify::new());
            *entry = Arc::downgrade(&notify);
            notify
        });
        drop(listeners);
        Listener { state: Arc::clone(self), subject, notify: Some(notify) }
    }

    fn listeners(&self) -> std::sync::MutexGuard<'_, HashMap<Subject, Weak<Notify>>> {
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(crate) fn listener_count(&self) -> usize {
        self.listeners().len()
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
        | ControlEffect::FunctionsChanged { id, .. }
        | ControlEffect::JwtChanged { id, .. } => Some(Subject::Database(*id)),
        ControlEffect::ApiKeyExpires { database_id, .. }
        | ControlEffect::ApiKeyRevoked { database_id, .. } => Some(Subject::Database(*database_id)),
        // These concern everyone, or nobody who holds a connection.
        ControlEffect::KeysChanged(_)
        | ControlEffect::OrgCreated { .. }
        | ControlEffect::OrgRenamed { .. }
        | ControlEffect::OrgDeleted { .. }
        | ControlEffect::UserCreated { .. }
        | ControlEffect::OperatorChanged { .. }
        | ControlEffect::EmailVerified { .. }
        | ControlEffect::DatabaseCreated(_)
        | ControlEffect::ApiKeyCreated(_)
        | ControlEffect::DatabaseRenamed { .. }
        | ControlEffect::KindChanged { .. } => None,
    }
}

/// Woken when something about its subject changes.
pub(crate) struct Listener {
    state: Arc<SharedDirectory>,
    subject: Subject,
    /// Only empty while being dropped.
    notify: Option<Arc<Notify>>,
}

impl Listener {
    pub(crate) fn notify(&self) -> &Notify {
        self.notify.as_ref().expect("BUG: a listener that is not being dropped has its notify")
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let mut listeners = self.state.listeners();
        self.notify = None;
        // Under the lock nobody can take a new one between the two lines.
        if listeners.get(&self.subject).is_some_and(|listener| listener.strong_count() == 0) {
            listeners.remove(&self.subject);
        }
    }
}
