//! The admin service over Connect (JSON and binary), gRPC and gRPC-Web, by the generated client.

use connectrpc::{
    Protocol,
    client::{ClientConfig, HttpClient},
};
use ferry_protocol::rpc::edgereplica::admin::v1::{
    AdminServiceClient, CreateDatabaseRequest, DeleteDatabaseRequest, Direction, IssueSyncTokenRequest,
    ListDatabasesRequest, LoginRequest, SignupRequest, WhoamiRequest,
};
use ferry_testkit::{rpc::PASSWORD, socket::Socket};

use serde_json::json;

use crate::support::{Place, hub, refused};

// Verifies: ORG-01, TOK-05, TOK-06
#[test]
fn every_transport_serves_edgereplicas_commands() {
    let hub = hub();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for (place, (protocol, json)) in [
        (Protocol::Connect, true),
        (Protocol::Connect, false),
        (Protocol::Grpc, false),
        (Protocol::Grpc, true),
        (Protocol::GrpcWeb, false),
        (Protocol::GrpcWeb, true),
    ]
    .into_iter()
    .enumerate()
    {
        let email = format!("user{place}@example.com");
        let tokens = runtime.block_on(commands(&hub.url(), &email, protocol, json));
        for token in tokens {
            let refusal = Socket::open(hub.address(), &token).unwrap_err();
            assert_eq!(refusal.status, 404, "the database was deleted at the end");
        }
    }
}

/// Signup, login, whoami, create, list, both tokens, delete.
pub(crate) async fn commands(url: &str, email: &str, protocol: Protocol, json: bool) -> [String; 2] {
    let config = ClientConfig::new(url.parse().unwrap()).with_protocol(protocol);
    let config = if json { config.json() } else { config.proto() };
    let http =
        if protocol == Protocol::Grpc { HttpClient::plaintext_http2_only() } else { HttpClient::plaintext() };
    let public = AdminServiceClient::new(http.clone(), config.clone());
    let signup = SignupRequest { email: email.into(), password: PASSWORD.into(), ..Default::default() };
    public.signup(signup).await.unwrap();
    let login = LoginRequest { email: email.into(), password: PASSWORD.into(), ..Default::default() };
    let answer = public.login(login).await.unwrap().into_owned();
    let authorization = format!("Bearer {}", answer.session_token);
    let client = AdminServiceClient::new(http, config.with_default_header("authorization", authorization));

    let whoami = client.whoami(WhoamiRequest::default()).await.unwrap().into_owned();
    assert_eq!(whoami.whoami.email, email);
    let create = CreateDatabaseRequest { name: "app".into(), ..Default::default() };
    let database = client.create_database(create).await.unwrap().into_owned();
    let listed = client.list_databases(ListDatabasesRequest::default()).await.unwrap().into_owned();
    assert_eq!(listed.databases.len(), 1);
    assert_eq!(listed.databases[0].id, database.id);
    let mut tokens = Vec::new();
    for direction in [Direction::DIRECTION_PUSH, Direction::DIRECTION_PULL] {
        let issue = IssueSyncTokenRequest {
            database_id: database.id.clone(),
            direction: direction.into(),
            ttl_seconds: 60,
            ..Default::default()
        };
        tokens.push(client.issue_sync_token(issue).await.unwrap().into_owned().token);
    }
    let delete = DeleteDatabaseRequest { database_id: database.id.clone(), ..Default::default() };
    client.delete_database(delete.clone()).await.unwrap();
    let again = client.delete_database(delete).await.unwrap_err();
    assert_eq!(again.code, connectrpc::ErrorCode::NotFound);
    tokens.try_into().unwrap()
}

#[test]
fn reserved_calls_say_that_they_are_not_offered_yet() {
    let place = Place::new();
    for method in ["ForkDatabase", "ResetDatabase"] {
        let refusal = refused(place.user.ferry(method, &json!({})), "unimplemented");
        assert_eq!((refusal.status, refusal.reason.as_str()), (501, "NOT_YET"), "{method}");
    }
}
