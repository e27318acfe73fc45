//! A database for each user (records specification, 2.1).

use std::thread;

use ferry_testkit::{
    http,
    jwks_server::{Behaviour, JwksServer},
    jwt::{ED, GOOD},
    records::{NewsSocket, Said},
    wait,
};
use serde_json::{Value, json};

use super::{Records, insert};
use crate::support::{Place, control_db, options};

const PULL: &str = "/sync/todo/pull?collection=tasks&since=";

/// A hub that trusts the key server, with a database for each user.
fn trusting(server: &JwksServer) -> Records {
    let options = options()
        .env("FERRY_JWKS_URL", server.url())
        .env("FERRY_JWT_ISSUER", "*")
        .env("FERRY_JWT_AUDIENCE", "notes")
        .env("FERRY_DEFAULT_DATABASE", "app")
        .arg("--records-database-per-user=true");
    Records::at(Place::under(options))
}

fn jwt(issuer: &str, sub: &str) -> String {
    let now = wait::unix_seconds();
    ED.token(&json!({"iss": issuer, "sub": sub, "aud": "notes", "exp": now + 600, "iat": now}))
}

fn push(records: &Records, token: &str, title: &str) {
    let body = json!({"clientId": "c", "changes": [insert("tasks", "t1", title)]}).to_string();
    let answer = records.call_as(token, "POST", "/sync/todo", "", &body);
    assert_eq!(answer.status, 200, "{}", answer.text());
}

fn pull(records: &Records, token: &str) -> Value {
    records.call_as(token, "GET", PULL, "", "").json()["serverChanges"].clone()
}

/// Names of all databases but the default one.
fn users(records: &Records) -> Vec<String> {
    let answer = records.place.user.ferry("ListDatabases", &json!({})).unwrap();
    let rows = answer["databases"].as_array().unwrap().clone();
    let names = rows.iter().map(|row| row["name"].as_str().unwrap().to_owned());
    names.filter(|name| name != "app").collect()
}

// Verifies: REC-30
#[test]
fn each_subject_of_each_issuer_has_a_database() {
    let server = JwksServer::start(Behaviour::Keys(GOOD.to_vec(), None));
    let records = trusting(&server);
    let people =
        [("https://one.example", "ada"), ("https://one.example", "bob"), ("https://two.example", "ada")];
    for (issuer, sub) in people {
        push(&records, &jwt(issuer, sub), &format!("{sub} of {issuer}"));
    }
    let names = users(&records);
    assert_eq!(names.len(), 3);
    assert!(names.iter().all(|name| name.len() == 53 && name.starts_with("user-")), "{names:?}");
    for (issuer, sub) in people {
        let token = jwt(issuer, sub);
        let changes = pull(&records, &token);
        assert_eq!(changes[1]["fields"]["title"]["value"], format!("{sub} of {issuer}"));
        // The owner is the subject, and `-` leads to the same database.
        let path = "/v1/databases/-/records/todo/tasks/t1";
        assert_eq!(
            records.call_as(&token, "GET", path, "", "").json()["data"]["title"],
            format!("{sub} of {issuer}")
        );
    }
    // Every name can be computed: a restart finds the same ones.
    let mut records = records;
    records.place.hub.kill();
    let records = Records { place: records.place.restarted(), token: records.token };
    push(&records, &jwt("https://one.example", "ada"), "again");
    assert_eq!(users(&records), names);

    // A token that names a database stays there: it is the default one here, and holds none of these records.
    assert_eq!(pull(&records, &records.token), json!([]));
    push(&records, &records.token, "of a token");
    assert_eq!(users(&records), names);
    // A path that names the default database leads there, also behind a request that was led elsewhere.
    let named = "/v1/databases/app/records/todo/tasks/t1";
    let ada = jwt("https://one.example", "ada");
    assert_eq!(records.call_as(&ada, "GET", "/v1/databases/-/records/todo/tasks/t1", "", "").status, 200);
    assert_eq!(records.call_as(&ada, "GET", named, "", "").status, 404);
    // Nobody else's database can be named, not even by its name.
    for name in &names {
        let path = format!("/v1/databases/{name}/records/todo/tasks/t1");
        assert_eq!(records.call_as(&jwt("https://one.example", "bob"), "GET", &path, "", "").status, 404);
    }
    let sql = "SELECT owner FROM _ferry_records GROUP BY owner";
    let database = records.place.user.ferry("GetDatabase", &json!({"database": names[0]})).unwrap();
    let id = database["id"].as_str().unwrap_or_else(|| panic!("{database}"));
    let file = records.place.hub.database_dir(id).join("main.db");
    let owner: String =
        rusqlite::Connection::open(file).unwrap().query_row(sql, [], |row| row.get(0)).unwrap();
    assert_eq!(owner, "jwt:https://one.example#ada");
}

