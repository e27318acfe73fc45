//! Starting: settings, development mode, what is said first, and the form of the log.

use std::{fs, path::Path};

use ferry_testkit::{
    command::Ferry,
    http,
    hub::{Options, Refused},
    rpc::{EDGEREPLICA, PASSWORD, call},
    sample::Shape,
    socket::upgrade,
    wait,
};
use serde_json::json;

use crate::support::{FERRY, Place, control_db, options};

pub(super) fn must_fail(options: Options) -> Refused {
    match options.try_start() {
        Ok(hub) => panic!("the hub started:\n{}", hub.log()),
        Err(refused) => {
            assert_eq!(refused.code, Some(78), "{}", refused.output);
            refused
        }
    }
}

#[track_caller]
pub(super) fn names(refused: &Refused, words: &[&str]) {
    for word in words {
        assert!(refused.output.contains(word), "{word:?} is missing in:\n{}", refused.output);
    }
}

// Verifies: CFG-01
#[test]
fn a_bad_setting_ends_the_start_and_is_named() {
    names(&must_fail(options().env("SESSION_TTL_SECONDS", "soon")), &["SESSION_TTL_SECONDS"]);
    names(&must_fail(options().env("FERRY_SESSION_TTL_SECONDS", "-1")), &["FERRY_SESSION_TTL_SECONDS"]);
    names(&must_fail(options().arg("--signup").arg("sometimes")), &["--signup", "sometimes"]);
    names(&must_fail(options().env("FERRY_SESION_TTL_SECONDS", "1")), &["FERRY_SESION_TTL_SECONDS"]);
    names(&must_fail(options().env("FERRY_TLS_CERT", "/nowhere/cert.pem")), &["tls"]);

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("my.toml");
    fs::write(&file, "no_such_key = 1\n").unwrap();
    let config = |file: &Path| options().arg("--config").arg(file.display().to_string());
    names(&must_fail(config(&file)), &["my.toml", "no_such_key"]);
    fs::write(&file, "[pages]\nstage_hours = \"long\"\n").unwrap();
    names(&must_fail(config(&file)), &["my.toml", "stage_hours"]);
    fs::write(&file, "this is no toml").unwrap();
    names(&must_fail(config(&file)), &["my.toml"]);
    names(&must_fail(config(&folder.path().join("missing.toml"))), &["missing.toml"]);

    // An empty variable is as good as none; a flag goes over a variable, that over the file.
    fs::write(&file, "signup = \"closed\"\n").unwrap();
    let signup = |hub: &ferry_testkit::Hub| {
        let request = json!({"email": "a@example.com", "password": PASSWORD});
        call(hub.address(), EDGEREPLICA, "Signup", &request, None).is_ok()
    };
    assert!(!signup(&config(&file).env("FERRY_SIGNUP", "").start()));
    assert!(signup(&config(&file).env("FERRY_SIGNUP", "open").start()));
    assert!(!signup(&config(&file).env("FERRY_SIGNUP", "open").arg("--signup").arg("closed").start()));
}

// Verifies: CFG-01, TOK-11
#[test]
fn a_malformed_session_key_ends_the_start_without_showing_itself() {
    for key in ["not base64!", "c2hvcnQ=", "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=,c2hvcnQ="] {
        let refused = must_fail(options().env("SESSION_KEY", key));
        names(&refused, &["SESSION_KEY"]);
        assert!(!refused.output.contains("c2hvcnQ"), "the key is a secret:\n{}", refused.output);
    }
}

// Verifies: TOK-11
#[test]
fn without_a_key_each_hub_draws_its_own() {
    let (one, two) = (Place::new(), Place::new());
    let ring = |place: &Place| fs::read_to_string(place.hub.data_dir().join("keyring.json")).unwrap();
    assert_ne!(ring(&one), ring(&two));
    let token = format!("Bearer {}", one.pull_token());
    let answer = upgrade(two.hub.address(), "/sync", &[("Authorization", &token)]);
    assert_eq!(answer.status, 401, "{}", answer.text());
}

