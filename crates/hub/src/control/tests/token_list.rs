use ferry_auth::{Caveat, macaroon};
use ferry_types::Reason;

use super::*;
use crate::control::RightsEnd;

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
    let watch = hub.control.watch(&hub.control.authenticate_sync(&bearer(&narrowed), local()).unwrap());
    let refused = async |caller: &Caller, token_id: &str, token: &str| {
        hub.control.revoke_token(caller, token_id, token, &origin()).await.unwrap_err().reason
    };
    let first_id = first.token_id.to_string();
    assert_eq!(refused(&eve, &first_id, "").await, Reason::NotFound);
    assert_eq!(refused(&eve, "", &first.token).await, Reason::NotFound);
    assert_eq!(refused(&ada, "x", "").await, Reason::NotFound);
    assert_eq!(refused(&ada, "", "").await, Reason::InvalidArgument);
    assert_eq!(refused(&ada, "", "x").await, Reason::InvalidArgument);
    assert_eq!(refused(&ada, &first_id, &first.token).await, Reason::InvalidArgument);
    hub.control.revoke_token(&ada, "", &narrowed, &origin()).await.unwrap();
    assert_eq!(watch.now(), Some(RightsEnd::Revoked));
    let hub = hub.restart().await;
    assert!(hub.control.authenticate_sync(&bearer(&first.token), local()).is_err());
    hub.control.authenticate_sync(&bearer(&second.token), local()).unwrap();
    let (listed, _) = hub.control.list_tokens(&ada, "main", 0, "").await.unwrap();
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
    let other = hub.control.login("ada@example.com", PASSWORD, "", &origin()).await.unwrap();
    let other = hub.caller(&other.token).unwrap();
    hub.token(&other, id, &[Op::Read]).await;
    hub.control.revoke_session(&other, "", false, &origin()).await.unwrap();
    let (mut seen, mut page_token) = (Vec::new(), String::new());
    loop {
        let (page, next) = hub.control.list_tokens(&ada, "main", 2, &page_token).await.unwrap();
        seen.extend(page.iter().map(|token| token.token_id));
        page_token = next;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(seen, minted, "in order, without those of the ended session");
    hub.clock.advance_secs(3_600);
    assert!(hub.control.list_tokens(&ada, "main", 0, "").await.unwrap().0.is_empty(), "expired");
}

// Verifies: TOK-12, TOK-13
#[tokio::test]
async fn all_tokens_of_a_database_are_revoked_for_good() {
    let hub = Fixture::new().await;
    let (_, ada) = hub.signup("ada@example.com").await;
    let (id, other) = (hub.database(&ada, "main").await, hub.database(&ada, "other").await);
    let (token, spared) = (hub.token(&ada, id, &[Op::Read]).await, hub.token(&ada, other, &[Op::Read]).await);
    let watch = hub.control.watch(&hub.control.authenticate_sync(&bearer(&token.token), local()).unwrap());
    hub.control.revoke_database_tokens(&ada, "main", &origin()).await.unwrap();
    assert_eq!(watch.now(), Some(RightsEnd::Revoked));
    assert!(hub.control.list_tokens(&ada, "main", 0, "").await.unwrap().0.is_empty());
    let newer = hub.token(&ada, id, &[Op::Read]).await;
    let hub = hub.restart().await;
    assert!(hub.control.authenticate_sync(&bearer(&token.token), local()).is_err());
    for token in [spared, newer] {
        hub.control.authenticate_sync(&bearer(&token.token), local()).unwrap();
    }
}
