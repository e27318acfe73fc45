//! `ferry logout`.

use ferry_client::ClientErrorCode;
use ferry_types::Code;
use serde_json::json;

use crate::{context::Context, failure::Failure, output, system::variable};

#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  ferry logout --keep-tokens")]
pub(crate) struct Args {
    /// Leave the sync tokens that were minted from this session alive
    #[arg(long)]
    keep_tokens: bool,
}

pub(crate) async fn run(context: &Context, args: &Args) -> Result<(), Failure> {
    let ended = context.admin()?.logout(args.keep_tokens).await;
    match ended {
        Ok(()) => {}
        // A session that the hub does not take any more is over; what is left is to forget it.
        Err(error) if error.code == ClientErrorCode::Table(Code::Unauthenticated) => {}
        Err(error) => return Err(error.into()),
    }
    if variable("FERRY_TOKEN").is_none() {
        context.credentials().forget()?;
    }
    if context.json {
        return output::json(&json!({}));
    }
    output::line("logged out")
}
