//! What is read and encoded once for everybody who has caught up. A *tail* holds the newest pages of one view of an
//! owner's records. Whoever stands where a page begins takes it from there; whoever stands elsewhere, or whom the page
//! does not suit, reads the state as before. Nothing is queued per reader, and nothing here has to be kept.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use ferry_types::limits::{RECORDS_TAIL_MAX_BYTES, RECORDS_TAIL_MAX_PAGES};
use tokio::sync::watch;

/// A page that many readers take.
#[derive(Debug)]
pub(super) struct Page<T> {
    /// It is complete for readers that have everything up to here, or up to any place before its end.
    pub(super) from: i64,
    /// Where its readers stand behind it.
    pub(super) until: i64,
    /// Devices that need a page of their own, since they wrote some of it.
    pub(super) writers: Vec<String>,
    /// No device can use it, only readers that do not say which device they are.
    pub(super) only_nameless: bool,
    /// Bytes that the page holds.
    pub(super) bytes: usize,
    /// What is sent.
    pub(super) content: T,
}

/// The newest pages of a view, in order, without gap.
#[derive(Debug)]
pub(super) struct Recent<T> {
    pages: VecDeque<Arc<Page<T>>>,
    bytes: usize,
    until: i64,
}

/// What a reader does with the news.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step<T> {
    /// It has everything.
    Wait,
    /// It takes this page.
    Take(T),
    /// It reads the state.
    Look,
}

impl<T> Default for Recent<T> {
    fn default() -> Self {
        Self { pages: VecDeque::new(), bytes: 0, until: i64::MIN }
    }
}

impl<T> Recent<T> {
    /// Where readers stand who have everything.
    pub(super) const fn until(&self) -> i64 {
        self.until
    }

    /// Adds the page behind the newest one.
    pub(super) fn add(&mut self, page: Page<T>) {
        self.until = page.until;
        self.bytes += page.bytes;
        self.pages.push_back(Arc::new(page));
        while self.pages.len() > RECORDS_TAIL_MAX_PAGES || self.bytes > RECORDS_TAIL_MAX_BYTES {
            let Some(oldest) = self.pages.pop_front() else { break };
            self.bytes -= oldest.bytes;
        }
    }

    /// Goes on from `until`, where no page leads: everybody before it reads the state.
    pub(super) fn skip_to(&mut self, until: i64) {
        *self = Self { until, ..Self::default() };
    }

    /// What a reader at `cursor` does next. `device`: who it is, if it says so.
    pub(super) fn step(&self, cursor: i64, device: Option<&str>) -> Step<Arc<Page<T>>> {
        if cursor >= self.until {
            return Step::Wait;
        }
        let Some(page) = self.pages.iter().find(|page| page.until > cursor) else { return Step::Look };
        let suits = device
            .is_none_or(|device| !page.only_nameless && !page.writers.iter().any(|writer| writer == device));
        if page.from <= cursor && suits { Step::Take(Arc::clone(page)) } else { Step::Look }
    }
}

/// The tails of one owner, by what they show. Each lives as long as somebody reads it.
pub(super) struct Tails<T>(Mutex<HashMap<Arc<str>, watch::Sender<Recent<T>>>>);

/// The end of a tail that one task writes.
pub(super) struct Writing<T> {
    name: Arc<str>,
    sender: watch::Sender<Recent<T>>,
}

impl<T> Default for Tails<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T> Tails<T> {
    /// A reader of the tail called `name`; whoever gets the other end too has to write it.
    pub(super) fn read(&self, name: &str) -> (watch::Receiver<Recent<T>>, Option<Writing<T>>) {
        let mut tails = self.lock();
        if let Some(sender) = tails.get(name) {
            return (sender.subscribe(), None);
        }
        let (sender, receiver) = watch::channel(Recent::default());
        let name: Arc<str> = name.into();
        tails.insert(Arc::clone(&name), sender.clone());
        (receiver, Some(Writing { name, sender }))
    }

