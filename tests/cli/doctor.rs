//! `ferry doctor` and `ferry upgrade-check`: each check made to fail, and what it then says to do.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use ferry_testkit::{
    Hub,
    command::{Ferry, Output},
    hub::listing,
    serve::{Reply, serve},
};
use serde_json::Value;

use crate::support::{FERRY, control_db, hub};

/// Somebody at the machine of the hub whose data is in `data_dir`, with its settings.
fn operator(data_dir: &Path) -> Ferry {
    // The disk of a machine that runs tests may be anything.
    Ferry::new(FERRY, "")
        .env("FERRY_DATA_DIR", &data_dir.display().to_string())
        .env("FERRY_LISTEN", "127.0.0.1:0")
}

/// A hub that has stopped.
fn stopped() -> Hub {
    let mut hub = hub();
    hub.signup("ada@example.com");
    assert!(hub.stop().success());
    hub
}

/// The findings of a check, as `level text`.
fn found(output: &Output, check: &str) -> Vec<String> {
    let lines = output.stdout.lines().filter_map(|line| line.split_once('\t'));
    let of_check =
        lines.filter_map(|(level, rest)| Some((level, rest.strip_prefix(check)?.strip_prefix('\t')?)));
    of_check.map(|(level, text)| format!("{level} {text}")).collect()
}

/// That a check says this, at this level, and the command ends so.
fn says(output: &Output, code: i32, check: &str, words: &[&str]) {
    let found = found(output, check);
    assert!(
        found.iter().any(|text| words.iter().all(|word| text.contains(word))),
        "{check} should say {words:?}: {found:?}\n{}",
        output.stdout
    );
    assert_eq!(output.code, Some(code), "{}\n{}", output.stdout, output.stderr);
}

// Verifies: OPR-88
#[test]
fn a_hub_that_is_well_fails_nothing() {
    let hub = hub();
    let ferry = operator(&hub.data_dir()).env("FERRY_LISTEN", &hub.address().to_string());
    let before = listing(&hub.data_dir());
    let output = ferry.run(&["doctor"]);
    says(&output, 0, "port", &["ok", "is ready"]);
    for check in [
        "configuration",
        "data",
        "schema",
        "space",
        "file system",
        "disk",
        "open files",
        "clock",
        "public url",
    ] {
        assert!(!found(&output, check).is_empty(), "{check} is missing:\n{}", output.stdout);
    }
    assert!(!output.stdout.contains("fail\t"), "{}", output.stdout);
    let names = |listing: Vec<(String, u64)>| listing.into_iter().map(|(name, _)| name).collect::<Vec<_>>();
    assert_eq!(names(listing(&hub.data_dir())), names(before), "it leaves nothing behind");
    let document: Value = serde_json::from_str(&ferry.ok(&["doctor", "--json"])).unwrap();
    let checks = document["checks"].as_array().unwrap();
    assert!(
        checks
            .iter()
            .all(|one| one["level"].is_string() && one["check"].is_string() && one["text"].is_string())
    );
}

// Verifies: OPR-88
#[test]
fn each_check_says_what_is_wrong_and_what_to_do() {
    let hub = stopped();
    let dir = hub.data_dir();
    let ferry = operator(&dir);
    says(
        &ferry.clone().env("FERRY_LISTEN", "everywhere").run(&["doctor"]),
        78,
        "configuration",
        &["fail", "FERRY_LISTEN"],
    );
    says(
        &ferry.clone().env("FERRY_DATA_DIR", "/nowhere/at/all").run(&["doctor"]),
        0,
        "data",
        &["ok", "the first start makes it"],
    );

    let open = |mode| fs::set_permissions(&dir, fs::Permissions::from_mode(mode)).unwrap();
    open(0o755);
    says(&ferry.run(&["doctor"]), 78, "data", &["fail", "chmod 700"]);
    open(0o700);
    let key_ring = dir.join("keyring.json");
    fs::set_permissions(&key_ring, fs::Permissions::from_mode(0o644)).unwrap();
    says(&ferry.run(&["doctor"]), 78, "data", &["fail", "keyring.json", "chmod 600"]);
    fs::set_permissions(&key_ring, fs::Permissions::from_mode(0o600)).unwrap();

    let few =
        ferry.clone().program("bash").run(&["-c", &format!("ulimit -n 256 && exec {FERRY} doctor --strict")]);
    says(&few, 12, "open files", &["warn", "256", "LimitNOFILE"]);

    let stranger = serve(|_| Reply::status(404));
    let taken = ferry.clone().env("FERRY_LISTEN", &stranger.to_string()).run(&["doctor"]);
    says(&taken, 78, "port", &["fail", "another --listen"]);
}

// Its port was said to be free, and so that no hub ran.
// Verifies: OPR-88
#[test]
fn a_hub_that_listens_elsewhere_is_noticed() {
    let hub = hub();
    let elsewhere = operator(&hub.data_dir()).env("FERRY_LISTEN", "127.0.0.1:0").run(&["doctor"]);
    says(&elsewhere, 0, "port", &["warn", "a hub runs on", "--listen"]);
}