// A clock beyond the year 9999 ended requests in panics, and one beyond 2262 every second push of records.
#[test]
fn a_hub_works_whatever_the_systems_clock_says() {
    for clock_ms in [-4_000_000_000_000, 8_000_000_000_000, 253_402_300_800_000, i64::MAX] {
        let place = Place::of(options().fault(format!("clock={clock_ms}")).start());
        let address = place.hub.address();
        let request = json!({
            "databaseId": place.database, "models": ["records", "events"], "ops": ["read", "write"],
            "ttlSeconds": 3600,
        });
        let token =
            place.user.ferry("IssueSyncToken", &request).unwrap()["token"].as_str().unwrap().to_owned();
        let bearer = format!("Bearer {token}");
        let headers = [("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
        for number in 0..3 {
            let change =
                json!({"table": "t", "id": format!("r{number}"), "op": "insert", "data": {"a": number}});
            let push = json!({"clientId": "c", "since": "", "changes": [change]}).to_string();
            let answer = http::send(address, "POST", "/sync/todo", &headers, push.as_bytes()).unwrap();
            assert_eq!(answer.status, 200, "{clock_ms}: {}", answer.text());
            let event = json!({
                "store": "app", "clientId": "c", "sessionId": "s", "parentSeqNum": number,
                "events": [{"name": "v1.Made", "args": {}}],
            });
            let key = format!("k{number}");
            let keyed = [headers[0], headers[1], ("Idempotency-Key", key.as_str())];
            let path = "/v1/databases/-/events";
            let answer = http::send(address, "POST", path, &keyed, event.to_string().as_bytes()).unwrap();
            assert_eq!(answer.status, 201, "{clock_ms}: {}", answer.text());
        }
        for path in
            ["/health", "/metrics", "/v1/databases/-/events?store=app", "/v1/databases/-/records/todo/t"]
        {
            let answer = http::send(address, "GET", path, &headers, b"").unwrap();
            assert_eq!(answer.status, 200, "{clock_ms} {path}: {}", answer.text());
            let date = answer.header("date").expect("Date");
            assert!(date.ends_with(" GMT") && date.len() == 29, "{date}");
        }
        for list in ["ListSessions", "ListAuditEvents", "ListDatabases"] {
            place.user.ferry(list, &json!({})).unwrap();
        }
        assert!(!place.hub.log().contains("panicked"), "{clock_ms}: {}", place.hub.log());
    }
}

// Verifies: CFG-07
#[test]
fn a_default_database_that_names_nothing_ends_the_start() {
    let mut place = Place::new();
    place.hub.stop();
    let start = |name: &str| options().data_dir(place.hub.data_dir()).env("FERRY_DEFAULT_DATABASE", name);
    for wrong in ["apq", "db_00000000-0000-7000-8000-000000000000"] {
        names(&must_fail(start(wrong)), &["default_database", wrong, "ferry db create"]);
    }
    for right in ["app", &place.database] {
        drop(start(right).start());
    }
    let hub = options().data_dir(place.hub.data_dir()).start();
    hub.signup("bob@example.com").create_database("app");
    drop(hub);
    names(&must_fail(start("app")), &["default_database", "2 databases", "id"]);
}

// Verifies: CFG-04
#[test]
fn development_mode_warns_and_has_its_user_and_database() {
    let hub = options().arg("--dev").start();
    let warning = "dev mode: public signing key, anonymous access; never expose this server";
    wait::until("the warning", || hub.log().contains(warning).then_some(()));
    let control = control_db(&hub);
    let email: String = control.query_row("SELECT email FROM users", [], |row| row.get(0)).unwrap();
    let name: String = control.query_row("SELECT name FROM databases", [], |row| row.get(0)).unwrap();
    assert_eq!((email.as_str(), name.as_str()), ("dev@localhost", "main"));
    // Page sync asks for its credential all the same, and a bad one is always 401.
    assert_eq!(upgrade(hub.address(), "/sync", &[]).status, 401);
    assert_eq!(upgrade(hub.address(), "/sync", &[("Authorization", "Bearer rubbish")]).status, 401);
}

// Verifies: CFG-05
#[test]
fn development_mode_is_refused_off_loopback() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    for address in ["0.0.0.0:1", "[::]:1", "192.0.2.1:1"] {
        let refused = must_fail(options().data_dir(&data).arg("--dev").arg(format!("--listen={address}")));
        names(&refused, &["--dev"]);
        assert!(!data.exists(), "refused before anything is made");
    }
    let hub = options().data_dir(&data).arg("--dev").start();
    let ask = |path: &str, name: &str, value: &str| {
        http::send(hub.address(), "GET", path, &[(name, value)], &[]).unwrap().status
    };
    for host in ["localhost", "127.0.0.1", "[::1]", "localhost:8787"] {
        assert_eq!(ask("/healthz", "Host", host), 200, "{host}");
    }
    for host in ["evil.example", "localhost.evil.example", "10.0.0.1"] {
        assert_eq!(ask("/healthz", "Host", host), 421, "{host}");
    }
    assert_eq!(ask("/healthz", "Origin", "http://localhost:5173"), 200);
    for origin in ["https://evil.example", "null", "http://localhost.evil.example"] {
        assert_eq!(ask("/healthz", "Origin", origin), 403, "{origin}");
        let answer = upgrade(hub.address(), "/sync", &[("Origin", origin), ("Authorization", "Bearer x")]);
        assert_eq!(answer.status, 403, "a socket from {origin}");
    }
}

// Two lines of plain text stood among the JSON that collectors of logs read.
#[test]
fn the_first_lines_have_the_form_of_the_log() {
    let hub = options().arg("--log-format=json").arg("--dev").start();
    let url = hub.url();
    let lines: Vec<serde_json::Value> = hub
        .log()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}")))
        .collect();
    for line in &lines {
        let is_log_line = ["timestamp", "level", "message"].iter().all(|member| line[*member].is_string());
        assert!(is_log_line, "{line}");
    }
    let said = |word: &str| lines.iter().any(|line| line["message"].as_str().unwrap().contains(word));
    assert!(said("the hub listens") && said("dev mode"), "{lines:?}");
    assert!(lines.iter().any(|line| line["url"] == url.as_str()));

    // Scripts read the address.
    for text in [options().arg("--log-format=text").start(), options().start()] {
        assert!(text.log().contains(&format!("listens on {}\ndata in ", text.url())), "{}", text.log());
    }
}

