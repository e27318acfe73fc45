//! `ferry db delete DB`: asks for the name first (CLI-09).

use std::io::IsTerminal as _;

use ferry_client::admin::DatabaseName;
use serde_json::json;

use crate::{context::Context, failure::Failure, output};

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
    // Before anything is sent: a script without --yes learns of it at once.
    let can_ask = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
    if !args.yes && !can_ask {
        return Err(Failure::Usage(
            "there is no terminal to ask whether to delete the database: give --yes".into(),
        ));
    }
    let admin = context.admin()?;
    let database = admin.database(&args.db).await?;
    if !args.yes {
        let (name, bytes) = (database.name.clone(), database.size_bytes);
        let asked = tokio::task::spawn_blocking(move || confirm(&name, bytes));
        asked.await.map_err(|error| Failure::other(format!("asking panicked: {error}")))??;
    }
    // With the name, so that a database renamed meanwhile is not deleted by an old name.
    admin.delete_database(&database.id, &database.name).await?;
    if context.json {
        return output::json(&json!({}));
    }
    output::line(format_args!("deleted {}", database.id))
}

fn confirm(name: &str, size_bytes: u64) -> Result<(), Failure> {
    let question = format!(
        "this deletes {name} ({}), its history and its credentials; type its name to go on",
        output::bytes(size_bytes)
    );
    let typed: String = dialoguer::Input::new()
        .with_prompt(question)
        .allow_empty(true)
        .interact_text()
        .map_err(|dialoguer::Error::IO(error)| Failure::Usage(format!("cannot ask: {error}")))?;
    if typed.trim() == name {
        Ok(())
    } else {
        Err(Failure::Usage(format!("{typed:?} is not {name:?}: nothing was deleted")))
    }
}
