//! `ferry events …`: the event log of a database.

mod clients;
mod log;
mod stores;
mod transfer;

use clap::Subcommand;
use ferry_client::{
    admin::{DatabaseName, TokenWish},
    events::EventsClient,
};
use ferry_types::{Model, Op};

use crate::{context::Context, failure::Failure, system::variable};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the stores of a database
    #[command(after_help = "Example:\n  ferry events list app")]
    List {
        /// Id, name or org/name
        db: DatabaseName,
    },
    /// Show one store: size, position, subscribers, state
    #[command(after_help = "Example:\n  ferry events stat app my-store --json")]
    Stat(stores::StoreArgs),
    /// Show each client's last push, the batch it is stuck with, who is not let in, and what to do
    Clients(clients::ClientsArgs),
    /// Create a store
    #[command(after_help = "Example:\n  ferry events create app my-store")]
    Create(stores::StoreArgs),
    /// Delete a store and its events
    #[command(after_help = "Example:\n  ferry events delete app my-store --yes")]
    Delete(stores::Doomed),
    /// Empty a store; its clients wipe their copies
    #[command(after_help = "Example:\n  ferry events reset app my-store --reason 'start over' --yes")]
    Reset(stores::Doomed),
    /// Give a store a new identity, which ends a hold; its clients wipe their copies and pull again
    #[command(
        after_help = "Example:\n  ferry events remint app my-store --reason 'restored from a backup' --yes"
    )]
    Remint(stores::Doomed),
    /// End a store's hold: you are sure that nothing acknowledged was lost
    #[command(after_help = "Example:\n  ferry events resume app my-store")]
    Resume(stores::StoreArgs),
    /// Write a store to a file, or to stdout
    Export(transfer::ExportArgs),
    /// Take an export in, or a log of LiveStore's own backend; all of it or nothing
    Import(transfer::ImportArgs),
    /// Print the events of a log, and go on as they are committed
    Tail(log::TailArgs),
    /// Append an event
    Append(log::AppendArgs),
}

pub(crate) async fn run(context: &Context, command: Command) -> Result<(), Failure> {
    match command {
        Command::List { db } => stores::list(context, &db).await,
        Command::Stat(args) => stores::stat(context, &args).await,
        Command::Clients(args) => clients::run(context, &args).await,
        Command::Create(args) => stores::create(context, &args).await,
        Command::Delete(args) => stores::delete(context, &args).await,
        Command::Reset(args) => stores::reset(context, &args).await,
        Command::Remint(args) => stores::remint(context, &args).await,
        Command::Resume(args) => stores::resume(context, &args).await,
        Command::Export(args) => transfer::export(context, args).await,
        Command::Import(args) => transfer::import(context, args).await,
        Command::Tail(args) => log::tail(context, &args).await,
        Command::Append(args) => log::append(context, args).await,
    }
}

/// The log as its administrator sees it: with the session.
async fn as_admin(context: &Context, db: &DatabaseName) -> Result<EventsClient, Failure> {
    let session = context.session()?;
    let database = context.admin()?.database(db).await?;
    Ok(EventsClient::named(&context.server, &session, &database.id)?)
}

/// The log as one who syncs: with FERRY_SYNC_TOKEN, or a token minted for this.
async fn as_client(context: &Context, db: &DatabaseName, op: Op) -> Result<EventsClient, Failure> {
    if let Some(token) = variable("FERRY_SYNC_TOKEN") {
        return Ok(EventsClient::named(&context.server, token.trim(), &db.to_string())?);
    }
    let admin = context.admin()?;
    let database = admin.database(db).await?;
    let wish = TokenWish {
        ops: vec![op.to_string()],
        models: vec![Model::Events.to_string()],
        label: "ferry events".to_owned(),
        ..TokenWish::default()
    };
    let minted = admin.issue_sync_token(&database.id, &wish).await?;
    Ok(EventsClient::named(&context.server, &minted.token, &database.id)?)
}
