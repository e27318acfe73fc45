//! `ferry records …`: the records of one owner in a database.

mod census;
mod read;
mod transfer;

use clap::Subcommand;
use ferry_client::{
    admin::{DatabaseName, TokenWish},
    records::RecordsClient,
};
use ferry_types::{Model, Op};

use crate::{context::Context, failure::Failure, system::variable};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List who has records in a database; takes the right admin
    #[command(after_help = "Example:\n  ferry records owners app")]
    Owners(census::OwnersArgs),
    /// List the apps that have records
    #[command(after_help = "Examples:\n  ferry records apps app\n  ferry records apps app --owner user-17")]
    Apps(census::AppsArgs),
    /// List the collections of an app, or of all
    #[command(
        after_help = "Examples:\n  ferry records collections app todo\n  ferry records collections app"
    )]
    Collections(census::CollectionsArgs),
    /// Show a record with the time and writer of each field
    #[command(after_help = "Example:\n  ferry records get app todo tasks 7f3a")]
    Get(read::One),
    /// List the live records of a collection
    List(read::ListArgs),
    /// Show what was written to a record, newest first
    #[command(after_help = "Example:\n  ferry records history app todo tasks 7f3a")]
    History(read::One),
    /// List writes that lost against others which their writer had not seen
    Conflicts(read::ConflictsArgs),
    /// Write all records, with times and tombstones, to a file or to stdout
    Export(transfer::ExportArgs),
    /// Take an export in; all of it or nothing
    Import(transfer::ImportArgs),
}

/// Whose records.
#[derive(Debug, clap::Args)]
struct Whose {
    /// Id, name or org/name; with FERRY_SYNC_TOKEN also -: the token's
    db: DatabaseName,
    /// The user whose records are meant, as its credential names it; takes the right admin [default: you]
    #[arg(long, value_name = "USER")]
    owner: Option<String>,
}

impl Whose {
    /// The records: with FERRY_SYNC_TOKEN, or a token minted for this.
    async fn client(&self, context: &Context, op: Op) -> Result<RecordsClient, Failure> {
        let (db, owner) = (&self.db, self.owner.as_deref());
        if let Some(token) = variable("FERRY_SYNC_TOKEN") {
            return Ok(RecordsClient::named(&context.server, token.trim(), &db.to_string(), owner)?);
        }
        let admin = context.admin()?;
        let database = admin.database(db).await?;
        let op = if owner.is_some() { Op::Admin } else { op };
        let wish = TokenWish {
            ops: vec![op.to_string()],
            models: vec![Model::Records.to_string()],
            label: "ferry records".to_owned(),
            ..TokenWish::default()
        };
        let minted = admin.issue_sync_token(&database.id, &wish).await?;
        Ok(RecordsClient::named(&context.server, &minted.token, &database.id, owner)?)
    }
}

pub(crate) async fn run(context: &Context, command: Command) -> Result<(), Failure> {
    match command {
        Command::Owners(args) => census::owners(context, args).await,
        Command::Apps(args) => census::apps(context, &args).await,
        Command::Collections(args) => census::collections(context, &args).await,
        Command::Get(args) => read::get(context, &args).await,
        Command::List(args) => read::list(context, &args).await,
        Command::History(args) => read::history(context, &args).await,
        Command::Conflicts(args) => read::conflicts(context, &args).await,
        Command::Export(args) => transfer::export(context, args).await,
        Command::Import(args) => transfer::import(context, args).await,
    }
}
