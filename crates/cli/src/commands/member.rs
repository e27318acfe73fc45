//! `ferry member …`: the members of the organisation that `--org` names.

use clap::Subcommand;
use ferry_auth::Role;
use ferry_client::admin::rpc;
use serde_json::json;

use crate::{
    context::Context,
    failure::Failure,
    output,
    table::{Cell, Column, Table},
};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the members: user, e-mail, role, when they joined
    #[command(after_help = "Example:\n  ferry member list --org team")]
    List,
    /// Give a member another role: viewer (reads), member (also writes), admin (also manages)
    #[command(after_help = "Example:\n  ferry member role bob@example.com viewer --org team")]
    Role {
        /// Id or e-mail address
        user: String,
        /// admin, member or viewer
        role: Role,
    },
    /// Remove a member and revoke the sync tokens it minted there; your own address: leave
    #[command(after_help = "Example:\n  ferry member remove bob@example.com --org team")]
    Remove {
        /// Id or e-mail address
        user: String,
    },
}

pub(crate) async fn run(context: &Context, command: Command) -> Result<(), Failure> {
    let admin = context.admin()?;
    let org = admin.org().to_owned();
    match command {
        Command::List => {
            let members = admin.list_members(rpc::ListMembersRequest { org, ..Default::default() }).await?;
            if context.json {
                return output::json(&members);
            }
            let [id, email] = [Column::whole("USER"), Column::text("E-MAIL")];
            let mut table = Table::new([id, email, Column::text("ROLE"), Column::whole("JOINED")]);
            for member in &members {
                let rpc::Member { user_id, email, role, joined_unix, .. } = member;
                table.row([user_id.into(), email.into(), role.into(), Cell::time(*joined_unix)]);
            }
            table.print()
        }
        Command::Role { user, role } => {
            let request = rpc::SetMemberRoleRequest {
                org,
                user_id: user.clone(),
                role: role.to_string(),
                ..Default::default()
            };
            admin.set_member_role(request).await?;
            if context.json { output::json(&json!({})) } else { output::row(&[&user, &role.to_string()]) }
        }
        Command::Remove { user } => {
            let request = rpc::RemoveMemberRequest { org, user_id: user.clone(), ..Default::default() };
            admin.remove_member(request).await?;
            if context.json { output::json(&json!({})) } else { output::line(format_args!("removed {user}")) }
        }
    }
}
