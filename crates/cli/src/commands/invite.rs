//! `ferry invite …`: invitations to the organisation that `--org` names.

use clap::Subcommand;
use ferry_auth::Role;
use ferry_client::admin::rpc;
use serde_json::json;

use crate::{
    commands::org,
    context::Context,
    failure::Failure,
    input, output,
    table::{Cell, Column, Table},
};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Invite somebody and print the code, which works once within 7 days; it replaces an earlier one
    #[command(after_help = "Examples:\n  ferry invite create bob@example.com --org team\n  \
        ferry invite create eve@example.com --role viewer --org team")]
    Create {
        /// E-mail address of the account that may accept
        email: String,
        /// admin, member or viewer
        #[arg(long, default_value = "member")]
        role: Role,
    },
    /// List the invitations that wait: id, e-mail, role, expiry
    #[command(after_help = "Example:\n  ferry invite list --org team")]
    List,
    /// Take an invitation back
    #[command(after_help = "Example:\n  ferry invite revoke inv_3f2b9c1e-5d44-4a7b-8e11-0a6c7d902153")]
    Revoke {
        /// Id, as listed
        id: String,
    },
    /// Join the organisation that a code invites you to; who has no account: ferry signup EMAIL --invite CODE
    #[command(after_help = "Examples:\n  ferry invite accept CODE\n  ferry invite accept < code.txt")]
    Accept {
        /// The code; -: standard input, which other users of the machine cannot read
        #[arg(default_value = "-", allow_hyphen_values = true)]
        code: String,
    },
}

pub(crate) async fn run(context: &Context, command: Command) -> Result<(), Failure> {
    let admin = context.admin()?;
    let org = admin.org().to_owned();
    match command {
        Command::Create { email, role } => {
            let role = role.to_string();
            let request =
                rpc::CreateInvitationRequest { org: org.clone(), email, role, ..Default::default() };
            let made = admin.create_invitation(request).await?;
            if context.json {
                return output::json(&made);
            }
            let rpc::Invitation { id, email, role, exp_unix, code, mailed, .. } = &made;
            output::line(code)?;
            if *mailed {
                output::note(format_args!("# the hub mails it to {email}"));
            } else {
                output::note(
                    "# it is not mailed: hand the code over (a hub that sends mail does for whoever has confirmed their own address)",
                );
            }
            let organisation = if org.is_empty() { "your personal organisation" } else { &org };
            output::note(format_args!(
                "# {id}: {email} as {role} of {organisation}, expires at unix {exp_unix}"
            ));
            Ok(())
        }
        Command::List => {
            let request = rpc::ListInvitationsRequest { org, ..Default::default() };
            let invitations = admin.list_invitations(request).await?;
            if context.json {
                return output::json(&invitations);
            }
            let [id, email] = [Column::whole("ID"), Column::text("E-MAIL")];
            let mut table = Table::new([id, email, Column::text("ROLE"), Column::whole("EXPIRES")]);
            for invitation in &invitations {
                let rpc::Invitation { id, email, role, exp_unix, .. } = invitation;
                table.row([id.into(), email.into(), role.into(), Cell::time(*exp_unix)]);
            }
            table.print()
        }
        Command::Revoke { id } => {
            let request = rpc::RevokeInvitationRequest { id: id.clone(), ..Default::default() };
            admin.revoke_invitation(request).await?;
            if context.json {
                return output::json(&json!({}));
            }
            output::line(format_args!("revoked {id}"))
        }
        Command::Accept { code } => {
            let code = input::given(code, "code")?;
            let request = rpc::AcceptInvitationRequest { code, ..Default::default() };
            org::show(context, &admin.accept_invitation(request).await?)
        }
    }
}
