//! What a database that is not there yet is made of: the tables of the model that writes it first.

use std::sync::{
    LazyLock,
    atomic::{AtomicBool, Ordering},
};

use ferry_core::{events::schema, records::sqlite::SqliteRecords};
use ferry_sqlite::{Blank, Result};
use ferry_types::Model;

/// Made once by SQLite itself, and copied from then on.
static EVENTS: LazyLock<Result<Blank>> = LazyLock::new(|| Blank::with(|sql| schema::create_tables(sql)));
static RECORDS: LazyLock<Result<Blank>> =
    LazyLock::new(|| Blank::with(|sql| SqliteRecords::create(sql).map(drop)));
static BARE: LazyLock<Result<Blank>> = LazyLock::new(|| Blank::with(|_| Ok(())));

/// Which model writes a database first.
#[derive(Default)]
pub(super) struct First {
    events: AtomicBool,
    records: AtomicBool,
}

impl First {
    /// `model` is about to write, and its tables may be missing.
    pub(super) fn note(&self, model: Model) {
        match model {
            Model::Events => self.events.store(true, Ordering::Relaxed),
            Model::Records => self.records.store(true, Ordering::Relaxed),
            Model::Pages | Model::Ops | Model::Functions => {}
        }
    }

    /// What the file is made of, if it has to be made.
    pub(super) fn blank(&self) -> Result<&'static Blank> {
        let blank = match (self.events.load(Ordering::Relaxed), self.records.load(Ordering::Relaxed)) {
            (true, false) => &*EVENTS,
            (false, true) => &*RECORDS,
            // Of two that begin together each makes its own.
            _ => &*BARE,
        };
        blank.as_ref().map_err(|error| ferry_sqlite::Error::Damaged(format!("a new database: {error}")))
    }
}
