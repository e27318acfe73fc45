//! The audit entry of the write that fixed a database's kind (ORG-09, WEB-07).

use ferry_testkit::{http, livestore::chain, sample::Shape};
use serde_json::{Value, json};

use crate::{
    events::{Stores, a},
    records::{Records, insert},
    support::{Place, options},
};

fn user_id(place: &Place) -> String {
    let answer = place.user.ferry("Whoami", &json!({})).unwrap();
    answer["whoami"]["userId"].as_str().unwrap().to_owned()
}

/// The rows about kinds: actor, request and kind, newest first.
fn reply(place: &Place) -> Vec<(String, String, String)> {
    let answer = place.user.ferry("ListAuditEvents", &json!({"action": "database.kind"})).unwrap();
    let rows = answer["events"].as_array().unwrap_or_else(|| panic!("{answer}")).clone();
    let text = |row: &Value, name: &str| row[name].as_str().unwrap_or_default().to_owned();
    rows.iter().map(|row| (text(row, "actor"), text(row, "requestId"), text(row, "detailJson"))).collect()
}

#[track_caller]
fn assert_told(place: &Place, actor: &str, kind: &str) {
    let rows = reply(place);
    let [(who, request, detail)] = &rows[..] else { panic!("{rows:?}") };
    assert_eq!((who.as_str(), detail.as_str()), (actor, format!(r#"{{"kind":"{kind}"}}"#).as_str()));
    assert!(!request.is_empty() && request != "hub", "{request}");
}

// Verifies: ORG-09, WEB-07
#[test]
fn the_first_write_of_each_model_names_who_made_it() {
    let pages = Place::new();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("app.db");
    Shape::default().create(&file, 10, 1);
    pages.push(&file);
    assert_told(&pages, &user_id(&pages), "replica");

    let stores = Stores::new();
    assert_eq!(stores.open("app").push(&a(1), &chain(0, 1)).code(), "success");
    assert_told(&stores.place, &user_id(&stores.place), "hub");

    // An API key through the view, with the id of its request.
    let records = Records::of(options().start());
    let spec = json!({"kind": "secret", "models": ["records"]});
    let request = json!({"database": records.place.database, "spec": spec});
    let key = records.place.user.ferry("CreateApiKey", &request).unwrap();
    let bearer = format!("Bearer {}", key["value"].as_str().unwrap());
    let body = json!({"clientId": "c", "changes": [insert("tasks", "t1", "x")]}).to_string();
    let headers = [("Authorization", bearer.as_str()), ("X-Request-Id", "the-first-write")];
    let pushed = http::send(records.address(), "POST", "/sync/todo", &headers, body.as_bytes()).unwrap();
    assert_eq!(pushed.status, 200, "{}", pushed.text());
    assert_told(&records.place, key["id"].as_str().unwrap(), "hub");
    assert_eq!(reply(&records.place)[0].1, "the-first-write");
}
