//! Cursors: what that of a device means, and how far it is remembered to be, its delivery cursor (REC-13, REC-14, REC-40).
//!
//! An answer may be lost, so that what was sent proves nothing; only a cursor that comes back does. Commit times
//! are multiples of eight, and the low bits of a cursor tell what it proves: [`WHOLE_APP`] that its device was
//! given the delta of a push, which covers every collection of the app; [`CUT`] that there was more behind it;
//! [`FULL_PASS`] that it is in the middle of being given everything.
//!
//! A record that changes while a device is on its way through pages moves behind the device's cursor, with fields
//! that the device has not got although they are older than the cursor. After a cut, therefore, records are sent
//! whole, and those that the device wrote itself too: it may be getting them back.

use ferry_protocol::records::UnixNanos;
use ferry_types::limits::RECORDS_SEEN_MAX_MS;

use super::store::{DeliveryCursor, Device, Owner, RecordStore};

/// This cursor was given out for all collections of an app at once.
pub(super) const WHOLE_APP: i64 = 1;
/// This cursor was given out within a full pass that is not over.
pub(super) const FULL_PASS: i64 = 2;
/// This cursor was given out with a page behind which there was more.
pub(super) const CUT: i64 = 4;
const ALL: i64 = WHOLE_APP | FULL_PASS | CUT;

/// In place of an app: all of an owner. It is no name of one.
pub(super) const ALL_APPS: &str = "";

/// The commit time for this moment.
pub(super) const fn cts_at(now: UnixNanos) -> UnixNanos {
    UnixNanos(now.0 & !ALL)
}

/// A cursor that proves these things.
pub(super) const fn cursor(cts: UnixNanos, bits: i64) -> UnixNanos {
    UnixNanos(cts_at(cts).0 | bits)
}

pub(super) const fn proves(cursor: UnixNanos, bit: i64) -> bool {
    cursor.0 & bit != 0
}

impl Owner {
    /// The commit time of the next changed record (REC-10): it rises even when the clock does not. It is a multiple of
    /// eight, which leaves cursors their three bits.
    pub fn next_cts(&mut self, now: UnixNanos) -> UnixNanos {
        self.last_cts = cts_at(now).max(UnixNanos(self.last_cts.0.saturating_add(8)));
        self.last_cts
    }
}

/// The delivery cursor of a collection: its own, or that of the whole app if that one is further.
pub(super) fn of(stored: &[(String, DeliveryCursor)], coll: &str) -> DeliveryCursor {
    let matching = stored.iter().filter(|(name, _)| name.is_empty() || name == coll);
    matching.fold(DeliveryCursor::default(), |far, (_, cursor)| DeliveryCursor {
        delivered: far.delivered.max(cursor.delivered),
        pass: far.pass.max(cursor.pass),
        seen: far.seen.max(cursor.seen),
    })
}

/// Whether anything in the app was delivered to a device.
pub(super) fn any(stored: &[(String, DeliveryCursor)]) -> bool {
    stored.iter().any(|(_, cursor)| cursor.delivered > UnixNanos::EPOCH)
}

/// What a request from a device begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Start {
    /// Everything after this is delivered.
    pub(super) after: UnixNanos,
    /// Whether the device needs nothing that it wrote itself.
    pub(super) skips_own: bool,
    /// The device may have lost its store, and with it what it had been given in other collections. It may also
    /// only begin with a collection; then its next pulls tell how far it is in the others.
    pub(super) is_wiped: bool,
    /// The horizon for which it is given, or was given, a full pass.
    pub(super) pass: UnixNanos,
    /// What a cursor within this pass proves.
    pub(super) within: i64,
}

/// Judges the cursor that a device gives for something of which `held` was delivered to it.
/// `knows_more`: whether anything else in the app was.
pub(super) fn start(owner: &Owner, held: DeliveryCursor, knows_more: bool, since: UnixNanos) -> Start {
    // It may have missed tombstones that are purged now: it gets everything, once.
    let is_in_pass = proves(since, FULL_PASS) && held.pass >= owner.horizon;
    let is_beyond = since > UnixNanos::EPOCH && since < owner.horizon && !is_in_pass;
    let after = if is_beyond { UnixNanos::EPOCH } else { since.max(UnixNanos::EPOCH) };
    let is_full = after == UnixNanos::EPOCH;
    Start {
        after,
        skips_own: !is_full && since >= held.delivered && !proves(since, CUT),
        within: if is_full || is_in_pass { FULL_PASS } else { 0 },
        is_wiped: is_full && !is_beyond && knows_more,
        pass: if is_full { owner.horizon } else { held.pass },
    }
}

/// How far a device is in the whole app, as the cursor of its push proves.
pub(super) fn proven(everywhere: DeliveryCursor, start: &Start) -> UnixNanos {
    if proves(start.after, WHOLE_APP) { start.after } else { everywhere.delivered.min(start.after) }
}

/// What a read found out about a device, to be stored with the next commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    client: String,
    app: String,
    coll: String,
    cursor: DeliveryCursor,
    forgets_all: bool,
}

impl Note {
    /// The note that `cursor` is true for `device` now, if what is stored says something else.
    pub(super) fn new(
        device: Device<'_>,
        stored: &[(String, DeliveryCursor)],
        cursor: DeliveryCursor,
        forgets_all: bool,
    ) -> Option<Self> {
        let stored = stored.iter().find(|(coll, _)| coll == device.coll).map(|(_, stored)| *stored);
        let is_known = stored.is_some_and(|stored| {
            stored.delivered == cursor.delivered
                && stored.pass == cursor.pass
                && cursor.seen <= stored.seen.plus_ms(RECORDS_SEEN_MAX_MS)
        });
        (forgets_all || !is_known).then(|| Self {
            client: device.client.to_owned(),
            app: device.app.to_owned(),
            coll: device.coll.to_owned(),
            cursor,
            forgets_all,
        })
    }

    /// Stores it.
    ///
    /// # Errors
    /// What storage reports.
    pub fn store<S: RecordStore>(&self, store: &S, owner: &str) -> Result<(), S::Error> {
        if self.forgets_all {
            store.forget_cursors(owner, &self.client, &self.app)?;
        }
        let device = Device { client: &self.client, app: &self.app, coll: &self.coll };
        store.set_cursor(owner, device, self.cursor)
    }

    /// What a cursor of Ferry's own client says of its device: it has everything up to `complete` of `app`, or of all
    /// apps.
    ///
    /// # Errors
    /// What storage reports.
    pub fn of_cursor<S: RecordStore>(
        store: &S,
        owner: &str,
        client: &str,
        app: Option<&str>,
        complete: UnixNanos,
        now: UnixNanos,
    ) -> Result<Option<Self>, S::Error> {
        let app = app.unwrap_or(ALL_APPS);
        let stored = store.cursors(owner, client, app)?;
        let cursor = DeliveryCursor { delivered: complete, pass: UnixNanos::EPOCH, seen: now };
        Ok(Self::new(Device { client, app, coll: "" }, &stored, cursor, false))
    }
}
