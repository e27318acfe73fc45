//! Mail: what is sent when, whom it reaches, and what its links do.

use std::fs;

use ferry_testkit::{
    Hub, Session, http,
    hub::Options,
    rpc::{FERRY, PASSWORD, Refusal, call, call_from},
    smtp::{MailDouble, Manner},
    wait,
};
use serde_json::{Value, json};

use super::team::{invite, signup_invited, text};
use crate::support::{control_db, operator, options, refused};

/// A hub that sends its mail to `double`, in the clear.
pub(crate) fn mailing(double: &MailDouble) -> Options {
    options()
        .env("FERRY_MAIL_HOST", "127.0.0.1")
        .env("FERRY_MAIL_PORT", double.port().to_string())
        .env("FERRY_MAIL_TLS", "none")
        .env("FERRY_MAIL_FROM", "Ferry <hub@example.com>")
        .env("FERRY_PUBLIC_URL", "https://hub.example")
        .env("FERRY_SIGNUP", "open")
}

pub(crate) fn forgot(hub: &Hub, email: &str) -> Result<Value, Refusal> {
    call(hub.address(), FERRY, "RequestPasswordReset", &json!({"email": email}), None)
}

fn reset(hub: &Hub, code: &str, password: &str) -> Result<Value, Refusal> {
    call(hub.address(), FERRY, "ResetPassword", &json!({"code": code, "newPassword": password}), None)
}

fn verify(hub: &Hub, code: &str) -> Result<Value, Refusal> {
    call(hub.address(), FERRY, "VerifyEmail", &json!({"code": code}), None)
}

/// How many mails wait.
pub(super) fn waiting(hub: &Hub) -> i64 {
    control_db(hub).query_row("SELECT count(*) FROM outbox", [], |row| row.get(0)).unwrap()
}

pub(super) fn none_waits(hub: &Hub) {
    wait::until("an empty outbox", || (waiting(hub) == 0).then_some(()));
}

fn is_verified(user: &Session) -> bool {
    user.ferry("Whoami", &json!({})).unwrap()["whoami"]["emailVerified"] == true
}

// Verifies: OPR-91, OPR-92
#[test]
fn each_kind_arrives_and_its_link_works_once() {
    let double = MailDouble::start(Manner::Good);
    let hub = mailing(&double).start();
    let ada = hub.signup("ada@example.com");
    let mail = double.wait_for("ada@example.com", "/_/verify#");
    assert_eq!(mail.from, "hub@example.com");
    assert_eq!(mail.header("From").unwrap(), "Ferry <hub@example.com>");
    assert_eq!(mail.header("Subject").unwrap(), "Confirm your e-mail address for hub.example");
    assert_eq!(mail.header("Auto-Submitted").unwrap(), "auto-generated");
    let verifying = mail.code("verify");
    assert!(!is_verified(&ada));
    verify(&hub, &verifying).unwrap();
    assert!(is_verified(&ada));
    refused(verify(&hub, &verifying), "permission_denied");
    refused(verify(&hub, "no code"), "permission_denied");
    // Who has proven the address gets no further mail.
    ada.ferry("RequestVerification", &json!({})).unwrap();

    let org = text(&ada.ferry("CreateOrg", &json!({"name": "team"})).unwrap(), "id");
    let request = json!({"org": org, "email": "bob@example.com", "role": "member"});
    let made = ada.ferry("CreateInvitation", &request).unwrap();
    assert_eq!(made["mailed"], true, "{made}");
    let mail = double.wait_for("bob@example.com", "/_/invite#");
    assert!(mail.header("Subject").unwrap().contains("ada@example.com invites you to team"));
    assert_eq!(mail.code("invite"), text(&made, "code"));
    let bob = signup_invited(&hub, "bob@example.com", &mail.code("invite")).unwrap();
    assert!(!is_verified(&bob), "whoever invites knows the code too");

    forgot(&hub, "bob@example.com").unwrap();
    let mail = double.wait_for("bob@example.com", "/_/reset#");
    assert!(mail.text().contains("127.0.0.1"), "from where it was asked: {}", mail.text());
    let resetting = mail.code("reset");
    refused(reset(&hub, &verifying, "a password of bob"), "permission_denied");
    reset(&hub, &resetting, "a password of bob").unwrap();
    refused(reset(&hub, &resetting, "a password of eve"), "permission_denied");
    refused(bob.ferry("Whoami", &json!({})), "unauthenticated");
    let login = json!({"email": "bob@example.com", "password": "a password of bob"});
    let bob = Session {
        token: text(&call(hub.address(), FERRY, "Login", &login, None).unwrap(), "sessionToken"),
        ..bob
    };
    assert!(is_verified(&bob), "only the owner of the address had that code");
    let told = double.wait_for("bob@example.com", "The password");
    assert!(told.text().contains("127.0.0.1"));

    let change = json!({"current": PASSWORD, "new": "another password"});
    ada.ferry("ChangePassword", &change).unwrap();
    double.wait_for("ada@example.com", "The password");
    operator(&hub).ok(&["admin", "user", "operator", "ada@example.com", "--on"]);
    double.wait_for("ada@example.com", "operate the hub");
    none_waits(&hub);
    // What opens something stands nowhere but in the mails.
    let data = fs::read(hub.data_dir().join("control.db")).unwrap();
    let data = [data, fs::read(hub.data_dir().join("control.db-wal")).unwrap_or_default()].concat();
    for code in [&verifying, &resetting, &text(&made, "code")] {
        assert!(!data.windows(code.len()).any(|bytes| bytes == code.as_bytes()), "in control.db");
        assert!(!hub.log().contains(code.as_str()), "in the log");
    }
    assert!(!hub.log().contains("bob@example.com"), "{}", hub.log());
}

