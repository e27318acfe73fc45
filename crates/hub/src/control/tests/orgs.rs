use ferry_auth::Role;
use ferry_types::{OrgId, Reason};

use super::*;
use crate::control::RightsEnd;

async fn team(hub: &Fixture) -> (Caller, String) {
    let (_, ada) = hub.signup("ada@example.com").await;
    let org = hub.control.create_org(&ada, "team", &origin()).await.unwrap();
    assert_eq!((org.name.as_str(), org.role, org.personal), ("team", Role::Admin, false));
    (ada, org.id.to_string())
}

fn names(hub: &Fixture, caller: &Caller) -> Vec<String> {
    let (orgs, _) = hub.control.list_orgs(caller, 0, "").unwrap();
    orgs.into_iter().map(|org| org.name).collect()
}

// Verifies: ORG-13
#[tokio::test]
async fn organisations_are_made_renamed_listed_and_survive_a_restart() {
    let hub = Fixture::new().await;
    let (ada, org) = team(&hub).await;
    let create = async |name: &str| hub.control.create_org(&ada, name, &origin()).await.map(|org| org.id);
    assert_eq!(create("team").await.unwrap_err().reason, Reason::AlreadyExists);
    assert_eq!(create("a\nb").await.unwrap_err().reason, Reason::InvalidArgument);
    create("second").await.unwrap();
    let rename = async |org: &str, name: &str| {
        hub.control.rename_org(&ada, org, name, &origin()).await.map_err(|error| error.reason)
    };
    assert_eq!(rename("second", "team").await, Err(Reason::AlreadyExists));
    assert_eq!(rename("nowhere", "x").await, Err(Reason::NotFound));
    assert_eq!(rename(&org, "crew").await, Ok(()));
    assert_eq!(rename("crew", "crew").await, Ok(()));
    let expected = ["ada@example.com (personal)", "crew", "second"];
    assert_eq!(names(&hub, &ada), expected, "oldest first");
    let hub = hub.restart().await;
    assert_eq!(names(&hub, &ada), expected);
    let (mut seen, mut token) = (Vec::new(), String::new());
    loop {
        let (page, next) = hub.control.list_orgs(&ada, 1, &token).unwrap();
        seen.extend(page.into_iter().map(|org| org.name));
        token = next;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(seen, expected);
}

// Verifies: ORG-10
#[tokio::test]
async fn the_last_admin_stays_admin_and_races_cannot_change_that() {
    let hub = Fixture::new().await;
    let (ada, org) = team(&hub).await;
    let bob = hub.member(&ada, &org, "bob@example.com", "member").await;
    let demote = async |by: &Caller, user: &str| {
        hub.control.set_member_role(by, &org, user, "member", &origin()).await.map_err(|error| error.reason)
    };
    let remove = async |by: &Caller, user: &str| {
        hub.control.remove_member(by, &org, user, &origin()).await.map_err(|error| error.reason)
    };
    assert_eq!(demote(&bob, "ada@example.com").await, Err(Reason::PermissionDenied));
    assert_eq!(remove(&bob, "ada@example.com").await, Err(Reason::PermissionDenied));
    assert_eq!(remove(&bob, "nobody@example.com").await, Err(Reason::PermissionDenied), "tells nothing");
    assert_eq!(demote(&ada, "ada@example.com").await, Err(Reason::SoleAdmin));
    assert_eq!(remove(&ada, "ada@example.com").await, Err(Reason::SoleAdmin));
    assert_eq!(demote(&ada, "nobody@example.com").await, Err(Reason::NotFound));
    hub.control.set_member_role(&ada, &org, "BOB@example.com", "admin", &origin()).await.unwrap();
    let both = futures_util::future::join(demote(&ada, "bob@example.com"), demote(&bob, "ada@example.com"));
    let (first, second) = both.await;
    assert!(first.is_ok() != second.is_ok(), "one of both is admin still: {first:?} {second:?}");
    let admin = if first.is_ok() { &ada } else { &bob };
    let (members, _) = hub.control.list_members(admin, &org, 0, "").await.unwrap();
    assert_eq!(members.iter().filter(|member| member.role == Role::Admin).count(), 1);

    // A second admin who is locked out cannot manage either.
    let other = if first.is_ok() { "bob@example.com" } else { "ada@example.com" };
    hub.control.set_member_role(admin, &org, other, "admin", &origin()).await.unwrap();
    hub.control.disable_user(other, true, &origin()).await.unwrap();
    assert_eq!(remove(admin, &admin.user_id.to_string()).await, Err(Reason::SoleAdmin));
}

// Verifies: ORG-10
#[tokio::test]
async fn a_personal_organisation_keeps_its_owner_and_goes_with_it() {
    let hub = Fixture::new().await;
    let (_, ada) = hub.signup("ada@example.com").await;
    let org = ada.org_id.to_string();
    let bob = hub.member(&ada, "", "bob@example.com", "admin").await;
    let database = hub.database(&ada, "main").await;
    let refused = [
        hub.control.remove_member(&bob, &org, "ada@example.com", &origin()).await,
        hub.control.set_member_role(&bob, &org, "ada@example.com", "viewer", &origin()).await,
        hub.control.delete_org(&ada, "", &origin()).await,
    ];
    for refusal in refused {
        assert_eq!(refusal.unwrap_err().reason, Reason::FailedPrecondition);
    }
    hub.control.delete_account(&ada, "ada@example.com", PASSWORD, &origin()).await.unwrap();
    assert_eq!(names(&hub, &bob), ["bob@example.com (personal)"]);
    let create = hub.control.create_database(&bob, "other", &org, "", &origin()).await;
    assert_eq!(create.unwrap_err().reason, Reason::NotFound);
    assert_eq!(hub.control.database(database), None);
    let hub = hub.restart().await;
    assert_eq!(names(&hub, &bob), ["bob@example.com (personal)"]);
}

// Verifies: ORG-10
#[tokio::test]
async fn an_organisation_is_deleted_once_it_is_empty_of_databases() {
    let hub = Fixture::new().await;
    let (ada, org) = team(&hub).await;
    let bob = hub.member(&ada, &org, "bob@example.com", "viewer").await;
    let (_, code) =
        hub.control.create_invitation(&ada, &org, "eve@example.com", "admin", &origin()).await.unwrap();
    let id = hub.control.create_database(&ada, "main", &org, "", &origin()).await.unwrap().id.to_string();
    let delete =
        async |by: &Caller| hub.control.delete_org(by, &org, &origin()).await.map_err(|error| error.reason);
    assert_eq!(delete(&bob).await, Err(Reason::PermissionDenied));
    assert_eq!(delete(&ada).await, Err(Reason::FailedPrecondition));
    hub.control.delete_database(&ada, &id, "", &origin()).await.unwrap();
    assert_eq!(delete(&ada).await, Ok(()));
    assert_eq!(delete(&ada).await, Err(Reason::NotFound));
    assert_eq!(names(&hub, &bob).len(), 1);
    let (_, eve) = hub.signup("eve@example.com").await;
    let spent = hub.control.accept_invitation(&eve, &code, &origin()).await.unwrap_err();
    assert_eq!(spent.reason, Reason::PermissionDenied);
    // Its row stays until the database's tombstone has gone.
    let rows = |hub: &Fixture| -> i64 {
        let sql = "SELECT count(*) FROM organizations WHERE id = ?1";
        hub.sql().query_row(sql, [&org], |row| row.get(0)).unwrap()
    };
    hub.control.sweep().await;
    assert_eq!(rows(&hub), 1);
    hub.clock.advance_secs(8 * 86_400);
    hub.control.sweep().await;
    assert_eq!(rows(&hub), 0);
}

// Verifies: ORG-05, TOK-12, TOK-13
#[tokio::test]
async fn leaving_ends_connections_and_tokens_for_good_and_only_there() {
    let hub = Fixture::new().await;
    let (ada, org) = team(&hub).await;
    let bob = hub.member(&ada, &org, "bob@example.com", "member").await;
    let shared = hub.control.create_database(&ada, "main", &org, "", &origin()).await.unwrap().id;
    let own = hub.database(&bob, "own").await;
    let (token, spared) =
        (hub.token(&bob, shared, &[Op::Read]).await, hub.token(&bob, own, &[Op::Read]).await);
    let authenticate =
        |hub: &Fixture, token: &str| hub.control.authenticate_sync(&bearer(token), local()).map(|_| ());
    let watch =
        |token: &str| hub.control.watch(&hub.control.authenticate_sync(&bearer(token), local()).unwrap());
    let (mut ends, goes_on) = (watch(&token.token), watch(&spared.token));
    let waiting = tokio::spawn(async move { ends.ended().await });
    tokio::task::yield_now().await;
    hub.control.remove_member(&bob, &org, &bob.user_id.to_string(), &origin()).await.unwrap();
    assert_eq!(waiting.await.unwrap(), RightsEnd::Revoked);
    assert_eq!(goes_on.now(), None);
    let mint = hub.control.issue_sync_token(&bob, wanted(shared, &[Op::Read]), &origin()).await;
    assert_eq!(mint.unwrap_err().reason, Reason::NotFound);

    // Who comes back begins anew: the old token stays dead, over a restart too.
    let (_, code) =
        hub.control.create_invitation(&ada, &org, "bob@example.com", "member", &origin()).await.unwrap();
    hub.control.accept_invitation(&bob, &code, &origin()).await.unwrap();
    assert_eq!(authenticate(&hub, &token.token).unwrap_err().reason, Reason::TokenRevoked);
    let hub = hub.restart().await;
    assert_eq!(authenticate(&hub, &token.token).unwrap_err().reason, Reason::TokenRevoked);
    authenticate(&hub, &spared.token).unwrap();
    let fresh = hub.token(&bob, shared, &[Op::Write]).await;
    authenticate(&hub, &fresh.token).unwrap();
}

// Verifies: TOK-12
#[tokio::test]
async fn what_is_minted_while_a_member_is_removed_does_not_outlive_it() {
    let hub = Fixture::new().await;
    let (ada, org) = team(&hub).await;
    let bob = hub.member(&ada, &org, "bob@example.com", "member").await;
    let id = hub.control.create_database(&ada, "main", &org, "", &origin()).await.unwrap().id;
    let mints = (0..40).map(|place| {
        let (control, ada, bob, org) = (Arc::clone(&hub.control), ada.clone(), bob.clone(), org.clone());
        tokio::spawn(async move {
            if place == 20 {
                control.remove_member(&ada, &org, "bob@example.com", &origin()).await.unwrap();
            }
            control.issue_sync_token(&bob, wanted(id, &[Op::Write]), &origin()).await
        })
    });
    let outcomes = futures_util::future::join_all(mints).await;
    let minted: Vec<_> = outcomes.into_iter().filter_map(|outcome| outcome.unwrap().ok()).collect();
    assert!(!minted.is_empty() && minted.len() < 40, "{} of 40 were minted", minted.len());
    let (_, code) =
        hub.control.create_invitation(&ada, &org, "bob@example.com", "member", &origin()).await.unwrap();
    hub.control.accept_invitation(&bob, &code, &origin()).await.unwrap();
    for token in minted {
        let refused = hub.control.authenticate_sync(&bearer(&token.token), local()).unwrap_err();
        assert_eq!(refused.reason, Reason::TokenRevoked);
    }
}

// Verifies: ORG-05, TOK-13
#[tokio::test]
async fn a_demotion_ends_what_the_new_role_does_not_cover() {
    let hub = Fixture::new().await;
    let (ada, org) = team(&hub).await;
    let bob = hub.member(&ada, &org, "bob@example.com", "member").await;
    let id = hub.control.create_database(&ada, "main", &org, "", &origin()).await.unwrap().id;
    let watch = async |ops: &[Op]| {
        let token = hub.token(&bob, id, ops).await.token;
        hub.control.watch(&hub.control.authenticate_sync(&bearer(&token), local()).unwrap())
    };
    let (reads, writes) = (watch(&[Op::Read]).await, watch(&[Op::Write]).await);
    hub.control.set_member_role(&ada, &org, "bob@example.com", "viewer", &origin()).await.unwrap();
    assert_eq!((reads.now(), writes.now()), (None, Some(RightsEnd::Revoked)));
}

// Verifies: ORG-13
#[tokio::test]
async fn members_are_listed_page_by_page_to_admins() {
    let hub = Fixture::new().await;
    let (ada, org) = team(&hub).await;
    let mut expected = vec!["ada@example.com".to_owned()];
    for n in 0..4 {
        let email = format!("m{n}@example.com");
        hub.clock.advance_secs(1);
        hub.member(&ada, &org, &email, "viewer").await;
        expected.push(email);
    }
    let (mut seen, mut token) = (Vec::new(), String::new());
    loop {
        let (page, next) = hub.control.list_members(&ada, &org, 2, &token).await.unwrap();
        seen.extend(page);
        token = next;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(seen.iter().map(|member| member.email.as_str()).collect::<Vec<_>>(), expected);
    assert_eq!(seen[2].joined, UnixMillis((START + 2) * 1000));
    let viewer = hub.control.login("m0@example.com", PASSWORD, "", &origin()).await.unwrap();
    let viewer = hub.caller(&viewer.token).unwrap();
    let refused = hub.control.list_members(&viewer, &org, 0, "").await.unwrap_err();
    assert_eq!(refused.reason, Reason::PermissionDenied);
    let unknown = OrgId::from_uuid(uuid::Uuid::nil()).to_string();
    assert_eq!(hub.control.list_members(&ada, &unknown, 0, "").await.unwrap_err().reason, Reason::NotFound);
}
