//! The RPCs over a real control plane, without the hub around it.

use std::{net::IpAddr, sync::Arc};

use axum::body::Body;
use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use buffa::Message as _;
use ferry_auth::Principal;
use ferry_control::{
    Access, Caller, ClientIp, Control, ControlConfig, DatabaseHost, DatabaseStats, Origin, Session, SignUp,
};
use ferry_protocol::rpc::ferry::admin::v1::ErrorInfo;
use ferry_types::{Clock, DatabaseId, Model, ModelSet, Op, UnixMillis};
use futures_util::future::BoxFuture;
use http::{HeaderMap, Request, StatusCode, header};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::rpc_service;
use crate::{
    config::{Config, ServeArgs},
    http::HttpRequestId,
};

/// When tests begin, Unix seconds.
const START: i64 = 1_800_000_000;
const PASSWORD: &str = "correct horse";

/// A clock that stands still.
struct FixedClock;

impl Clock for FixedClock {
    fn now(&self) -> UnixMillis {
        UnixMillis(START * 1000)
    }
}

/// Databases of which only numbers are known.
struct FakeHost;

impl DatabaseHost for FakeHost {
    fn close_and_trash(&self, _: DatabaseId) -> BoxFuture<'_, std::io::Result<()>> {
        Box::pin(async { Ok(()) })
    }

    fn stats(&self, _: DatabaseId) -> BoxFuture<'_, ferry_types::Result<DatabaseStats>> {
        Box::pin(async { Ok(DatabaseStats { size_bytes: 4096, connections: 3, ..DatabaseStats::default() }) })
    }

    fn stats_of_each(&self, ids: Vec<DatabaseId>) -> BoxFuture<'_, Vec<DatabaseStats>> {
        let stats = DatabaseStats { size_bytes: 4096, ..DatabaseStats::default() };
        Box::pin(async move { vec![stats; ids.len()] })
    }
}

struct Fixture {
    _dir: tempfile::TempDir,
    control: Arc<Control>,
}

impl Fixture {
    async fn new() -> Self {
        Self::with(|_| ()).await
    }

    async fn with(change: impl FnOnce(&mut ControlConfig)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let settings = [
            ("data_dir", dir.path().display().to_string()),
            ("argon2_memory_kib", "8".to_owned()),
            ("argon2_iterations", "1".to_owned()),
            ("rate_limit_scale", "0".to_owned()),
        ];
        let args = ServeArgs { dev: false, config: None, flags: settings.into() };
        let mut config = Config::load(&args, &Default::default()).unwrap().control;
        change(&mut config);
        let control = Control::open(config, None, &Default::default(), Arc::new(FixedClock)).await.unwrap();
        control.storage.set_host(Arc::new(FakeHost));
        Self { _dir: dir, control }
    }

    async fn signup(&self, email: &str) -> (Session, Caller) {
        let origin = Origin::new("request-1".to_owned(), local());
        let wanted = SignUp { email, password: PASSWORD, invite_code: "", origin: &origin };
        let session = wanted.run(&self.control.accounts).await.unwrap();
        let headers = bearer(&session.token);
        let caller = self.control.authenticator.session(&headers, local(), Access::Full).unwrap();
        (session, caller)
    }
}

fn local() -> ClientIp {
    IpAddr::from([127, 0, 0, 1]).into()
}

fn bearer(token: &str) -> HeaderMap {
    HeaderMap::from_iter([(header::AUTHORIZATION, format!("Bearer {token}").parse().unwrap())])
}

const EDGEREPLICA: &str = "edgereplica.admin.v1.AdminService";
const FERRY: &str = "ferry.admin.v1.AdminService";

async fn send(hub: &Fixture, mut request: Request<Body>) -> (StatusCode, HeaderMap, Vec<u8>) {
    request.extensions_mut().insert(HttpRequestId("request-7".to_owned()));
    request.extensions_mut().insert(local());
    let app = axum::Router::new().fallback_service(rpc_service(&hub.control, None, None, 1 << 20));
    let response = app.oneshot(request).await.unwrap();
    let (status, headers) = (response.status(), response.headers().clone());
    let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
    (status, headers, body.to_vec())
}

async fn call(hub: &Fixture, method: &str, token: &str, body: Value) -> (StatusCode, Value) {
    let request = Request::post(format!("http://hub/{method}"))
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::AUTHORIZATION, format!("bearer {token}"))
        .body(Body::from(body.to_string()))
        .unwrap();
    let (status, _, body) = send(hub, request).await;
    (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
}

async fn edgereplica(hub: &Fixture, method: &str, token: &str, body: Value) -> (StatusCode, Value) {
    call(hub, &format!("{EDGEREPLICA}/{method}"), token, body).await
}

async fn ferry(hub: &Fixture, method: &str, token: &str, body: Value) -> (StatusCode, Value) {
    call(hub, &format!("{FERRY}/{method}"), token, body).await
}

