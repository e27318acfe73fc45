//! What a hub ships between snapshots: one interval after the other, each with the pages that changed in it. Names of its
//! objects, which of them follow each other, which moments can therefore be restored, and what is missing that was there (OPR-05,
//! OPR-09, OPR-21).

mod contents;
mod history;
mod lost;
mod merge;
mod names;
mod plan;
mod range;
mod retained;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;

pub use contents::{LogBase, LogContents, LogInterval};
pub use history::{TargetHistory, TargetTenure, TargetTenures, TenureEnd};
pub use lost::LostIntervals;
pub use merge::{LogMerge, MERGED_BYTES};
pub use names::{IntervalTimes, LOG_FOLDER, LogMark, LogObject, LogSpan, LogStart};
pub use plan::{LogPlan, NearestMoments, UnreachedMoment};
pub use range::RestorableRange;
pub use retained::RetainedLog;
