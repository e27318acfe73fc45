//! `ferry verify FILE`.

use std::{path::PathBuf, sync::Arc};

use ferry_client::ClientError;
use serde_json::json;

use crate::{context::Context, failure::Failure, output, progress::Bars};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  ferry verify notes.db     exit code 11 if it is not what the hub has, or damaged"
)]
pub(crate) struct Args {
    /// A file that was synced before
    file: PathBuf,
}

pub(crate) async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    let session = context.pages_session()?;
    let client = session.client(Arc::new(Bars::new(context.json)));
    let found = client.verify(&args.file).await?;
    let tag = found.synced.tag().map_or_else(String::new, |tag| tag.to_string());
    if context.json {
        output::json(&json!({
            "tag": tag,
            "root": found.root.to_string(),
            "root_is_hubs": found.is_hubs,
            "integrity": found.integrity,
            "holds": found.holds(),
        }))?;
    } else {
        let root = match (found.root == found.synced.root, found.is_hubs) {
            (true, Some(true)) => "is the hub's".to_owned(),
            (true, None) => format!("is that of {tag}, which the hub no longer keeps"),
            (false, _) => {
                "is not that of the version it was synced with: ferry diff shows what was changed".to_owned()
            }
            (true, Some(false)) => "is not what the hub has for this version".to_owned(),
        };
        output::line(format_args!("{tag}: root {root}; integrity check: {}", found.integrity))?;
    }
    if found.holds() {
        return Ok(());
    }
    let message = format!("{} is not {tag} as the hub has it, or is damaged", args.file.display());
    Err(ClientError::unverified(message).into())
}
