//! `ferry man DIR`: the manual pages, one for each command.

use std::path::PathBuf;

use crate::{failure::Failure, output};

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  ferry man ~/.local/share/man/man1        then: man ferry-serve\n  \
    ferry man man1")]
pub(crate) struct Args {
    /// Folder for the pages; made if it is missing
    dir: PathBuf,
}

/// `grammar`: the whole command line.
pub(crate) fn run(json: bool, args: &Args, grammar: clap::Command) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::other(format!("{}: {error}", args.dir.display()));
    std::fs::create_dir_all(&args.dir).map_err(failed)?;
    clap_mangen::generate_to(grammar, &args.dir).map_err(failed)?;
    if json {
        return output::json(&serde_json::json!({ "dir": args.dir }));
    }
    output::line(format_args!("manual pages in {}", args.dir.display()))
}
