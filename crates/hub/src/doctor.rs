//! What `ferry doctor` finds, for whoever operates the hub from afar. The checks are the program's; here is who may ask for them
//! when.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use ferry_types::{Error, Reason, Result};
use futures_util::future::BoxFuture;
use tokio::sync::Semaphore;

use crate::config::Config;

/// How long the checks may take: an RPC ends after 30 s.
const EXAMINATION_MAX: Duration = Duration::from_secs(25);

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DoctorFinding {
    /// `ok`, `warn` or `fail`.
    pub level: &'static str,
    /// The check.
    pub check: &'static str,
    /// What it is, and what to do.
    pub text: String,
}

/// Runs the checks of a hub with these settings, on threads that may wait.
pub type Examine = fn(Config) -> Examining;
/// The checks on their way.
pub type Examining = BoxFuture<'static, Vec<DoctorFinding>>;

/// The checks of a hub.
pub struct Doctor {
    examine: OnceLock<Examine>,
    /// One examination runs at a time: it writes to the disk, and asks others.
    turn: Arc<Semaphore>,
}

impl Default for Doctor {
    fn default() -> Self {
        Self { examine: OnceLock::new(), turn: Arc::new(Semaphore::new(1)) }
    }
}

impl Doctor {
    /// Says how the hub is examined.
    pub fn set(&self, examine: Examine) {
        let _ = self.examine.set(examine);
    }

    /// What is found now.
    ///
    /// # Errors
    /// `BUSY`; a hub that nobody can examine; checks that do not end.
    pub(crate) async fn examine(&self, config: &Config) -> Result<Vec<DoctorFinding>> {
        let unknown = || Error::new(Reason::NotYet, "this hub has no doctor: run ferry doctor beside it");
        let examine = self.examine.get().ok_or_else(unknown)?;
        let turn = Arc::clone(&self.turn).try_acquire_owned().map_err(|_| {
            let message = "the hub is being examined: try again in some seconds; if it goes on being so, something that is \
                           looked at hangs: run ferry doctor on the hub's machine";
            Error::new(Reason::Busy, message).retry_after_ms(5000)
        })?;
        let examining = examine(config.clone());
        // It goes on to its end, whoever still waits for it.
        let examination = tokio::spawn(async move {
            let _turn = turn;
            examining.await
        });
        let examined = tokio::time::timeout(EXAMINATION_MAX, examination).await.map_err(|_| {
            let message =
                "the checks took longer than 25 s: run ferry doctor on the hub's machine, which waits";
            Error::new(Reason::Busy, message)
        })?;
        examined.map_err(|_| Error::internal())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ServeArgs;

    fn a_minute(_: Config) -> Examining {
        Box::pin(async {
            let _ = tokio::time::timeout(Duration::from_secs(60), std::future::pending::<()>()).await;
            Vec::new()
        })
    }

    // Verifies: OPR-88
    #[tokio::test(start_paused = true)]
    async fn one_examination_runs_at_a_time_and_ends() {
        let config = Config::load(&ServeArgs::default(), &Default::default()).unwrap();
        let doctor = Doctor::default();
        assert_eq!(doctor.examine(&config).await.unwrap_err().reason, Reason::NotYet);
        doctor.set(a_minute);
        let (first, second) = tokio::join!(doctor.examine(&config), doctor.examine(&config));
        assert!(first.unwrap_err().message.contains("25 s"));
        assert!(second.unwrap_err().message.contains("being examined"));
        let still = doctor.examine(&config).await.unwrap_err();
        assert!(still.message.contains("being examined"), "nobody waits for it, and it goes on: {still:?}");
        drop(doctor.turn.acquire().await.unwrap());
        assert!(doctor.examine(&config).await.unwrap_err().message.contains("25 s"), "the first has ended");
    }
}
