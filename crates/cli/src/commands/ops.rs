//! `ferry ops …`: ops of the spoke on this machine, or of a hub's database directly.

mod append;
mod conflicts;
mod read;
mod sync;

use std::path::PathBuf;

use clap::Subcommand;
use ferry_client::{
    ClientError, ClientErrorCode,
    admin::{DatabaseName, TokenWish},
    ops::OpsClient,
    spoke::SpokeClient,
};
use ferry_protocol::ops::SpokeCall;
use ferry_types::{Code, Model, Op};
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::spoke::{default_socket, default_store};
use crate::{context::Context, failure::Failure, system::variable};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    place: Place,
    #[command(subcommand)]
    command: Command,
}

/// Whose ops.
#[derive(Debug, clap::Args)]
struct Place {
    /// The spoke's socket [default: $XDG_RUNTIME_DIR/ferry/spoke.sock, else the store's name with .sock]
    #[arg(long, global = true, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// The spoke's store, which its socket stands beside
    #[arg(long, global = true, value_name = "FILE")]
    store: Option<PathBuf>,
    /// Ask the hub directly, without a spoke
    #[arg(long, global = true)]
    hub: bool,
    /// Exchange ops with the hub, before what reads and behind what writes
    #[arg(long, global = true, conflicts_with = "hub")]
    sync: bool,
    /// With --hub: id or name of the database; -: the token's
    #[arg(long, global = true, value_name = "DB", default_value = "-")]
    database: String,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write an op, or many from a file
    Append(append::Args),
    /// Show an entity: its fields, texts, links and open conflicts
    #[command(after_help = "Example:\n  ferry ops get note/1")]
    Get(read::GetArgs),
    /// List entities
    List(read::ListArgs),
    /// List writes that lost against others which their writer had not seen
    Conflicts(conflicts::ListArgs),
    /// Decide a conflict
    Resolve(conflicts::ResolveArgs),
    /// Exchange ops with the hub now
    Sync(sync::SyncArgs),
    /// Show how the spoke and its hub stand
    #[command(after_help = "Example:\n  ferry ops status")]
    Status,
}

/// What does the calls.
enum Calls {
    Spoke(SpokeClient),
    Hub(Box<OpsClient>),
}

impl Calls {
    async fn call(&mut self, call: &SpokeCall) -> Result<Box<RawValue>, Failure> {
        Ok(match self {
            Self::Spoke(spoke) => spoke.call(call).await?,
            Self::Hub(hub) => hub.call(call).await?,
        })
    }

    /// The result of a call, as this command line reads it.
    async fn get<T: DeserializeOwned>(&mut self, call: &SpokeCall) -> Result<T, Failure> {
        shown(&self.call(call).await?)
    }
}

/// What was answered, as the members that people are shown.
fn shown<T: DeserializeOwned>(text: &RawValue) -> Result<T, Failure> {
    let read = serde_json::from_str(text.get());
    read.map_err(|error| ClientError::unverified(format!("the answer cannot be read: {error}")).into())
}

impl Place {
    async fn calls(&self, context: &Context, rights: &[Op]) -> Result<Calls, Failure> {
        if self.hub {
            return Ok(Calls::Hub(Box::new(self.hub_client(context, rights).await?)));
        }
        let socket = match (&self.socket, &self.store) {
            (Some(socket), _) => socket.clone(),
            (None, Some(store)) => default_socket(store),
            (None, None) => default_socket(&default_store()?),
        };
        Ok(Calls::Spoke(SpokeClient::connect(&socket, &self.command()).await?))
    }

    /// What starts the spoke that is meant.
    fn command(&self) -> String {
        let option = |name: &str, path: &Option<PathBuf>| {
            path.as_ref().map_or_else(String::new, |path| format!(" --{name} {}", path.display()))
        };
        format!("ferry spoke{}{}", option("store", &self.store), option("socket", &self.socket))
    }

    /// With FERRY_SYNC_TOKEN, or a token minted for this.
    async fn hub_client(&self, context: &Context, rights: &[Op]) -> Result<OpsClient, Failure> {
        if let Some(token) = variable("FERRY_SYNC_TOKEN") {
            return Ok(OpsClient::new(&context.server, token.trim(), &self.database)?);
        }
        if self.database == "-" {
            let message =
                "no token says which database is meant: name it with --database, or set FERRY_SYNC_TOKEN";
            let code = ClientErrorCode::Table(Code::Unauthenticated);
            return Err(ClientError::new(code, "NO_TOKEN", message).into());
        }
        let admin = context.admin()?;
        let name: DatabaseName = self.database.parse()?;
        let database = admin.database(&name).await?;
        let wish = TokenWish {
            ops: rights.iter().map(ToString::to_string).collect(),
            models: vec![Model::Ops.to_string()],
            label: "ferry ops".to_owned(),
            ..TokenWish::default()
        };
        let minted = admin.issue_sync_token(&database.id, &wish).await?;
        Ok(OpsClient::new(&context.server, &minted.token, &database.id)?)
    }
}

impl Command {
    const fn reads(&self) -> bool {
        matches!(self, Self::Get(_) | Self::List(_) | Self::Conflicts(_) | Self::Status)
    }
}

pub(crate) async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    let Args { place, command } = args;
    let reads = command.reads();
    if place.sync && reads {
        sync::exchange(&mut place.calls(context, &[]).await?).await?;
    }
    run_at(context, &place, command).await?;
    if place.sync && !reads {
        sync::exchange(&mut place.calls(context, &[]).await?).await?;
    }
    Ok(())
}

async fn run_at(context: &Context, place: &Place, command: Command) -> Result<(), Failure> {
    match command {
        Command::Append(args) => append::run(context, place.calls(context, args.rights()).await?, args).await,
        Command::Get(args) => read::get(place.calls(context, &[Op::Read]).await?, args).await,
        Command::List(args) => read::list(context, place.calls(context, &[Op::Read]).await?, args).await,
        Command::Conflicts(args) => {
            conflicts::list(context, place.calls(context, &[Op::Read]).await?, args).await
        }
        Command::Resolve(args) => {
            conflicts::resolve(context, place.calls(context, &[Op::Write]).await?, args).await
        }
        Command::Sync(args) => sync::sync(context, place.calls(context, &[Op::Write]).await?, args).await,
        Command::Status => sync::status(context, place.calls(context, &[Op::Read]).await?).await,
    }
}
