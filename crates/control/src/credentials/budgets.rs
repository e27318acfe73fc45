//! Byte budgets of tokens (TOK-14): counted in memory, stored every few seconds and at the end. What a crash forgets
//! is at most what was counted since the last store.
//!
//! A data endpoint opens a [`Meter`] for the request or connection that it lets in, and charges the bytes of every
//! body and frame that it receives or is about to send.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use ferry_auth::AuthContext;
use ferry_types::{Clock, Error, Reason, Result, UnixMillis, limits::BYTE_BUDGETS_MAX};
use rusqlite::OptionalExtension as _;

use crate::control_db::ControlDb;

const DAY_MS: i64 = 24 * 3600 * 1000;
/// How long to wait when no budget can be counted, milliseconds.
const FULL_RETRY_MS: u64 = 10_000;

type Bucket = [u8; 32];

/// The bytes of one bucket.
#[derive(Default)]
struct Tally {
    /// UTC day, counted from 1970.
    day: i64,
    bytes: u64,
    /// How many of them are on disk.
    stored: u64,
}

impl Tally {
    /// Begins anew when the day is over. A clock that was set back begins nothing.
    const fn turn(&mut self, today: i64) {
        if today > self.day {
            *self = Self { day: today, bytes: 0, stored: 0 };
        }
    }
}

struct Count {
    bucket: Bucket,
    tally: Mutex<Tally>,
}

