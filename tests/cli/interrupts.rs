//! Ctrl-C while a push runs: the message afterwards is true.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Child, ChildStderr},
};

use ferry_testkit::{Hub, command::Ferry, command::finish, process, sample::Shape, wait};

use super::sync::{ada, run};
use crate::support::options;

/// Ada with a version at a hub that stops at a fault point of her next push, for as long as the file is there.
struct Stopped {
    hub: Hub,
    ada: Ferry,
    block: PathBuf,
}

impl Stopped {
    fn at(point: &str) -> Self {
        let hub = options().start();
        let ada = ada(&hub);
        Shape::default().create(&ada.file("app.db"), 6000, 1);
        ada.ok(&["push", "app.db", "app"]);
        run(&ada.file("app.db"), "UPDATE item SET price = price + 1");
        let block = hub.data_dir().with_file_name("block");
        let listen = format!("--listen={}", hub.address());
        let hub = hub
            .restart_with(|options| options.arg(listen).fault(format!("{point}=wait:{}", block.display())));
        Self { hub, ada, block }
    }

    /// Starts the push and waits until the hub stands at the point.
    fn push(&self) -> Child {
        let pushing = self.ada.spawn(&["push", "app.db", "app"]);
        wait::until("the hub to stand at the fault point", || self.block.exists().then_some(()));
        pushing
    }

    /// A push that was interrupted while the hub stands at the point: with what it says from then on.
    fn interrupted(&self) -> (Child, BufReader<ChildStderr>) {
        let mut pushing = self.push();
        let mut stderr = BufReader::new(pushing.stderr.take().unwrap());
        process::interrupt(&pushing);
        let line = next_line(&mut stderr);
        assert!(line.contains("waiting for what the hub says"), "{line}");
        (pushing, stderr)
    }

    fn go_on(&self) {
        fs::remove_file(&self.block).unwrap();
    }

    fn version(&self) -> String {
        let shown: serde_json::Value =
            serde_json::from_str(&self.ada.ok(&["db", "show", "app", "--json"])).unwrap();
        shown["seq"].to_string()
    }
}

fn next_line(from: &mut impl BufRead) -> String {
    let mut line = String::new();
    from.read_line(&mut line).unwrap();
    line
}

// It said "interrupted", whether the hub had the push or not.
// Verifies: PAG-71
#[test]
fn an_interrupt_during_a_commit_waits_for_the_answer() {
    let stopped = Stopped::at("push.begin");
    let before = stopped.version();
    let (pushing, _stderr) = stopped.interrupted();
    stopped.go_on();
    let error = finish(pushing);
    assert_eq!(error.code, Some(0), "{}", error.stdout);
    assert!(error.stdout.starts_with("pushed "), "{}", error.stdout);
    assert_ne!(stopped.version(), before);
    assert!(stopped.ada.ok(&["push", "app.db"]).starts_with("up to date"));
}

// Verifies: PAG-71
#[test]
fn a_second_interrupt_exits_at_once_and_says_that_the_push_may_be_committed() {
    let stopped = Stopped::at("push.begin");
    let before = stopped.version();
    let (pushing, mut stderr) = stopped.interrupted();
    process::interrupt(&pushing);
    let line = next_line(&mut stderr);
    assert!(line.contains("the hub is about to have it; push again"), "{line}");
    assert_eq!(finish(pushing).code, Some(130));
    stopped.go_on();
    wait::until("the push to be committed", || (stopped.version() != before).then_some(()));
    assert!(stopped.ada.ok(&["push", "app.db"]).starts_with("up to date"));
}

// Verifies: PAG-71
#[test]
fn an_interrupt_during_the_transfer_leaves_the_hub_unchanged() {
    let stopped = Stopped::at("stage.write");
    let before = stopped.version();
    // More than the connection takes while the hub stands still, and nothing that could be compressed.
    run(
        &stopped.ada.file("app.db"),
        "CREATE TABLE large(a); INSERT INTO large VALUES (randomblob(40000000))",
    );
    let pushing = stopped.push();
    process::interrupt(&pushing);
    let error = finish(pushing);
    assert_eq!(error.code, Some(130), "{}", error.stderr);
    assert!(error.stderr.contains("the hub keeps its version"), "{}", error.stderr);
    stopped.go_on();
    assert_eq!(stopped.version(), before);
    let Stopped { hub, ada, .. } = stopped;
    let _hub = hub.restart_with(|options| options);
    assert!(ada.ok(&["push", "app.db"]).starts_with("pushed "));
}

// It said that the hub was about to have it, long after the push.
// Verifies: PAG-71
#[test]
fn an_interrupt_of_an_idle_watch_claims_no_push() {
    let hub = options().start();
    let ada = ada(&hub);
    Shape::default().create(&ada.file("app.db"), 50, 1);
    let mut watching = ada.spawn(&["push", "app.db", "app", "--watch"]);
    let mut stdout = BufReader::new(watching.stdout.take().unwrap());
    let told = next_line(&mut stdout);
    assert!(told.starts_with("pushed 1-"), "{told}");
    process::interrupt(&watching);
    let ended = finish(watching);
    assert_eq!(ended.code, Some(130), "{}", ended.stderr);
    assert!(ended.stderr.contains("nothing was under way"), "{}", ended.stderr);
    assert!(!ended.stderr.contains("about to"), "{}", ended.stderr);
}
