//! The server: opens the data, accepts connections, and stops in order (CFG-06).

use std::{net::SocketAddr, sync::Arc, time::Duration};

use ferry_types::{
    Clock, UnixMillis,
    limits::{EVENTS_WATERMARK_EVERY_MS, JWKS_REFRESH_EVERY_MS, SHUTDOWN_GRACE_MS, USAGE_FLUSH_MS},
};
use tokio::time::MissedTickBehavior;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    backup::{
        Backups, KeptState, StartAnchors, follow_anchors, follow_log, follow_schedule, restore_if_empty,
        ship_the_last,
    },
    clock,
    config::{Config, ConfigError, Isolation},
    connections::{LiveConnections, StuckClients},
    console::Console,
    data_dir::{
        self, DataDirLock, DataDirLost,
        lineage::{FoundLineage, LineageAnswer},
    },
    database::{Databases, FileLimits, InlineRuns, OpenFiles},
    database_host::Host,
    descriptors::Descriptors,
    doctor::Doctor,
    events, functions, health,
    http::{MemoryPool, UntakenAnswers},
    hub::{Hub, Services},
    lineage::StartingRun,
    listener::HttpListener,
    memory, routes,
    series::{STEP_SECONDS, SeriesStore},
    shells,
    tls::Certificates,
    traces::Traces,
};
use ferry_backup::NewIdentity;
use ferry_control::Control;
use ferry_core::events::OnRollback;
use ferry_database::FileCheck;

/// How long the mails in hand may take when the hub stops.
const MAIL_END_MAX: Duration = Duration::from_secs(20);

/// Threads that may block beside the runtime's own: reads, pushes, files, and all that functions hold at most.
#[must_use]
pub fn blocking_threads_max() -> usize {
    /// Of everything but functions.
    const OTHERS: usize = 512;
    OTHERS + functions::threads_max()
}

/// The process's descriptors, and no more processes of functions than they suffice for.
fn share_descriptors(config: &mut Config) -> Descriptors {
    let functions = &mut config.functions;
    let is_apart = functions.isolation == Isolation::Process;
    let wanted = if is_apart { functions.processes as u64 } else { 0 };
    let descriptors = Descriptors::claim(config.listener.max_connections, wanted);
    let (limit, processes) = (descriptors.limit, descriptors.processes);
    if processes < wanted {
        tracing::warn!(
            limit,
            wanted,
            processes,
            "functions.processes is more than the limit of open files allows: raise it (ulimit -n)"
        );
        functions.processes = usize::try_from(processes).unwrap_or(usize::MAX);
    }
    descriptors
}

/// A hub that is open and listens, but does not serve yet.
pub struct Server {
    hub: Arc<Hub>,
    listener: HttpListener,
    certificates: Option<Arc<Certificates>>,
    /// What its backup targets showed.
    anchors: StartAnchors,
    /// Only empty while it serves.
    lock: Option<DataDirLock>,
}

