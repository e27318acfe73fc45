use super::*;

// Verifies: OPR-37, OPR-56
#[tokio::test]
async fn breaks_and_moves_are_told_page_by_page_the_newest_first() {
    let hub = Fixture::new().await;
    let id: DatabaseId = "db_01a22c61-3bb0-74c1-854a-0568c7d72508".parse().unwrap();
    let reason = "its file lacks commits";
    let broken =
        |found, known| DatabaseBreak { id, reason, known: Seq(known), found: Seq(found), applies: true };
    hub.control.lineage.add_break(broken(5, 9)).await.unwrap();
    // In the same millisecond: breaks have numbers of their own.
    hub.control.lineage.add_break(broken(6, 8)).await.unwrap();
    let sql =
        "INSERT INTO runs VALUES ('00000000000000aa', 999, ?1, 0), ('00000000000000ab', 1000, ?1 + 2, 0)";
    assert_eq!(hub.sql().execute(sql, [START * 1000 + 1]).unwrap(), 2);
    let sql = "INSERT INTO audit(at, request_id, actor, action, target, outcome, ip, detail)
               VALUES (?1, '', '', 'lineage.moved', 'hub', 'ok', '', '{}')";
    assert_eq!(hub.sql().execute(sql, [START * 1000 + 1]).unwrap(), 1);

    let (mut told, mut page) = (Vec::new(), String::new());
    loop {
        let list = ListLineageSteps { page_size: 1, page_token: &page };
        let (rows, next) = list.run(&hub.control.db).await.unwrap();
        assert_eq!(rows.len(), 1);
        told.extend(rows);
        page = next;
        if page.is_empty() {
            break;
        }
    }
    let brief: Vec<_> = told
        .iter()
        .map(|step| (&*step.kind, step.at.0 - START * 1000, &*step.scope, step.known_seq))
        .collect();
    let id = id.to_string();
    assert_eq!(brief, [("moved", 1, "hub", 0), ("break", 0, &*id, 8), ("break", 0, &*id, 9)]);
    let left: Vec<_> = told.iter().map(|step| (step.left_seq, step.number - START * 1000)).collect();
    assert_eq!(left[1..], [(6, 1), (5, 0)]);
    let foreign = ListLineageSteps { page_size: 0, page_token: "x" }.run(&hub.control.db).await;
    assert!(foreign.unwrap_err().message.contains("page_token"));
}
