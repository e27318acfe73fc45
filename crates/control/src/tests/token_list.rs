use ferry_auth::{Caveat, macaroon};
use ferry_types::Reason;

use super::*;

// Verifies: TOK-12, TOK-13
#[tokio::test]
async fn one_token_is_revoked_with_its_narrowed_copies() {
    let hub = Fixture::new().await;
    let (_, ada) = hub.signup("ada@example.com").await;
    let (_, eve) = hub.signup("eve@example.com").await;
    let id = hub.database(&ada, "main").await;
    let (first, second) = (hub.token(&ada, id, &[Op::Read]).await, hub.token(&ada, id, &[Op::Write]).await);
    let caveat: Caveat = "op=read".parse().unwrap();
    let narrowed = macaroon::attenuate(&first.token, &[caveat]).unwrap();
    let watch =
        hub.control.watch(&hub.control.authenticator.sync_bearer(&bearer(&narrowed), local()).unwrap());
    let refused = async |caller: &Caller, token_id: &str, token: &str| {
        RevokeToken { caller, token_id, token, origin: &origin() }
            .run(&hub.control.db)
            .await
            .unwrap_err()
            .reason
    };
    let first_id = first.token_id.to_string();
    assert_eq!(refused(&eve, &first_id, "").await, Reason::NotFound);
    assert_eq!(refused(&eve, "", &first.token).await, Reason::NotFound);
    assert_eq!(refused(&ada, "x", "").await, Reason::NotFound);
    assert_eq!(refused(&ada, "", "").await, Reason::InvalidArgument);
    assert_eq!(refused(&ada, "", "x").await, Reason::InvalidArgument);
    assert_eq!(refused(&ada, &first_id, &first.token).await, Reason::InvalidArgument);
    RevokeToken { caller: &ada, token_id: "", token: &narrowed, origin: &origin() }
        .run(&hub.control.db)
        .await
        .unwrap();
    assert_eq!(watch.now(), Some(RightsEnd::Revoked));
    let hub = hub.restart().await;
    assert!(hub.control.authenticator.sync_bearer(&bearer(&first.token), local()).is_err());
    hub.control.authenticator.sync_bearer(&bearer(&second.token), local()).unwrap();
    let (listed, _) = ListTokens { caller: &ada, database: "main", page_size: 0, page_token: "" }
        .run(&hub.control.db)
        .await
        .unwrap();
    assert_eq!(listed.iter().map(|token| token.token_id).collect::<Vec<_>>(), [second.token_id]);
}

// Verifies: TOK-12, ORG-13
#[tokio::test]
async fn lists_show_live_tokens_page_by_page() {
    let hub = Fixture::new().await;
    let (_, ada) = hub.signup("ada@example.com").await;
    let id = hub.database(&ada, "main").await;
    let mut minted = Vec::new();
    for _ in 0..5 {
        minted.push(hub.token(&ada, id, &[Op::Read]).await.token_id);
        hub.clock.advance_secs(1);
    }
    let other = LogIn { email: "ada@example.com", password: PASSWORD, label: "", origin: &origin() }
        .run(&hub.control.accounts)
        .await
        .unwrap();
    let other = hub.caller(&other.token).unwrap();
    hub.token(&other, id, &[Op::Read]).await;
    RevokeSession { caller: &other, session_id: "", keep_sync_tokens: false, origin: &origin() }
        .run(&hub.control.db)
        .await
        .unwrap();
    let (mut seen, mut page_token) = (Vec::new(), String::new());
    loop {
        let (page, next) =
            ListTokens { caller: &ada, database: "main", page_size: 2, page_token: &page_token }
                .run(&hub.control.db)
                .await
                .unwrap();
        seen.extend(page.iter().map(|token| token.token_id));
        page_token = next;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(seen, minted, "in order, without those of the ended session");
    hub.clock.advance_secs(3_600);
    assert!(
        ListTokens { caller: &ada, database: "main", page_size: 0, page_token: "" }
            .run(&hub.control.db)
            .await
            .unwrap()
            .0
            .is_empty(),
        "expired"
    );
}

// Verifies: TOK-12, TOK-13
#[tokio::test]
async fn all_tokens_of_a_database_are_revoked_for_good() {
    let hub = Fixture::new().await;
    let (_, ada) = hub.signup("ada@example.com").await;
    let (id, other) = (hub.database(&ada, "main").await, hub.database(&ada, "other").await);
    let (token, spared) = (hub.token(&ada, id, &[Op::Read]).await, hub.token(&ada, other, &[Op::Read]).await);
    let watch =
        hub.control.watch(&hub.control.authenticator.sync_bearer(&bearer(&token.token), local()).unwrap());
    RevokeDatabaseTokens { caller: &ada, database: "main", origin: &origin() }
        .run(&hub.control.db)
        .await
        .unwrap();
    assert_eq!(watch.now(), Some(RightsEnd::Revoked));
    assert!(
        ListTokens { caller: &ada, database: "main", page_size: 0, page_token: "" }
            .run(&hub.control.db)
            .await
            .unwrap()
            .0
            .is_empty()
    );
    let newer = hub.token(&ada, id, &[Op::Read]).await;
    let hub = hub.restart().await;
    assert!(hub.control.authenticator.sync_bearer(&bearer(&token.token), local()).is_err());
    for token in [spared, newer] {
        hub.control.authenticator.sync_bearer(&bearer(&token.token), local()).unwrap();
    }
}
