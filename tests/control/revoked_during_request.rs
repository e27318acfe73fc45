//! Requests whose right ends before their last byte has arrived.
//!
//! A hub looked at credentials when a request came, and not again when it was whole. Whoever held back the last byte of
//! a body could write with a token that had been revoked meanwhile, up to the reset of a whole store.

use ferry_testkit::{
    Session, edgereplica,
    frames::Frame,
    http::{self, Response, Unfinished},
    jwt::{ED, key_set},
    livestore::{LiveSocket, chain, path, push_payload, request},
    rpc::{FERRY, call},
    sample,
    socket::{Event, Socket},
    wait,
};
use serde_json::{Value, json};

use super::team::{Team, text};
use crate::support::{Place, hub};

const ISSUER: &str = "https://id.example";

/// What ends the right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    TokenRevoked,
    DatabaseTokensRevoked,
    MemberRemoved,
    MemberDemoted,
    SessionRevoked,
    UserDisabled,
    SigningKeyRetired,
    TokenExpired,
    DatabaseDeleted,
    ApiKeyRevoked,
    ApiKeyDatabaseDeleted,
    JwtSettingsRemoved,
    JwtTokensRevoked,
    SessionOfRemovedMember,
    SessionItselfRevoked,
}

use Cause::{
    ApiKeyDatabaseDeleted, ApiKeyRevoked, DatabaseDeleted, DatabaseTokensRevoked, JwtSettingsRemoved,
    JwtTokensRevoked, MemberDemoted, MemberRemoved, SessionItselfRevoked, SessionOfRemovedMember,
    SessionRevoked, SigningKeyRetired, TokenExpired, TokenRevoked, UserDisabled,
};

/// One way to write.
struct Way {
    method: &'static str,
    path: String,
    body: String,
}

impl Way {
    fn post(path: String, body: &Value) -> Self {
        Self { method: "POST", path, body: body.to_string() }
    }
}

/// Every way to change a database with a body.
fn writes(database: &str) -> Vec<Way> {
    let v1 = format!("/v1/databases/{database}");
    let record =
        json!({"table": "tasks", "id": "t1", "op": "update", "fields": {"title": {"value": "late"}}});
    let event = json!({"name": "late", "args": {}});
    vec![
        Way::post("/sync/todo".into(), &json!({"clientId": "c", "changes": [record]})),
        Way {
            method: "PUT",
            path: format!("{v1}/records/todo/tasks/t1"),
            body: r#"{"title":"late"}"#.into(),
        },
        Way::post(
            format!("{v1}/events"),
            &json!({"store": "app", "parentSeqNum": null, "clientId": "c", "sessionId": "s", "events": [event]}),
        ),
        Way::post(
            path("app", "http"),
            &request(&json!("1"), "SyncHttpRpc.Push", &push_payload("app", &chain(1, 1), None)),
        ),
    ]
}

/// Every way to change a database as its administrator.
fn administration(database: &str) -> Vec<Way> {
    let stores = format!("/v1/databases/{database}/events/stores");
    vec![
        Way::post(format!("{stores}/app/reset"), &json!({"confirm": "app", "reason": "late"})),
        Way::post(format!("{stores}/app/remint"), &json!({"confirm": "app", "reason": "late"})),
        Way::post(stores.clone(), &json!({"storeId": "late"})),
        Way { method: "DELETE", path: format!("{stores}/app"), body: json!({"confirm": "app"}).to_string() },
    ]
}

struct Scene {
    team: Team,
    /// The credential of the requests.
    bearer: String,
    /// Of the hub's operator.
    operator: String,
    /// Named by what ends it.
    id: String,
    ways: Vec<Way>,
}

impl Scene {
    fn new(cause: Cause) -> Self {
        let team = Team::new("admin");
        let database = team.database.clone();
        let operator = team.hub.operator_token();
        let mut ways = writes(&database);
        let (bearer, id) = match cause {
            ApiKeyRevoked | ApiKeyDatabaseDeleted => {
                let spec = json!({"kind": "secret", "models": ["records", "events"], "ops": ["read", "write", "admin"]});
                let made =
                    team.admin.ferry("CreateApiKey", &json!({"database": database, "spec": spec})).unwrap();
                ways.extend(administration(&database));
                // A key names no user whose own records these would be.
                (text(&made, "value"), text(&made, "id"))
            }
            JwtSettingsRemoved | JwtTokensRevoked => {
                let settings = json!({
                    "jwksJson": key_set(&[ED]).to_string(), "issuer": ISSUER, "audiences": ["notes"],
                });
                set_jwt(&team, &settings);
                let now = wait::unix_seconds();
                let claims =
                    json!({"iss": ISSUER, "sub": "ada", "aud": "notes", "exp": now + 600, "iat": now});
                (ED.token(&claims), String::new())
            }
            SessionOfRemovedMember | SessionItselfRevoked => {
                ways = administration(&database);
                (team.member.token.clone(), String::new())
            }
            _ => {
                let ttl = if cause == TokenExpired { "2" } else { "600" };
                let request = json!({
                    "databaseId": database, "models": ["records", "events"], "ops": ["read", "write", "admin"],
                    "ttlSeconds": ttl,
                });
                let issued = team.member.ferry("IssueSyncToken", &request).unwrap();
                ways.extend(administration(&database));
                (text(&issued, "token"), text(&issued, "tokenId"))
            }
        };
        let scene = Self { team, bearer, operator, id, ways };
        scene.make_store();
        scene
    }