impl Server {
    /// Opens the data directory and binds the address.
    ///
    /// # Errors
    /// For anything that an operator must mend: exit code 78.
    pub async fn open(mut config: Config, clock: Arc<dyn Clock>) -> Result<Self, ConfigError> {
        health::recorder();
        let certificates = config.listener.tls.as_ref().map(Certificates::open).transpose()?.map(Arc::new);
        if clock.now() >= clock::LATEST {
            tracing::warn!(
                "the system's clock is beyond the year 2199: set it right, nothing expires meanwhile"
            );
        }
        config.warnings.iter().for_each(|warning| tracing::warn!(warning, "a setting should be mended"));
        let mut lock = data_dir::open(&config.process.data_dir)?;
        fill_if_empty(&config, &clock).await?;
        let descriptors = share_descriptors(&mut config);
        let limits = FileLimits::of(
            config.process.max_open_databases,
            descriptors.databases,
            memory::available_bytes(),
        );
        let inline = Arc::new(InlineRuns::default());
        let databases = Arc::new(Databases::new(
            &config.process.data_dir,
            OpenFiles::new(limits),
            Arc::clone(&inline),
            Arc::clone(&clock),
            config.pages.capture(),
        ));
        // Before anything is written: whether it is known where the data comes from. A spoke's store knows that of itself.
        let (starting, anchors) = match config.store {
            None => {
                let (starting, anchors) = begin_run(&config).await?;
                (Some(starting), anchors)
            }
            Some(_) => (None, StartAnchors::default()),
        };
        let run = starting.as_ref().map(|starting| starting.new);
        let control = Control::open(config.control.clone(), run, &inline, Arc::clone(&clock)).await?;
        lock.note_control_db();
        control.check_default_database()?;
        if let (Some(store), Some(id)) = (&config.store, control.default_database()) {
            data_dir::link_store(&databases.dir_of(id), store)?;
        }
        control.storage.set_host(Arc::new(Host(Arc::clone(&databases))));
        control.storage.finish_deletions().await;
        let listener = HttpListener::bind(
            &config.listener,
            descriptors,
            certificates.as_ref().map(Certificates::acceptor),
        )?;
        let lineage = match starting {
            Some(starting) => {
                let new_identity = match config.events.on_rollback {
                    OnRollback::Hold => None,
                    OnRollback::Remint => Some(events::new_backend_id as NewIdentity),
                };
                let lineage = starting.named(&control, &clock, new_identity).await?;
                databases.check_files(Arc::clone(&lineage) as Arc<dyn FileCheck>);
                Some(lineage)
            }
            None => None,
        };
        let started = clock.now();
        let hub = Hub {
            lineage,
            console: Console::new(&databases, &config),
            connections: Arc::new(LiveConnections::new(started)),
            stuck: StuckClients::default(),
            doctor: Doctor::default(),
            series: SeriesStore::default(),
            traces: Arc::new(Traces::new(&config.otlp)),
            services: Services::new(&config, control.http_client()),
            body_memory: Arc::new(MemoryPool::new(config.listener.body_memory_bytes)),
            untaken: Arc::new(UntakenAnswers::new(config.listener.response_memory_bytes)),
            config,
            descriptors,
            started,
            clock,
            control,
            databases,
            stopping: CancellationToken::new(),
            tasks: TaskTracker::new(),
        };
        Ok(Self { hub: Arc::new(hub), listener, certificates, anchors, lock: Some(lock) })
    }

