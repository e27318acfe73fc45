//! Op-log sync beside a naive log (ops specification, section 7).

mod alone;
mod engine;
mod first_sync;
mod load;
mod naive;
mod served;
mod streams;
mod texts;
mod wire;

use std::process::ExitCode;

use self::{
    engine::{Took, measured},
    naive::Naive,
};
use crate::table::figure;

/// Ops that each of the pushes stores.
const PUSHED: u64 = 50_000;
/// Ops of a batch.
const BATCH: u64 = 500;
/// Ops that the naive log stores: it takes a second for a few thousand.
const NAIVE: u64 = 3_000;
/// Bytes of the body that the shim reads.
const BODY_BYTES: usize = 100 << 20;

/// What may be measured alone.
const PARTS: [&str; 6] = ["engine", "texts", "hub", "ones", "spokes", "streams"];
const USAGE: &str = "  --ops N     ops of the long pulls and snapshots (1000000)
  --only P    engine, texts, hub, ones (pushes of one op), spokes, or streams; all if absent";

/// What is measured.
struct Asked {
    long: u64,
    only: Option<String>,
}

impl Asked {
    fn read(words: impl IntoIterator<Item = String>) -> Option<Self> {
        let mut asked = Self { long: 1_000_000, only: None };
        let mut words = words.into_iter();
        while let Some(word) = words.next() {
            let value = words.next()?;
            match word.as_str() {
                "--ops" => asked.long = value.parse().ok()?,
                "--only" if PARTS.contains(&value.as_str()) => asked.only = Some(value),
                _ => return None,
            }
        }
        Some(asked)
    }

    fn has(&self, part: &str) -> bool {
        self.only.as_deref().is_none_or(|only| only == part)
    }
}

pub(crate) fn run(words: impl IntoIterator<Item = String>) -> ExitCode {
    let Some(asked) = Asked::read(words) else {
        eprintln!("options of ops:\n{USAGE}");
        return ExitCode::from(2);
    };
    let dir = tempfile::tempdir().expect("a temporary folder");
    let naive = Naive::open(&dir.path().join("naive.db"));
    let all = load::batch(load::foreign, 0, NAIVE);
    let (naive_push, ()) = measured(|| naive.push(&all));
    if asked.has("engine") {
        alone::logs(dir.path(), asked.long, &naive, naive_push);
    }
    if asked.has("texts") {
        alone::texts(dir.path());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(served::run(&asked, naive_push.per_second(NAIVE)));
    ExitCode::SUCCESS
}

fn row(name: &str, took: Took, ops: u64, beside: Option<f64>, bar: &str) -> Vec<String> {
    vec![
        name.to_owned(),
        figure(took.per_second(ops), 0),
        beside.map_or_else(|| "–".to_owned(), |beside| figure(took.per_second(ops) / beside, 1)),
        figure(took.cpu_us_per(ops), 2),
        bar.to_owned(),
    ]
}
