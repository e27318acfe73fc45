//! `ferry account …`.

use clap::Subcommand;
use ferry_client::admin::rpc;
use serde_json::json;

use crate::{context::Context, failure::Failure, output, password::PasswordArgs, prompt, system::variable};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Delete your account, its personal organisation and the databases there
    #[command(
        after_help = "Examples:\n  ferry account delete\n  FERRY_PASSWORD=… ferry account delete --yes"
    )]
    Delete {
        /// Do not ask
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        password: PasswordArgs,
    },
}

pub(crate) async fn run(context: &Context, command: Command) -> Result<(), Failure> {
    let Command::Delete { yes, password } = command;
    if !yes {
        output::require_terminal("delete the account")?;
    }
    let admin = context.admin()?;
    let email = admin.whoami().await?.email;
    if !yes {
        let warning =
            format!("this deletes the account {email} and all databases of its personal organisation");
        prompt::confirm_name(&email, &warning).await?;
    }
    let password = password.read(false).await?;
    let request = rpc::DeleteAccountRequest { confirm_email: email, password, ..Default::default() };
    admin.delete_account(request).await?;
    if variable("FERRY_TOKEN").is_none() {
        context.credentials().forget()?;
    }
    if context.json {
        return output::json(&json!({}));
    }
    output::line("account deleted")
}
