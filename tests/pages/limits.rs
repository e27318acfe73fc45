//! Limits: memory of a stalled reader, sockets per database, sizes (pages, scenario 17).

use ferry_testkit::{
    frames::Frame,
    process::usage,
    sample,
    socket::{Event, Socket, upgrade},
    wait,
};

use crate::support::{Place, options};

// Verifies: PAG-11
#[test]
fn stalled_readers_use_little_memory() {
    const READERS: u64 = 24;
    let place = Place::new();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("app.db");
    // 26 MB: queued whole for every reader it would be 600 MB.
    sample::standard(&file, 100_000, 1);
    place.push(&file);
    let token = place.pull_token();
    let before = usage(place.hub.pid()).unwrap().resident_bytes;
    let mut sockets: Vec<Socket> = (0..READERS)
        .map(|_| {
            let mut socket = Socket::open(place.hub.address(), &token).unwrap();
            socket.send(&Frame::hello(0));
            socket.send(&Frame::Complete);
            // The first page comes, and then nobody reads any more.
            loop {
                if let Event::Frame(Frame::PageData { .. }) = socket.next() {
                    break socket;
                }
            }
        })
        .collect();
    // The hub has filled every buffer once its CPU time stands still.
    let mut last = usage(place.hub.pid()).unwrap().cpu_ms;
    let mut quiet_since = 0;
    wait::until("the hub to come to rest", || {
        let now = usage(place.hub.pid()).unwrap().cpu_ms;
        quiet_since = if now == last { quiet_since + 1 } else { 0 };
        last = now;
        (quiet_since > 40).then_some(())
    });
    let grown = usage(place.hub.pid()).unwrap().resident_bytes.saturating_sub(before);
    // 256 KiB of frames each, and as much again for the session and the allocator.
    assert!(grown < READERS * (1 << 20), "{READERS} stalled readers hold {grown} bytes");
    // They are served to the end once they read again.
    for socket in &mut sockets {
        loop {
            match socket.next() {
                Event::Frame(Frame::PageData { .. }) => {}
                Event::Frame(Frame::SyncComplete { .. }) => break,
                other => panic!("{other:?}"),
            }
        }
    }
}

#[test]
fn the_65th_socket_of_a_database_is_refused_with_retry_after() {
    let place = Place::new();
    let token = place.pull_token();
    let sockets: Vec<Socket> = (0..64).map(|_| Socket::open(place.hub.address(), &token).unwrap()).collect();
    let authorization = format!("Bearer {token}");
    let headers = [("Authorization", authorization.as_str())];
    let refusal = upgrade(place.hub.address(), "/sync", &headers);
    assert_eq!(refusal.status, 503, "{}", refusal.text());
    assert!(refusal.header("retry-after").is_some(), "{refusal:?}");
    // Another database is not concerned.
    let other = place.user.create_database("other");
    let token = place.user.sync_token(&other, ferry_testkit::Direction::Pull);
    assert!(Socket::open(place.hub.address(), &token).is_ok());
    drop(sockets);
    wait::until("a free socket", || {
        (upgrade(place.hub.address(), "/sync", &headers).status == 101).then_some(())
    });
}

#[test]
fn a_database_above_the_limit_is_refused() {
    let place = Place::of(options().env("FERRY_PAGES_MAX_DATABASE_BYTES", "1000000").start());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("app.db");
    sample::Shape::default().create(&file, 8000, 1);
    assert!(std::fs::metadata(&file).unwrap().len() > 1_000_000);
    let failure = place.try_push(&file).unwrap_err();
    assert!(failure.message().contains("1000000"), "the limit is named: {failure:?}");
    assert_eq!(place.user.seq(&place.database), 0);
    // A smaller one is welcome.
    let small = folder.path().join("small.db");
    sample::Shape::default().create(&small, 100, 1);
    place.push(&small);
}