    /// A store with one event, so that every way finds what it would change.
    fn make_store(&self) {
        let request =
            json!({"databaseId": self.team.database, "models": ["events"], "ops": ["read", "write"]});
        let token = text(&self.team.admin.ferry("IssueSyncToken", &request).unwrap(), "token");
        let bearer = format!("Bearer {token}");
        let address = self.team.hub.address();
        let mut socket =
            LiveSocket::open(address, &path("app", "ws"), "app", &[("Authorization", &bearer)]).unwrap();
        assert_eq!(socket.push(&json!("1"), &chain(0, 1)).code(), "success");
    }

    fn headers(&self) -> [(&'static str, String); 2] {
        [("Authorization", format!("Bearer {}", self.bearer)), ("Content-Type", "application/json".into())]
    }

    fn begin(&self, way: &Way) -> Unfinished {
        let headers = self.headers();
        let headers: Vec<(&str, &str)> =
            headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let address = self.team.hub.address();
        Unfinished::begin(address, way.method, &way.path, &headers, way.body.as_bytes()).unwrap_or_else(
            |refused| panic!("{} {}: {} {}", way.method, way.path, refused.status, refused.text()),
        )
    }

    /// The same request as a whole.
    fn whole(&self, way: &Way) -> Response {
        let headers = self.headers();
        let headers: Vec<(&str, &str)> =
            headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        http::send(self.team.hub.address(), way.method, &way.path, &headers, way.body.as_bytes()).unwrap()
    }

    fn operator(&self, method: &str, request: &Value) -> Value {
        call(self.team.hub.address(), FERRY, method, request, Some(&self.operator)).unwrap()
    }

    /// Ends the right; when this returns, it has ended.
    fn end(&self, cause: Cause) {
        let Team { admin, member, .. } = &self.team;
        let database = &self.team.database;
        let done = |user: &Session, method: &str, request: &Value| {
            user.ferry(method, request).unwrap_or_else(|refusal| panic!("{method}: {refusal:?}"));
        };
        match cause {
            TokenRevoked => done(admin, "RevokeToken", &json!({"tokenId": self.id})),
            DatabaseTokensRevoked | JwtTokensRevoked => {
                done(admin, "RevokeDatabaseTokens", &json!({"database": database}));
            }
            MemberRemoved | SessionOfRemovedMember => drop(self.team.remove_member().unwrap()),
            MemberDemoted => self.team.set_role("viewer"),
            SessionRevoked | SessionItselfRevoked => done(member, "RevokeSession", &json!({})),
            UserDisabled => {
                let whoami = member.ferry("Whoami", &json!({})).unwrap();
                let user_id = text(&whoami["whoami"], "userId");
                self.operator("DisableUser", &json!({"userId": user_id, "disabled": true}));
            }
            SigningKeyRetired => {
                let keys = self.operator("ListSigningKeys", &json!({}));
                let kid = text(&keys["keys"][0], "kid");
                self.operator("RotateSigningKey", &json!({}));
                self.operator("RetireSigningKey", &json!({"kid": kid}));
            }
            TokenExpired => {
                // A push of events may come a little later than others.
                let over = wait::unix_seconds() + 8;
                wait::until("the token's end", || (wait::unix_seconds() > over).then_some(()));
            }
            DatabaseDeleted | ApiKeyDatabaseDeleted => {
                done(admin, "DeleteDatabase", &json!({"databaseId": database}));
            }
            ApiKeyRevoked => done(admin, "RevokeApiKey", &json!({"id": self.id})),
            JwtSettingsRemoved => set_jwt(&self.team, &json!({})),
        }
    }

    /// The database's newest commit; 0 when it is gone.
    fn seq(&self) -> u64 {
        let Self { team, .. } = self;
        let admin = Session::login(team.hub.address(), &team.admin.email);
        let shown = admin.ferry("GetDatabase", &json!({"database": team.database}));
        shown.map_or(0, |shown| text(&shown, "seq").parse().unwrap())
    }
}

fn set_jwt(team: &Team, settings: &Value) {
    team.admin.ferry("SetJwtSettings", &json!({"database": team.database, "settings": settings})).unwrap();
}

/// An answer without what differs from request to request.
fn reply(answer: &Response) -> (u16, String) {
    let id = answer.header("x-request-id").unwrap_or("none");
    (answer.status, answer.text().replace(id, "…"))
}

fn assert_late_requests_change_nothing(cause: Cause) {
    let scene = Scene::new(cause);
    let begun: Vec<Unfinished> = scene.ways.iter().map(|way| scene.begin(way)).collect();
    let before = scene.seq();
    scene.end(cause);
    let is_gone = matches!(cause, DatabaseDeleted | ApiKeyDatabaseDeleted);
    for (request, way) in begun.into_iter().zip(&scene.ways) {
        let late = request.finish();
        let name = format!("{cause:?}: {} {}", way.method, way.path);
        assert!(matches!(late.status, 401 | 403 | 404), "{name}: {} {}", late.status, late.text());
        // A JWT without settings may mean no database at all, for which a whole request gets another error.
        if cause != JwtSettingsRemoved {
            assert_eq!(reply(&late), reply(&scene.whole(way)), "{name}: as at the door");
        }
        assert_eq!(scene.seq(), if is_gone { 0 } else { before }, "{name}: changed nothing");
    }
}

// Verifies: TOK-17, TOK-12
#[test]
fn a_token_that_was_revoked_commits_nothing_that_was_begun_before() {
    for cause in [TokenRevoked, DatabaseTokensRevoked, SessionRevoked] {
        assert_late_requests_change_nothing(cause);
    }
}

// Verifies: TOK-17, ORG-05
#[test]
fn a_member_who_left_or_lost_the_role_commits_nothing_that_was_begun_before() {
    for cause in [MemberRemoved, MemberDemoted, UserDisabled, SessionOfRemovedMember, SessionItselfRevoked] {
        assert_late_requests_change_nothing(cause);
    }
}

// Verifies: TOK-17, TOK-10
#[test]
fn a_retired_key_and_a_passed_expiry_commit_nothing_that_was_begun_before() {
    for cause in [SigningKeyRetired, TokenExpired] {
        assert_late_requests_change_nothing(cause);
    }
}

// Verifies: TOK-17, ORG-08, KEY-03
#[test]
fn a_deleted_database_and_a_revoked_key_commit_nothing_that_was_begun_before() {
    for cause in [DatabaseDeleted, ApiKeyRevoked, ApiKeyDatabaseDeleted] {
        assert_late_requests_change_nothing(cause);
    }
}

// Verifies: TOK-17, JWT-08
#[test]
fn a_jwt_that_lost_its_settings_commits_nothing_that_was_begun_before() {
    for cause in [JwtSettingsRemoved, JwtTokensRevoked] {
        assert_late_requests_change_nothing(cause);
    }
}

/// A push up to its last page, which the hub waits for; gives the socket and that page.
fn begin_push(place: &Place, token: &str) -> (Socket, Frame) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("app.db");
    sample::standard(&file, 10, 1);
    let pages = edgereplica::pages(&file);
    let mut socket = Socket::open(place.hub.address(), token).unwrap();
    socket.send(&Frame::hello(u32::try_from(pages.len()).unwrap()));
    assert!(matches!(socket.next(), Event::Frame(Frame::HelloReply { .. })));
    for (page_no, data) in (1..).zip(&pages) {
        socket.feed(&Frame::page_hash(page_no, data));
    }
    socket.send(&Frame::Complete);
    let page = |page_no: u32| Frame::PageData { page_no, data: pages[page_no as usize - 1].clone() };
    let mut wanted = std::collections::VecDeque::new();
    let mut sent = 0;
    while sent + 1 < pages.len() {
        match wanted.pop_front() {
            Some(page_no) => {
                socket.send(&page(page_no));
                sent += 1;
            }
            None => wanted.extend(asked(&mut socket)),
        }
    }
    let last = wanted.pop_front().unwrap_or_else(|| asked(&mut socket)[0]);
    (socket, page(last))
}

/// The pages that the hub wants next.
fn asked(socket: &mut Socket) -> Vec<u32> {
    match socket.next() {
        Event::Frame(Frame::RequestPage { page_no }) => vec![page_no],
        Event::Frame(Frame::RequestPages { page_numbers }) => page_numbers,
        other => panic!("{other:?}"),
    }
}

// A pull may use the minute after its token's end; a push that became whole in it replaced the file.
// Verifies: TOK-17, PAG-16
#[test]
fn a_push_of_pages_that_becomes_whole_after_its_tokens_end_changes_nothing() {
    let place = Place::of(hub());
    let request = json!({"databaseId": place.database, "direction": "DIRECTION_PUSH", "ttlSeconds": "2"});
    let token = text(&place.user.edgereplica("IssueSyncToken", &request).unwrap(), "token");
    let (mut socket, last) = begin_push(&place, &token);
    wait::until("the token's end", || Socket::open(place.hub.address(), &token).is_err().then_some(()));
    socket.send(&last);
    let ending = socket.ending();
    assert_eq!((ending.code, ending.reason.as_str()), (1008, "token expired"), "{ending:?}");
    assert_eq!(place.user.seq(&place.database), 0);
}
