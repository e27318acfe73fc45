//! Rules over the text of the sources.

use super::{Text, report, texts};

/// Longest file, in lines. A cap for what nobody looked at, not a measure of an idea: at a cap of 500 files were cut in the
/// middle of an `impl`, and functions of 71 lines in two, to pass. From 500 lines on, or 70 of a function, it is for a
/// reviewer to ask whether there are two ideas; clippy's own limit of a function (100) is the cap of those.
const LINES_MAX: usize = 800;

#[test]
fn no_file_is_longer_than_anybody_reads() {
    let sources = texts().into_iter().filter(Text::is_rust);
    let lengths = sources.map(|file| (file.content.lines().count(), file.path));
    let findings: Vec<String> = lengths
        .filter(|(lines, _)| *lines > LINES_MAX)
        .map(|(lines, path)| format!("{path}: {lines} lines"))
        .collect();
    report("files above 800 lines: they hold several ideas; give each a file", &findings);
}

#[test]
fn unwrap_stands_only_in_tests() {
    let findings = code_lines(|in_tests, code| !in_tests && code.contains(".unwrap()"));
    report("unwrap() outside tests: return the error, or expect(\"BUG: …\") what cannot happen", &findings);
}

#[test]
fn unsafe_stands_in_one_file_and_gives_its_reason() {
    const HOME: &str = "crates/sqlite/src/ffi.rs";
    let is_unsafe = |code: &str| {
        ["unsafe {", "unsafe fn", "unsafe impl", "unsafe extern", "unsafe trait"]
            .iter()
            .any(|form| code.contains(form))
    };
    let mut findings = Vec::new();
    for file in texts().iter().filter(|file| file.is_rust() && !file.path.starts_with("tests/tidy/")) {
        let lines: Vec<&str> = file.content.lines().collect();
        for (number, _, code) in file.code().filter(|(_, _, code)| is_unsafe(code)) {
            let reasoned =
                lines[number.saturating_sub(6)..number].iter().any(|line| line.contains("SAFETY:"));
            if file.path != HOME {
                findings.push(format!("{}:{number}: {}", file.path, code.trim()));
            } else if !reasoned {
                findings.push(format!("{}:{number}: no SAFETY comment", file.path));
            }
        }
    }
    report(&format!("unsafe belongs into {HOME}, each with a SAFETY comment"), &findings);
}

#[test]
fn the_command_line_prints_in_one_place() {
    // Where the hub says that it listens, before there is a log to read; and what a build script tells cargo.
    const HOMES: [&str; 3] =
        ["crates/cli/src/output.rs", "crates/cli/src/commands/serve.rs", "crates/cli/build.rs"];
    let words = ["println!(", "print!(", "io::stdout()", "io::stderr()"];
    let prints =
        |code: &str| words.iter().any(|word| code.contains(word)) && !code.contains(".is_terminal()");
    let findings: Vec<String> = code_lines(|in_tests, code| !in_tests && prints(code))
        .into_iter()
        .filter(|finding| {
            finding.starts_with("crates/cli/") && !HOMES.iter().any(|home| finding.starts_with(home))
        })
        .collect();
    report("what came from outside may steer a terminal: print through crates/cli/src/output.rs", &findings);
}

#[test]
fn sqlite_files_are_opened_in_one_place() {
    const HOME: &str = "crates/sqlite/src/connection.rs";
    let words = ["Connection::open(", "Connection::open_with_flags"];
    let findings: Vec<String> =
        code_lines(|in_tests, code| !in_tests && words.iter().any(|word| code.contains(word)))
            .into_iter()
            .filter(|finding| !finding.starts_with(HOME))
            .collect();
    report("a file's name may look like a URI: open it with ferry_sqlite::connection::open_file", &findings);
}