    /// The address it listens on.
    ///
    /// # Errors
    /// When the socket has gone.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.address()
    }

    /// What the routes hold.
    #[must_use]
    pub const fn hub(&self) -> &Arc<Hub> {
        &self.hub
    }

    /// `http` or `https`.
    #[must_use]
    pub const fn scheme(&self) -> &'static str {
        self.listener.scheme()
    }

    /// What its operator should mend, of what the start found.
    #[must_use]
    pub fn start_warnings(&self) -> Vec<String> {
        let listener = &self.hub.config.listener;
        let plain = (listener.dashboard && listener.is_plain_from_afar()).then(|| {
            let port = self.address().map_or(listener.listen.port(), |address| address.port());
            format!(
                "browsers of other machines cannot sign in over plain http: set tls_cert and tls_key, or have a proxy with https in \
                 front and set public_url; until then ssh -L {port}:127.0.0.1:{port} HOST, and open the links at \
                 http://127.0.0.1:{port}/_/"
            )
        });
        self.anchors.warnings.iter().cloned().chain(plain).collect()
    }

    /// What it shows to clients that speak TLS.
    #[must_use]
    pub const fn certificates(&self) -> Option<&Arc<Certificates>> {
        self.certificates.as_ref()
    }

    /// Serves until `shutdown` is cancelled, then stops: requests in flight have 10 s, sockets are closed with
    /// 1001, accepted writes finish, files are closed. Meanwhile `/readyz` answers 503.
    ///
    /// # Errors
    /// When the data directory is no longer the one that was opened: the process must end at once, without another
    /// write.
    pub async fn run(mut self, shutdown: CancellationToken) -> Result<(), DataDirLost> {
        let mut lock = self.lock.take();
        let lost = async {
            match &mut lock {
                Some(lock) => lock.lost().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            lost = lost => Err(lost),
            () = self.serve(shutdown) => Ok(()),
        }
    }

    async fn serve(self, shutdown: CancellationToken) {
        let backups = Arc::new(Backups::new(&self.hub, self.anchors));
        let app = routes::router(&self.hub, &backups);
        let connections = TaskTracker::new();
        let mut housekeeping = vec![
            tokio::spawn(housekeeping(Arc::clone(&self.hub))),
            tokio::spawn(close_idle(Arc::clone(&self.hub))),
            tokio::spawn(keep_series(Arc::clone(&self.hub), Arc::clone(&backups))),
            tokio::spawn(follow_schedule(Arc::clone(&backups))),
            tokio::spawn(follow_anchors(Arc::clone(&backups))),
        ];
        let log = follow_log(&backups);
        let mailer = self.hub.config.mail.as_ref().map(|mail| {
            let (mailer, hub) = (Arc::clone(&mail.mailer), &self.hub);
            let (control, clock) = (Arc::clone(&hub.control), Arc::clone(&hub.clock));
            tokio::spawn(mailer.follow(control, clock, hub.stopping.clone()))
        });
        housekeeping
            .extend(self.certificates.clone().map(|certificates| tokio::spawn(certificates.follow())));
        let end_of_traces = CancellationToken::new();
        let traces = self.hub.traces.export(
            &self.hub.config.otlp,
            self.hub.control.http_client(),
            end_of_traces.clone(),
        );
        shells::start(&self.hub);
        tokio::select! {
            () = shutdown.cancelled() => {}
            never = self.listener.accept(&app, &self.hub.stopping, &connections) => match never {},
        }

        self.hub.stopping.cancel();
        connections.close();
        self.hub.tasks.close();
        let drained = async {
            connections.wait().await;
            self.hub.tasks.wait().await;
        };
        // Load balancers ask `/readyz` to the end: who connects now is answered, and not waited for.
        let (latecomers, no_stop) = (TaskTracker::new(), CancellationToken::new());
        tokio::select! {
            done = tokio::time::timeout(Duration::from_millis(SHUTDOWN_GRACE_MS), drained) => {
                if done.is_err() {
                    tracing::warn!("requests still running after {SHUTDOWN_GRACE_MS} ms are cut off");
                }
            }
            never = self.listener.accept(&app, &no_stop, &latecomers) => match never {},
        }
        housekeeping.iter().for_each(tokio::task::JoinHandle::abort);
        end_of_traces.cancel();
        // A mail that was taken is noted as sent: else it is sent again.
        let end_of_mail = async {
            if let Some(mut mailer) = mailer
                && tokio::time::timeout(MAIL_END_MAX, &mut mailer).await.is_err()
            {
                mailer.abort();
            }
        };
        // Everybody has been answered: what was acknowledged is all there is. Backups wait for no mail server: what is noted of
        // its answers behind them is missing in them at most.
        tokio::join!(ship_the_last(&backups, log), end_of_mail);
        save_positions(&self.hub).await;
        self.hub.databases.stop().await;
        self.hub.control.flush_usage().await;
        if let Some(lineage) = &self.hub.lineage {
            lineage.end().await;
        }
        self.hub.control.stop().await;
        // A collector that does not answer delays nothing else.
        if let Some(traces) = traces {
            let _ = traces.await;
        }
    }
}

/// Begins a run over what the data directory holds, once it is known where that comes from; and what the targets of backups showed.
async fn begin_run(config: &Config) -> Result<(StartingRun, StartAnchors), ConfigError> {
    Control::check(&config.control)?;
    let dir = &config.process.data_dir;
    let found = data_dir::lineage::lineage(dir)?;
    let kept = KeptState::read(dir);
    let mut anchors = StartAnchors::look(&config.backup, &kept, &found.rows).await;
    let found = FoundLineage { verdict: found.verdict.with(anchors.sign), ..found };
    let verdict = found.settled(dir, config.process.on_copied)?;
    anchors.is_broken = verdict.to_do() == Some(LineageAnswer::Restored);
    Ok((StartingRun::begin(dir, &found, verdict)?, anchors))
}

