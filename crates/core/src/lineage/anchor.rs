//! `anchor.json` of a target of backups: which run of the hub ships there. It lies where no copy of the data directory has it,
//! so that a folder which was put back to an older state, in whatever way, finds there what it does not know (OPR-31), and
//! two hubs that are copies of each other notice that they are two (OPR-12).

use ferry_types::RunId;
use serde::{Deserialize, Serialize};

use super::Sign;
use crate::backup::log::TargetTenures;

/// What the run that ships to a target has written there. How far each database was is not in it: a hub tells `control.db` of that
/// within seconds, so that its newest commit stands for them all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetAnchor {
    /// Of the hub.
    pub hub_id: String,
    /// The run.
    pub run: RunId,
    /// The newest break that it knows.
    #[serde(rename = "break")]
    pub break_number: i64,
    /// When it was written.
    pub at_unix_ms: i64,
    /// The newest commit of `control.db` then.
    pub control_seq: u64,
    /// Who had the target, up to this run; an older program wrote none.
    #[serde(default, skip_serializing_if = "TargetTenures::is_empty")]
    pub tenures: TargetTenures,
}

impl TargetAnchor {
    /// What it shows of a hub whose `control.db` names the runs that `knows` tells, up to the commit `control_seq`, and had its last
    /// break of all databases at `hub_break`. One that the anchor's run did not know parts the hub from whatever that run gave out.
    #[must_use]
    pub fn sign(&self, knows: impl Fn(RunId) -> bool, control_seq: u64, hub_break: i64) -> Option<Sign> {
        if hub_break > self.break_number {
            return None;
        }
        if !knows(self.run) {
            return Some(Sign::AnchorOfOtherRun);
        }
        (self.control_seq > control_seq).then_some(Sign::BehindAnchor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Verifies: OPR-31
    #[test]
    fn an_anchor_shows_a_run_or_a_commit_that_control_db_lacks() {
        let anchor = TargetAnchor {
            hub_id: "hub".into(),
            run: RunId(7),
            break_number: 3,
            at_unix_ms: 1,
            control_seq: 10,
            tenures: TargetTenures::default(),
        };
        assert_eq!(anchor.sign(|run| run == RunId(7), 10, 3), None);
        assert_eq!(anchor.sign(|_| true, 9, 3), Some(Sign::BehindAnchor));
        assert_eq!(anchor.sign(|_| false, 11, 0), Some(Sign::AnchorOfOtherRun));
        assert_eq!(anchor.sign(|_| false, 9, 4), None, "clients were told already");
        let text = serde_json::to_string(&anchor).unwrap();
        assert!(text.contains(r#""run":"0000000000000007","break":3"#), "{text}");
        assert_eq!(serde_json::from_str::<TargetAnchor>(&text).unwrap(), anchor);
    }
}
