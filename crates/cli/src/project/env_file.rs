//! `.env`: secrets of functions, `NAME=value` a line.

use std::{collections::BTreeMap, fs, io, path::Path};

use crate::failure::Failure;

/// Reads one; none is empty.
pub(crate) fn read(path: &Path) -> Result<BTreeMap<String, String>, Failure> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(error) => return Err(Failure::Usage(format!("{}: {error}", path.display()))),
    };
    parse(&text).map_err(|line| {
        // The line may hold a secret.
        Failure::Usage(format!("{}: line {line} is not NAME=value", path.display()))
    })
}

/// The names and values of a text; else the number of a line that is neither that, nor empty, nor a comment.
fn parse(text: &str) -> Result<BTreeMap<String, String>, usize> {
    let mut found = BTreeMap::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (name, value) = line.split_once('=').ok_or(number + 1)?;
        let name = name.trim().trim_start_matches("export ").trim();
        let is_name = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
            && name.starts_with(|c: char| !c.is_ascii_digit());
        if !is_name {
            return Err(number + 1);
        }
        found.insert(name.to_owned(), unquoted(value.trim()));
    }
    Ok(found)
}

fn unquoted(value: &str) -> String {
    let inside =
        |quote: char| value.strip_prefix(quote).and_then(|rest| Some(rest.split_once(quote)?.0.to_owned()));
    match (inside('"'), inside('\'')) {
        (Some(text), _) => text.replace("\\n", "\n"),
        (None, Some(text)) => text,
        (None, None) => value.split(" #").next().unwrap_or_default().trim_end().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_as_other_tools_read_them() {
        let text = "# secrets\n\nA=1\nexport B = two words # why\nC=\"x # y\\nz\"\nD='$A'\nE=\n";
        let found: Vec<(String, String)> = parse(text).unwrap().into_iter().collect();
        let expected = [("A", "1"), ("B", "two words"), ("C", "x # y\nz"), ("D", "$A"), ("E", "")];
        assert_eq!(found, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert_eq!((parse("A=1\nnonsense"), parse("1A=2")), (Err(2), Err(1)));
    }
}
