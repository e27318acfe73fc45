//! `ferry session …`: the logins of one's account.

use clap::Subcommand;
use ferry_client::admin::rpc;
use serde_json::json;

use crate::{
    context::Context,
    failure::Failure,
    output,
    system::variable,
    table::{Cell, Column, Table},
};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the sessions: id, device, address, login, expiry; `*` marks this one
    #[command(after_help = "Example:\n  ferry session list")]
    List,
    /// End a session and the sync tokens minted from it
    #[command(after_help = "Example:\n  ferry session revoke s_3f2b9c1e-5d44-4a7b-8e11-0a6c7d902153")]
    Revoke {
        /// Id, as listed
        id: String,
        /// Leave the sync tokens that were minted from it alive
        #[arg(long)]
        keep_tokens: bool,
    },
    /// End every session, this one too, and all sync tokens minted from them
    #[command(after_help = "Example:\n  ferry session revoke-all")]
    RevokeAll,
}

pub(crate) async fn run(context: &Context, command: Command) -> Result<(), Failure> {
    let admin = context.admin()?;
    match command {
        Command::List => {
            let sessions = admin.list_sessions(rpc::ListSessionsRequest::default()).await?;
            if context.json {
                return output::json(&sessions);
            }
            list(&sessions)
        }
        Command::Revoke { id, keep_tokens } => {
            let request = rpc::RevokeSessionRequest {
                session_id: id.clone(),
                keep_sync_tokens: keep_tokens,
                ..Default::default()
            };
            admin.revoke_session(request).await?;
            if context.json {
                return output::json(&json!({}));
            }
            output::line(format_args!("revoked {id}"))
        }
        Command::RevokeAll => {
            admin.revoke_all_sessions(rpc::RevokeAllSessionsRequest::default()).await?;
            if variable("FERRY_TOKEN").is_none() {
                context.credentials().forget()?;
            }
            if context.json {
                return output::json(&json!({}));
            }
            output::line("revoked all sessions; log in again with: ferry login EMAIL")
        }
    }
}

fn list(sessions: &[rpc::Session]) -> Result<(), Failure> {
    let mut table = Table::new([
        Column::whole("ID"),
        Column::text("DEVICE"),
        Column::extra("ADDRESS"),
        Column::whole("LOGIN"),
        Column::extra("EXPIRES"),
        Column::whole(""),
    ]);
    for session in sessions {
        let rpc::Session { id, label, ip, created_unix, exp_unix, current, .. } = session;
        let mark = if *current { "*" } else { "" };
        let [login, expires] = [Cell::time(*created_unix), Cell::time(*exp_unix)];
        table.row([id.into(), label.into(), ip.into(), login, expires, mark.into()]);
    }
    table.print()
}
