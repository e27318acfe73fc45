//! RPCs that are refused before they are calls, and gRPC-Web as text.

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, STANDARD_NO_PAD},
};
use buffa::Message as _;
use connectrpc::{
    Protocol,
    client::{ClientConfig, HttpClient},
};
use ferry_protocol::rpc::edgereplica::admin::v1::{AdminServiceClient, SignupRequest, WhoamiRequest};
use ferry_testkit::{
    Hub,
    http::{self, Response},
    rpc::{self, PASSWORD},
};

use crate::support::hub;

const SERVICE: &str = "/edgereplica.admin.v1.AdminService";
const TEXT: &str = "application/grpc-web-text";

fn send(hub: &Hub, method: &str, name: &str, kind: &str, body: &[u8]) -> Response {
    let headers = [("Content-Type", kind), ("X-Request-Id", "request-7")];
    http::send(hub.address(), method, &format!("{SERVICE}/{name}"), &headers, body).unwrap()
}

/// A message in a frame of gRPC.
fn framed(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    [&[0][..], &length, message].concat()
}

/// The trailers at the end of an answer of gRPC-Web, and what stands before.
fn split(body: &[u8]) -> (&[u8], String) {
    let mut at = 0;
    loop {
        let length = u32::from_be_bytes(body[at + 1..at + 5].try_into().unwrap()) as usize;
        if body[at] == 0x80 {
            let trailers = String::from_utf8_lossy(&body[at + 5..at + 5 + length]).into_owned();
            return (&body[..at], trailers);
        }
        at += 5 + length;
    }
}

/// Whether the details among the trailers hold an ErrorInfo.
fn has_info(trailers: &str) -> bool {
    let details = trailers.lines().find_map(|line| line.strip_prefix("grpc-status-details-bin:"));
    let details = details.map(|text| STANDARD_NO_PAD.decode(text.trim().trim_end_matches('=')).unwrap());
    details.is_some_and(|status| String::from_utf8_lossy(&status).contains("ferry.admin.v1.ErrorInfo"))
}

// What the RPC library refused itself carried no ErrorInfo, though the docs promise it of every refusal.
#[test]
fn a_malformed_connect_call_is_refused_with_error_info() {
    let hub = hub();
    let large = vec![b' '; 70 << 10];
    for (method, name, kind, body, status, reason) in [
        ("POST", "Login", "application/json", &b"{"[..], 400, "INVALID_ARGUMENT"),
        ("POST", "Login", "application/proto", b"\xff\xff", 400, "INVALID_ARGUMENT"),
        ("POST", "Login", "text/plain", b"{}", 415, "INVALID_ARGUMENT"),
        ("POST", "Login", "application/json", &large, 429, "TOO_LARGE"),
        ("POST", "NoSuchCall", "application/json", b"{}", 404, "UNIMPLEMENTED"),
        ("DELETE", "Login", "application/json", b"", 405, "METHOD_NOT_ALLOWED"),
        ("GET", "Login", "application/json", b"", 405, "METHOD_NOT_ALLOWED"),
    ] {
        let answer = send(&hub, method, name, kind, body);
        let refusal = rpc::answer(&answer).unwrap_err();
        assert_eq!(
            (refusal.status, refusal.reason.as_str()),
            (status, reason),
            "{method} {name}: {refusal:?}"
        );
        assert_eq!(refusal.request_id, "request-7", "{method} {name}");
        assert!(!refusal.message.is_empty());
    }
    assert_eq!(send(&hub, "DELETE", "Login", "application/json", b"").header("allow"), Some("POST"));
    assert!(send(&hub, "POST", "Login", "text/plain", b"{}").header("accept-post").is_some());
}

#[test]
fn a_malformed_grpc_call_is_refused_with_error_info() {
    let hub = hub();
    for (kind, body) in [
        ("application/grpc-web+proto", &b"\0\0\0\0\x05ab"[..]),
        ("application/grpc-web+proto", &framed(b"\xff\xff")),
        ("application/grpc-web+thrift", b""),
    ] {
        let answer = send(&hub, "POST", "Login", kind, body);
        let (before, trailers) = split(&answer.body);
        assert!(before.is_empty());
        assert!(has_info(&trailers), "{kind} {body:?}: {trailers}");
    }
    // More than a call without a session may have.
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for protocol in [Protocol::Grpc, Protocol::GrpcWeb] {
        let config = ClientConfig::new(hub.url().parse().unwrap()).with_protocol(protocol).proto();
        let client = match protocol {
            Protocol::Grpc => HttpClient::plaintext_http2_only(),
            _ => HttpClient::plaintext(),
        };
        let client = AdminServiceClient::new(client, config);
        let large = SignupRequest { email: "x".repeat(70 << 10), ..Default::default() };
        let refused = runtime.block_on(client.signup(large)).unwrap_err();
        assert!(refused.details.iter().any(|detail| detail.type_url.ends_with("ErrorInfo")), "{refused:?}");
        // What calls themselves refuse says it as before, once.
        let refused = runtime.block_on(client.whoami(WhoamiRequest::default())).unwrap_err();
        assert_eq!(refused.code, connectrpc::ErrorCode::Unauthenticated);
        assert_eq!(refused.details.len(), 1, "{refused:?}");
    }
}

// README says that gRPC-Web works, and half of its clients send it as text.
#[test]
fn grpc_web_works_as_text() {
    let hub = hub();
    let request =
        SignupRequest { email: "ada@example.com".into(), password: PASSWORD.into(), ..Default::default() };
    let frame = framed(&request.encode_to_vec());
    // In two pieces, each with its padding.
    let text = STANDARD.encode(&frame[..7]) + &STANDARD.encode(&frame[7..]);
    let answer = send(&hub, "POST", "Signup", TEXT, text.as_bytes());
    assert_eq!(
        (answer.status, answer.header("content-type")),
        (200, Some("application/grpc-web-text+proto"))
    );
    let body = STANDARD.decode(&answer.body).unwrap();
    let (before, trailers) = split(&body);
    assert!(trailers.contains("grpc-status: 0") || trailers.contains("grpc-status:0"), "{trailers}");
    assert!(before.len() > 100, "a session token lies in it");

    for (bad, status) in [(text.as_bytes(), 6), (b"no base64!", 3), (b"AAAA", 3)] {
        let answer = send(&hub, "POST", "Signup", TEXT, bad);
        let body = STANDARD.decode(&answer.body).unwrap();
        let (_, trailers) = split(&body);
        assert!(trailers.replace(' ', "").contains(&format!("grpc-status:{status}\r\n")), "{trailers}");
        assert!(has_info(&trailers), "{trailers}");
    }
}
