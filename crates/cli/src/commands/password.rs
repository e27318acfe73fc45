//! `ferry password …`.

use clap::Subcommand;
use ferry_client::admin::rpc;
use serde_json::json;

use crate::{
    commands::login,
    context::Context,
    failure::Failure,
    output,
    password::{NewPasswordArgs, PasswordArgs},
    system::variable,
};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Change your password; every other session and all sync tokens end
    #[command(after_help = "Examples:\n  ferry password change\n  \
        FERRY_PASSWORD=… FERRY_NEW_PASSWORD=… ferry password change --keep-other-sessions")]
    Change {
        /// Leave sessions and sync tokens alive
        #[arg(long)]
        keep_other_sessions: bool,
        #[command(flatten)]
        current: PasswordArgs,
    },
    /// Have a link mailed by which to set a new password
    #[command(after_help = "Example:\n  ferry password forgot me@example.com")]
    Forgot {
        /// E-mail address of the account
        email: String,
    },
    /// Set a new password with a code of the hub's operator, or of a mail
    #[command(after_help = "Example:\n  ferry password reset me@example.com --code CODE")]
    Reset {
        /// E-mail address of the account
        email: String,
        /// The code
        #[arg(long, allow_hyphen_values = true)]
        code: String,
        #[command(flatten)]
        new: NewPasswordArgs,
    },
}

pub(crate) async fn run(context: &Context, command: Command) -> Result<(), Failure> {
    match command {
        Command::Change { keep_other_sessions, current } => {
            change(context, keep_other_sessions, &current).await?;
        }
        Command::Forgot { email } => {
            let request = rpc::RequestPasswordResetRequest { email: email.clone(), ..Default::default() };
            context.anonymous()?.request_password_reset(request).await?;
            if context.json {
                return output::json(&json!({}));
            }
            return output::line(format_args!("if {email} has an account, a link is mailed there"));
        }
        Command::Reset { email, code, new } => {
            let new_password = new.read().await?;
            let request = rpc::ResetPasswordRequest { email, code, new_password, ..Default::default() };
            context.anonymous()?.reset_password(request).await?;
        }
    }
    if context.json {
        return output::json(&json!({}));
    }
    output::line("password changed")
}

async fn change(context: &Context, keep: bool, current: &PasswordArgs) -> Result<(), Failure> {
    let admin = context.admin()?;
    let email = admin.whoami().await?.email;
    let (current, new) = current.read_with_new().await?;
    let request = rpc::ChangePasswordRequest {
        current,
        new: new.clone(),
        keep_other_sessions: keep,
        ..Default::default()
    };
    admin.change_password(request).await?;
    if keep || variable("FERRY_TOKEN").is_some() {
        return Ok(());
    }
    // The session ended with the others; its place is taken by a new one.
    let answer = context.anonymous()?.login(&email, &new, &login::device()).await?;
    login::remember(context, answer).map(drop)
}
