//! The HTTP layer: request ids, headers, limits, client addresses, audit, metrics.

use std::io::{Read as _, Write as _};

use ferry_testkit::{
    http::{self, gzip},
    rpc::{EDGEREPLICA, PASSWORD, answer, call},
    wait,
};
use serde_json::json;

use crate::support::{Place, control_db, hub, options, refused};

// Verifies: WEB-01
#[test]
fn every_answer_carries_a_request_id() {
    let hub = hub();
    let ask = |id: &str| http::send(hub.address(), "GET", "/healthz", &[("X-Request-Id", id)], &[]).unwrap();
    let longest = "a".repeat(64);
    for good in ["abc-1_2.3", &longest] {
        assert_eq!(ask(good).header("x-request-id"), Some(good));
    }
    let too_long = "a".repeat(65);
    for bad in ["", "with space", "semi;colon", &too_long] {
        let answer = ask(bad);
        let id = answer.header("x-request-id").expect("an id");
        assert_ne!(id, bad);
        assert_eq!((id.len(), id.as_bytes()[14]), (36, b'7'), "{id} is a UUIDv7");
    }
    let unknown = http::get(hub.address(), "/nowhere").unwrap();
    assert_eq!((unknown.status, unknown.text().as_str()), (404, "Not Found"));
    assert!(unknown.header("x-request-id").is_some());

    let headers = [("Content-Type", "application/json"), ("X-Request-Id", "trace-me")];
    let response =
        http::send(hub.address(), "POST", &format!("/{EDGEREPLICA}/Whoami"), &headers, b"{}").unwrap();
    assert_eq!(response.header("x-request-id"), Some("trace-me"));
    assert_eq!(answer(&response).unwrap_err().request_id, "trace-me");
    wait::until("the log line", || hub.log().contains("trace-me").then_some(()));
}

// Verifies: WEB-01, WEB-07
#[test]
fn the_audit_names_the_request_and_no_secret() {
    let place = Place::new();
    let token = place.push_token();
    let headers = [("Content-Type", "application/json"), ("X-Request-Id", "wrong-guess")];
    let body = json!({"email": "ada@example.com", "password": "a wrong password"}).to_string();
    let path = format!("/{EDGEREPLICA}/Login");
    http::send(place.hub.address(), "POST", &path, &headers, body.as_bytes()).unwrap();
    place.user.ferry("RenameDatabase", &json!({"database": "app", "name": "other"})).unwrap();
    place.user.edgereplica("DeleteDatabase", &json!({"databaseId": place.database})).unwrap();
    place.user.ferry("RevokeSession", &json!({})).unwrap();

    let control = control_db(&place.hub);
    let mut rows = control.prepare("SELECT action, outcome, coalesce(request_id, ''), coalesce(detail, '') || coalesce(target, '') FROM audit ORDER BY id").unwrap();
    let rows: Vec<(String, String, String, String)> = rows
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    // Signup, create, issue, failed login, rename, delete, revoke.
    assert!(rows.len() >= 7, "{rows:#?}");
    assert!(rows.iter().any(|(_, _, id, _)| id == "wrong-guess"), "{rows:#?}");
    let all = format!("{rows:?}");
    for secret in [PASSWORD, "a wrong password", &token, &place.user.token] {
        assert!(!all.contains(secret), "the audit holds a secret");
    }
}

// Verifies: WEB-02
#[test]
fn answers_carry_the_safe_headers_and_no_cookie() {
    let hub = hub();
    for path in ["/healthz", "/health", "/nowhere", "/v1/nothing"] {
        let answer = http::get(hub.address(), path).unwrap();
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{path}");
        assert_eq!(answer.header("referrer-policy"), Some("no-referrer"), "{path}");
        assert_eq!(answer.header("set-cookie"), None, "{path}");
        assert_eq!(answer.header("strict-transport-security"), None, "{path}: no https here");
        let is_plain = answer.header("content-type").is_some_and(|kind| kind.starts_with("text/plain"));
        let policy = answer.header("content-security-policy");
        assert_eq!(policy.is_some_and(|policy| policy.contains("default-src 'none'")), is_plain, "{path}");
    }
    let headers = [("Content-Type", "application/json")];
    let rpc = http::send(hub.address(), "POST", &format!("/{EDGEREPLICA}/Whoami"), &headers, b"{}").unwrap();
    assert_eq!(rpc.header("cache-control"), Some("no-store"));
    let hub = options().env("FERRY_PUBLIC_URL", "https://sync.example.com").start();
    let answer = http::get(hub.address(), "/healthz").unwrap();
    assert_eq!(answer.header("strict-transport-security"), Some("max-age=31536000"));
    let wide = hub.restart_with(|options| options.env("FERRY_HSTS_INCLUDE_SUBDOMAINS", "true"));
    let answer = http::get(wide.address(), "/healthz").unwrap();
    assert_eq!(answer.header("strict-transport-security"), Some("max-age=31536000; includeSubDomains"));
}

