//! `ferry fork DB NAME`.

use std::sync::Arc;

use ferry_client::{admin::DatabaseName, progress::Silent};

use crate::{context::Context, failure::Failure, output};

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  ferry fork notes notes-test\n  ferry fork notes notes-before --at 41")]
pub(crate) struct Args {
    /// Id, name or org/name
    db: DatabaseName,
    /// Name of the new database, in the same organisation
    name: String,
    /// The version: a number, a tag, or a time [default: the newest]
    #[arg(long, value_name = "VERSION")]
    at: Option<String>,
}

pub(crate) async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    let session = context.pages_session()?;
    let client = session.client(Arc::new(Silent));
    let forked = client.fork(&args.db, &args.name, args.at.as_deref()).await?;
    if context.json {
        return output::json(&forked);
    }
    output::line(format_args!("{} {} {}", forked.id, forked.name, forked.tag))
}
