//! Stores as files.

use std::{
    io,
    path::{Path, PathBuf},
};

use clap::builder::NonEmptyStringValueParser;
use ferry_client::{
    admin::DatabaseName,
    events::{
        ExportSummary, ImportOptions,
        reference::{ExpectedLog, ReferenceFile, ReferenceLog},
    },
};
use serde_json::json;

use super::as_admin;
use crate::{
    context::Context,
    failure::Failure,
    files::{self, PartialFile},
    output,
};

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  ferry events export app my-store my-store.ndjson\n  \
        ferry events export app my-store - | gzip > my-store.ndjson.gz\n  \
        ferry events export app my-store my-store.sqlite --sqlite")]
pub(crate) struct ExportArgs {
    /// Id, name or org/name
    db: DatabaseName,
    /// Id of the store
    store: String,
    /// The file, which appears when it is whole, in place of an earlier export; - is stdout [default: -]
    file: Option<PathBuf>,
    /// Only the events after this number
    #[arg(long, default_value_t = 0, value_name = "N")]
    after: i64,
    /// An SQLite file as LiveStore's own backend keeps it, with this store alone
    #[arg(long, requires = "file")]
    sqlite: bool,
}

#[derive(Debug, clap::Args)]
#[command(
    group = clap::ArgGroup::new("source").required(true),
    after_help = "Examples:\n  ferry events import app my-store my-store.ndjson\n  \
        ferry events import app my-store rest.ndjson --append\n  \
        ferry events import app --sqlite livestore.sqlite"
)]
pub(crate) struct ImportArgs {
    /// Id, name or org/name
    db: DatabaseName,
    /// Id of the store; --sqlite: as the file says, if it holds one
    #[arg(required_unless_present = "sqlite")]
    store: Option<String>,
    /// An export; - is stdin
    #[arg(group = "source")]
    file: Option<PathBuf>,
    /// Go on behind the events of an existing store
    #[arg(long)]
    append: bool,
    /// Take a new identity, so that clients begin anew, instead of the file's
    #[arg(long)]
    mint: bool,
    /// A database of LiveStore's own backend instead of an export; it knows its stores and their identities
    #[arg(long, group = "source", value_name = "FILE")]
    sqlite: Option<PathBuf>,
    /// Refuse unless this is the log's table
    #[arg(long, requires = "sqlite", value_parser = NonEmptyStringValueParser::new())]
    table: Option<String>,
    /// Refuse unless this is the identity that its clients know; needed only where the file does not say
    #[arg(long, requires = "sqlite", value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
    backend_id: Option<String>,
}

pub(super) async fn export(context: &Context, args: ExportArgs) -> Result<(), Failure> {
    let file = args.file.filter(|path| !files::is_dash(path));
    if args.sqlite {
        let path = file.ok_or_else(|| Failure::Usage("--sqlite needs the name of a file".to_owned()))?;
        let client = as_admin(context, &args.db).await?;
        let exported = client.export_sqlite(&args.store, args.after, &path).await?;
        return told(context, &args.store, &path, exported);
    }
    if let Some(path) = &file {
        files::check_replaceable(path, "ferry", "events")?;
    }
    let client = as_admin(context, &args.db).await?;
    let Some(path) = file else {
        // The export itself is what is printed, whatever was asked for.
        let mut stdout = output::exported();
        return client.export(&args.store, args.after, &mut stdout).await.map(drop).map_err(Into::into);
    };
    let mut draft = PartialFile::new(&path)?;
    let exported = client.export(&args.store, args.after, draft.out()).await?;
    draft.finish()?;
    told(context, &args.store, &path, exported)
}

fn told(context: &Context, store: &str, path: &Path, exported: ExportSummary) -> Result<(), Failure> {
    if context.json {
        return output::json(&json!({"count": exported.count, "head": exported.head, "file": path}));
    }
    let count = output::count(exported.count);
    output::line(format_args!("exported {count} events of {store} to {}", path.display()))
}

pub(super) async fn import(context: &Context, args: ImportArgs) -> Result<(), Failure> {
    let options = ImportOptions { append: args.append, mint: args.mint };
    let (store, file) = match (args.sqlite, args.file, args.store) {
        (Some(sqlite), _, store) => {
            let named = ExpectedLog { store, table: args.table, backend_id: args.backend_id };
            let (file, log) = found(sqlite.clone(), named).await?;
            if let Some(warning) = file.warning(&log) {
                output::note(format_args!("warning: {warning}"));
            }
            let store = log.store.clone();
            let convert = move |out: &mut dyn io::Write| file.export(&log, out).map(drop).map_err(Into::into);
            (store, files::spooled(sqlite, convert).await?)
        }
        (None, Some(path), Some(store)) => (store, files::opened(path).await?),
        _ => return Err(Failure::Usage("name a store and a file, or give --sqlite".to_owned())),
    };
    let reply = as_admin(context, &args.db).await?.import(&store, options, file).await?;
    if context.json {
        return output::json(&reply);
    }
    let count = output::count(reply["count"].as_u64().unwrap_or(0));
    output::line(format_args!("imported {count} events into {store}: head {}", reply["head"]))
}

/// The log that is meant, looked for on a thread of its own.
async fn found(path: PathBuf, named: ExpectedLog) -> Result<(ReferenceFile, ReferenceLog), Failure> {
    let read = move || {
        let file = ReferenceFile::open(&path)?;
        match file.log(&named) {
            Ok(log) => Ok((file, log)),
            // Something is missing on the command line, and not in the file alone.
            Err(error) if error.reason == "NO_CONTEXT" => Err(Failure::Usage(error.message)),
            Err(error) => Err(error.into()),
        }
    };
    let joined = tokio::task::spawn_blocking(read).await;
    joined.map_err(|error| Failure::other(format!("reading panicked: {error}")))?
}
