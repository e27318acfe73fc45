//! Answers on their way out: what of them waits in memory for clients that take it slowly is bounded, as bodies on their way
//! in are (WEB-11).

use std::{
    collections::HashMap,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
};

use axum::{
    body::{Body, Bytes},
    response::{IntoResponse as _, Response},
};
use ferry_types::limits::BODY_MEMORY_RETRY_SECONDS;
use http::{HeaderValue, Method, StatusCode, header};
use http_body::{Body as _, Frame, SizeHint};

/// Bytes that are given to the connection at once; what it has not asked for counts as held.
const PIECE_BYTES: usize = 64 << 10;
/// Of the hub's memory for answers, what one principal may have.
const SHARE: u64 = 4;

/// Bytes that an answer may hold whose body does not tell, since it is made or compressed as it is taken; an extension of the
/// answer.
#[derive(Clone, Copy)]
pub(crate) struct HeldAhead(pub(crate) u64);

/// An answer whose bytes are kept for others too, so that one more client costs nothing; an extension of the answer.
#[derive(Clone, Copy)]
pub(crate) struct SharedAnswer;

/// Memory of all answers that were made and not taken.
pub struct UntakenAnswers {
    max_bytes: u64,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    bytes: u64,
    by_principal: HashMap<Arc<str>, u64>,
}

impl UntakenAnswers {
    /// At most so much.
    pub(crate) fn new(max_bytes: u64) -> Self {
        Self { max_bytes, held: Mutex::default() }
    }

    /// The answer to a request of `principal`, or the refusal in its place. What has changed something is answered in any
    /// case.
    pub(crate) fn admit(
        self: &Arc<Self>,
        method: &Method,
        principal: Option<Arc<str>>,
        response: Response,
    ) -> Response {
        let ahead = response.extensions().get::<HeldAhead>().map_or(0, |ahead| ahead.0);
        let bytes = ahead.max(response.body().size_hint().exact().unwrap_or(0));
        if bytes <= PIECE_BYTES as u64 || response.extensions().get::<SharedAnswer>().is_some() {
            return response;
        }
        match self.hold(bytes, principal, !method.is_safe()) {
            Some(untaken) => {
                response.map(|body| Body::new(Pieces { body, rest: Bytes::new(), _untaken: untaken }))
            }
            None => refusal(),
        }
    }

    fn hold(self: &Arc<Self>, bytes: u64, principal: Option<Arc<str>>, is_due: bool) -> Option<Untaken> {
        // Of strangers nobody knows who they are: they share.
        let principal = principal.unwrap_or_default();
        let mut held = self.lock();
        let own = held.by_principal.get(&principal).copied().unwrap_or(0);
        let all = held.bytes;
        // One alone may be larger than a share.
        let fits = (own == 0 || own + bytes <= self.max_bytes / SHARE)
            && (all == 0 || all + bytes <= self.max_bytes);
        if !fits && !is_due {
            return None;
        }
        held.bytes += bytes;
        held.by_principal.insert(Arc::clone(&principal), own + bytes);
        Some(Untaken { memory: Arc::clone(self), principal, bytes })
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is told in place of an answer for which there is no memory.
fn refusal() -> Response {
    metrics::counter!("ferry_answers_refused_total").increment(1);
    let text = "too many answers wait to be taken: read those that were asked for, then try again\n";
    let mut response = (StatusCode::SERVICE_UNAVAILABLE, text).into_response();
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(BODY_MEMORY_RETRY_SECONDS));
    response
}

/// Memory of one answer, as long as it is held.
struct Untaken {
    memory: Arc<UntakenAnswers>,
    principal: Arc<str>,
    bytes: u64,
}

impl Drop for Untaken {
    fn drop(&mut self) {
        let mut held = self.memory.lock();
        held.bytes -= self.bytes;
        if let Some(own) = held.by_principal.get_mut(&self.principal) {
            *own -= self.bytes;
            if *own == 0 {
                held.by_principal.remove(&self.principal);
            }
        }
    }
}

/// A body that is given away in pieces, so that it lives until the connection has taken nearly all of it.
struct Pieces {
    body: Body,
    rest: Bytes,
    _untaken: Untaken,
}

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        while self.rest.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_frame(context)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.rest = data,
                    Err(other) => return Poll::Ready(Some(Ok(other))),
                },
                ended => return Poll::Ready(ended),
            }
        }
        let length = self.rest.len().min(PIECE_BYTES);
        Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(length)))))
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

    // Verifies: WEB-11
    #[test]
    fn answers_share_the_memory_and_give_it_back() {
        let memory = Arc::new(UntakenAnswers::new(4 << 20));
        let ask = |method: &Method, who: &str, bytes: usize| {
            memory.admit(method, Some(who.into()), Response::new(Body::from(vec![0; bytes])))
        };
        let large = ask(&Method::GET, "ada", 3 << 20);
        assert_eq!(large.status(), 200, "one alone may be larger than a share");
        let refused = ask(&Method::GET, "ada", 100 << 10);
        assert_eq!(refused.status(), 503);
        assert!(refused.headers().contains_key(header::RETRY_AFTER));
        assert_eq!(ask(&Method::GET, "ada", 1000).status(), 200, "what is small needs no room");
        assert_eq!(ask(&Method::POST, "ada", 100 << 10).status(), 200, "it was done");
        assert_eq!(ask(&Method::GET, "bob", 2 << 20).status(), 503, "all together");
        assert_eq!(ask(&Method::GET, "bob", 1 << 20).status(), 200);
        assert_eq!(large.body().size_hint().exact(), Some(3 << 20));
        drop(large);
        assert_eq!(ask(&Method::GET, "ada", 1 << 20).status(), 200);
        let mut streamed = Response::new(Body::from_stream(futures_util::stream::pending::<
            Result<Bytes, std::io::Error>,
        >()));
        streamed.extensions_mut().insert(HeldAhead(5 << 20));
        let _held = memory.admit(&Method::GET, None, streamed);
        assert_eq!(ask(&Method::GET, "ada", 1 << 20).status(), 503);
        drop(_held);
        let held = memory.lock();
        assert!(held.bytes == 0 && held.by_principal.is_empty());
    }
}
