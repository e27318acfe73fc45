//! `ferry audit list`: the audit trail of the organisation that `--org` names.

use clap::Subcommand;
use ferry_client::admin::rpc;

use crate::{
    context::Context,
    failure::Failure,
    output,
    table::{Cell, Column, Table},
};

#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    list: ListArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List what happened, newest first: time, actor, action, target, outcome, address, request, detail
    #[command(after_help = "Examples:\n  ferry audit list --org team\n  \
        ferry audit list --action member --since 1785000000 --limit 1000\n  ferry audit list --action user.login")]
    List(ListArgs),
}

/// What is listed.
#[derive(Debug, clap::Args)]
pub(super) struct ListArgs {
    /// Only what happened at this Unix second or later
    #[arg(long, value_name = "UNIX", default_value_t = 0)]
    pub(super) since: u32,
    /// Only this action, like member.role, or all of a noun, like member
    #[arg(long, default_value = "")]
    pub(super) action: String,
    /// At most so many rows
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub(super) limit: usize,
}

/// `ferry audit` alone lists.
pub(crate) async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    let ListArgs { since, action, limit } = match args.command {
        Some(Command::List(list)) => list,
        None => args.list,
    };
    let admin = context.admin()?;
    let request = rpc::ListAuditEventsRequest {
        org: admin.org().to_owned(),
        since_unix: since.into(),
        action,
        ..Default::default()
    };
    let events = admin.audit_events(request, limit).await?;
    print(context, &events)
}

/// Rows of the trail: of an organisation, or of the hub.
pub(super) fn print(context: &Context, events: &[rpc::AuditEvent]) -> Result<(), Failure> {
    if context.json {
        return output::json(&events);
    }
    if events.is_empty() {
        output::note("(nothing)");
    }
    let mut table = Table::new([
        Column::whole("TIME"),
        Column::text("ACTOR"),
        Column::text("ACTION"),
        Column::text("TARGET"),
        Column::text("OUTCOME"),
        Column::extra("ADDRESS"),
        Column::extra("REQUEST"),
        Column::extra("DETAIL"),
    ]);
    for event in events {
        let rpc::AuditEvent { at_unix, actor, action, target, outcome, ip, request_id, detail_json, .. } =
            event;
        let beside = [Cell::from(ip), request_id.into(), detail_json.into()];
        let [ip, request, detail] = beside;
        let (time, actor, action) = (Cell::time(*at_unix), actor.into(), action.into());
        table.row([time, actor, action, target.into(), outcome.into(), ip, request, detail]);
    }
    table.print()
}
