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
        let created = hub.control.create_database(caller, name, "", kind, &origin()).await;
        created.map(|entry| entry.kind).map_err(|error| error.reason)
    };
    assert_eq!(create(&ada, "main", "").await, Ok(None));
    assert_eq!(create(&ada, "main", "").await, Err(Reason::AlreadyExists));
    assert_eq!(create(&bob, "main", "replica").await, Ok(Some(DatabaseKind::Replica)));
    assert_eq!(create(&ada, "no spaces", "").await, Err(Reason::InvalidArgument));
    assert_eq!(create(&ada, "other", "file").await, Err(Reason::InvalidArgument));
    let foreign_org = bob.org_id.to_string();
    let foreign = hub.control.create_database(&ada, "other", &foreign_org, "", &origin()).await;
    assert_eq!(foreign.unwrap_err().reason, Reason::NotFound);
    let own_org = ada.org_id.to_string();
    hub.control.create_database(&ada, "by-id", &own_org, "", &origin()).await.unwrap();
    hub.control.create_database(&ada, "by-name", "ada@example.com (personal)", "", &origin()).await.unwrap();
    assert_eq!(hub.control.database_count(), 4);
}

// Verifies: ORG-06
#[tokio::test]
async fn racing_creates_of_one_name_have_one_winner() {
    let hub = Fixture::new().await;
    let (_, ada) = hub.signup("ada@example.com").await;
    let origin = origin();
    let creates = (0..8).map(|_| hub.control.create_database(&ada, "main", "", "", &origin));
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
    let third = hub.control.create_database(&ada, "three", "", "", &origin()).await;
    assert_eq!(third.unwrap_err().reason, Reason::DatabaseLimit);
    hub.control.delete_database(&ada, "one", "", &origin()).await.unwrap();
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
            hub.control.get_database(&ada, name).await.unwrap_err(),
            hub.control.rename_database(&ada, name, "x", &origin()).await.unwrap_err(),
            hub.control.delete_database(&ada, name, "", &origin()).await.unwrap_err(),
            hub.control.issue_sync_token(&ada, by_name(name), &origin()).await.unwrap_err(),
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
        let renamed = hub.control.rename_database(&ada, &id.to_string(), name, &origin()).await;
        renamed.map(|entry| entry.name.to_string()).map_err(|error| error.reason)
    };
    assert_eq!(rename("taken").await, Err(Reason::AlreadyExists));
    assert_eq!(rename("bad name").await, Err(Reason::InvalidArgument));
    assert_eq!(rename("-").await, Err(Reason::InvalidArgument), "a path means the credential's own by it");
    assert_eq!(rename("new").await, Ok("new".to_owned()));
    assert_eq!(rename("new").await, Ok("new".to_owned()));
    hub.control.authenticate_sync(&bearer(&token.token), local()).unwrap();
    let hub = hub.restart().await;
    assert_eq!(hub.control.get_database(&ada, "new").await.unwrap().0.id, id);
    assert!(hub.control.get_database(&ada, "old").await.is_err());
    hub.database(&ada, "old").await;
}

// Verifies: ORG-08
#[tokio::test]
async fn a_deleted_database_is_gone_at_once_and_for_good() {
    let hub = Fixture::new().await;
    let (_, ada) = hub.signup("ada@example.com").await;
    let id = hub.database(&ada, "main").await;
    let token = hub.token(&ada, id, &[Op::Read]).await;
    let wrong = hub.control.delete_database(&ada, "main", "other", &origin()).await;
    assert_eq!(wrong.unwrap_err().reason, Reason::InvalidArgument);
    hub.control.delete_database(&ada, "main", "main", &origin()).await.unwrap();
    assert_eq!(*hub.host.trashed.lock().unwrap(), [id]);
    assert_eq!(hub.control.database(id), None);
    let again = hub.control.delete_database(&ada, &id.to_string(), "", &origin()).await;
    assert_eq!(again.unwrap_err().reason, Reason::NotFound);
    let fresh = hub.database(&ada, "main").await;
    assert_ne!(fresh, id);
    let hub = hub.restart().await;
    let refused = hub.control.authenticate_sync(&bearer(&token.token), local()).unwrap_err();
    assert_eq!((refused.reason, &*refused.message), (Reason::NotFound, "database not found"));
    assert_eq!(hub.control.deleted_databases().await.unwrap(), [], "its move to the trash is noted");
}

