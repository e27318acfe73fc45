use std::collections::HashSet;

use ferry_types::{DatabaseKind, Reason};

use super::*;

// Verifies: ORG-06
#[tokio::test]
async fn names_are_unique_in_an_organisation() {
    let hub = Fixture::new().await;
    let (_, ada) = hub.signup("ada@example.com").await;
    let (_, bob) = hub.signup("bob@example.com").await;
    let create = async |caller: &Caller, name: &str, kind: &str| {
        let created = CreateDatabase { caller, name, org: "", kind, origin: &origin() }
            .run(&hub.control.db, hub.control.max_databases_per_org)
            .await;
        created.map(|entry| entry.kind).map_err(|error| error.reason)
    };
    assert_eq!(create(&ada, "main", "").await, Ok(None));
    assert_eq!(create(&ada, "main", "").await, Err(Reason::AlreadyExists));
    assert_eq!(create(&bob, "main", "replica").await, Ok(Some(DatabaseKind::Replica)));
    assert_eq!(create(&ada, "no spaces", "").await, Err(Reason::InvalidArgument));
    assert_eq!(create(&ada, "other", "file").await, Err(Reason::InvalidArgument));
    let foreign_org = bob.org_id.to_string();
    let foreign =
        CreateDatabase { caller: &ada, name: "other", org: &foreign_org, kind: "", origin: &origin() }
            .run(&hub.control.db, hub.control.max_databases_per_org)
            .await;
    assert_eq!(foreign.unwrap_err().reason, Reason::NotFound);
    let own_org = ada.org_id.to_string();
    CreateDatabase { caller: &ada, name: "by-id", org: &own_org, kind: "", origin: &origin() }
        .run(&hub.control.db, hub.control.max_databases_per_org)
        .await
        .unwrap();
    CreateDatabase {
        caller: &ada,
        name: "by-name",
        org: "ada@example.com (personal)",
        kind: "",
        origin: &origin(),
    }
    .run(&hub.control.db, hub.control.max_databases_per_org)
    .await
    .unwrap();
    assert_eq!(hub.control.database_count(), 4);
}

// Verifies: ORG-06
#[tokio::test]
async fn racing_creates_of_one_name_have_one_winner() {
    let hub = Fixture::new().await;
    let (_, ada) = hub.signup("ada@example.com").await;
    let origin = origin();
    let creates = (0..8).map(|_| {
        CreateDatabase { caller: &ada, name: "main", org: "", kind: "", origin: &origin }
            .run(&hub.control.db, hub.control.max_databases_per_org)
    });
    let outcomes = futures_util::future::join_all(creates).await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    let lost = outcomes.into_iter().filter_map(Result::err);
    assert!(lost.map(|error| error.reason).all(|reason| reason == Reason::AlreadyExists));
}

// Verifies: ORG-06
#[tokio::test]
async fn an_organisation_has_a_limit() {
    let hub = Fixture::with(|config| config.max_databases_per_org = 2).await;
    let (_, ada) = hub.signup("ada@example.com").await;
    hub.database(&ada, "one").await;
    hub.database(&ada, "two").await;
    let third = CreateDatabase { caller: &ada, name: "three", org: "", kind: "", origin: &origin() }
        .run(&hub.control.db, hub.control.max_databases_per_org)
        .await;
    assert_eq!(third.unwrap_err().reason, Reason::DatabaseLimit);
    DeleteDatabase { caller: &ada, database: "one", confirm_name: "", origin: &origin() }
        .run(&hub.control.db, &hub.control.storage)
        .await
        .unwrap();
    hub.database(&ada, "three").await;
}

