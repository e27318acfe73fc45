//! Small frames are acknowledged without delay.

use std::time::Duration;

use ferry_testkit::{
    edgereplica,
    frames::Frame,
    sample::Shape,
    socket::{Event, Socket},
    wait,
};

use crate::support::Place;

/// How long Linux puts an acknowledgement off at least.
const DELAYED: Duration = Duration::from_millis(40);

/// Announces all pages, which the hub has, and gets the answer that none is wanted.
fn push_nothing(socket: &mut Socket, pages: &[Vec<u8>]) {
    for (number, page) in (1..).zip(pages) {
        socket.send(&Frame::page_hash(number, page));
    }
    socket.send(&Frame::Complete);
    let complete = socket.next();
    assert!(matches!(complete, Event::Frame(Frame::SyncComplete { .. })), "{complete:?}");
}

/// EdgeReplica's client writes frame by frame and leaves Nagle's algorithm on, so that each frame waits for the hub to
/// acknowledge the one before; the hub, which has nothing to answer, put that off for 40 ms and more: a push of nothing
/// took 49 ms, one of a row 134.
#[cfg(target_os = "linux")]
#[test]
fn frames_are_acknowledged_at_once() {
    let place = Place::new();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("app.db");
    Shape::default().create(&file, 50, 1);
    place.push(&file);
    let (token, pages) = (place.push_token(), edgereplica::pages(&file));
    // On a busy machine it may take some attempts; with an acknowledgement put off, none is enough.
    wait::until("a push of nothing that waits for no acknowledgement", || {
        let mut socket = edgereplica::connect(place.hub.address(), &token).unwrap();
        socket.send(&Frame::hello(u32::try_from(pages.len()).unwrap()));
        assert!(matches!(socket.next(), Event::Frame(Frame::HelloReply { .. })));
        let (took, ()) = wait::timed(|| push_nothing(&mut socket, &pages));
        (took < DELAYED).then_some(())
    });
}
