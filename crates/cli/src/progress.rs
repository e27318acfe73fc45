//! Progress bars: on a terminal's stderr only (PAG-71).

use std::{
    io::IsTerminal as _,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use ferry_client::progress::{Progress, Stage};
use indicatif::{ProgressBar, ProgressStyle};

/// Bytes between two updates of the bar: page by page, drawing would cost more than sending.
const UPDATE_EVERY_BYTES: u64 = 256 << 10;

/// A bar per stage, with bytes and rate.
#[derive(Default)]
pub(crate) struct Bars {
    bar: Mutex<Option<ProgressBar>>,
    unshown: AtomicU64,
    visible: bool,
}

impl Bars {
    /// Bars, if stderr is a terminal and the result is for people.
    pub(crate) fn new(json: bool) -> Self {
        Self { visible: !json && std::io::stderr().is_terminal(), ..Self::default() }
    }

    fn replace(&self, bar: Option<ProgressBar>) {
        let mut slot = self.bar.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(old) = std::mem::replace(&mut *slot, bar) {
            old.finish_and_clear();
        }
        self.unshown.store(0, Ordering::Relaxed);
    }
}

impl Progress for Bars {
    fn begin(&self, stage: Stage, total_bytes: Option<u64>) {
        if !self.visible {
            return;
        }
        let template = if total_bytes.is_some() {
            "{msg:10} {bar:30} {bytes}/{total_bytes} {bytes_per_sec}"
        } else {
            "{msg:10} {spinner} {bytes} {bytes_per_sec}"
        };
        let style = ProgressStyle::with_template(template).expect("BUG: the template is fixed");
        let bar = total_bytes.map_or_else(ProgressBar::new_spinner, ProgressBar::new).with_style(style);
        bar.set_message(match stage {
            Stage::Hashing => "hashing",
            Stage::Sending => "sending",
            Stage::Receiving => "receiving",
            Stage::Applying => "applying",
        });
        self.replace(Some(bar));
    }

    fn advance(&self, bytes: u64) {
        if !self.visible {
            return;
        }
        if self.unshown.fetch_add(bytes, Ordering::Relaxed) + bytes >= UPDATE_EVERY_BYTES {
            let due = self.unshown.swap(0, Ordering::Relaxed);
            if let Some(bar) = &*self.bar.lock().unwrap_or_else(PoisonError::into_inner) {
                bar.inc(due);
            }
        }
    }

    fn end(&self) {
        self.replace(None);
    }
}