// Verifies: ORG-07
#[tokio::test]
async fn a_foreign_database_answers_like_an_unknown_one() {
    let hub = Fixture::new().await;
    let (_, ada) = hub.signup("ada@example.com").await;
    let (_, bob) = hub.signup("bob@example.com").await;
    let foreign = hub.database(&bob, "main").await.to_string();
    let unknown = foreign.replace(|c: char| c.is_ascii_digit(), "0");
    for name in [foreign.as_str(), unknown.as_str(), "main"] {
        let refusals = [
            GetDatabase { caller: &ada, database: name }
                .run(&hub.control.db, &hub.control.storage)
                .await
                .unwrap_err(),
            RenameDatabase { caller: &ada, database: name, name: "x", origin: &origin() }
                .run(&hub.control.db)
                .await
                .unwrap_err(),
            DeleteDatabase { caller: &ada, database: name, confirm_name: "", origin: &origin() }
                .run(&hub.control.db, &hub.control.storage)
                .await
                .unwrap_err(),
            IssueSyncToken { caller: &ada, request: by_name(name), origin: &origin() }
                .run(&hub.control.db, hub.control.token_lives)
                .await
                .unwrap_err(),
        ];
        for refusal in refusals {
            assert_eq!((refusal.reason, &*refusal.message), (Reason::NotFound, "database not found"));
        }
    }
}

fn by_name(name: &str) -> IssueToken {
    let any = "db_3f2b9c1e-5d44-4a7b-8e11-0a6c7d902153".parse().unwrap();
    IssueToken { database: name.to_owned(), ..wanted(any, &[Op::Read]) }
}

// Verifies: ORG-09
#[tokio::test]
async fn renaming_keeps_id_and_tokens() {
    let hub = Fixture::new().await;
    let (_, ada) = hub.signup("ada@example.com").await;
    let id = hub.database(&ada, "old").await;
    hub.database(&ada, "taken").await;
    let token = hub.token(&ada, id, &[Op::Read]).await;
    let rename = async |name: &str| {
        let renamed = RenameDatabase { caller: &ada, database: &id.to_string(), name, origin: &origin() }
            .run(&hub.control.db)
            .await;
        renamed.map(|entry| entry.name.to_string()).map_err(|error| error.reason)
    };
    assert_eq!(rename("taken").await, Err(Reason::AlreadyExists));
    assert_eq!(rename("bad name").await, Err(Reason::InvalidArgument));
    assert_eq!(rename("-").await, Err(Reason::InvalidArgument), "a path means the credential's own by it");
    assert_eq!(rename("new").await, Ok("new".to_owned()));
    assert_eq!(rename("new").await, Ok("new".to_owned()));
    hub.control.authenticator.sync_bearer(&bearer(&token.token), local()).unwrap();
    let hub = hub.restart().await;
    assert_eq!(
        GetDatabase { caller: &ada, database: "new" }
            .run(&hub.control.db, &hub.control.storage)
            .await
            .unwrap()
            .0
            .id,
        id
    );
    assert!(
        GetDatabase { caller: &ada, database: "old" }
            .run(&hub.control.db, &hub.control.storage)
            .await
            .is_err()
    );
    hub.database(&ada, "old").await;
}

// Verifies: ORG-08
#[tokio::test]
async fn a_deleted_database_is_gone_at_once_and_for_good() {
    let hub = Fixture::new().await;
    let (_, ada) = hub.signup("ada@example.com").await;
    let id = hub.database(&ada, "main").await;
    let token = hub.token(&ada, id, &[Op::Read]).await;
    let wrong = DeleteDatabase { caller: &ada, database: "main", confirm_name: "other", origin: &origin() }
        .run(&hub.control.db, &hub.control.storage)
        .await;
    assert_eq!(wrong.unwrap_err().reason, Reason::InvalidArgument);
    DeleteDatabase { caller: &ada, database: "main", confirm_name: "main", origin: &origin() }
        .run(&hub.control.db, &hub.control.storage)
        .await
        .unwrap();
    assert_eq!(*hub.host.trashed.lock().unwrap(), [id]);
    assert_eq!(hub.control.database(id), None);
    let again =
        DeleteDatabase { caller: &ada, database: &id.to_string(), confirm_name: "", origin: &origin() }
            .run(&hub.control.db, &hub.control.storage)
            .await;
    assert_eq!(again.unwrap_err().reason, Reason::NotFound);
    let fresh = hub.database(&ada, "main").await;
    assert_ne!(fresh, id);
    let hub = hub.restart().await;
    let refused = hub.control.authenticator.sync_bearer(&bearer(&token.token), local()).unwrap_err();
    assert_eq!((refused.reason, &*refused.message), (Reason::NotFound, "database not found"));
    assert_eq!(hub.control.storage.deleted_databases().await.unwrap(), [], "its move to the trash is noted");
}

