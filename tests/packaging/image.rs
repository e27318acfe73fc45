//! The image and the set of containers. No test builds them, which takes a daemon; what the image says about the hub is
//! tried with the hub, and the file is judged by hadolint.

use std::{collections::BTreeMap, process::Command};

use ferry_testkit::command::Ferry;

use super::{deploy, run, text, tool};
use crate::support::{FERRY, options};

/// The variables that the image sets.
fn variables() -> BTreeMap<String, String> {
    let dockerfile = text("Dockerfile").replace("\\\n", " ");
    let lines = dockerfile.lines().filter_map(|line| line.strip_prefix("ENV "));
    let pairs = lines.flat_map(str::split_whitespace).filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

// Verifies: OPR-70
#[test]
fn the_image_runs_the_hub_as_nobody_and_asks_it_how_it_is() {
    let dockerfile = text("Dockerfile");
    for line in [
        "FROM gcr.io/distroless/cc-debian12:nonroot",
        "USER 65532:65532",
        "VOLUME [\"/data\"]",
        "ENTRYPOINT [\"ferry\"]",
        "CMD [\"serve\"]",
    ] {
        assert!(dockerfile.lines().any(|found| found == line), "{line} is missing");
    }
    assert!(dockerfile.contains("CMD [\"ferry\", \"health\"]"));
    // The hub takes each of these settings; and is asked where it listens, though no address says so.
    let variables = variables();
    assert_eq!(variables["FERRY_LISTEN"], "0.0.0.0:8787");
    assert_eq!(variables["FERRY_DATA_DIR"], "/data/ferry");
    let mut options = options();
    for (name, value) in
        variables.iter().filter(|(name, _)| !["FERRY_LISTEN", "FERRY_DATA_DIR"].contains(&name.as_str()))
    {
        options = options.env(name, value);
    }
    let mut hub = options.start();
    let inside = Ferry::new(FERRY, "")
        .env("FERRY_LISTEN", &format!("0.0.0.0:{}", hub.address().port()))
        .env("FERRY_DATA_DIR", &variables["FERRY_DATA_DIR"])
        .as_nobody();
    assert_eq!(inside.ok(&["health"]), format!("ready\thttp://{}\n", hub.address()));
    assert!(hub.stop().success(), "SIGTERM ends it in order");
    let told = inside.fails(7, &["health"]);
    assert!(told.contains(&hub.address().to_string()), "{told}");
}

// Verifies: OPR-70
#[test]
fn hadolint_finds_nothing_in_the_dockerfile() {
    if let Some(hadolint) = tool("HADOLINT_BIN", "hadolint") {
        run(Command::new(hadolint).arg(deploy("Dockerfile")));
    }
}

// No daemon is needed for what the image is made of; a stage that is written otherwise fails the script.
// Verifies: OPR-70
#[test]
fn the_steps_of_the_image_make_a_hub_that_runs_as_nobody() {
    let script = deploy("../tests/packaging/image-steps");
    // Whatever whoever builds hides from others, or leaves open to them.
    for umask in ["077", "000"] {
        let steps = format!("umask {umask} && exec \"$@\"");
        let told =
            run(Command::new("bash").args(["-c", &steps, "-"]).arg(&script).arg("--binary").arg(FERRY));
        assert!(
            told.contains("ready\thttp://127.0.0.1:") && told.contains("run as a script, without Docker"),
            "{told}"
        );
    }
}

// Verifies: OPR-71
#[test]
fn the_hub_believes_the_proxy_of_its_compose_file_and_nobody_else() {
    let compose = text("compose.yaml");
    let after = |name: &str| {
        let line =
            compose.lines().find_map(|line| line.trim().strip_prefix(name)).expect("the line is there");
        line.trim().trim_matches('"').to_owned()
    };
    let proxy = after("ipv4_address:");
    assert_eq!(after("FERRY_TRUSTED_PROXIES:"), proxy);
    let network = proxy.rsplit_once('.').expect("an address").0;
    assert_eq!(after("- subnet:"), format!("{network}.0/24"));
    // The Caddyfile asks for these.
    let caddyfile = text("Caddyfile");
    for name in ["HUB_HOST", "HUB_ADDRESS"] {
        assert!(
            caddyfile.contains(&format!("{{${name}:")) && compose.contains(&format!("{name}:")),
            "{name}"
        );
    }
    for line in ["read_only: true", "user: \"65532:65532\"", "cap_drop: [ALL]", "condition: service_healthy"]
    {
        assert!(compose.lines().any(|found| found.trim() == line), "{line} is missing");
    }
}

// Verifies: OPR-88
#[test]
fn health_tells_who_is_asked_and_why_it_is_not_ready() {
    let hub = options().start();
    let ferry = Ferry::new(FERRY, &hub.url());
    assert_eq!(ferry.ok(&["health"]), format!("ready\t{}\n", hub.url()));
    assert_eq!(
        ferry.ok(&["health", &hub.url(), "--json"]).trim(),
        format!("{{\"server\":\"{}\",\"status\":\"ready\"}}", hub.url())
    );
    // An answer, but no hub's.
    let told = ferry.fails(7, &["health", &format!("{}/elsewhere", hub.url())]);
    assert!(told.contains("is not ready") && told.contains("404"), "{told}");
    assert!(ferry.fails(7, &["health", "http://127.0.0.1:1"]).contains("127.0.0.1:1"));
    let wrong = ferry.fails(2, &["health", "localhost"]);
    assert!(wrong.contains("http://"), "{wrong}");
}
