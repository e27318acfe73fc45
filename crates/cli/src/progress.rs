//! Progress bars: on a terminal's stderr only (PAG-71).

use std::{
    io::IsTerminal as _,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use ferry_client::progress::{Progress, TransferPhase};
use indicatif::{ProgressBar, ProgressStyle};

/// Bytes between two updates of the bar: page by page, drawing would cost more than sending.
const UPDATE_EVERY_BYTES: u64 = 256 << 10;

/// How often a stage without bytes shows that it lives.
const TICK: Duration = Duration::from_millis(200);

/// A bar per stage: what is done of what, how fast, and the time left.
#[derive(Default)]
pub(crate) struct Bars {
    bar: Mutex<Option<ProgressBar>>,
    unshown: AtomicU64,
    visible: bool,
    stage: Mutex<Option<TransferPhase>>,
    is_idle: AtomicBool,
}

impl Bars {
    /// Bars, if stderr is a terminal and the result is for people.
    pub(crate) fn new(json: bool) -> Self {
        Self { visible: !json && std::io::stderr().is_terminal(), ..Self::default() }
    }

    /// The stage that was begun last.
    pub(crate) fn stage(&self) -> Option<TransferPhase> {
        *self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whatever was begun is done, and told; nothing is under way until the next stage begins.
    pub(crate) fn rest(&self) {
        self.is_idle.store(true, Ordering::Relaxed);
    }

    /// Whether nothing is under way since [`Self::rest`].
    pub(crate) fn is_idle(&self) -> bool {
        self.is_idle.load(Ordering::Relaxed)
    }

    fn replace(&self, bar: Option<ProgressBar>) {
        let mut slot = self.bar.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(old) = std::mem::replace(&mut *slot, bar) {
            old.finish_and_clear();
        }
        self.unshown.store(0, Ordering::Relaxed);
    }

    fn change(&self, change: impl FnOnce(&ProgressBar)) {
        if let Some(bar) = &*self.bar.lock().unwrap_or_else(PoisonError::into_inner) {
            change(bar);
        }
    }
}

impl Progress for Bars {
    fn begin(&self, stage: TransferPhase, total_bytes: Option<u64>) {
        self.is_idle.store(false, Ordering::Relaxed);
        *self.stage.lock().unwrap_or_else(PoisonError::into_inner) = Some(stage);
        self.replace(self.visible.then(|| bar_of(stage, total_bytes)));
    }

    fn expect(&self, bytes: u64) {
        self.change(|bar| bar.inc_length(bytes));
    }

    fn advance(&self, bytes: u64) {
        if !self.visible {
            return;
        }
        if self.unshown.fetch_add(bytes, Ordering::Relaxed) + bytes >= UPDATE_EVERY_BYTES {
            let due = self.unshown.swap(0, Ordering::Relaxed);
            self.change(|bar| bar.inc(due));
        }
    }

    fn end(&self) {
        self.replace(None);
    }
}

/// It fits 80 columns.
fn bar_of(stage: TransferPhase, total_bytes: Option<u64>) -> ProgressBar {
    let (message, template) = match stage {
        TransferPhase::Hashing => ("hashing", None),
        TransferPhase::Sending => ("sending", None),
        TransferPhase::Receiving => ("receiving", None),
        TransferPhase::Applying => ("applying", None),
        TransferPhase::Checking => ("all is sent; the hub checks it", Some("{msg} {spinner} {elapsed}")),
        TransferPhase::Committing => ("all is sent; the hub commits it", Some("{msg} {spinner} {elapsed}")),
    };
    let template = template.unwrap_or(if total_bytes.is_some() {
        "{msg:10} {bar:20} {decimal_bytes}/{decimal_total_bytes} {decimal_bytes_per_sec} {eta} left"
    } else {
        "{msg:10} {spinner} {decimal_bytes} {decimal_bytes_per_sec}"
    });
    let style = ProgressStyle::with_template(template).expect("BUG: the template is fixed");
    let bar = total_bytes.map_or_else(ProgressBar::new_spinner, ProgressBar::new).with_style(style);
    bar.set_message(message);
    bar.enable_steady_tick(TICK);
    bar
}
