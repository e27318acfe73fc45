//! `ferry doctor` and `ferry upgrade-check`: each check made to fail, and what it then says to do.

use std::{
    fs,
    io::{self, BufReader, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::fs::PermissionsExt as _,
    path::Path,
    thread,
};

use ferry_testkit::{
    Hub,
    command::{Ferry, Output},
    http,
    hub::listing,
    serve::{Reply, Request, serve},
    tls, wait,
};
use serde_json::Value;

use crate::support::{FERRY, control_db, hub, options};

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
    // Whether the hub's last connection was closed before it ended is not looked at here.
    let is_kept = |name: &String| !name.ends_with("-wal") && !name.ends_with("-shm");
    let names = |listing: Vec<(String, u64)>| {
        listing.into_iter().map(|(name, _)| name).filter(is_kept).collect::<Vec<_>>()
    };
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

// All was well, since nothing of that hub was looked at.
// Verifies: OPR-88
#[test]
fn a_hub_whose_data_is_not_looked_at_is_noticed() {
    let hub = hub();
    let empty = tempfile::tempdir().unwrap();
    fs::set_permissions(empty.path(), fs::Permissions::from_mode(0o700)).unwrap();
    for dir in [empty.path().join("ferry-data"), empty.path().to_owned()] {
        let ferry = operator(&dir).env("FERRY_LISTEN", &hub.address().to_string());
        let told = ferry.run(&["doctor"]);
        says(&told, 0, "port", &["warn", "a hub answers", "not its data", "--data-dir", "--config"]);
        assert_eq!(ferry.run(&["doctor", "--strict"]).code, Some(12));
    }
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
    says(&behind, 78, "streams", &["warn", "not looked at", "pass all paths on"]);
    says(&behind, 78, "clock", &["fail", "set the wrong one right"]);
}

/// A proxy before `hub` that holds answers back until they are whole, and says whose request it is if `forwards`.
fn proxy(hub: &Hub, forwards: bool) -> String {
    let address = hub.address();
    let forward = move |request: &Request| {
        let upgrade = [("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13")];
        let mut headers = if request.header("upgrade").is_some() { upgrade.to_vec() } else { Vec::new() };
        headers.extend(request.header("sec-websocket-key").map(|key| ("Sec-WebSocket-Key", key)));
        if forwards {
            headers.push(("X-Forwarded-For", "203.0.113.7"));
        }
        let answer = http::send(address, &request.method, &request.path, &headers, b"").unwrap();
        let kind = answer.header("content-type").map(|kind| ("Content-Type".to_owned(), kind.to_owned()));
        Reply::Answer(answer.status, kind.into_iter().collect(), answer.body)
    };
    format!("http://{}", serve(forward))
}

// Verifies: OPR-88
#[test]
fn what_a_proxy_makes_of_streams_and_of_the_client_is_told() {
    let hub = hub();
    let ferry = operator(&hub.data_dir()).env("FERRY_LISTEN", &hub.address().to_string());
    let through = |url: &str| ferry.clone().env("FERRY_PUBLIC_URL", url).run(&["doctor"]);
    let straight = through(&hub.url());
    says(&straight, 0, "streams", &["ok", "as they are sent"]);
    says(&straight, 0, "client address", &["ok", "127.0.0.1"]);
    let behind = through(&proxy(&hub, true));
    says(&behind, 78, "upgrades", &["ok"]);
    says(&behind, 78, "streams", &["fail", "turn its buffering off"]);
    says(&behind, 78, "client address", &["warn", "127.0.0.1, the proxy", "trusted_proxies"]);

    let hub = hub.restart_with(|options| options.arg("--trusted-proxies=127.0.0.1"));
    let ferry = operator(&hub.data_dir())
        .env("FERRY_LISTEN", &hub.address().to_string())
        .env("FERRY_TRUSTED_PROXIES", "127.0.0.1");
    let through = |url: &str| ferry.clone().env("FERRY_PUBLIC_URL", url).run(&["doctor"]);
    says(&through(&proxy(&hub, true)), 78, "client address", &["ok", "203.0.113.7"]);
    says(&through(&proxy(&hub, false)), 78, "client address", &["warn", "X-Forwarded-For"]);
}

// Anybody may ask how a request arrives, and each answer takes a connection for a while.
// Verifies: OPR-88
#[test]
fn so_many_ask_at_once_how_their_request_arrives() {
    let hub = hub();
    let ask = || {
        let mut stream = http::connect(hub.address()).unwrap();
        stream.write_all(b"GET /v1/reach HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        let mut reader = BufReader::new(stream);
        let head = http::read_head(&mut reader).unwrap();
        (head.status, reader)
    };
    let asked: Vec<_> = (0..9).map(|_| ask()).collect();
    let statuses: Vec<u16> = asked.iter().map(|(status, _)| *status).collect();
    assert_eq!(statuses, [200, 200, 200, 200, 200, 200, 200, 200, 503]);
    // Who leaves makes room.
    drop(asked);
    wait::until("there is room", || (ask().0 == 200).then_some(()));
}

// Verifies: OPR-88, OPR-06
#[test]
fn backup_targets_their_age_and_their_key_are_looked_at() {
    let hub = stopped();
    let dir = hub.data_dir();
    let folder = tempfile::tempdir().unwrap();
    let target = format!("file://{}", folder.path().display());
    let ferry = operator(&dir).env("FERRY_BACKUP_TARGET", &target);
    let none = ferry.run(&["doctor"]);
    says(&none, 0, "backup target", &["ok", "written, read and removed"]);
    says(&none, 0, "backup age", &["warn", "no backup of this hub yet", "ferry backup create"]);
    let missing = operator(&dir).env("FERRY_BACKUP_TARGET", "file:///nowhere/at/all").run(&["doctor"]);
    says(&missing, 78, "backup target", &["fail", "/nowhere/at/all"]);
    assert!(found(&missing, "backup age").is_empty(), "{}", missing.stdout);

    let hub = hub.restart_with(|options| options.env("FERRY_BACKUP_TARGET", &target));
    let server = Ferry::new(FERRY, &hub.url());
    let ferry = ferry.env("FERRY_LISTEN", &hub.address().to_string());
    // One is due at once.
    let arrived = |output: &Output| found(output, "backup age").iter().any(|text| text.starts_with("ok "));
    let told = wait::until("a backup arrives", || Some(ferry.run(&["doctor"])).filter(arrived));
    says(&told, 0, "backup age", &["ok", " h ", " min old"]);

    let key = dir.join("backup.key");
    server.ok(&["backup", "key", "create", &key.display().to_string()]);
    let inside = operator(&dir).env("FERRY_BACKUP_KEY_FILE", &key.display().to_string());
    says(&inside.run(&["doctor"]), 0, "configuration", &["warn", "backup.key_file", "data"]);
}

// A file system in memory: it keeps nothing, and does so quickly.
// Verifies: OPR-88
#[test]
fn data_in_memory_is_noticed() {
    let Ok(folder) = tempfile::tempdir_in("/dev/shm") else { return };
    let told = operator(&folder.path().join("data")).run(&["doctor", "--strict"]);
    says(&told, 12, "file system", &["warn", "memory", "local disk"]);
    says(&told, 12, "disk", &["warn", "when the power goes"]);
}

// Verifies: OPR-88
#[test]
fn a_certificate_that_proves_nothing_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let authority = folder.path().join("authority.pem");
    fs::write(&authority, tls::AUTHORITY).unwrap();
    let hub = options().tls(&tls::Files::write(folder.path(), &tls::FIRST)).start();
    let ferry = operator(&hub.data_dir());
    let through = |ferry: &Ferry, address: SocketAddr| {
        let url = format!("https://{address}");
        ferry.clone().env("FERRY_PUBLIC_URL", &url).run(&["doctor"])
    };
    // Nobody here trusts the authority that signed it.
    says(&through(&ferry, hub.address()), 78, "public url", &["fail", "certificate"]);
    let trusting = ferry.clone().env("SSL_CERT_FILE", &authority.display().to_string());
    says(&through(&trusting, hub.address()), 0, "certificate", &["ok", "public url", "ends in"]);
    // So does who is told to name it, as the text says.
    let named = ["doctor", "--cacert", &authority.display().to_string()];
    let url = format!("https://{}", hub.address());
    let ferry = ferry.env("FERRY_PUBLIC_URL", &url);
    says(&ferry.run(&named), 0, "public url", &["ok", "leads to a hub"]);
    let by_variable = ferry.clone().env("FERRY_CACERT", &authority.display().to_string());
    says(&by_variable.run(&["doctor"]), 0, "public url", &["ok", "leads to a hub"]);
    let missing = by_variable.env("FERRY_CACERT", "/nowhere/at/all.pem").run(&["doctor"]);
    says(&missing, 78, "authorities", &["fail", "/nowhere/at/all.pem"]);
    // It is of another name.
    let elsewhere = forwarded("127.0.0.2:0", hub.address());
    says(&through(&trusting, elsewhere), 78, "public url", &["fail", "certificate"]);
}

/// Passes connections at an address on to another.
fn forwarded(at: &str, to: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind(at).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for from in listener.incoming().map_while(Result::ok) {
            let to = TcpStream::connect(to).unwrap();
            for (mut from, mut to) in [(from.try_clone().unwrap(), to.try_clone().unwrap()), (to, from)] {
                thread::spawn(move || {
                    let _ = io::copy(&mut from, &mut to);
                    let _ = to.shutdown(std::net::Shutdown::Write);
                });
            }
        }
    });
    address
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
    assert!(running.stdout.contains("\ndatabases\teach is looked at"), "{running:?}");
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
    // Whether the hub's last connection was closed before it ended is not looked at here.
    let is_kept = |name: &String| !name.ends_with("-wal") && !name.ends_with("-shm");
    let names = |listing: Vec<(String, u64)>| {
        listing.into_iter().map(|(name, _)| name).filter(is_kept).collect::<Vec<_>>()
    };
    assert_eq!(names(listing(&dir)), names(before), "it leaves nothing behind");
    // So it does, and keeps the newer schema.
    let hub = hub.restart();
    hub.signup("bob@example.com");
    let kept: u32 = control_db(&hub).pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
    assert_eq!(kept, now + 1);
    let empty = tempfile::tempdir().unwrap();
    let none = operator(empty.path()).fails(78, &["upgrade-check"]);
    assert!(none.contains("no hub has its data there"), "{none}");
    // As ferry serve has it.
    let here = Ferry::new(FERRY, "").fails(78, &["upgrade-check"]);
    assert!(here.contains("./ferry-data: no hub has its data there"), "{here}");
}
