//! Delivery: what a device gets after its cursor, in the order of commits (REC-10 to REC-15). The state itself is
//! read, not a log of changes.

mod scan;

use ferry_protocol::records::{Change, UnixNanos, ferry::RecordsCursor};
use ferry_types::limits::{
    RECORDS_DELTA_MAX_CHANGES, RECORDS_INLINE_MAX_BYTES, RECORDS_INLINE_MAX_LOOKED_AT,
    RECORDS_INLINE_MAX_RECORDS, RECORDS_PAGE_MAX_BYTES, RECORDS_PAGE_MAX_LOOKED_AT, RECORDS_PAGE_MAX_RECORDS,
    RECORDS_STREAM_MAX_BYTES,
};

use scan::{Found, From, NEVER, Scan};

use super::{
    cursors::{self, Note},
    emit::Style,
    push::{PushCaller, PushReport, apply},
    restore::{Loss, begin_owners_epoch, loss_by_old_cursor},
    store::{DeliveryCursor, Device, DeviceState, Owner, RecordStore, Within},
};

/// A page of one or more collections.
#[derive(Debug, Default)]
pub struct Page {
    /// Changes joined by commas.
    pub changes: Vec<u8>,
    /// The cursor behind it.
    pub until: UnixNanos,
    /// Whether more is there already.
    pub has_more: bool,
    /// What to remember of the device.
    pub note: Option<Note>,
    /// The cursor shows that the hub has lost commits: nothing was read.
    pub loss: Option<Loss>,
}

/// How much is read for one page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageBounds {
    /// Records of the page.
    pub records: usize,
    /// Records that are looked at.
    pub looked_at: usize,
    /// It is cut behind the record with which it grows to so many bytes.
    pub bytes: usize,
}

impl PageBounds {
    /// A whole page.
    pub const PAGE: Self = Self {
        records: RECORDS_PAGE_MAX_RECORDS,
        looked_at: RECORDS_PAGE_MAX_LOOKED_AT,
        bytes: RECORDS_PAGE_MAX_BYTES,
    };
    /// A page of a stream, which waits in memory until its reader takes it.
    pub const STREAM: Self = Self { bytes: RECORDS_STREAM_MAX_BYTES, ..Self::PAGE };
    /// What a device that is nearly up to date needs: so little that it is read inline.
    pub const INLINE: Self = Self {
        records: RECORDS_INLINE_MAX_RECORDS,
        looked_at: RECORDS_INLINE_MAX_LOOKED_AT,
        bytes: RECORDS_INLINE_MAX_BYTES,
    };
}

/// What one device asks for.
#[derive(Clone, Copy, Debug)]
pub struct PullRequest<'a> {
    /// Owner of the records.
    pub owner: &'a str,
    /// The app.
    pub app: &'a str,
    /// Collection.
    pub coll: &'a str,
    /// The device, if it says which.
    pub client: Option<&'a str>,
    /// Its cursor.
    pub since: UnixNanos,
    /// The hub's clock.
    pub now: UnixNanos,
    /// How much of it at once.
    pub bounds: PageBounds,
}

/// One page of one collection.
///
/// # Errors
/// What storage reports.
pub fn pull<S: RecordStore>(store: &S, pull: &PullRequest<'_>) -> Result<Page, S::Error> {
    // The newest commit is read before the records: what is committed in between is only delivered twice.
    let owner = store.owner(pull.owner)?;
    if let Some(loss) = loss_by_old_cursor(store, &owner, pull.since, pull.now)? {
        return Ok(Page { until: pull.since, loss: Some(loss), ..Page::default() });
    }
    let stored = match pull.client {
        Some(client) => store.cursors(pull.owner, client, pull.app)?,
        None => Vec::new(),
    };
    let held = match pull.client {
        Some(_) => cursors::of(&stored, pull.coll),
        None => nameless(&owner),
    };
    let start = cursors::start(&owner, held, cursors::any(&stored), pull.since);
    let scan = Scan {
        owner: pull.owner,
        within: Within::Collection(pull.app, pull.coll),
        low: start.after,
        newest: owner.last_cts,
        client: pull.client,
        style: Style::Old,
        max_changes: usize::MAX,
        bounds: pull.bounds,
        by_table: false,
        names_writers: false,
    };
    // Without a client id nothing is known to be its own.
    let from = From::cursor(start.after, start.skips_own && pull.client.is_some());
    let found = scan.run(store, |_| from)?;
    let note = pull.client.and_then(|client| {
        let delivered = start.after.min(owner.last_cts);
        let cursor = DeliveryCursor { delivered, pass: start.pass, seen: pull.now };
        Note::new(Device { client, app: pull.app, coll: pull.coll }, &stored, cursor, start.is_wiped)
    });
    let (until, has_more) = (found.cursor(pull.since, start.within), found.has_more);
    Ok(Page { changes: found.only_table(), until, has_more, note, loss: None })
}

