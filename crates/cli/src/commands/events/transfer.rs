//! Stores as files.

use std::{
    io::{self, BufWriter, Seek as _},
    path::{Path, PathBuf},
};

use ferry_client::{
    ClientError,
    admin::DatabaseName,
    events::{ImportOptions, reference},
};
use serde_json::json;
use tempfile::NamedTempFile;

use super::as_admin;
use crate::{context::Context, failure::Failure, output};

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

fn local(doing: &str, path: &Path, error: &io::Error) -> Failure {
    ClientError::file("FILE_UNUSABLE", format!("{doing} {}: {error}", path.display())).into()
}

pub(super) async fn export(context: &Context, args: ExportArgs) -> Result<(), Failure> {
    let client = as_admin(context, &args.db).await?;
    let Some(path) = args.file else {
        // The export itself is what is printed, whatever was asked for.
        let mut stdout = BufWriter::new(io::stdout());
        return client.export(&args.store, args.after, &mut stdout).await.map(drop).map_err(Into::into);
    };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let file = NamedTempFile::new_in(folder).map_err(|error| local("writing", &path, &error))?;
    let mut out = BufWriter::new(file);
    let exported = client.export(&args.store, args.after, &mut out).await?;
    let file = out.into_inner().map_err(|error| local("writing", &path, error.error()))?;
    file.as_file().sync_all().map_err(|error| local("writing", &path, &error))?;
    file.persist(&path).map_err(|error| local("writing", &path, &error.error))?;
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
            client.import(&args.store, options, spooled(sqlite, convert).await?).await?
        }
        (_, _, _, Some(path)) if path.as_os_str() == "-" => {
            let file = spooled(path, |out| Ok(io::copy(&mut io::stdin(), out).map(drop)?)).await?;
            client.import(&args.store, options, file).await?
        }
        (_, _, _, Some(path)) => {
            let file = tokio::fs::File::open(&path).await.map_err(|error| local("reading", &path, &error))?;
            client.import(&args.store, options, file).await?
        }
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

/// What `write` writes, in a file that vanishes; it stands at its beginning.
async fn spooled(
    source: PathBuf,
    write: impl FnOnce(&mut dyn io::Write) -> Result<(), Failure> + Send + 'static,
) -> Result<tokio::fs::File, Failure> {
    let spool = move || {
        let failed = |error: io::Error| local("writing a copy of", &source, &error);
        let mut out = BufWriter::new(tempfile::tempfile().map_err(failed)?);
        write(&mut out)?;
        let mut file = out.into_inner().map_err(|error| failed(error.into_error()))?;
        file.rewind().map_err(failed)?;
        Ok(tokio::fs::File::from_std(file))
    };
    let joined = tokio::task::spawn_blocking(spool).await;
    joined.map_err(|error| Failure::other(format!("reading panicked: {error}")))?
}
