//! Databases that the hub itself writes, followed by their pages: whoever follows one has every image that it is told of.

use std::{
    fs,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ferry_testkit::{
    dump,
    page_bodies::{apply, normal, root, tag},
};
use serde_json::json;

use super::captured::{Written, seq_of};
use crate::support::{Place, options};

// Verifies: PAG-28, PAG-41, PAG-26
#[test]
fn a_follower_has_every_image_that_it_is_told_of_under_concurrent_writes() {
    let written = Written::new();
    let folder = tempfile::tempdir().unwrap();
    written.append("first");
    let mut stream = written.stream("inline=65536");
    let (_, told) = stream.expect("version");
    let mut image = normal(&written.get(&format!("file?at={}", told["tag"].as_str().unwrap())).body);
    let mut last = told["version"].as_u64().unwrap();
    let is_done = AtomicBool::new(false);
    thread::scope(|scope| {
        let writers: Vec<_> = (0..3)
            .map(|writer| {
                let written = &written;
                scope.spawn(move || {
                    for n in 0..150 {
                        match writer {
                            0 => written.push_record(&format!("w{n}"), &"long ".repeat(n)),
                            _ => {
                                written.try_append(&format!("s{writer}"), "e", n * 20).unwrap();
                            }
                        }
                    }
                })
            })
            .collect();
        let (is_done, written) = (&is_done, &written);
        scope.spawn(move || {
            writers.into_iter().for_each(|writer| writer.join().unwrap());
            written.append("last");
            is_done.store(true, Ordering::Release);
            written.append("after that");
        });
        let mut inlined = 0;
        let is_told_all = |image: &[Vec<u8>]| {
            let hub = dump::dump(&written.folder().join("main.db"));
            Written::dump_of(&image.concat(), folder.path()) == hub
        };
        while !(is_done.load(Ordering::Acquire) && last == written.seq_on_disk() && is_told_all(&image)) {
            let (_, event) = stream.expect("version");
            let version = event["version"].as_u64().unwrap();
            assert!(version > last, "{last}, then {version}");
            last = version;
            let body = match event["body"].as_str() {
                Some(body) => {
                    inlined += 1;
                    STANDARD.decode(body).unwrap()
                }
                None => {
                    let since = tag(last_version(&image), &root(&image));
                    written.get(&format!("pages?since={since}&at={}", event["tag"].as_str().unwrap())).body
                }
            };
            image = apply(&image, &body).pages;
            assert_eq!(tag(version, &root(&image)), event["tag"].as_str().unwrap());
        }
        assert!(inlined > 5, "{inlined}");
    });
}

/// The commit that an image shows.
fn last_version(image: &[Vec<u8>]) -> u64 {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("image.db");
    fs::write(&path, image.concat()).unwrap();
    seq_of(&path)
}

// Verifies: PAG-28
#[test]
fn a_follower_of_an_empty_database_sees_its_first_commit() {
    Written::new().follow_from_the_first_commit();
}

// Verifies: PAG-28, PAG-40
#[test]
fn followers_of_many_empty_databases_see_every_commit() {
    // The first commit may be told of while it makes somebody open the versions.
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut written = Written::new();
                for n in 0..25 {
                    written.follow_from_the_first_commit();
                    written = written.beside(&format!("n{n}"));
                }
            });
        }
    });
}

/// With the database its stream ends, and without readers nothing is held.
// Verifies: PAG-40
#[test]
fn idle_databases_are_closed_under_their_followers() {
    let written = Written::of(Place::of(options().arg("--max-open-databases=2").start()));
    written.append("first");
    let mut stream = written.stream("");
    stream.expect("version");
    // Others push it out.
    for n in 0..8 {
        let other = written.place.user.create_database(&format!("other{n}"));
        let request =
            json!({"databaseId": other, "models": ["events"], "ops": ["read", "write"], "ttlSeconds": 3600});
        let token = written.place.user.ferry("IssueSyncToken", &request).unwrap()["token"]
            .as_str()
            .unwrap()
            .to_owned();
        let body = json!({"store": "app", "parentSeqNum": null, "clientId": "c", "sessionId": "s",
                          "events": [{"name": "e", "args": {}}]});
        let answer = written
            .call(&token, "POST", &format!("/v1/databases/{other}/events"), &[], &body.to_string())
            .unwrap();
        assert!(answer.status < 300, "{}", answer.text());
    }
    let oldest = written.oldest_tag();
    let newest = written.append("second");
    while stream.expect("version").1["version"].as_u64() < Some(newest) {}
    assert_eq!(written.get(&format!("file?at={oldest}")).status, 200);
}
