//! The examples below the help of commands, on a terminal that is narrower than they are: what an example does goes to a line of its
//! own. Wrapped as clap wraps text, it would go on at the left, as if it were a command.

use clap::Command;

/// Between a command and what it does, at least.
const GAP: &str = "   ";
/// How far in stands what does not fit beside its command.
const INDENT: &str = "      ";

/// The grammar, with examples that fit on a terminal of `width` columns.
pub(crate) fn fitted(command: Command, width: usize) -> Command {
    let examples = command.get_after_help().map(|text| laid_out(&text.to_string(), width));
    let command = command.mut_subcommands(|inner| fitted(inner, width));
    match examples {
        Some(text) => command.after_help(text),
        None => command,
    }
}

fn laid_out(text: &str, width: usize) -> String {
    let lines = text.lines().map(|line| laid_out_line(line, width));
    lines.collect::<Vec<_>>().join("\n")
}

fn laid_out_line(line: &str, width: usize) -> String {
    let fits = line.chars().count() <= width;
    let split = line.trim_start().find(GAP).map(|at| at + (line.len() - line.trim_start().len()));
    match split {
        Some(at) if !fits && line.starts_with("  ") => {
            let (example, what) = line.split_at(at);
            format!("{example}\n{INDENT}{}", what.trim_start())
        }
        _ => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_example_does_goes_below_it_where_both_do_not_fit() {
        let text = "Examples:\n  ferry dev               here\n  ferry serve --dev       for trying things out, alone";
        assert_eq!(laid_out(text, 80), text);
        let narrow = "Examples:\n  ferry dev               here\n  ferry serve --dev\n      for trying things out, alone";
        assert_eq!(laid_out(text, 40), narrow);
        let inner = Command::new("ferry").subcommand(Command::new("dev").after_help(text));
        let fitted = fitted(inner, 40);
        let dev = fitted.find_subcommand("dev").unwrap();
        assert_eq!(dev.get_after_help().unwrap().to_string(), narrow);
    }
}
