//! The live half of record sync: who follows an owner's records, and how they get what is new. Pages, results of reads,
//! frames, times and wake-ups go in; frames to send, reads to do and closes come out. The shell owns connections, storage
//! and the clock.
//!
//! One task per view of an owner, the *fan-out task*, reads what is new and publishes it as a page of a
//! [`Topic`](crate::topic::Topic), encoded once. Subscribers that have caught up take it; whoever stands elsewhere, or
//! whom the page does not suit, reads the state. Nothing is queued per subscriber but what it is being sent.

mod changes;
mod fan_out;
mod page;
mod socket;
mod stream;
#[cfg(test)]
mod tests;

pub use changes::{Changed, CollectionChanges};
pub use fan_out::{SocketFanOut, StreamFanOut, StreamPublish};
pub use page::SharedPage;
pub use socket::{LiveSocket, Notification, Received, SocketEnd, SocketOutput, SocketView};
pub use stream::{LiveStream, StreamOutput, StreamRead, StreamTimes};
