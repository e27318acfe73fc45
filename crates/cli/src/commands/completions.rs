//! `ferry completions SHELL`.

use crate::{failure::Failure, output};

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    ferry completions bash > ~/.local/share/bash-completion/completions/ferry\n  \
    ferry completions zsh > \"${fpath[1]}/_ferry\"")]
pub(crate) struct Args {
    /// The shell
    shell: clap_complete::Shell,
}

/// `grammar`: the whole command line.
pub(crate) fn run(args: &Args, mut grammar: clap::Command) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut grammar, "ferry", &mut script);
    output::verbatim(&script)
}
