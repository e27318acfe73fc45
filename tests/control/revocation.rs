//! Logging out ends what the session minted, at once and for good.

use ferry_testkit::{
    Direction, Session,
    frames::Frame,
    rpc::{FERRY, call},
    socket::{Event, Socket},
    wait,
};
use serde_json::json;

use crate::support::{Place, refused};

fn open(place: &Place, token: &str) -> Socket {
    let mut socket = Socket::open(place.hub.address(), token).unwrap();
    socket.send(&Frame::hello(0));
    assert!(matches!(socket.next(), Event::Frame(Frame::HelloReply { .. })));
    socket
}

/// A session whose token has expired since.
fn open_with_expired(place: &Place) -> Socket {
    let request = json!({"databaseId": place.database, "direction": "DIRECTION_PULL", "ttlSeconds": "4"});
    let answer = place.user.edgereplica("IssueSyncToken", &request).unwrap();
    let token = answer["token"].as_str().unwrap();
    let socket = open(place, token);
    wait::until("the token's expiry", || Socket::open(place.hub.address(), token).is_err().then_some(()));
    socket
}

// Verifies: TOK-12, TOK-13, PAG-16
#[test]
fn logging_out_ends_the_sessions_tokens_and_sockets() {
    let mut place = Place::new();
    let other = Session::login(place.hub.address(), &place.user.email);
    let (own, others) = (place.pull_token(), other.sync_token(&place.database, Direction::Pull));
    let mut sockets: Vec<Socket> = (0..20).map(|_| open(&place, &own)).collect();
    let mut spared = open(&place, &others);

    place.user.ferry("RevokeSession", &json!({})).unwrap();
    let (took, endings) = wait::timed(|| sockets.iter_mut().map(Socket::ending).collect::<Vec<_>>());
    for ending in endings {
        assert_eq!((ending.code, ending.reason.as_str()), (1008, "token revoked"), "{ending:?}");
    }
    assert!(took < wait::PROMPT, "closed after {took:?}");
    refused(place.user.ferry("Whoami", &json!({})), "unauthenticated");
    assert_eq!(Socket::open(place.hub.address(), &own).unwrap_err().status, 401);
    // The other device goes on.
    spared.send(&Frame::Complete);
    assert_eq!(spared.ending().code, 1000);
    other.ferry("Whoami", &json!({})).unwrap();

    // The answer was given, so a crash changes nothing.
    place.hub.kill();
    let place = place.restarted();
    assert_eq!(Socket::open(place.hub.address(), &own).unwrap_err().status, 401);
    refused(
        call(place.hub.address(), FERRY, "Whoami", &json!({}), Some(&place.user.token)),
        "unauthenticated",
    );
    assert!(Socket::open(place.hub.address(), &others).is_ok());
}

// Verifies: TOK-12
#[test]
fn sync_tokens_may_outlive_their_session() {
    let place = Place::new();
    let token = place.pull_token();
    place.user.ferry("RevokeSession", &json!({"keepSyncTokens": true})).unwrap();
    refused(place.user.ferry("Whoami", &json!({})), "unauthenticated");
    assert!(Socket::open(place.hub.address(), &token).is_ok());
}

// Verifies: TOK-12
#[test]
fn a_session_ends_only_sessions_of_its_user() {
    let place = Place::new();
    let stranger = place.hub.signup("eve@example.com");
    let whoami = place.user.ferry("Whoami", &json!({})).unwrap();
    let id = whoami["whoami"]["sessionId"].as_str().unwrap();
    refused(stranger.ferry("RevokeSession", &json!({"sessionId": id})), "not_found");
    place.user.ferry("Whoami", &json!({})).unwrap();
}

// Verifies: TOK-12, PAG-16
#[test]
fn a_token_that_has_expired_is_revoked_all_the_same() {
    let place = Place::new();
    let mut socket = open_with_expired(&place);
    place.user.ferry("RevokeSession", &json!({})).unwrap();
    let (took, ending) = wait::timed(|| socket.ending());
    assert_eq!((ending.code, ending.reason.as_str()), (1008, "token revoked"), "{ending:?}");
    assert!(took < wait::PROMPT, "closed after {took:?}");
}

// Verifies: TOK-13, PAG-16
#[test]
fn a_running_session_outlives_its_expiry_by_a_minute_at_most() {
    let place = Place::new();
    let mut socket = open_with_expired(&place);
    // Still served: the next wrong frame is answered by its own rule, not by the expiry.
    let (took, ending) = wait::timed(|| {
        let limit = std::time::Duration::from_secs(90);
        socket.set_read_timeout(limit);
        socket.ending_before(&wait::Deadline::later("the end of the minute of grace", limit))
    });
    assert_eq!((ending.code, ending.reason.as_str()), (1008, "token expired"), "{ending:?}");
    assert!((50..70).contains(&took.as_secs()), "closed {took:?} after the expiry");
}
