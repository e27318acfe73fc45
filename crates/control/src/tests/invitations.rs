use ferry_auth::Role;
use ferry_types::{Reason, limits::INVITATIONS_PER_ORG_MAX};

use super::*;

const EMAIL: &str = "bob@example.com";

async fn team(hub: &Fixture) -> (Caller, String) {
    let (_, ada) = hub.signup("ada@example.com").await;
    let org = CreateOrg { caller: &ada, name: "team", origin: &origin() }.run(&hub.control.db).await.unwrap();
    (ada, org.id.to_string())
}

async fn invite(hub: &Fixture, admin: &Caller, org: &str, email: &str) -> String {
    CreateInvitation { caller: admin, org, email, role: "member", origin: &origin() }
        .run(&hub.control.accounts)
        .await
        .unwrap()
        .code
}

async fn accept(hub: &Fixture, caller: &Caller, code: &str) -> Result<Role, Reason> {
    let accepted = AcceptInvitation { caller, code, origin: &origin() }.run(&hub.control.db).await;
    accepted.map(|org| org.role).map_err(|error| error.reason)
}

// Verifies: ORG-12
#[tokio::test]
async fn a_code_works_once_in_time_and_for_its_email() {
    let hub = Fixture::new().await;
    let (ada, org) = team(&hub).await;
    let (_, bob) = hub.signup(EMAIL).await;
    let (_, eve) = hub.signup("eve@example.com").await;
    let code = invite(&hub, &ada, &org, "BOB@Example.com").await;
    assert_eq!(code.len(), 43, "32 bytes in base64url");
    for (caller, code) in [(&eve, code.as_str()), (&bob, ""), (&bob, "x"), (&bob, &code[1..])] {
        assert_eq!(accept(&hub, caller, code).await, Err(Reason::PermissionDenied));
    }
    assert_eq!(accept(&hub, &bob, &code).await, Ok(Role::Member));
    assert_eq!(accept(&hub, &bob, &code).await, Err(Reason::PermissionDenied), "spent");
    let again = CreateInvitation { caller: &ada, org: &org, email: EMAIL, role: "admin", origin: &origin() }
        .run(&hub.control.accounts)
        .await;
    assert_eq!(again.unwrap_err().reason, Reason::AlreadyExists);

    let code = invite(&hub, &ada, &org, "eve@example.com").await;
    hub.clock.advance_secs(7 * 86_400);
    let (ada, eve) = (login(&hub, "ada@example.com").await, login(&hub, "eve@example.com").await);
    assert_eq!(accept(&hub, &eve, &code).await, Err(Reason::PermissionDenied), "seven days old");
    let code = invite(&hub, &ada, &org, "eve@example.com").await;
    hub.clock.advance_secs(7 * 86_400 - 1);
    let eve = login(&hub, "eve@example.com").await;
    assert_eq!(accept(&hub, &eve, &code).await, Ok(Role::Member));
    for name in ["control.db", "control.db-wal"] {
        let bytes = std::fs::read(hub.dir.path().join(name)).unwrap();
        assert!(!bytes.windows(code.len()).any(|window| window == code.as_bytes()), "{name}");
    }
}

async fn login(hub: &Fixture, email: &str) -> Caller {
    let session = LogIn { email, password: PASSWORD, label: "", origin: &origin() }
        .run(&hub.control.accounts)
        .await
        .unwrap();
    hub.caller(&session.token).unwrap()
}

// Verifies: ORG-12
#[tokio::test]
async fn racing_accepts_of_one_code_have_one_winner() {
    let hub = Fixture::new().await;
    let (ada, org) = team(&hub).await;
    let (_, bob) = hub.signup(EMAIL).await;
    let code = invite(&hub, &ada, &org, EMAIL).await;
    let outcomes = futures_util::future::join_all((0..8).map(|_| accept(&hub, &bob, &code))).await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1, "{outcomes:?}");
}

