//! What each metric of `/metrics` means, as its `# HELP` says. Those of a sync model stand with it ([`crate::shell`]).

use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram};

/// A metric: kind, name, meaning.
pub(crate) type Metric = (MetricKind, &'static str, &'static str);

/// Those of no model.
const HELP: &[Metric] = &[
    (
        Counter,
        "ferry_answers_refused_total",
        "Answers for which there was no memory, since others wait to be taken.",
    ),
    (Counter, "ferry_auth_verifications_total", "Credentials that were verified, by kind and result."),
    (Counter, "ferry_backup_bytes_total", "Bytes that backups stored on their targets."),
    (
        Counter,
        "ferry_backup_databases_read_total",
        "Databases that backups read: those that were written since the last one.",
    ),
    (Counter, "ferry_backup_errors_total", "Backup jobs that failed, by reason."),
    (
        Gauge,
        "ferry_backup_last_success_seconds",
        "When a backup job last did what it should, in Unix seconds, by its kind.",
    ),
    (
        Gauge,
        "ferry_backup_lag_seconds",
        "Seconds since the moment that the newest backup on a target shows, or, with backup.lag_seconds, age of the oldest commit \
         that is not there, by the target's place in the setting: what a loss of the machine would cost.",
    ),
    (
        Counter,
        "ferry_backup_log_whole_total",
        "Databases all of whose pages were shipped between backups, since what changed did not follow what was shipped before.",
    ),
    (
        Gauge,
        "ferry_backup_target_ok",
        "1 while backups reach a target in time, else 0, by the target's place in the setting.",
    ),
    (Counter, "ferry_bodies_refused_total", "Request bodies that were given up, by the limit."),
    (
        Counter,
        "ferry_breaks_total",
        "Times that the hub, or a database by itself, was found to be put back to an older state.",
    ),
    (Gauge, "ferry_build_info", "1; the label names the version of the program."),
    (Counter, "ferry_commits_total", "Writes that were committed to databases."),
    (Gauge, "ferry_connections", "Open sockets and streams of clients, by model."),
    (Counter, "ferry_connections_refused_total", "Connections that were closed when accepted, by the limit."),
    (
        Counter,
        "ferry_connections_stalled_total",
        "Connections that were closed because the client took nothing.",
    ),
    (Histogram, "ferry_control_commit_seconds", "Time of a commit to control.db."),
    (Gauge, "ferry_databases", "Databases that exist."),
    (Counter, "ferry_databases_evicted_total", "Databases that were closed to make room for others."),
    (Gauge, "ferry_databases_held", "Databases of which the hub holds something in memory."),
    (Gauge, "ferry_databases_open", "Databases whose files are open."),
    (Counter, "ferry_databases_open_refused_total", "Requests that found no room to open their database."),
    (Gauge, "ferry_disk_free_bytes", "Bytes that may still be written where the data lies."),
    (Counter, "ferry_group_commits_total", "Transactions in which writes were committed together."),
    (Counter, "ferry_http_requests_total", "Requests that were answered, by class of status."),
    (Counter, "ferry_jwks_fetches_total", "Fetches of key sets, by result."),
    (
        Counter,
        "ferry_lineage_evidence_total",
        "Clients that showed that they hold what this hub has lost, by model.",
    ),
    (Counter, "ferry_login_attempts_total", "Logins, by result."),
    (Counter, "ferry_mail_failed_total", "Tries to send a mail that failed, by reason."),
    (
        Counter,
        "ferry_mail_given_up_total",
        "Mails that will not be sent: refused by the server, tried for a day, or one too many to wait.",
    ),
    (Gauge, "ferry_mail_oldest_seconds", "How long the oldest mail has waited to be sent."),
    (Counter, "ferry_mail_sent_total", "Mails that a server has taken, by kind."),
    (Gauge, "ferry_mail_waiting", "Mails that wait to be sent."),
    (Gauge, "ferry_open_connections", "Open connections, sockets included."),
    (Gauge, "ferry_password_queue", "Passwords that wait to be hashed."),
    (Counter, "ferry_rate_limited_total", "Requests over a rate limit, by its bucket."),
    (Counter, "ferry_revocations_total", "Revocations, by kind."),
    (Histogram, "ferry_rpc_duration_seconds", "Time of an RPC, by method and code."),
    (Counter, "ferry_sockets_closed_total", "Sockets that the hub closed, by reason."),
    (Counter, "ferry_tokens_issued_total", "Tokens that were issued, by kind."),
    (
        Counter,
        "ferry_trace_spans_total",
        "Spans of traced requests by what became of them: exported, dropped since too many waited, rejected by the collector.",
    ),
    (Gauge, "ferry_version_files_bytes", "Bytes of older versions that are written out to be looked at."),
    (Counter, "ferry_version_files_total", "Older versions that were written out to be looked at."),
];

