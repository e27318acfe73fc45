//! Reading your writes: the commits that a file holds, and waiting for one of them (`Ferry-Min-Seq`).

use std::{sync::Arc, time::Duration};

use ferry_types::{Error, Reason, Result, Seq, limits::MIN_SEQ_WAIT_MAX_MS};
use rusqlite::{Connection, OptionalExtension as _};

use super::{Database, News, main_of};

/// The newest commit that the file behind `connection` shows.
///
/// # Errors
/// When it cannot be read.
pub fn seq_of(connection: &Connection) -> ferry_sqlite::Result<Seq> {
    let sql = "SELECT value FROM _ferry_meta WHERE key = 'seq'";
    let value = connection.prepare_cached(sql)?.query_row([], |row| row.get(0)).optional()?;
    Ok(Seq(value.unwrap_or(0)))
}

impl Database {
    /// The newest commit on disk; 0 where nothing was ever written.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn seq(self: &Arc<Self>) -> Result<Seq> {
        if !tokio::fs::try_exists(main_of(self.dir())).await.unwrap_or(false) {
            return Ok(Seq(0));
        }
        self.read(seq_of).await
    }

    /// Waits a moment for the commit `least`.
    ///
    /// # Errors
    /// `SEQ_NOT_REACHED`.
    pub async fn reach(self: &Arc<Self>, least: Seq) -> Result<()> {
        let mut seen = self.seq().await?;
        let mut news = self.feed().subscribe(seen);
        let wait = async {
            while seen < least {
                seen = match news.next().await {
                    News::Commits(_) => news.cursor(),
                    News::Resync { newest } => newest,
                };
            }
        };
        tokio::time::timeout(Duration::from_millis(MIN_SEQ_WAIT_MAX_MS), wait).await.map_err(|_| {
            let message = format!("commit {least} has not been made here: the newest is {seen}");
            Error::new(Reason::SeqNotReached, message).retry_after_ms(1_000)
        })
    }
}
