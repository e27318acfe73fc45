//! What a long transfer tells its caller while it runs.

/// A stage of a transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransferPhase {
    /// Reading and hashing the local file.
    Hashing,
    /// Sending pages to the hub.
    Sending,
    /// The hub has everything and checks it; should this side leave now, it gives the push up.
    Checking,
    /// The hub makes what it checked its next version, whatever this side does.
    Committing,
    /// Receiving pages from the hub.
    Receiving,
    /// Writing the received pages into the local file.
    Applying,
}

/// Told of a transfer's progress; called from several threads, often: it must be quick.
pub trait Progress: Send + Sync {
    /// A stage begins; `total_bytes` is how much it will be, if known.
    fn begin(&self, stage: TransferPhase, total_bytes: Option<u64>);
    /// This many bytes more belong to the current stage, whose total is learnt while it goes on.
    fn expect(&self, bytes: u64);
    /// This many bytes more are done in the current stage.
    fn advance(&self, bytes: u64);
    /// The transfer is over.
    fn end(&self);
}

/// Tells nobody.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn begin(&self, _stage: TransferPhase, _total_bytes: Option<u64>) {}
    fn expect(&self, _bytes: u64) {}
    fn advance(&self, _bytes: u64) {}
    fn end(&self) {}
}
