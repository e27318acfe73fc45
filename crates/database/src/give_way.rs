//! Taking turns with other tasks.

use std::task::Poll;

/// Lets other tasks have their turn. tokio's own `yield_now` comes back by the same worker alone, which may be blocked in a
/// commit meanwhile; this task may be taken over by another one.
pub async fn give_way() {
    let mut has_given_way = false;
    std::future::poll_fn(|context| {
        if std::mem::replace(&mut has_given_way, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
