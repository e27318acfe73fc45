use ferry_types::{
    DatabaseKind::{Hub, Replica},
    Reason,
};

use super::*;

// Verifies: ORG-09
#[tokio::test]
async fn the_first_write_fixes_the_kind() {
    let hub = Fixture::new().await;
    let (_, ada) = hub.signup("ada@example.com").await;
    let id = hub.database(&ada, "main").await;
    let claim = async |hub: &Fixture, kind| {
        let claim = hub.control.kinds.claim(id, kind, &requester()).await;
        claim.map(|claim| claim.set_by_this_call).map_err(|error| error.reason)
    };
    assert_eq!(claim(&hub, Replica).await, Ok(true));
    assert_eq!(hub.control.database(id).unwrap().kind, Some(Replica));
    assert_eq!(claim(&hub, Hub).await, Err(Reason::WrongKind));
    assert_eq!(claim(&hub, Replica).await, Ok(false));
    let hub = hub.restart().await;
    assert_eq!(claim(&hub, Hub).await, Err(Reason::WrongKind));
    assert_eq!(claim(&hub, Replica).await, Ok(false));
    DeleteDatabase { caller: &ada, database: "main", confirm_name: "", origin: &origin() }
        .run(&hub.control.db, &hub.control.storage)
        .await
        .unwrap();
    assert_eq!(claim(&hub, Replica).await, Err(Reason::NotFound));
}

// Verifies: ORG-09
#[tokio::test]
async fn racing_first_writes_of_both_kinds_have_one_winner() {
    let hub = Fixture::new().await;
    let (_, ada) = hub.signup("ada@example.com").await;
    let id = hub.database(&ada, "main").await;
    let kinds = [Hub, Replica, Hub, Replica];
    let by = requester();
    let claims =
        futures_util::future::join_all(kinds.map(|kind| hub.control.kinds.claim(id, kind, &by))).await;
    let fixed = hub.control.database(id).unwrap().kind.unwrap();
    for (kind, claim) in kinds.into_iter().zip(&claims) {
        assert_eq!(claim.is_ok(), kind == fixed);
    }
    assert_eq!(claims.iter().flatten().filter(|claim| claim.set_by_this_call).count(), 1);
}

// Verifies: ORG-09
#[tokio::test]
async fn a_failed_first_write_leaves_the_kind_open_unless_another_relies_on_it() {
    let hub = Fixture::new().await;
    let (_, ada) = hub.signup("ada@example.com").await;
    let id = hub.database(&ada, "main").await;
    hub.control.kinds.claim(id, Replica, &requester()).await.unwrap();
    hub.control.kinds.release(id, &requester()).await.unwrap();
    assert_eq!(hub.control.database(id).unwrap().kind, None);
    assert!(hub.control.kinds.claim(id, Hub, &requester()).await.unwrap().set_by_this_call);
    assert!(
        !hub.control.kinds.claim(id, Hub, &requester()).await.unwrap().set_by_this_call,
        "a second writer"
    );
    hub.control.kinds.release(id, &requester()).await.unwrap();
    assert_eq!(hub.control.database(id).unwrap().kind, Some(Hub), "the second one still writes");
    let hub = hub.restart().await;
    assert_eq!(hub.control.database(id).unwrap().kind, Some(Hub));
    hub.control.kinds.release(id, &requester()).await.unwrap();
    assert_eq!(hub.control.database(id).unwrap().kind, Some(Hub), "fixed before the start");
}
