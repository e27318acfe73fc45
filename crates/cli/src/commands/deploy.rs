//! `ferry deploy`: a project's functions on a hub (FUN-72). What the schema needs is written as a migration file first, if no
//! file does it yet (FUN-60).

mod next_file;
mod types;

use std::{
    collections::BTreeMap,
    io::{self, IsTerminal as _},
    path::{Path, PathBuf},
};

use ferry_client::functions::{AppliedDeployment, DeployReply, DeployRequest};
use serde_json::{Value, json};

pub(super) use self::{next_file::NextFile, types::bundle};
use crate::{
    context::Context,
    decisions::DecisionFlags,
    deploy_words,
    failure::Failure,
    functions_hub::{self, FunctionsHub},
    output,
    project::{
        Project,
        bundle::Bundle,
        dev_decisions, env_file,
        migrations::{Migration, Migrations},
        settings::AuthMode,
    },
    prompt,
};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  ferry deploy https://hub.example      the database that project.toml names\n  \
    ferry deploy production --dry-run     a profile; on a copy, and nothing is changed\n  \
    ferry deploy https://hub.example --rename users.name=users.full_name\n  \
    ferry deploy https://hub.example --env-file .env.production\n\n\
    Exit code 6: a decision is needed; the flags that take it are printed."
)]
pub(crate) struct Args {
    /// URL of the hub, or the name of a profile [default: --server, else the project's]
    hub: Option<String>,
    /// Id or name of the database [default: the project's]
    #[arg(long, value_name = "DB")]
    database: Option<String>,
    /// Do it on a copy of the database, show it, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// File of secrets, NAME=value a line, for ctx.env
    #[arg(long, value_name = "FILE")]
    env_file: Option<PathBuf>,
    /// What the migration file is called, if one has to be written
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Deploy functions whose types are wrong, too
    #[arg(long)]
    no_check: bool,
    /// Take the database's schema as it is, though no deployment made it so
    #[arg(long)]
    accept_drift: bool,
    #[command(flatten)]
    decisions: DecisionFlags,
}

/// What is deployed.
struct Parts {
    bundle: Bundle,
    api_types: String,
    migrations: Migrations,
    /// A file that is not written yet.
    new: Option<Migration>,
    env: Option<BTreeMap<String, Option<String>>>,
}

pub(crate) async fn run(context: Context, args: Args) -> Result<(), Failure> {
    let project = Project::find(Path::new("."))?;
    let json = context.json;
    let migrations = Migrations::read(&project)?;
    migrations.check_line()?;
    let env = args.env_file.as_deref().map(secrets).transpose()?;
    let bundle = bundle(&project).await?;
    let api_types = types::checked(&project, &bundle, args.no_check, json).await?;
    let hub = functions_hub::deployed(context, args.hub.as_deref(), Some(&project), args.database.as_deref())
        .await?;
    let mut decisions = dev_decisions::read(&project);
    decisions.extend(args.decisions.read()?);
    let next = NextFile { hub: Some(&hub.client), migrations: &migrations, schema: bundle.schema.as_ref() };
    let new = next.make(decisions, args.name.as_deref(), json).await?;
    let parts = Parts { bundle, api_types, migrations, new, env };
    let made = deploy(&project, &hub, &args, &parts, json).await?;
    if !made.dry_run {
        dev_decisions::forget(&project);
    }
    tell(&hub, &parts, &made, json)
}

fn secrets(path: &Path) -> Result<BTreeMap<String, Option<String>>, Failure> {
    if !path.exists() {
        return Err(Failure::Usage(format!("--env-file {}: there is no such file", path.display())));
    }
    Ok(env_file::read(path)?.into_iter().map(|(name, value)| (name, Some(value))).collect())
}

async fn deploy(
    project: &Project,
    hub: &FunctionsHub,
    args: &Args,
    parts: &Parts,
    json: bool,
) -> Result<AppliedDeployment, Failure> {
    let info = hub.client.info().await?;
    let all = match &parts.new {
        Some(new) => parts.migrations.with(new.clone()),
        None => parts.migrations.clone(),
    };
    if let Some(new) = parts.new.as_ref().filter(|_| !args.dry_run) {
        let path = parts.migrations.write(new)?;
        if !json {
            output::line(format_args!("written: {}", project.shown(&path)))?;
        }
    }
    let texts = all.texts();
    let auth = serde_json::to_value(&project.settings.auth).unwrap_or_default();
    // What the hub knows of an issuer is not told.
    let is_known =
        project.settings.auth.mode.as_str() == info.auth && project.settings.auth.mode != AuthMode::Remote;
    let mut allow_destructive = args.decisions.allow_destructive;
    loop {
        let request = DeployRequest {
            base: info.deployment.as_deref(),
            bundle: &parts.bundle.text,
            source_map: &parts.bundle.source_map,
            manifest: &parts.bundle.manifest,
            api_dts: &parts.api_types,
            schema: parts.bundle.schema.as_ref(),
            migrations: &texts,
            hints: &Value::Object(serde_json::Map::new()),
            allow_destructive,
            accept_drift: args.accept_drift,
            dry_run: args.dry_run,
            auth: Some(&auth).filter(|_| !is_known),
            env: parts.env.as_ref(),
        };
        let refused = match hub.client.deploy(&request).await? {
            DeployReply::Made(made) => return Ok(made),
            DeployReply::Refused(refused) => refused,
        };
        let loses =
            deploy_words::is_decision(&refused) && refused.error.message.contains("--allow-destructive");
        if loses && !allow_destructive && !json && io::stdin().is_terminal() && io::stderr().is_terminal() {
            refused.error.message.lines().for_each(output::note);
            allow_destructive = prompt::yes("Go on?").await?;
            if allow_destructive {
                continue;
            }
        }
        return Err(deploy_words::failure(*refused, json));
    }
}

fn tell(hub: &FunctionsHub, parts: &Parts, made: &AppliedDeployment, json: bool) -> Result<(), Failure> {
    if json {
        let mut document = serde_json::to_value(made).unwrap_or_default();
        document["migration"] = parts.new.as_ref().map_or(Value::Null, |new| json!(new.id));
        return output::json(&document);
    }
    deploy_words::tell_steps(&made.steps)?;
    let place = format!("{} (database {})", hub.server, hub.database);
    if made.dry_run {
        let file = parts.new.as_ref().map_or(String::new(), |new| format!("; it would write {}.sql", new.id));
        return output::line(format_args!("nothing is changed at {place}: this ran on a copy{file}"));
    }
    if let Some(backup) = &made.backup {
        output::line(format_args!("backup of before: {backup} (ferry migrations restore {backup})"))?;
    }
    let functions = parts.bundle.function_count();
    output::line(format_args!(
        "deployed to {place}: {} as {}",
        if functions == 1 { "1 function".to_owned() } else { format!("{functions} functions") },
        made.deployment.as_deref().unwrap_or_default()
    ))
}
