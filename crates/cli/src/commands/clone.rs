//! `ferry clone DB [FILE]`.

use std::path::PathBuf;

use ferry_client::{admin::DatabaseName, pages::PullOptions};

use crate::{
    commands::{pull, push},
    context::Context,
    failure::Failure,
};

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  ferry clone notes\n  ferry clone team/notes copy.db")]
pub(crate) struct Args {
    /// Id, name or org/name
    db: DatabaseName,
    /// The new file; it must not exist [default: the database's name with .db]
    file: Option<PathBuf>,
    /// An older version: a number, a tag, or a time such as 2026-01-31T12:00:00Z
    #[arg(long, value_name = "VERSION")]
    at: Option<String>,
    /// Keep no base copy beside the file: half the disk, longer pushes
    #[arg(long)]
    no_base: bool,
}

pub(crate) async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    let options = PullOptions { force: false, only_new: true, at: args.at, no_base: args.no_base };
    let cloned = pull::transfer(context, Some(args.db), args.file, options).await?;
    push::report(context, "cloned", &cloned)
}
