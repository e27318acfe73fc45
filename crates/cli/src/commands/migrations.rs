//! `ferry migrations`: the files that bring databases from schema to schema (FUN-60).

mod merge;
mod restore;

use std::path::Path;

use clap::Subcommand;
use serde_json::json;

use super::deploy;
use crate::{
    context::Context,
    decisions::DecisionFlags,
    failure::Failure,
    output,
    project::{Project, dev_decisions, migrations::Migrations},
};

#[derive(Debug, clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:\n  ferry migrations                      write what the files lack, as one more file\n  \
        ferry migrations add-emails           call it that\n  \
        ferry migrations --rename users.name=users.full_name\n\n\
        Exit code 6: a decision is needed; the flags that take it are printed."
)]
pub(crate) struct Args {
    /// What the file is called [default: what it does]
    name: Option<String>,
    #[command(flatten)]
    decisions: DecisionFlags,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Put two branches of files behind each other
    Merge(merge::Args),
    /// Put a backup back that a deployment made
    Restore(restore::Args),
}

pub(crate) async fn run(context: Context, args: Args) -> Result<(), Failure> {
    match args.command {
        Some(Command::Merge(args)) => merge::run(context.json, args).await,
        Some(Command::Restore(args)) => restore::run(context, args).await,
        None => write(context.json, args.name.as_deref(), &args.decisions).await,
    }
}

async fn write(json: bool, name: Option<&str>, flags: &DecisionFlags) -> Result<(), Failure> {
    let project = Project::find(Path::new("."))?;
    let migrations = Migrations::read(&project)?;
    migrations.check_line()?;
    let bundle = deploy::bundle(&project).await?;
    let mut decisions = dev_decisions::read(&project);
    decisions.extend(flags.read()?);
    let next = deploy::NextFile { hub: None, migrations: &migrations, schema: bundle.schema.as_ref() };
    let Some(new) = next.make(decisions, name, json).await? else {
        let count = migrations.all.len();
        if json {
            return output::json(&json!({ "written": null, "files": count }));
        }
        let files = if count == 1 { "file leads" } else { "files lead" };
        return output::line(format_args!("nothing to write: {count} {files} to the schema"));
    };
    let path = migrations.write(&new)?;
    dev_decisions::forget(&project);
    if json {
        return output::json(&json!({ "written": new.id, "files": migrations.all.len() + 1 }));
    }
    output::line(format_args!("written: {}", project.shown(&path)))
}
