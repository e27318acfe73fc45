//! Users who operate the hub, signed in to the dashboard: how one becomes it, what the flag lets, and what ends it.

use ferry_testkit::{Hub, Session, rpc::PASSWORD, wait};
use serde_json::{Value, json};

use super::{dashboard_page::DashboardPage, team::text};
use crate::support::{Place, control_db, operator, options, refused};

/// The code of the link that a hub without accounts printed.
fn printed_code(hub: &Hub) -> Option<String> {
    let log = hub.log();
    let (_, rest) = log.split_once("/_/#operator=")?;
    Some(rest.lines().next()?.trim().to_owned())
}

pub(super) fn actors_of(hub: &Hub, action: &str) -> Vec<String> {
    let control = control_db(hub);
    let mut statement = control.prepare("SELECT actor FROM audit WHERE action = ?1 ORDER BY id").unwrap();
    let rows = statement.query_map([action], |row| row.get(0)).unwrap();
    rows.collect::<Result<_, _>>().unwrap()
}

/// What whoever has the operator token may ask, and changes nothing.
const READS: [(&str, &str); 4] = [
    ("GetServerInfo", "hubId"),
    ("ListUsers", "users"),
    ("GetSettings", "settings"),
    ("ListSigningKeys", "keys"),
];

// Verifies: OPR-51
#[test]
fn the_link_of_a_new_hub_makes_one_operator_once() {
    let hub = options().env("FERRY_SIGNUP", "closed").start();
    let code = wait::until("the link", || printed_code(&hub));
    let signup = |email: &str, code: &str| {
        let message = json!({"email": email, "password": PASSWORD, "operatorCode": code});
        DashboardPage::try_enter(&hub, "Signup", &message)
    };
    let wrong = signup("eve@example.com", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA").err().unwrap();
    assert!(wrong.code == "permission_denied" && wrong.message.contains("Start the hub again"), "{wrong:?}");
    // What is wrong with the account does not spend it.
    let message = json!({"email": "ada@example.com", "password": "short", "operatorCode": code});
    assert_eq!(DashboardPage::try_enter(&hub, "Signup", &message).err().unwrap().code, "invalid_argument");
    let page = signup("ada@example.com", &code).unwrap();
    let whoami = page.rpc("Whoami", &json!({})).unwrap();
    assert_eq!(whoami["whoami"]["operator"], true, "{whoami}");
    assert!(!page.rpc("GetServerInfo", &json!({})).unwrap()["hubId"].as_str().unwrap().is_empty());
    assert_eq!(signup("eve@example.com", &code).err().unwrap().code, "permission_denied");
    assert_eq!(actors_of(&hub, "user.signup_operator"), [text(&whoami["whoami"], "userId")]);
    // A hub with accounts prints none.
    let hub = hub.restart();
    wait::until("the start", || hub.log().contains("listens on").then_some(()));
    assert_eq!(printed_code(&hub), None, "{}", hub.log());
    assert!(
        !std::fs::read_to_string(hub.data_dir().join("control.db")).is_ok_and(|text| text.contains(&code))
    );
}

// Verifies: OPR-51, OPR-55
#[test]
fn the_flag_counts_on_the_dashboard_alone_and_from_one_request_to_the_next() {
    let place = Place::new();
    let hub = &place.hub;
    let page = DashboardPage::login(hub, &place.user.email);
    let is_refused = || {
        for (method, _) in READS {
            let refusal = refused(page.rpc(method, &json!({})), "permission_denied");
            assert!(refusal.message.contains("operators"), "{refusal:?}");
        }
    };
    is_refused();
    let make = |how: &str| operator(hub).ok(&["admin", "user", "operator", &place.user.email, how]);
    assert_eq!(make("--on"), "ada@example.com operates the hub on the dashboard\n");
    for (method, field) in READS {
        assert!(!page.rpc(method, &json!({})).unwrap()[field].is_null(), "{method}");
    }
    assert!(page.get("/metrics").text().contains("ferry_databases "));
    assert!(operator(hub).ok(&["admin", "user", "list"]).contains("\toperator\t"));
    // A session is nobody's operator token at the command line, and what the cookie holds is no session away from the page: there
    // nothing would ask for a fresh sign-in.
    refused(place.user.ferry("ListUsers", &json!({})), "unauthenticated");
    let thief = Session { token: page.cookie_value(), ..place.user.clone() };
    for method in ["ListUsers", "Whoami", "RefreshSession", "ListSessions", "DeleteOrg", "IssueSyncToken"] {
        refused(thief.ferry(method, &json!({})), "unauthenticated");
    }

    // What it does there is written down as the user's, and what takes something away needs a fresh sign-in.
    page.rpc("CreateUser", &json!({"email": "bob@example.com", "password": PASSWORD})).unwrap();
    let id = text(&page.rpc("Whoami", &json!({})).unwrap()["whoami"], "userId");
    assert_eq!(actors_of(hub, "user.create"), [id.as_str()]);
    let promote = json!({"userId": "bob@example.com", "operator": true});
    page.rpc("SetUserOperator", &promote).unwrap();
    assert_eq!(actors_of(hub, "user.operator_on"), ["operator", id.as_str()]);
    control_db(hub).execute("UPDATE sessions SET created = created - 301000", []).unwrap();
    for (method, message) in [
        ("SetUserOperator", &promote),
        ("RetireSigningKey", &json!({"kid": "00000000"})),
        ("IssuePasswordReset", &json!({"email": "bob@example.com"})),
        ("PruneBackups", &json!({})),
        ("ResumeBackups", &json!({"takeOver": true})),
    ] {
        let refusal = page.rpc(method, message).unwrap_err();
        assert!(
            refusal.code == "permission_denied" && refusal.message.contains("sign in again"),
            "{refusal:?}"
        );
    }

    assert_eq!(make("--off"), "ada@example.com no longer operates the hub\n");
    is_refused();
    assert!(!page.rpc("Whoami", &json!({})).unwrap()["whoami"]["operator"].as_bool().unwrap_or(false));
    // It is durable, and a user who is locked out operates nothing.
    let place = place.restarted();
    let bob = DashboardPage::login(&place.hub, "bob@example.com");
    bob.rpc("ListUsers", &json!({})).unwrap();
    operator(&place.hub).ok(&["admin", "user", "disable", "bob@example.com"]);
    refused(bob.rpc("ListUsers", &json!({})), "unauthenticated");
    operator(&place.hub).fails(5, &["admin", "user", "operator", "nobody@example.com", "--on"]);
}

// Verifies: OPR-55
#[test]
fn what_changes_a_database_by_its_models_needs_a_fresh_sign_in_however_it_is_written() {
    let place = Place::new();
    let page = DashboardPage::login(&place.hub, &place.user.email);
    control_db(&place.hub).execute("UPDATE sessions SET created = created - 301000", []).unwrap();
    let asks_again = |path: &str| {
        let answer = page.post(&format!("/v1/databases/{}/{path}", place.database), &json!({}));
        answer.status == 403 && answer.text().contains("sign in again")
    };
    for path in [
        "restore",
        "events/stores/a/reset",
        "events/stores/a/reset/",
        "ops/epoch",
        "ops/ep%6Fch",
        "ops/compact",
        "records/import?mode=replace",
        "functions/deploy",
        "functions/run",
    ] {
        assert!(asks_again(path), "{path}");
    }
    assert!(!asks_again("fork"), "it takes nothing away");
}

// Verifies: OPR-55
#[test]
fn who_asks_too_often_passes_by_no_fresh_sign_in() {
    let place = Place::of(options().env("FERRY_RATE_LIMIT_SCALE", "1").start());
    let page = DashboardPage::login(&place.hub, &place.user.email);
    control_db(&place.hub).execute("UPDATE sessions SET created = created - 301000", []).unwrap();
    let path = format!("/v1/databases/{}/ops/epoch", place.database);
    let is_too_often =
        |_| page.rpc("Whoami", &json!({})).is_err_and(|refusal| refusal.code == "resource_exhausted");
    assert!((0..2_000).any(is_too_often));
    let answer = page.post(&path, &json!({}));
    assert!(matches!(answer.status, 403 | 429), "{} {}", answer.status, answer.text());
}

// Verifies: OPR-52
#[test]
fn a_session_of_the_dashboard_ends_at_the_hub_when_its_setting_says() {
    let place = Place::of(options().env("FERRY_DASHBOARD_SESSION_SECONDS", "60").start());
    let page = DashboardPage::login(&place.hub, &place.user.email);
    assert_eq!(page.max_age, "60");
    let ends = |whoami: &Value| text(&whoami["whoami"], "sessionExpUnix").parse::<i64>().unwrap();
    let now = wait::unix_seconds();
    let first = ends(&page.rpc("Whoami", &json!({})).unwrap());
    assert!((now + 30..=now + 61).contains(&first), "{first} at {now}");
    // No refresh makes it longer.
    assert_eq!(ends(&page.rpc("RefreshSession", &json!({})).unwrap()), first);
    // Sessions of programs live as ever.
    let program = ends(&place.user.ferry("RefreshSession", &json!({})).unwrap());
    assert!(program > now + 80_000, "{program}");
}

// Verifies: OPR-88
#[test]
fn an_operator_has_the_hub_examined() {
    let place = Place::new();
    let page = DashboardPage::login(&place.hub, &place.user.email);
    refused(page.rpc("RunDoctor", &json!({})), "permission_denied");
    operator(&place.hub).ok(&["admin", "user", "operator", &place.user.email, "--on"]);
    let found = page.rpc("RunDoctor", &json!({})).unwrap();
    let checks = found["checks"].as_array().unwrap();
    let named = |name: &str| checks.iter().find(|check| check["check"] == name);
    for name in ["configuration", "data", "lineage", "schema", "port", "space", "disk"] {
        let check = named(name).unwrap_or_else(|| panic!("{name}: {found}"));
        assert!(
            ["ok", "warn", "fail"].contains(&check["level"].as_str().unwrap())
                && !text(check, "text").is_empty()
        );
    }
    assert!(text(named("port").unwrap(), "text").contains("a hub "), "{found}");
}