    /// Whether nobody reads a tail any more: then it is forgotten, and its writer ends.
    pub(super) fn is_over(&self, writing: &Writing<T>) -> bool {
        let mut tails = self.lock();
        let is_over = writing.sender.receiver_count() == 0;
        if is_over {
            tails.remove(&writing.name);
        }
        is_over
    }

    /// Gives a tail up; its readers are told so.
    pub(super) fn give_up(&self, writing: Writing<T>) {
        self.lock().remove(&writing.name);
        drop(writing);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, watch::Sender<Recent<T>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Writing<T> {
    /// Changes the tail and wakes its readers.
    pub(super) fn write(&self, change: impl FnOnce(&mut Recent<T>)) {
        self.sender.send_modify(change);
    }

    /// Waits until nobody reads it.
    pub(super) async fn unread(&self) {
        self.sender.closed().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(from: i64, until: i64, bytes: usize) -> Page<&'static str> {
        Page { from, until, writers: vec!["a".into()], only_nameless: false, bytes, content: "" }
    }

    fn step(recent: &Recent<&'static str>, cursor: i64, device: Option<&str>) -> Step<(i64, i64)> {
        match recent.step(cursor, device) {
            Step::Take(page) => Step::Take((page.from, page.until)),
            Step::Wait => Step::Wait,
            Step::Look => Step::Look,
        }
    }

    #[test]
    fn a_reader_takes_page_after_page_or_reads_the_state() {
        let mut recent = Recent::default();
        assert_eq!(step(&recent, 0, None), Step::Wait, "nothing is known yet");
        recent.skip_to(8);
        assert_eq!(step(&recent, 0, None), Step::Look);
        recent.add(page(8, 16, 1));
        recent.add(page(16, 32, 1));
        assert_eq!(step(&recent, 0, None), Step::Look, "it missed what was before the pages");
        assert_eq!(step(&recent, 8, None), Step::Take((8, 16)));
        assert_eq!(step(&recent, 24, None), Step::Take((16, 32)), "some of it twice, nothing never");
        assert_eq!(step(&recent, 32, None), Step::Wait);
        assert_eq!(step(&recent, 40, None), Step::Wait, "it read further than the tail");
    }

    #[test]
    fn who_wrote_reads_for_itself() {
        let mut recent = Recent::default();
        recent.skip_to(8);
        recent.add(page(8, 16, 1));
        assert_eq!(step(&recent, 8, Some("a")), Step::Look);
        assert_eq!(step(&recent, 8, Some("b")), Step::Take((8, 16)));
        recent.add(Page { only_nameless: true, ..page(16, 24, 1) });
        assert_eq!(step(&recent, 16, Some("b")), Step::Look);
        assert_eq!(step(&recent, 16, None), Step::Take((16, 24)));
    }

    #[test]
    fn a_tail_is_bounded() {
        let mut recent = Recent::default();
        recent.skip_to(0);
        for number in 0..100 {
            recent.add(page(number, number + 1, RECORDS_TAIL_MAX_BYTES / 2));
        }
        assert_eq!(step(&recent, 97, None), Step::Look);
        assert_eq!(step(&recent, 98, None), Step::Take((98, 99)));
        recent.add(page(100, 101, RECORDS_TAIL_MAX_BYTES + 1));
        assert_eq!(step(&recent, 100, None), Step::Look, "too large to be kept");
    }

    #[tokio::test]
    async fn a_tail_lives_as_long_as_somebody_reads_it() {
        let tails = Tails::<()>::default();
        let (one, writing) = tails.read("all");
        let writing = writing.expect("the first reader finds no writer");
        let (other, second) = tails.read("all");
        assert!(second.is_none());
        drop(one);
        assert!(!tails.is_over(&writing));
        drop(other);
        writing.unread().await;
        let (mut again, _) = tails.read("all");
        assert!(!tails.is_over(&writing), "somebody came meanwhile");
        tails.give_up(writing);
        assert!(again.changed().await.is_err(), "its reader is told");
        assert!(tails.read("all").1.is_some());
    }
}