// Verifies: OPR-92
#[test]
fn codes_end_with_their_time_and_with_what_they_are_of() {
    let double = MailDouble::start(Manner::Good);
    let hub = mailing(&double).start();
    let ada = hub.signup("ada@example.com");
    let late = double.wait_for("ada@example.com", "/_/verify#").code("verify");
    let lives = |table: &str| -> i64 {
        let sql = format!("SELECT max(expires) / 1000 FROM {table}");
        control_db(&hub).query_row(&sql, [], |row| row.get::<_, i64>(0)).unwrap() - wait::unix_seconds()
    };
    assert!((86_300..=86_400).contains(&lives("email_verifications")));
    forgot(&hub, "ada@example.com").unwrap();
    let first = double.wait_for("ada@example.com", "/_/reset#").code("reset");
    assert!((3_500..=3_600).contains(&lives("password_resets")));
    control_db(&hub)
        .execute_batch("UPDATE email_verifications SET expires = 0; UPDATE password_resets SET expires = 0")
        .unwrap();
    refused(verify(&hub, &late), "permission_denied");
    refused(reset(&hub, &first, "a new password"), "permission_denied");
    // Another mail brings another code, and one that is out stays good beside it.
    ada.ferry("RequestVerification", &json!({})).unwrap();
    let second = wait::until("another mail", || {
        let mails = double.mails();
        let codes =
            mails.iter().filter(|mail| mail.text().contains("/_/verify#")).map(|mail| mail.code("verify"));
        codes.into_iter().find(|code| *code != late)
    });
    // Whose account is locked proves nothing and sets no password.
    forgot(&hub, "ada@example.com").unwrap();
    none_waits(&hub);
    let mails = double.mails();
    let code = mails.iter().rfind(|mail| mail.text().contains("/_/reset#")).unwrap().code("reset");
    control_db(&hub).execute_batch("UPDATE users SET disabled = 1").unwrap();
    refused(verify(&hub, &second), "permission_denied");
    refused(reset(&hub, &code, "a new password"), "permission_denied");
}

