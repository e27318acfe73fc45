//! The documentation is correct: every command in README.md and docs/ is run, in the order of its page, every
//! configuration is started with, and every command or setting that the prose names exists.

mod fixtures;
mod links;
mod markdown;
mod names;

use std::path::Path;

use ferry_testkit::{
    Hub,
    command::{Ferry, Output},
    rpc::PASSWORD,
};

use crate::{
    packaging::made_archive,
    support::{FERRY, hub, options},
};
use fixtures::{FIXTURES, Fixture};
use markdown::{Page, pages};

/// What stands before the commands of a page.
const PRELUDE: &str = include_str!("prelude.sh");

/// What a fence may hold. Whatever a shell runs stands in `sh`, where it is found and run.
const LANGUAGES: [&str; 5] = ["sh", "toml", "ts", "json", ""];

fn page(name: &str) -> Page {
    pages().into_iter().find(|page| page.name == name).expect("the page is there")
}

#[test]
fn every_page_with_commands_is_run() {
    for page in pages() {
        for fence in page.fences() {
            assert!(LANGUAGES.contains(&fence.language), "{}: a fence of {:?}", page.name, fence.language);
            let commands = ["ferry ", "$ ", "curl ", "./"];
            let is_command = |line: &str| commands.iter().any(|command| line.starts_with(command));
            assert!(
                !fence.language.is_empty() || !fence.text.lines().any(is_command),
                "{}: commands stand in ```sh, so that they are run:\n{}",
                page.name,
                fence.text
            );
        }
        let has_fixture = FIXTURES.iter().any(|fixture| fixture.page == page.name);
        assert_eq!(
            !page.blocks("sh").is_empty(),
            has_fixture,
            "{}: it has commands exactly if it has a fixture",
            page.name
        );
    }
}

/// The commands of a page as one script: replaced where the fixture says so, what never ends put aside.
fn script(fixture: &Fixture) -> String {
    let mut commands = page(fixture.page).blocks("sh").join("\n");
    for (written, run) in fixture.instead {
        assert!(commands.contains(written), "{}: nothing says {written:?} any more", fixture.page);
        commands = commands.replace(written, run);
    }
    let put_aside = |line: &str| {
        let (command, is_beside) =
            line.split_once(" &  ").map_or((line, line.ends_with(" &")), |(c, _)| (c, true));
        if command.contains(" --detach ") {
            format!("detached {line}")
        } else if is_beside {
            // As a reader pastes it: nothing waits for it but the page.
            format!("{} & started=\"$started $!\"", command.trim_end_matches(" &"))
        } else if line.starts_with("ferry serve") {
            format!("serving {line}")
        } else if line.contains(" --follow") {
            line.replacen("ferry ", "first_line ferry ", 1)
        } else {
            line.to_owned()
        }
    };
    let lines: Vec<String> = commands.lines().map(put_aside).collect();
    format!("{PRELUDE}set -x\n{}\n", lines.join("\n"))
}

/// What is left when a page has been followed.
struct Followed {
    /// The reader, logged in to a hub that still runs.
    ferry: Ferry,
    output: Output,
    _hub: Hub,
}

/// Follows a page beside a hub on which `you@example.com` is logged in.
fn follow(name: &str) -> Followed {
    follow_with(name, Path::new(FERRY).parent().expect("the binary lies in a folder"))
}

/// The same with the `ferry` of `folder`.
fn follow_with(name: &str, folder: &Path) -> Followed {
    let fixture = FIXTURES.iter().find(|fixture| fixture.page == name).expect("the page has a fixture");
    let hub = hub();
    let ferry = Ferry::new(FERRY, &hub.url()).env("FERRY_PASSWORD", PASSWORD);
    ferry.signup("you@example.com");
    (fixture.prepare)(&ferry);
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap_or_default());
    let shell = ferry
        .clone()
        .program("bash")
        .env("PATH", &path)
        .env("PREPARED", &hub.url())
        .env("FERRY_NEW_PASSWORD", PASSWORD)
        .env("FERRY_RATE_LIMIT_SCALE", "0")
        .env("FERRY_LISTEN", "127.0.0.1:0");
    let output = shell.run(&["-c", &script(fixture)]);
    assert_eq!(output.code, Some(0), "{name}:\n{}\n{}", output.stdout, output.stderr);
    Followed { ferry, output, _hub: hub }
}

fn size(ferry: &Ferry, name: &str) -> u64 {
    ferry.file(name).metadata().unwrap_or_else(|error| panic!("{name}: {error}")).len()
}

// Verifies: CLI-01
#[test]
fn the_readme_can_be_followed() {
    the_readme_is_followed(&follow("README.md"));
}

/// With nothing but what the archive holds.
// Verifies: OPR-73
#[test]
fn the_readme_can_be_followed_with_the_archive() {
    let Some(made) = made_archive() else { return };
    let empty = tempfile::tempdir().unwrap();
    let unpack = "tar -xzf \"$0\"/made/ferry-*.tar.gz && mv ferry-* ferry";
    let mut shell = std::process::Command::new("bash");
    assert!(shell.arg("-euc").arg(unpack).arg(made).current_dir(empty.path()).status().unwrap().success());
    the_readme_is_followed(&follow_with("README.md", &empty.path().join("ferry/bin")));
}