/// Restores the newest backup into an empty data directory, if the settings say so.
async fn fill_if_empty(config: &Config, clock: &Arc<dyn Clock>) -> Result<(), ConfigError> {
    let (dir, backup, clock) = (config.process.data_dir.clone(), config.backup.clone(), Arc::clone(clock));
    let filled = tokio::task::spawn_blocking(move || restore_if_empty(&dir, &backup, &*clock)).await;
    filled.unwrap_or_else(|error| Err(ConfigError(format!("backup.restore_if_empty: {error}"))))
}

/// Closes databases that were not used for a while, and gives their memory back.
async fn close_idle(hub: Arc<Hub>) {
    let mut due = tokio::time::interval(Duration::from_secs(hub.config.process.idle_close_seconds));
    due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        due.tick().await;
        if hub.databases.sweep().await {
            // The allocator keeps what is free between pieces in use; it is looked for on a thread that may wait.
            let _ = tokio::task::spawn_blocking(ferry_sqlite::memory::give_back).await;
        }
    }
}

/// Keeps what the hub's numbers are, for those who look later (OPR-58).
async fn keep_series(hub: Arc<Hub>, backups: Arc<Backups>) {
    let mut due = tokio::time::interval(Duration::from_secs(STEP_SECONDS.into()));
    due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        due.tick().await;
        let (looked, backups) = (Arc::clone(&hub), Arc::clone(&backups));
        // Some numbers are read from files.
        let taken = tokio::task::spawn_blocking(move || {
            looked.series.take(&health::metrics_text(&looked, &backups), looked.clock.now().as_secs());
        });
        if let Err(error) = taken.await {
            tracing::warn!(%error, "the hub's numbers cannot be kept");
        }
    }
}

/// What a job writes in the trash is younger, whatever `trash_retention_days` says.
const JOB_MAX_MS: i64 = 24 * 3600 * 1000;

/// Removes the files of databases that were deleted or replaced so long ago. What a job still writes there is younger.
async fn empty_trash(hub: &Hub) {
    let days = i64::try_from(hub.config.control.trash_retention_days).unwrap_or(i64::MAX);
    let kept_ms = days.saturating_mul(24 * 3600 * 1000).max(JOB_MAX_MS);
    let before = UnixMillis(hub.clock.now().0.saturating_sub(kept_ms));
    if let Err(error) = hub.databases.empty_trash(before).await {
        tracing::warn!(%error, "emptying the trash failed; it is tried again in an hour");
    }
}

/// Tells the control plane how far everything is.
async fn save_positions(hub: &Hub) {
    shells::save_watermarks(hub).await;
    if let Some(lineage) = &hub.lineage {
        lineage.save_positions(&hub.databases).await;
    }
}

/// What the hub does on its own: stores what was counted, sweeps the control plane, warns of `--dev`.
async fn housekeeping(hub: Arc<Hub>) {
    let mut usage = tokio::time::interval(Duration::from_millis(USAGE_FLUSH_MS));
    let mut looked_at = tokio::time::interval(Duration::from_secs(60));
    let mut hourly = tokio::time::interval(Duration::from_secs(3600));
    let mut key_sets = tokio::time::interval(Duration::from_millis(JWKS_REFRESH_EVERY_MS));
    let mut watermarks = tokio::time::interval(Duration::from_millis(EVENTS_WATERMARK_EVERY_MS));
    loop {
        tokio::select! {
            _ = watermarks.tick() => save_positions(&hub).await,
            _ = key_sets.tick() => hub.control.refresh_key_sets(),
            _ = looked_at.tick() => hub.console.sweep(),
            _ = usage.tick() => hub.control.flush_usage().await,
            _ = hourly.tick() => {
                if hub.config.dev {
                    tracing::warn!("WARNING: dev mode: public signing key, anonymous access; never expose this server");
                }
                hub.control.sweep().await;
                empty_trash(&hub).await;
                shells::sweep(&hub).await;
                health::recorder().run_upkeep();
            }
        }
    }
}
