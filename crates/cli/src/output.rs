//! What commands print: lines and tables for people, one JSON document for programs (CLI-02). Everything goes through
//! here, and what came from outside cannot steer the terminal: control characters are shown, not sent.

use std::{
    io::{self, IsTerminal as _, Write},
    process::ExitCode,
};

use ferry_types::printable;
use serde::Serialize;

use crate::failure::Failure;

/// Names that are listed where none is alike.
const NAMES_SHOWN: usize = 5;

/// Prints one line.
pub(crate) fn line(text: impl std::fmt::Display) -> Result<(), Failure> {
    write(printable(&text.to_string()).as_ref())
}

/// Prints the fields of one thing, as programs may read them too: with a tab between two.
pub(crate) fn row(fields: &[&str]) -> Result<(), Failure> {
    let fields: Vec<_> = fields.iter().map(|field| printable(field)).collect();
    write(&fields.join("\t"))
}

/// Prints text of our own that has more than one line.
pub(crate) fn block(text: impl std::fmt::Display) -> Result<(), Failure> {
    text.to_string().lines().try_for_each(line)
}

/// Prints the one document of `--json`.
pub(crate) fn json(document: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string(document).map_err(|error| Failure::other(format!("JSON: {error}")))?;
    json_text(&text)
}

/// Prints a document that is JSON already. A line feed in it stands between its members, as a blank does.
pub(crate) fn json_text(text: &str) -> Result<(), Failure> {
    line(text.replace(['\n', '\r', '\t'], " "))
}

fn write(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{text}")?;
    Ok(stdout.flush()?)
}

/// Where what is exported goes: stdout byte by byte, or, if that is a terminal, line by line as people may see it.
pub(crate) fn exported() -> Box<dyn Write + Send> {
    if io::stdout().is_terminal() {
        Box::new(Printable::new(io::stdout()))
    } else {
        Box::new(io::BufWriter::new(io::stdout()))
    }
}

/// Writes text of our own to stdout as it is.
pub(crate) fn verbatim(text: &[u8]) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text)?;
    Ok(stdout.flush()?)
}

/// Tells something beside the result, on stderr.
pub(crate) fn note(text: impl std::fmt::Display) {
    // Nothing can be done about a closed stderr.
    let _ = writeln!(io::stderr().lock(), "{}", printable(&text.to_string()));
}

/// Prints the failure on stderr, as a line or as JSON, and gives the exit code.
pub(crate) fn failure(failure: &Failure, json: bool) -> ExitCode {
    match failure {
        Failure::PipeClosed => {}
        failure if json => note(failure.to_json()),
        failure => note(format_args!("error: {failure}")),
    }
    ExitCode::from(failure.exit_code())
}

/// Asks something on stderr; the answer stands in the same line.
pub(crate) fn ask(question: &str) {
    let mut stderr = io::stderr().lock();
    // As for a note.
    let _ = write!(stderr, "{}: ", printable(question)).and_then(|()| stderr.flush());
}

/// Where log lines go, each written at once.
pub(crate) const fn log() -> LogLine {
    LogLine
}

/// One log line: a line feed inside came from a value, and begins no other line.
pub(crate) struct LogLine;

impl Write for LogLine {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        let line = text.strip_suffix('\n').unwrap_or(&text);
        writeln!(io::stderr().lock(), "{}", printable(line))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Passes lines on with what a terminal would obey escaped.
struct Printable<W: Write> {
    out: W,
    rest: Vec<u8>,
}

impl<W: Write> Printable<W> {
    const fn new(out: W) -> Self {
        Self { out, rest: Vec::new() }
    }
}

impl<W: Write> Write for Printable<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.rest.extend_from_slice(bytes);
        if let Some(end) = self.rest.iter().rposition(|byte| *byte == b'\n') {
            let whole: Vec<u8> = self.rest.drain(..=end).collect();
            for line in String::from_utf8_lossy(&whole).lines() {
                writeln!(self.out, "{}", printable(line))?;
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

impl<W: Write> Drop for Printable<W> {
    fn drop(&mut self) {
        if !self.rest.is_empty() {
            // A last line without its end; a closed stream cannot be told anything.
            let _ = writeln!(self.out, "{}", printable(&String::from_utf8_lossy(&self.rest)));
        }
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

/// `a, b and 7 more`.
pub(crate) fn some_of(names: &[impl AsRef<str>]) -> String {
    let shown = names.iter().take(NAMES_SHOWN).map(AsRef::as_ref).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(NAMES_SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// `3,649`.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
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
    fn numbers_are_formatted_for_people() {
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