/// The answer to a push: what it did, and what the device lacks.
#[derive(Debug)]
pub struct Delta {
    /// What the push did.
    pub pushed: PushReport,
    /// The delta, the forced changes in front.
    pub page: Page,
}

/// Answers a push of the old wire, in the running transaction. Where its cursor shows that the hub has lost commits, its
/// owner's devices begin a new epoch, and it is given everything (REC-22).
///
/// # Errors
/// What storage reports.
pub fn exchange<S: RecordStore>(
    store: &S,
    caller: &PushCaller<'_>,
    changes: &[Change<'_>],
) -> Result<Delta, S::Error> {
    let mut device = store.begin(caller.owner, caller.client, caller.app)?;
    let loss = loss_by_old_cursor(store, &device.owner, caller.since, caller.now)?;
    if loss.is_none() {
        return answer(store, caller, device, changes);
    }
    begin_owners_epoch(store, caller.owner, caller.now)?;
    device.owner = store.owner(caller.owner)?;
    let mut delta = answer(store, &PushCaller { since: UnixNanos::EPOCH, ..*caller }, device, changes)?;
    delta.page.loss = loss;
    Ok(delta)
}

/// Applies a push and reads its delta, which covers all collections of the app, in the running transaction; what
/// is to be remembered of the device is stored with it.
///
/// # Errors
/// What storage reports.
pub fn delta<S: RecordStore>(
    store: &S,
    caller: &PushCaller<'_>,
    changes: &[Change<'_>],
) -> Result<Delta, S::Error> {
    answer(store, caller, store.begin(caller.owner, caller.client, caller.app)?, changes)
}

fn answer<S: RecordStore>(
    store: &S,
    caller: &PushCaller<'_>,
    device: DeviceState,
    changes: &[Change<'_>],
) -> Result<Delta, S::Error> {
    let has_client = !caller.client.is_empty();
    let pushed = apply(store, caller, device, changes)?;
    let owner = pushed.owner;
    let stored = if has_client {
        pushed.cursors.clone()
    } else {
        // Its cursor has to count for all collections.
        vec![(String::new(), DeliveryCursor { delivered: UnixNanos(i64::MAX), ..nameless(&owner) })]
    };
    let everywhere = cursors::of(&stored, "");
    let start = cursors::start(&owner, everywhere, cursors::any(&stored), caller.since);
    let proven = cursors::proven(everywhere, &start);
    let held = with_proven(&stored, proven);
    let scan = Scan {
        owner: caller.owner,
        within: Within::App(caller.app),
        low: start.after.min(proven),
        newest: owner.last_cts,
        client: has_client.then_some(caller.client),
        style: Style::Old,
        max_changes: caller.max_changes.min(RECORDS_DELTA_MAX_CHANGES),
        bounds: PageBounds { records: usize::MAX, ..PageBounds::PAGE },
        by_table: false,
        names_writers: false,
    };
    let from = |coll: &str| {
        if !caller.tables.contain(coll) {
            return NEVER;
        }
        let delivered = cursors::of(&held, coll).delivered;
        let after = start.after.min(delivered);
        let is_complete = after > UnixNanos::EPOCH && !cursors::proves(after, cursors::CUT);
        From::cursor(after, has_client && start.skips_own && start.after >= delivered && is_complete)
    };
    // A device that had everything lacks nothing now: its own writes need not be read again to be left out.
    let lacks_nothing = pushed.is_all_own
        && pushed.before <= scan.low
        && pushed.collections.iter().all(|coll| from(coll).skips_own);
    let found = if lacks_nothing {
        Found { until: owner.last_cts, ..Found::default() }
    } else {
        scan.run(store, from)?
    };
    if has_client {
        let cursor = DeliveryCursor { delivered: proven, pass: start.pass, seen: caller.now };
        let device = Device { client: caller.client, app: caller.app, coll: "" };
        if let Some(note) = Note::new(device, &stored, cursor, start.is_wiped) {
            note.store(store, caller.owner)?;
        }
    }
    let (until, has_more) = (found.cursor(caller.since, start.within | cursors::WHOLE_APP), found.has_more);
    let mut all = pushed.forced.clone();
    let rest = found.only_table();
    if !all.is_empty() && !rest.is_empty() {
        all.push(b',');
    }
    all.extend_from_slice(&rest);
    Ok(Delta { pushed, page: Page { changes: all, until, has_more, note: None, loss: None } })
}

/// The delivery cursor of a device that does not say which it is: only its own cursor speaks for it.
fn nameless(owner: &Owner) -> DeliveryCursor {
    DeliveryCursor { pass: owner.horizon, ..DeliveryCursor::default() }
}

/// The delivery cursors, with what the device's own proves of the whole app.
fn with_proven(stored: &[(String, DeliveryCursor)], proven: UnixNanos) -> Vec<(String, DeliveryCursor)> {
    let mut held = stored.to_vec();
    match held.iter_mut().find(|(coll, _)| coll.is_empty()) {
        Some((_, cursor)) => cursor.delivered = proven,
        None => held.push((String::new(), DeliveryCursor { delivered: proven, ..DeliveryCursor::default() })),
    }
    held
}

/// Which devices a page suits that was made for none in particular.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Whom {
    /// These wrote some of it, and need a page of their own.
    pub writers: Vec<String>,
    /// A device may need other times than the true ones: none can use it that says who it is.
    pub only_nameless: bool,
}

/// A page of a stream, by collection.
#[derive(Debug, Default)]
pub struct Stream {
    /// The collections with changes.
    pub tables: Vec<TablePage>,
    /// The cursor behind it.
    pub until: UnixNanos,
    /// Whether more is there already.
    pub has_more: bool,
    /// What to remember of the device.
    pub note: Option<Note>,
    /// If no device asked, behind its first page: whom it suits.
    pub whom: Whom,
    /// The cursor shows that the hub has lost commits: nothing was read.
    pub loss: Option<Loss>,
}

/// The changes of one collection.
#[derive(Debug)]
pub struct TablePage {
    /// Its name.
    pub table: String,
    /// Changes joined by commas.
    pub changes: Vec<u8>,
}

/// One page of a stream over those collections of the pull's app that `wants` names; `only` is the one, if there is
/// but one. The first one judges the device's cursor,
/// which may put it back to the epoch; the others go on from the cursor of the one before.
///
/// # Errors
/// What storage reports.
pub fn stream_page<S: RecordStore>(
    store: &S,
    pull: &PullRequest<'_>,
    only: Option<&str>,
    wants: impl Fn(&str) -> bool,
    is_first: bool,
) -> Result<Stream, S::Error> {
    let owner = store.owner(pull.owner)?;
    if is_first && let Some(loss) = loss_by_old_cursor(store, &owner, pull.since, pull.now)? {
        return Ok(Stream { until: pull.since, loss: Some(loss), ..Stream::default() });
    }
    let stored = match pull.client {
        Some(client) if is_first => store.cursors(pull.owner, client, pull.app)?,
        _ => Vec::new(),
    };
    let held = cursors::of(&stored, "");
    let judged = if is_first && pull.client.is_some() { held } else { nameless(&owner) };
    let start = cursors::start(&owner, judged, cursors::any(&stored), pull.since);
    let within = only.map_or(Within::App(pull.app), |coll| Within::Collection(pull.app, coll));
    let scan = Scan {
        owner: pull.owner,
        within,
        low: start.after,
        newest: owner.last_cts,
        client: pull.client,
        style: Style::Old,
        max_changes: usize::MAX,
        bounds: pull.bounds,
        by_table: true,
        names_writers: pull.client.is_none() && !is_first,
    };
    let wanted = From::cursor(start.after, start.skips_own && pull.client.is_some());
    let found = scan.run(store, |coll| if wants(coll) { wanted } else { NEVER })?;
    let note = pull.client.filter(|_| is_first).and_then(|client| {
        // A stream tells how far the device was when it began, not which collections it will follow.
        let cursor = DeliveryCursor { pass: start.pass, seen: pull.now, ..held };
        Note::new(Device { client, app: pull.app, coll: "" }, &stored, cursor, start.is_wiped)
    });
    let until = found.cursor(pull.since, start.within);
    let has_more = found.has_more;
    let only_nameless = !found.writers.is_empty() && store.has_skew(pull.owner, None)?;
    let whom = Whom { writers: found.writers, only_nameless };
    let tables = found.tables.into_iter().filter(|(_, changes)| !changes.is_empty());
    let tables = tables.map(|(table, changes)| TablePage { table, changes }).collect();
    Ok(Stream { tables, until, has_more, note, whom, loss: None })
}

/// What one of Ferry's own clients asks for.
#[derive(Clone, Copy, Debug)]
pub struct Changes<'a> {
    /// Owner of the records.
    pub owner: &'a str,
    /// The app; none: all.
    pub app: Option<&'a str>,
    /// Where the device is.
    pub cursor: RecordsCursor,
    /// The device whose own writes are left out.
    pub skips: Option<&'a str>,
    /// How much of it at once.
    pub bounds: PageBounds,
}

/// A page for Ferry's own clients.
#[derive(Debug)]
pub enum ChangesPage {
    /// Entries joined by commas, every field with its writer.
    Page {
        /// The entries.
        changes: Vec<u8>,
        /// Where the device is with them.
        cursor: RecordsCursor,
        /// Whether more is there already.
        has_more: bool,
        /// If no device's own writes were left out: whom it suits.
        whom: Whom,
    },
    /// The cursor lies before tombstones that are gone: the device must begin anew.
    BeyondHorizon,
}

/// A page over those collections that `wants` names.
///
/// # Errors
/// What storage reports.
pub fn changes<S: RecordStore>(
    store: &S,
    asked: &Changes<'_>,
    wants: impl Fn(&str) -> bool,
) -> Result<ChangesPage, S::Error> {
    let owner = store.owner(asked.owner)?;
    let RecordsCursor { since, floor, .. } = asked.cursor;
    if floor > UnixNanos::EPOCH && floor < owner.horizon {
        return Ok(ChangesPage::BeyondHorizon);
    }
    let is_snapshot = floor == UnixNanos::EPOCH;
    let scan = Scan {
        owner: asked.owner,
        within: asked.app.map_or(Within::All, Within::App),
        low: since,
        newest: owner.last_cts,
        client: asked.skips,
        style: Style::Ferry { shows_app: asked.app.is_none() },
        max_changes: usize::MAX,
        bounds: asked.bounds,
        by_table: false,
        names_writers: asked.skips.is_none() && !is_snapshot,
    };
    let from = From { after: since, base: floor, skips_own: asked.skips.is_some() && !is_snapshot };
    let mut found = scan.run(store, |coll| if wants(coll) { from } else { NEVER })?;
    let (until, has_more) = (found.until, found.has_more);
    let floor = if has_more { floor } else { until };
    let cursor = RecordsCursor { since: until, floor, run: None };
    let whom = Whom { writers: std::mem::take(&mut found.writers), only_nameless: false };
    Ok(ChangesPage::Page { changes: found.only_table(), cursor, has_more, whom })
}
