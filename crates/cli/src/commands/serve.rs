//! `ferry serve`: the hub itself.

use std::process::ExitCode;

pub(crate) type Args = ferry_hub::config::ServeArgs;

pub(crate) fn run(args: Args) -> ExitCode {
    ferry_hub::serve(args)
}