// Verifies: ORG-08
#[tokio::test]
async fn an_interrupted_move_to_the_trash_is_finished_at_start() {
    let hub = Fixture::new().await;
    let (_, ada) = hub.signup("ada@example.com").await;
    let id = hub.database(&ada, "main").await;
    hub.host.fails.store(true, Ordering::Relaxed);
    DeleteDatabase { caller: &ada, database: "main", confirm_name: "", origin: &origin() }
        .run(&hub.control.db, &hub.control.storage)
        .await
        .unwrap();
    let hub = hub.restart().await;
    let waiting = hub.control.storage.deleted_databases().await.unwrap();
    assert_eq!(waiting.iter().map(|database| database.id).collect::<Vec<_>>(), [id]);
    hub.control.storage.finish_deletions().await;
    assert_eq!(*hub.host.trashed.lock().unwrap(), [id]);
    assert_eq!(hub.control.storage.deleted_databases().await.unwrap(), []);
}

// Verifies: ORG-13
#[tokio::test]
async fn paging_never_repeats_or_hides_an_untouched_row() {
    let hub = Fixture::new().await;
    let (_, ada) = hub.signup("ada@example.com").await;
    let mut untouched = HashSet::new();
    for n in 0..30 {
        untouched.insert(hub.database(&ada, &format!("kept-{n}")).await);
        hub.database(&ada, &format!("gone-{n}")).await;
        hub.clock.advance_secs(1);
    }
    let (mut seen, mut token) = (Vec::new(), String::new());
    for page in 0.. {
        let (entries, next) =
            ListDatabases { caller: &ada, org: "", name_prefix: "", page_size: 7, page_token: &token }
                .run(&hub.control.db)
                .unwrap();
        assert!(entries.len() <= 7);
        seen.extend(entries.iter().map(|entry| entry.id));
        if next.is_empty() {
            break;
        }
        token = next;
        if page < 30 {
            DeleteDatabase {
                caller: &ada,
                database: &format!("gone-{page}"),
                confirm_name: "",
                origin: &origin(),
            }
            .run(&hub.control.db, &hub.control.storage)
            .await
            .unwrap();
            hub.database(&ada, &format!("new-{page}")).await;
        }
    }
    let unique: HashSet<_> = seen.iter().copied().collect();
    assert_eq!(unique.len(), seen.len(), "a row came twice");
    assert!(untouched.is_subset(&unique), "a row was hidden");
    let (kept, next) =
        ListDatabases { caller: &ada, org: "", name_prefix: "kept-1", page_size: 1000, page_token: "" }
            .run(&hub.control.db)
            .unwrap();
    assert_eq!((kept.len(), next.as_str()), (11, ""));
    let other_filter =
        ListDatabases { caller: &ada, org: "", name_prefix: "kept", page_size: 7, page_token: &token }
            .run(&hub.control.db);
    assert_eq!(other_filter.unwrap_err().reason, Reason::InvalidArgument);
    let all = ListAllDatabases { caller: &ada }.run(&hub.control.db).unwrap();
    assert!(all.is_sorted_by_key(|entry| (entry.created, entry.id)), "oldest first");
}

#[tokio::test]
async fn a_database_is_shown_with_its_present_state() {
    let hub = Fixture::new().await;
    let (_, ada) = hub.signup("ada@example.com").await;
    hub.database(&ada, "main").await;
    let (entry, stats) = GetDatabase { caller: &ada, database: "main" }
        .run(&hub.control.db, &hub.control.storage)
        .await
        .unwrap();
    assert_eq!((&*entry.name, entry.created), ("main", UnixMillis(START * 1000)));
    assert_eq!((stats.size_bytes, stats.connections), (4096, 3));
}

