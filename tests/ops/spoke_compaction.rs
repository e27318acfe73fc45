//! Spokes of all ages meet a log that was compacted (acceptance scenario 10).

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
};

use ferry_testkit::{rng::Rng, wait};
use serde_json::{Value, json};

use super::{
    Ops,
    spokes::{Site, hub_file, open, raw_ops, set_op, settle, splice, spoke_options},
};

/// A random history on one of a few entities.
fn random_op(random: &mut Rng) -> Value {
    let entity = format!("note/{}", random.below(4));
    let target = json!({ "to": format!("tag/{}", random.below(3)) });
    match random.below(8) {
        0 => splice(&entity, 0, 0, "text "),
        1 => json!({ "kind": "link.add", "entity": entity, "field": "tag", "value": target }),
        2 => json!({ "kind": "link.remove", "entity": entity, "field": "tag", "value": target }),
        3 => json!({ "kind": "app.seen", "entity": entity, "value": random.below(9) }),
        _ => set_op(&entity, &format!("f{}", random.below(2)), &json!(random.below(5))),
    }
}

fn write(site: &Site, random: &mut Rng, count: u32) {
    for _ in 0..count {
        site.spoke.append(&json!([random_op(random)]));
    }
}

/// The hub finds everything old that was received before now, and drops what nobody needs.
fn compact(ops: &Ops) -> u64 {
    let connection = open(&hub_file(ops));
    connection.execute("UPDATE _ferry_ops SET received_ms = received_ms - 40 * 86400000", []).unwrap();
    drop(connection);
    let done = ops.v1_as(&ops.admin(), "POST", "/compact", "");
    assert_eq!(done.status, 200, "{}", done.text());
    done.json()["dropped"].as_u64().unwrap()
}

// Verifies: OPS-40, OPS-41
#[test]
fn fresh_old_and_offline_spokes_agree_after_compactions_at_any_moment() {
    let ops = Ops::new();
    let (left, right, offline) = (Site::new(&ops), Site::new(&ops), Site::new(&ops));
    let mut random = Rng::new(11);
    let mut dropped = 0;
    for round in 0..4 {
        write(&left, &mut random, 25);
        write(&right, &mut random, 25);
        settle(&[&left, &right]);
        if round == 1 {
            offline.sync();
            offline.go_offline();
            write(&offline, &mut random, 10);
        }
        left.go_offline();
        right.go_offline();
        dropped += compact(&ops);
    }
    assert!(dropped > 20, "{dropped}");
    let fresh = Site::new(&ops);
    let all = [&left, &right, &offline, &fresh];
    settle(&all);
    settle(&all);
    let state = fresh.spoke.state();
    for site in all {
        assert_eq!(site.spoke.state(), state, "{}", site.spoke.store().display());
        assert_eq!(site.spoke.status()["last_error"], Value::Null);
    }
    // Who followed all the time has compacted its own store too.
    assert!(raw_ops(&left.spoke.store()).len() < 200, "{}", raw_ops(&left.spoke.store()).len());
    let behind = ops.v1("GET", "?after_seq=0", "");
    assert_eq!((behind.status, &behind.json()["error"]["code"]), (410, &json!("snapshot_required")));
}

// Verifies: OPS-41, OPS-66
#[test]
fn a_snapshot_that_is_cut_changes_nothing_and_is_asked_for_again() {
    let ops = Ops::new();
    let left = Site::new(&ops);
    for count in 0..200 {
        left.spoke.append(&json!([
            set_op(&format!("note/{count}"), "title", &json!(count)),
            set_op("note/0", "n", &json!(count))
        ]));
    }
    left.sync();
    assert!(compact(&ops) > 0);
    let fresh = Site::new(&ops);
    fresh.go_offline();
    fresh.spoke.set("note/mine", "title", &json!("written before"));
    fresh.network.set(ferry_testkit::partition::Link::CutAfter(2_500));
    assert!(fresh.spoke.try_call("sync.now", &json!({})).is_err());
    assert_eq!(fresh.spoke.state().as_object().unwrap().len(), 1);
    fresh.sync();
    left.sync();
    assert_eq!(fresh.spoke.state(), left.spoke.state());
    assert_eq!(left.spoke.get("note/mine")["fields"]["title"], "written before");
}

/// The network to a hub that changes the digest of as many snapshots as `left` says, on the way to the spoke.
fn forging_network(target: SocketAddr, left: &Arc<AtomicUsize>) -> String {
    const DIGEST: &[u8] = b"\"sha256\":\"";
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let left = Arc::clone(left);
    thread::spawn(move || {
        for mut client in listener.incoming().map_while(Result::ok) {
            let mut hub = TcpStream::connect(target).unwrap();
            let (mut from_hub, mut to_client) = (hub.try_clone().unwrap(), client.try_clone().unwrap());
            thread::spawn(move || {
                pass(&mut client, &mut hub, |piece| {
                    // Else the digest would be compressed.
                    let name = b"accept-encoding";
                    if let Some(at) = piece.windows(name.len()).position(|window| window == name) {
                        piece[at] = b'x';
                    }
                });
            });
            let (left, mut matched) = (Arc::clone(&left), 0);
            thread::spawn(move || {
                pass(&mut from_hub, &mut to_client, |piece| {
                    for byte in piece {
                        if matched == DIGEST.len() {
                            matched = 0;
                            if left.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_ok() {
                                *byte = if *byte == b'0' { b'1' } else { b'0' };
                            }
                        } else if *byte == DIGEST[matched] {
                            matched += 1;
                        } else {
                            matched = usize::from(*byte == DIGEST[0]);
                        }
                    }
                });
            });
        }
    });
    url
}

fn pass(from: &mut TcpStream, to: &mut TcpStream, mut change: impl FnMut(&mut [u8])) {
    let mut piece = [0; 16 << 10];
    while let Ok(size @ 1..) = from.read(&mut piece) {
        change(&mut piece[..size]);
        if to.write_all(&piece[..size]).is_err() {
            break;
        }
    }
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}

// Verifies: OPS-41
#[test]
fn a_snapshot_whose_digest_is_wrong_changes_nothing_and_is_asked_for_again() {
    let ops = Ops::new();
    let left = Site::new(&ops);
    for count in 0..20 {
        left.spoke.append(&json!([set_op("note/0", "n", &json!(count))]));
    }
    left.sync();
    assert!(compact(&ops) > 0);
    let forgeries = Arc::new(AtomicUsize::new(usize::MAX));
    let hub = forging_network(ops.address(), &forgeries);
    let fresh = spoke_options().hub(&hub, &ops.token).start();
    fresh.set("note/mine", "title", &json!("written before"));
    let refused = fresh.try_call("sync.now", &json!({})).unwrap_err();
    assert_eq!(refused["data"]["code"], "hub_unreachable", "{refused}");
    let status = fresh.status();
    let told = status["last_error"].as_str().unwrap();
    assert!(told.contains("discarded") && told.contains("snapshot"), "{told}");
    assert_eq!(status["pending"], 1, "{status}");
    assert_eq!(fresh.state().as_object().unwrap().len(), 1, "only what was written here");
    assert_eq!(raw_ops(&fresh.store()).len(), 1);
    forgeries.store(0, SeqCst);
    wait::until("the next snapshot is loaded", || fresh.try_call("sync.now", &json!({})).ok());
    left.sync();
    assert_eq!(fresh.state(), left.spoke.state());
    assert_eq!(fresh.get("note/0")["fields"]["n"], 19);
    assert_eq!(left.spoke.get("note/mine")["fields"]["title"], "written before");
}
