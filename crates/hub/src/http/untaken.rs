//! Answers on their way out: what of them waits in memory for clients that take it slowly is bounded, as bodies on their way
//! in are (WEB-11).

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use axum::{
    body::{Body, Bytes},
    response::{IntoResponse as _, Response},
};
use ferry_types::{Error, Reason, limits::BODY_MEMORY_RETRY_SECONDS};
use http::{HeaderValue, Method, StatusCode, header};
use http_body::{Body as _, Frame, SizeHint};

use super::memory_pool::{Excess, HeldMemory, MemoryPool};

/// An answer of so many bytes is about what sockets hold in any case; it counts as nothing.
const SMALL_MAX_BYTES: usize = 64 << 10;
const NO_ROOM: &str = "too many answers wait to be taken: read those that were asked for, then try again";

/// Bytes that an answer may hold whose body does not tell, since it is made or compressed as it is taken; an extension of the
/// answer.
#[derive(Clone, Copy)]
pub(crate) struct HeldAhead(pub(crate) u64);

/// An answer whose bytes are kept for others too, so that one more client costs nothing; an extension of the answer.
#[derive(Clone, Copy)]
pub(crate) struct SharedAnswer;

/// The room that a page took before it was made; an extension of its answer.
#[derive(Clone)]
pub(crate) struct HeldPage(Arc<HeldMemory>);

/// Where a page asks for room before it is made.
#[derive(Clone)]
pub(crate) struct PageRoom {
    pool: Arc<MemoryPool>,
    principal: Arc<str>,
}

impl PageRoom {
    /// Makes a page of at most `most` bytes, and a short one where there is no room for that: `make` is told how long it may
    /// be. What a page does not need it gives back. To be called where a page is read, and not before it has its turn: what
    /// waits for that takes no room from others.
    ///
    /// # Errors
    /// What `make` reports; `BUSY` for a page that became longer than there is room for.
    pub(crate) fn make<T, E: From<Error>>(
        &self,
        most: usize,
        make: impl FnOnce(usize) -> Result<T, E>,
        bytes: impl FnOnce(&T) -> usize,
    ) -> Result<(T, HeldPage), E> {
        let mut held = HeldMemory::none(Arc::clone(&self.pool), Some(Arc::clone(&self.principal)));
        let is_whole = most > SMALL_MAX_BYTES && held.grow(most as u64, Excess::Alone);
        let page = make(if is_whole { most } else { most.min(SMALL_MAX_BYTES) })?;
        let made = bytes(&page);
        if is_whole && made <= most {
            held.shrink(made as u64);
        } else {
            held.shrink(0);
            if made > SMALL_MAX_BYTES && !held.grow(made as u64, Excess::Alone) {
                return Err(busy().into());
            }
        }
        Ok((page, HeldPage(Arc::new(held))))
    }
}

/// Memory of all answers that were made and not taken.
pub struct UntakenAnswers(Arc<MemoryPool>);

impl UntakenAnswers {
    /// At most so much.
    pub(crate) fn new(max_bytes: u64) -> Self {
        Self(Arc::new(MemoryPool::new(max_bytes)))
    }

    /// Refuses a reader for whom no long answer is made before he takes those that he has.
    ///
    /// # Errors
    /// `BUSY`.
    pub(crate) fn check_room(&self, principal: &Arc<str>) -> Result<(), Error> {
        if self.has_room(principal) {
            return Ok(());
        }
        Err(busy())
    }

    /// Where pages for a reader ask for room.
    pub(crate) fn room(&self, principal: &Arc<str>) -> PageRoom {
        PageRoom { pool: Arc::clone(&self.0), principal: Arc::clone(principal) }
    }

    /// How long a page may be of at most `most` bytes: short for a reader for whom there is no room for more.
    pub(crate) fn page_max(&self, principal: &Arc<str>, most: usize) -> usize {
        if self.has_room(principal) { most } else { most.min(SMALL_MAX_BYTES) }
    }

    fn has_room(&self, principal: &Arc<str>) -> bool {
        self.0.has_room(principal, SMALL_MAX_BYTES as u64, Excess::Alone)
    }

    /// A page of a stream, which counts until it was taken; `None` if there is no room for it.
    pub(crate) fn hold_page(&self, principal: &Arc<str>, page: Bytes) -> Option<Bytes> {
        if page.len() <= SMALL_MAX_BYTES {
            return Some(page);
        }
        let held = self.hold(page.len() as u64, Some(Arc::clone(principal)), Excess::Alone)?;
        Some(counted(page, &held))
    }

    /// The answer to a request of `principal`, or the refusal in its place. What has changed something is answered in any
    /// case.
    pub(crate) fn admit(
        &self,
        method: &Method,
        principal: Option<Arc<str>>,
        mut response: Response,
    ) -> Response {
        let kept = response.extensions_mut().remove::<HeldPage>();
        let ahead = response.extensions().get::<HeldAhead>().map_or(0, |ahead| ahead.0);
        let bytes = ahead.max(response.body().size_hint().exact().unwrap_or(0));
        if bytes <= SMALL_MAX_BYTES as u64 || response.extensions().get::<SharedAnswer>().is_some() {
            return response;
        }
        let excess = if method.is_safe() { Excess::Alone } else { Excess::Always };
        let held = kept.map(|HeldPage(held)| held).or_else(|| self.hold(bytes, principal, excess));
        match held {
            Some(held) => response.map(|body| Body::new(CountedBody { body, held })),
            None => refusal(),
        }
    }

