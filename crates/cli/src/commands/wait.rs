//! `ferry wait FILE VERSION`.

use std::{path::PathBuf, time::Duration};

use ferry_client::{ClientError, ClientErrorCode, pages::Replica};
use ferry_types::Code;
use serde_json::json;

use crate::{context::Context, failure::Failure, output};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  ferry wait live.db 43               until the followed file contains version 43\n  \
    ferry wait live.db 43 --timeout 5"
)]
pub(crate) struct Args {
    /// The SQLite file, which ferry follow or ferry pull brings up to date
    file: PathBuf,
    /// The version: what Ferry-Seq of a write's answer says, or ferry push
    #[arg(value_name = "VERSION")]
    number: u64,
    /// Give up after so many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    timeout: u64,
}

pub(crate) async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    let replica = Replica::new(args.file.clone());
    let waiting = replica.wait_for(args.number);
    let Ok(found) = tokio::time::timeout(Duration::from_secs(args.timeout), waiting).await else {
        let at =
            replica.version().await?.map_or_else(|| "at no version".to_owned(), |tag| format!("at {tag}"));
        let message = format!(
            "{} is {at}, not at version {} after {} s: is ferry follow running?",
            args.file.display(),
            args.number,
            args.timeout
        );
        let code = ClientErrorCode::Table(Code::DeadlineExceeded);
        return Err(ClientError::new(code, "NOT_REACHED", message).into());
    };
    let tag = found?;
    if context.json {
        return output::json(&json!({ "version": tag.version, "tag": tag.to_string() }));
    }
    output::line(tag)
}
