//! What the hub's numbers were: so many steps of each, in memory, so that a page that is opened now shows the past
//! (OPR-58). A counter is kept as it stood; who draws it takes differences.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Mutex, PoisonError},
};

/// How often they are looked at, seconds.
pub(crate) const STEP_SECONDS: u32 = 10;
/// The steps that are kept: how long one is, and how many.
const KEPT: [(u32, usize); 2] = [(STEP_SECONDS, 6 * 3600 / 10), (300, 7 * 24 * 3600 / 300)];

/// The numbers that are kept, sums over all labels; and whether they only grow.
const SERIES: &[(&str, bool)] = &[
    ("ferry_auth_verifications_total", true),
    ("ferry_commits_total", true),
    ("ferry_connections", false),
    ("ferry_connections_stalled_total", true),
    ("ferry_databases", false),
    ("ferry_databases_evicted_total", true),
    ("ferry_databases_open", false),
    ("ferry_disk_free_bytes", false),
    ("ferry_events_appended_total", true),
    ("ferry_events_lagging_subscribers", false),
    ("ferry_events_subscribers", false),
    ("ferry_functions_calls_total", true),
    ("ferry_group_commits_total", true),
    ("ferry_http_requests_total", true),
    ("ferry_login_attempts_total", true),
    ("ferry_open_connections", false),
    ("ferry_ops_conflicts_open", false),
    ("ferry_ops_quarantined", false),
    ("ferry_ops_results_total", true),
    ("ferry_pages_captures_total", true),
    ("ferry_pages_sessions_total", true),
    ("ferry_rate_limited_total", true),
    ("ferry_records_changes_total", true),
    ("ferry_records_conflicts_total", true),
    ("process_cpu_seconds_total", true),
    ("process_open_fds", false),
    ("process_resident_memory_bytes", false),
];

/// The kept numbers of a hub.
#[derive(Default)]
pub struct SeriesStore(Mutex<[Steps; KEPT.len()]>);

/// Steps of one length.
#[derive(Default)]
struct Steps {
    /// The number of the newest, counted from 1970.
    newest: i64,
    /// Per name, the oldest first; all of one length.
    values: Vec<VecDeque<f64>>,
}

/// A number over time.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct KeptSeries {
    pub(crate) name: &'static str,
    pub(crate) is_counter: bool,
    pub(crate) step_seconds: u32,
    pub(crate) start_unix: i64,
    /// Where the hub did not look: not a number.
    pub(crate) values: Vec<f64>,
}

impl SeriesStore {
    /// Takes in what the metrics say at `unix`, in Prometheus' text format.
    pub(crate) fn take(&self, metrics: &str, unix: i64) {
        let sums = sums(metrics);
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (steps, (seconds, most)) in kept.iter_mut().zip(KEPT) {
            steps.take(&sums, unix.div_euclid(i64::from(seconds)), most);
        }
    }

    /// The series with these names, all if there are none, as far back as `since_unix`: the short steps, then the long
    /// ones, of which those are left out that the short ones cover.
    pub(crate) fn since(&self, names: &[String], since_unix: i64) -> Vec<KeptSeries> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut found = Vec::new();
        for (steps, (seconds, _)) in kept.iter().zip(KEPT) {
            let seconds_i64 = i64::from(seconds);
            for (place, (name, is_counter)) in SERIES.iter().enumerate() {
                let Some(values) = steps.values.get(place) else { continue };
                if !names.is_empty() && !names.iter().any(|wanted| wanted == name) {
                    continue;
                }
                let oldest = steps.newest + 1 - i64::try_from(values.len()).unwrap_or(i64::MAX);
                let first = oldest.max(since_unix.div_euclid(seconds_i64));
                let skipped = usize::try_from(first - oldest).unwrap_or(usize::MAX);
                found.push(KeptSeries {
                    name,
                    is_counter: *is_counter,
                    step_seconds: seconds,
                    start_unix: first.saturating_mul(seconds_i64),
                    values: values.iter().skip(skipped).copied().collect(),
                });
            }
        }
        found
    }
}

