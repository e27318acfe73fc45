//! `ferry migrations restore`: a backup that a deployment made is put back (FUN-67).

use std::path::Path;

use crate::{context::Context, failure::Failure, functions_hub, output, project::Project};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  ferry migrations restore 20261129T230752.123Z_dep_4f2a   as ferry info lists it\n  \
    ferry migrations restore BACKUP --lose-writes --server https://hub.example --database app"
)]
pub(super) struct Args {
    /// Name of the backup
    backup: String,
    /// Let go what was written since
    #[arg(long)]
    lose_writes: bool,
    /// Id or name of the database [default: the project's]
    #[arg(long, value_name = "DB")]
    database: Option<String>,
}

pub(super) async fn run(context: Context, args: Args) -> Result<(), Failure> {
    let project = Project::find(Path::new(".")).ok();
    let json = context.json;
    let hub = functions_hub::of_project(context, project.as_ref(), args.database.as_deref()).await?;
    let restored = hub.client.restore(&args.backup, args.lose_writes).await?;
    if json {
        return output::json(&restored);
    }
    let lost = restored["lost"].as_u64().unwrap_or(0);
    let deployment = restored["deployment"].as_str().unwrap_or("none");
    output::line(format_args!(
        "restored {} at {}: deployment {deployment}, seq {}; {} lost",
        args.backup,
        hub.server,
        restored["seq"],
        if lost == 1 { "1 commit".to_owned() } else { format!("{} commits", output::count(lost)) }
    ))
}
