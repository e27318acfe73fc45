//! `ferry org …`.

use clap::Subcommand;
use ferry_client::admin::rpc;
use serde_json::json;

use crate::{
    context::Context,
    failure::Failure,
    output, prompt,
    table::{Cell, Column, Table},
};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Create an organisation; you are its admin
    #[command(after_help = "Example:\n  ferry org create team")]
    Create {
        /// Its name, 1 to 128 bytes
        name: String,
    },
    /// List your organisations: id, name, your role, whether it is your personal one
    #[command(after_help = "Example:\n  ferry org list")]
    List,
    /// Rename an organisation
    #[command(after_help = "Example:\n  ferry org rename team crew")]
    Rename {
        /// Id or name
        org: String,
        /// The new name
        name: String,
    },
    /// Delete an organisation that has no databases left
    #[command(after_help = "Examples:\n  ferry org delete team\n  ferry org delete team --yes")]
    Delete {
        /// Id or name
        org: String,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

pub(crate) async fn run(context: &Context, command: Command) -> Result<(), Failure> {
    match command {
        Command::Create { name } => {
            let request = rpc::CreateOrgRequest { name, ..Default::default() };
            show(context, &context.admin()?.create_org(request).await?)
        }
        Command::List => {
            let orgs = context.admin()?.list_orgs(rpc::ListOrgsRequest::default()).await?;
            if context.json {
                return output::json(&orgs);
            }
            let [id, name] = [Column::whole("ID"), Column::text("NAME")];
            let mut table = Table::new([id, name, Column::text("ROLE"), Column::text("PERSONAL")]);
            for org in &orgs {
                let personal = Cell::new(personal(org), if org.personal { "yes" } else { "" });
                table.row([(&org.id).into(), (&org.name).into(), (&org.role).into(), personal]);
            }
            table.print()
        }
        Command::Rename { org, name } => {
            let admin = context.admin()?;
            let mut named = admin.org_named(&org).await?;
            let request =
                rpc::RenameOrgRequest { org: named.id.clone(), name: name.clone(), ..Default::default() };
            admin.rename_org(request).await?;
            // As the hub stores it.
            name.trim().clone_into(&mut named.name);
            show(context, &named)
        }
        Command::Delete { org, yes } => delete(context, &org, yes).await,
    }
}

async fn delete(context: &Context, org: &str, yes: bool) -> Result<(), Failure> {
    if !yes {
        output::require_terminal("delete the organisation")?;
    }
    let admin = context.admin()?;
    let named = admin.org_named(org).await?;
    if !yes {
        let warning =
            format!("this deletes the organisation {}, its memberships and invitations", named.name);
        prompt::confirm_name(&named.name, &warning).await?;
    }
    admin.delete_org(rpc::DeleteOrgRequest { org: named.id.clone(), ..Default::default() }).await?;
    if context.json {
        return output::json(&json!({}));
    }
    output::line(format_args!("deleted {}", named.id))
}

/// One organisation as the result of a command.
pub(super) fn show(context: &Context, org: &rpc::Org) -> Result<(), Failure> {
    if context.json {
        return output::json(org);
    }
    output::row(&[&org.id, &org.name, &org.role, personal(org)])
}

const fn personal(org: &rpc::Org) -> &'static str {
    if org.personal { "personal" } else { "" }
}