impl Steps {
    /// Takes in a look in the step with this number. The first one of a step counts; where there was none, nothing is known.
    fn take(&mut self, sums: &BTreeMap<&str, f64>, number: i64, most: usize) {
        if self.values.is_empty() {
            self.values = vec![VecDeque::new(); SERIES.len()];
            self.newest = number - 1;
        }
        // A clock that was put back goes on once it has caught up.
        let Some(missed) = number.checked_sub(self.newest + 1).and_then(|steps| usize::try_from(steps).ok())
        else {
            return;
        };
        for ((name, _), values) in SERIES.iter().zip(&mut self.values) {
            values.extend(std::iter::repeat_n(f64::NAN, missed.min(most)));
            // What nobody has counted yet is nothing.
            values.push_back(sums.get(name).copied().unwrap_or_default());
            values.drain(..values.len().saturating_sub(most));
        }
        self.newest = number;
    }
}

/// The sums over all labels, by family. Buckets and quantiles are no families of their own, and left out.
fn sums(metrics: &str) -> BTreeMap<&str, f64> {
    let mut sums = BTreeMap::new();
    for line in metrics.lines().filter(|line| !line.starts_with('#')) {
        let Some((sample, value)) = line.rsplit_once(' ') else { continue };
        let (name, labels) = sample.split_once('{').unwrap_or((sample, ""));
        if labels.contains("le=\"") || labels.contains("quantile=\"") {
            continue;
        }
        if let Ok(value) = value.parse::<f64>() {
            *sums.entry(name).or_insert(0.0) += value;
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMITS: &str = "ferry_commits_total";

    fn text(commits: u64) -> String {
        format!(
            "# HELP {COMMITS} x\n# TYPE {COMMITS} counter\n{COMMITS}{{model=\"ops\"}} {commits}\n\
             {COMMITS}{{model=\"events\"}} 1\nferry_x_bucket{{le=\"1\"}} 7\n"
        )
    }

    fn of(store: &SeriesStore, step_seconds: u32, since: i64) -> KeptSeries {
        let found = store.since(&[COMMITS.to_owned()], since);
        found.into_iter().find(|series| series.step_seconds == step_seconds).unwrap()
    }

    // Verifies: OPR-58
    #[test]
    fn each_step_has_its_value_and_a_gap_has_none() {
        let store = SeriesStore::default();
        for (unix, commits) in [(1000, 4), (1003, 5), (1010, 6), (1041, 9), (1000, 3)] {
            store.take(&text(commits), unix);
        }
        let fine = of(&store, 10, 0);
        assert_eq!((fine.start_unix, fine.is_counter), (1000, true));
        let shown: Vec<_> =
            fine.values.iter().map(|value| if value.is_nan() { -1.0 } else { *value }).collect();
        assert_eq!(shown, [5.0, 7.0, -1.0, -1.0, 10.0]);
        let newest = of(&store, 10, 1040);
        assert_eq!((newest.start_unix, newest.values), (1040, vec![10.0]));
        assert_eq!(of(&store, 300, 0).values, [5.0]);
    }

    // Verifies: OPR-58
    #[test]
    fn a_week_of_all_series_takes_no_more_than_it_may() {
        assert!(SERIES.len() <= 40);
        let store = SeriesStore::default();
        for step in 0..3 * 6 * 360 {
            store.take(&text(step), i64::try_from(step).unwrap() * 10);
        }
        assert_eq!(of(&store, 10, 0).values.len(), 2160);
        assert_eq!(of(&store, 10, 0).values.last().copied(), Some(6480.0));
        // The hub slept for a year.
        store.take(&text(7), 40_000_000);
        let kept = store.0.lock().unwrap();
        let bytes: usize =
            kept.iter().flat_map(|steps| &steps.values).map(|values| values.capacity() * 8).sum();
        assert!(bytes <= 4 << 20, "{bytes}");
        assert!(kept.iter().zip(KEPT).all(|(steps, (_, most))| steps.values[0].len() <= most));
    }
}
