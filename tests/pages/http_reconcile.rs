//! Who has a copy of unknown history finds what differs by digests, from the top of the tree down.

use ferry_testkit::page_bodies::{apply, normal};
use serde_json::json;

use super::http_push::{Known, Writer, assert_refused};

/// The digests of a level of the tree over `pages`.
fn digests(pages: &[Vec<u8>], level: u8) -> Vec<[u8; 8]> {
    let mut nodes: Vec<[u8; 32]> = pages.iter().map(|page| *blake3::hash(page).as_bytes()).collect();
    for k in 1..=level {
        let node =
            |children: &[[u8; 32]]| *blake3::hash(&[&[k][..], children.as_flattened()].concat()).as_bytes();
        nodes = nodes.chunks(64).map(node).collect();
    }
    nodes.iter().map(|node| node[..8].try_into().unwrap()).collect()
}

fn ask(writer: &Writer, question: &serde_json::Value) -> ferry_testkit::http::Response {
    writer.send("POST", "pages/reconcile", &[], question.to_string().as_bytes())
}

#[track_caller]
fn assert_digests(answer: &ferry_testkit::http::Response, expected: &[[u8; 8]], context: &str) {
    assert_eq!(answer.status, 200, "{context}: {}", answer.text());
    assert!(answer.body == expected.as_flattened(), "{context}: {} bytes", answer.body.len());
}

// Verifies: PAG-27
#[test]
fn digests_lead_from_the_top_to_the_pages_that_differ() {
    let writer = Writer::new(30_000);
    let first = writer.push_file(None);
    let count = first.pages.len();
    assert!(count > 1000 && count < 4096, "{count}");
    let top = ask(&writer, &json!({"at": null, "level": null}));
    assert_digests(&top, &digests(&first.pages, 0), "the lowest level of at most 4096");
    assert_eq!(top.header("ferry-level"), Some("0"));
    assert_eq!(top.header("ferry-page-size"), Some("4096"));
    assert_eq!(top.header("ferry-page-count"), Some(&*count.to_string()));
    assert_eq!(top.header("etag"), Some(&*format!("\"{}\"", first.tag)));
    let mut versions = vec![first];
    for sql in [
        "UPDATE t SET amount = amount + 1 WHERE id % 4000 = 0",
        "INSERT INTO t SELECT NULL, uid || 'y', name, note, amount, ts FROM t WHERE id < 2000",
        "DELETE FROM t WHERE id > 20000; VACUUM",
    ] {
        writer.run(sql);
        let next = writer.push_file(versions.last());
        versions.push(next);
        // Those that are no longer the newest too.
        for Known { tag, pages, .. } in &versions {
            let nodes = |level| digests(pages, level);
            for level in 0..=2 {
                let all = nodes(level);
                let question = json!({"at": tag, "level": level, "nodes": [[0, all.len() - 1]]});
                assert_digests(&ask(&writer, &question), &all, &format!("{sql}: {tag}, level {level}"));
            }
            let question = json!({"at": tag, "level": 1, "nodes": [[1, 2], [5, 5]]});
            let all = nodes(1);
            assert_digests(&ask(&writer, &question), &[all[1], all[2], all[5]], "some");
        }
    }
    // A copy of an old version, whose owner forgot which: the pages that differ, by their leaves.
    let (old, new) = (&versions[0].pages, versions.last().unwrap());
    let theirs = ask(&writer, &json!({"at": new.tag, "level": 0, "nodes": [[0, new.pages.len() - 1]]})).body;
    let ours = digests(old, 0);
    let wanted: Vec<[usize; 2]> = theirs
        .chunks(8)
        .enumerate()
        .filter(|(n, digest)| ours.get(*n).is_none_or(|ours| ours != digest))
        .map(|(n, _)| [n + 1, n + 1])
        .collect();
    let body = ask(&writer, &json!({"at": new.tag, "since": "0", "pages": wanted}));
    assert_eq!(body.status, 200, "{}", body.text());
    let got = apply(&[], &body.body);
    let mut copy = old.clone();
    copy.resize(new.pages.len(), Vec::new());
    for [page, _] in wanted {
        copy[page - 1] = got.pages[page - 1].clone();
    }
    assert!(copy == new.pages);
    // Of pages that were asked for, only those that differ from a known base.
    let since = &versions[0].tag;
    let some = ask(&writer, &json!({"at": versions[1].tag, "since": since, "pages": [[1, 400]]}));
    let got = apply(old, &some.body).pages;
    assert!(got[..400] == versions[1].pages[..400] && got[400..] == old[400..]);
    assert!(some.body.len() < 10_000, "{}", some.body.len());
}

// Verifies: PAG-27
#[test]
fn questions_that_make_no_sense_are_refused() {
    let writer = Writer::new(100);
    let empty = ask(&writer, &json!({"at": null, "level": null}));
    assert_eq!((empty.status, empty.body.len()), (200, 0));
    assert_eq!((empty.header("ferry-page-count"), empty.header("ferry-page-size")), (Some("0"), Some("0")));
    let known = writer.push_file(None);
    let tag = &known.tag;
    let count = normal(&writer.file()).len();
    for bad in [
        json!({"at": tag, "level": 0, "nodes": [[0, count]]}),
        json!({"at": tag, "level": 0, "nodes": [[3, 2]]}),
        json!({"at": tag, "level": 0, "nodes": [[0, 2], [2, 3]]}),
        json!({"at": tag, "level": 9, "nodes": [[0, 0]]}),
        json!({"at": tag, "level": 0, "since": "0"}),
        json!({"at": tag, "pages": [[1, 2]]}),
        json!({"at": tag, "since": "0", "pages": [[0, 2]]}),
        json!({"at": "yesterday", "level": 0, "nodes": []}),
        json!({"more": 1}),
        json!([]),
    ] {
        assert_refused(&ask(&writer, &bad), 400, "INVALID_ARGUMENT");
    }
    let list = assert_refused(&ask(&writer, &json!([])), 400, "INVALID_ARGUMENT");
    assert_eq!(list["error"]["message"], "body: expected a JSON object");
    assert_refused(&ask(&writer, &json!({"at": "7-0000000000000000"})), 410, "VERSION_GONE");
    let long = vec![b' '; (1 << 20) + 1];
    assert_refused(&writer.send("POST", "pages/reconcile", &[], &long), 413, "TOO_LARGE");
}