// Verifies: WEB-04
#[test]
fn headers_and_bodies_are_limited() {
    let hub = hub();
    let long = "x".repeat(40 << 10);
    let refused_early = match http::send(hub.address(), "GET", "/healthz", &[("X-Long", &long)], &[]) {
        Ok(answer) => answer.status == 431,
        // The hub may close while we still write.
        Err(_) => true,
    };
    assert!(refused_early, "40 KiB of headers were accepted");

    let path = format!("/{EDGEREPLICA}/Signup");
    let large = json!({"email": "a@example.com", "password": "x".repeat(5 << 20)}).to_string();
    let json_headers = [("Content-Type", "application/json")];
    let response = http::send(hub.address(), "POST", &path, &json_headers, large.as_bytes()).unwrap();
    assert_eq!(answer(&response).unwrap_err().code, "resource_exhausted");

    // 64 MiB in 64 KiB.
    let bomb =
        gzip(json!({"email": "a@example.com", "password": "x".repeat(64 << 20)}).to_string().as_bytes());
    let gzip_headers = [("Content-Type", "application/json"), ("Content-Encoding", "gzip")];
    let before = ferry_testkit::process::usage(hub.pid()).unwrap().peak_bytes;
    let response = http::send(hub.address(), "POST", &path, &gzip_headers, &bomb).unwrap();
    assert_eq!(answer(&response).unwrap_err().code, "resource_exhausted");
    let grown = ferry_testkit::process::usage(hub.pid()).unwrap().peak_bytes.saturating_sub(before);
    assert!(grown < 32 << 20, "a bomb of 64 MiB grew the hub by {grown} bytes");
    // Honest gzip is welcome.
    let body = gzip(json!({"email": "a@example.com", "password": PASSWORD}).to_string().as_bytes());
    let response = http::send(hub.address(), "POST", &path, &gzip_headers, &body).unwrap();
    assert_eq!(response.status, 200, "{}", response.text());
}

// Verifies: WEB-04
#[test]
fn a_client_that_never_ends_its_headers_is_disconnected() {
    let hub = hub();
    let mut stream = http::connect(hub.address()).unwrap();
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: ").unwrap();
    let (took, _) = wait::timed(|| stream.read(&mut [0; 1024]));
    assert!((8..20).contains(&took.as_secs()), "let go after {took:?}");
}

/// The address that the hub noted for a signup behind a proxy.
fn noted_address(trusted: &str, forwarded: &str) -> String {
    let hub = options().env("FERRY_TRUSTED_PROXIES", trusted).env("FERRY_SIGNUP", "open").start();
    let headers = [("Content-Type", "application/json"), ("X-Forwarded-For", forwarded)];
    let body = json!({"email": "a@example.com", "password": PASSWORD}).to_string();
    let path = format!("/{EDGEREPLICA}/Signup");
    let response = http::send(hub.address(), "POST", &path, &headers, body.as_bytes()).unwrap();
    assert_eq!(response.status, 200);
    control_db(&hub).query_row("SELECT ip FROM audit LIMIT 1", [], |row| row.get(0)).unwrap()
}

// Verifies: WEB-05
#[test]
fn only_trusted_proxies_set_the_client_address() {
    let forwarded = "203.0.113.9, 198.51.100.7";
    assert_eq!(noted_address("", forwarded), "127.0.0.1");
    assert_eq!(noted_address("127.0.0.0/8", forwarded), "198.51.100.7");
}

// Each of them made the proxy the client, so that all shared its rate limits, and its rights by the caveat `ip`.
// Verifies: WEB-14
#[test]
fn a_forwarded_address_may_have_a_port_and_an_unreadable_one_is_ignored() {
    for (forwarded, expected) in [
        ("203.0.113.7:51234", "203.0.113.7"),
        ("[2001:db8::1]:443", "2001:db8::1"),
        ("203.0.113.7,", "203.0.113.7"),
        ("203.0.113.7, _hidden", "unknown"),
    ] {
        assert_eq!(noted_address("127.0.0.1", forwarded), expected, "{forwarded}");
    }
}

