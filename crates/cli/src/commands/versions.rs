//! `ferry versions DB`.

use std::sync::Arc;

use ferry_client::{admin::DatabaseName, progress::Silent};
use serde_json::json;

use crate::{
    context::Context,
    failure::Failure,
    output,
    table::{Cell, Column, Table},
};

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  ferry versions notes\n  ferry versions notes --limit 1000 --json")]
pub(crate) struct Args {
    /// Id, name or org/name
    db: DatabaseName,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: usize,
}

pub(crate) async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    let session = context.pages_session()?;
    let client = session.client(Arc::new(Silent));
    let versions = client.versions(&args.db, args.limit).await?;
    if context.json {
        return output::json(&json!({ "versions": versions }));
    }
    if versions.is_empty() {
        output::note("(nothing)");
    }
    let mut table = Table::new([
        Column::whole("TAG"),
        Column::whole("TIME"),
        Column::text("PAGES").right(),
        Column::text("CHANGED").right(),
        Column::text("KEPT").right(),
    ]);
    for version in &versions {
        let number = |number: u64| Cell::new(&number, number.to_string());
        table.row([
            Cell::from(&version.tag),
            Cell::rfc3339(&version.time),
            number(version.page_count.into()),
            number(version.pages),
            Cell::new(&version.bytes, output::bytes(version.bytes)),
        ]);
    }
    table.print()
}
