//! Roles. The calls that change them come later; until then a test sets the role where those calls will, in
//! control.db, while the hub stands still.

use ferry_testkit::{rpc::Session, socket::Socket};
use serde_json::json;

use crate::support::{Place, control_db, refused};

fn with_role(mut place: Place, role: &str) -> Place {
    place.hub.stop();
    let changed = control_db(&place.hub).execute("UPDATE memberships SET role = ?1", [role]).unwrap();
    assert_eq!(changed, 1);
    place.restarted()
}

fn mint(
    user: &Session,
    database: &str,
    direction: &str,
) -> Result<serde_json::Value, ferry_testkit::rpc::Refusal> {
    user.edgereplica("IssueSyncToken", &json!({"databaseId": database, "direction": direction}))
}

// Verifies: ORG-04
#[test]
fn a_viewer_reads_a_member_writes_an_admin_manages() {
    let place = with_role(Place::new(), "viewer");
    mint(&place.user, &place.database, "DIRECTION_PULL").unwrap();
    place.user.edgereplica("ListDatabases", &json!({})).unwrap();
    refused(mint(&place.user, &place.database, "DIRECTION_PUSH"), "permission_denied");
    refused(place.user.edgereplica("CreateDatabase", &json!({"name": "more"})), "permission_denied");

    let place = with_role(place, "member");
    mint(&place.user, &place.database, "DIRECTION_PUSH").unwrap();
    mint(&place.user, &place.database, "DIRECTION_PULL").unwrap();
    refused(place.user.edgereplica("CreateDatabase", &json!({"name": "more"})), "permission_denied");
    let delete = json!({"databaseId": place.database});
    refused(place.user.edgereplica("DeleteDatabase", &delete), "permission_denied");

    let place = with_role(place, "admin");
    place.user.edgereplica("CreateDatabase", &json!({"name": "more"})).unwrap();
    place.user.edgereplica("DeleteDatabase", &delete).unwrap();
}

// Verifies: ORG-05
#[test]
fn the_role_of_today_counts_not_that_of_the_token() {
    let place = Place::new();
    let (push, pull) = (place.push_token(), place.pull_token());
    let place = with_role(place, "viewer");
    let whoami = place.user.edgereplica("Whoami", &json!({})).unwrap();
    assert_eq!(whoami["whoami"]["role"], "viewer");
    let refusal = Socket::open(place.hub.address(), &push);
    let pushes = refusal.map(|mut socket| {
        socket.send(&ferry_testkit::frames::Frame::hello(0));
        socket.send(&ferry_testkit::frames::Frame::Complete);
        socket.ending().code
    });
    match pushes {
        Err(response) => assert_eq!(response.status, 403, "{}", response.text()),
        Ok(code) => assert_eq!(code, 1008),
    }
    assert!(Socket::open(place.hub.address(), &pull).is_ok(), "reading is still allowed");
}
