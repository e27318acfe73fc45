//! `ferry db delete DB`: asks for the name first (CLI-09).

use ferry_client::admin::DatabaseName;
use serde_json::json;

use crate::{context::Context, failure::Failure, output, prompt};

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  ferry db delete notes\n  ferry db delete notes --yes")]
pub(crate) struct Args {
    /// Id, name or org/name
    db: DatabaseName,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

pub(super) async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    if !args.yes {
        output::require_terminal("delete the database")?;
    }
    let admin = context.admin()?;
    let database = admin.database(&args.db).await?;
    if !args.yes {
        let warning = format!(
            "this deletes {} ({}), its history and its credentials",
            database.name,
            output::bytes(database.size_bytes)
        );
        prompt::confirm_name(&database.name, &warning).await?;
    }
    // With the name, so that a database renamed meanwhile is not deleted by an old name.
    admin.delete_database(&database.id, &database.name).await?;
    if context.json {
        return output::json(&json!({}));
    }
    output::line(format_args!("deleted {}", database.id))
}
