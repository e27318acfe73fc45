//! What each metric of `/metrics` means, as its `# HELP` says.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

/// Kind, name, meaning.
const HELP: &[(Kind, &str, &str)] = &[
    (Counter, "ferry_auth_verifications_total", "Credentials that were verified, by kind and result."),
    (Counter, "ferry_bodies_refused_total", "Request bodies that were given up, by the limit."),
    (Counter, "ferry_commits_total", "Writes that were committed to databases."),
    (Gauge, "ferry_connections", "Open sockets and streams of clients, by model."),
    (Counter, "ferry_connections_refused_total", "Connections that were closed when accepted, by the limit."),
    (Histogram, "ferry_control_commit_seconds", "Time of a commit to control.db."),
    (Gauge, "ferry_databases", "Databases that exist."),
    (Counter, "ferry_databases_evicted_total", "Databases that were closed to make room for others."),
    (Gauge, "ferry_databases_held", "Databases of which the hub holds something in memory."),
    (Gauge, "ferry_databases_open", "Databases whose files are open."),
    (Counter, "ferry_databases_open_refused_total", "Requests that found no room to open their database."),
    (Counter, "ferry_events_appended_total", "Events that were appended."),
    (Counter, "ferry_events_chunks_sent_total", "Pages of events that were sent to subscribers."),
    (Counter, "ferry_events_closes_total", "Event sockets that were closed, by close code."),
    (Counter, "ferry_events_cursor_ahead_total", "Pulls from beyond the end of their log."),
    (Histogram, "ferry_events_fanout_seconds", "Time from a commit until its subscribers were told."),
    (Counter, "ferry_events_holds_total", "Event stores that were put on hold."),
    (Histogram, "ferry_events_hook_seconds", "Time of a call to a hook, by hook and verdict."),
    (Gauge, "ferry_events_lagging_subscribers", "Subscribers that do not keep up."),
    (Counter, "ferry_events_pulls_total", "Pulls of events, by result."),
    (Histogram, "ferry_events_push_seconds", "Time of a push of events."),
    (Counter, "ferry_events_pushes_total", "Pushes of events, by result."),
    (Gauge, "ferry_events_stores", "Open event stores, by state."),
    (Gauge, "ferry_events_subscribers", "Live subscribers of event stores, by transport."),
    (
        Gauge,
        "ferry_events_suspect_stores",
        "Event stores whose clients say that they hold more than the hub.",
    ),
    (Counter, "ferry_group_commits_total", "Transactions in which writes were committed together."),
    (Counter, "ferry_http_requests_total", "Requests that were answered, by class of status."),
    (Counter, "ferry_jwks_fetches_total", "Fetches of key sets, by result."),
    (Counter, "ferry_login_attempts_total", "Logins, by result."),
    (Gauge, "ferry_open_connections", "Open connections, sockets included."),
    (Counter, "ferry_pages_sessions_total", "Sessions of page sync, by direction."),
    (Gauge, "ferry_password_queue", "Passwords that wait to be hashed."),
    (Counter, "ferry_rate_limited_total", "Requests over a rate limit, by its bucket."),
    (Counter, "ferry_records_bad_cursors_total", "Pulls of records whose cursor was none."),
    (Counter, "ferry_records_billing_total", "Questions to the billing service, by answer."),
    (Counter, "ferry_records_changes_total", "Changes of records that were taken."),
    (Counter, "ferry_records_conflicts_total", "Changes of records that lost to others."),
    (Counter, "ferry_records_cursors_ahead_total", "Pulls of records from beyond what the hub has."),
    (Counter, "ferry_revocations_total", "Revocations, by kind."),
    (Histogram, "ferry_rpc_duration_seconds", "Time of an RPC, by method and code."),
    (Counter, "ferry_sockets_closed_total", "Sockets that the hub closed, by reason."),
    (Counter, "ferry_tokens_issued_total", "Tokens that were issued, by kind."),
];

#[derive(Clone, Copy)]
enum Kind {
    Counter,
    Gauge,
    Histogram,
}
use Kind::{Counter, Gauge, Histogram};

/// Tells the recorder.
pub(crate) fn describe() {
    for (kind, name, help) in HELP {
        match kind {
            Counter => describe_counter!(*name, *help),
            Gauge => describe_gauge!(*name, *help),
            Histogram => describe_histogram!(*name, Unit::Seconds, *help),
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

    #[test]
    fn every_metric_is_described_and_nothing_else() {
        let mut used = BTreeSet::new();
        // Of the hub and of the rooms below it.
        names(&Path::new(env!("CARGO_MANIFEST_DIR")).join(".."), &mut used);
        let described: BTreeSet<String> = HELP.iter().map(|(_, name, _)| (*name).to_owned()).collect();
        assert_eq!(used, described);
        for (kind, name, _) in HELP {
            let is_total = name.ends_with("_total");
            assert_eq!(matches!(kind, Counter), is_total, "{name}");
        }
    }
}