impl Count {
    fn lock(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The budgets in use.
#[derive(Default)]
struct Counts(Mutex<HashMap<Bucket, Arc<Count>>>);

impl Counts {
    fn lock(&self) -> MutexGuard<'_, HashMap<Bucket, Arc<Count>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in a bucket as it stands on disk; one that came in meanwhile stays as it is.
    fn add(&self, bucket: Bucket, day: i64, bytes: u64) -> Result<Arc<Count>> {
        let mut counts = self.lock();
        if counts.len() >= BYTE_BUDGETS_MAX && !counts.contains_key(&bucket) {
            forget_unused(&mut counts);
            if counts.len() >= BYTE_BUDGETS_MAX {
                let message = "too many byte budgets are in use: try again in a few seconds";
                return Err(Error::new(Reason::Busy, message).retry_after_ms(FULL_RETRY_MS));
            }
        }
        let tally = Mutex::new(Tally { day, bytes, stored: bytes });
        Ok(Arc::clone(counts.entry(bucket).or_insert_with(|| Arc::new(Count { bucket, tally }))))
    }
}

/// Forgets what nobody uses and is on disk.
fn forget_unused(counts: &mut HashMap<Bucket, Arc<Count>>) {
    counts.retain(|_, count| {
        let tally = count.lock();
        let unstored = tally.bytes != tally.stored;
        drop(tally);
        // Under the lock of the table nobody can begin to use it.
        unstored || Arc::strong_count(count) > 1
    });
}

const fn day_of(now: UnixMillis) -> i64 {
    now.0.div_euclid(DAY_MS)
}

/// Charges one request or connection to the budgets of its token; its clones charge the same. Nearly all tokens have
/// none, and then it holds nothing.
#[derive(Clone)]
pub struct Meter(Option<Arc<Charged>>);

struct Charged {
    clock: Arc<dyn Clock>,
    /// Where bytes are counted, and how many a day may be.
    budgets: Box<[(Arc<Count>, u64)]>,
}

impl Meter {
    /// Counts bytes that came in or are about to go out.
    ///
    /// # Errors
    /// `BYTE_BUDGET` once they exceed what a budget has left of the day; then nothing more may be transferred.
    pub fn charge(&self, bytes: usize) -> Result<()> {
        self.0.as_ref().map_or(Ok(()), |charged| charged.charge(bytes))
    }

    /// Refuses when a budget has nothing left.
    ///
    /// # Errors
    /// `BYTE_BUDGET`.
    pub fn check(&self) -> Result<()> {
        self.0.as_ref().map_or(Ok(()), |charged| charged.check())
    }
}

impl Charged {
    fn charge(&self, bytes: usize) -> Result<()> {
        let now = self.clock.now();
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        let mut outcome = Ok(());
        // Every budget counts them, also behind one that is spent.
        for (count, limit) in &self.budgets {
            let mut tally = count.lock();
            tally.turn(day_of(now));
            tally.bytes = tally.bytes.saturating_add(bytes);
            if tally.bytes > *limit {
                outcome = Err(spent(*limit, now));
            }
        }
        outcome
    }

    fn check(&self) -> Result<()> {
        let now = self.clock.now();
        for (count, limit) in &self.budgets {
            let mut tally = count.lock();
            tally.turn(day_of(now));
            if tally.bytes >= *limit {
                metrics::counter!("ferry_rate_limited_total", "bucket" => "byte_budget").increment(1);
                return Err(spent(*limit, now));
            }
        }
        Ok(())
    }
}

fn spent(limit: u64, now: UnixMillis) -> Error {
    let message = format!(
        "this token may transfer {limit} bytes a day (caveat bpd), and they are spent: it works again from midnight UTC"
    );
    let midnight_ms =
        u64::try_from(DAY_MS - now.0.rem_euclid(DAY_MS)).expect("BUG: a day is not over before it ends");
    Error::new(Reason::ByteBudget, message).retry_after_ms(midnight_ms)
}

/// The byte budgets of tokens.
pub struct Budgets {
    db: Arc<ControlDb>,
    counts: Counts,
}

impl Budgets {
    pub(crate) fn new(db: Arc<ControlDb>) -> Self {
        Self { db, counts: Counts::default() }
    }

    /// What charges a request or connection to the budgets of its token. The first use of a budget reads what is
    /// stored of it; later ones touch no disk.
    ///
    /// # Errors
    /// `BYTE_BUDGET` when one has nothing left; unavailable when `control.db` cannot be read.
    pub async fn meter(&self, auth: &AuthContext) -> Result<Meter> {
        let mut budgets = Vec::new();
        for budget in auth.byte_budgets.iter().flat_map(|budgets| budgets.iter()) {
            let known = self.counts.lock().get(&budget.bucket).map(Arc::clone);
            let count = match known {
                Some(count) => count,
                None => self.stored_count(budget.bucket).await?,
            };
            budgets.push((count, budget.bytes_per_day));
        }
        if budgets.is_empty() {
            return Ok(Meter(None));
        }
        let meter =
            Meter(Some(Arc::new(Charged { clock: Arc::clone(self.db.clock()), budgets: budgets.into() })));
        meter.check()?;
        Ok(meter)
    }

    async fn stored_count(&self, bucket: Bucket) -> Result<Arc<Count>> {
        let day = day_of(self.db.now());
        let stored: Option<u64> = self
            .db
            .read(move |connection| {
                let sql = "SELECT bytes FROM token_usage WHERE bucket = ?1 AND day = ?2";
                let mut statement = connection.prepare_cached(sql)?;
                Ok(statement.query_row(rusqlite::params![bucket, day], |row| row.get(0)).optional()?)
            })
            .await?;
        self.counts.add(bucket, day, stored.unwrap_or(0))
    }

    /// Stores what was counted.
    pub(crate) async fn flush(&self) {
        let counts: Vec<Arc<Count>> = self.counts.lock().values().map(Arc::clone).collect();
        let changed: Vec<(Arc<Count>, i64, u64)> = counts
            .into_iter()
            .filter_map(|count| {
                let (day, bytes) = {
                    let tally = count.lock();
                    (tally.bytes != tally.stored).then_some((tally.day, tally.bytes))
                }?;
                Some((count, day, bytes))
            })
            .collect();
        if !changed.is_empty() {
            let rows: Vec<_> =
                changed.iter().map(|(count, day, bytes)| (count.bucket, *day, *bytes)).collect();
            if let Err(error) = self.store_usage(rows).await {
                tracing::warn!(%error, "counted bytes of tokens are not stored; the next try comes soon");
                return;
            }
        }
        for (count, day, bytes) in changed {
            let mut tally = count.lock();
            if tally.day == day {
                tally.stored = bytes;
            }
        }
        let mut counts = self.counts.lock();
        let today = day_of(self.db.now());
        if counts.len() > BYTE_BUDGETS_MAX / 2 || counts.values().any(|count| count.lock().day < today) {
            forget_unused(&mut counts);
        }
    }

    async fn store_usage(&self, rows: Vec<(Bucket, i64, u64)>) -> Result<()> {
        self.db
            .write(move |transaction| {
                let mut statement = transaction.connection().prepare_cached(
                    "INSERT INTO token_usage(bucket, day, bytes) VALUES (?1, ?2, ?3)
                 ON CONFLICT(bucket, day) DO UPDATE SET bytes = max(bytes, excluded.bytes)",
                )?;
                for (bucket, day, bytes) in rows {
                    let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
                    statement.execute(rusqlite::params![bucket, day, bytes])?;
                }
                Ok(())
            })
            .await
    }
}