// Verifies: OPR-88
#[test]
fn the_way_to_the_hub_is_tried() {
    let hub = hub();
    let ferry = operator(&hub.data_dir()).env("FERRY_LISTEN", &hub.address().to_string());
    let through = |url: &str| ferry.clone().env("FERRY_PUBLIC_URL", url).run(&["doctor"]);
    let well = through(&hub.url());
    says(&well, 0, "upgrades", &["ok"]);
    says(&well, 0, "clock", &["ok", "differ by"]);
    says(&through("http://127.0.0.1:1"), 78, "public url", &["fail", "does the name lead here"]);
    let stranger = serve(|_| Reply::status_json(200, &"welcome".into()));
    says(&through(&format!("http://{stranger}")), 78, "public url", &["fail", "not as a hub does"]);
    // A proxy that drops upgrades, on a machine whose clock is wrong.
    let dropping = serve(|request| match request.path.as_str() {
        "/healthz" => {
            let date = ("Date".to_owned(), "Sun, 06 Nov 1994 08:49:37 GMT".to_owned());
            Reply::Answer(200, vec![date], b"ok".to_vec())
        }
        _ => Reply::status(400),
    });
    let behind = through(&format!("http://{dropping}"));
    says(&behind, 78, "upgrades", &["fail", "docs/proxies.md"]);
    says(&behind, 78, "clock", &["fail", "set the wrong one right"]);
}

// Verifies: OPR-88
#[test]
fn a_certificate_is_renewed_in_time() {
    let hub = stopped();
    let ferry = operator(&hub.data_dir()).env("FERRY_TLS_CERT", "chain.pem").env("FERRY_TLS_KEY", "key.pem");
    let made = |days: &str| {
        let arguments = [
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-keyout",
            "key.pem",
            "-out",
            "chain.pem",
            "-days",
            days,
        ];
        let output =
            ferry.clone().program("openssl").run(&[&arguments[..], &["-subj", "/CN=localhost"]].concat());
        assert_eq!(output.code, Some(0), "{}", output.stderr);
        ferry.run(&["doctor"])
    };
    says(&made("90"), 0, "certificate", &["ok", "ends in"]);
    says(&made("10"), 0, "certificate", &["warn", "ends in", "renews"]);
    fs::write(ferry.file("chain.pem"), "no certificate").unwrap();
    says(&ferry.run(&["doctor"]), 78, "certificate", &["fail", "chain.pem"]);
}

// Verifies: OPR-77, CFG-03
#[test]
fn what_an_upgrade_would_do_is_told_and_not_done() {
    let hub = hub();
    let dir = hub.data_dir();
    let ferry = operator(&dir);
    let check = || ferry.run(&["upgrade-check"]);
    // Beside a hub that runs, of one that stopped, and of one that was killed.
    let running = check();
    assert_eq!(
        (running.code, running.stdout.starts_with("control.db\tnothing to do\n")),
        (Some(0), true),
        "{running:?}"
    );
    let mut hub = hub;
    hub.kill();
    assert_eq!(check().code, Some(0));
    let mut hub = hub.restart();
    assert!(hub.stop().success());
    let before = listing(&dir);
    assert_eq!(check().code, Some(0));

    let set = |version: u32, min_reader: u32| {
        let database = control_db(&hub);
        database.pragma_update(None, "user_version", version).unwrap();
        database.execute("UPDATE _ferry_meta SET value = ?1 WHERE key = 'min_reader'", [min_reader]).unwrap();
    };
    let now: u32 = control_db(&hub).pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
    set(now - 1, now - 1);
    let pending = check();
    assert_eq!(pending.code, Some(12), "{pending:?}");
    assert!(pending.stdout.contains("1 step\n") && pending.stderr.contains("back up"), "{pending:?}");
    says(&ferry.run(&["doctor", "--strict"]), 12, "schema", &["warn", "back up before"]);
    set(now + 1, now + 1);
    let newer = check();
    assert_eq!(newer.code, Some(78), "{newer:?}");
    assert!(newer.stderr.contains("a newer ferry wrote it"), "{newer:?}");
    says(&ferry.run(&["doctor"]), 78, "schema", &["fail", "a newer ferry"]);
    // The newer one lets this one go on.
    set(now + 1, now);
    let compatible = check();
    assert_eq!(compatible.code, Some(0), "{compatible:?}");
    assert!(compatible.stdout.contains("this one may go on with it"), "{compatible:?}");
    let names = |listing: Vec<(String, u64)>| listing.into_iter().map(|(name, _)| name).collect::<Vec<_>>();
    assert_eq!(names(listing(&dir)), names(before), "it leaves nothing behind");
    // So it does, and keeps the newer schema.
    let hub = hub.restart();
    hub.signup("bob@example.com");
    let kept: u32 = control_db(&hub).pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
    assert_eq!(kept, now + 1);
    let empty = tempfile::tempdir().unwrap();
    let none = operator(empty.path()).fails(78, &["upgrade-check"]);
    assert!(none.contains("no hub has its data there"), "{none}");
}
