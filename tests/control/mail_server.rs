//! Mail servers that do wrong, hubs that are killed, and what then becomes of mails.

use std::{fs, time::Duration};

use ferry_testkit::{
    Hub,
    command::Ferry,
    http,
    hub::Options,
    process, rpc,
    smtp::{MailDouble, Manner, PASSWORD, USER},
    tls, wait,
};
use serde_json::json;

use super::{
    dashboard_page::DashboardPage,
    mail::{forgot, mailing, none_waits, waiting},
    operators::actors_of,
};
use crate::support::{FERRY, control_db, options, refused};

/// Everything that waits is due, and the hub looks.
fn try_again(hub: &Hub) {
    control_db(hub).execute_batch("UPDATE outbox SET due = 0").unwrap();
    forgot(hub, "nobody@example.com").unwrap();
}

/// How often the only mail that waits was tried, and in how many seconds it is again.
fn tried(hub: &Hub) -> Option<(i64, i64)> {
    let sql = "SELECT tries, due / 1000 FROM outbox WHERE tries > 0";
    let row = control_db(hub).query_row(sql, [], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?))).ok()?;
    Some((row.0, row.1 - wait::unix_seconds()))
}

fn peak(hub: &Hub) -> u64 {
    process::usage(hub.pid()).unwrap().peak_bytes
}

fn given_up(hub: &Hub) -> Vec<String> {
    let db = control_db(hub);
    let mut statement = db
        .prepare("SELECT outcome || ' ' || target || ' ' || detail FROM audit WHERE action = 'mail.give_up'")
        .unwrap();
    let rows = statement.query_map([], |row| row.get(0)).unwrap();
    rows.map(Result::unwrap).collect()
}

/// TLS by `how`, with a login, trusting the authority of the tests.
fn encrypted(double: &MailDouble, host: &str, how: &str, trusted: &std::path::Path) -> Options {
    mailing(double)
        .env("FERRY_MAIL_HOST", host)
        .env("FERRY_MAIL_TLS", how)
        .env("FERRY_MAIL_USER", USER)
        .env("FERRY_MAIL_PASSWORD", PASSWORD)
        .env("SSL_CERT_FILE", trusted.display().to_string())
}

// Verifies: OPR-91
#[test]
fn a_server_that_takes_no_mail_now_is_asked_again() {
    let double = MailDouble::start(Manner::Later);
    let hub = mailing(&double).start();
    hub.signup("ada@example.com");
    let (tries, due_in) = wait::until("a try", || tried(&hub));
    assert!(tries == 1 && (50..=60).contains(&due_in), "{tries} {due_in}");
    // Each wait is twice the one before, up to an hour.
    for (before, least, most) in [(1, 110, 120), (5, 1_900, 1_920), (9, 3_590, 3_600)] {
        control_db(&hub).execute("UPDATE outbox SET tries = ?1", [before]).unwrap();
        try_again(&hub);
        let (_, due_in) =
            wait::until("another", || tried(&hub).filter(|(tries, due)| *tries == before + 1 && *due > 0));
        assert!((least..=most).contains(&due_in), "{due_in}");
    }
    double.behave(Manner::Leaving);
    try_again(&hub);
    wait::until("a warning", || hub.log().contains("421").then_some(()));
    assert!(!hub.log().contains("ada@example.com"), "{}", hub.log());
    double.behave(Manner::Good);
    try_again(&hub);
    double.wait_for("ada@example.com", "/_/verify#");
    none_waits(&hub);
    assert_eq!(given_up(&hub), Vec::<String>::new());
    let metrics = http::get(hub.address(), "/metrics");
    assert!(metrics.is_ok());
}

