//! `ferry sync push|pull`: EdgeReplica's commands, with a sync token alone (PAG-72).

use std::{path::PathBuf, sync::Arc};

use clap::Subcommand;
use ferry_client::{
    ClientError, ClientErrorCode,
    pages::file::image::FileAccess,
    pages::{BareTransfer, bare_pull, bare_push},
    progress::Progress,
};
use ferry_types::Code;
use serde_json::json;

use super::push;
use crate::{context::Context, failure::Failure, output, progress::Bars, system::variable};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Push a file as the database that the token names
    #[command(after_help = "Example:\n  FERRY_SYNC_TOKEN=$(ferry db token notes --direction push) \
        ferry sync push --db notes.db")]
    Push(Args),
    /// Make a file what the database that the token names holds; local changes are overwritten
    #[command(after_help = "Example:\n  FERRY_SYNC_TOKEN=$(ferry db token notes --direction pull) \
        ferry sync pull --db copy.db")]
    Pull(Args),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The SQLite file
    #[arg(long, value_name = "PATH")]
    db: PathBuf,
    /// The sync token [env: FERRY_SYNC_TOKEN, EDGEREPLICA_SYNC_TOKEN; prefer those: others see command lines]
    #[arg(long)]
    token: Option<String>,
}

pub(crate) async fn run(context: &Context, command: Command) -> Result<(), Failure> {
    let bars = Arc::new(Bars::new(context.json));
    let progress: Arc<dyn Progress> = Arc::<Bars>::clone(&bars);
    match command {
        Command::Push(args) => {
            let token = token(args.token)?;
            let pushing = bare_push(&context.server, &token, &args.db, FileAccess::Ordinary, progress);
            let done = push::uninterrupted(&bars, pushing).await?;
            report(context, &done, "")
        }
        Command::Pull(args) => {
            let token = token(args.token)?;
            let done = bare_pull(&context.server, &token, &args.db, progress).await?;
            report(context, &done, &format!(" (wrote {} locally)", done.written))
        }
    }
}

fn token(given: Option<String>) -> Result<String, Failure> {
    given
        .or_else(|| variable("FERRY_SYNC_TOKEN"))
        .or_else(|| variable("EDGEREPLICA_SYNC_TOKEN"))
        .map(|token| token.trim().to_owned())
        .ok_or_else(|| {
            let message = "no sync token: set FERRY_SYNC_TOKEN or give --token; ferry db token mints one";
            ClientError::new(ClientErrorCode::Table(Code::Unauthenticated), "NO_TOKEN", message).into()
        })
}

/// EdgeReplica's words, which scripts may read.
fn report(context: &Context, done: &BareTransfer, wrote: &str) -> Result<(), Failure> {
    let moved = done.transferred;
    if context.json {
        return output::json(&json!({
            "pages": moved.pages,
            "bytes": moved.bytes,
            "wire_bytes": moved.wire_bytes,
            "written": done.written,
        }));
    }
    output::line(format_args!("sync complete: {} pages, {} bytes{wrote}", moved.pages, moved.bytes))
}
