//! Requests of one connection that are not answered to the end, and the time in which there is none.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::body::{Body, Bytes};
use http_body::{Frame, SizeHint};
use tokio::sync::watch;

/// The counter of one connection; clones share it.
#[derive(Clone, Default)]
pub(crate) struct InFlight(Arc<watch::Sender<Counted>>);

#[derive(Clone, Copy, Default)]
struct Counted {
    /// Requests of now.
    open: usize,
    /// Requests ever.
    begun: u64,
}

impl InFlight {
    /// One more request.
    pub(crate) fn begin(&self) -> RequestGuard {
        self.0.send_modify(|counted| {
            counted.open += 1;
            counted.begun += 1;
        });
        RequestGuard(self.clone())
    }

    /// Waits until there was a request, and none for so long since.
    pub(crate) async fn idle(&self, limit: Duration) {
        let mut counted = self.0.subscribe();
        loop {
            let is_idle = counted.wait_for(|counted| counted.begun > 0 && counted.open == 0).await.is_ok();
            if !is_idle || tokio::time::timeout(limit, counted.changed()).await.is_err() {
                return;
            }
        }
    }
}

/// One request, as long as it is held.
pub(crate) struct RequestGuard(InFlight);

impl RequestGuard {
    /// The body, which ends the request when it was sent or given up.
    pub(crate) fn until_sent(self, body: Body) -> Body {
        Body::new(TrackedBody { body, _request: self })
    }
}

impl Drop for RequestGuard {
    fn drop(&mut self) {
        self.0.0.send_modify(|counted| counted.open -= 1);
    }
}

struct TrackedBody {
    body: Body,
    _request: RequestGuard,
}

impl http_body::Body for TrackedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Verifies: WEB-04, WEB-10
    #[tokio::test(start_paused = true)]
    async fn idle_is_the_time_since_the_last_answer_was_sent() {
        let (in_flight, limit) = (InFlight::default(), Duration::from_secs(75));
        let is_idle = async |seconds| {
            tokio::time::timeout(Duration::from_secs(seconds), in_flight.idle(limit)).await.is_ok()
        };
        assert!(!is_idle(1000).await, "before the first request, another deadline counts");
        let first = in_flight.begin();
        let second = in_flight.begin();
        drop(first);
        assert!(!is_idle(1000).await, "one is still being answered");
        let body = second.until_sent(Body::empty());
        assert!(!is_idle(1000).await, "its answer is still being sent");
        drop(body);
        assert!(!is_idle(74).await && is_idle(76).await);
    }
}
