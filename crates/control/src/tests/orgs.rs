use ferry_auth::Role;
use ferry_types::{OrgId, Reason};

use super::*;

async fn team(hub: &Fixture) -> (Caller, String) {
    let (_, ada) = hub.signup("ada@example.com").await;
    let org = CreateOrg { caller: &ada, name: "team", origin: &origin() }.run(&hub.control.db).await.unwrap();
    assert_eq!((org.name.as_str(), org.role, org.personal), ("team", Role::Admin, false));
    (ada, org.id.to_string())
}

fn names(hub: &Fixture, caller: &Caller) -> Vec<String> {
    let (orgs, _) = ListOrgs { caller, page_size: 0, page_token: "" }.run(&hub.control.db).unwrap();
    orgs.into_iter().map(|org| org.name).collect()
}

// Verifies: ORG-13
#[tokio::test]
async fn organisations_are_made_renamed_listed_and_survive_a_restart() {
    let hub = Fixture::new().await;
    let (ada, org) = team(&hub).await;
    let create = async |name: &str| {
        CreateOrg { caller: &ada, name, origin: &origin() }.run(&hub.control.db).await.map(|org| org.id)
    };
    assert_eq!(create("team").await.unwrap_err().reason, Reason::AlreadyExists);
    assert_eq!(create("a\nb").await.unwrap_err().reason, Reason::InvalidArgument);
    create("second").await.unwrap();
    let rename = async |org: &str, name: &str| {
        RenameOrg { caller: &ada, org, name, origin: &origin() }
            .run(&hub.control.db)
            .await
            .map_err(|error| error.reason)
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
        let (page, next) =
            ListOrgs { caller: &ada, page_size: 1, page_token: &token }.run(&hub.control.db).unwrap();
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
        SetMemberRole { caller: by, org: &org, user, role: "member", origin: &origin() }
            .run(&hub.control.db)
            .await
            .map_err(|error| error.reason)
    };
    let remove = async |by: &Caller, user: &str| {
        RemoveMember { caller: by, org: &org, user, origin: &origin() }
            .run(&hub.control.db)
            .await
            .map_err(|error| error.reason)
    };
    assert_eq!(demote(&bob, "ada@example.com").await, Err(Reason::PermissionDenied));
    assert_eq!(remove(&bob, "ada@example.com").await, Err(Reason::PermissionDenied));
    assert_eq!(remove(&bob, "nobody@example.com").await, Err(Reason::PermissionDenied), "tells nothing");
    assert_eq!(demote(&ada, "ada@example.com").await, Err(Reason::SoleAdmin));
    assert_eq!(remove(&ada, "ada@example.com").await, Err(Reason::SoleAdmin));
    assert_eq!(demote(&ada, "nobody@example.com").await, Err(Reason::NotFound));
    SetMemberRole { caller: &ada, org: &org, user: "BOB@example.com", role: "admin", origin: &origin() }
        .run(&hub.control.db)
        .await
        .unwrap();
    let both = futures_util::future::join(demote(&ada, "bob@example.com"), demote(&bob, "ada@example.com"));
    let (first, second) = both.await;
    assert!(first.is_ok() != second.is_ok(), "one of both is admin still: {first:?} {second:?}");
    let admin = if first.is_ok() { &ada } else { &bob };
    let (members, _) = ListMembers { caller: admin, org: &org, page_size: 0, page_token: "" }
        .run(&hub.control.db)
        .await
        .unwrap();
    assert_eq!(members.iter().filter(|member| member.role == Role::Admin).count(), 1);

    // A second admin who is locked out cannot manage either.
    let other = if first.is_ok() { "bob@example.com" } else { "ada@example.com" };
    SetMemberRole { caller: admin, org: &org, user: other, role: "admin", origin: &origin() }
        .run(&hub.control.db)
        .await
        .unwrap();
    DisableUser { user: other, disabled: true, origin: &origin() }.run(&hub.control.db).await.unwrap();
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
        RemoveMember { caller: &bob, org: &org, user: "ada@example.com", origin: &origin() }
            .run(&hub.control.db)
            .await,
        SetMemberRole { caller: &bob, org: &org, user: "ada@example.com", role: "viewer", origin: &origin() }
            .run(&hub.control.db)
            .await,
        DeleteOrg { caller: &ada, org: "", origin: &origin() }.run(&hub.control.db).await,
    ];
    for refusal in refused {
        assert_eq!(refusal.unwrap_err().reason, Reason::FailedPrecondition);
    }
    DeleteAccount { caller: &ada, confirm_email: "ada@example.com", password: PASSWORD, origin: &origin() }
        .run(&hub.control.accounts, &hub.control.storage)
        .await
        .unwrap();
    assert_eq!(names(&hub, &bob), ["bob@example.com (personal)"]);
    let create = CreateDatabase { caller: &bob, name: "other", org: &org, kind: "", origin: &origin() }
        .run(&hub.control.db, hub.control.max_databases_per_org)
        .await;
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
    let MadeInvitation { code, .. } = CreateInvitation {
        caller: &ada,
        org: &org,
        email: "eve@example.com",
        role: "admin",
        origin: &origin(),
    }
    .run(&hub.control.accounts)
    .await
    .unwrap();
    let id = CreateDatabase { caller: &ada, name: "main", org: &org, kind: "", origin: &origin() }
        .run(&hub.control.db, hub.control.max_databases_per_org)
        .await
        .unwrap()
        .id
        .to_string();
    let delete = async |by: &Caller| {
        DeleteOrg { caller: by, org: &org, origin: &origin() }
            .run(&hub.control.db)
            .await
            .map_err(|error| error.reason)
    };
    assert_eq!(delete(&bob).await, Err(Reason::PermissionDenied));
    assert_eq!(delete(&ada).await, Err(Reason::FailedPrecondition));
    DeleteDatabase { caller: &ada, database: &id, confirm_name: "", origin: &origin() }
        .run(&hub.control.db, &hub.control.storage)
        .await
        .unwrap();
    assert_eq!(delete(&ada).await, Ok(()));
    assert_eq!(delete(&ada).await, Err(Reason::NotFound));
    assert_eq!(names(&hub, &bob).len(), 1);
    let (_, eve) = hub.signup("eve@example.com").await;
    let spent = AcceptInvitation { caller: &eve, code: &code, origin: &origin() }
        .run(&hub.control.db)
        .await
        .unwrap_err();
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
    let shared = CreateDatabase { caller: &ada, name: "main", org: &org, kind: "", origin: &origin() }
        .run(&hub.control.db, hub.control.max_databases_per_org)
        .await
        .unwrap()
        .id;
    let own = hub.database(&bob, "own").await;
    let (token, spared) =
        (hub.token(&bob, shared, &[Op::Read]).await, hub.token(&bob, own, &[Op::Read]).await);
    let authenticate = |hub: &Fixture, token: &str| {
        hub.control.authenticator.sync_bearer(&bearer(token), local()).map(|_| ())
    };
    let watch = |token: &str| {
        hub.control.watch(&hub.control.authenticator.sync_bearer(&bearer(token), local()).unwrap())
    };
    let (mut ends, goes_on) = (watch(&token.token), watch(&spared.token));
    let waiting = tokio::spawn(async move { ends.ended().await });
    tokio::task::yield_now().await;
    RemoveMember { caller: &bob, org: &org, user: &bob.user_id.to_string(), origin: &origin() }
        .run(&hub.control.db)
        .await
        .unwrap();
    assert_eq!(waiting.await.unwrap(), RightsEnd::Revoked);
    assert_eq!(goes_on.now(), None);
    let mint = IssueSyncToken { caller: &bob, request: wanted(shared, &[Op::Read]), origin: &origin() }
        .run(&hub.control.db, hub.control.token_lives)
        .await;
    assert_eq!(mint.unwrap_err().reason, Reason::NotFound);

    // Who comes back begins anew: the old token stays dead, over a restart too.
    let MadeInvitation { code, .. } = CreateInvitation {
        caller: &ada,
        org: &org,
        email: "bob@example.com",
        role: "member",
        origin: &origin(),
    }
    .run(&hub.control.accounts)
    .await
    .unwrap();
    AcceptInvitation { caller: &bob, code: &code, origin: &origin() }.run(&hub.control.db).await.unwrap();
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
    let id = CreateDatabase { caller: &ada, name: "main", org: &org, kind: "", origin: &origin() }
        .run(&hub.control.db, hub.control.max_databases_per_org)
        .await
        .unwrap()
        .id;
    let mints = (0..40).map(|place| {
        let (control, ada, bob, org) = (Arc::clone(&hub.control), ada.clone(), bob.clone(), org.clone());
        tokio::spawn(async move {
            if place == 20 {
                RemoveMember { caller: &ada, org: &org, user: "bob@example.com", origin: &origin() }
                    .run(&control.db)
                    .await
                    .unwrap();
            }
            IssueSyncToken { caller: &bob, request: wanted(id, &[Op::Write]), origin: &origin() }
                .run(&control.db, control.token_lives)
                .await
        })
    });
    let outcomes = futures_util::future::join_all(mints).await;
    let minted: Vec<_> = outcomes.into_iter().filter_map(|outcome| outcome.unwrap().ok()).collect();
    assert!(!minted.is_empty() && minted.len() < 40, "{} of 40 were minted", minted.len());
    let MadeInvitation { code, .. } = CreateInvitation {
        caller: &ada,
        org: &org,
        email: "bob@example.com",
        role: "member",
        origin: &origin(),
    }
    .run(&hub.control.accounts)
    .await
    .unwrap();
    AcceptInvitation { caller: &bob, code: &code, origin: &origin() }.run(&hub.control.db).await.unwrap();
    for token in minted {
        let refused = hub.control.authenticator.sync_bearer(&bearer(&token.token), local()).unwrap_err();
        assert_eq!(refused.reason, Reason::TokenRevoked);
    }
}

