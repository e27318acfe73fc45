//! What is counted of pushes (OPS-54).

use ferry_core::ops::push::PushedOps;
use ferry_protocol::ops::OpStatus;

/// Counts what became of pushed ops.
pub(super) fn pushed(pushed: &PushedOps) {
    for status in OpStatus::ALL {
        let count = pushed.results.iter().filter(|result| result.status == status).count();
        if count > 0 {
            metrics::counter!("ferry_ops_results_total", "status" => status.as_str()).increment(count as u64);
        }
    }
    if pushed.differs > 0 {
        metrics::counter!("ferry_ops_differs_total").increment(pushed.differs);
    }
}