// Its first link was of no use to the browser of any other machine, and nothing said so.
#[test]
fn a_hub_that_others_reach_by_plain_http_says_that_no_browser_of_theirs_can_sign_in() {
    let warning = |log: &str| log.lines().find(|line| line.starts_with("warning: ")).map(str::to_owned);
    let plain = || options().arg("--public-url=http://hub.example");
    let hub = plain().start();
    let told = wait::until("a warning", || warning(&hub.log()));
    for way_out in ["plain http", "tls_cert", "public_url", "ssh -L", "/_/"] {
        assert!(told.contains(way_out), "{way_out}: {told}");
    }
    for fine in
        [options(), options().arg("--public-url=https://hub.example"), plain().arg("--dashboard=false")]
    {
        let mut hub = fine.start();
        // All that it had to say was said by then.
        assert!(hub.stop().success());
        wait::until("its end in the log", || hub.log().contains("stopping").then_some(()));
        assert_eq!(warning(&hub.log()), None);
    }
}

// Verifies: OPR-83
#[test]
fn lines_of_the_log_are_objects_with_the_members_that_collectors_ask_for() {
    let mut hub = options().arg("--log-format=json").start();
    let headers = [("X-Request-Id", "known-1")];
    let asked = http::send(hub.address(), "GET", "/v1/nothing?token=a-secret", &headers, b"").unwrap();
    assert_eq!(asked.status, 404);
    assert!(hub.stop().success());
    let log = hub.log();
    let lines: Vec<serde_json::Value> =
        log.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"))).collect();
    let line = lines.iter().find(|line| line["request_id"] == "known-1").expect("the request is in the log");
    assert_eq!((&line["level"], &line["message"]), (&"INFO".into(), &"request".into()));
    assert!(
        line["micros"].is_u64() && line["target"].as_str().is_some_and(|target| target.starts_with("ferry"))
    );
    let time = line["timestamp"].as_str().expect("a time");
    assert!(time.len() == "2026-01-01T00:00:00.000000Z".len() && time.ends_with('Z'), "{time}");
    assert!(!log.contains("a-secret"), "query strings are not logged");
}

// Such a URL was taken, and the hub's own client then refused it.
#[test]
fn a_public_url_may_have_a_path_and_names_no_user() {
    names(
        &must_fail(options().arg("--public-url=https://ada@hub.example")),
        &["public-url", "names no user"],
    );
    names(
        &must_fail(options().arg("--public-url=https://ada:x@hub.example/a")),
        &["public-url", "names no user"],
    );
    // Whether the proxy takes the path off or not.
    let hub = options().arg("--public-url=http://localhost:8787/some/hub").start();
    for path in ["/healthz", "/some/hub/healthz", "/some/hub/metrics?x=1"] {
        assert_eq!(http::get(hub.address(), path).unwrap().status, 200, "{path}");
    }
    assert_eq!(http::get(hub.address(), "/some/hubs/healthz").unwrap().status, 404);
    let ferry = Ferry::new(FERRY, &format!("{}/some/hub/", hub.url()));
    ferry.signup("ada@example.com");
    ferry.ok(&["db", "create", "app"]);
    let file = ferry.file("app.db");
    Shape::default().create(&file, 20, 1);
    ferry.ok(&["push", "app.db", "app"]);
    ferry.ok(&["clone", "app", "copy.db"]);
    ferry.ok(&["db", "create", "log"]);
    ferry.ok(&["events", "list", "log"]);
    assert!(ferry.ok(&["whoami"]).contains("ada@example.com"));
}
