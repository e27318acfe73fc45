//! Pushes over Ferry's own wire that stop, lose their right, find no room, or come in crowds.

use std::{
    io::{BufReader, Write as _},
    net::TcpStream,
    process::Command,
    thread,
};

use ferry_testkit::{
    http::{self, Response, Unfinished},
    process::usage,
    wait,
};
use serde_json::json;

use super::http_push::{EMPTY, Writer, assert_refused, token};
use crate::support::{Place, SmallDisk, fault_points, options};

/// Begins a push of `length` bytes and sends these.
fn begin(writer: &Writer, database: &str, token: &str, bytes: &[u8], length: usize) -> TcpStream {
    let address = writer.place.hub.address();
    let mut stream = http::connect(address).unwrap();
    let head = format!(
        "POST /v1/databases/{database}/pages HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\n\
         If-Match: \"{EMPTY}\"\r\nContent-Length: {length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    // A hub that has refused it already takes no more.
    let _ = stream.write_all(bytes);
    stream
}

fn answer(stream: TcpStream) -> Response {
    http::read_response(&mut BufReader::new(stream), false).unwrap()
}

// Verifies: PAG-25, WEB-11
#[test]
fn a_push_whose_body_stops_ends_with_408_and_keeps_what_came() {
    let writer = Writer::new(40);
    let file = writer.file();
    let body = writer.body(None, &file).data(&[1, 2]);
    let leaf = body.leaf(2);
    // More would buy it more time.
    assert!(body.bytes().len() < 4096, "{}", body.bytes().len());
    let stalled: Vec<_> = (0..4)
        .map(|_| begin(&writer, &writer.place.database, &writer.token, body.bytes(), 1 << 20))
        .collect();
    for stream in stalled {
        let (took, answer) = wait::timed(|| answer(stream));
        assert_eq!(answer.status, 408, "{}", answer.text());
        assert!(took.as_secs() < 30, "{took:?}");
        assert_eq!(answer.header("connection"), Some("close"));
    }
    assert_eq!(writer.staged(&[leaf]), [true], "what was whole is kept");
    assert_eq!(writer.served().len(), 0, "and nothing is visible of it");
    // All four places are free again.
    writer.push_file(None);
    assert!(writer.served() == file);
}

// Verifies: PAG-16, TOK-17
#[test]
fn a_push_whose_right_ends_on_its_way_changes_nothing() {
    // More than the hub reads at once.
    let writer = Writer::new(10_000);
    let file = writer.file();
    let whole = writer.body(None, &file).whole();
    let database = &writer.place.database;
    let revoke = || {
        writer.place.user.ferry("RevokeDatabaseTokens", &json!({"database": database})).unwrap();
    };
    // With half of its body to come, and with a single byte.
    for sent in [whole.len() / 2, whole.len() - 1] {
        let token = token(&writer.place, &["read", "write"]);
        let mut stream = begin(&writer, database, &token, &whole[..sent], whole.len());
        wait::until("the hub to have some of it", || {
            let own = self::token(&writer.place, &["read", "write"]);
            let leaf = writer.body(None, &file).leaf(2);
            let path = format!("/v1/databases/{database}/pages/staged");
            let headers = [("Authorization", &*format!("Bearer {own}"))];
            let staged = http::send(writer.place.hub.address(), "POST", &path, &headers, &leaf).unwrap();
            (staged.body == [1]).then_some(())
        });
        revoke();
        // A hub that has refused it takes no more.
        let _ = stream.write_all(&whole[sent..]);
        let refused = answer(stream);
        assert_eq!(refused.status, 401, "{}", refused.text());
        assert_eq!(refused.json()["error"]["reason"], "TOKEN_REVOKED");
    }
    // One whose time has passed, too: a right is judged when it is used.
    let request = json!({"databaseId": database, "models": ["pages"], "ops": ["write"], "ttlSeconds": 2});
    let brief =
        writer.place.user.ferry("IssueSyncToken", &request).unwrap()["token"].as_str().unwrap().to_owned();
    let path = format!("/v1/databases/{database}/pages");
    let bearer = format!("Bearer {brief}");
    let headers = [("Authorization", bearer.as_str()), ("If-Match", &*format!("\"{EMPTY}\""))];
    let begun = Unfinished::begin(writer.place.hub.address(), "POST", &path, &headers, &whole).unwrap();
    wait::until("the token's end", || {
        let headers = [("Authorization", bearer.as_str())];
        let asked = http::send(writer.place.hub.address(), "POST", &format!("{path}/staged"), &headers, &[]);
        (asked.unwrap().status == 401).then_some(())
    });
    let refused = begun.finish();
    assert_eq!(refused.status, 401, "{}", refused.text());
    assert_eq!(writer.place.user.seq(database), 0, "nothing was committed");
}

// Verifies: PAG-43
#[test]
fn a_disk_that_is_full_is_told_with_507_and_pulls_go_on() {
    let Some(disk) = SmallDisk::mount(24) else { return };
    let mut writer = Writer::of(Place::of(options().data_dir(disk.path().join("data")).start()), 1000);
    let known = writer.push_file(None);
    let before = writer.file();
    let after = writer.run("CREATE TABLE big(x); INSERT INTO big VALUES (randomblob(30000000))");
    let body = writer.body(Some(&known), &after).whole();
    assert_refused(&writer.push(&known.tag, &body), 507, "STORAGE_FULL");
    assert!(writer.served() == before, "the old version is served on");
    writer.place = writer.place.restarted();
    assert!(writer.served() == before, "also after a restart");
    let grown = Command::new("mount").args(["-o", "remount,size=400m"]).arg(disk.path()).status();
    assert!(grown.is_ok_and(|status| status.success()));
    wait::until("the push to be accepted again", || {
        (writer.push(&known.tag, &body).status == 200).then_some(())
    });
    assert!(writer.served() == after);
}

// Verifies: PAG-43
#[test]
fn a_disk_that_fills_up_at_any_step_of_a_push_is_told_with_507() {
    let mut writer = Writer::new(400);
    let mut known = writer.push_file(None);
    let mut refused = 0;
    for (n, point) in ["push.", "stage."].map(fault_points).into_iter().flatten().enumerate() {
        let before = writer.file();
        let after = writer.run(&format!("UPDATE t SET amount = {n} WHERE id % 40 = 0"));
        writer.place = writer.place.restarted_with(|options| options.fault(format!("{point}=full")));
        let answer = writer.push(&known.tag, &writer.body(Some(&known), &after).whole());
        match answer.status {
            200 => {}
            507 => {
                assert_refused(&answer, 507, "STORAGE_FULL");
                refused += 1;
            }
            other => panic!("{point}: {other} {}", answer.text()),
        }
        let found = writer.served();
        assert!(found == before || found == after, "{point}: a mixture");
        assert!(answer.status == 507 || found == after, "{point}: an acknowledged push is gone");
        writer.place = writer.place.restarted();
        let newest = writer.send("GET", "file", &[], &[]);
        let tag = newest.header("etag").unwrap().trim_matches('"').to_owned();
        known.version = tag.split('-').next().unwrap().parse().unwrap();
        known =
            super::http_push::Known { pages: ferry_testkit::page_bodies::normal(&newest.body), tag, ..known };
        if newest.body != after {
            known = writer.push_file(Some(&known));
        }
    }
    assert!(refused >= 3, "only {refused} points were passed");
}

// Verifies: PAG-25, WEB-11
#[test]
fn many_pushes_at_once_use_little_memory() {
    const DATABASES: usize = 12;
    let writer = Writer::new(40_000);
    let file = writer.file();
    let databases: Vec<String> =
        (0..DATABASES).map(|n| writer.place.user.create_database(&format!("crowd{n}"))).collect();
    let token_of = |database: &str| {
        let request = json!({"databaseId": database, "models": ["pages"], "ops": ["read", "write"], "ttlSeconds": 3600});
        writer.place.user.ferry("IssueSyncToken", &request).unwrap()["token"].as_str().unwrap().to_owned()
    };
    let tokens: Vec<String> = databases.iter().map(|database| token_of(database)).collect();
    let before = usage(writer.place.hub.pid()).unwrap().resident_bytes;
    // All but END of a push of 10 MB, four into each database.
    let streams: Vec<TcpStream> = thread::scope(|scope| {
        let begun: Vec<_> = databases
            .iter()
            .zip(&tokens)
            .map(|(database, token)| {
                let (writer, file) = (&writer, &file);
                scope.spawn(move || {
                    let mut body = ferry_testkit::page_bodies::PushBody::of(database, None, file);
                    for pages in body.differing().chunks(64) {
                        body = body.data(pages);
                    }
                    let bytes = body.bytes();
                    (0..4)
                        .map(|_| begin(writer, database, token, bytes, bytes.len() + 37))
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        begun.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    // The last bytes wait for what comes behind them.
    let late = {
        let pages = ferry_testkit::page_bodies::normal(&file);
        *blake3::hash(&pages[pages.len() * 4 / 5]).as_bytes()
    };
    wait::until("nearly all of it to be staged", || {
        let all = databases.iter().zip(&tokens).all(|(database, token)| {
            let path = format!("/v1/databases/{database}/pages/staged");
            let headers = [("Authorization", &*format!("Bearer {token}"))];
            http::send(writer.place.hub.address(), "POST", &path, &headers, &late).unwrap().body == [1]
        });
        all.then_some(())
    });
    let grown = usage(writer.place.hub.pid()).unwrap().resident_bytes.saturating_sub(before);
    let count = streams.len() as u64;
    // 480 MB of pages went in.
    assert!(grown < count * (3 << 20), "{count} pushes hold {} MiB", grown >> 20);
    drop(streams);
    // Places are free again, and what is staged serves them all.
    let body = ferry_testkit::page_bodies::PushBody::of(&databases[0], None, &file).whole();
    let path = format!("/v1/databases/{}/pages", databases[0]);
    let bearer = format!("Bearer {}", tokens[0]);
    let headers = [("Authorization", bearer.as_str()), ("If-Match", &*format!("\"{EMPTY}\""))];
    wait::until("a place is free", || {
        let pushed = http::send(writer.place.hub.address(), "POST", &path, &headers, &body).unwrap();
        assert!(matches!(pushed.status, 200 | 429), "{}", pushed.text());
        (pushed.status == 200).then_some(())
    });
}

// Verifies: PAG-29, PAG-46
#[test]
fn a_damaged_history_is_told_with_410_and_newer_versions_are_served() {
    let mut writer = Writer::new(2000);
    let mut known = vec![writer.push_file(None)];
    for n in 0..4 {
        writer.run(&format!("UPDATE t SET note = hex(randomblob(200)) || {n} WHERE id % 90 = 0"));
        let next = writer.push_file(known.last());
        known.push(next);
    }
    let newest = writer.file();
    writer.place.hub.stop();
    // The images of the first versions are at the beginning.
    let segment = writer.place.hub.database_dir(&writer.place.database).join("pages/seg/00000001.seg");
    let mut bytes = std::fs::read(&segment).unwrap();
    bytes[200] ^= 1;
    std::fs::write(&segment, bytes).unwrap();
    writer.place = writer.place.restarted();
    let first = &known[0].tag;
    // An answer that is on its way when the damage is met breaks off.
    let gone = wait::until("the version to be refused", || {
        let answer = writer.send_or_broken("GET", &format!("file?at={first}"))?;
        (answer.status == 410).then_some(answer)
    });
    let told = assert_refused(&gone, 410, "VERSION_GONE");
    assert!(told["error"]["message"].as_str().unwrap().contains("damaged"), "{told}");
    assert_eq!(told["current"]["tag"], known[4].tag);
    // What leads from there to now needs no old pages.
    let body = writer.send("GET", &format!("pages?since={first}"), &[], &[]);
    assert_eq!(body.status, 200, "{}", body.text());
    assert!(writer.served() == newest);
    let kept = writer.send("GET", &format!("file?at={}", known[3].tag), &[], &[]);
    assert_eq!(kept.status, 200, "{}", kept.text());
    assert!(ferry_testkit::page_bodies::normal(&kept.body) == known[3].pages);
    // It goes on from there.
    writer.run("UPDATE t SET note = 'after' WHERE id = 5");
    writer.push_file(known.last());
}

// One that was not compressed was taken, and one that was had a bad byte 0.
// Verifies: PAG-21
#[test]
fn a_compressed_push_is_refused_with_what_to_do() {
    let writer = Writer::new(40);
    let body = writer.body(None, &writer.file()).whole();
    let tag = format!("\"{EMPTY}\"");
    let push = |encoding: &str| {
        writer.send("POST", "pages", &[("If-Match", &tag), ("Content-Encoding", encoding)], &body)
    };
    for encoding in ["zstd", "gzip, zstd"] {
        let refused = assert_refused(&push(encoding), 415, "ENCODING_NOT_TAKEN");
        assert!(refused["error"]["message"].as_str().unwrap().contains("without this header"), "{refused}");
    }
    assert_eq!(writer.served().len(), 0);
    assert_eq!(push("identity").status, 200);
}