// Verifies: ORG-05, TOK-13
#[tokio::test]
async fn a_demotion_ends_what_the_new_role_does_not_cover() {
    let hub = Fixture::new().await;
    let (ada, org) = team(&hub).await;
    let bob = hub.member(&ada, &org, "bob@example.com", "member").await;
    let id = CreateDatabase { caller: &ada, name: "main", org: &org, kind: "", origin: &origin() }
        .run(&hub.control.db, hub.control.max_databases_per_org)
        .await
        .unwrap()
        .id;
    let watch = async |ops: &[Op]| {
        let token = hub.token(&bob, id, ops).await.token;
        hub.control.watch(&hub.control.authenticator.sync_bearer(&bearer(&token), local()).unwrap())
    };
    let (reads, writes) = (watch(&[Op::Read]).await, watch(&[Op::Write]).await);
    SetMemberRole { caller: &ada, org: &org, user: "bob@example.com", role: "viewer", origin: &origin() }
        .run(&hub.control.db)
        .await
        .unwrap();
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
        let (page, next) = ListMembers { caller: &ada, org: &org, page_size: 2, page_token: &token }
            .run(&hub.control.db)
            .await
            .unwrap();
        seen.extend(page);
        token = next;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(seen.iter().map(|member| member.email.as_str()).collect::<Vec<_>>(), expected);
    assert_eq!(seen[2].joined, UnixMillis((START + 2) * 1000));
    let viewer = LogIn { email: "m0@example.com", password: PASSWORD, label: "", origin: &origin() }
        .run(&hub.control.accounts)
        .await
        .unwrap();
    let viewer = hub.caller(&viewer.token).unwrap();
    let refused = ListMembers { caller: &viewer, org: &org, page_size: 0, page_token: "" }
        .run(&hub.control.db)
        .await
        .unwrap_err();
    assert_eq!(refused.reason, Reason::PermissionDenied);
    let unknown = OrgId::from_uuid(uuid::Uuid::nil()).to_string();
    assert_eq!(
        ListMembers { caller: &ada, org: &unknown, page_size: 0, page_token: "" }
            .run(&hub.control.db)
            .await
            .unwrap_err()
            .reason,
        Reason::NotFound
    );
}
