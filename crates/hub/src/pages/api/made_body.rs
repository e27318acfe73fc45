//! Bodies whose pieces are made on blocking threads, as the connection takes them.

use std::io;

use axum::body::Body;
use bytes::Bytes;

use super::request::Held;

/// A body of the pieces that `next` makes until it makes none. It breaks off when the reader's rights do.
pub(super) fn made_body<F>(held: Held, next: F) -> Body
where
    F: FnMut() -> ferry_sqlite::Result<Option<Bytes>> + Send + 'static,
{
    let stream = futures_util::stream::unfold(Some((held, next)), |state| async move {
        let (held, mut next) = state?;
        if held.is_over() {
            return Some((Err(io::Error::other("the reader may no longer read")), None));
        }
        if held.closed().is_cancelled() {
            return Some((Err(io::Error::other("closed by an administrator")), None));
        }
        let turn = match held.turn().await {
            Ok(turn) => turn,
            Err(error) => return Some((Err(error), None)),
        };
        let made = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            let piece = next();
            (next, piece)
        });
        match made.await {
            Ok((next, Ok(Some(piece)))) => Some((Ok(piece), Some((held, next)))),
            Ok((_, Ok(None))) => None,
            Ok((_, Err(error))) => {
                tracing::error!(%error, "an answer with pages broke off");
                Some((Err(io::Error::other("the hub could not read on")), None))
            }
            Err(error) => Some((Err(io::Error::other(error)), None)),
        }
    });
    Body::from_stream(stream)
}
