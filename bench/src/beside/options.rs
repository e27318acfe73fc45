//! What a benchmark beside other servers can be told on the command line.

use std::time::Duration;

/// The options that all of them have.
pub(crate) const USAGE: &str = "  \
  --seconds N      length of a round (30)\n  \
  --rounds N       rounds per cell, of which the median counts (5)\n  \
  --only WORDS     only cells whose name contains one of these words, separated by commas\n  \
  --without NAMES  leave out servers";

/// How to measure.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) round: Duration,
    pub(crate) rounds: usize,
    only: Vec<String>,
    without: Vec<String>,
}

impl Options {
    /// Reads the words behind the benchmark's name; `counts` are its own options, which take a number above 0. The word
    /// that is not understood is the error.
    pub(crate) fn parse(
        words: impl IntoIterator<Item = String>,
        counts: &mut [(&str, &mut usize)],
    ) -> Result<Self, String> {
        let mut options =
            Self { round: Duration::from_secs(30), rounds: 5, only: Vec::new(), without: Vec::new() };
        let mut words = words.into_iter();
        while let Some(word) = words.next() {
            let value = words.next().ok_or_else(|| format!("{word} needs a value"))?;
            let number = || value.parse::<u32>().map_err(|_| format!("{word}: {value} is no number"));
            let list = || value.split(',').map(str::to_owned).collect();
            match word.as_str() {
                "--seconds" => options.round = Duration::from_secs(number()?.max(1).into()),
                "--rounds" => options.rounds = number()?.max(1) as usize,
                "--only" => options.only = list(),
                "--without" => options.without = list(),
                _ => {
                    let count = counts.iter_mut().find(|(name, _)| *name == word);
                    let (_, count) = count.ok_or_else(|| format!("{word} is not an option"))?;
                    **count = number()?.max(1) as usize;
                }
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

    fn parse(words: &str, counts: &mut [(&str, &mut usize)]) -> Result<Options, String> {
        Options::parse(words.split_whitespace().map(str::to_owned), counts)
    }

    #[test]
    fn numbers_and_lists_are_read() {
        let mut idle = 10;
        let words = "--seconds 2 --rounds 3 --only cold,idle --without reference --idle 7";
        let options = parse(words, &mut [("--idle", &mut idle)]).unwrap();
        assert_eq!((options.round, options.rounds, idle), (Duration::from_secs(2), 3, 7));
        assert!(options.wants("cold pull") && !options.wants("batch 1"));
        assert!(options.leaves_out("reference") && !options.leaves_out("streams"));
        assert!(parse("", &mut []).unwrap().wants("anything"));
    }

    #[test]
    fn what_is_not_understood_is_named() {
        let refused = |words| parse(words, &mut []).unwrap_err();
        assert_eq!(refused("--rounds"), "--rounds needs a value");
        assert_eq!(refused("--rounds many"), "--rounds: many is no number");
        assert_eq!(refused("--round 5"), "--round is not an option");
    }
}
