//! When a long-lived connection must end.

use std::time::Duration;

use ferry_control::{RightsEnd, RightsWatch};

/// Waits until the rights are over; a connection outlives its credential's expiry by `grace` (EVT-53, PAG-16).
pub(crate) async fn rights_end(watch: &mut RightsWatch, grace: Duration) -> RightsEnd {
    let end = watch.ended().await;
    if end == RightsEnd::Expired {
        // Revocation still counts meanwhile.
        let revoked = async {
            loop {
                match watch.ended().await {
                    RightsEnd::Expired => tokio::time::sleep(Duration::from_secs(1)).await,
                    other => return other,
                }
            }
        };
        return Box::pin(tokio::time::timeout(grace, revoked)).await.unwrap_or(end);
    }
    end
}
