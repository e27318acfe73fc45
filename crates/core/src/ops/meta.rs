//! What a log is: its identity, how far it goes, and the clock of the store that holds it.

use std::ops::ControlFlow;

use ferry_types::{Hlc, HlcState, OpSeq, OriginId, UnixMillis};

use crate::sql::{Damaged, Sql};

const GET: &str = "SELECT value FROM _ferry_op_meta WHERE key = ?1";
const SET: &str = "INSERT INTO _ferry_op_meta(key, value) VALUES (?1, ?2)
    ON CONFLICT(key) DO UPDATE SET value = excluded.value";
const REMOVE: &str = "DELETE FROM _ferry_op_meta WHERE key = ?1";
const ALL: &str = "SELECT key, value FROM _ferry_op_meta";

/// A key of `_ferry_op_meta`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetaKey {
    /// Identity of the log (OPS-30).
    HubId,
    /// Its epoch (OPS-31).
    Epoch,
    /// What clients do with an older epoch.
    Policy,
    /// Highest number given to an op.
    Head,
    /// Highest number whose op was dropped (OPS-41).
    Floor,
    /// The stamp of the op that had this number.
    FloorStamp,
    /// Unknown ops below are not taken (OPS-43).
    PurgeHlc,
    /// The clock of this store's own ops.
    Hlc,
    /// This store's own origin.
    Origin,
    /// Where compaction goes on.
    Compacting,
    /// When the log was compacted last, Unix milliseconds.
    Compacted,
    /// Digest of the credential that a spoke was let in with, or not.
    Credential,
    /// The stamp of the op that a spoke's cursor stands at.
    CursorStamp,
    /// The hub did not take an op that a spoke relayed, for want of rights.
    RelayRefused,
    /// A spoke's store was a hub's: the next hub is given all of it.
    Served,
}

impl MetaKey {
    /// The word in storage.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::HubId => "hub_id",
            Self::Epoch => "epoch",
            Self::Policy => "policy",
            Self::Head => "head",
            Self::Floor => "floor",
            Self::FloorStamp => "floor_stamp",
            Self::PurgeHlc => "purge_hlc",
            Self::Hlc => "hlc",
            Self::Origin => "origin",
            Self::Compacting => "compacting",
            Self::Compacted => "compacted_ms",
            Self::Credential => "credential",
            Self::CursorStamp => "cursor_stamp",
            Self::RelayRefused => "relay_refused",
            Self::Served => "served",
        }
    }
}

/// The text under `key`.
///
/// # Errors
/// What storage reports.
pub fn get<S: Sql>(sql: &S, key: MetaKey) -> Result<Option<String>, S::Error> {
    sql.first(GET, &[key.as_str().into()], |row| Ok(row.text(0)?.to_owned()))
}

/// Keeps `value` under `key`.
///
/// # Errors
/// What storage reports.
pub fn set<S: Sql>(sql: &S, key: MetaKey, value: &str) -> Result<(), S::Error> {
    sql.execute(SET, &[key.as_str().into(), value.into()]).map(drop)
}

/// Forgets what stands under `key`.
///
/// # Errors
/// What storage reports.
pub fn remove<S: Sql>(sql: &S, key: MetaKey) -> Result<(), S::Error> {
    sql.execute(REMOVE, &[key.as_str().into()]).map(drop)
}

/// A log as its store knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogMeta {
    /// 32 hex digits, made with the log (OPS-30).
    pub hub_id: String,
    /// 16 hex digits; a new one tells clients that the log may lack what they were told (OPS-31).
    pub epoch: String,
    /// The word for what clients do then; empty until there was a second epoch.
    pub policy: String,
    /// Highest number given to an op.
    pub head: OpSeq,
    /// Highest number whose op was dropped.
    pub floor: OpSeq,
    /// Unknown ops below are not taken.
    pub purge_hlc: Option<Hlc>,
}

