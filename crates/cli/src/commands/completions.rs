//! `ferry completions SHELL`.

use crate::{args, failure::Failure, output};

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    ferry completions bash > ~/.local/share/bash-completion/completions/ferry\n  \
    ferry completions zsh > \"${fpath[1]}/_ferry\"")]
pub(crate) struct Args {
    /// The shell
    shell: clap_complete::Shell,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut args::grammar(), "ferry", &mut script);
    output::verbatim(&script)
}
