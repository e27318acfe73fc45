//! What commands print on stdout: lines for people, one JSON document for programs (CLI-02).

use std::io::{self, IsTerminal as _, Write as _};

use serde::Serialize;

use crate::failure::Failure;

/// Prints one line.
pub(crate) fn line(text: impl std::fmt::Display) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{text}")?;
    Ok(stdout.flush()?)
}

/// Prints the one document of `--json`.
pub(crate) fn json(document: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string(document).map_err(|error| Failure::other(format!("JSON: {error}")))?;
    line(text)
}

/// Tells something beside the result, on stderr.
pub(crate) fn note(text: impl std::fmt::Display) {
    // Nothing can be done about a closed stderr.
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Says what is about to be done for good and has the person type the name of what it is done to (CLI-09).
pub(crate) async fn confirm_name(name: &str, warning: &str) -> Result<(), Failure> {
    let prompt = format!("{warning}; type {name} to go on");
    // On a thread of its own, so that Ctrl-C is seen meanwhile.
    let ask = move || dialoguer::Input::new().with_prompt(prompt).allow_empty(true).interact_text();
    let asked: Result<String, _> = tokio::task::spawn_blocking(ask)
        .await
        .map_err(|error| Failure::other(format!("asking panicked: {error}")))?;
    let typed =
        asked.map_err(|dialoguer::Error::IO(error)| Failure::Usage(format!("cannot ask: {error}")))?;
    if typed.trim() == name {
        Ok(())
    } else {
        Err(Failure::Usage(format!("{typed:?} is not {name:?}: nothing was done")))
    }
}

/// Refuses, before anything is sent, what cannot be undone and nobody can be asked about (CLI-09). `doing`: such as
/// "delete the store".
pub(crate) fn require_terminal(doing: &str) -> Result<(), Failure> {
    if io::stdin().is_terminal() && io::stderr().is_terminal() {
        return Ok(());
    }
    Err(Failure::Usage(format!("there is no terminal to ask whether to {doing}: give --yes")))
}

/// `3,649`.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `14.9 MB`, `21 KB`, `512 B`: decimal units, three digits at most.
pub(crate) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KB", "MB", "GB", "TB"];
    let mut unit = 0;
    let mut value = bytes as f64;
    // 999.5 would print as 1000.
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    let decimals = usize::from(unit > 1 && value < 99.95);
    format!("{value:.decimals$} {}", UNITS[unit])
}

/// `1 page`, `2 pages`.
pub(crate) fn pages(number: u64) -> String {
    format!("{} page{}", count(number), if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!(count(7), "7");
        assert_eq!(count(3649), "3,649");
        assert_eq!(count(1_000_000), "1,000,000");
        let sizes: Vec<_> = [0, 512, 21_000, 14_900_000, 999_999, 131_000_000, 2_500_000_000]
            .into_iter()
            .map(bytes)
            .collect();
        assert_eq!(sizes, ["0 B", "512 B", "21 KB", "14.9 MB", "1.0 MB", "131 MB", "2.5 GB"]);
        assert_eq!((pages(1), pages(3649)), ("1 page".into(), "3,649 pages".into()));
    }
}