/// All of an answer that may tell something.
fn seen(response: &http::Response) -> (u16, String, Vec<String>) {
    let varying = ["date", "x-request-id", "retry-after"];
    let mut headers: Vec<String> = response
        .headers
        .iter()
        .filter(|(name, _)| !varying.contains(&name.as_str()))
        .map(|(name, value)| format!("{name}: {value}"))
        .collect();
    headers.sort();
    (response.status, response.text(), headers)
}

// Verifies: OPR-93
#[test]
fn nobody_learns_whose_addresses_have_accounts() {
    let double = MailDouble::start(Manner::Good);
    let hub = mailing(&double).start();
    hub.signup("kay@example.com");
    hub.signup("off@example.com");
    none_waits(&hub);
    control_db(&hub).execute_batch("UPDATE users SET disabled = 1 WHERE email = 'off@example.com'").unwrap();
    let hub = hub.restart();
    let asked = |email: &str| {
        let path = format!("/{FERRY}/RequestPasswordReset");
        let body = json!({ "email": email }).to_string();
        http::send(hub.address(), "POST", &path, &[("Content-Type", "application/json")], body.as_bytes())
            .unwrap()
    };
    let known = seen(&asked("kay@example.com"));
    assert_eq!((known.0, known.1.as_str()), (200, "{}"));
    for other in ["nobody@example.com", "off@example.com", "kay@example.org"] {
        assert_eq!(seen(&asked(other)), known, "{other}");
    }
    none_waits(&hub);
    // A spelling that means the account reaches its address, and no other: K is the Kelvin sign.
    assert_eq!(seen(&asked("\u{212a}ay@example.com")), known);
    none_waits(&hub);
    let resets = double.mails().into_iter().filter(|mail| mail.text().contains("/_/reset#"));
    let to: Vec<Vec<String>> = resets.map(|mail| mail.to).collect();
    assert_eq!(to, vec![vec!["kay@example.com".to_owned()]; 2]);
    assert!(
        double.asked().iter().all(|to| to == "kay@example.com" || to == "off@example.com"),
        "{:?}",
        double.asked()
    );
    // The trail has each, and of accounts their ids only.
    let rows: Vec<String> = {
        let db = control_db(&hub);
        let mut statement =
            db.prepare("SELECT target FROM audit WHERE action = 'password.request' ORDER BY id").unwrap();
        let rows = statement.query_map([], |row| row.get(0)).unwrap();
        rows.map(Result::unwrap).collect()
    };
    assert_eq!(rows.len(), 5);
    assert!(rows[0].starts_with("u_") && rows[1] == "nobody@example.com" && rows[4] == rows[0], "{rows:?}");
}

