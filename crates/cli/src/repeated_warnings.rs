//! Warnings that say the same again and again are shown once a minute, and counted: a log that is full of one thing hides
//! all others.

use std::{
    collections::HashMap,
    fmt::{self, Write as _},
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tracing::{
    Event, Level, Subscriber,
    callsite::Identifier,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};
use tracing_subscriber::{Layer, layer::Context};

/// How long a warning is not shown again.
const SHOWN_EVERY: Duration = Duration::from_secs(60);
/// Different warnings that are remembered at once; further ones are all shown.
const KNOWN_MAX: usize = 1_000;
/// Of the lines that tell how often others were repeated.
const TARGET: &str = "ferry::repeated";
/// Which request it was does not make another warning of it.
const LEFT_OUT: &str = "request_id";

/// The warnings of this minute. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct RepeatedWarnings(Arc<Mutex<HashMap<(Identifier, u64), Repeated>>>);

struct Repeated {
    text: String,
    /// How often it was not shown.
    count: u64,
}

impl RepeatedWarnings {
    /// Whether the warning is new; else it is counted.
    fn is_new(&self, event: &Event<'_>) -> bool {
        let mut said = Said::default();
        event.record(&mut said);
        let mut hasher = DefaultHasher::new();
        said.0.hash(&mut hasher);
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (event.metadata().callsite(), hasher.finish());
        if let Some(repeated) = known.get_mut(&key) {
            repeated.count += 1;
            return false;
        }
        if known.len() < KNOWN_MAX {
            known.insert(key, Repeated { text: said.0, count: 0 });
        }
        true
    }

    /// Forgets all, and tells how often each was repeated.
    pub(crate) fn tell(&self) {
        let known = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        for repeated in known.into_values().filter(|repeated| repeated.count > 0) {
            tracing::warn!(target: TARGET, repeated = repeated.count, warning = repeated.text, "a warning was repeated");
        }
    }

    /// Tells it once a minute, without end.
    pub(crate) async fn tell_each_minute(self) {
        loop {
            tokio::time::sleep(SHOWN_EVERY).await;
            self.tell();
        }
    }
}

/// A layer that is told of everything but warnings that repeat themselves. It is no `Filter`: one that refuses an event of
/// which the layers below were told refuses those after it too (tracing-subscriber 0.3.23).
pub(crate) struct WithoutRepeated<L> {
    pub(crate) layer: L,
    pub(crate) warnings: RepeatedWarnings,
}

impl<S: Subscriber, L: Layer<S>> Layer<S> for WithoutRepeated<L> {
    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let metadata = event.metadata();
        if *metadata.level() != Level::WARN || metadata.target() == TARGET || self.warnings.is_new(event) {
            self.layer.on_event(event, context);
        }
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        self.layer.on_new_span(attributes, id, context);
    }

    fn on_record(&self, span: &Id, values: &Record<'_>, context: Context<'_, S>) {
        self.layer.on_record(span, values, context);
    }

    fn on_enter(&self, id: &Id, context: Context<'_, S>) {
        self.layer.on_enter(id, context);
    }

    fn on_exit(&self, id: &Id, context: Context<'_, S>) {
        self.layer.on_exit(id, context);
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        self.layer.on_close(id, context);
    }
}

/// What an event says, its message first.
#[derive(Default)]
struct Said(String);

impl Visit for Said {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Nothing can go wrong when a text is written to.
        let _ = match field.name() {
            LEFT_OUT => Ok(()),
            "message" => write!(self.0, "{value:?}"),
            name => write!(self.0, " {name}={value:?}"),
        };
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::{filter::LevelFilter, prelude::*};

    use super::*;

    /// Where the lines of a test go.
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    // Verifies: OPR-83
    #[test]
    fn a_warning_is_shown_once_a_minute_and_counted() {
        let (lines, warnings) = (Lines::default(), RepeatedWarnings::default());
        let writer = lines.clone();
        let layer = tracing_subscriber::fmt::layer().with_writer(move || writer.clone()).with_ansi(false);
        let layer = WithoutRepeated { layer, warnings: warnings.clone() }.with_filter(LevelFilter::INFO);
        let shown = tracing_subscriber::registry().with(layer);
        let again = |request: u32, cause: &str| tracing::warn!(request_id = request, cause, "no answer");
        let guard = tracing::subscriber::set_default(shown);
        for request in 0..5 {
            again(request, "refused");
        }
        again(9, "timed out");
        for _ in 0..2 {
            tracing::error!("somebody must act");
        }
        warnings.tell();
        again(10, "refused");
        warnings.tell();
        drop(guard);
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        let count = |word: &str| text.matches(word).count();
        assert_eq!((count("request_id="), count("somebody must act")), (3, 2), "{text}");
        assert_eq!(
            count("a warning was repeated repeated=4 warning=\"no answer cause=\\\"refused\\\"\""),
            1,
            "{text}"
        );
        assert_eq!(count("a warning was repeated"), 1, "{text}");
    }
}
