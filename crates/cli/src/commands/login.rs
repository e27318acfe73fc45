//! `ferry login EMAIL`.

use ferry_client::admin::rpc::{AuthResponse, WhoamiInfo};
use serde_json::json;

use crate::{
    context::Context, failure::Failure, output, password::PasswordArgs, settings::SavedSession,
    system::variable,
};

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  ferry login me@example.com\n  \
    FERRY_PASSWORD=… ferry login me@example.com --label ci")]
pub(crate) struct Args {
    /// E-mail address of the account
    email: String,
    /// Name of this device in lists of sessions [default: the host's name]
    #[arg(long)]
    label: Option<String>,
    #[command(flatten)]
    password: PasswordArgs,
}

pub(crate) async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    let password = args.password.read(false).await?;
    let label = args.label.unwrap_or_else(device);
    let answer = context.anonymous()?.login(&args.email, &password, &label).await?;
    let whoami = remember(context, answer)?;
    if context.json {
        return output::json(&json!({ "whoami": whoami }));
    }
    output::line(format_args!("login ok ({})", whoami.email))
}

/// What this machine is called.
pub(super) fn device() -> String {
    variable("HOSTNAME").unwrap_or_else(|| "ferry".into())
}

/// Keeps the session. The token itself is never printed; FERRY_TOKEN takes one made elsewhere.
pub(super) fn remember(context: &Context, answer: AuthResponse) -> Result<WhoamiInfo, Failure> {
    let whoami = answer.whoami.into_option().unwrap_or_default();
    let session = SavedSession { token: answer.session_token, email: whoami.email.clone() };
    context.credentials().set_session(session)?;
    if variable("FERRY_TOKEN").is_some() {
        output::note("note: FERRY_TOKEN is set and precedes this login");
    }
    Ok(whoami)
}
