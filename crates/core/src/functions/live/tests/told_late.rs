//! Who shows too much, was away, or could not be sent a result.

use super::*;

// A page that showed more than it may hold asked for all of it again, was told of what went then, and asked again, for ever.
// Verifies: FUN-23
#[test]
fn a_page_that_shows_too_much_is_told_of_each_commit_once_and_does_not_ask_for_ever() {
    let mut live = Live::new(Seq(0), LIMITS);
    live.connect(&"s".into(), SocketId(1), 0);
    let shows_all = |live: &mut Live, seq: u64, now_ms: u64| {
        for number in 0..10 {
            live.register(registration("s", &format!("f{number}"), &["t"], 1, seq), now_ms);
        }
    };
    shows_all(&mut live, 0, 0);
    assert_eq!(told(&mut live, 100), [(1, vec!["t".to_owned()], 0)]);
    for now_ms in [1000, 2000, 3000] {
        shows_all(&mut live, 0, now_ms);
        assert_eq!(told(&mut live, now_ms + 900), []);
    }
    live.committed(Seq(1), &writes(&["t"]), &[], 5000);
    run(&mut live, &["t"], 2, 1, 5001);
    assert_eq!(told(&mut live, 5000 + 2 * EDGEPOD_GRACE_MS), [(1, vec!["t".to_owned()], 1)]);
    shows_all(&mut live, 1, 6000);
    assert_eq!(told(&mut live, 6900), []);
    live.committed(Seq(2), &writes(&["u"]), &[], 7000);
    assert_eq!(told(&mut live, 7900), []);
    live.disconnect(SocketId(1), 8000);
    live.take_outputs(8000 + SESSION_LINGER_MS);
    assert!(live.is_empty() && live.sessions.crowded_tables().is_empty());
}

// Verifies: FUN-25, FUN-29
#[test]
fn sessions_of_before_a_file_was_put_back_are_told_when_they_connect() {
    let mut before = Live::new(Seq(0), LIMITS);
    before.connect(&"s".into(), SocketId(1), 0);
    before.connect(&"shows nothing".into(), SocketId(2), 0);
    before.register(registration("s", "f", &["t"], 1, 0), 0);
    before.register(registration("s", "g", &["t", "u"], 1, 0), 0);
    let mut after = Live::new(Seq(9), LIMITS);
    after.connect(&"early".into(), SocketId(3), 10);
    after.expect(before.shown(), Seq(9), 10);
    assert_eq!(told(&mut after, 500), []);
    after.connect(&"s".into(), SocketId(4), 1000);
    assert_eq!(told(&mut after, 1000), [(4, vec!["t".to_owned(), "u".to_owned()], 9)]);
}

// A client that was told to fetch, and did, was told later that what it had named at first was so again.
// Verifies: FUN-36
#[test]
fn after_a_result_could_not_be_sent_none_is_the_same() {
    let mut live = Live::new(Seq(0), LIMITS);
    live.connect(&"s".into(), SocketId(1), 0);
    live.subscribe(SocketId(1), &"a".into(), key("f"), Some(7), ());
    let (query, ..) = live.take_due().remove(0);
    live.not_run(query, None, 0);
    live.committed(Seq(1), &writes(&["t"]), &[], 10);
    live.subscribe(SocketId(1), &"b".into(), key("f"), Some(7), ());
    let (query, ..) = live.take_due().remove(0);
    let outputs = live.evaluated(query, &evaluated(&["t"], 7, 1), 20).outputs;
    let sent = |id: &str, same| LiveOutput::Result { socket: SocketId(1), id: id.into(), same };
    assert!(outputs.contains(&sent("a", false)) && outputs.contains(&sent("b", true)), "{outputs:?}");
}