// Verifies: OPR-73
#[test]
fn the_page_of_installing_can_be_followed() {
    if made_archive().is_none() {
        return;
    }
    let followed = follow("docs/install.md");
    let told = &followed.output.stdout;
    assert!(
        told.contains("/installed/bin") && told.contains("removed from ") && told.contains("\nferry "),
        "{told}"
    );
}

// Verifies: OPR-77
#[test]
fn the_pages_of_upgrading_and_watching_can_be_followed() {
    let told = follow("docs/upgrade.md").output.stdout;
    assert!(told.contains("control.db\tnothing to do"), "{told}");
    follow("docs/watch.md");
}

fn the_readme_is_followed(followed: &Followed) {
    for copy in ["copy.db", "bobs.db"] {
        assert_eq!(size(&followed.ferry, copy), size(&followed.ferry, "notes.db"), "{copy}");
    }
    let told = &followed.output.stdout;
    assert!(told.contains("\t\"Buy milk\"\t\"Buy tea\"") && told.contains("resolved cf-"), "{told}");
    assert!(told.contains("\"title\":\"Buy milk\""), "what was resolved at a is seen at b: {told}");
}

// Verifies: OPR-10, OPR-20
#[test]
fn the_page_of_backups_can_be_followed() {
    let followed = follow("docs/backup.md");
    let told = &followed.output.stdout;
    assert!(told.contains("ok\tcontrol\t") && told.contains("\tok\t"), "{told}");
    assert!(followed.ferry.file("restored").join("control.db").exists());
    assert!(followed.ferry.file("notes.db").exists());
}

// Verifies: OPS-25
#[test]
fn the_page_of_ops_can_be_followed() {
    let told = follow("docs/ops.md").output.stdout;
    assert!(told.contains("\t\"Buy milk\"\t\"Buy tea\"") && told.contains("mode: spoke"), "{told}");
}

// Verifies: PAG-68, PAG-69
#[test]
fn the_page_of_files_can_be_followed() {
    let followed = follow("docs/pages.md");
    for copy in ["copy.db", "live.db"] {
        assert!(size(&followed.ferry, copy) >= size(&followed.ferry, "notes.db"), "{copy}");
    }
    let told = &followed.output.stdout;
    assert!(
        told.contains("root is the hub's; integrity check: ok") && told.contains("restored notes as "),
        "{told}"
    );
}

// Verifies: TOK-01, TOK-12, CLI-08
#[test]
fn the_page_of_attenuated_tokens_can_be_followed() {
    let followed = follow("docs/attenuated-tokens.md");
    let script = page("docs/attenuated-tokens.md").blocks("sh").join("\n");
    let promised: Vec<&str> =
        script.split("|| echo \"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert!(promised.len() >= 4, "{promised:?}");
    let reply: Vec<&str> =
        followed.output.stdout.lines().filter(|line| line.starts_with("refused: ")).collect();
    assert_eq!(reply, promised, "{:?}", followed.output);
    for copy in ["copy.db", "backup.db"] {
        assert_eq!(size(&followed.ferry, copy), size(&followed.ferry, "notes.db"), "{copy}");
    }
    assert!(!followed.ferry.file("stolen.db").exists());
}

// Verifies: EVT-46
#[test]
fn the_page_of_events_can_be_followed() {
    let followed = follow("docs/events.md");
    // Once as it was made, once in the other database, and the worker's log.
    assert!(
        followed.output.stdout.contains("imported 1 events into my-store: head 1"),
        "{:?}",
        followed.output
    );
    assert!(
        followed.output.stdout.contains("imported 2 events into team-7: head 4"),
        "{:?}",
        followed.output
    );
    assert!(followed.ferry.ok(&["events", "tail", "app", "--store", "my-store"]).contains("v1.Paid"));
}

#[test]
fn the_page_of_proxies_can_be_followed() {
    follow("docs/proxies.md");
}

#[test]
fn the_page_of_records_can_be_followed() {
    let followed = follow("docs/records.md");
    assert!(std::fs::read_to_string(followed.ferry.file("records.ndjson")).unwrap().contains("7f3a"));
}

// Verifies: CFG-02, TOK-12
#[test]
fn the_page_of_securing_a_hub_can_be_followed() {
    let followed = follow("docs/securing-a-hub.md");
    assert!(
        followed.output.stdout.contains("password changed")
            && followed.output.stdout.contains("account deleted"),
        "{:?}",
        followed.output
    );
}

#[test]
fn a_hub_starts_with_every_configuration_that_is_shown() {
    for page in pages() {
        for block in page.blocks("toml") {
            let hub = options().start();
            let user = hub.signup("you@example.com");
            for name in ["main", "archive"] {
                user.create_database(name);
            }
            let file = hub.data_dir().with_file_name("ferry.toml");
            // The disk for backups, which no machine of tests has.
            let block =
                block.replace("/mnt/backups/", &format!("{}/", hub.data_dir().with_file_name("").display()));
            std::fs::write(&file, &block).unwrap();
            let secrets = ["FERRY_GITHUB_CLIENT_SECRET", "FERRY_GOOGLE_CLIENT_SECRET"];
            let hub = hub.restart_with(|mut options| {
                for name in secrets {
                    options = options.env(name, "a secret");
                }
                options.arg("--config").arg(file.display().to_string())
            });
            assert!(!hub.log().contains("\"ERROR\""), "{}:\n{block}\n{}", page.name, hub.log());
        }
    }
}
