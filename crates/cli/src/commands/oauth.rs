//! `ferry oauth …`: logging in through a provider (CLI-07). The verifier that proves who began a login stays on this
//! machine: in memory while the browser is waited for, else beside the session.

mod browser;

use clap::{Subcommand, ValueEnum};
use ferry_auth::oauth::pkce;
use ferry_client::admin::{AdminClient, rpc};
use serde_json::json;

use super::login;
use crate::{
    context::Context, failure::Failure, output, password::PasswordArgs, settings::PendingLogin, system,
    system::variable,
};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Log in through a provider, in your browser
    #[command(after_help = "Examples:\n  ferry oauth start github\n  \
        ferry oauth start google --no-browser             on a machine without one")]
    Start {
        /// Who vouches for you
        provider: ProviderArg,
        /// Print the URL instead; then run the command that the page shows
        #[arg(long)]
        no_browser: bool,
    },
    /// Finish a login that was begun with --no-browser
    #[command(after_help = "Example:\n  ferry oauth complete --state STATE --code CODE")]
    Complete {
        /// As the page shows it
        #[arg(long, allow_hyphen_values = true)]
        state: String,
        /// As the page shows it
        #[arg(long, allow_hyphen_values = true)]
        code: String,
        #[command(flatten)]
        password: PasswordArgs,
    },
    /// Let a provider vouch for the account that you are logged in to
    #[command(after_help = "Example:\n  ferry oauth link github")]
    Link {
        /// Who shall vouch for you
        provider: ProviderArg,
        /// Print the URL instead; then run the command that the page shows
        #[arg(long)]
        no_browser: bool,
        #[command(flatten)]
        password: PasswordArgs,
    },
}

/// A provider, as typed.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum ProviderArg {
    Github,
    Google,
}

impl ProviderArg {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Github => "github",
            Self::Google => "google",
        }
    }
}

pub(crate) async fn run(context: &Context, command: Command) -> Result<(), Failure> {
    match command {
        Command::Start { provider, no_browser: false } => {
            in_browser(context, &Begun::login(context)?, provider).await
        }
        Command::Start { provider, no_browser: true } => {
            on_paper(context, &Begun::login(context)?, provider).await
        }
        Command::Link { provider, no_browser: true, .. } => {
            on_paper(context, &Begun::link(context, String::new())?, provider).await
        }
        Command::Link { provider, no_browser: false, password } => {
            let begun = Begun::link(context, password.read_if_any().await?)?;
            in_browser(context, &begun, provider).await
        }
        Command::Complete { state, code, password } => {
            let Some(pending) = context.credentials().pending()?.filter(|pending| pending.state == state)
            else {
                let message = "no login with this state was begun here: begin one with ferry oauth start PROVIDER --no-browser";
                return Err(Failure::Usage(message.into()));
            };
            let begun = if pending.link {
                Begun { verifier: pending.verifier, ..Begun::link(context, password.read_if_any().await?)? }
            } else {
                Begun { verifier: pending.verifier, ..Begun::login(context)? }
            };
            complete(context, &begun, state, code).await
        }
    }
}

/// A login that is going on.
struct Begun {
    admin: AdminClient,
    /// Proves that who completes it is who began it: a secret.
    verifier: String,
    /// Whether it adds an identity to the account that is logged in.
    link: bool,
    /// Password of that account.
    password: String,
}

impl Begun {
    fn login(context: &Context) -> Result<Self, Failure> {
        let verifier = pkce::verifier(system::random_bytes()?);
        Ok(Self { admin: context.anonymous()?, verifier, link: false, password: String::new() })
    }

    fn link(context: &Context, password: String) -> Result<Self, Failure> {
        let verifier = pkce::verifier(system::random_bytes()?);
        Ok(Self { admin: context.admin()?, verifier, link: true, password })
    }

    async fn start(&self, provider: ProviderArg, port: u16) -> Result<rpc::StartOAuthResponse, Failure> {
        let request = rpc::StartOAuthRequest {
            provider: provider.as_str().to_owned(),
            client_challenge: pkce::challenge(&self.verifier),
            loopback_port: port.into(),
            link: self.link,
            ..Default::default()
        };
        Ok(self.admin.start_o_auth(request).await?)
    }
}

/// Waits on this machine for the browser, which the hub sends here.
async fn in_browser(context: &Context, begun: &Begun, provider: ProviderArg) -> Result<(), Failure> {
    let waiting = browser::Waiting::new().await?;
    let started = begun.start(provider, waiting.port()?).await?;
    output::note(format_args!("continue in your browser: {}", started.redirect_url));
    system::open_browser(&started.redirect_url);
    let code = waiting.code(&started.state).await?;
    complete(context, begun, started.state, code).await
}

/// Prints the URL and keeps what `oauth complete` needs.
async fn on_paper(context: &Context, begun: &Begun, provider: ProviderArg) -> Result<(), Failure> {
    let started = begun.start(provider, 0).await?;
    let pending =
        PendingLogin { state: started.state.clone(), verifier: begun.verifier.clone(), link: begun.link };
    context.credentials().set_pending(pending)?;
    if context.json {
        return output::json(&started);
    }
    output::line(&started.redirect_url)?;
    output::note("# open this URL in a browser, then run the command that the page shows");
    Ok(())
}

async fn complete(context: &Context, begun: &Begun, state: String, code: String) -> Result<(), Failure> {
    let request = rpc::CompleteOAuthRequest {
        state,
        code,
        client_verifier: begun.verifier.clone(),
        confirm_link: begun.link,
        password: begun.password.clone(),
        ..Default::default()
    };
    let answer = begun.admin.complete_o_auth(request).await?;
    let whoami = if begun.link && variable("FERRY_TOKEN").is_some() {
        // The session is not this machine's to keep.
        answer.whoami.into_option().unwrap_or_default()
    } else {
        login::remember(context, answer)?
    };
    if context.json {
        return output::json(&json!({ "whoami": whoami }));
    }
    output::line("oauth ok")
}
