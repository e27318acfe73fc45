use std::sync::mpsc;

use super::*;

// A list waited behind whatever the writer was doing, and a login for the fsync of others before it was even looked up.
// Verifies: ORG-13
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_wait_for_no_writer_and_show_what_was_just_created() {
    let hub = Fixture::new().await;
    let (_, caller) = hub.signup("ada@example.com").await;
    CreateOrg { caller: &caller, name: "team", origin: &origin() }.run(&hub.control.db).await.unwrap();
    for number in 0..20 {
        let email = format!("guest{number}@example.com");
        CreateInvitation { caller: &caller, org: "team", email: &email, role: "member", origin: &origin() }
            .run(&hub.control.accounts)
            .await
            .unwrap();
        let (listed, _) = ListInvitations { caller: &caller, org: "team", page_size: 0, page_token: "" }
            .run(&hub.control.db)
            .await
            .unwrap();
        assert_eq!(listed.len(), number + 1, "a list right after a create shows it");
    }
    let (began, has_begun) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let db = Arc::clone(&hub.control.db);
    let busy = tokio::spawn(async move {
        db.write(move |_| {
            began.send(()).unwrap();
            Ok(released.recv().is_ok())
        })
        .await
    });
    tokio::task::spawn_blocking(move || has_begun.recv()).await.unwrap().unwrap();
    let (listed, _) = ListMembers { caller: &caller, org: "team", page_size: 0, page_token: "" }
        .run(&hub.control.db)
        .await
        .unwrap();
    assert_eq!(listed.len(), 1);
    release.send(()).unwrap();
    assert_eq!(busy.await.unwrap(), Ok(true));
}

// Verifies: CFG-07
#[tokio::test]
async fn reads_end_with_the_hub_and_leave_no_file_beside_control_db() {
    let hub = Fixture::new().await;
    let (_, caller) = hub.signup("ada@example.com").await;
    ListSessions { caller: &caller, page_size: 0, page_token: "" }.run(&hub.control.db).await.unwrap();
    hub.control.stop().await;
    let refused = ListSessions { caller: &caller, page_size: 0, page_token: "" }
        .run(&hub.control.db)
        .await
        .unwrap_err();
    assert_eq!(refused.reason, ferry_types::Reason::ShuttingDown);
    assert!(!hub.dir.path().join("control.db-wal").exists(), "the last connection removed the WAL");
}
