//! Benchmarks in which the hub stands beside other servers: the same workloads in interleaved rounds, each server a
//! process of its own over a fresh folder.

pub(crate) mod http;
pub(crate) mod load;
pub(crate) mod options;
pub(crate) mod process;

use ferry_testkit::process::Usage;

use self::{
    load::{Cell, Measure},
    options::Options,
};
use crate::table;

/// A server that can be measured.
pub(crate) trait Kind: Copy + PartialEq + 'static {
    /// All of them, the hub first.
    const ALL: &'static [Self];
    type Server: Server;

    /// Its name in the tables and on the command line.
    fn name(self) -> &'static str;

    /// What its answer to a write means.
    fn durability(self) -> &'static str;

    /// Starts it; the reason why it cannot be had here is the error.
    fn start(self) -> Result<Self::Server, String>;

    /// Starts it again, once it is known to be there.
    fn started(self) -> Self::Server {
        self.start().unwrap_or_else(|reason| panic!("{}: {reason}", self.name()))
    }
}

/// A running server. It ends when dropped.
pub(crate) trait Server {
    type Writer: Writer;
    type Reader: Reader;

    /// A connection that writes to a log of its own, which it makes if need be.
    async fn writer(&self, log: &str) -> Self::Writer;

    /// A connection that receives everything new in a log.
    async fn reader(&self, log: &str) -> Self::Reader;

    /// What its processes have used.
    fn usage(&self) -> Usage;
}

pub(crate) trait Writer: 'static {
    /// Writes so many events in one request, and waits for the answer.
    async fn push(&mut self, count: u64);
}

pub(crate) trait Reader: 'static {
    /// Whether it receives only what comes after it, and not of the log's beginning.
    fn starts_at_end(&self) -> bool {
        false
    }

    /// Waits for the next frame with news.
    async fn next(&mut self) -> News;
}

/// What a frame tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// So many events.
    Events(u64),
    /// That there is something new, up to now.
    Something,
}

/// The servers that can be had here, and what their answers mean.
pub(crate) fn available<K: Kind>(options: &Options) -> Vec<K> {
    let mut found = Vec::new();
    for kind in K::ALL {
        if options.leaves_out(kind.name()) {
            println!("Without {}: left out.", kind.name());
            continue;
        }
        match kind.start() {
            Ok(_) => found.push(*kind),
            Err(reason) => println!("Without {}: {reason}.", kind.name()),
        }
    }
    println!("\nWhat an answer means:\n");
    for kind in &found {
        println!("- {}: {}.", kind.name(), kind.durability());
    }
    found
}

/// A cell on one server.
pub(crate) struct Place<'c, K> {
    pub(crate) cell: &'c Cell,
    pub(crate) kind: K,
    pub(crate) rounds: Vec<Measure>,
}

impl<K> Place<'_, K> {
    /// The median of a figure.
    pub(crate) fn middle(&self, pick: impl Fn(&Measure) -> f64) -> f64 {
        table::median_of(&self.rounds, pick)
    }

    /// The medians of two figures.
    pub(crate) fn pair(&self, pick: impl Fn(&Measure) -> load::Percentiles) -> String {
        let (p50, p99) = (self.middle(|measure| pick(measure).p50), self.middle(|measure| pick(measure).p99));
        format!("{} / {}", table::figure(p50, 2), table::figure(p99, 2))
    }
}

/// Runs all wanted cells on all servers, in turns.
pub(crate) async fn grid<'c, K: Kind>(
    cells: &'c [Cell],
    kinds: &[K],
    options: &Options,
) -> Vec<Place<'c, K>> {
    let cells = cells.iter().filter(|cell| options.wants(cell.name));
    let place = |cell, kind: &K| Place { cell, kind: *kind, rounds: Vec::new() };
    let mut places: Vec<_> = cells.flat_map(|cell| kinds.iter().map(move |kind| place(cell, kind))).collect();
    for _ in 0..options.rounds {
        for place in &mut places {
            // A server of its own: no round stands on what another one left.
            let server = place.kind.started();
            place.rounds.push(load::run(&server, place.cell, options.round).await);
        }
    }
    places
}

/// The rate of a place beside that of `base` in the same cell.
pub(crate) fn ratio<K: Kind>(places: &[Place<'_, K>], place: &Place<'_, K>, base: K) -> f64 {
    let rate = |place: &Place<'_, K>| place.middle(|measure| measure.events_per_second);
    let beside = places.iter().find(|other| other.cell.name == place.cell.name && other.kind == base);
    beside.map_or(f64::NAN, |beside| rate(place) / rate(beside))
}