    fn hold(&self, bytes: u64, principal: Option<Arc<str>>, excess: Excess) -> Option<Arc<HeldMemory>> {
        // Of strangers nobody knows who they are: they share.
        let mut held = HeldMemory::none(Arc::clone(&self.0), Some(principal.unwrap_or_default()));
        held.grow(bytes, excess).then(|| Arc::new(held))
    }
}

/// The refusal of a reader for whom there is no room.
fn busy() -> Error {
    count_refused();
    Error::new(Reason::Busy, NO_ROOM).retry_after_ms(u64::from(BODY_MEMORY_RETRY_SECONDS) * 1000)
}

fn count_refused() {
    metrics::counter!("ferry_answers_refused_total").increment(1);
}

/// What is told in place of an answer for which there is no memory.
fn refusal() -> Response {
    count_refused();
    let mut response = (StatusCode::SERVICE_UNAVAILABLE, format!("{NO_ROOM}\n")).into_response();
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(BODY_MEMORY_RETRY_SECONDS));
    response
}

/// The same bytes, which count as held until nobody has them any more: the connection drops them once it has sent them.
fn counted(data: Bytes, held: &Arc<HeldMemory>) -> Bytes {
    struct Counted(Bytes, #[expect(dead_code, reason = "given back when it is dropped")] Arc<HeldMemory>);

    impl AsRef<[u8]> for Counted {
        fn as_ref(&self) -> &[u8] {
            &self.0
        }
    }

    Bytes::from_owner(Counted(data, Arc::clone(held)))
}

/// A body that counts until it was sent, and all that it gave away.
struct CountedBody {
    body: Body,
    held: Arc<HeldMemory>,
}

impl http_body::Body for CountedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        let counted = |data| counted(data, &self.held);
        Poll::Ready(frame.map(|frame| Ok(frame?.map_data(counted))))
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
    use http_body_util::BodyExt as _;

    use super::*;

    // Verifies: WEB-11
    #[tokio::test]
    async fn answers_share_the_memory_and_give_it_back() {
        let memory = UntakenAnswers::new(4 << 20);
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
        // The connection has all of it, and has sent nothing yet.
        let taken = large.into_body().frame().await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(ask(&Method::GET, "ada", 100 << 10).status(), 503);
        drop(taken);
        assert_eq!(ask(&Method::GET, "ada", 1 << 20).status(), 200);
        let mut streamed = Response::new(Body::from_stream(futures_util::stream::pending::<
            Result<Bytes, std::io::Error>,
        >()));
        streamed.extensions_mut().insert(HeldAhead(5 << 20));
        let _held = memory.admit(&Method::GET, None, streamed);
        assert_eq!(ask(&Method::GET, "ada", 1 << 20).status(), 503);
        drop(_held);
        assert_eq!(ask(&Method::GET, "ada", 1 << 20).status(), 200);
    }

    // Verifies: WEB-11
    #[test]
    fn pages_take_their_room_before_they_are_made_and_give_back_what_they_do_not_need() {
        let (memory, ada) = (UntakenAnswers::new(16 << 20), Arc::from("ada"));
        let room = memory.room(&ada);
        let page = |bytes: usize| {
            room.make(
                3 << 20,
                |most| {
                    // While it is made nobody else has the room.
                    assert!(most <= SMALL_MAX_BYTES || !memory.0.has_room(&ada, 2 << 20, Excess::Never));
                    Ok::<_, Error>(vec![0; bytes.min(most)])
                },
                Vec::len,
            )
        };
        let (first, held) = page(2 << 20).unwrap();
        assert_eq!(first.len(), 2 << 20);
        assert!(memory.0.has_room(&ada, 2 << 20, Excess::Never), "a third was given back");
        let (second, _) = page(2 << 20).unwrap();
        assert_eq!(second.len(), SMALL_MAX_BYTES, "three do not fit beside two of four");
        let one = |bytes: usize| room.make(3 << 20, |_| Ok::<_, Error>(vec![0; bytes]), Vec::len);
        assert_eq!(
            one(5 << 20).err().map(|error| error.reason),
            Some(Reason::Busy),
            "an event that is long by itself"
        );
        let mut response = Response::new(Body::from(first));
        response.extensions_mut().insert(held);
        let response = memory.admit(&Method::GET, Some(Arc::clone(&ada)), response);
        assert_eq!(response.status(), 200);
        assert!(!memory.0.has_room(&ada, 3 << 20, Excess::Never), "it counts until it is taken");
        drop(response);
        assert!(one(5 << 20).is_ok(), "one alone may be larger than a share");
        assert!(memory.0.has_room(&ada, 4 << 20, Excess::Never));
    }

    // Verifies: WEB-11
    #[test]
    fn what_would_be_too_much_is_not_made() {
        let (memory, ada) = (UntakenAnswers::new(4 << 20), Arc::from("ada"));
        assert_eq!((memory.check_room(&ada), memory.page_max(&ada, 1 << 20)), (Ok(()), 1 << 20));
        let page = memory.hold_page(&ada, vec![0; 1 << 20].into()).unwrap();
        assert!(memory.hold_page(&ada, vec![0; 1 << 20].into()).is_none(), "her share is used up");
        assert!(memory.hold_page(&ada, vec![0; 1000].into()).is_some());
        assert_eq!(memory.page_max(&ada, 1 << 20), SMALL_MAX_BYTES);
        assert_eq!(memory.check_room(&ada).unwrap_err().reason, Reason::Busy);
        assert_eq!(memory.check_room(&"bob".into()), Ok(()));
        // What is cut off of it is still of the whole.
        let rest = page.slice(10..);
        drop(page);
        assert!(memory.check_room(&ada).is_err());
        drop(rest);
        assert_eq!(memory.check_room(&ada), Ok(()));
    }
}
