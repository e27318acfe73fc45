//! The control plane on a real `control.db` in a temporary folder, with a clock that tests set.

mod accounts;
mod audit;
mod authenticate;
mod budgets;
mod databases;
mod functions;
mod invitations;
mod jwt;
mod kinds;
mod lineage;
mod mail;
mod oauth;
mod operator;
mod orgs;
mod reads;
mod sessions;
mod start;
mod token_list;
mod tokens;
mod watch;

use std::{
    net::IpAddr,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
};

use ferry_types::{Clock, DatabaseId, Model, ModelSet, Op, OpSet, Seq, UnixMillis};
use futures_util::future::BoxFuture;
use http::{HeaderMap, header};

use crate::*;

/// When tests begin, Unix seconds.
pub(super) const START: i64 = 1_800_000_000;
const PASSWORD: &str = "correct horse";

pub(super) fn config(dir: &Path) -> ControlConfig {
    ControlConfig {
        data_dir: dir.to_owned(),
        dev: false,
        store_access: None,
        public_url: "https://hub.example".to_owned(),
        default_database: None,
        jwt: None,
        jwt_stores_claim: None,
        session_key: None,
        session_ttl_seconds: 86_400,
        sync_token_ttl_seconds: 3_600,
        max_sync_token_ttl_seconds: 7_200,
        oauth: OAuthConfig::default(),
        signup: Signup::Open,
        argon2_memory_kib: 8,
        argon2_iterations: 1,
        argon2_parallelism: 1,
        password_concurrency: 2,
        rate_limit_scale: 0.0,
        max_databases_per_org: 10_000,
        auto_migrate: true,
        trash_retention_days: 7,
        audit_retention_days: 400,
        mail: None,
    }
}

/// A clock that tests set.
struct ManualClock(AtomicI64);

impl ManualClock {
    fn advance_secs(&self, secs: i64) {
        self.0.fetch_add(secs * 1000, Ordering::Relaxed);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> UnixMillis {
        UnixMillis(self.0.load(Ordering::Relaxed))
    }
}

/// Notes what it is told to trash.
#[derive(Default)]
struct FakeHost {
    trashed: Mutex<Vec<DatabaseId>>,
    fails: AtomicBool,
}

impl DatabaseHost for FakeHost {
    fn close_and_trash(&self, id: DatabaseId) -> BoxFuture<'_, std::io::Result<()>> {
        Box::pin(async move {
            if self.fails.load(Ordering::Relaxed) {
                return Err(std::io::Error::other("on purpose"));
            }
            self.trashed.lock().unwrap().push(id);
            Ok(())
        })
    }

    fn stats(&self, _: DatabaseId) -> BoxFuture<'_, ferry_types::Result<DatabaseStats>> {
        Box::pin(async { Ok(DatabaseStats { size_bytes: 4096, connections: 3, ..DatabaseStats::default() }) })
    }

    fn stats_of_each(&self, ids: Vec<DatabaseId>) -> BoxFuture<'_, Vec<DatabaseStats>> {
        let stats = DatabaseStats { size_bytes: 4096, ..DatabaseStats::default() };
        Box::pin(async move { vec![stats; ids.len()] })
    }
}

struct Fixture {
    dir: Arc<tempfile::TempDir>,
    clock: Arc<ManualClock>,
    host: Arc<FakeHost>,
    control: Arc<Control>,
}

impl Fixture {
    async fn new() -> Self {
        Self::with(|_| ()).await
    }

    async fn with(change: impl FnOnce(&mut ControlConfig)) -> Self {
        let dir = Arc::new(tempfile::tempdir().unwrap());
        let clock = Arc::new(ManualClock(AtomicI64::new(START * 1000)));
        Self::open(dir, clock, change).await
    }

    async fn open(
        dir: Arc<tempfile::TempDir>,
        clock: Arc<ManualClock>,
        change: impl FnOnce(&mut ControlConfig),
    ) -> Self {
        let mut config = config(dir.path());
        change(&mut config);
        let control =
            Control::open(config, None, &Arc::default(), Arc::clone(&clock) as Arc<dyn Clock>).await.unwrap();
        let host = Arc::new(FakeHost::default());
        control.storage.set_host(Arc::clone(&host));
        Self { dir, clock, host, control }
    }

    /// Stops the control plane and opens it again on the same files.
    async fn restart(self) -> Self {
        self.control.stop().await;
        Self::open(self.dir, self.clock, |_| ()).await
    }

    async fn signup(&self, email: &str) -> (Session, Caller) {
        let session = SignUp { email, password: PASSWORD, invite_code: "", origin: &origin() }
            .run(&self.control.accounts)
            .await
            .unwrap();
        let caller = self.caller(&session.token).unwrap();
        (session, caller)
    }

    /// A user of `role` in the organisation `org`, which `admin` manages.
    async fn member(&self, admin: &Caller, org: &str, email: &str, role: &str) -> Caller {
        let (_, caller) = self.signup(email).await;
        let invited = CreateInvitation { caller: admin, org, email, role, origin: &origin() }
            .run(&self.control.accounts)
            .await;
        let code = invited.unwrap().code;
        AcceptInvitation { caller: &caller, code: &code, origin: &origin() }
            .run(&self.control.db)
            .await
            .unwrap();
        caller
    }

    fn caller(&self, token: &str) -> ferry_types::Result<Caller> {
        self.control.authenticator.session(&bearer(token), local(), Access::Full)
    }

    async fn database(&self, caller: &Caller, name: &str) -> DatabaseId {
        CreateDatabase { caller, name, org: "", kind: "", origin: &origin() }
            .run(&self.control.db, self.control.max_databases_per_org)
            .await
            .unwrap()
            .id
    }

    async fn token(&self, caller: &Caller, database: DatabaseId, ops: &[Op]) -> IssuedToken {
        IssueSyncToken { caller, request: wanted(database, ops), origin: &origin() }
            .run(&self.control.db, self.control.token_lives)
            .await
            .unwrap()
    }

    /// A connection of its own to `control.db`, to look at or break what is stored.
    fn sql(&self) -> rusqlite::Connection {
        ferry_sqlite::connection::open_writer(&self.dir.path().join("control.db")).unwrap()
    }
}

fn wanted(database: DatabaseId, ops: &[Op]) -> IssueToken {
    IssueToken {
        database: database.to_string(),
        models: ModelSet::of(&[Model::Pages]),
        ops: OpSet::of(ops),
        ttl_seconds: 0,
        caveats: Vec::new(),
        label: "test".to_owned(),
    }
}

fn local() -> ClientIp {
    client("127.0.0.1")
}

/// The client at an address, or `unknown`.
fn client(ip: &str) -> ClientIp {
    if ip == "unknown" { ClientIp::UNKNOWN } else { ip.parse::<IpAddr>().unwrap().into() }
}

fn origin() -> Origin {
    from("127.0.0.1")
}

fn requester() -> Requester {
    Requester { principal: "jwt:https://id.example#ada".into(), origin: origin(), admission: None }
}

fn from(ip: &str) -> Origin {
    Origin::new("request-1".to_owned(), client(ip))
}

fn bearer(token: &str) -> HeaderMap {
    HeaderMap::from_iter([(header::AUTHORIZATION, format!("Bearer {token}").parse().unwrap())])
}