// The set-up of the docs behind a proxy listens on loopback, and everybody on the Internet could sign up.
// Verifies: WEB-13
#[test]
fn behind_a_proxy_signup_needs_an_explicit_setting() {
    let signup = |(name, value): (&str, &str), said: &str| {
        let mut options = options().env(name, value);
        if !said.is_empty() {
            options = options.env("FERRY_SIGNUP", said);
        }
        let hub = options.start();
        let asked = json!({"email": "a@example.com", "password": PASSWORD});
        call(hub.address(), EDGEREPLICA, "Signup", &asked, None).map_err(|refusal| refusal.code)
    };
    let proxied = [("FERRY_PUBLIC_URL", "https://hub.example"), ("FERRY_TRUSTED_PROXIES", "127.0.0.1")];
    for setting in proxied {
        assert_eq!(signup(setting, "").err().as_deref(), Some("permission_denied"), "{setting:?}");
        assert!(signup(setting, "open").is_ok(), "{setting:?}");
    }
    assert!(signup(("FERRY_PUBLIC_URL", "http://localhost:8787"), "").is_ok());
}

// nginx's bare `proxy_pass http://127.0.0.1:8787` names this machine as host and adds no header: all the world's requests
// looked like a scraper's on this machine.
// Verifies: WEB-13
#[test]
fn metrics_need_the_operator_token_where_a_proxy_may_stand_before_the_hub() {
    for setting in ["--trusted-proxies=127.0.0.1", "--public-url=https://hub.example"] {
        let hub = options().arg(setting).start();
        let authorization = format!("Bearer {}", hub.operator_token());
        let status = |headers: &[(&str, &str)]| {
            http::send(hub.address(), "GET", "/metrics", headers, &[]).unwrap().status
        };
        assert_eq!(status(&[("Host", "127.0.0.1:8787")]), 401, "{setting}");
        assert_eq!(status(&[("Authorization", &authorization)]), 200, "{setting}");
    }
    let public = options().arg("--public-url=https://hub.example").arg("--metrics-public=true").start();
    assert_eq!(http::get(public.address(), "/metrics").unwrap().status, 200);
}

// Only X-Forwarded-For was looked at, and a page whose name was rebound to 127.0.0.1 read all.
// Verifies: WEB-13
#[test]
fn metrics_are_served_to_loopback_and_not_through_a_proxy() {
    let hub = hub();
    let authorization = format!("Bearer {}", hub.operator_token());
    let status =
        |headers: &[(&str, &str)]| http::send(hub.address(), "GET", "/metrics", headers, &[]).unwrap().status;
    assert_eq!(status(&[]), 200);
    assert_eq!(status(&[("Host", "localhost:8787")]), 200);
    for header in [
        ("Forwarded", "for=203.0.113.9"),
        ("X-Forwarded-For", "203.0.113.9"),
        ("X-Forwarded-Proto", "https"),
        ("X-Real-IP", "203.0.113.9"),
        ("Via", "1.1 proxy"),
        ("CF-Connecting-IP", "203.0.113.9"),
        ("True-Client-IP", "203.0.113.9"),
        ("X-Client-IP", "203.0.113.9"),
        ("X-Cluster-Client-IP", "203.0.113.9"),
        ("Fly-Client-IP", "203.0.113.9"),
        ("Host", "rebound.example"),
        ("Host", "hub.example:8787"),
    ] {
        assert_eq!(status(&[header]), 401, "{header:?}");
        assert_eq!(status(&[header, ("Authorization", &authorization)]), 200, "{header:?}");
    }
}

// Verifies: WEB-06
#[test]
fn signups_of_one_address_are_limited() {
    let hub = options().env("FERRY_RATE_LIMIT_SCALE", "1").start();
    let path = format!("/{EDGEREPLICA}/Signup");
    let signup = |number: usize| {
        let body = json!({"email": format!("u{number}@example.com"), "password": PASSWORD}).to_string();
        http::send(hub.address(), "POST", &path, &[("Content-Type", "application/json")], body.as_bytes())
            .unwrap()
    };
    for number in 0..10 {
        assert_eq!(signup(number).status, 200, "signup {number}");
    }
    let over = signup(10);
    assert_eq!(over.status, 429);
    assert!(
        over.header("retry-after").is_some_and(|value| value.parse::<u64>().is_ok_and(|s| s > 0)),
        "{over:?}"
    );
    assert_eq!(answer(&over).unwrap_err().code, "resource_exhausted");
}

