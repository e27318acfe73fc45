//! Waking tasks: how the live path of `ferry_core::topic` meets the runtime.

use ferry_core::topic::{Cursor, Next, Wake};
use tokio::sync::{Notify, futures::Notified};

/// Wakes all tasks that wait for it.
#[derive(Debug, Default)]
pub struct Wakeup(Notify);

impl Wakeup {
    /// Completes at the next wake-up. Take and enable it before looking at what it tells of.
    pub fn notified(&self) -> Notified<'_> {
        self.0.notified()
    }
}

impl Wake for Wakeup {
    fn wake(&self) {
        self.0.notify_waiters();
    }
}

/// Waits for what comes after the cursor; never [`Next::Nothing`]. Dropping the future loses nothing.
pub async fn next<P: Clone>(cursor: &mut Cursor<P, Wakeup>, max_weight: usize) -> Next<P> {
    loop {
        let topic = std::sync::Arc::clone(cursor.topic());
        let mut notified = std::pin::pin!(topic.wake().notified());
        // Waiting begins before looking, so that nothing is published between the two.
        notified.as_mut().enable();
        match cursor.next(max_weight) {
            Next::Nothing => notified.await,
            found => return found,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ferry_core::topic::{Retained, Topic};

    use super::*;

    #[tokio::test]
    async fn a_waiting_subscriber_is_woken() {
        let topic = Arc::new(Topic::new(7, Retained { items: 8, weight: 8 }, Wakeup::default()));
        let mut cursor = topic.cursor(7);
        let waiting = tokio::spawn(async move { next(&mut cursor, 8).await });
        tokio::task::yield_now().await;
        topic.publish(8, 1, "eight");
        assert_eq!(waiting.await.unwrap(), Next::Items(vec!["eight"]));
    }
}