// Verifies: REC-30
#[test]
fn first_requests_at_once_make_one_database() {
    let server = JwksServer::start(Behaviour::Keys(GOOD.to_vec(), None));
    let records = trusting(&server);
    let (address, token) = (records.address(), jwt("https://one.example", "ada"));
    let bearer = format!("Bearer {token}");
    thread::scope(|scope| {
        for n in 0..16 {
            let bearer = &bearer;
            scope.spawn(move || {
                let change = insert("tasks", &format!("t{n}"), "x");
                let body = json!({"clientId": format!("c{n}"), "changes": [change]}).to_string();
                let headers = [("Authorization", bearer.as_str())];
                let answer = http::send(address, "POST", "/sync/todo", &headers, body.as_bytes()).unwrap();
                assert_eq!(answer.status, 200, "{}", answer.text());
            });
        }
    });
    assert_eq!(users(&records).len(), 1);
    assert_eq!(pull(&records, &token).as_array().unwrap().len(), 32, "all of them went there");
    let sql = "SELECT count(*) FROM audit WHERE action = 'database.create' AND actor = 'jwt:https://one.example#ada'";
    let rows: u64 = control_db(&records.place.hub).query_row(sql, [], |row| row.get(0)).unwrap();
    assert_eq!(rows, 1);
}

// Verifies: REC-31
#[test]
fn sockets_and_streams_follow_the_users_database() {
    let server = JwksServer::start(Behaviour::Keys(GOOD.to_vec(), None));
    let records = trusting(&server);
    let token = jwt("https://one.example", "ada");
    let mut socket = NewsSocket::open(records.address(), "/ws", &[("X-Client-Id", "other")]);
    socket.send(&json!({"type": "auth", "token": token}));
    assert_eq!(socket.said(), Said::Message(json!({"type": "auth-ok"})));
    let bearer = format!("Bearer {token}");
    let headers = [("Authorization", bearer.as_str())];
    let path = "/v1/databases/-/records/changes/stream";
    let mut stream = ferry_testkit::records::EventStream::open(records.address(), path, &headers).unwrap();
    assert_eq!(stream.event().unwrap().data["changes"], json!([]));
    push(&records, &jwt("https://one.example", "bob"), "of bob");
    push(&records, &token, "of ada");
    let news = json!({"type": "sync-available", "appId": "todo", "tables": ["tasks"]});
    assert_eq!(socket.said(), Said::Message(news));
    assert_eq!(stream.event().unwrap().data["changes"][0]["fields"]["title"]["value"], "of ada");
    // Revoking the credentials of that database ends both within a second.
    let name = users(&records)[0].clone();
    let (took, ()) = wait::timed(|| {
        records.place.user.ferry("RevokeDatabaseTokens", &json!({"database": name})).unwrap();
        assert_eq!(stream.event().unwrap().name, "bye");
        while !matches!(socket.said(), Said::Closed(1008)) {}
    });
    assert!(took < wait::PROMPT, "{took:?}");
}
