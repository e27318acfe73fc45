use ferry_auth::macaroon;
use ferry_types::Reason;

use super::*;

async fn budgeted(hub: &Fixture, caveats: &[&str]) -> ferry_auth::AuthContext {
    let (_, caller) = hub.signup("ada@example.com").await;
    let id = hub.database(&caller, "main").await;
    let token = hub.token(&caller, id, &[Op::Read]).await.token;
    let caveats: Vec<_> = caveats.iter().map(|text| text.parse().unwrap()).collect();
    let narrowed = macaroon::attenuate(&token, &caveats).unwrap();
    hub.control.authenticator.sync_bearer(&bearer(&narrowed), local()).unwrap()
}

// Verifies: TOK-14
#[tokio::test]
async fn a_budget_begins_anew_at_midnight_and_holds_over_a_restart() {
    let hub = Fixture::new().await;
    let auth = budgeted(&hub, &["bpd=100", "bpd=1000"]).await;
    let meter = hub.control.budgets.meter(&auth).await.unwrap();
    meter.charge(60).unwrap();
    meter.charge(40).unwrap();
    let until_midnight_ms = 86_400_000 - u64::try_from(START * 1000 % 86_400_000).unwrap();
    let over = meter.charge(1).unwrap_err();
    assert_eq!((over.reason, over.retry_after_ms), (Reason::ByteBudget, Some(until_midnight_ms)));
    let closed = |outcome: ferry_types::Result<crate::Meter>| outcome.err().map(|error| error.reason);
    assert_eq!(closed(hub.control.budgets.meter(&auth).await), Some(Reason::ByteBudget));
    hub.control.flush_usage().await;
    let rows: Vec<i64> = {
        let sql = hub.sql();
        let mut statement = sql.prepare("SELECT bytes FROM token_usage").unwrap();
        let rows = statement.query_map([], |row| row.get(0)).unwrap();
        rows.map(Result::unwrap).collect()
    };
    assert_eq!(rows, [101, 101], "each bucket counts all bytes");

    let hub = hub.restart().await;
    assert_eq!(closed(hub.control.budgets.meter(&auth).await), Some(Reason::ByteBudget));
    hub.clock.advance_secs(i64::try_from(until_midnight_ms / 1000).unwrap());
    let meter = hub.control.budgets.meter(&auth).await.unwrap();
    meter.charge(100).unwrap();
    // A clock that is set back opens nothing.
    hub.clock.advance_secs(-86_400);
    assert!(meter.charge(1).is_err());
    hub.control.flush_usage().await;
    hub.clock.advance_secs(2 * 86_400);
    hub.control.flush_usage().await;
    hub.control.budgets.meter(&auth).await.unwrap().charge(100).unwrap();
}

// Verifies: TOK-14
#[tokio::test]
async fn who_has_no_budget_is_not_counted() {
    let hub = Fixture::new().await;
    let auth = budgeted(&hub, &["op=read"]).await;
    let meter = hub.control.budgets.meter(&auth).await.unwrap();
    meter.charge(usize::MAX).unwrap();
    hub.control.flush_usage().await;
    let count: u64 = hub.sql().query_row("SELECT count(*) FROM token_usage", [], |row| row.get(0)).unwrap();
    assert_eq!(count, 0);
}
