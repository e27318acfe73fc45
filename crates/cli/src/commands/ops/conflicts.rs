//! Conflicts, and their decision.

use clap::ValueEnum;
use ferry_protocol::ops::{
    ConflictFilter, ConflictPage, ConflictSide, ConflictsListParams, OpConflict, ResolveParams, ResolveTake,
    SpokeCall, VIEW_LIMIT_MAX,
};
use serde_json::value::RawValue;

use super::Calls;
use crate::{context::Context, failure::Failure, output};

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  ferry ops conflicts\n  ferry ops conflicts --entity note/1 --all\n\n\
        A line is: id, entity, field, the value that lost, the value that stands.")]
pub(super) struct ListArgs {
    /// Also those that were resolved
    #[arg(long)]
    all: bool,
    /// Only of this entity
    #[arg(long)]
    entity: Option<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Take {
    /// What stands
    Winner,
    /// What lost
    Loser,
    /// Another value
    Value,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  ferry ops resolve cf-2f1e… --take loser\n  \
        ferry ops resolve cf-2f1e… --take value --value '\"Milk and tea\"'\n  \
        ferry ops resolve cf-2f1e… --take loser --as note/2")]
pub(super) struct ResolveArgs {
    /// Id of the conflict
    id: String,
    /// Which value it shall be
    #[arg(long, value_enum)]
    take: Take,
    /// With --take value: the value, as JSON
    #[arg(long, value_name = "JSON", allow_hyphen_values = true, required_if_eq("take", "value"))]
    value: Option<String>,
    /// With --take loser, if the entity was deleted: the entity that its copy becomes
    #[arg(long = "as", value_name = "ENTITY")]
    as_entity: Option<String>,
}

/// `cf-2f1e…\tnote/1\ttitle\t"Tea"\t"Milk"`.
pub(super) async fn list(context: &Context, mut calls: Calls, args: ListArgs) -> Result<(), Failure> {
    let mut params = ConflictsListParams {
        status: if args.all { ConflictFilter::All } else { ConflictFilter::Open },
        entity: args.entity,
        limit: Some(VIEW_LIMIT_MAX),
        after: None,
    };
    let mut all = Vec::new();
    loop {
        let page: ConflictPage = calls.get(&SpokeCall::ConflictsList(params.clone())).await?;
        if context.json {
            all.extend(page.conflicts);
        } else {
            page.conflicts.iter().try_for_each(line)?;
        }
        let Some(next) = page.next else { break };
        params.after = Some(next);
    }
    if context.json { output::json(&all) } else { Ok(()) }
}

fn line(conflict: &OpConflict) -> Result<(), Failure> {
    let value = |side: &ConflictSide| side.value.as_deref().map_or("null", RawValue::get).to_owned();
    let winning = conflict.winning.as_ref().map_or_else(|| "(deleted)".to_owned(), value);
    output::row(&[&conflict.id, &conflict.entity, &conflict.field, &value(&conflict.losing), &winning])
}

pub(super) async fn resolve(context: &Context, mut calls: Calls, args: ResolveArgs) -> Result<(), Failure> {
    let value = args.value.map(RawValue::from_string).transpose();
    let value = value.map_err(|error| Failure::Usage(format!("--value must be JSON: {error}")))?;
    let params = ResolveParams {
        id: args.id.clone(),
        take: match args.take {
            Take::Winner => ResolveTake::Winner,
            Take::Loser => ResolveTake::Loser,
            Take::Value => ResolveTake::Value,
        },
        value,
        as_entity: args.as_entity,
    };
    let written = calls.call(&SpokeCall::ConflictsResolve(params)).await?;
    if context.json {
        return output::json(&written);
    }
    output::line(format_args!("resolved {}", args.id))
}
