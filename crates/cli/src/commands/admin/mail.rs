//! `ferry admin mail …`: whether mail works, and what mails say.

use std::path::PathBuf;

use clap::Subcommand;
use ferry_client::admin::{AdminClient, rpc};
use ferry_hub::{
    config::{Raw, ServeArgs, gather},
    mail::{Link, Mailer, Templates},
};
use serde_json::json;

use crate::{failure::Failure, output, system};

#[derive(Debug, Subcommand)]
pub(crate) enum Mail {
    /// Send a mail now, and show what the mail server answers
    #[command(after_help = "Example:\n  ferry admin mail test me@example.com")]
    Test {
        /// Whom to send it to
        email: String,
    },
    /// Show what a mail says, with examples in place of its words; asks no hub
    #[command(
        after_help = "The texts are those of the folder mail.templates_dir, as ferry serve finds it, else those that \
        are built in. A mistake in any of them is told with its line.\n\nExamples:\n  ferry admin mail preview reset\n  \
        ferry admin mail preview invite --html --templates-dir ./texts > invite.html"
    )]
    Preview(Preview),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Preview {
    /// Which mail
    #[arg(value_parser = ["verify", "invite", "reset", "changed"])]
    template: String,
    /// With markup, for a browser
    #[arg(long)]
    html: bool,
    /// Folder with texts of your own
    #[arg(long, value_name = "DIR")]
    templates_dir: Option<PathBuf>,
    /// Configuration file of the hub [default: ./ferry.toml if it exists]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

pub(crate) async fn test(json: bool, operator: &AdminClient, email: String) -> Result<(), Failure> {
    let sent = operator.test_mail(rpc::TestMailRequest { email, ..Default::default() }).await?;
    if json {
        return output::json(&sent);
    }
    let rpc::TestMailResponse { server, answer, encrypted, .. } = &sent;
    output::line(format_args!(
        "{server} ({}): {answer}",
        if *encrypted { "encrypted" } else { "not encrypted" }
    ))
}

pub(crate) fn preview(json: bool, args: Preview) -> Result<(), Failure> {
    let settings = gather(&ServeArgs { config: args.config, ..ServeArgs::default() }, &system::variables())
        .map_err(|error| Failure::Configuration(error.to_string()))?;
    let set = |raw: &Raw, name: &str| raw.get(name).map(|setting| setting.value.clone());
    let folder = args.templates_dir.or_else(|| set(&settings, "mail.templates_dir").map(PathBuf::from));
    let templates = match folder {
        Some(folder) => Templates::of_folder(&folder).map_err(Failure::Configuration)?,
        None => Templates::built_in(),
    };
    let url = set(&settings, "public_url").unwrap_or_else(|| "https://hub.example.com".to_owned());
    let written = Mailer::preview(&templates, &Link::new(url.trim_end_matches('/')), &args.template)
        .ok_or_else(|| Failure::Usage(format!("there is no mail called {}", args.template)))?;
    if json {
        let (subject, text, html) = (written.subject, written.plain, written.html);
        return output::json(&json!({ "subject": subject, "text": text, "html": html }));
    }
    if args.html {
        let html = written.html.ok_or_else(|| Failure::other("this mail has no HTML: it is sent as text"))?;
        return output::block(html.trim_end());
    }
    output::line(format_args!("Subject: {}", written.subject))?;
    output::block(format_args!("\n{}", written.plain.trim_end()))
}
