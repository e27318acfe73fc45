//! Entities.

use ferry_protocol::ops::{
    EntityEntry, EntityGetParams, EntityListParams, EntityPage, SpokeCall, VIEW_LIMIT_MAX,
};
use serde_json::value::RawValue;

use super::Calls;
use crate::{context::Context, failure::Failure, output};

#[derive(Debug, clap::Args)]
pub(super) struct GetArgs {
    /// The entity, such as note/1
    entity: String,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  ferry ops list\n  ferry ops list --prefix note/ --deleted")]
pub(super) struct ListArgs {
    /// Only entities whose name begins so
    #[arg(long)]
    prefix: Option<String>,
    /// Also those that were deleted
    #[arg(long)]
    deleted: bool,
}

/// The entity as JSON.
pub(super) async fn get(mut calls: Calls, args: GetArgs) -> Result<(), Failure> {
    let found = calls.call(&SpokeCall::EntityGet(EntityGetParams { entity: args.entity })).await?;
    output::json(&found)
}

/// `note/1`, one per line.
pub(super) async fn list(context: &Context, mut calls: Calls, args: ListArgs) -> Result<(), Failure> {
    let mut params = EntityListParams {
        prefix: args.prefix,
        deleted: args.deleted,
        limit: Some(VIEW_LIMIT_MAX),
        ..EntityListParams::default()
    };
    let mut all: Vec<Box<RawValue>> = Vec::new();
    loop {
        let page: EntityPage = calls.get(&SpokeCall::EntityList(params.clone())).await?;
        if context.json {
            all.extend(page.entities.iter().filter_map(|entry| serde_json::value::to_raw_value(entry).ok()));
        } else {
            page.entities.iter().try_for_each(line)?;
        }
        let Some(next) = page.next else { break };
        params.after = Some(next);
    }
    if context.json { output::json(&all) } else { Ok(()) }
}

fn line(entry: &EntityEntry) -> Result<(), Failure> {
    if entry.deleted { output::row(&[&entry.entity, "deleted"]) } else { output::row(&[&entry.entity]) }
}
