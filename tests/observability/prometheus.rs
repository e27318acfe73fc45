//! Prometheus' text format, version 0.0.4, read as strictly as its description has it
//! (prometheus.io/docs/instrumenting/exposition_formats).

use std::collections::BTreeMap;

/// One metric.
#[derive(Debug)]
pub(super) struct Family {
    pub(super) kind: String,
    pub(super) help: String,
    /// Name, labels and value of each line.
    pub(super) samples: Vec<(String, BTreeMap<String, String>, f64)>,
}

/// All families of a page. Panics at what is not in the format.
pub(super) fn parse(text: &str) -> BTreeMap<String, Family> {
    assert!(text.ends_with('\n'), "the last line ends");
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    let mut help: Option<(String, String)> = None;
    let mut now = String::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, meaning) =
                rest.split_once(' ').unwrap_or_else(|| panic!("a HELP without a text: {line}"));
            help = Some((name.to_owned(), meaning.to_owned()));
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) =
                rest.split_once(' ').unwrap_or_else(|| panic!("a TYPE without a kind: {line}"));
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            let (of, meaning) = help.take().unwrap_or_else(|| panic!("{name} has no HELP before its TYPE"));
            assert_eq!(of, name, "HELP and TYPE belong together");
            let family = Family { kind: kind.to_owned(), help: meaning, samples: Vec::new() };
            assert!(families.insert(name.to_owned(), family).is_none(), "{name} comes twice");
            now = name.to_owned();
        } else {
            assert!(!line.starts_with('#'), "a comment: {line}");
            let sample = sample(line);
            let family = families.get_mut(&now).unwrap_or_else(|| panic!("{line} stands before any TYPE"));
            let ending = sample.0.strip_prefix(now.as_str());
            let is_known = match (family.kind.as_str(), ending) {
                ("histogram", Some(ending)) => ["_bucket", "_sum", "_count"].contains(&ending),
                (_, Some(ending)) => ending.is_empty(),
                _ => false,
            };
            assert!(is_known, "{line} stands below {now}");
            family.samples.push(sample);
        }
    }
    families
}

fn sample(line: &str) -> (String, BTreeMap<String, String>, f64) {
    let end = line.find(['{', ' ']).unwrap_or_else(|| panic!("no value: {line}"));
    let (name, mut rest) = line.split_at(end);
    is_name(name, line);
    let mut labels = BTreeMap::new();
    if let Some(inner) = rest.strip_prefix('{') {
        rest = inner;
        while !rest.starts_with('}') {
            let (label, after) = rest.split_once("=\"").unwrap_or_else(|| panic!("a label: {line}"));
            is_name(label, line);
            let (value, after) = quoted(after, line);
            assert!(labels.insert(label.to_owned(), value).is_none(), "{label} twice: {line}");
            rest = after.strip_prefix(',').unwrap_or(after);
        }
        rest = &rest[1..];
    }
    let value = rest.strip_prefix(' ').unwrap_or_else(|| panic!("a blank before the value: {line}"));
    (name.to_owned(), labels, value.parse().unwrap_or_else(|_| panic!("a number: {line}")))
}

fn is_name(name: &str, line: &str) {
    let starts = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    assert!(starts && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'), "{name}: {line}");
}

/// A label's value up to its quote, and what stands behind that.
fn quoted<'l>(text: &'l str, line: &str) -> (String, &'l str) {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (value, &text[at + 1..]),
            '\\' => match chars.next() {
                Some((_, 'n')) => value.push('\n'),
                Some((_, c @ ('"' | '\\'))) => value.push(c),
                other => panic!("an escape {other:?}: {line}"),
            },
            c => value.push(c),
        }
    }
    panic!("a quote is missing: {line}")
}
