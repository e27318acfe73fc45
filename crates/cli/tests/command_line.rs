//! The command line where no hub is needed: mistakes, exit codes, files of settings.

#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

use std::{
    io::Write as _,
    net::TcpListener,
    path::Path,
    process::{Command, Output, Stdio},
};

/// Where nothing listens: port 1 is reserved and unused.
const NOWHERE: &str = "http://127.0.0.1:1";

struct Bench(tempfile::TempDir);

impl Bench {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn dir(&self) -> &Path {
        self.0.path()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ferry"));
        command.args(arguments).current_dir(self.dir()).stdin(Stdio::null());
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if text.starts_with("FERRY_") || text.starts_with("EDGEREPLICA_") {
                command.env_remove(&name);
            }
        }
        command.env("FERRY_CONFIG_DIR", self.dir().join("settings"));
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    fn log_in(&self) {
        let text =
            format!("[servers.\"{NOWHERE}\".session]\ntoken = \"t0ken-of-nowhere\"\nemail = \"a@b\"\n");
        std::fs::create_dir_all(self.dir().join("settings")).unwrap();
        std::fs::write(self.dir().join("settings/credentials.toml"), text).unwrap();
    }
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// The error document on stderr.
fn error(output: &Output) -> serde_json::Value {
    let document: serde_json::Value = serde_json::from_slice(&output.stderr).expect("one JSON document");
    document["error"].clone()
}

// Verifies: CLI-01
#[test]
fn a_mistyped_command_suggests_the_one_that_was_meant() {
    let bench = Bench::new();
    let output = bench.run(&["psuh", "notes.db"]);
    assert_eq!(code(&output), 2);
    assert!(stderr(&output).contains("'push'"), "{}", stderr(&output));
    assert!(output.stdout.is_empty());
}

// Verifies: CLI-02
#[test]
fn errors_are_json_where_json_was_asked_for() {
    let bench = Bench::new();
    let usage = bench.run(&["--json", "db", "token", "notes"]);
    assert_eq!((code(&usage), error(&usage)["code"].as_str()), (2, Some("usage")));
    let unreachable = bench
        .command(&["db", "list", "--json", "--server", NOWHERE])
        .env("FERRY_TOKEN", "t")
        .output()
        .unwrap();
    assert_eq!(code(&unreachable), 7);
    let message = error(&unreachable);
    assert_eq!(
        (message["code"].as_str(), message["reason"].as_str()),
        (Some("unreachable"), Some("UNREACHABLE"))
    );
    assert!(unreachable.stdout.is_empty());
}

// Verifies: CLI-01
#[test]
fn an_unreachable_hub_says_how_to_start_one() {
    let bench = Bench::new();
    bench.log_in();
    for arguments in [&["whoami"][..], &["db", "list"], &["sync", "pull", "--db", "x.db", "--token", "t"]] {
        let output = bench.command(arguments).env("FERRY_SERVER", NOWHERE).output().unwrap();
        assert_eq!(code(&output), 7, "{arguments:?}");
        let text = stderr(&output);
        assert!(text.starts_with("error: ") && text.contains("start one with: ferry serve"), "{text}");
        assert!(!text.contains("t0ken"), "{text}");
    }
    assert!(!bench.dir().join("x.db").exists());
}

// Verifies: CLI-01, CLI-04
#[test]
fn a_login_at_one_hub_is_none_at_another() {
    let bench = Bench::new();
    bench.log_in();
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", other.local_addr().unwrap());
    let output = bench.run(&["whoami", "--server", &address]);
    assert_eq!(code(&output), 3, "{}", stderr(&output));
    assert!(stderr(&output).contains("ferry login"), "{}", stderr(&output));
    // Where nobody listens, a login would not help.
    let nobody = bench.run(&["whoami", "--server", "http://127.0.0.1:2"]);
    assert_eq!(code(&nobody), 7, "{}", stderr(&nobody));
    assert!(!stderr(&nobody).contains("ferry login"), "{}", stderr(&nobody));
}

// Verifies: CLI-03
#[test]
fn without_a_terminal_nothing_is_asked() {
    let bench = Bench::new();
    for command in ["login", "signup"] {
        let output = bench.run(&[command, "a@b", "--server", NOWHERE]);
        assert_eq!(code(&output), 2);
        assert!(stderr(&output).contains("FERRY_PASSWORD"), "{}", stderr(&output));
    }
    let empty = bench.run(&["login", "a@b", "--server", NOWHERE, "--password-stdin"]);
    assert_eq!(code(&empty), 2, "{}", stderr(&empty));
}

// Verifies: CLI-03
#[test]
fn the_password_comes_from_stdin_then_the_environment_and_is_never_repeated() {
    let bench = Bench::new();
    for variable in ["FERRY_PASSWORD", "EDGEREPLICA_PASSWORD"] {
        let output = bench
            .command(&["login", "a@b", "--server", NOWHERE])
            .env(variable, "pass-word-1")
            .output()
            .unwrap();
        assert_eq!(code(&output), 7, "the password was found: {}", stderr(&output));
        assert!(!stderr(&output).contains("pass-word"));
    }
    let mut child = bench
        .command(&["login", "a@b", "--server", NOWHERE, "--password-stdin"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"pass-word-2\r\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(code(&output), 7);
    assert!(!stderr(&output).contains("pass-word"));
}

// Verifies: CLI-09
#[test]
fn a_deletion_without_terminal_needs_a_yes() {
    let bench = Bench::new();
    bench.log_in();
    let output = bench.run(&["db", "delete", "notes", "--server", NOWHERE]);
    assert_eq!(code(&output), 2, "refused before the hub is asked");
    assert!(stderr(&output).contains("--yes"), "{}", stderr(&output));
    assert_eq!(code(&bench.run(&["db", "delete", "notes", "--server", NOWHERE, "--yes"])), 7);
}

// Verifies: PAG-70
#[test]
fn a_file_that_is_no_database_is_told_before_the_hub_is_asked() {
    let bench = Bench::new();
    bench.log_in();
    std::fs::write(bench.dir().join("notes.db"), "x".repeat(8192)).unwrap();
    for file in ["notes.db", "missing.db"] {
        let output = bench.run(&["push", file, "notes", "--server", NOWHERE]);
        assert_eq!(code(&output), 10, "{}", stderr(&output));
    }
}

// Verifies: CLI-05
#[test]
fn wrong_settings_are_named() {
    let bench = Bench::new();
    bench.log_in();
    let env = bench.command(&["whoami"]).env("FERRY_SERVER", "localhost:8787").output().unwrap();
    assert_eq!(code(&env), 78);
    assert!(stderr(&env).contains("FERRY_SERVER"), "{}", stderr(&env));
    assert_eq!(code(&bench.run(&["whoami", "--server", "localhost:8787"])), 2);
    let profile = bench.run(&["whoami", "--profile", "nope"]);
    assert!(code(&profile) == 78 && stderr(&profile).contains("nope"), "{}", stderr(&profile));
    std::fs::write(
        bench.dir().join("settings/config.toml"),
        format!("profile='p'\n[profiles.p]\nserver='{NOWHERE}'"),
    )
    .unwrap();
    assert_eq!(code(&bench.run(&["whoami"])), 7, "the profile's hub is asked");
}

#[test]
fn every_shell_gets_completions() {
    let bench = Bench::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = bench.run(&["completions", shell]);
        assert_eq!(code(&output), 0);
        let script = String::from_utf8(output.stdout).unwrap();
        assert!(script.contains("ferry") && script.contains("clone"), "{shell}");
    }
}

#[test]
fn help_and_version_are_no_errors() {
    let bench = Bench::new();
    for arguments in [&["--help"][..], &["help", "push"], &["--version"], &["db", "token", "--help"]] {
        let output = bench.run(arguments);
        assert_eq!(code(&output), 0, "{arguments:?}");
        assert!(!output.stdout.is_empty() && output.stderr.is_empty());
    }
}

/// Codes are random: one of 64 begins with a hyphen.
#[test]
fn a_code_that_begins_with_a_hyphen_is_taken() {
    let bench = Bench::new();
    for arguments in [
        &["password", "reset", "a@example.com", "--code", "-MlmHj"][..],
        &["invite", "accept", "-MlmHj"],
        &["account", "verify", "-MlmHj"],
        &["signup", "a@example.com", "--invite", "-MlmHj"],
        &["oauth", "complete", "--state", "-x", "--code", "-MlmHj"],
    ] {
        let output = bench
            .command(&[arguments, &["--server", NOWHERE]].concat())
            .env("FERRY_PASSWORD", "a long password")
            .env("FERRY_NEW_PASSWORD", "a long password")
            .output()
            .unwrap();
        assert!(!stderr(&output).contains("unexpected argument"), "{arguments:?}: {}", stderr(&output));
        assert_ne!(code(&output), 0, "{arguments:?}");
    }
}
