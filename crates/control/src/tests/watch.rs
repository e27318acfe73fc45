use super::*;

async fn watched(hub: &Fixture) -> (Caller, DatabaseId, crate::RightsWatch) {
    let (_, caller) = hub.signup("ada@example.com").await;
    let id = hub.database(&caller, "main").await;
    let token = hub.token(&caller, id, &[Op::Read]).await;
    let context = hub.control.authenticator.sync_bearer(&bearer(&token.token), local()).unwrap();
    let watch = hub.control.watch(&context);
    (caller, id, watch)
}

// Verifies: TOK-12, TOK-13
#[tokio::test]
async fn revoking_the_session_ends_connections() {
    let hub = Fixture::new().await;
    let (caller, _, mut watch) = watched(&hub).await;
    assert_eq!(watch.now(), None);
    let waiting = tokio::spawn(async move { watch.ended().await });
    tokio::task::yield_now().await;
    RevokeSession { caller: &caller, session_id: "", keep_sync_tokens: false, origin: &origin() }
        .run(&hub.control.db)
        .await
        .unwrap();
    assert_eq!(waiting.await.unwrap(), RightsEnd::Revoked);
}

// Verifies: ORG-08, TOK-13
#[tokio::test]
async fn deleting_the_database_ends_connections() {
    let hub = Fixture::new().await;
    let (caller, id, mut watch) = watched(&hub).await;
    let waiting = tokio::spawn(async move { watch.ended().await });
    tokio::task::yield_now().await;
    DeleteDatabase { caller: &caller, database: &id.to_string(), confirm_name: "", origin: &origin() }
        .run(&hub.control.db, &hub.control.storage)
        .await
        .unwrap();
    assert_eq!(waiting.await.unwrap(), RightsEnd::DatabaseDeleted);
}

// Verifies: TOK-13
#[tokio::test]
async fn what_happened_before_the_wait_is_seen_and_others_are_left_alone() {
    let hub = Fixture::new().await;
    let (caller, _, mut watch) = watched(&hub).await;
    let other = LogIn { email: "ada@example.com", password: PASSWORD, label: "", origin: &origin() }
        .run(&hub.control.accounts)
        .await
        .unwrap();
    let other_id = other.whoami.session_id.to_string();
    RevokeSession { caller: &caller, session_id: &other_id, keep_sync_tokens: false, origin: &origin() }
        .run(&hub.control.db)
        .await
        .unwrap();
    assert_eq!(watch.now(), None, "another session of the same user");
    RevokeSession { caller: &caller, session_id: "", keep_sync_tokens: false, origin: &origin() }
        .run(&hub.control.db)
        .await
        .unwrap();
    assert_eq!(watch.ended().await, RightsEnd::Revoked);
    assert_eq!(hub.control.db.state().listener_count(), 2);
    drop(watch);
    assert_eq!(hub.control.db.state().listener_count(), 0);
}

/// The runtime's own clock, so that a paused runtime moves both.
struct RuntimeClock(tokio::time::Instant);

impl Clock for RuntimeClock {
    fn now(&self) -> UnixMillis {
        UnixMillis(START * 1000 + i64::try_from(self.0.elapsed().as_millis()).unwrap())
    }
}

// Verifies: TOK-04, TOK-13
#[tokio::test(start_paused = true)]
async fn expiry_is_seen_at_the_deadline() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(RuntimeClock(tokio::time::Instant::now()));
    let control =
        Control::open(config(dir.path()), None, &Arc::default(), Arc::clone(&clock) as Arc<dyn Clock>)
            .await
            .unwrap();
    let session = SignUp { email: "ada@example.com", password: PASSWORD, invite_code: "", origin: &origin() }
        .run(&control.accounts)
        .await
        .unwrap();
    let caller = control.authenticator.session(&bearer(&session.token), local(), Access::Full).unwrap();
    let id = CreateDatabase { caller: &caller, name: "main", org: "", kind: "", origin: &origin() }
        .run(&control.db, control.max_databases_per_org)
        .await
        .unwrap()
        .id;
    let token = IssueSyncToken { caller: &caller, request: wanted(id, &[Op::Read]), origin: &origin() }
        .run(&control.db, control.token_lives)
        .await
        .unwrap();
    let context = control.authenticator.sync_bearer(&bearer(&token.token), local()).unwrap();
    assert_eq!(control.watch(&context).ended().await, RightsEnd::Expired);
    let late_ms = clock.now().0 - token.exp_unix * 1000;
    assert!((0..=2).contains(&late_ms), "{late_ms} ms after the deadline");
}

// Verifies: TOK-12, TOK-13
#[tokio::test]
async fn revoking_a_database_ends_a_hundred_connections_within_a_second() {
    let hub = Fixture::new().await;
    let (caller, id, spare) = watched(&hub).await;
    let other = hub.database(&caller, "other").await;
    let others = hub.token(&caller, other, &[Op::Read]).await;
    let spared =
        hub.control.watch(&hub.control.authenticator.sync_bearer(&bearer(&others.token), local()).unwrap());
    let token = hub.token(&caller, id, &[Op::Read]).await;
    let context = hub.control.authenticator.sync_bearer(&bearer(&token.token), local()).unwrap();
    let waiting: Vec<_> = (0..100)
        .map(|_| {
            let mut watch = hub.control.watch(&context);
            tokio::spawn(async move { watch.ended().await })
        })
        .collect();
    tokio::task::yield_now().await;
    RevokeDatabaseTokens { caller: &caller, database: "main", origin: &origin() }
        .run(&hub.control.db)
        .await
        .unwrap();
    let all = async {
        for watch in waiting {
            assert_eq!(watch.await.unwrap(), RightsEnd::Revoked);
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(1), all).await.unwrap();
    assert_eq!((spare.now(), spared.now()), (Some(RightsEnd::Revoked), None));
}
