//! `ferry signup EMAIL`.

use serde_json::json;

use crate::{commands::login, context::Context, failure::Failure, output, password::PasswordArgs};

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  ferry signup me@example.com\n  \
    printf %s \"$PASSWORD\" | ferry signup me@example.com --password-stdin --server https://hub.example")]
pub(crate) struct Args {
    /// E-mail address of the new account
    email: String,
    /// Invitation code, where the hub asks for one
    #[arg(long, value_name = "CODE", allow_hyphen_values = true)]
    invite: Option<String>,
    #[command(flatten)]
    password: PasswordArgs,
}

pub(crate) async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    let invite = match args.invite {
        Some(code) if code.trim().is_empty() => {
            return Err(Failure::Usage(
                "--invite is empty: it wants the code that ferry invite create printed".into(),
            ));
        }
        code => code.unwrap_or_default(),
    };
    let password = args.password.read(true).await?;
    let answer = context.anonymous()?.signup(&args.email, &password, &invite).await?;
    let whoami = login::remember(context, answer)?;
    if context.json {
        return output::json(&json!({ "whoami": whoami }));
    }
    output::line(format_args!("signup ok ({})", whoami.email))
}
