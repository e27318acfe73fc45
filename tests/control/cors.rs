//! Which web pages may call the hub.

use ferry_testkit::http::{self, Response};

use crate::support::options;

const HEADERS: &str = "authorization,content-type,last-event-id,connect-protocol-version,connect-timeout-ms,\
    grpc-timeout,x-grpc-web,x-user-agent,x-request-id,x-client-id,ferry-key,ferry-owner,x-edgepod-key,x-edgepod-session-id,\
    x-edgepod-reactive,ferry-session-id,ferry-reactive,ferry-min-seq,idempotency-key,if-match,if-none-match,range";
const EXPOSED: &str = "x-request-id,ferry-owner,ferry-seq,etag,retry-after,grpc-status,grpc-message,grpc-status-details-bin,\
     ferry-level,ferry-page-size,ferry-page-count";

fn preflight(hub: &ferry_testkit::Hub, path: &str, origin: &str) -> Response {
    let headers = [
        ("Origin", origin),
        ("Access-Control-Request-Method", "POST"),
        ("Access-Control-Request-Headers", "authorization"),
    ];
    http::send(hub.address(), "OPTIONS", path, &headers, &[]).unwrap()
}

/// A comma list in lower case and order.
fn words(text: &str) -> Vec<String> {
    let mut words: Vec<_> = text.split(',').map(|word| word.trim().to_ascii_lowercase()).collect();
    words.sort();
    words
}

// Verifies: WEB-03
#[test]
fn listed_origins_get_exactly_the_documented_cors_headers() {
    let hub = options().env("CORS_ORIGINS", "https://app.example.com, https://*.example.org").start();
    let rpc = "/ferry.admin.v1.AdminService/Whoami";
    for origin in ["https://app.example.com", "https://a.example.org", "https://a.b.example.org"] {
        for (path, methods) in [
            (rpc, "GET,POST,OPTIONS"),
            ("/sync", "GET,POST,OPTIONS"),
            ("/v1", "GET,POST,OPTIONS"),
            ("/v1x", "GET,POST,OPTIONS"),
            ("/v1/databases/-/file", "GET,POST,OPTIONS,HEAD,PUT,PATCH,DELETE"),
        ] {
            let answer = preflight(&hub, path, origin);
            assert_eq!((answer.status, answer.body.len()), (204, 0), "{path}");
            assert_eq!(answer.header("access-control-allow-origin"), Some(origin));
            assert_eq!(answer.header("access-control-allow-credentials"), Some("true"));
            assert_eq!(answer.header("access-control-max-age"), Some("86400"));
            let reply = |name: &str| words(answer.header(name).unwrap_or_default());
            assert_eq!(reply("access-control-allow-methods"), words(methods), "{path}");
            assert_eq!(reply("access-control-allow-headers"), words(HEADERS));
            assert_eq!(answer.header("x-content-type-options"), None, "204 omits the headers of WEB-02");
        }
        let answer = http::send(hub.address(), "GET", "/healthz", &[("Origin", origin)], &[]).unwrap();
        assert_eq!(answer.header("access-control-allow-origin"), Some(origin));
        assert_eq!(words(answer.header("access-control-expose-headers").unwrap_or_default()), words(EXPOSED));
        assert_eq!(answer.header("access-control-allow-methods"), None);
    }
    let cut_off =
        ["https://evil.com#.example.org", "https://evil.com?.example.org", "https://evil.com%2f.example.org"];
    let others = ["https://evil.example", "http://app.example.com", "https://example.org", "null"];
    for origin in others.into_iter().chain(cut_off) {
        let answer = preflight(&hub, rpc, origin);
        assert_eq!(answer.header("access-control-allow-origin"), None, "{origin}");
        let answer = http::send(hub.address(), "GET", "/healthz", &[("Origin", origin)], &[]).unwrap();
        assert_eq!((answer.status, answer.header("access-control-allow-origin")), (200, None), "{origin}");
    }
}

// Verifies: WEB-03
#[test]
fn a_wildcard_origin_has_no_credentials_and_no_setting_allows_no_origin() {
    let hub = options().env("FERRY_CORS_ORIGINS", "*").start();
    let answer = preflight(&hub, "/healthz", "https://anybody.example");
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    assert_eq!(answer.header("access-control-allow-credentials"), None);
    let silent = options().start();
    let answer = preflight(&silent, "/healthz", "https://anybody.example");
    assert_eq!(answer.header("access-control-allow-origin"), None);
}
