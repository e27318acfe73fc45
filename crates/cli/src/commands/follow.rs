//! `ferry follow DB [FILE]`.

use std::{path::PathBuf, sync::Arc};

use ferry_client::{
    pages::{FollowEvent, FollowOptions},
    progress::Silent,
};

use super::{pull, push};
use crate::{context::Context, failure::Failure, output, system};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  ferry follow notes live.db      a copy that stays up to date; read it with any SQLite program\n  \
    ferry follow live.db            a file that was synced before knows its database"
)]
pub(crate) struct Args {
    /// Id, name or org/name; or a file that was synced before
    db: String,
    /// The SQLite file; a new one is made in WAL mode, in which readers never wait [default: the database's name with .db]
    file: Option<PathBuf>,
    /// Replace what other programs write to the file; it is saved first
    #[arg(long)]
    force: bool,
}

pub(crate) async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    let session = context.pages_session()?;
    let (db, file) = pull::database_and_file(args.db, args.file)?;
    let file = pull::file_of(session.admin(), db.as_ref(), file, "follow").await?;
    let client = session.client(Arc::new(Silent));
    // A pause without jitter is no worse than that.
    let random = || system::random_bytes().map_or(0, u64::from_le_bytes);
    let mut told = |followed: FollowEvent| match followed {
        // Who no longer reads what is printed still has the file.
        FollowEvent::At(done) => drop(push::report_line(context, "at", &done)),
        FollowEvent::Lost(error, pause) => {
            output::note(format_args!("{error}; trying again in {:.1} s", pause.as_secs_f32()));
        }
    };
    let options = FollowOptions { force: args.force };
    match client.follow(&file, db.as_ref(), options, &random, &mut told).await? {}
}