/// A label, and its values.
type LabelValues = (&'static str, &'static [&'static str]);

/// Counters that alerts ask for, and the label values that they name: there from the start, since one that appears with its
/// first event has not grown by it as Prometheus counts.
const FROM_ZERO: &[(&str, Option<LabelValues>)] = &[
    ("ferry_backup_errors_total", Some(("reason", &["DAMAGED"]))),
    ("ferry_breaks_total", None),
    (
        "ferry_connections_refused_total",
        Some(("limit", &["max_connections", "max_connections_per_ip", "descriptors"])),
    ),
    ("ferry_databases_open_refused_total", None),
    ("ferry_http_requests_total", Some(("status", &["5xx"]))),
    (
        "ferry_jwks_fetches_total",
        Some(("result", &["unreachable", "forbidden", "status", "too_large", "content"])),
    ),
    ("ferry_lineage_evidence_total", Some(("model", &["pages", "events", "records", "ops"]))),
    ("ferry_login_attempts_total", Some(("result", &["failed", "throttled"]))),
    ("ferry_mail_given_up_total", Some(("reason", &["late", "full"]))),
];

/// How a metric moves.
#[derive(Clone, Copy)]
pub(crate) enum MetricKind {
    Counter,
    Gauge,
    Histogram,
}
use MetricKind::{Counter, Gauge, Histogram};

/// Tells the recorder of these, and of those of no model.
pub(crate) fn describe(of_models: impl Iterator<Item = &'static Metric>) {
    for (kind, name, help) in HELP.iter().chain(of_models) {
        match kind {
            Counter => describe_counter!(*name, *help),
            Gauge => describe_gauge!(*name, *help),
            Histogram => describe_histogram!(*name, Unit::Seconds, *help),
        }
    }
}

/// Has the recorder show the counters of [`FROM_ZERO`] before anything is counted.
pub(crate) fn start_from_zero() {
    for (name, label) in FROM_ZERO {
        match label {
            None => counter!(*name).increment(0),
            Some((label, values)) => {
                values.iter().for_each(|value| counter!(*name, *label => *value).increment(0));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use super::*;

    /// Every string of the sources below `folder` that is the name of a metric.
    fn names(folder: &Path, into: &mut BTreeSet<String>) {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_dir() {
                names(&entry.path(), into);
            } else if entry.file_name() != "metric_help.rs" {
                let text = fs::read_to_string(entry.path()).unwrap();
                let is_name = |word: &str| {
                    word.starts_with("ferry_")
                        && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
                };
                for (at, _) in text.match_indices("!(") {
                    let first = text[at + 2..].trim_start().strip_prefix('"');
                    let name = first.and_then(|rest| rest.split_once('"')).map(|(name, _)| name);
                    let is_metric =
                        ["counter", "gauge", "histogram"].iter().any(|kind| text[..at].ends_with(kind));
                    into.extend(name.filter(|name| is_metric && is_name(name)).map(str::to_owned));
                }
            }
        }
    }

    fn all() -> impl Iterator<Item = &'static Metric> {
        HELP.iter().chain(crate::shells::metrics())
    }

    // A rule over a metric that is not there never fires.
    // Verifies: OPR-82
    #[test]
    fn the_alert_rules_ask_for_metrics_that_exist() {
        let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/alerts.yml");
        let text = fs::read_to_string(rules).unwrap();
        let of_process = crate::process_metrics::render();
        let is_name = |c: char| c.is_ascii_lowercase() || c == '_';
        let words = text.lines().filter(|line| line.trim_start().starts_with("expr:"));
        let words = words.flat_map(|line| line.split(|c: char| !is_name(c)));
        let mut asked: Vec<&str> =
            words.filter(|word| word.starts_with("ferry_") || word.starts_with("process_")).collect();
        asked.dedup();
        assert!(asked.len() > 8, "{asked:?}");
        for word in asked {
            let family = word.trim_end_matches("_bucket").trim_end_matches("_count").trim_end_matches("_sum");
            let is_ours = all().any(|(_, name, _)| *name == family);
            assert!(is_ours || of_process.contains(&format!("# TYPE {word} ")), "{word} is no metric");
        }
    }

    #[test]
    fn every_metric_is_described_and_nothing_else() {
        let mut used = BTreeSet::new();
        // Of the hub and of the rooms below it.
        names(&Path::new(env!("CARGO_MANIFEST_DIR")).join(".."), &mut used);
        let described: BTreeSet<String> = all().map(|(_, name, _)| (*name).to_owned()).collect();
        assert_eq!(used, described);
        for (kind, name, _) in all() {
            let is_total = name.ends_with("_total");
            assert_eq!(matches!(kind, Counter), is_total, "{name}");
        }
    }
}