// Verifies: ORG-01, TOK-05, TOK-06
#[tokio::test]
async fn the_edgereplica_client_finds_all_it_calls() {
    let hub = Fixture::new().await;
    let credentials = json!({"email": "ada@example.com", "password": PASSWORD});
    let (status, signed_up) = edgereplica(&hub, "Signup", "", credentials.clone()).await;
    assert_eq!(status, StatusCode::OK, "{signed_up}");
    let (_, logged_in) = edgereplica(&hub, "Login", "", credentials).await;
    let session = logged_in["sessionToken"].as_str().unwrap();
    let (_, whoami) = edgereplica(&hub, "Whoami", session, json!({})).await;
    assert_eq!(whoami["whoami"], signed_up["whoami"]);
    assert_eq!(whoami["whoami"]["role"], "admin");
    let (_, created) = edgereplica(&hub, "CreateDatabase", session, json!({"name": "main"})).await;
    assert_eq!(created["createdAtUnix"], START.to_string());
    let (_, listed) = edgereplica(&hub, "ListDatabases", session, json!({})).await;
    assert_eq!(listed["databases"], json!([created]));
    for (direction, allowed, refused) in
        [("DIRECTION_PUSH", Op::Write, Op::Read), ("DIRECTION_PULL", Op::Read, Op::Write)]
    {
        let body = json!({"databaseId": created["id"], "direction": direction, "ttlSeconds": "60"});
        let (_, issued) = edgereplica(&hub, "IssueSyncToken", session, body).await;
        assert_eq!(issued["expUnix"], (START + 60).to_string());
        let token = issued["token"].as_str().unwrap();
        let context = hub.control.authenticator.sync_bearer(&bearer(token), local()).unwrap();
        assert!(context.require(Model::Pages, allowed).is_ok());
        assert!(context.require(Model::Pages, refused).is_err());
        assert!(context.require(Model::Events, allowed).is_err(), "pages alone");
        let (status, _) = edgereplica(&hub, "Whoami", token, json!({})).await;
        assert_eq!(status, StatusCode::FORBIDDEN);
    }
    for direction in [json!("DIRECTION_UNSPECIFIED"), json!(7)] {
        let body = json!({"databaseId": created["id"], "direction": direction});
        let (status, error) = edgereplica(&hub, "IssueSyncToken", session, body).await;
        assert_eq!((status, &error["code"]), (StatusCode::BAD_REQUEST, &json!("invalid_argument")));
    }
    let (status, _) =
        edgereplica(&hub, "DeleteDatabase", session, json!({"databaseId": created["id"]})).await;
    assert_eq!(status, StatusCode::OK);
    let (_, listed) = edgereplica(&hub, "ListDatabases", session, json!({})).await;
    assert_eq!(listed, json!({}));
}

#[tokio::test]
async fn refusals_carry_reason_and_request_id() {
    let hub = Fixture::new().await;
    let (session, _) = hub.signup("ada@example.com").await;
    let (status, error) = ferry(&hub, "GetDatabase", &session.token, json!({"database": "none"})).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert_eq!((&error["code"], &error["message"]), (&json!("not_found"), &json!("database not found")));
    assert_eq!(error["details"][0]["type"], "ferry.admin.v1.ErrorInfo");
    let bytes = STANDARD_NO_PAD.decode(error["details"][0]["value"].as_str().unwrap()).unwrap();
    let info = ErrorInfo::decode_from_slice(&bytes).unwrap();
    assert_eq!((info.reason.as_str(), info.request_id.as_str()), ("NOT_FOUND", "request-7"));
    let (status, error) = ferry(&hub, "Whoami", "nonsense", json!({})).await;
    assert_eq!((status, &error["message"]), (StatusCode::UNAUTHORIZED, &json!("session token required")));
    let (status, error) = ferry(&hub, "StartOAuth", "", json!({"provider": "github"})).await;
    assert_eq!((status, &error["code"]), (StatusCode::NOT_IMPLEMENTED, &json!("unimplemented")));
}

#[tokio::test]
async fn throttled_calls_say_when_to_come_back() {
    let hub = Fixture::with(|config| config.rate_limit_scale = 0.01).await;
    let body = json!({"email": "ada@example.com", "password": PASSWORD});
    edgereplica(&hub, "Signup", "", body.clone()).await;
    let request = Request::post(format!("http://hub/{EDGEREPLICA}/Signup"))
        .header(header::CONTENT_TYPE, "application/json")
        .body(Body::from(body.to_string()))
        .unwrap();
    let (status, headers, _) = send(&hub, request).await;
    assert_eq!(
        (status, headers[header::RETRY_AFTER].as_bytes()),
        (StatusCode::TOO_MANY_REQUESTS, &b"3600"[..])
    );
}