// Verifies: ORG-12, ORG-13
#[tokio::test]
async fn invitations_are_listed_replaced_and_revoked() {
    let hub = Fixture::new().await;
    let (ada, org) = team(&hub).await;
    let (_, bob) = hub.signup(EMAIL).await;
    let (_, eve) = hub.signup("eve@example.com").await;
    let replaced = invite(&hub, &ada, &org, EMAIL).await;
    let code = invite(&hub, &ada, &org, EMAIL).await;
    invite(&hub, &ada, &org, "carol@example.com").await;
    let (first, next) = ListInvitations { caller: &ada, org: &org, page_size: 1, page_token: "" }
        .run(&hub.control.db)
        .await
        .unwrap();
    let (second, end) = ListInvitations { caller: &ada, org: &org, page_size: 1, page_token: &next }
        .run(&hub.control.db)
        .await
        .unwrap();
    assert_eq!(
        (first[0].email.as_str(), second[0].email.as_str(), end.as_str()),
        (EMAIL, "carol@example.com", "")
    );
    assert_eq!(first[0].exp_unix, START + 7 * 86_400);
    assert_eq!(accept(&hub, &bob, &replaced).await, Err(Reason::PermissionDenied));
    let id = first[0].id.to_string();
    let revoke = async |by: &Caller, id: &str| {
        RevokeInvitation { caller: by, id, origin: &origin() }
            .run(&hub.control.db)
            .await
            .map_err(|error| error.reason)
    };
    assert_eq!(revoke(&eve, &id).await, Err(Reason::NotFound), "of a foreign organisation");
    assert_eq!(revoke(&ada, "inv_x").await, Err(Reason::NotFound));
    assert_eq!(revoke(&ada, &id).await, Ok(()));
    assert_eq!(revoke(&ada, &id).await, Err(Reason::NotFound));
    assert_eq!(accept(&hub, &bob, &code).await, Err(Reason::PermissionDenied));
    let refused = ListInvitations { caller: &eve, org: &org, page_size: 0, page_token: "" }
        .run(&hub.control.db)
        .await
        .unwrap_err();
    assert_eq!(refused.reason, Reason::NotFound);
    for (email, role) in [("no e-mail", "member"), (EMAIL, "root"), (EMAIL, "")] {
        let bad = CreateInvitation { caller: &ada, org: &org, email, role, origin: &origin() }
            .run(&hub.control.accounts)
            .await;
        assert_eq!(bad.unwrap_err().reason, Reason::InvalidArgument, "{email} {role}");
    }
}

// Verifies: ORG-12
#[tokio::test]
async fn an_organisation_has_so_many_invitations_waiting() {
    let hub = Fixture::new().await;
    let (ada, org) = team(&hub).await;
    let invites = (0..INVITATIONS_PER_ORG_MAX).map(|n| {
        let (control, ada, org) = (Arc::clone(&hub.control), ada.clone(), org.clone());
        async move {
            let email = format!("{n}@example.com");
            CreateInvitation { caller: &ada, org: &org, email: &email, role: "viewer", origin: &origin() }
                .run(&control.accounts)
                .await
                .unwrap();
        }
    });
    futures_util::future::join_all(invites).await;
    let create = async |email: &str| {
        CreateInvitation { caller: &ada, org: &org, email, role: "viewer", origin: &origin() }
            .run(&hub.control.accounts)
            .await
            .map_err(|error| error.reason)
    };
    assert_eq!(create("more@example.com").await.map(|_| ()), Err(Reason::OrgLimit));
    assert!(create("1@example.com").await.is_ok(), "it replaces one");
    hub.clock.advance_secs(7 * 86_400);
    let ada = login(&hub, "ada@example.com").await;
    invite(&hub, &ada, &org, "more@example.com").await;
}

// Verifies: ORG-03, ORG-12
#[tokio::test]
async fn an_invitation_opens_a_hub_that_takes_no_strangers() {
    for signup in [Signup::Open, Signup::Invite, Signup::Closed] {
        let hub = Fixture::with(|config| config.signup = signup).await;
        CreateUser { email: "ada@example.com", password: PASSWORD, origin: &origin() }
            .run(&hub.control.accounts)
            .await
            .unwrap();
        let ada = login(&hub, "ada@example.com").await;
        let org = CreateOrg { caller: &ada, name: "team", origin: &origin() }
            .run(&hub.control.db)
            .await
            .unwrap()
            .id;
        let code = invite(&hub, &ada, &org.to_string(), EMAIL).await;
        let enter = async |email: &str, password: &str, code: &str| {
            let entered = SignUp { email, password, invite_code: code, origin: &origin() }
                .run(&hub.control.accounts)
                .await;
            entered.map(|session| session.whoami).map_err(|error| error.reason)
        };
        let refusal = if signup == Signup::Open { Reason::PermissionDenied } else { Reason::SignupClosed };
        assert_eq!(enter(EMAIL, PASSWORD, "guess").await, Err(refusal));
        assert_eq!(enter("eve@example.com", PASSWORD, &code).await, Err(refusal), "another's code");
        if signup == Signup::Closed {
            assert_eq!(enter(EMAIL, PASSWORD, &code).await, Err(refusal));
            continue;
        }
        assert_eq!(enter(EMAIL, "short", &code).await, Err(Reason::InvalidArgument));
        let whoami = enter(EMAIL, PASSWORD, &code).await.unwrap();
        assert_eq!(whoami.orgs.len(), 2);
        assert!(whoami.orgs.iter().any(|joined| joined.id == org && joined.role == Role::Member));
        assert_ne!(whoami.org_id, org, "the session starts in the personal organisation");
        assert_eq!(enter("carol@example.com", PASSWORD, &code).await, Err(refusal), "spent");
        assert_eq!(hub.control.user_count(), 2);
        let hub = hub.restart().await;
        let bob = login(&hub, EMAIL).await;
        assert_eq!(GetWhoami { caller: &bob }.run(&hub.control.db).unwrap().orgs.len(), 2, "durable");
    }
}