// Verifies: ORG-04, ORG-05
#[tokio::test]
async fn roles_come_from_the_membership_as_it_is_now() {
    let hub = Fixture::new().await;
    let (_, ada) = hub.signup("ada@example.com").await;
    let org = CreateOrg { caller: &ada, name: "team", origin: &origin() }
        .run(&hub.control.db)
        .await
        .unwrap()
        .id
        .to_string();
    let bob = hub.member(&ada, &org, "bob@example.com", "admin").await;
    let id = CreateDatabase { caller: &bob, name: "main", org: &org, kind: "", origin: &origin() }
        .run(&hub.control.db, hub.control.max_databases_per_org)
        .await
        .unwrap()
        .id;
    let token = hub.token(&bob, id, &[Op::Read, Op::Write]).await;
    let become_a = async |role: &str| {
        SetMemberRole { caller: &ada, org: &org, user: "bob@example.com", role, origin: &origin() }
            .run(&hub.control.db)
            .await
            .unwrap();
    };
    let may = |op| {
        let context = hub.control.authenticator.sync_bearer(&bearer(&token.token), local()).unwrap();
        context.require(Model::Pages, op).is_ok()
    };
    let mint = async |ops: &[Op]| {
        IssueSyncToken { caller: &bob, request: wanted(id, ops), origin: &origin() }
            .run(&hub.control.db, hub.control.token_lives)
            .await
            .is_ok()
    };
    assert!(may(Op::Write) && mint(&[Op::Admin]).await);
    become_a("viewer").await;
    assert!(may(Op::Read) && !may(Op::Write), "the same token");
    assert!(mint(&[Op::Read]).await && !mint(&[Op::Write]).await);
    let create = CreateDatabase { caller: &bob, name: "other", org: &org, kind: "", origin: &origin() }
        .run(&hub.control.db, hub.control.max_databases_per_org)
        .await;
    assert_eq!(create.unwrap_err().reason, Reason::PermissionDenied);
    assert_eq!(
        ListDatabases { caller: &bob, org: &org, name_prefix: "", page_size: 0, page_token: "" }
            .run(&hub.control.db)
            .unwrap()
            .0
            .len(),
        1
    );
    become_a("member").await;
    assert!(mint(&[Op::Write]).await && !mint(&[Op::Admin]).await);
    let delete =
        DeleteDatabase { caller: &bob, database: &id.to_string(), confirm_name: "", origin: &origin() }
            .run(&hub.control.db, &hub.control.storage)
            .await;
    assert_eq!(delete.unwrap_err().reason, Reason::PermissionDenied);
}

#[tokio::test]
async fn the_sweep_forgets_what_expired_long_ago() {
    let hub = Fixture::new().await;
    let (_, ada) = hub.signup("ada@example.com").await;
    let id = hub.database(&ada, "main").await;
    hub.token(&ada, id, &[Op::Read]).await;
    DeleteDatabase { caller: &ada, database: "main", confirm_name: "", origin: &origin() }
        .run(&hub.control.db, &hub.control.storage)
        .await
        .unwrap();
    RevokeSession { caller: &ada, session_id: "", keep_sync_tokens: false, origin: &origin() }
        .run(&hub.control.db)
        .await
        .unwrap();
    let counts = |hub: &Fixture| -> [i64; 4] {
        ["sessions", "issued_tokens", "databases", "audit"].map(|table| {
            hub.sql().query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
        })
    };
    hub.control.sweep().await;
    assert_eq!(counts(&hub), [1, 1, 1, 5]);
    hub.clock.advance_secs(32 * 86_400);
    hub.control.sweep().await;
    assert_eq!(counts(&hub), [0, 0, 0, 5]);
    hub.clock.advance_secs(401 * 86_400);
    hub.control.sweep().await;
    assert_eq!(counts(&hub), [0, 0, 0, 0]);
}
