//! `/metrics` while all models run, read by parsers.

use std::{
    collections::BTreeMap,
    io::Write as _,
    process::{Command, Stdio},
};

use ferry_testkit::http;

use super::{observed, prometheus::parse};
use crate::{
    packaging::{text, tool},
    support::options,
};

// Verifies: OPR-82
#[test]
fn metrics_are_what_prometheus_reads() {
    let text = &observed().metrics;
    let families = parse(text);
    assert!(families.len() > 30, "{:?}", families.keys());
    for (name, family) in &families {
        assert!(!family.help.is_empty(), "{name}");
        assert_eq!(family.kind == "counter", name.ends_with("_total"), "{name} is a {}", family.kind);
        // Durations can be summed over hubs.
        if name.ends_with("_seconds") && family.samples.iter().any(|(name, ..)| name.ends_with("_count")) {
            assert_eq!(family.kind, "histogram", "{name}");
        }
    }
    for name in [
        "ferry_trace_spans_total",
        "ferry_events_push_seconds",
        "ferry_functions_cpu_seconds",
        "ferry_disk_free_bytes",
        "ferry_build_info",
        "process_cpu_seconds_total",
        "process_resident_memory_bytes",
        "process_open_fds",
        "process_max_fds",
        "process_threads",
        "process_start_time_seconds",
    ] {
        assert!(families.contains_key(name), "{name} is missing: {:?}", families.keys());
    }
    assert!(families.values().any(|family| family.kind == "histogram"));
}

/// A label, and the values of it that are asked for by name.
type AskedLabel = (String, Vec<String>);

/// The counters that an alert rule names, each with the label that it asks for.
fn counters_of_alerts() -> Vec<(String, Option<AskedLabel>)> {
    let rules = text("alerts.yml");
    let expressions = rules.lines().filter_map(|line| line.trim().strip_prefix("expr: "));
    let is_name = |c: char| c.is_ascii_lowercase() || c == '_';
    let mut found = Vec::new();
    for expression in expressions {
        for (at, _) in expression.match_indices("ferry_") {
            let rest = &expression[at..];
            let end = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
            let (name, rest) = rest.split_at(end);
            let selector =
                rest.strip_prefix('{').and_then(|rest| rest.split_once('}')).map(|(inside, _)| inside);
            let by_name = selector.filter(|inside| !inside.contains("!="));
            let label = by_name.map(|inside| {
                let (label, values) = inside.split_once('=').expect("a matcher");
                let values = values.trim_matches(['~', '"']).split('|').map(str::to_owned).collect();
                (label.to_owned(), values)
            });
            if name.ends_with("_total") {
                found.push((name.to_owned(), label));
            }
        }
    }
    found
}

// What appears with its first event has not grown by it, as Prometheus counts: the first damaged backup alerted of nothing.
// Verifies: OPR-82
#[test]
fn counters_that_alerts_name_are_there_before_their_first_event() {
    let hub = options().start();
    let families = parse(&http::get(hub.address(), "/metrics").unwrap().text());
    let counters = counters_of_alerts();
    assert!(counters.len() > 8, "{counters:?}");
    for (name, label) in counters {
        let family = families.get(&name).unwrap_or_else(|| panic!("{name} is not there"));
        for value in label.iter().flat_map(|(_, values)| values) {
            let of_value = |labels: &BTreeMap<String, String>| labels.values().any(|one| one == value);
            assert!(family.samples.iter().any(|(_, labels, _)| of_value(labels)), "{name} has no {value}");
        }
    }
}

// Verifies: OPR-82
#[test]
fn histograms_count_up_to_what_they_hold() {
    for (name, family) in parse(&observed().metrics).iter().filter(|(_, family)| family.kind == "histogram") {
        let mut rows: BTreeMap<String, (Vec<(f64, f64)>, f64)> = BTreeMap::new();
        for (sample, labels, value) in &family.samples {
            let mut labels = labels.clone();
            let bound = labels.remove("le");
            let row = rows.entry(format!("{labels:?}")).or_default();
            match (sample.ends_with("_bucket"), bound) {
                (true, Some(bound)) => row.0.push((bound.parse().unwrap(), *value)),
                (false, None) if sample.ends_with("_count") => row.1 = *value,
                (false, None) => assert!(*value >= 0.0, "{sample}"),
                other => panic!("{name}: {other:?}"),
            }
        }
        for (labels, (buckets, count)) in rows {
            assert!(buckets.is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1), "{name} {labels}: {buckets:?}");
            assert_eq!(*buckets.last().unwrap(), (f64::INFINITY, count), "{name} {labels}");
        }
    }
}

// Verifies: OPR-82
#[test]
fn prometheus_itself_takes_the_metrics() {
    let Some(promtool) = tool("PROMTOOL_BIN", "promtool") else { return };
    let mut child = Command::new(promtool)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool starts");
    child.stdin.take().unwrap().write_all(observed().metrics.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let told =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
}
