//! `ferry oauth …` with a fake provider and a browser that the test drives (CLI-07).

use std::path::Path;

use ferry_testkit::{
    Hub,
    command::{Ferry, Output, finish},
    http,
    provider::{Person, Provider},
    rpc::PASSWORD,
    wait,
};

use crate::support::{FERRY, options};

fn place() -> (Hub, Provider, Ferry) {
    let provider = Provider::start(Person::new(583_231, "ada@example.com"));
    let hub = provider.configure(options()).start();
    let browser = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/cli/browser.sh");
    let ferry = Ferry::new(FERRY, &hub.url()).env("BROWSER", browser.to_str().unwrap());
    (hub, provider, ferry)
}

/// Runs a command that opens a browser, and is that browser.
fn in_browser(hub: &Hub, provider: &Provider, ferry: &Ferry, arguments: &[&str]) -> Output {
    let shown = ferry.file("shown");
    let _ = std::fs::remove_file(&shown);
    let child = ferry.clone().env("BROWSER_OUT", shown.to_str().unwrap()).spawn(arguments);
    let url = wait::until("the browser", || std::fs::read_to_string(&shown).ok());
    let answer = http::get(hub.address(), Provider::path_at_hub(&provider.agree(&url))).unwrap();
    assert_eq!(answer.status, 302, "{}", answer.text());
    let location = answer.header("location").unwrap().strip_prefix("http://").unwrap();
    let (authority, path) = location.split_once('/').unwrap();
    let waiting = authority.parse().unwrap();
    assert!(authority.starts_with("127.0.0.1:"), "{authority}");
    // Others who find the port gain and harm nothing.
    let foreign = http::get(waiting, "/callback?state=00&code=evil").unwrap();
    assert_eq!(foreign.status, 400);
    let page = http::get(waiting, &format!("/{path}")).unwrap();
    assert!(page.status == 200 && page.text().contains("close this window"), "{}", page.text());
    finish(child)
}

// Verifies: CLI-07, OAU-07
#[test]
fn the_browser_brings_the_code_back() {
    let (hub, provider, ferry) = place();
    for name in ["github", "google"] {
        provider.become_person(Person::new(name.len() as u64, &format!("{name}@example.com")));
        let output = in_browser(&hub, &provider, &ferry, &["oauth", "start", name]);
        assert_eq!((output.code, output.stdout.as_str()), (Some(0), "oauth ok\n"), "{output:?}");
        assert!(ferry.ok(&["whoami"]).contains(&format!("email:   {name}@example.com")));
    }
    let output = in_browser(&hub, &provider, &ferry, &["oauth", "start", "google", "--json"]);
    let document: serde_json::Value = serde_json::from_str(&output.stdout).unwrap();
    assert_eq!(document["whoami"]["email"], "google@example.com");
}

// Verifies: CLI-07, OAU-05
#[test]
fn without_a_browser_the_command_is_copied() {
    let (hub, provider, ferry) = place();
    let url = ferry.ok(&["oauth", "start", "github", "--no-browser"]);
    let location = provider.agree(url.trim());
    let page = http::get(hub.address(), Provider::path_at_hub(&location)).unwrap().text();
    let command = page.split("<pre>").nth(1).unwrap().split("</pre>").next().unwrap();
    let words: Vec<&str> = command.split(' ').collect();
    assert_eq!(words[..3], ["ferry", "oauth", "complete"], "{command}");
    // Elsewhere nobody can finish it, though he has seen the page.
    let stranger = Ferry::new(FERRY, &hub.url());
    stranger.fails(2, &words[1..]);
    assert_eq!(ferry.ok(&words[1..]), "oauth ok\n");
    ferry.ok(&["whoami"]);
    ferry.fails(2, &words[1..]);
    let other = ferry.ok(&["oauth", "start", "github", "--no-browser", "--json"]);
    assert!(serde_json::from_str::<serde_json::Value>(&other).unwrap()["redirectUrl"].is_string());
}

// Verifies: CLI-07, OAU-11
#[test]
fn an_account_gets_another_way_in() {
    let (hub, provider, ferry) = place();
    ferry.fails(3, &["oauth", "link", "github"]);
    ferry.signup("ada@example.com");
    // Its address is taken, so that the provider alone does not let in.
    let taken = in_browser(&hub, &provider, &ferry, &["oauth", "start", "github"]);
    assert!(taken.code == Some(6) && taken.stderr.contains("ferry oauth link"), "{taken:?}");
    let knowing = ferry.clone().env("FERRY_PASSWORD", PASSWORD);
    let linked = in_browser(&hub, &provider, &knowing, &["oauth", "link", "github"]);
    assert_eq!((linked.code, linked.stdout.as_str()), (Some(0), "oauth ok\n"), "{linked:?}");
    ferry.ok(&["whoami"]);
    let entered = in_browser(&hub, &provider, &ferry, &["oauth", "start", "github"]);
    assert_eq!(entered.code, Some(0), "{entered:?}");
    // The same on paper.
    let url = knowing.ok(&["oauth", "link", "google", "--no-browser"]);
    let location = provider.agree(url.trim());
    let code = location.split("code=").nth(1).unwrap().split('&').next().unwrap();
    let state = location.split("state=").nth(1).unwrap().split('&').next().unwrap();
    ferry.fails(3, &["oauth", "complete", "--state", state, "--code", code]);
    assert_eq!(knowing.ok(&["oauth", "complete", "--state", state, "--code", code]), "oauth ok\n");
}
