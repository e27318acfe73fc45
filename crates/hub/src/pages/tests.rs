//! Page sync of a database that the hub writes: pulled from one snapshot, never pushed. (Sockets, and replicas, are
//! tested from outside.)

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use ferry_core::sql::Sql as _;
use ferry_database::ModelState as _;
use ferry_protocol::pages::{Frame, Hello};
use ferry_sqlite::{connection::open_writer, pages::ReadConsistency};
use ferry_types::{Reason, Seq};
use http::{HeaderMap, header};

use super::{
    pull::PullEngine,
    push::PushEngine,
    session::{Engine as _, OUT_BYTES, StepOutcome},
};

use crate::{
    clock::SystemClock,
    config::{Config, ServeArgs},
    database::Database,
    hub::Hub,
    server::Server,
};
use ferry_control::{Access, CreateDatabase, Origin, Requester, SignUp};

struct Fixture {
    dir: tempfile::TempDir,
    server: Server,
    database: Arc<Database>,
}

impl Fixture {
    /// A hub with one database of this kind.
    async fn new(kind: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("ferry.toml");
        std::fs::write(&file, "").unwrap();
        let flags = BTreeMap::from([
            ("listen", "127.0.0.1:0".to_owned()),
            ("data_dir", dir.path().join("data").display().to_string()),
            ("argon2_memory_kib", "8".to_owned()),
        ]);
        let args = ServeArgs { dev: false, config: Some(file), flags };
        let config = Config::load(&args, &BTreeMap::new()).unwrap();
        let server = Server::open(config, Arc::new(SystemClock)).await.unwrap();
        let control = &server.hub().control;
        let origin = Origin::new("1".to_owned(), std::net::Ipv4Addr::LOCALHOST.into());
        let session =
            SignUp { email: "a@example.com", password: "correct horse", invite_code: "", origin: &origin }
                .run(&control.accounts)
                .await
                .unwrap();
        let authorization = format!("Bearer {}", session.token).parse().unwrap();
        let headers = HeaderMap::from_iter([(header::AUTHORIZATION, authorization)]);
        let caller = control.authenticator.session(&headers, origin.ip, Access::Full).unwrap();
        let entry = CreateDatabase { caller: &caller, name: "app", org: "", kind, origin: &origin }
            .run(&control.db, control.max_databases_per_org)
            .await
            .unwrap();
        let database = server.hub().databases.get(entry.id).unwrap();
        Self { dir, server, database }
    }

    fn hub(&self) -> &Arc<Hub> {
        self.server.hub()
    }

    async fn write(&self, sql: &'static str) -> Option<Seq> {
        let by = Requester::hub();
        let committed = self.database.submit(&by, move |transaction| {
            sql.split(';').try_for_each(|one| transaction.sql().execute(one, &[]).map(drop))
        });
        committed.await.unwrap().seq
    }

    async fn pull(&self) -> PullEngine {
        PullEngine::open(self.hub(), &self.database).await.unwrap()
    }
}

/// Everything that a client without a file is sent, as one image.
fn image(mut engine: PullEngine) -> Vec<u8> {
    let hello = Frame::Hello(Hello { protocol_version: 1, page_size: 4096, max_page: 0 });
    let sent: Vec<Bytes> = vec![hello.encode().into(), Frame::Complete.encode().into()];
    let (mut pages, mut out) = (BTreeMap::new(), Vec::new());
    let mut progress = engine.step(&sent, OUT_BYTES, &mut out).unwrap();
    while progress == StepOutcome::MoreToSend {
        progress = engine.step(&[], OUT_BYTES, &mut out).unwrap();
    }
    for frame in &out {
        if let Frame::PageData(page) = Frame::decode(frame).unwrap() {
            pages.insert(page.page_no, page.data.to_vec());
        }
    }
    pages.into_values().flatten().collect()
}

// Verifies: PAG-10
#[tokio::test(flavor = "multi_thread")]
async fn a_database_of_the_hub_is_pulled_from_one_snapshot() {
    let fixture = Fixture::new("hub").await;
    assert!(image(fixture.pull().await).is_empty(), "nothing was written yet");
    fixture.write("CREATE TABLE t(x); INSERT INTO t VALUES (1)").await;
    let first = fixture.pull().await;
    let shared = fixture.pull().await;
    assert_eq!(fixture.write("INSERT INTO t VALUES (2)").await, Some(Seq(2)));
    let second = fixture.pull().await;
    for (engine, rows) in [(first, 1), (shared, 1), (second, 2)] {
        let path = fixture.dir.path().join("pulled.db");
        std::fs::write(&path, image(engine)).unwrap();
        let connection = open_writer(&path).unwrap();
        let found: i64 = connection.query_row("SELECT count(*) FROM t", [], |row| row.get(0)).unwrap();
        assert_eq!(found, rows);
        let verdict: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(verdict, "ok");
    }
}

// Verifies: PAG-32
#[tokio::test(flavor = "multi_thread")]
async fn a_database_of_the_hub_is_not_pushed() {
    let fixture = Fixture::new("hub").await;
    let refused =
        PushEngine::open(fixture.hub(), &fixture.database, ReadConsistency::Unknown).await.err().unwrap();
    assert_eq!(refused.reason, Reason::WrongKind);
    let refusal = super::refusal(refused);
    assert_eq!(refusal.close.0, 1008);
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_share_one_open_replica_that_stays_open_until_the_database_is_closed() {
    let fixture = Fixture::new("replica").await;
    let pages = &fixture.database.models().pages;
    let first = pages.replica(fixture.hub(), &fixture.database).await.unwrap();
    let second = pages.replica(fixture.hub(), &fixture.database).await.unwrap();
    assert!(Arc::ptr_eq(&first, &second));
    drop(second);
    let weak = Arc::downgrade(&first);
    drop(first);
    assert!(weak.upgrade().is_some() && !pages.is_in_use());
    pages.close_idle();
    assert!(weak.upgrade().is_none());
    assert_eq!(pages.replica(fixture.hub(), &fixture.database).await.unwrap().current().version, 0);
}