/// The log of this store; `None`: it has none yet.
///
/// # Errors
/// What storage reports.
pub fn read<S: Sql>(sql: &S) -> Result<Option<LogMeta>, S::Error> {
    let mut meta = LogMeta {
        hub_id: String::new(),
        epoch: String::new(),
        policy: String::new(),
        head: OpSeq(0),
        floor: OpSeq(0),
        purge_hlc: None,
    };
    sql.query(ALL, &[], &mut |row| {
        let value = row.text(1)?;
        let number = || value.parse().map(OpSeq).map_err(|_| Damaged { column: 1, expected: "a number" });
        match row.text(0)? {
            "hub_id" => value.clone_into(&mut meta.hub_id),
            "epoch" => value.clone_into(&mut meta.epoch),
            "policy" => value.clone_into(&mut meta.policy),
            "head" => meta.head = number()?,
            "floor" => meta.floor = number()?,
            "purge_hlc" => {
                meta.purge_hlc = Some(value.parse().map_err(|_| Damaged { column: 1, expected: "an hlc" })?);
            }
            _ => {}
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(if meta.hub_id.is_empty() { None } else { Some(meta) })
}

/// Makes the tables and the identity of an empty log.
///
/// # Errors
/// What storage reports.
pub fn begin<S: Sql>(sql: &S, hub_id: &str, epoch: &str) -> Result<(), S::Error> {
    super::schema::create(sql)?;
    set(sql, MetaKey::HubId, hub_id)?;
    set(sql, MetaKey::Epoch, epoch)
}

/// Notes the highest number given.
///
/// # Errors
/// What storage reports.
pub fn set_head<S: Sql>(sql: &S, head: OpSeq) -> Result<(), S::Error> {
    set(sql, MetaKey::Head, &head.to_string())
}

/// The highest number given; 0 before the first.
///
/// # Errors
/// What storage reports.
pub fn head<S: Sql>(sql: &S) -> Result<OpSeq, S::Error> {
    let head = get(sql, MetaKey::Head)?.unwrap_or_default();
    if head.is_empty() {
        return Ok(OpSeq(0));
    }
    head.parse().map(OpSeq).map_err(|_| Damaged { column: 0, expected: "a number" }.into())
}

/// This store's own origin; `None` until [`set_origin`].
///
/// # Errors
/// What storage reports.
pub fn origin<S: Sql>(sql: &S) -> Result<Option<OriginId>, S::Error> {
    let Some(text) = get(sql, MetaKey::Origin)? else { return Ok(None) };
    text.parse().map(Some).map_err(|_| Damaged { column: 0, expected: "an origin" }.into())
}

/// Gives this store an origin.
///
/// # Errors
/// What storage reports.
pub fn set_origin<S: Sql>(sql: &S, origin: OriginId) -> Result<(), S::Error> {
    set(sql, MetaKey::Origin, &origin.to_string())
}

/// The clock of this store's own ops (2.6).
///
/// # Errors
/// What storage reports.
pub fn clock<S: Sql>(sql: &S) -> Result<HlcState, S::Error> {
    let Some(text) = get(sql, MetaKey::Hlc)? else { return Ok(HlcState::default()) };
    // Kept as an HLC of origin zero, so that there is one form.
    let hlc: Result<Hlc, _> = text.parse();
    hlc.map(Hlc::state).map_err(|_| Damaged { column: 0, expected: "an hlc" }.into())
}

/// Keeps the clock, in the transaction of the ops that it stamped.
///
/// # Errors
/// What storage reports.
pub fn set_clock<S: Sql>(sql: &S, clock: HlcState) -> Result<(), S::Error> {
    set(sql, MetaKey::Hlc, &clock.stamp(OriginId::ZERO).to_string())
}

/// When the log was compacted last; `None`: never.
///
/// # Errors
/// What storage reports.
pub fn compacted<S: Sql>(sql: &S) -> Result<Option<UnixMillis>, S::Error> {
    let Some(text) = get(sql, MetaKey::Compacted)? else { return Ok(None) };
    text.parse().map(|ms| Some(UnixMillis(ms))).map_err(|_| Damaged { column: 0, expected: "a time" }.into())
}

/// The log was compacted at `now`.
///
/// # Errors
/// What storage reports.
pub fn set_compacted<S: Sql>(sql: &S, now: UnixMillis) -> Result<(), S::Error> {
    set(sql, MetaKey::Compacted, &now.0.to_string())
}
