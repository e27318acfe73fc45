//! The hub's live stream, which tells at once that there is something to pull (OPS-65). Without it there is the interval.

use std::{sync::Arc, time::Duration};

use ferry_core::ops::spoke;
use ferry_protocol::ops::{LiveEvent, LiveReader};
use ferry_types::OpSeq;
use hyper::body::Incoming;

use super::{
    backoff::Backoff,
    environment::Environment,
    hub::{HubClient, HubFailure},
    store::SpokeStore,
    sync::SpokeSync,
};

/// How long the stream may be silent; the hub shows that it lives every 15 s (OPS-66).
const IDLE_MAX: Duration = Duration::from_secs(45);

/// Follows the stream, for ever.
pub(super) async fn follow(
    store: Arc<SpokeStore>,
    sync: Arc<SpokeSync>,
    environment: Environment,
) -> std::convert::Infallible {
    let mut backoff = Backoff::default();
    let mut client = None;
    loop {
        let ended = once(&store, &sync, &mut client, &mut backoff).await;
        let retry_after = ended.err().and_then(|failure| {
            tracing::debug!(error = failure.message, "no live stream");
            failure.retry_after
        });
        tokio::time::sleep(backoff.failed(retry_after, (environment.random)())).await;
    }
}

/// Follows one stream to its end.
async fn once(
    store: &Arc<SpokeStore>,
    sync: &SpokeSync,
    client: &mut Option<HubClient>,
    backoff: &mut Backoff,
) -> Result<(), HubFailure> {
    let hub = HubClient::renewed(client, sync.address())?;
    let cursor = cursor(store).await;
    let mut body: Incoming = hub.live(cursor.0).await?;
    let mut reader = LiveReader::default();
    let mut pieces = 0_u64;
    while let Some(piece) = hub.piece(&mut body, IDLE_MAX).await? {
        pieces += 1;
        if pieces > 1 {
            // It stands: when it breaks, it is opened again at once.
            backoff.succeeded();
        }
        let events = reader.feed(&piece).map_err(|error| HubFailure::new(error.0))?;
        for event in events {
            match event {
                // The hub may have been away, and an exchange may wait long for its next try.
                LiveEvent::Ready(_) => sync.hub_is_back(),
                LiveEvent::Nudge(head) => {
                    if head > self::cursor(store).await {
                        sync.nudged();
                    }
                }
                LiveEvent::Op { .. } => {}
                LiveEvent::Resync => {
                    sync.nudged();
                    return Ok(());
                }
                LiveEvent::Bye => return Ok(()),
            }
        }
    }
    Ok(())
}

/// What the store holds already.
async fn cursor(store: &Arc<SpokeStore>) -> OpSeq {
    // Without it the stream tells more than it need.
    store.read(|sql| spoke::cursor(sql)).await.unwrap_or_default()
}