// Verifies: ORG-08
#[tokio::test]
async fn an_interrupted_move_to_the_trash_is_finished_at_start() {
    let hub = Fixture::new().await;
    let (_, ada) = hub.signup("ada@example.com").await;
    let id = hub.database(&ada, "main").await;
    hub.host.fails.store(true, Ordering::Relaxed);
    hub.control.delete_database(&ada, "main", "", &origin()).await.unwrap();
    let hub = hub.restart().await;
    let waiting = hub.control.deleted_databases().await.unwrap();
    assert_eq!(waiting.iter().map(|database| database.id).collect::<Vec<_>>(), [id]);
    hub.control.finish_deletions().await;
    assert_eq!(*hub.host.trashed.lock().unwrap(), [id]);
    assert_eq!(hub.control.deleted_databases().await.unwrap(), []);
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
        let (entries, next) = hub.control.list_databases(&ada, "", "", 7, &token).unwrap();
        assert!(entries.len() <= 7);
        seen.extend(entries.iter().map(|entry| entry.id));
        if next.is_empty() {
            break;
        }
        token = next;
        if page < 30 {
            hub.control.delete_database(&ada, &format!("gone-{page}"), "", &origin()).await.unwrap();
            hub.database(&ada, &format!("new-{page}")).await;
        }
    }
    let unique: HashSet<_> = seen.iter().copied().collect();
    assert_eq!(unique.len(), seen.len(), "a row came twice");
    assert!(untouched.is_subset(&unique), "a row was hidden");
    let (kept, next) = hub.control.list_databases(&ada, "", "kept-1", 1000, "").unwrap();
    assert_eq!((kept.len(), next.as_str()), (11, ""));
    let other_filter = hub.control.list_databases(&ada, "", "kept", 7, &token);
    assert_eq!(other_filter.unwrap_err().reason, Reason::InvalidArgument);
    let all = hub.control.list_all_databases(&ada).unwrap();
    assert!(all.is_sorted_by_key(|entry| (entry.created, entry.id)), "oldest first");
}

#[tokio::test]
async fn a_database_is_shown_with_its_present_state() {
    let hub = Fixture::new().await;
    let (_, ada) = hub.signup("ada@example.com").await;
    hub.database(&ada, "main").await;
    let (entry, stats) = hub.control.get_database(&ada, "main").await.unwrap();
    assert_eq!((&*entry.name, entry.created), ("main", UnixMillis(START * 1000)));
    assert_eq!((stats.size_bytes, stats.connections), (4096, 3));
}

// Verifies: ORG-04, ORG-05
#[tokio::test]
async fn roles_come_from_the_membership_as_it_is_now() {
    let hub = Fixture::new().await;
    let (_, ada) = hub.signup("ada@example.com").await;
    let org = hub.control.create_org(&ada, "team", &origin()).await.unwrap().id.to_string();
    let bob = hub.member(&ada, &org, "bob@example.com", "admin").await;
    let id = hub.control.create_database(&bob, "main", &org, "", &origin()).await.unwrap().id;
    let token = hub.token(&bob, id, &[Op::Read, Op::Write]).await;
    let become_a = async |role: &str| {
        hub.control.set_member_role(&ada, &org, "bob@example.com", role, &origin()).await.unwrap();
    };
    let may = |op| {
        let context = hub.control.authenticate_sync(&bearer(&token.token), local()).unwrap();
        context.require(Model::Pages, op).is_ok()
    };
    let mint =
        async |ops: &[Op]| hub.control.issue_sync_token(&bob, wanted(id, ops), &origin()).await.is_ok();
    assert!(may(Op::Write) && mint(&[Op::Admin]).await);
    become_a("viewer").await;
    assert!(may(Op::Read) && !may(Op::Write), "the same token");
    assert!(mint(&[Op::Read]).await && !mint(&[Op::Write]).await);
    let create = hub.control.create_database(&bob, "other", &org, "", &origin()).await;
    assert_eq!(create.unwrap_err().reason, Reason::PermissionDenied);
    assert_eq!(hub.control.list_databases(&bob, &org, "", 0, "").unwrap().0.len(), 1);
    become_a("member").await;
    assert!(mint(&[Op::Write]).await && !mint(&[Op::Admin]).await);
    let delete = hub.control.delete_database(&bob, &id.to_string(), "", &origin()).await;
    assert_eq!(delete.unwrap_err().reason, Reason::PermissionDenied);
}

#[tokio::test]
async fn the_sweep_forgets_what_expired_long_ago() {
    let hub = Fixture::new().await;
    let (_, ada) = hub.signup("ada@example.com").await;
    let id = hub.database(&ada, "main").await;
    hub.token(&ada, id, &[Op::Read]).await;
    hub.control.delete_database(&ada, "main", "", &origin()).await.unwrap();
    hub.control.revoke_session(&ada, "", false, &origin()).await.unwrap();
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