#[tokio::test]
async fn ferrys_own_rpcs() {
    let hub = Fixture::new().await;
    let (session, _) = hub.signup("ada@example.com").await;
    let session = session.token.as_str();
    let (_, whoami) = ferry(&hub, "Whoami", session, json!({})).await;
    assert_eq!(whoami["whoami"]["orgs"][0]["personal"], true);
    assert_eq!(whoami["whoami"]["sessionExpUnix"], (START + 86_400).to_string());
    let (_, created) =
        ferry(&hub, "CreateDatabase", session, json!({"name": "main", "kind": "replica"})).await;
    assert_eq!(created["kind"], "replica");
    let (_, shown) = ferry(&hub, "GetDatabase", session, json!({"database": "main"})).await;
    assert_eq!((&shown["sizeBytes"], &shown["connections"]), (&json!("4096"), &json!(3)));
    let (_, renamed) =
        ferry(&hub, "RenameDatabase", session, json!({"database": "main", "name": "new"})).await;
    assert_eq!((&renamed["id"], &renamed["name"]), (&created["id"], &json!("new")));
    let (_, listed) = ferry(&hub, "ListDatabases", session, json!({"namePrefix": "n"})).await;
    assert_eq!(listed["databases"].as_array().unwrap().len(), 1);
    for bad in [json!({"pageSize": -1}), json!({"pageSize": 1001}), json!({"pageToken": "x"})] {
        assert_eq!(ferry(&hub, "ListDatabases", session, bad).await.0, StatusCode::BAD_REQUEST);
    }
    let issue = async |fields: Value| {
        let mut body = json!({"databaseId": "new"});
        body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        ferry(&hub, "IssueSyncToken", session, body).await
    };
    let (_, issued) = issue(json!({"ops": ["read", "write"], "caveats": ["tbl=a"], "label": "app"})).await;
    let context =
        hub.control.authenticator.sync_bearer(&bearer(issued["token"].as_str().unwrap()), local()).unwrap();
    assert_eq!(context.models, ModelSet::ALL);
    let Principal::SyncToken { holder, .. } = context.principal else { panic!("{context:?}") };
    assert_eq!(holder.token_id.to_string(), issued["tokenId"]);
    for bad in [
        json!({}),
        json!({"direction": "DIRECTION_PULL", "ops": ["read"]}),
        json!({"direction": 7}),
        json!({"ops": ["root"]}),
        json!({"ops": ["read"], "models": ["blobs"]}),
        json!({"ops": ["read"], "caveats": ["role=admin"]}),
        json!({"ops": ["read"], "label": "a\nb"}),
    ] {
        assert_eq!(issue(bad.clone()).await.0, StatusCode::BAD_REQUEST, "{bad}");
    }
    let wrong = json!({"databaseId": "new", "confirmName": "old"});
    assert_eq!(ferry(&hub, "DeleteDatabase", session, wrong).await.0, StatusCode::BAD_REQUEST);
    let right = json!({"databaseId": "new", "confirmName": "new"});
    assert_eq!(ferry(&hub, "DeleteDatabase", session, right).await.0, StatusCode::OK);
    assert_eq!(ferry(&hub, "RevokeSession", session, json!({})).await.0, StatusCode::OK);
    assert_eq!(ferry(&hub, "Whoami", session, json!({})).await.0, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn reading_rpcs_answer_get_and_others_do_not() {
    let hub = Fixture::new().await;
    let (session, _) = hub.signup("ada@example.com").await;
    let get = |method: &str| {
        Request::get(format!("http://hub/{EDGEREPLICA}/{method}?connect=v1&encoding=json&message=%7B%7D"))
            .header(header::AUTHORIZATION, format!("Bearer {}", session.token))
            .body(Body::empty())
            .unwrap()
    };
    let (status, _, body) = send(&hub, get("Whoami")).await;
    assert_eq!(status, StatusCode::OK);
    let whoami: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(whoami["whoami"]["email"], "ada@example.com");
    assert_eq!(send(&hub, get("Signup")).await.0, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(send(&hub, get("NoSuchMethod")).await.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn large_bodies_and_gzip_bombs_are_refused() {
    let hub = Fixture::new().await;
    let post = |body: Vec<u8>, encoding: Option<&str>| {
        let mut request = Request::post(format!("http://hub/{EDGEREPLICA}/Login"))
            .header(header::CONTENT_TYPE, "application/json");
        if let Some(encoding) = encoding {
            request = request.header(header::CONTENT_ENCODING, encoding);
        }
        request.body(Body::from(body)).unwrap()
    };
    let refused = async |request| {
        let (status, _, body) = send(&hub, request).await;
        let error: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!((status, &error["code"]), (StatusCode::TOO_MANY_REQUESTS, &json!("resource_exhausted")));
    };
    refused(post(vec![b' '; (4 << 20) + 1], None)).await;
    let spaces = vec![b' '; 64 << 20];
    let registry = connectrpc::compression::CompressionRegistry::default();
    let bomb = registry.compress("gzip", &spaces).unwrap();
    assert!(bomb.len() < 1 << 20);
    refused(post(bomb.to_vec(), Some("gzip"))).await;
}
