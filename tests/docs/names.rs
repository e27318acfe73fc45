//! Commands, flags and settings that prose mentions exist.

use ferry_testkit::command::Ferry;

use super::markdown::pages;
use crate::support::FERRY;

/// Settings without a flag, since they hold secrets.
const SECRETS: [&str; 2] = ["events.hook_secret", "records.billing_key"];

fn ferry() -> Ferry {
    // Nothing that is asked here is asked of a hub.
    Ferry::new(FERRY, "http://127.0.0.1:1")
}

/// The help of the command that `span` begins with: of as many words as name one. A group is no command of its own.
fn help(span: &str) -> Option<String> {
    let is_name = |word: &&str| word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-');
    let words: Vec<&str> =
        span.split(' ').skip(1).take_while(|word| is_name(word) && !word.starts_with('-')).collect();
    let (count, help) = (1..=words.len()).rev().find_map(|count| {
        let output = ferry().run(&[&["help"], &words[..count]].concat());
        (output.code == Some(0)).then_some((count, output.stdout))
    })?;
    // `ferry migrations add-emails`: a command may have both, verbs and an argument.
    let takes_argument = help.contains("\nArguments:\n");
    let is_unknown_verb = count < words.len() && help.contains("\nCommands:\n") && !takes_argument;
    (!is_unknown_verb).then_some(help)
}

/// The names of the flags in `text`.
fn flags(text: &str) -> impl Iterator<Item = &str> {
    let is_flag = |word: &&str| word.starts_with("--") && word.len() > 2;
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '-').filter(is_flag)
}

#[test]
fn every_command_and_flag_in_prose_exists() {
    let all = ferry().ok(&["completions", "bash"]);
    let known: Vec<&str> = flags(&all).collect();
    let mut findings = Vec::new();
    for page in pages() {
        for span in page.spans() {
            let is_command = span.starts_with("ferry ") && !span.starts_with("ferry help");
            let help = if is_command { help(&span) } else { None };
            if is_command && help.is_none() {
                findings.push(format!("{}: no command: {span}", page.name));
            }
            if let Some(help) = help {
                let known: Vec<&str> = flags(&help).collect();
                let unknown = flags(&span).filter(|flag| !known.contains(flag));
                findings.extend(unknown.map(|flag| format!("{}: no {flag}: {span}", page.name)));
            } else if span.starts_with("--") {
                let unknown = flags(&span).filter(|flag| !known.contains(flag));
                findings.extend(unknown.map(|flag| format!("{}: no command has {flag}", page.name)));
            }
        }
    }
    assert!(findings.is_empty(), "{}", findings.join("\n"));
}

/// The commands below `path`, itself included, each with its help.
fn commands(path: &[&str], found: &mut Vec<(String, String)>) {
    let help = ferry().ok(&[path, &["--help"]].concat());
    let listed = help.split_once("\nCommands:\n").and_then(|(_, rest)| rest.split("\n\n").next());
    for line in listed.unwrap_or_default().lines() {
        // Two spaces, the name, its description; what is longer goes on further to the right.
        let name = line.strip_prefix("  ").filter(|line| !line.starts_with(' ')).unwrap_or_default();
        if let Some(name) = name.split(' ').next().filter(|name| !name.is_empty() && *name != "help") {
            commands(&[path, &[name]].concat(), found);
        }
    }
    found.push((path.join(" "), help));
}

#[test]
fn every_example_of_the_help_texts_takes_the_flags_that_it_shows() {
    let mut found = Vec::new();
    commands(&[], &mut found);
    assert!(found.len() > 60, "{} commands are few", found.len());
    let mut examples = 0;
    for (_, text) in &found {
        let shown = text.split_once("\nExample").map_or("", |(_, shown)| shown).replace("\\\n", " ");
        for piece in shown.split(['\n', '|', '(', ')']) {
            // Of the whole program: what a command does stands behind it, further to the right.
            let Some(at) = piece.find("ferry ") else { continue };
            let command = piece[at..].split("   ").next().unwrap_or_default().trim();
            let known = help(command).unwrap_or_else(|| panic!("no command: {command}"));
            let known: Vec<&str> = flags(&known).collect();
            for flag in flags(command) {
                assert!(known.contains(&flag), "an example has {flag}, which is no flag there: {command}");
            }
            examples += 1;
        }
    }
    assert!(examples > 80, "{examples} examples are few");
}

// Verifies: CFG-01
#[test]
fn every_setting_in_prose_exists() {
    let help = ferry().ok(&["help", "serve"]);
    let known: Vec<&str> = flags(&help).collect();
    let mut findings = Vec::new();
    for page in pages() {
        for span in page.spans() {
            let name = span.split([' ', '=']).next().unwrap_or_default();
            let is_setting =
                ["events.", "records.", "pages."].iter().any(|section| name.starts_with(section))
                    && name.bytes().all(|byte| byte.is_ascii_lowercase() || b"._".contains(&byte))
                    && !name.ends_with(".v1");
            let flag = format!("--{}", name.replace(['.', '_'], "-"));
            if is_setting && !SECRETS.contains(&name) && !known.contains(&flag.as_str()) {
                findings.push(format!("{}: no setting {name}", page.name));
            }
        }
    }
    assert!(findings.is_empty(), "{}", findings.join("\n"));
}
