//! Requests of one connection that are not answered to the end, the time in which there is none, and answers of which
//! nobody takes any more.

use std::{
    collections::HashMap,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::body::{Body, Bytes};
use http_body::{Body as _, Frame, SizeHint};
use tokio::{sync::watch, time::Instant};

/// Bytes that are given away at once, so that one who takes little is seen to take some.
const PIECE_BYTES: usize = 16 << 10;

/// The counter of one connection; clones share it.
#[derive(Clone, Default)]
pub(crate) struct InFlight(Arc<Shared>);

#[derive(Default)]
struct Shared {
    counted: watch::Sender<Counted>,
    /// Of requests whose answers have more to say: since when nobody has asked for more than they gave.
    waiting: Mutex<HashMap<u64, Instant>>,
}

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
        let mut number = 0;
        self.0.counted.send_modify(|counted| {
            counted.open += 1;
            counted.begun += 1;
            number = counted.begun;
        });
        RequestGuard { in_flight: self.clone(), number }
    }

    /// Waits until there was a request, and none for so long since.
    pub(crate) async fn idle(&self, limit: Duration) {
        let mut counted = self.0.counted.subscribe();
        loop {
            let is_idle = counted.wait_for(|counted| counted.begun > 0 && counted.open == 0).await.is_ok();
            if !is_idle || tokio::time::timeout(limit, counted.changed()).await.is_err() {
                return;
            }
        }
    }

    /// Waits until of some answer nothing was taken for so long, though it has more. The peer of a connection in HTTP/2 may
    /// hold back a single answer, and its bytes then wait although the connection takes others.
    pub(crate) async fn stalled(&self, limit: Duration) {
        loop {
            let now = Instant::now();
            let end = self.waiting().values().min().map_or(now, |since| *since) + limit;
            if end <= now {
                return;
            }
            tokio::time::sleep_until(end).await;
        }
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<u64, Instant>> {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One request, as long as it is held.
pub(crate) struct RequestGuard {
    in_flight: InFlight,
    number: u64,
}

impl RequestGuard {
    /// The body, which ends the request when it was sent or given up.
    pub(crate) fn until_sent(self, body: Body) -> Body {
        Body::new(TrackedBody { body, rest: Bytes::new(), request: self })
    }
}

impl Drop for RequestGuard {
    fn drop(&mut self) {
        self.in_flight.waiting().remove(&self.number);
        self.in_flight.0.counted.send_modify(|counted| counted.open -= 1);
    }
}

struct TrackedBody {
    body: Body,
    /// What its last frame has beyond the pieces given away.
    rest: Bytes,
    request: RequestGuard,
}

impl TrackedBody {
    fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.rest.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_frame(context)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.rest = data,
                    Err(other) => return Poll::Ready(Some(Ok(other))),
                },
                ended => return Poll::Ready(ended),
            }
        }
        let piece = self.rest.split_to(self.rest.len().min(PIECE_BYTES));
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }
}

impl http_body::Body for TrackedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let piece = self.poll_piece(context);
        let RequestGuard { in_flight, number } = &self.request;
        if matches!(piece, Poll::Ready(Some(_))) {
            in_flight.waiting().insert(*number, Instant::now());
        } else {
            in_flight.waiting().remove(number);
        }
        piece
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (rest, inner) = (self.rest.len() as u64, self.body.size_hint());
        let mut hint = SizeHint::new();
        hint.set_lower(inner.lower() + rest);
        if let Some(upper) = inner.upper() {
            hint.set_upper(upper + rest);
        }
        hint
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
    // Verifies: WEB-12
    #[tokio::test(start_paused = true)]
    async fn an_answer_of_which_nobody_takes_more_is_noticed() {
        use http_body_util::BodyExt as _;
        let (in_flight, limit) = (InFlight::default(), Duration::from_secs(60));
        let is_stalled = async |seconds| {
            tokio::time::timeout(Duration::from_secs(seconds), in_flight.stalled(limit)).await.is_ok()
        };
        let mut body = in_flight.begin().until_sent(Body::from(vec![7; 3 * PIECE_BYTES]));
        assert!(!is_stalled(200).await, "nobody was given anything");
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap().len(), PIECE_BYTES);
        assert!(!is_stalled(50).await);
        body.frame().await.unwrap().unwrap();
        assert!(!is_stalled(50).await, "a piece within the minute is enough");
        assert!(is_stalled(130).await);
        let rest = body.collect().await.unwrap().to_bytes();
        assert_eq!(rest, vec![7; PIECE_BYTES]);
        assert!(!is_stalled(200).await, "it has been sent");
        // One that has nothing to say does not wait.
        let silent = futures_util::stream::pending::<Result<Bytes, std::io::Error>>();
        let mut silent = in_flight.begin().until_sent(Body::from_stream(silent));
        assert!(futures_util::FutureExt::now_or_never(silent.frame()).is_none());
        assert!(!is_stalled(200).await);
    }
}
