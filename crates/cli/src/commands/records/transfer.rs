//! An owner's records as a file.

use std::path::PathBuf;

use ferry_types::Op;
use serde_json::json;

use super::Whose;
use crate::{
    context::Context,
    failure::Failure,
    files::{self, PartialFile},
    output,
};

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  ferry records export app records.ndjson\n  \
        ferry records export app --owner user-17 | gzip > records.ndjson.gz")]
pub(crate) struct ExportArgs {
    #[command(flatten)]
    whose: Whose,
    /// The file, which appears when it is whole, in place of an earlier export; - is stdout [default: -]
    file: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  ferry records import app records.ndjson\n  \
        ferry records import app records.ndjson --replace")]
pub(crate) struct ImportArgs {
    #[command(flatten)]
    whose: Whose,
    /// An export; - is stdin
    file: PathBuf,
    /// In place of what is there, which is deleted, instead of merged with it
    #[arg(long)]
    replace: bool,
}

pub(super) async fn export(context: &Context, args: ExportArgs) -> Result<(), Failure> {
    let file = args.file.filter(|path| !files::is_dash(path));
    if let Some(path) = &file {
        files::check_replaceable(path, "format", "ferry-records")?;
    }
    let client = args.whose.client(context, Op::Read).await?;
    let Some(path) = file else {
        // The export itself is what is printed, whatever was asked for.
        let mut stdout = output::exported();
        return client.export(&mut stdout).await.map(drop).map_err(Into::into);
    };
    let mut draft = PartialFile::new(&path)?;
    let count = client.export(draft.out()).await?;
    draft.finish()?;
    if context.json {
        return output::json(&json!({"count": count, "file": path}));
    }
    output::line(format_args!("exported {} records to {}", output::count(count), path.display()))
}

pub(super) async fn import(context: &Context, args: ImportArgs) -> Result<(), Failure> {
    let client = args.whose.client(context, Op::Admin).await?;
    let reply = client.import(args.replace, files::opened(args.file).await?).await?;
    if context.json {
        return output::json(&reply);
    }
    let count = output::count(reply["records"].as_u64().unwrap_or(0));
    output::line(format_args!("imported {count} records"))
}
