//! Notification sockets.

use std::time::Duration;

use ferry_testkit::{
    records::{NewsSocket, Said},
    wait,
};
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

use super::{Records, insert};

fn news(app: &str, tables: &[&str]) -> Said {
    Said::Message(json!({"type": "sync-available", "appId": app, "tables": tables}))
}

// Every socket was closed within ten milliseconds. Acceptance scenario 12, with pings each second: silence of three
// ends a socket.
// Verifies: REC-21
#[test]
fn other_devices_are_notified_and_the_writer_is_not() {
    let records = Records::with(&["--records-ping-seconds=1"]);
    let mut writer = records.socket("/ws", "a");
    let mut other = records.socket("/ws/todo", "b");
    let mut elsewhere = records.socket("/ws/shop", "b");
    records.push("a", "", &json!([insert("tasks", "t1", "x"), insert("notes", "n1", "x")]));
    assert_eq!(other.said(), news("todo", &["notes", "tasks"]));
    for quiet in [&mut writer, &mut elsewhere] {
        quiet.send(&json!({"type": "ping"}));
        assert_eq!(quiet.said(), Said::Message(json!({"type": "pong"})));
    }
    // They live on over several pings of the hub, which the client's library answers while it reads.
    for _ in 0..10 {
        for socket in [&mut other, &mut writer] {
            assert_eq!(socket.next_within(Duration::from_millis(250)), Said::Nothing);
        }
    }
    records.push("c", "", &json!([insert("tasks", "t2", "x")]));
    assert_eq!((other.said(), writer.said()), (news("todo", &["tasks"]), news("todo", &["tasks"])));
}

#[test]
fn bad_sockets_are_closed_with_a_reason() {
    let records = Records::new();
    let error = |text: &str| Said::Message(json!({"type": "error", "tables": [text]}));
    for (auth, text) in [
        (json!({"type": "auth"}), "missing token"),
        (json!({"type": "auth", "token": ""}), "missing token"),
        (json!({"type": "auth", "token": "nonsense"}), "invalid token"),
    ] {
        let mut socket = NewsSocket::open(records.address(), "/ws", &[]);
        socket.send(&auth);
        assert_eq!((socket.said(), socket.said()), (error(text), Said::Closed(1008)), "{auth}");
    }
    let mut silent = NewsSocket::open(records.address(), "/ws", &[]);
    let mut binary = records.socket("/ws", "a");
    binary.send_raw(Message::binary(vec![1]));
    assert_eq!(binary.said(), Said::Closed(1003));
    let mut large = records.socket("/ws", "a");
    large.send_raw(Message::text("x".repeat(33 << 10)));
    assert_eq!(large.said(), Said::Closed(1009));
    assert_eq!((silent.said(), silent.said()), (error("auth timeout"), Said::Closed(1008)));
}

// Verifies: REC-21
#[test]
fn a_peer_that_answers_no_ping_is_closed() {
    let records = Records::with(&["--records-ping-seconds=1"]);
    // Nothing is read from it, so that its library answers nothing.
    let mut silent = records.socket("/ws", "a");
    let connections = || {
        let metrics = ferry_testkit::http::get(records.address(), "/metrics").unwrap().text();
        metrics
            .lines()
            .find(|line| line.starts_with("ferry_connections{model=\"records\"}"))
            .map(str::to_owned)
    };
    assert!(connections().is_some_and(|line| line.ends_with(" 1")), "{:?}", connections());
    wait::until("the hub to end the socket", || connections().filter(|line| line.ends_with(" 0")));
    assert_eq!(silent.said(), Said::Lost);
}

// Verifies: REC-31
#[test]
fn a_socket_ends_with_its_credential() {
    let records = Records::new();
    let short = super::token_for(&records.place, &["read"], &[], 2);
    let mut socket = NewsSocket::open(records.address(), "/ws", &[]);
    socket.send(&json!({"type": "auth", "token": short}));
    assert_eq!(socket.said(), Said::Message(json!({"type": "auth-ok"})));
    assert_eq!(socket.said(), Said::Message(json!({"type": "error", "tables": ["invalid token"]})));
    assert_eq!(socket.said(), Said::Closed(1008));
}

// Verifies: REC-31
#[test]
fn a_revoked_socket_is_closed() {
    let records = Records::new();
    let mut socket = records.socket("/ws", "a");
    let request = json!({"database": records.place.database});
    records.place.user.ferry("RevokeDatabaseTokens", &request).unwrap();
    assert_eq!(socket.said(), Said::Message(json!({"type": "error", "tables": ["invalid token"]})));
    assert_eq!(socket.said(), Said::Closed(1008));
}
