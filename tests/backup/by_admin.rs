//! An admin of a database sees the backups that have it, and has it put back beside what lives; no more. And who operates the
//! hub no longer has nothing replaced.

use ferry_testkit::{
    Session,
    rpc::{FERRY, call},
    wait,
};
use serde_json::{Value, json};

use super::Backed;
use crate::{
    control::{dashboard_page::DashboardPage, team::invite},
    support::{control_db, refused},
};

/// The job as whoever began it is told of it, at its end.
fn ended(session: &Session, job: &Value) -> Value {
    let id = json!({"id": job["id"]});
    wait::until("the job's end", || {
        let job = session.ferry("GetJob", &id).unwrap();
        (job["state"] != "running").then_some(job)
    })
}

// Verifies: OPR-22, OPR-51, OPR-55, OPR-56
#[test]
fn an_admin_has_a_database_put_back_beside_what_lives() {
    let backed = Backed::new();
    backed.write(0);
    let place = &backed.records.place;
    let (ada, database) = (&place.user, json!(place.database));
    let eve = place.hub.signup("eve@example.com");
    let org = ada.ferry("CreateOrg", &json!({"name": "team"})).unwrap()["id"].as_str().unwrap().to_owned();
    let shared = ada.ferry("CreateDatabase", &json!({"name": "shared", "org": org})).unwrap()["id"].clone();
    eve.ferry("AcceptInvitation", &json!({"code": invite(ada, &org, "eve@example.com", "member")})).unwrap();
    let (backup, _) = backed.back_up();
    backed.write(1);
    let listed = ada.ferry("ListBackups", &json!({"database": database})).unwrap();
    let seen = &listed["backups"][0];
    assert_eq!(
        (seen["id"].as_str(), seen["scope"].as_str(), seen["state"].as_str()),
        (Some(&*backup), Some("hub"), Some("complete"))
    );
    // Where the hub keeps them, and what else it has, is the operator's.
    assert!(seen["target"].is_null() && seen["bytes"].is_null() && seen["databases"].is_null(), "{listed}");

    let wanted = |more: Value| {
        let mut message = json!({"database": database, "backupId": backup});
        message.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        message
    };
    let begun = ada.ferry("RestoreDatabase", &wanted(json!({"newName": "yesterday"}))).unwrap();
    let job = ended(ada, &begun);
    assert_eq!(job["state"], "done", "{job}");
    let result: Value = serde_json::from_str(job["resultJson"].as_str().unwrap()).unwrap();
    let id = result["restored"][0]["id"].as_str().unwrap();
    assert_ne!(id, place.database);
    let events = |database: &str| {
        let asked = json!({"database": database, "sql": "SELECT count(*) FROM events"});
        ada.ferry("QueryDatabase", &asked).unwrap()["rowsJson"].clone()
    };
    assert_eq!((events(id), events(&place.database)), (json!("[[1]]"), json!("[[2]]")));
    let actor: String = control_db(&place.hub)
        .query_row("SELECT actor FROM audit WHERE action = 'backup.restore'", [], |row| row.get(0))
        .unwrap();
    assert!(actor.starts_with("u_"), "{actor}");

    // What fails says nothing of the hub's targets.
    let taken = ada.ferry("RestoreDatabase", &wanted(json!({"newName": "yesterday"}))).unwrap();
    let failed = ended(ada, &taken);
    assert!(
        failed["state"] == "failed" && failed["error"].as_str().unwrap().contains("operator"),
        "{failed}"
    );

    // In the place of what lives only the operator puts it; a member and a stranger see nothing.
    let replace = wanted(json!({"replace": true, "confirmName": "app"}));
    let refusal = refused(ada.ferry("RestoreDatabase", &replace), "permission_denied");
    assert!(refusal.message.contains("new_name"), "{refusal:?}");
    let asks = |session: &Session, code: &str| {
        refused(session.ferry("ListBackups", &json!({"database": database})), code);
        refused(session.ferry("RestoreDatabase", &wanted(json!({"newName": "stolen"}))), code);
        refused(session.ferry("GetJob", &json!({"id": begun["id"]})), "not_found");
        refused(session.ferry("ListBackups", &json!({})), "unauthenticated");
        refused(session.ferry("CancelJob", &json!({"id": begun["id"]})), "unauthenticated");
    };
    asks(&eve, "not_found");
    // Of a database of both a member sees no backup either.
    refused(eve.ferry("ListBackups", &json!({"database": shared})), "permission_denied");
    refused(eve.ferry("RestoreDatabase", &json!({"database": shared, "newName": "x"})), "permission_denied");
    assert_eq!(ada.ferry("ListBackups", &json!({"database": shared})).unwrap()["backups"][0]["id"], *backup);

    // An admin who operates the hub besides is told the same on the page, and has the same put back.
    let page = DashboardPage::login(&place.hub, &ada.email);
    backed.operator().ok(&["admin", "user", "operator", &ada.email, "--on"]);
    assert_eq!(page.rpc("ListBackups", &json!({"database": database})).unwrap(), listed);
    let begun = page.rpc("RestoreDatabase", &wanted(json!({"newName": "of-operator"}))).unwrap();
    let job = wait::until("the job's end", || {
        let job = page.rpc("GetJob", &json!({"id": begun["id"]})).unwrap();
        (job["state"] != "running").then_some(job)
    });
    assert_eq!(job["state"], "done", "{job}");
    backed.operator().ok(&["admin", "user", "operator", &ada.email, "--off"]);

    // It needs a fresh sign-in.
    control_db(&place.hub).execute("UPDATE sessions SET created = created - 301000", []).unwrap();
    let refusal = page.rpc("RestoreDatabase", &wanted(json!({"newName": "again"}))).unwrap_err();
    assert!(refusal.message.contains("sign in again"), "{refusal:?}");
}