// Verifies: OPR-93
#[test]
fn an_address_and_a_client_ask_for_so_many() {
    let double = MailDouble::start(Manner::Good);
    let hub =
        mailing(&double).env("FERRY_RATE_LIMIT_SCALE", "1").env("FERRY_TRUSTED_PROXIES", "127.0.0.1").start();
    let ada = hub.signup("ada@example.com");
    let ask = |ip: &str, email: &str| {
        let body = json!({ "email": email }).to_string();
        let headers = [("Content-Type", "application/json"), ("X-Forwarded-For", ip)];
        let path = format!("/{FERRY}/RequestPasswordReset");
        http::send(hub.address(), "POST", &path, &headers, body.as_bytes()).unwrap()
    };
    let mut refusals = Vec::new();
    for email in ["ada@example.com", "nobody@example.com"] {
        for turn in 0..3 {
            assert_eq!(ask(&format!("192.0.2.{turn}"), email).status, 200, "{email} {turn}");
        }
        let refusal = ask("192.0.2.9", email);
        assert_eq!(refusal.status, 429, "{}", refusal.text());
        refusals.push(refusal.json()["code"].clone());
        assert!(refusal.header("retry-after").unwrap().parse::<u64>().unwrap() > 3_000);
    }
    assert_eq!(refusals[0], refusals[1]);
    for turn in 0..20 {
        assert_eq!(ask("198.51.100.1", &format!("{turn}@example.com")).status, 200, "{turn}");
    }
    assert_eq!(ask("198.51.100.1", "more@example.com").status, 429);
    assert_eq!(ask("198.51.100.2", "more@example.com").status, 200);
    // Nor does a session: three mails an hour to prove an address, that of the new account among them.
    for _ in 0..2 {
        ada.ferry("RequestVerification", &json!({})).unwrap();
    }
    refused(ada.ferry("RequestVerification", &json!({})), "resource_exhausted");
    // Nobody is a nuisance by invitations: they stand, and are not mailed. Who has not proven an address sends none in its name.
    let org = text(&ada.ferry("CreateOrg", &json!({"name": "team"})).unwrap(), "id");
    let request = json!({"org": org, "email": "bob@example.com", "role": "viewer"});
    let invited = |by: &Session| by.ferry("CreateInvitation", &request);
    let is_mailed = || invited(&ada).unwrap()["mailed"] == true;
    assert!(!is_mailed());
    verify(&hub, &double.wait_for("ada@example.com", "/_/verify#").code("verify")).unwrap();
    let eve = hub.signup("eve@example.com");
    eve.ferry("AcceptInvitation", &json!({"code": invite(&ada, &org, "eve@example.com", "member")})).unwrap();
    verify(&hub, &double.wait_for("eve@example.com", "/_/verify#").code("verify")).unwrap();
    // Nor does who may not invite use up what an address may get.
    for _ in 0..4 {
        refused(invited(&eve), "permission_denied");
    }
    let mailed: Vec<bool> = (0..4).map(|_| is_mailed()).collect();
    assert_eq!(mailed, [true, true, true, false]);
    // Only its own network is told of a client's limit.
    refused(
        call_from("198.51.100.1", hub.address(), "Login", &json!({"email": "x@y", "password": "wrong"})),
        "unauthenticated",
    );
}

// Verifies: OPR-93
#[test]
fn an_account_whose_address_is_not_proven_may_sign_in_and_prove_it() {
    let double = MailDouble::start(Manner::Good);
    let hub = mailing(&double).start();
    let old = hub.signup("old@example.com");
    let database = old.create_database("app");
    let token = old.sync_token(&database, ferry_testkit::Direction::Pull);
    none_waits(&hub);
    let hub = hub.restart_with(|options| options.env("FERRY_MAIL_REQUIRE_VERIFIED", "true"));
    let ada = hub.signup("ada@example.com");
    for (method, request) in [
        ("CreateDatabase", json!({"name": "app"})),
        ("ListDatabases", json!({})),
        ("ListSessions", json!({})),
        ("CreateOrg", json!({"name": "team"})),
        ("ChangePassword", json!({"current": PASSWORD, "new": "another password"})),
        ("IssueSyncToken", json!({"databaseId": "app", "direction": "DIRECTION_PULL"})),
    ] {
        let refusal = refused(ada.ferry(method, &request), "permission_denied");
        assert_eq!(refusal.reason, "EMAIL_UNVERIFIED", "{method}");
        assert!(refusal.message.contains("mailed"), "{}", refusal.message);
    }
    refused(ada.edgereplica("ListDatabases", &json!({})), "permission_denied");
    ada.ferry("Whoami", &json!({})).unwrap();
    ada.edgereplica("Whoami", &json!({})).unwrap();
    ada.ferry("RequestVerification", &json!({})).unwrap();
    // Tokens of before rest with it.
    let pulled = |token: &str| {
        let bearer = format!("Bearer {token}");
        http::send(hub.address(), "GET", "/v1/databases/-/file", &[("Authorization", &bearer)], b"").unwrap()
    };
    assert_eq!((pulled(&token).status, pulled(&old.token).status), (403, 403), "{}", pulled(&token).text());
    verify(&hub, &double.wait_for("ada@example.com", "/_/verify#").code("verify")).unwrap();
    ada.create_database("app");
    Session::login(hub.address(), "old@example.com")
        .at(hub.address())
        .ferry("RequestVerification", &json!({}))
        .unwrap();
    none_waits(&hub);
    let mails = double.mails();
    let mail = mails.iter().rfind(|mail| mail.to == ["old@example.com"]).unwrap();
    verify(&hub, &mail.code("verify")).unwrap();
    assert_ne!(pulled(&token).status, 403);
}