#[test]
fn the_hub_knows_no_connection() {
    // Whoever reads gets one snapshot of `Database::read`, whoever writes `Transaction::sql`.
    let words = ["rusqlite", "NativeSql(", ".connection()"];
    let names = |file: &Text| file.is_rust() || file.path.ends_with("Cargo.toml");
    let hub = texts().into_iter().filter(|file| file.path.starts_with("crates/hub/") && names(file));
    let mut findings = Vec::new();
    for file in hub {
        for (number, _, code) in file.code() {
            if words.iter().any(|word| code.contains(word)) {
                findings.push(format!("{}:{number}: {}", file.path, code.trim()));
            }
        }
    }
    report("storage stays below the hub: read on `Database::read`, write by `Transaction::sql`", &findings);
}

#[test]
fn nothing_is_left_half_done() {
    // Written in two halves, so that this file does not find itself.
    let macros = [
        concat!("todo", "!("),
        concat!("unimplemented", "!("),
        concat!("dbg", "!("),
        concat!("#[ign", "ore"),
    ];
    let findings = code_lines(|_, code| macros.iter().any(|word| code.contains(word)));
    report("half-done code", &findings);
    let notes = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("X", "XX:")];
    let findings = lines(|line| notes.iter().any(|word| line.contains(word)));
    report("notes of unfinished work: do it, or file an issue", &findings);
}

#[test]
fn tests_wait_on_conditions() {
    // The one place that may pause between two looks at a condition.
    const HOME: &str = "crates/testkit/src/wait.rs";
    let words = [concat!("thread::sl", "eep"), concat!("time::sl", "eep")];
    let findings: Vec<String> =
        code_lines(|in_tests, code| in_tests && words.iter().any(|w| code.contains(w)))
            .into_iter()
            .filter(|finding| !finding.starts_with(HOME))
            .collect();
    report("sleeping tests: wait on the condition (ferry_testkit::wait)", &findings);
}

#[test]
fn the_project_speaks_only_of_itself() {
    // Home folders and build machines: no reader has them.
    let folders = [concat!("wo", "rk"), concat!("fa", "rm"), concat!("ro", "ot"), concat!("ho", "me")];
    let hosts = [concat!("regi", "stry"), concat!("mir", "ror"), concat!("pro", "xy")];
    let names_machine_path = |line: &str| {
        folders.iter().any(|folder| {
            let path = format!("/{folder}/");
            line.match_indices(&path).any(|(at, _)| {
                let before = line[..at].chars().next_back();
                let after = line[at + path.len()..].chars().next();
                before.is_none_or(|c| !c.is_alphanumeric() && c != '}' && c != '_' && c != '.')
                    && after.is_some_and(|c| c.is_ascii_lowercase() || c == '.')
            })
        })
    };
    let names_host = |line: &str| {
        line.match_indices("://").any(|(at, _)| {
            let host = line[at + 3..].split(['/', ' ', '"', ')']).next().unwrap_or("");
            hosts.iter().any(|word| host.contains(word))
        })
    };
    let findings = lines(|line| names_machine_path(line) || names_host(line));
    report("paths or hosts of one machine", &findings);
}

/// Where code of any Rust file fulfils `rule` (in tests?, code).
fn code_lines(rule: impl Fn(bool, &str) -> bool) -> Vec<String> {
    texts()
        .iter()
        .filter(|file| file.is_rust())
        .flat_map(|file| {
            file.code()
                .filter(|(_, in_tests, code)| rule(*in_tests, code))
                .map(|(number, _, code)| format!("{}:{number}: {}", file.path, code.trim()))
                .collect::<Vec<_>>()
        })
        .collect()
}

/// Where a line of any text file fulfils `rule`.
fn lines(rule: impl Fn(&str) -> bool) -> Vec<String> {
    texts()
        .iter()
        .flat_map(|file| {
            let hits = file.content.lines().enumerate().filter(|(_, line)| rule(line));
            hits.map(|(place, line)| format!("{}:{}: {}", file.path, place + 1, line.trim()))
                .collect::<Vec<_>>()
        })
        .collect()
}
