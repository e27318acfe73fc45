//! Stores as files.

use std::{io, path::PathBuf};

use ferry_client::{
    admin::DatabaseName,
    events::{ImportOptions, reference},
};
use serde_json::json;

use super::as_admin;
use crate::{
    context::Context,
    failure::Failure,
    files::{self, Draft},
    output,
};

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  ferry events export app my-store my-store.ndjson\n  \
        ferry events export app my-store | gzip > my-store.ndjson.gz")]
pub(crate) struct ExportArgs {
    /// Id, name or org/name
    db: DatabaseName,
    /// Id of the store
    store: String,
    /// The file; it appears when it is whole [default: stdout]
    file: Option<PathBuf>,
    /// Only the events after this number
    #[arg(long, default_value_t = 0, value_name = "N")]
    after: i64,
}

#[derive(Debug, clap::Args)]
#[command(
    group = clap::ArgGroup::new("source").required(true),
    after_help = "Examples:\n  ferry events import app my-store my-store.ndjson\n  \
        ferry events import app my-store rest.ndjson --append\n  \
        ferry events import app my-store --sqlite livestore.db --table eventlog_7_my-store --backend-id ID"
)]
pub(crate) struct ImportArgs {
    /// Id, name or org/name
    db: DatabaseName,
    /// Id of the store
    store: String,
    /// An export; - reads stdin
    #[arg(group = "source")]
    file: Option<PathBuf>,
    /// Go on behind the events of an existing store
    #[arg(long)]
    append: bool,
    /// Take a new identity, so that clients begin anew, instead of the file's
    #[arg(long)]
    mint: bool,
    /// A database of LiveStore's own backend instead of an export
    #[arg(long, group = "source", value_name = "FILE", requires = "table", requires = "backend_id")]
    sqlite: Option<PathBuf>,
    /// Its table
    #[arg(long, requires = "sqlite")]
    table: Option<String>,
    /// The identity that its clients know
    #[arg(long, requires = "sqlite", value_name = "ID")]
    backend_id: Option<String>,
}

pub(super) async fn export(context: &Context, args: ExportArgs) -> Result<(), Failure> {
    let client = as_admin(context, &args.db).await?;
    let Some(path) = args.file else {
        // The export itself is what is printed, whatever was asked for.
        let mut stdout = output::exported();
        return client.export(&args.store, args.after, &mut stdout).await.map(drop).map_err(Into::into);
    };
    let mut draft = Draft::new(&path)?;
    let exported = client.export(&args.store, args.after, draft.out()).await?;
    draft.finish()?;
    if context.json {
        return output::json(&json!({"count": exported.count, "head": exported.head, "file": path}));
    }
    let count = output::count(exported.count);
    output::line(format_args!("exported {count} events of {} to {}", args.store, path.display()))
}

pub(super) async fn import(context: &Context, args: ImportArgs) -> Result<(), Failure> {
    let client = as_admin(context, &args.db).await?;
    let options = ImportOptions { append: args.append, mint: args.mint };
    let told = match (args.sqlite, args.table, args.backend_id, args.file) {
        (Some(sqlite), Some(table), Some(backend_id), _) => {
            let (source, store) = (sqlite.clone(), args.store.clone());
            let convert = move |out: &mut dyn io::Write| {
                reference::export(&source, &table, &store, &backend_id, out).map(drop).map_err(Into::into)
            };
            client.import(&args.store, options, files::spooled(sqlite, convert).await?).await?
        }
        (_, _, _, Some(path)) => client.import(&args.store, options, files::opened(path).await?).await?,
        _ => {
            return Err(Failure::Usage("name a file, or give --sqlite, --table and --backend-id".to_owned()));
        }
    };
    if context.json {
        return output::json(&told);
    }
    let count = output::count(told["count"].as_u64().unwrap_or(0));
    output::line(format_args!("imported {count} events into {}: head {}", args.store, told["head"]))
}
