//! `ferry account …`.

use clap::Subcommand;
use ferry_client::admin::rpc;
use serde_json::json;

use crate::{context::Context, failure::Failure, output, password::PasswordArgs, prompt, system::variable};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Confirm your e-mail address: with a code, or have one mailed
    #[command(after_help = "Examples:\n  ferry account verify\n  ferry account verify CODE")]
    Verify {
        /// The code of the mail: what stands behind # in its link
        #[arg(allow_hyphen_values = true)]
        code: Option<String>,
    },
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
    let (yes, password) = match command {
        Command::Verify { code } => return verify(context, code).await,
        Command::Delete { yes, password } => (yes, password),
    };
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

async fn verify(context: &Context, code: Option<String>) -> Result<(), Failure> {
    let done = match code {
        Some(code) => {
            context.anonymous()?.verify_email(rpc::VerifyEmailRequest { code, ..Default::default() }).await?;
            "address confirmed"
        }
        None => {
            context.admin()?.request_verification(rpc::RequestVerificationRequest::default()).await?;
            "if the address is not confirmed yet, a link is mailed there"
        }
    };
    if context.json {
        return output::json(&json!({}));
    }
    output::line(done)
}
