//! `ferry diff FILE`.

use std::{path::PathBuf, sync::Arc};

use ferry_client::progress::Silent;
use serde_json::json;

use crate::{
    context::Context,
    failure::Failure,
    output,
    table::{Cell, Column, Table},
};

#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  ferry diff notes.db     exit code 12 if anything was changed")]
pub(crate) struct Args {
    /// A file that was synced before
    file: PathBuf,
}

pub(crate) async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    let session = context.pages_session()?;
    let client = session.client(Arc::new(Silent));
    let found = client.difference(&args.file).await?;
    let tag = found.synced.tag().map_or_else(String::new, |tag| tag.to_string());
    if context.json {
        let tables: Vec<_> =
            found.tables.iter().map(|table| json!({ "name": table.name, "pages": table.pages })).collect();
        output::json(
            &json!({ "tag": tag, "pages": found.pages, "cut_off": found.cut_off, "tables": tables }),
        )?;
    } else {
        let mut table = Table::new([Column::text("TABLE"), Column::text("PAGES").right()]);
        for changed in &found.tables {
            table.row([Cell::from(&changed.name), Cell::new(&changed.pages, changed.pages.to_string())]);
        }
        table.print()?;
    }
    if found.pages == 0 && found.cut_off == 0 {
        return Ok(());
    }
    let cut =
        if found.cut_off > 0 { format!(", {} fewer", output::pages(found.cut_off)) } else { String::new() };
    Err(Failure::Different(format!("{} changed since {tag}{cut}", output::pages(found.pages))))
}
