//! Prompts on a terminal, and the state of the terminal afterwards.

use ferry_testkit::rpc::PASSWORD;

use super::sync::ada;
use crate::support::hub;

const CTRL_C: &str = "\u{3}";
const CTRL_D: &str = "\u{4}";

/// The prompts for a password that came after a request did not hear Ctrl-C, since its signal had a handler by then; the
/// others ended with the terminal's echo off. Where a name was asked for it was "cannot ask: read interrupted", exit 2.
// Verifies: PAG-71
#[test]
fn ctrl_c_at_any_prompt_is_130_and_leaves_the_echo_on() {
    let hub = hub();
    let ada = ada(&hub);
    let line = format!("{PASSWORD}\n");
    for (arguments, typed) in [
        (&["password", "change"][..], &[("password: ", CTRL_C)][..]),
        (&["password", "change"], &[("password: ", &line), ("new password: ", CTRL_C)]),
        (&["account", "delete"], &[("to go on: ", CTRL_C)]),
        (&["account", "delete"], &[("to go on: ", "ada@example.com\n"), ("password: ", CTRL_C)]),
        (&["db", "delete", "app"], &[("to go on: ", CTRL_C)]),
        (&["login", "ada@example.com"], &[("password: ", CTRL_C)]),
    ] {
        let seen = ada.typing(arguments, typed);
        assert_eq!(seen.code, Some(130), "{arguments:?}: {seen:?}");
        assert!(seen.echoes && seen.shown.contains("error: interrupted"), "{arguments:?}: {seen:?}");
        assert!(!seen.shown.contains(PASSWORD), "{seen:?}");
    }
    ada.ok(&["db", "show", "app"]);
}

// Verifies: CLI-09
#[test]
fn a_deletion_is_confirmed_by_the_exact_name_and_not_by_ctrl_d() {
    let hub = hub();
    let ada = ada(&hub);
    for (typed, message) in
        [(CTRL_D, "was not typed: nothing was done"), ("apq\n", "is not \"app\": nothing was done")]
    {
        let seen = ada.typing(&["db", "delete", "app"], &[("type app to go on: ", typed)]);
        assert!(seen.code == Some(2) && seen.echoes && seen.shown.contains(message), "{seen:?}");
    }
    let seen = ada.typing(&["db", "delete", "app"], &[("type app to go on: ", "app\n")]);
    assert_eq!(seen.code, Some(0), "{seen:?}");
    ada.fails(5, &["db", "show", "app"]);
}

// Verifies: CLI-03
#[test]
fn a_password_is_changed_at_prompts_that_do_not_show_it() {
    let hub = hub();
    let ada = ada(&hub);
    let (now, new) = (format!("{PASSWORD}\n"), "another good password");
    let typed = [
        ("password: ", &*now),
        ("new password: ", "another good password\n"),
        ("password again: ", "mistyped\n"),
        ("new password: ", "another good password\n"),
        ("password again: ", "another good password\n"),
    ];
    let seen = ada.typing(&["password", "change"], &typed);
    assert!(seen.code == Some(0) && seen.echoes, "{seen:?}");
    assert!(!seen.shown.contains(PASSWORD) && !seen.shown.contains(new), "{seen:?}");
    ada.env("FERRY_PASSWORD", new).ok(&["login", "ada@example.com"]);
}
