//! What a push and delivery ask of storage.

use std::ops::ControlFlow;

use ferry_protocol::records::UnixNanos;

use super::{
    Conflict, DeliveryCursor, Device, DeviceState, Owner, PastWrite, Purged, RecordKey, RecordRow, RowOut,
    RowView, Skew, Stamp, Within,
};
use crate::sql::Damaged;

/// What a page hands its records to.
pub type EachRow<'a, E> = dyn FnMut(&RowView<'_>) -> Result<ControlFlow<()>, E> + 'a;

/// Storage of records. Times are those of [`UnixNanos`]; errors are what the store reports, and the engine's own
/// refusals travel in them too. Every method that touches several records takes them all at once, so that a store at
/// the end of a network needs one round trip for a batch.
pub trait RecordStore {
    /// What storage reports.
    type Error: From<Damaged> + From<ferry_types::Error>;

    /// Reads what is kept of an owner; the default for one that wrote nothing.
    ///
    /// # Errors
    /// What storage reports.
    fn owner(&self, owner: &str) -> Result<Owner, Self::Error>;

    /// What is kept of an owner and of one of its devices in an app. It keeps other commits of this owner out until the
    /// transaction ends, so that the order of commits is the order of their commit times.
    ///
    /// # Errors
    /// What storage reports.
    fn begin(&self, owner: &str, client: &str, app: &str) -> Result<DeviceState, Self::Error>;

    /// Begins a new epoch for an owner's devices, of this generation and with this horizon.
    ///
    /// # Errors
    /// What storage reports.
    fn set_horizon(&self, owner: &str, horizon: UnixNanos, generation: i64) -> Result<(), Self::Error>;

    /// The rows of these records, in their order.
    ///
    /// # Errors
    /// What storage reports.
    fn read(
        &self,
        owner: &str,
        app: &str,
        keys: &[RecordKey<'_>],
    ) -> Result<Vec<Option<RecordRow>>, Self::Error>;

    /// Stores these records and adds to their histories. The newest of their commit times is the owner's from now on.
    ///
    /// # Errors
    /// What storage reports; a refusal where there would be too many collections.
    fn write(&self, owner: &str, app: &str, rows: &[RowOut<'_>]) -> Result<(), Self::Error>;

    /// Hands over the records of an owner with a commit time after `after`, in its order, at most `limit`;
    /// of one app or collection if named. Incomplete ones are among them.
    ///
    /// # Errors
    /// What storage or `each` reports.
    fn page(
        &self,
        owner: &str,
        within: Within<'_>,
        after: UnixNanos,
        limit: usize,
        each: &mut EachRow<'_, Self::Error>,
    ) -> Result<(), Self::Error>;

    /// How far a device is in each collection of an app; the empty name stands for all of them.
    ///
    /// # Errors
    /// What storage reports.
    fn cursors(
        &self,
        owner: &str,
        client: &str,
        app: &str,
    ) -> Result<Vec<(String, DeliveryCursor)>, Self::Error>;

    /// Stores how far a device is.
    ///
    /// # Errors
    /// What storage reports.
    fn set_cursor(&self, owner: &str, device: Device<'_>, cursor: DeliveryCursor) -> Result<(), Self::Error>;

    /// Forgets how far a device is in an app.
    ///
    /// # Errors
    /// What storage reports.
    fn forget_cursors(&self, owner: &str, client: &str, app: &str) -> Result<(), Self::Error>;

    /// Whether [`Self::skew`] may hold anything for this client in this app, or for any.
    ///
    /// # Errors
    /// What storage reports.
    fn has_skew(&self, owner: &str, device: Option<(&str, &str)>) -> Result<bool, Self::Error>;

    /// The fields of a record that a device must be shown with a later time.
    ///
    /// # Errors
    /// What storage reports.
    fn skew(
        &self,
        owner: &str,
        client: &str,
        app: &str,
        key: RecordKey<'_>,
    ) -> Result<Vec<(String, UnixNanos)>, Self::Error>;

    /// Stores times that devices must be shown; the later one of two stays.
    ///
    /// # Errors
    /// What storage reports.
    fn add_skew(&self, owner: &str, app: &str, skew: &[Skew]) -> Result<(), Self::Error>;

    /// Whether the hub was not running at this moment, so that no commit was made then.
    ///
    /// # Errors
    /// What storage reports.
    fn was_down(&self, at: UnixNanos) -> Result<bool, Self::Error>;

    /// The newest commit that the first run of the hub after the one at `place` found when it began to write; `None`: no later
    /// one has written.
    ///
    /// # Errors
    /// What storage reports.
    fn newest_behind_run(&self, place: u64) -> Result<Option<UnixNanos>, Self::Error>;

    /// The stamps of a device for these records, in any order, each with the index of its record.
    ///
    /// # Errors
    /// What storage reports.
    fn stamps(
        &self,
        owner: &str,
        client: &str,
        app: &str,
        keys: &[RecordKey<'_>],
    ) -> Result<Vec<(usize, Stamp)>, Self::Error>;

    /// Stores stamps, in place of older ones of the same writes.
    ///
    /// # Errors
    /// What storage reports.
    fn set_stamps(
        &self,
        owner: &str,
        client: &str,
        app: &str,
        stamps: &[(RecordKey<'_>, Stamp)],
    ) -> Result<(), Self::Error>;

    /// Forgets the stamps of a device for this record that are older than `oldest`.
    ///
    /// # Errors
    /// What storage reports.
    fn forget_stamps(
        &self,
        owner: &str,
        client: &str,
        app: &str,
        key: RecordKey<'_>,
        oldest: UnixNanos,
    ) -> Result<(), Self::Error>;

    /// What is left of these records, if their tombstones were purged, in their order.
    ///
    /// # Errors
    /// What storage reports.
    fn purged(
        &self,
        owner: &str,
        app: &str,
        keys: &[RecordKey<'_>],
    ) -> Result<Vec<Option<Purged>>, Self::Error>;

    /// Forgets that these records were purged: they live again.
    ///
    /// # Errors
    /// What storage reports.
    fn unpurge(&self, owner: &str, app: &str, keys: &[RecordKey<'_>]) -> Result<(), Self::Error>;

    /// Whether each of these writes stands in the history, in their order.
    ///
    /// # Errors
    /// What storage reports.
    fn were_merged(&self, owner: &str, app: &str, writes: &[PastWrite<'_>])
    -> Result<Vec<bool>, Self::Error>;

    /// Opens conflicts; of a field that has an open one, the losing value is replaced.
    ///
    /// # Errors
    /// What storage reports.
    fn add_conflicts(&self, owner: &str, found: UnixNanos, conflicts: &[Conflict])
    -> Result<(), Self::Error>;
}
