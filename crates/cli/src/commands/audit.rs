//! `ferry audit list`: the audit trail of the organisation that `--org` names.

use clap::Subcommand;
use ferry_client::admin::rpc;

use crate::{context::Context, failure::Failure, output};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List what happened, newest first: time, actor, action, target, outcome, address, request, detail
    #[command(after_help = "Examples:\n  ferry audit list --org team\n  \
        ferry audit list --action member --since 1785000000 --limit 1000\n  ferry audit list --action user.login")]
    List {
        /// Only what happened at this Unix second or later
        #[arg(long, value_name = "UNIX", default_value_t = 0)]
        since: u32,
        /// Only this action, like member.role, or all of a noun, like member
        #[arg(long, default_value = "")]
        action: String,
        /// At most so many rows
        #[arg(long, value_name = "N", default_value_t = 100)]
        limit: usize,
    },
}

pub(crate) async fn run(context: &Context, command: Command) -> Result<(), Failure> {
    let Command::List { since, action, limit } = command;
    let admin = context.admin()?;
    let request = rpc::ListAuditEventsRequest {
        org: admin.org().to_owned(),
        since_unix: since.into(),
        action,
        ..Default::default()
    };
    let events = admin.audit_events(request, limit).await?;
    if context.json {
        return output::json(&events);
    }
    events.iter().try_for_each(|event| {
        let rpc::AuditEvent { at_unix, actor, action, target, outcome, ip, request_id, detail_json, .. } =
            event;
        output::line(format_args!(
            "{at_unix}\t{actor}\t{action}\t{target}\t{outcome}\t{ip}\t{request_id}\t{detail_json}"
        ))
    })
}
