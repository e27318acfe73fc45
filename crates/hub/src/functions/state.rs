//! What functions keep of an open database.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use ferry_core::functions::live::{LiveQueries, ResultCache, SessionLimits, SocketId, TableWrite};
use ferry_database::{ModelState, ModelStats};
use ferry_sqlite::NativeSql;
use ferry_types::{Model, Result, Seq};
use tokio::sync::{Notify, OnceCell, futures::Notified};

use super::{deployed::DeployedSlot, live_result::Rerun, mailbox::Mailbox};
use crate::{
    database::{Database, seq_of},
    events::FunctionHook,
    hub::Hub,
    monotonic::now_ms,
};

/// What a commit of a function changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FunctionsEffect {
    /// Rows.
    Changed {
        /// Of these tables.
        writes: Arc<[TableWrite]>,
        /// Names that the function invalidates itself (FUN-28).
        named: Arc<[Arc<str>]>,
    },
    /// Other functions are called from now on, and the schema may be another one.
    Deployed {
        /// Id of the deployment.
        deployment: Arc<str>,
    },
}

/// What functions keep of an open database.
#[derive(Default)]
pub struct FunctionsState {
    /// The functions that are called.
    pub(super) deployed: DeployedSlot,
    /// What functions turned out to do, by name.
    pub(super) habits: Mutex<HashMap<Arc<str>, Habit>>,
    /// Calls that are under way or wait.
    pub(super) calls: AtomicUsize,
    /// Commits are told here: from then on there is a [`Live`].
    is_tracking: AtomicBool,
    tracked: OnceCell<()>,
    live: Mutex<Option<Live>>,
    /// Something is to be done by the task that keeps results fresh.
    pub(super) woken: Notify,
    pub(super) has_task: AtomicBool,
    /// By the view of a collection: the names that the schema gives it.
    aliases: Mutex<HashMap<String, Vec<Arc<str>>>>,
}

/// What a function turned out to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Habit {
    /// Its last call wrote.
    pub(super) writes: bool,
    /// It waits for the outside (FUN-14).
    pub(super) waits: bool,
}

/// Results that are kept, and who is told of changes.
pub(super) struct Live {
    pub(super) queries: LiveQueries<Arc<Rerun>>,
    pub(super) cache: ResultCache,
    pub(super) sockets: HashMap<SocketId, Arc<Mailbox>>,
    /// Of the secrets that the results were made with.
    env_version: u64,
}

impl Live {
    /// The database's secrets are those of this version: results that were made with others are forgotten.
    pub(super) fn env_is(&mut self, version: u64) {
        if std::mem::replace(&mut self.env_version, version) != version {
            self.cache.clear();
        }
    }
}

impl Live {
    /// A commit changed these rows; `named`: names that a function invalidates itself (FUN-28).
    pub(super) fn committed(&mut self, seq: Seq, writes: &[TableWrite], named: &[Arc<str>]) {
        self.cache.committed(writes);
        let named_tables: Vec<TableWrite> = named.iter().cloned().map(TableWrite::any).collect();
        self.cache.committed(&named_tables);
        self.queries.committed(seq, writes, named, now_ms());
    }
}

impl ModelState for FunctionsState {
    type Effect = FunctionsEffect;

    const MODEL: Model = Model::Functions;

    fn publish(&self, seq: Seq, effect: FunctionsEffect) {
        match effect {
            FunctionsEffect::Changed { writes, named } => {
                self.with_live(|live| live.committed(seq, &writes, &named));
            }
            FunctionsEffect::Deployed { deployment } => {
                self.deployed.forget();
                self.lock_habits().clear();
                self.with_live(|live| {
                    live.cache.clear();
                    live.queries.reset(seq, now_ms());
                    live.sockets.values().for_each(|mailbox| mailbox.deployed(&deployment));
                });
            }
        }
    }

    fn follows_views(&self) -> bool {
        self.is_tracking.load(Ordering::Acquire)
    }

