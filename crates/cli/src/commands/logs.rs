//! `ferry logs`: what functions wrote to the console, and how calls failed.

use std::path::Path;

use ferry_client::functions::LoggedLine;

use crate::{
    context::Context,
    failure::Failure,
    functions_hub,
    log_words::{self, LogStyle},
    output,
    project::Project,
};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  ferry logs                            of the ferry dev that runs here\n  \
    ferry logs --follow --server https://hub.example --database app\n  \
    ferry logs --json"
)]
pub(crate) struct Args {
    /// Go on with each line as it is written; with --json one document per line
    #[arg(long, short)]
    follow: bool,
    /// Begin behind the line of this number
    #[arg(long, value_name = "N")]
    since: Option<u64>,
    /// Id or name of the database [default: the project's]
    #[arg(long, value_name = "DB")]
    database: Option<String>,
}

pub(crate) async fn run(context: Context, args: Args) -> Result<(), Failure> {
    let project = Project::find(Path::new(".")).ok();
    let json = context.json;
    let hub = functions_hub::of_project(context, project.as_ref(), args.database.as_deref()).await?;
    if args.follow {
        let tell = |line: &LoggedLine| match json {
            true => output::json(line),
            false => log_words::tell(line, LogStyle::Full),
        };
        return log_words::follow(&hub.client, args.since, tell).await;
    }
    let mut all = Vec::new();
    let mut logs = hub.client.logs(args.since, false).await?;
    log_words::hand_on(&mut logs, args.since, &mut |line| {
        if json {
            all.push(line.clone());
            return Ok(());
        }
        log_words::tell(line, LogStyle::Full)
    })
    .await?;
    if json { output::json(&all) } else { Ok(()) }
}
