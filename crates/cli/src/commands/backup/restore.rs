//! `ferry backup restore`: from a target to this machine, without a hub.

use std::path::PathBuf;

use ferry_backup::{
    HubRestore, JobProgress, Repository, RestoreReport, RestoreStamp, RestoredCredentials, restore_file,
};
use ferry_core::backup::manifest::{BackedUpDatabase, Manifest, SnapshotDatabase};
use ferry_types::UnixMillis;
use serde_json::json;

use super::{TargetArgs, at_target, failure};
use crate::{context::Context, failure::Failure, output, system};

pub(super) const EXAMPLES: &str = "Examples:\n  \
    ferry backup restore --target file:///var/backups/ferry --to /var/lib/ferry\n  \
    ferry backup restore 20261129T014200Z-7f3a9c21 --target file:///var/backups/ferry --database notes --out notes.db";

#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("place").required(true).args(["to", "out"]))]
pub(crate) struct Args {
    /// Which backup [default: the newest of the whole hub]
    id: Option<String>,
    #[command(flatten)]
    at: TargetArgs,
    /// New or empty folder for the whole hub: its data directory from then on
    #[arg(long, value_name = "DIR", conflicts_with_all = ["database", "out"])]
    to: Option<PathBuf>,
    /// One database, by id or name
    #[arg(long, value_name = "DB", requires = "out")]
    database: Option<String>,
    /// New file for the database, as it was: a plain SQLite file
    #[arg(long, value_name = "FILE", requires = "database")]
    out: Option<PathBuf>,
    /// Do not ask SQLite whether each file is sound
    #[arg(long)]
    no_verify: bool,
    /// What becomes of sessions, their tokens, invitations and reset codes
    #[arg(long, value_name = "WHAT", default_value = "end", value_parser = ["end", "keep"])]
    credentials: String,
}

pub(super) async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    let repository = at_target::open(&args.at.needed()?)?;
    let manifest = at_target::find(&repository, args.id.as_deref())?;
    match (args.to, args.database, args.out) {
        (Some(to), ..) => {
            let credentials =
                if args.credentials == "keep" { RestoredCredentials::Keep } else { RestoredCredentials::End };
            let restore =
                HubRestore { id: manifest.id, to, credentials, check: !args.no_verify, stamp: stamp()? };
            hub(context, repository, restore).await
        }
        (None, Some(name), Some(out)) => database(context, repository, (manifest, name), out).await,
        _ => Err(Failure::Usage("name --to DIR, or --database DB and --out FILE".to_owned())),
    }
}

fn stamp() -> Result<RestoreStamp, Failure> {
    let now = UnixMillis(i64::try_from(system::unix_millis()).unwrap_or(i64::MAX));
    Ok(RestoreStamp { epoch: system::random_hex::<8>()?, now })
}

async fn hub(context: &Context, repository: Repository, restore: HubRestore) -> Result<(), Failure> {
    let (restore, report) = at_target::blocking(move || {
        let restored = ferry_backup::restore_hub(&repository, &restore, &JobProgress::default());
        Ok((restore, restored.map_err(|error| failure::of(&error))?))
    })
    .await?;
    let RestoreReport { databases, bytes, time_ms, has_keys, review } = &report;
    let time = UnixMillis(*time_ms).to_string();
    let to = restore.to.display().to_string();
    if context.json {
        return output::json(&json!({
            "id": restore.id.to_string(), "to": to, "time": time, "databases": databases, "bytes": bytes,
            "has_keys": has_keys, "review": review,
        }));
    }
    output::row(&[&restore.id.to_string(), &time, &databases.to_string(), &bytes.to_string(), &to])?;
    if !has_keys {
        output::note(
            "# keyring.json and operator.token were not in it: the hub makes new ones, and what the old ones signed is void",
        );
    }
    if !review.is_empty() {
        output::note(
            "# valid again, whatever was revoked since: look through them, and revoke what must not be",
        );
        review.iter().for_each(|line| output::note(format_args!("# {line}")));
    }
    output::note(format_args!(
        "# start the hub with --data-dir {to}; clients are told of what was lost as they connect"
    ));
    Ok(())
}

async fn database(
    context: &Context,
    repository: Repository,
    (manifest, name): (Manifest, String),
    out: PathBuf,
) -> Result<(), Failure> {
    let entry = at_target::blocking(move || {
        let entry = find_database(&repository, &manifest, &name)?;
        let restored = restore_file(&repository, &entry, &out, &JobProgress::default());
        restored.map(|()| entry).map_err(|error| failure::of(&error))
    })
    .await?;
    let (id, root) = (entry.id.to_string(), entry.image().root.to_string());
    if context.json {
        return output::json(&json!({ "database": id, "name": entry.name, "root": root, "seq": entry.seq }));
    }
    output::row(&[&id, &entry.name, &root])
}

/// The database of this id, or of this name if no other has it.
fn find_database(
    repository: &Repository,
    manifest: &Manifest,
    name: &str,
) -> Result<BackedUpDatabase, Failure> {
    let wanted: Option<SnapshotDatabase> = name.parse().ok();
    let mut found = Vec::new();
    let read = repository.databases(manifest, |_, entry| {
        if wanted == Some(entry.id) || (wanted.is_none() && entry.name == name) {
            found.push(entry);
        }
        Ok(())
    });
    read.map_err(|error| failure::of(&error))?;
    if found.len() > 1 {
        return Err(Failure::Usage(format!("several databases are called {name}: give the id of one")));
    }
    let none = || format!("the backup {} has no database {name}", manifest.id);
    found.pop().ok_or_else(|| failure::of_reason("NOT_FOUND", none()))
}