// Verifies: OPR-91
#[test]
fn what_a_server_will_never_take_is_given_up_and_so_is_what_waited_for_a_day() {
    let double = MailDouble::start(Manner::Refusing);
    let hub = mailing(&double).start();
    hub.signup("ada@example.com");
    let rows = wait::until("the end of it", || Some(given_up(&hub)).filter(|rows| !rows.is_empty()));
    assert!(rows.len() == 1 && rows[0].starts_with("refused u_"), "{rows:?}");
    assert!(rows[0].contains(r#""kind":"verify""#) && rows[0].contains(r#""status":550"#), "{rows:?}");
    assert!(!rows[0].contains("example.com") && !rows[0].contains("no such user"), "{rows:?}");
    assert_eq!((waiting(&hub), double.asked().len()), (0, 1));

    double.behave(Manner::Later);
    forgot(&hub, "ada@example.com").unwrap();
    // Claimed is not yet asked for.
    wait::until("a try", || (double.asked().len() == 2).then_some(()));
    control_db(&hub).execute_batch("UPDATE outbox SET created = created - 86400000").unwrap();
    try_again(&hub);
    let rows = wait::until("the end of it", || Some(given_up(&hub)).filter(|rows| rows.len() == 2));
    assert!(rows[1].starts_with("late "), "{rows:?}");
    assert_eq!(double.asked().len(), 2, "it was not tried once more");
}

// Verifies: OPR-90, OPR-91
#[test]
fn nothing_is_said_to_a_server_that_does_not_encrypt_or_is_another() {
    let home = tempfile::tempdir().unwrap();
    let trusted = home.path().join("authority.pem");
    fs::write(&trusted, tls::AUTHORITY).unwrap();
    let double = MailDouble::start(Manner::NoStartTls);
    let hub = encrypted(&double, "localhost", "starttls", &trusted).start();
    hub.signup("ada@example.com");
    wait::until("a try", || tried(&hub));
    wait::until("a warning", || hub.log().contains("STARTTLS").then_some(()));
    assert_eq!(double.asked(), Vec::<String>::new());
    // A login that is refused says nothing of the mail.
    double.behave(Manner::NoLogin);
    try_again(&hub);
    wait::until("a warning", || hub.log().contains("AUTH").then_some(()));
    assert_eq!((waiting(&hub), given_up(&hub).len(), double.asked().len()), (1, 0, 0));
    assert!(!hub.log().contains(PASSWORD));
    // A name that the certificate does not have, and an authority that nobody knows.
    double.behave(Manner::Good);
    let other = home.path().join("other.pem");
    fs::write(&other, tls::NAMESAKE).unwrap();
    let mut hub = hub;
    for (host, authority) in [("127.0.0.2", &trusted), ("localhost", &other)] {
        let before = double.connections();
        let (host, authority) = (host.to_owned(), authority.display().to_string());
        hub =
            hub.restart_with(|options| options.env("FERRY_MAIL_HOST", host).env("SSL_CERT_FILE", authority));
        try_again(&hub);
        wait::until("a try", || (double.connections() > before).then_some(()));
        wait::until("a warning", || hub.log().contains("the mail server cannot be used").then_some(()));
        assert_eq!((waiting(&hub), double.asked().len(), double.mails().len()), (1, 0, 0));
    }
    let authority = trusted.display().to_string();
    let hub = hub
        .restart_with(|options| options.env("FERRY_MAIL_HOST", "localhost").env("SSL_CERT_FILE", authority));
    try_again(&hub);
    let mail = double.wait_for("ada@example.com", "/_/verify#");
    assert!(mail.is_encrypted && mail.user.as_deref() == Some(USER), "{mail:?}");
}

// Verifies: OPR-91
#[test]
fn a_server_that_is_slow_silent_or_cut_holds_nobody_up() {
    let double = MailDouble::start(Manner::Silent);
    let hub = mailing(&double).start();
    let ada = hub.signup("ada@example.com");
    wait::until("a try", || tried(&hub));
    // Meanwhile all else goes on.
    ada.create_database("app");
    forgot(&hub, "ada@example.com").unwrap();
    wait::until("the end of both", || {
        (hub.log().matches("no answer within 10 s").count() == 2).then_some(())
    });
    for manner in [Manner::Cut, Manner::CutAfterData] {
        double.behave(manner);
        let failures = hub.log().matches("the mail server cannot be used").count();
        try_again(&hub);
        wait::until("a try of both", || {
            (hub.log().matches("the mail server cannot be used").count() == failures + 2).then_some(())
        });
        let of_ada = "SELECT count(*) FROM outbox WHERE address_key = 'ada@example.com'";
        let count: i64 = control_db(&hub).query_row(of_ada, [], |row| row.get(0)).unwrap();
        assert_eq!((count, given_up(&hub).len()), (2, 0), "{manner:?}");
    }
    double.behave(Manner::Slow(Duration::from_millis(300)));
    let before = double.mails().len();
    try_again(&hub);
    none_waits(&hub);
    assert_eq!(double.mails().len(), before + 2, "what was cut is sent once more");
}

// A line without an end took gigabytes of memory in the ten seconds of a try.
// Verifies: OPR-91
#[test]
fn a_server_that_never_ends_a_line_takes_no_memory() {
    let home = tempfile::tempdir().unwrap();
    let trusted = home.path().join("authority.pem");
    fs::write(&trusted, tls::AUTHORITY).unwrap();
    let plain = MailDouble::start(Manner::Endless);
    let upgraded = MailDouble::start(Manner::EndlessOnceEncrypted);
    let implicit = MailDouble::start_encrypted(Manner::Endless);
    for (options, double) in [
        (mailing(&plain), &plain),
        (encrypted(&upgraded, "localhost", "starttls", &trusted), &upgraded),
        (encrypted(&implicit, "localhost", "tls", &trusted), &implicit),
    ] {
        let hub = options.start();
        let before = peak(&hub);
        for name in 0..4 {
            hub.signup(&format!("{name}@example.com"));
        }
        wait::until("a try of each worker", || {
            (hub.log().matches("the server says too much").count() >= 4).then_some(())
        });
        let grown = peak(&hub).saturating_sub(before);
        // A password takes 19 MiB.
        assert!(grown < 64 << 20, "{grown}");
        assert_eq!((waiting(&hub), given_up(&hub).len()), (4, 0));
        double.behave(Manner::Good);
        try_again(&hub);
        for name in 0..4 {
            double.wait_for(&format!("{name}@example.com"), "/_/verify#");
        }
        none_waits(&hub);
    }
    assert!(implicit.mails().iter().all(|mail| mail.is_encrypted && mail.user.as_deref() == Some(USER)));
}

// A mail whose delivery was cut has arrived and waits all the same: its code does once what it does.
// Verifies: OPR-91, OPR-92
#[test]
fn a_code_that_is_spent_stays_spent_though_its_mail_waits() {
    let double = MailDouble::start(Manner::Good);
    let hub = mailing(&double).start();
    hub.signup("ada@example.com");
    none_waits(&hub);
    double.behave(Manner::CutAfterData);
    forgot(&hub, "ada@example.com").unwrap();
    let code = double.wait_for("ada@example.com", "/_/reset#").code("reset");
    wait::until("a warning", || hub.log().contains("the mail server cannot be used").then_some(()));
    assert_eq!(waiting(&hub), 1);
    let reset = |password: &str| {
        let request = json!({"code": code, "newPassword": password});
        rpc::call(hub.address(), rpc::FERRY, "ResetPassword", &request, None)
    };
    reset("a new password").unwrap();
    double.behave(Manner::Good);
    try_again(&hub);
    none_waits(&hub);
    refused(reset("a password of eve"), "permission_denied");
    let mails = double.mails();
    assert_eq!(mails.iter().filter(|mail| mail.text().contains("/_/reset#")).count(), 1);
    double.wait_for("ada@example.com", "The password");
}

// Nobody claims what he does not begin with, and nothing is sent twice because a batch took long.
// Verifies: OPR-91
#[test]
fn a_server_that_takes_nothing_costs_only_the_mails_that_it_was_asked_for() {
    let double = MailDouble::start(Manner::Silent);
    let mut hub = mailing(&double).start();
    for name in 0..12 {
        hub.signup(&format!("{name}@example.com"));
    }
    wait::until("a connection of each worker", || (double.connections() >= 4).then_some(()));
    let tried: i64 = control_db(&hub)
        .query_row("SELECT count(*) FROM outbox WHERE tries > 0", [], |row| row.get(0))
        .unwrap();
    assert!((1..=4).contains(&tried), "{tried}");
    double.behave(Manner::Good);
    // A hub that stops begins with none and breaks off where it waits for a server.
    assert!(hub.stop().success());
    let hub = hub.restart();
    try_again(&hub);
    none_waits(&hub);
    let mut to: Vec<String> = double.mails().into_iter().flat_map(|mail| mail.to).collect();
    to.sort();
    to.dedup();
    assert_eq!((to.len(), double.mails().len()), (12, 12));
}

// A mail that is under way when the hub stops is sent to its end, and noted.
// Verifies: OPR-91
#[test]
fn a_hub_that_stops_ends_the_mail_in_hand() {
    let double = MailDouble::start(Manner::Slow(Duration::from_millis(700)));
    let mut hub = mailing(&double).start();
    hub.signup("ada@example.com");
    wait::until("a recipient", || (!double.asked().is_empty()).then_some(()));
    assert!(hub.stop().success());
    let hub = hub.restart();
    assert_eq!((double.mails().len(), waiting(&hub)), (1, 0));
}

// The outbox is what is kept; whether a mail left is not known, so it leaves again.
// Verifies: OPR-91
#[test]
fn a_hub_that_is_killed_before_it_sends_sends_then() {
    let double = MailDouble::start(Manner::Silent);
    let hub = mailing(&double).start();
    hub.signup("ada@example.com");
    forgot(&hub, "ada@example.com").unwrap();
    wait::until("a connection", || (double.connections() > 0).then_some(()));
    let mut hub = hub;
    hub.kill();
    double.behave(Manner::Good);
    let hub = hub.restart();
    try_again(&hub);
    let mail = double.wait_for("ada@example.com", "/_/reset#");
    double.wait_for("ada@example.com", "/_/verify#");
    none_waits(&hub);
    let request = json!({"code": mail.code("reset"), "newPassword": "another password"});
    rpc::call(hub.address(), rpc::FERRY, "ResetPassword", &request, None).unwrap();
}

// Verifies: OPR-91
#[test]
fn so_many_mails_wait_and_no_more() {
    let double = MailDouble::start(Manner::Later);
    let hub = mailing(&double).start();
    let ada = hub.signup("ada@example.com");
    wait::until("a try", || tried(&hub));
    let rows = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 9999)
                INSERT INTO outbox(kind, address, address_key, sealed, created, due)
                SELECT 'verify', i || '@example.com', i || '@example.com', randomblob(150),
                       unixepoch() * 1000, unixepoch() * 1000 + 3600000 FROM n";
    control_db(&hub).execute_batch(rows).unwrap();
    for email in ["ada@example.com", "nobody@example.com"] {
        assert_eq!(refused(forgot(&hub, email), "unavailable").reason, "BUSY", "{email}");
    }
    // What causes a mail does not fail by it.
    hub.signup("bob@example.com");
    ada.create_database("app");
    assert_eq!(waiting(&hub), 10_000);
    // Ten for one address; that there are so many is told to nobody.
    control_db(&hub)
        .execute_batch("DELETE FROM outbox WHERE tries = 0; UPDATE outbox SET due = due + 3600000")
        .unwrap();
    for _ in 0..12 {
        forgot(&hub, "ada@example.com").unwrap();
    }
    let of_ada = "SELECT count(*) FROM outbox WHERE address_key = 'ada@example.com'";
    let count: i64 = control_db(&hub).query_row(of_ada, [], |row| row.get(0)).unwrap();
    assert_eq!(count, 10);
}

// Verifies: OPR-90, OPR-94
#[test]
fn a_hub_that_could_not_mail_does_not_start() {
    let double = MailDouble::start(Manner::Good);
    let texts = tempfile::tempdir().unwrap();
    let template = texts.path().join("reset.txt");
    let ends = |options: Options, told: &[&str]| {
        let refused = options.try_start().map(|_| ()).unwrap_err();
        assert_eq!(refused.code, Some(78), "{}", refused.output);
        assert!(told.iter().all(|word| refused.output.contains(word)), "{told:?}: {}", refused.output);
    };
    ends(options().env("FERRY_MAIL_HOST", "smtp.example.com"), &["mail.from"]);
    ends(mailing(&double).env("FERRY_PUBLIC_URL", ""), &["public_url"]);
    ends(
        mailing(&double).env("FERRY_MAIL_HOST", "smtp.example.com"),
        &["FERRY_MAIL_TLS", "smtp.example.com"],
    );
    let with_texts = || mailing(&double).env("FERRY_MAIL_TEMPLATES_DIR", texts.path().display().to_string());
    fs::write(&template, "Subject: Hello\n\nClick {{link}}\nfrom {{sender}}\n").unwrap();
    ends(with_texts(), &["reset.txt:4", "{{sender}}", "{{link}}"]);
    fs::write(&template, "Subject: Neues Kennwort für {{hub}}\n\nHier: {{link}}\n").unwrap();
    let hub = with_texts().start();
    hub.signup("ada@example.com");
    forgot(&hub, "ada@example.com").unwrap();
    let mail = double.wait_for("ada@example.com", "/_/reset#");
    assert!(mail.header("Subject").unwrap().contains("=?utf-8?"), "{mail:?}");
    assert!(mail.text().contains("Hier: https://hub.example/_/reset#"), "{}", mail.text());
}

// Verifies: OPR-90, OPR-94
#[test]
fn the_operator_tries_mail_out() {
    let double = MailDouble::start(Manner::Good);
    // One that a page on this machine may sign in to.
    let hub = mailing(&double).env("FERRY_PUBLIC_URL", "http://127.0.0.1:1").start();
    let token = hub.data_dir().join("operator.token").display().to_string();
    let ferry = Ferry::new(FERRY, &hub.url());
    let test = ["admin", "mail", "test", "me@example.com", "--operator-token-file", &token];
    let told = ferry.ok(&test);
    assert!(told.contains("not encrypted") && told.contains("queued as 4711"), "{told}");
    assert_eq!(double.mails()[0].to, ["me@example.com"]);
    double.behave(Manner::Refusing);
    let told = ferry.fails(6, &test);
    assert!(told.contains("550") && told.contains("no such user"), "{told}");
    double.behave(Manner::Good);
    let nobody = ["admin", "mail", "test", "a..b@example.com", "--operator-token-file", &token];
    let told = ferry.fails(9, &nobody);
    assert!(told.contains("email must look like name@example.com"), "{told}");
    let ada = hub.signup("ada@example.com");
    refused(ada.ferry("TestMail", &json!({"email": "a@b"})), "unauthenticated");
    // A user who operates the hub is who did it; and what is no address is neither tried nor written down.
    let code = double.wait_for("ada@example.com", "/_/verify#").code("verify");
    rpc::call(hub.address(), rpc::FERRY, "VerifyEmail", &json!({ "code": code }), None).unwrap();
    ferry.ok(&["admin", "user", "operator", "ada@example.com", "--on", "--operator-token-file", &token]);
    let page = DashboardPage::login(&hub, "ada@example.com");
    let id = page.rpc("Whoami", &json!({})).unwrap()["whoami"]["userId"].as_str().unwrap().to_owned();
    page.rpc("TestMail", &json!({"email": " me@example.com "})).unwrap();
    let connections = double.connections();
    for bad in ["", "me", "a@b@c", "me@example.com\r\nBcc: x@example.com"] {
        refused(page.rpc("TestMail", &json!({ "email": bad })), "invalid_argument");
    }
    assert_eq!(double.connections(), connections);
    assert_eq!(actors_of(&hub, "mail.test"), ["operator", "operator", &id]);

    let told = ferry.ok(&["admin", "mail", "preview", "reset"]);
    assert!(told.starts_with("Subject: Set a new password for ") && told.contains("/_/reset#CODE"), "{told}");
    assert!(told.lines().nth(1) == Some("") && told.lines().count() > 4 && !told.contains("\\n"), "{told}");
    let told = ferry.ok(&["admin", "mail", "preview", "invite", "--html"]);
    assert!(told.contains("<a href=") && told.contains("Analytical Engines"), "{told}");
    assert!(told.lines().count() > 2 && !told.contains("\\n"), "{told}");
    let texts = tempfile::tempdir().unwrap();
    fs::write(texts.path().join("verify.txt"), "Subject: x\n{{oops}}\n").unwrap();
    let folder = texts.path().display().to_string();
    let told = ferry.fails(78, &["admin", "mail", "preview", "reset", "--templates-dir", &folder]);
    assert!(told.contains("verify.txt:2"), "{told}");
}

// Verifies: OPR-88
#[test]
fn the_doctor_asks_the_mail_server_and_sends_nothing() {
    let home = tempfile::tempdir().unwrap();
    let trusted = home.path().join("authority.pem");
    fs::write(&trusted, tls::AUTHORITY).unwrap();
    let double = MailDouble::start(Manner::Good);
    let ferry = Ferry::new(FERRY, "")
        .env("FERRY_DATA_DIR", &home.path().join("data").display().to_string())
        .env("FERRY_LISTEN", "127.0.0.1:0")
        .env("FERRY_MAIL_HOST", "localhost")
        .env("FERRY_MAIL_PORT", &double.port().to_string())
        .env("FERRY_MAIL_USER", USER)
        .env("FERRY_MAIL_PASSWORD", PASSWORD)
        .env("FERRY_MAIL_FROM", "hub@example.com")
        .env("FERRY_PUBLIC_URL", "http://127.0.0.1:1")
        .env("SSL_CERT_FILE", &trusted.display().to_string());
    let says = |level: &str, word: &str| {
        let output = ferry.run(&["doctor"]);
        let line = output
            .stdout
            .lines()
            .find(|line| line.contains("\tmail server\t"))
            .unwrap_or_default()
            .to_owned();
        assert!(line.starts_with(level) && line.contains(word), "{}", output.stdout);
        assert!(!output.stdout.contains(PASSWORD));
    };
    says("ok", "encrypted");
    double.behave(Manner::NoLogin);
    says("fail", "535");
    double.behave(Manner::NoStartTls);
    says("fail", "STARTTLS: STARTTLS is not supported");
    assert_eq!((double.asked().len(), double.mails().len()), (0, 0));
}
