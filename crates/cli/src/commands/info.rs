//! `ferry info`: what is deployed.

use std::path::Path;

use ferry_client::functions::FunctionsInfo;
use serde_json::Value;

use crate::{context::Context, failure::Failure, functions_hub, output, project::Project};

/// Migrations that are shown, the newest.
const MIGRATIONS_SHOWN: usize = 10;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  ferry info                            of the ferry dev that runs here\n  \
    ferry info --server https://hub.example --database app --json"
)]
pub(crate) struct Args {
    /// Id or name of the database [default: the project's]
    #[arg(long, value_name = "DB")]
    database: Option<String>,
}

pub(crate) async fn run(context: Context, args: Args) -> Result<(), Failure> {
    let project = Project::find(Path::new(".")).ok();
    let json = context.json;
    let hub = functions_hub::of_project(context, project.as_ref(), args.database.as_deref()).await?;
    if json {
        return output::json_text(hub.client.info_text().await?.get());
    }
    let info = hub.client.info().await?;
    output::line(format_args!("hub         {}, database {}", hub.server, hub.database))?;
    tell(&info)
}

fn tell(info: &FunctionsInfo) -> Result<(), Failure> {
    let Some(deployment) = &info.deployment else {
        return output::line("nothing is deployed here yet: ferry deploy");
    };
    let since = info.deployments.iter().find(|one| one.active).map_or("", |one| &one.created_at);
    output::line(format_args!("deployment  {deployment}, since {since}; seq {}", info.seq))?;
    for function in info.manifest["functions"].as_array().map_or(&[][..], Vec::as_slice) {
        let text = |name: &str| function[name].as_str().unwrap_or_default().to_owned();
        let internal = if function["internal"] == Value::Bool(true) { ", internal" } else { "" };
        output::line(format_args!("function    {} ({}{internal})", text("name"), text("kind")))?;
    }
    output::line(format_args!("auth        {}", info.auth))?;
    if !info.secrets.is_empty() {
        output::line(format_args!("secrets     {}", info.secrets.join(", ")))?;
    }
    let hidden = info.migrations.len().saturating_sub(MIGRATIONS_SHOWN);
    if hidden > 0 {
        output::line(format_args!("migrations  {hidden} older ones"))?;
    }
    for migration in &info.migrations[hidden..] {
        output::line(format_args!("migration   {} ({})", migration.id, migration.kind))?;
    }
    for backup in &info.backups {
        output::line(format_args!("backup      {}, {}", backup.name, output::bytes(backup.bytes)))?;
    }
    Ok(())
}
