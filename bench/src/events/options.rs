//! What `events` can be told on the command line.

use std::time::Duration;

pub(crate) const USAGE: &str = "options of events:\n  \
  --seconds N      length of a round (30)\n  \
  --rounds N       rounds per cell, of which the median counts (5)\n  \
  --only WORDS     only cells whose name contains one of these words, separated by commas\n  \
  --cold N         events of the cold pull (100000)\n  \
  --idle N         idle live pulls (10000)\n  \
  --without NAMES  leave out servers: ferry, reference, streams\n\n\
The reference needs Node 20 and npm, durable-streams is built with cargo; what cannot be had is left out and said.";

/// How to measure.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) round: Duration,
    pub(crate) rounds: usize,
    only: Vec<String>,
    pub(crate) cold_events: u64,
    pub(crate) idle_pulls: usize,
    without: Vec<String>,
}

impl Options {
    /// Reads the words behind `events`; the word that is not understood is the error.
    pub(crate) fn parse(words: impl IntoIterator<Item = String>) -> Result<Self, String> {
        let mut options = Self {
            round: Duration::from_secs(30),
            rounds: 5,
            only: Vec::new(),
            cold_events: 100_000,
            idle_pulls: 10_000,
            without: Vec::new(),
        };
        let mut words = words.into_iter();
        while let Some(word) = words.next() {
            let value = words.next().ok_or_else(|| format!("{word} needs a value"))?;
            let number = || value.parse::<u64>().map_err(|_| format!("{word}: {value} is no number"));
            let list = || value.split(',').map(str::to_owned).collect();
            match word.as_str() {
                "--seconds" => options.round = Duration::from_secs(number()?.max(1)),
                "--rounds" => options.rounds = usize::try_from(number()?.max(1)).unwrap_or(usize::MAX),
                "--only" => options.only = list(),
                "--cold" => options.cold_events = number()?.max(1),
                "--idle" => options.idle_pulls = usize::try_from(number()?.max(1)).unwrap_or(usize::MAX),
                "--without" => options.without = list(),
                _ => return Err(format!("{word} is not an option")),
            }
        }
        Ok(options)
    }

    /// Whether the cell called `name` is wanted.
    pub(crate) fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|word| name.contains(word.as_str()))
    }

    /// Whether the server called `name` is left out.
    pub(crate) fn leaves_out(&self, name: &str) -> bool {
        self.without.iter().any(|word| word == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &str) -> Result<Options, String> {
        Options::parse(words.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn numbers_and_lists_are_read() {
        let options = parse("--seconds 2 --rounds 3 --only cold,idle --without reference").unwrap();
        assert_eq!((options.round, options.rounds), (Duration::from_secs(2), 3));
        assert!(options.wants("cold pull") && !options.wants("batch 1"));
        assert!(options.leaves_out("reference") && !options.leaves_out("streams"));
        assert!(parse("").unwrap().wants("anything"));
    }

    #[test]
    fn what_is_not_understood_is_named() {
        assert_eq!(parse("--rounds").unwrap_err(), "--rounds needs a value");
        assert_eq!(parse("--rounds many").unwrap_err(), "--rounds: many is no number");
        assert_eq!(parse("--round 5").unwrap_err(), "--round is not an option");
    }
}