    fn views_changed(&self, seq: Seq, views: &[String]) {
        if views.iter().any(|view| view == "*") {
            self.with_live(|live| {
                live.cache.clear();
                live.queries.reset(seq, now_ms());
            });
            return;
        }
        let writes: Vec<TableWrite> = {
            let aliases = self.aliases.lock().unwrap_or_else(PoisonError::into_inner);
            let declared = views.iter().filter_map(|view| aliases.get(view)).flatten().cloned();
            declared.chain(views.iter().map(|view| Arc::from(view.as_str()))).map(TableWrite::any).collect()
        };
        self.with_live(|live| live.committed(seq, &writes, &[]));
    }

    /// Whether nobody would miss it. Sessions are known to a hub only as long as it remembers them.
    fn is_saved(&self) -> bool {
        self.lock_live().as_ref().is_none_or(|live| live.queries.is_empty())
    }

    fn stats(&self, _: &NativeSql<'_>) -> ferry_sqlite::Result<Option<ModelStats>> {
        Ok(None)
    }
}

impl FunctionsState {
    /// Takes part in what is live: from now on all commits are told here.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub(super) async fn track(hub: &Hub, database: &Arc<Database>) -> Result<()> {
        let state = &database.models().functions;
        let begin = async || {
            let config = &hub.config.functions;
            let limits = SessionLimits { subscriptions: config.subscriptions, sockets: config.sockets };
            let cached_bytes = Arc::clone(&hub.services.functions.cached_bytes);
            *state.lock_live() = Some(Live {
                queries: LiveQueries::unknown(limits),
                cache: ResultCache::new(cached_bytes, config.cache_bytes),
                sockets: HashMap::new(),
                env_version: 0,
            });
            state.is_tracking.store(true, Ordering::SeqCst);
            // A commit that was published before that is in what is read now.
            let seq = if database.has_file().await { database.read(seq_of).await? } else { Seq(0) };
            state.with_live(|live| live.queries.known_since(seq));
            Ok(())
        };
        state.tracked.get_or_try_init(begin).await.copied()
    }

    /// Works with what is live, and wakes who looks after it; `None` if nothing is tracked.
    pub(super) fn with_live<T>(&self, work: impl FnOnce(&mut Live) -> T) -> Option<T> {
        let done = self.look_at_live(work);
        if self.has_task.load(Ordering::Acquire) {
            self.woken.notify_one();
        }
        done
    }

    /// The same for who looks after it, and for who changes nothing.
    pub(super) fn look_at_live<T>(&self, work: impl FnOnce(&mut Live) -> T) -> Option<T> {
        if !self.is_tracking.load(Ordering::Acquire) {
            return None;
        }
        self.lock_live().as_mut().map(work)
    }

    fn lock_live(&self) -> MutexGuard<'_, Option<Live>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_habits(&self) -> MutexGuard<'_, HashMap<Arc<str>, Habit>> {
        self.habits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the function turned out to do.
    pub(super) fn habit(&self, function: &str) -> Habit {
        self.lock_habits().get(function).copied().unwrap_or_default()
    }

    /// Notes what the function turned out to do.
    pub(super) fn note_habit(&self, function: &Arc<str>, change: impl FnOnce(&mut Habit)) {
        change(self.lock_habits().entry(Arc::clone(function)).or_default());
    }

    /// Whether the database has such a hook, or nobody has looked yet.
    pub(crate) fn may_have_hook(&self, hook: FunctionHook) -> bool {
        self.deployed.may_have(hook)
    }

    /// Completes when other functions are deployed.
    pub(crate) fn deployed_anew(&self) -> Notified<'_> {
        self.deployed.changed()
    }

    /// The names that the schema gives to views of collections.
    pub(super) fn set_aliases(&self, aliases: HashMap<String, Vec<Arc<str>>>) {
        *self.aliases.lock().unwrap_or_else(PoisonError::into_inner) = aliases;
    }
}
