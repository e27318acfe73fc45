//! Reading your writes: the commits that a file holds, and waiting for one of them (`Ferry-Min-Seq`).

use std::{sync::Arc, time::Duration};

use ferry_sqlite::meta::seq_of;
use ferry_types::{Error, Reason, Result, Seq, limits::MIN_SEQ_WAIT_MAX_MS};

use crate::{Database, Models};

impl<M: Models> Database<M> {
    /// The newest commit on disk; 0 where nothing was ever written.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn seq(self: &Arc<Self>) -> Result<Seq> {
        if !self.has_file().await {
            return Ok(Seq(0));
        }
        self.read(seq_of).await
    }

    /// The newest commit that was made since the database is held; 0 if none was.
    #[must_use]
    pub fn newest_seq(&self) -> Seq {
        self.newest().now()
    }

    /// Waits a moment for the commit `least`.
    ///
    /// # Errors
    /// `SEQ_NOT_REACHED`.
    pub async fn reach(self: &Arc<Self>, least: Seq) -> Result<()> {
        let seen = self.seq().await?;
        if seen >= least {
            return Ok(());
        }
        let wait = self.newest().wait_for(least);
        tokio::time::timeout(Duration::from_millis(MIN_SEQ_WAIT_MAX_MS), wait).await.map_err(|_| {
            let message = format!("commit {least} has not been made here: the newest is {seen}");
            Error::new(Reason::SeqNotReached, message).retry_after_ms(1_000)
        })
    }

    /// Waits for the commit `least` to be made here, or a later one, as long as that takes. Of commits before the database
    /// was held it knows nothing: look first.
    pub async fn committed(self: &Arc<Self>, least: Seq) {
        self.newest().wait_for(least).await;
    }
}
