//! `ferry restore DB --at VERSION`.

use std::sync::Arc;

use ferry_client::{admin::DatabaseName, progress::Silent};
use serde_json::json;

use crate::{context::Context, failure::Failure, output};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  ferry restore notes --at 41\n  ferry restore notes --at 2026-01-31T12:00:00Z"
)]
pub(crate) struct Args {
    /// Id, name or org/name
    db: DatabaseName,
    /// The version: a number, a tag, or a time
    #[arg(long, value_name = "VERSION")]
    at: String,
}

pub(crate) async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    let session = context.pages_session()?;
    let client = session.client(Arc::new(Silent));
    let done = client.restore(&args.db, &args.at).await?;
    if context.json {
        return output::json(&json!({
            "name": done.name,
            "tag": done.tag.to_string(),
            "before": done.before.to_string(),
            "pages": done.pages,
        }));
    }
    output::line(format_args!(
        "restored {} as {}: {} changed; {} is kept in its history",
        done.name,
        done.tag,
        output::pages(done.pages),
        done.before
    ))
}