// A name that its owner chooses stands in mails to others.
// Verifies: OPR-94
#[test]
fn names_bring_neither_headers_nor_markup_into_mails() {
    let double = MailDouble::start(Manner::Good);
    let hub = mailing(&double).start();
    for evil in [
        "eve@example.com\r\nBcc: x@example.com",
        "eve@example.com\nTo: y@example.com",
        "eve\u{0}@example.com",
        "<eve@example.com>",
        "eve..x@example.com",
    ] {
        let request = json!({"email": evil, "password": PASSWORD});
        refused(call(hub.address(), FERRY, "Signup", &request, None), "invalid_argument");
        refused(forgot(&hub, evil), "invalid_argument");
    }
    let ada = hub.signup("a'b&c@example.com");
    verify(&hub, &double.wait_for("a'b&c@example.com", "/_/verify#").code("verify")).unwrap();
    let name = "<img/src=x> \"Ltd\" & {{code}} =?utf-8?q?x?= \u{202e}evil";
    let org = text(&ada.ferry("CreateOrg", &json!({"name": name})).unwrap(), "id");
    let code = invite(&ada, &org, "bob@example.com", "member");
    let mail = double.wait_for("bob@example.com", "/_/invite#");
    let (body, subject) = (mail.text(), mail.header("Subject").unwrap());
    let html = body.split_once("text/html").unwrap().1;
    assert!(!html.contains("<img"), "{html}");
    assert!(body.contains("&lt;img/src=x&gt; &quot;Ltd&quot; &amp; {{code}}"), "{body}");
    assert!(body.contains("a&#39;b&amp;c@example.com"), "{body}");
    assert!(!body.contains('\u{202e}') && !subject.contains('\n') && !subject.contains("=?"), "{subject}");
    assert_eq!(mail.code("invite"), code);
    assert_eq!(mail.to, ["bob@example.com"]);
    let request = json!({"org": org, "email": "bob@example.com>", "role": "member"});
    refused(ada.ferry("CreateInvitation", &request), "invalid_argument");
    // An account may have such an address from before: its mails are given up, and that is said.
    let eve = hub.signup("eve@example.com");
    none_waits(&hub);
    let sql = "UPDATE users SET email = 'a(b)@example.com' WHERE email = 'eve@example.com'";
    control_db(&hub).execute(sql, []).unwrap();
    eve.ferry("RequestVerification", &json!({})).unwrap();
    none_waits(&hub);
    let trail = "SELECT outcome || ' ' || detail FROM audit WHERE action = 'mail.give_up'";
    let row: String = control_db(&hub).query_row(trail, [], |row| row.get(0)).unwrap();
    assert!(row.starts_with("refused ") && row.contains("\"kind\":\"verify\""), "{row}");
}

// Verifies: OPR-90
#[test]
fn a_hub_without_mail_says_so() {
    let hub = options().start();
    let ada = hub.signup("ada@example.com");
    let refusal = refused(forgot(&hub, "ada@example.com"), "failed_precondition");
    assert!(refusal.message.contains("sends no mail"), "{}", refusal.message);
    refused(ada.ferry("RequestVerification", &json!({})), "failed_precondition");
    assert_eq!(waiting(&hub), 0);
    let org = text(&ada.ferry("CreateOrg", &json!({"name": "team"})).unwrap(), "id");
    let made = ada
        .ferry("CreateInvitation", &json!({"org": org, "email": "b@example.com", "role": "viewer"}))
        .unwrap();
    assert_eq!((made["mailed"].as_bool(), waiting(&hub)), (None, 0), "{made}");
    let page = http::get(hub.address(), "/_/api/hub").unwrap().json();
    assert_eq!(page["mail"], false);
}
