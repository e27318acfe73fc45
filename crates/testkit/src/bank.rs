//! The bank: accounts whose sum never changes, whatever is transferred. A copy with another sum mixes two moments.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use rusqlite::Connection;

use crate::rng::Rng;

/// Accounts of a bank; each fills about a fifth of a page, so that a transfer touches two pages.
pub const ACCOUNTS: u64 = 500;
/// What every account holds at first.
const OPENING_BALANCE: i64 = 1000;
/// What all accounts hold together, always.
pub const SUM: i64 = ACCOUNTS as i64 * OPENING_BALANCE;

/// Makes a bank.
///
/// # Panics
/// If the file cannot be written.
pub fn create(path: &Path, wal: bool) {
    let mut connection = Connection::open(path).expect("the file can be made");
    let mode = if wal { "WAL" } else { "DELETE" };
    connection
        .execute_batch(&format!(
            "PRAGMA journal_mode={mode}; PRAGMA synchronous=OFF;
             CREATE TABLE account(id INTEGER PRIMARY KEY, balance INTEGER NOT NULL, padding TEXT);"
        ))
        .expect("the schema is made");
    let transaction = connection.transaction().expect("a transaction begins");
    for id in 0..ACCOUNTS {
        transaction
            .execute("INSERT INTO account VALUES (?1, ?2, ?3)", (id, OPENING_BALANCE, "x".repeat(800)))
            .expect("the account is opened");
    }
    transaction.commit().expect("the accounts are committed");
}

/// What all accounts of a file hold together.
///
/// # Errors
/// When SQLite cannot read the file.
pub fn sum(path: &Path) -> rusqlite::Result<i64> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(Duration::from_secs(30))?;
    connection.query_row("SELECT sum(balance) FROM account", [], |row| row.get(0))
}

/// One transfer between two random accounts, in one transaction.
///
/// # Errors
/// When SQLite cannot write the file.
pub fn transfer(connection: &Connection, rng: &mut Rng) -> rusqlite::Result<()> {
    let (from, to, amount) = (rng.below(ACCOUNTS), rng.below(ACCOUNTS), rng.below(10));
    connection.execute_batch("BEGIN IMMEDIATE")?;
    let mut change = connection.prepare_cached("UPDATE account SET balance = balance + ?2 WHERE id = ?1")?;
    change.execute((from, -(amount as i64)))?;
    change.execute((to, amount as i64))?;
    connection.execute_batch("COMMIT")
}

/// A clerk who transfers at a steady rate until dropped.
#[derive(Debug)]
pub struct Clerk {
    stop: Arc<(Mutex<bool>, Condvar)>,
    done: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Clerk {
    /// Begins to transfer in `path`, about `per_second` times.
    #[must_use]
    pub fn begin(path: &Path, per_second: u32, seed: u64) -> Self {
        let stop = Arc::new((Mutex::new(false), Condvar::new()));
        let done = Arc::new(AtomicU64::new(0));
        let thread = thread::spawn({
            let (path, stop, done) = (path.to_owned(), Arc::clone(&stop), Arc::clone(&done));
            move || run(&path, per_second, seed, &stop, &done)
        });
        Self { stop, done, thread: Some(thread) }
    }

    /// Transfers made so far.
    #[must_use]
    pub fn transfers(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }
}

fn run(path: &PathBuf, per_second: u32, seed: u64, stop: &(Mutex<bool>, Condvar), done: &AtomicU64) {
    let connection = Connection::open(path).expect("the bank opens");
    connection.busy_timeout(Duration::from_secs(30)).expect("SQLite takes a timeout");
    connection.execute_batch("PRAGMA synchronous=OFF").expect("SQLite takes the setting");
    let mut rng = Rng::new(seed);
    loop {
        // A reader may hold the lock for long: the transfer is tried again.
        match transfer(&connection, &mut rng) {
            Ok(()) => {
                done.fetch_add(1, Ordering::Relaxed);
            }
            Err(_) if !connection.is_autocommit() => {
                connection.execute_batch("ROLLBACK").expect("a failed transfer can be undone");
            }
            Err(_) => {}
        }
        let guard = stop.0.lock().unwrap_or_else(PoisonError::into_inner);
        let pause = Duration::from_secs(1) / per_second;
        let (stopped, _) = stop.1.wait_timeout(guard, pause).unwrap_or_else(PoisonError::into_inner);
        if *stopped {
            return;
        }
    }
}

impl Drop for Clerk {
    fn drop(&mut self) {
        *self.stop.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.stop.1.notify_all();
        if let Some(thread) = self.thread.take() {
            let failed = thread.join().is_err();
            assert!(!failed || thread::panicking(), "the clerk failed");
        }
    }
}