// What takes its time must not outlive the right to it.
// Verifies: OPR-22, OPR-51
#[test]
fn who_operates_the_hub_no_longer_replaces_nothing() {
    let backed = Backed::new();
    backed.write(0);
    backed.back_up();
    backed.write(1);
    let held = tempfile::tempdir().unwrap();
    let held = held.path().join("held");
    let backed =
        backed.restarted_with(|options| options.fault(format!("restore.fetched=wait:{}", held.display())));
    let place = &backed.records.place;
    let set = |how: &str| backed.operator().ok(&["admin", "user", "operator", &place.user.email, how]);
    set("--on");
    let page = DashboardPage::login(&place.hub, &place.user.email);
    let replace = json!({"database": place.database, "replace": true, "confirmName": "app"});
    let replaced = || {
        let begun = page.rpc("RestoreDatabase", &replace).unwrap();
        wait::until("the backup, fetched", || held.exists().then_some(()));
        begun["id"].as_str().unwrap().to_owned()
    };
    let token = place.hub.operator_token();
    let state = |id: &str| {
        wait::until("the job's end", || {
            let asked = json!({ "id": id });
            let job = call(place.hub.address(), FERRY, "GetJob", &asked, Some(&token)).unwrap();
            job["state"].as_str().filter(|state| *state != "running").map(str::to_owned)
        })
    };
    let seq = || place.user.seq(&place.database);
    let before = seq();
    let job = replaced();
    set("--off");
    std::fs::remove_file(&held).unwrap();
    assert_eq!((state(&job), seq()), ("failed".to_owned(), before));
    set("--on");
    let job = replaced();
    std::fs::remove_file(&held).unwrap();
    assert_eq!(state(&job), "done");
    assert!(seq() >= 1_000_000);
    // The database's admins learn who did it, and the operator of what belongs to no organisation.
    let whoami = place.user.ferry("Whoami", &json!({})).unwrap();
    let trail = place.user.ferry("ListAuditEvents", &json!({"action": "backup.replace"})).unwrap();
    let row = &trail["events"][0];
    let told = (&row["actor"], &row["target"]);
    assert_eq!(told, (&whoami["whoami"]["userId"], &json!("app")), "{trail}");
    let of_hub = json!({"hub": true, "action": "backup.create"});
    let rows = page.rpc("ListAuditEvents", &of_hub).unwrap();
    assert_eq!(rows["events"][0]["actor"], "operator", "{rows}");
    assert!(backed.operator().ok(&["admin", "audit"]).contains("backup.create"));
    refused(place.user.ferry("ListAuditEvents", &of_hub), "unauthenticated");
    set("--off");
    let refusal = page.rpc("ListAuditEvents", &of_hub).unwrap_err();
    assert_eq!(refusal.code, "permission_denied", "{refusal:?}");
}
