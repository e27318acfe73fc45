//! Byte budgets of tokens (TOK-14), on EdgeReplica's wire.

use std::path::Path;

use ferry_testkit::{
    edgereplica::{self, Failure},
    frames::Frame,
    sample::Shape,
    socket::{Event, Socket},
    token, wait,
};

use crate::support::{self, Place, control_db};

/// A place with a database of about 200 KB, and that file.
fn place(folder: &Path) -> Place {
    let place = Place::new();
    let file = folder.join("app.db");
    Shape::default().create(&file, 1_500, 1);
    place.push(&file);
    place
}

fn pull(place: &Place, token: &str, copy: &Path) -> Result<edgereplica::Report, Failure> {
    edgereplica::pull(place.hub.address(), token, copy)
}

fn assert_spent(place: &Place, token: &str) {
    support::assert_spent(&Socket::open(place.hub.address(), token).expect_err("the budget is spent"));
}

// Verifies: TOK-14
#[test]
fn a_running_session_ends_where_the_budget_does() {
    let folder = tempfile::tempdir().unwrap();
    let place = place(folder.path());
    let whole = pull(&place, &place.pull_token(), &folder.path().join("whole.db")).unwrap();
    let bytes = whole.moved.up + whole.moved.down;
    assert!(bytes > 100_000, "{whole:?}");

    // Enough for everything: both directions count, and nothing else.
    let enough = token::attenuate(&place.pull_token(), &[&format!("bpd={bytes}")]);
    pull(&place, &enough, &folder.path().join("enough.db")).unwrap();
    assert_spent(&place, &enough);

    // Not enough: an error, then the close, and not a byte more than allowed.
    let half = token::attenuate(&place.pull_token(), &[&format!("bpd={}", bytes / 2)]);
    let failure = pull(&place, &half, &folder.path().join("half.db")).unwrap_err();
    assert!(failure.message().contains("caveat bpd"), "{failure:?}");
    assert_spent(&place, &half);
}

// Verifies: TOK-14
#[test]
fn what_a_client_sends_counts_too() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::new();
    let file = folder.path().join("app.db");
    Shape::default().create(&file, 1_500, 1);
    let small = token::attenuate(&place.push_token(), &["bpd=60000"]);
    let failure = edgereplica::push(place.hub.address(), &small, &file).unwrap_err();
    assert!(failure.message().contains("caveat bpd"), "{failure:?}");
    assert_eq!(place.user.seq(&place.database), 0, "nothing of it is visible");
    assert_spent(&place, &small);
    place.push(&file);
}

// Verifies: TOK-14
#[test]
fn narrowing_further_opens_no_new_budget() {
    let folder = tempfile::tempdir().unwrap();
    let place = place(folder.path());
    let parent = place.pull_token();
    let budgeted = token::attenuate(&parent, &["bpd=50000"]);
    pull(&place, &budgeted, &folder.path().join("a.db")).unwrap_err();
    assert_spent(&place, &budgeted);
    for more in [&["bpd=50000"][..], &["bpd=1000000000"], &["op=read"], &["exp=99999999999", "bpd=9"]] {
        assert_spent(&place, &token::attenuate(&budgeted, more));
    }
    // The same caveat appended to the same token is the same budget; another one is another.
    assert_spent(&place, &token::attenuate(&parent, &["bpd=50000"]));
    let other = token::attenuate(&parent, &["bpd=1000000"]);
    pull(&place, &other, &folder.path().join("b.db")).unwrap();
    pull(&place, &parent, &folder.path().join("c.db")).unwrap();
    assert_spent(&place, &token::attenuate(&parent, &["bpd=0"]));
    // Two sockets share one budget.
    let shared = token::attenuate(&parent, &["bpd=40"]);
    let open = || Socket::open(place.hub.address(), &shared).unwrap();
    let (mut first, mut second) = (open(), open());
    first.send(&Frame::hello(0));
    assert!(!matches!(first.next(), Event::Frame(Frame::HelloReply { .. })), "its hello alone is more");
    second.send(&Frame::hello(0));
    assert_eq!(second.ending().code, 1013);
}

// Verifies: TOK-14
#[test]
fn counts_outlive_the_hub() {
    let folder = tempfile::tempdir().unwrap();
    let mut place = place(folder.path());
    let budgeted = token::attenuate(&place.pull_token(), &["bpd=50000"]);
    pull(&place, &budgeted, &folder.path().join("a.db")).unwrap_err();
    // An orderly end stores everything.
    place.hub.stop();
    let mut place = place.restarted();
    assert_spent(&place, &budgeted);

    // A crash forgets at most what was counted since the last store.
    let second = token::attenuate(&place.pull_token(), &["bpd=60000"]);
    pull(&place, &second, &folder.path().join("b.db")).unwrap_err();
    let database = control_db(&place.hub);
    let (took, ()) = wait::timed(|| {
        wait::until("the count on disk", || {
            let sql = "SELECT count(*) FROM token_usage WHERE bytes > 60000";
            let rows: u64 = database.query_row(sql, [], |row| row.get(0)).unwrap();
            (rows > 0).then_some(())
        });
    });
    assert!(took.as_secs() < 15, "stored after {took:?}");
    drop(database);
    place.hub.kill();
    let place = place.restarted();
    assert_spent(&place, &second);
    assert_spent(&place, &budgeted);
}
