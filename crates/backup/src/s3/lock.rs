//! Who changes a bucket says so by an object `locks/<random>`, which it makes anew every so often: one that is older is of a
//! process that is gone. That needs no conditions, which not every S3 knows.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::StatusCode;
use rustix::time::{ClockId, clock_gettime};
use rusty_s3::actions::{DeleteObject, PutObject};
use tokio::{task::JoinHandle, time::sleep};

use super::{
    BucketTarget,
    connection::{BucketConnection, S3Ask},
    put_of,
};
use crate::{BackupTarget as _, Error, Result, TargetLock};

/// The folder of locks.
pub(super) const LOCKS: &str = "locks";
/// A lock is made anew so often.
const RENEW_EVERY: Duration = Duration::from_secs(20);
/// One that was not for so many seconds, by the clock of S3, is nobody's.
const STALE_SECONDS: i64 = 150;
/// Its holder stops so many seconds after it last made it, which is sooner.
const HELD_SECONDS: i64 = 100;
/// A killed process leaves its lock; one that ends takes this long at most to remove it.
const RELEASE_TIME: Duration = Duration::from_secs(5);
/// And tries so often.
const RELEASE_TRIES: u32 = 3;

/// Held until it is dropped.
pub(super) struct BucketLock {
    url: String,
    key: String,
    connection: Arc<BucketConnection>,
    /// When it was last made, in seconds of the monotonic clock: before it was sent.
    renewed: Arc<AtomicI64>,
    renewal: JoinHandle<()>,
}

fn monotonic() -> i64 {
    clock_gettime(ClockId::Monotonic).tv_sec
}

impl BucketLock {
    pub(super) fn take(target: &BucketTarget) -> Result<Self> {
        let mut random = [0; 8];
        getrandom::fill(&mut random)
            .map_err(|error| Error::Invalid(format!("the machine gives no randomness: {error}")))?;
        let path = format!("{LOCKS}/{}", hex::encode(random));
        let made = monotonic();
        let answer = target.put(&path, &Bytes::from_static(b"{}"), None)?;
        target.is_put(&answer, &path)?;
        let (key, connection) = (target.key(&path), Arc::clone(&target.connection));
        let renewed = Arc::new(AtomicI64::new(made));
        let renewal =
            connection.runtime().spawn(renew(Arc::clone(&connection), key.clone(), Arc::clone(&renewed)));
        // From here on it is removed when something fails.
        let lock = Self { url: target.url().to_owned(), key, connection, renewed, renewal };
        let (locks, now) = target.list_at(LOCKS)?;
        if !locks.iter().any(|other| other.path == path) {
            let what = "what was written there a moment ago is not in its list: ferry needs lists that are up to date";
            return Err(Error::Refused(format!("{}: {what}", target.url())));
        }
        for other in locks.iter().filter(|other| other.path != path) {
            let age = now - other.made;
            if age <= STALE_SECONDS {
                return Err(Error::Busy(format!(
                    "another process changes the backups in {} (its lock is {} s old): try again when it is done; the lock \
                     of one that was killed counts for {STALE_SECONDS} s",
                    target.url(),
                    age.max(0)
                )));
            }
            target.delete(&other.path)?;
        }
        Ok(lock)
    }
}

impl TargetLock for BucketLock {
    fn check(&self) -> Result<()> {
        let age = monotonic() - self.renewed.load(Ordering::Relaxed);
        if age <= HELD_SECONDS {
            return Ok(());
        }
        Err(Error::Unreachable(format!(
            "{}: its lock could not be renewed for {age} s, and others may change it by now",
            self.url
        )))
    }
}

async fn renew(connection: Arc<BucketConnection>, key: String, renewed: Arc<AtomicI64>) {
    let ask = put_of(Bytes::from_static(b"{}"), None);
    loop {
        sleep(RENEW_EVERY).await;
        let before = monotonic();
        // Once others may hold it, it is lost for good.
        if before - renewed.load(Ordering::Relaxed) > HELD_SECONDS {
            return;
        }
        let put = PutObject::new(connection.bucket(), Some(connection.credentials()), &key);
        if connection.ask_once(put, &ask).await.is_ok_and(|answer| answer.status == StatusCode::OK) {
            renewed.store(before, Ordering::Relaxed);
        }
    }
}

impl Drop for BucketLock {
    fn drop(&mut self) {
        self.renewal.abort();
        let delete =
            DeleteObject::new(self.connection.bucket(), Some(self.connection.credentials()), &self.key);
        // Even while the hub stops. If it fails, the lock goes stale.
        let ask = S3Ask::default();
        let released = async {
            for _ in 0..RELEASE_TRIES {
                let asked = self.connection.ask_once(delete.clone(), &ask).await;
                if asked.is_ok_and(|answer| !answer.is_passing()) {
                    return;
                }
            }
        };
        let _ =
            self.connection.runtime().block_on(async { tokio::time::timeout(RELEASE_TIME, released).await });
    }
}