// Verifies: WEB-08
#[test]
fn an_internal_error_reveals_no_details() {
    let place = Place::new();
    control_db(&place.hub).execute_batch("ALTER TABLE audit RENAME TO gone").unwrap();
    let refusal = refused(place.user.edgereplica("CreateDatabase", &json!({"name": "more"})), "internal");
    assert_eq!((refusal.status, refusal.message.as_str()), (500, "internal error"));
    wait::until("the cause in the log", || place.hub.log().contains("audit").then_some(()));
    control_db(&place.hub).execute_batch("ALTER TABLE gone RENAME TO audit").unwrap();
    place.user.edgereplica("CreateDatabase", &json!({"name": "more"})).unwrap();
}

// Verifies: WEB-09
#[test]
fn metrics_have_the_documented_names_and_no_ids() {
    let place = Place::new();
    let _token = place.push_token();
    let _ = call(
        place.hub.address(),
        EDGEREPLICA,
        "Login",
        &json!({"email": "x@y.z", "password": "12345678"}),
        None,
    );
    let text = http::get(place.hub.address(), "/metrics").unwrap().text();
    for name in [
        "ferry_http_requests_total",
        "ferry_rpc_duration_seconds",
        "ferry_auth_verifications_total",
        "ferry_login_attempts_total",
        "ferry_tokens_issued_total",
        "ferry_databases",
        "ferry_control_commit_seconds",
    ] {
        assert!(text.contains(name), "{name} is missing:\n{text}");
    }
    for id in [place.database.as_str(), "ada@example.com", "db_", "u_"] {
        let labelled =
            text.lines().filter(|line| !line.starts_with('#')).any(|line| line.contains(&format!("\"{id}")));
        assert!(!labelled, "a label holds {id}");
    }
}

// Summaries of several hubs cannot be summed.
// Verifies: OPR-82
#[test]
fn durations_are_histograms() {
    let place = Place::new();
    let text = http::get(place.hub.address(), "/metrics").unwrap().text();
    for family in ["ferry_rpc_duration_seconds", "ferry_control_commit_seconds"] {
        assert!(text.contains(&format!("# TYPE {family} histogram\n")), "{family}:\n{text}");
        let all = text
            .lines()
            .find(|line| line.starts_with(&format!("{family}_bucket")) && line.contains("le=\"+Inf\""));
        assert!(all.is_some_and(|line| !line.ends_with(" 0")), "{family}:\n{text}");
    }
    assert!(!text.contains("quantile=") && !text.contains(" summary\n"), "{text}");
    assert!(
        text.contains(&format!("ferry_build_info{{version=\"{}\"}} 1\n", env!("CARGO_PKG_VERSION"))),
        "{text}"
    );
    let free = text.lines().find_map(|line| line.strip_prefix("ferry_disk_free_bytes ")).expect("a gauge");
    assert!(free.parse::<f64>().unwrap() > 1e6, "{free}");
}

// Prometheus shows what a metric means from its HELP, and the usual boards ask for process_….
// Verifies: WEB-09
#[test]
fn every_metric_says_what_it_means_and_the_process_is_among_them() {
    let place = Place::new();
    let _token = place.push_token();
    let metrics = || http::get(place.hub.address(), "/metrics").unwrap().text();
    metrics();
    let text = metrics();
    let mut before = "";
    let mut families = Vec::new();
    for line in text.lines() {
        if let Some((name, _)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            let help = before.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' '));
            let (of, meaning) = help.unwrap_or_else(|| panic!("{name} has no HELP:\n{text}"));
            assert!(of == name && !meaning.is_empty(), "{name}: {before}");
            families.push(name);
        }
        before = line;
    }
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let is_told = families.iter().any(|family| line.starts_with(family));
        assert!(is_told, "{line} has no TYPE");
    }
    let value = |name: &str| -> f64 {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("{name} is missing:\n{text}")).parse().unwrap()
    };
    let now = wait::unix_seconds() as f64;
    assert!(value("process_resident_memory_bytes") > 1e6 && value("process_virtual_memory_bytes") > 1e6);
    assert!(value("process_cpu_seconds_total") > 0.0 && value("process_threads") > 1.0);
    assert!((now - 3600.0..=now + 2.0).contains(&value("process_start_time_seconds")));
    let (open, most) = (value("process_open_fds"), value("process_max_fds"));
    assert!(open > 5.0 && open < most, "{open} of {most}");
}
