//! `ferry dev`: a hub on this machine, and a project's functions on it, swapped at each change (FUN-71).

mod ready;
mod session;
mod show;

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::PathBuf,
    time::Duration,
};

use ferry_client::{admin::AdminClient, functions::FunctionsClient};

use self::{
    ready::{DevLock, Ready},
    session::DevSession,
};
use crate::{
    decisions::DecisionFlags,
    failure::Failure,
    local_hub::{LocalHub, LocalHubOptions},
    project::{DEV_DIR, Project, sources::Watched},
    system,
};

/// Where it listens unless the project or a flag says otherwise.
const DEFAULT_PORT: u16 = 8787;
/// The user, the password, the database and the API key that a hub in dev mode has (CFG-04).
const DEV_EMAIL: &str = "dev@localhost";
const DEV_PASSWORD: &str = "ferry-dev";
const DEV_DATABASE: &str = "main";
const DEV_KEY: &str = "fy_pk_dev";
/// How often files are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(75);

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  ferry dev                             the project of this folder\n  \
    ferry dev --port 0                    at any free port\n  \
    ferry dev --rename users.name=users.full_name")]
pub(crate) struct Args {
    /// A project's folder, or one inside it
    #[arg(default_value = ".")]
    folder: PathBuf,
    /// Where the hub listens on 127.0.0.1; 0: at any free port [default: the project's, else 8787]
    #[arg(long)]
    port: Option<u16>,
    /// Swap functions whose types are wrong, too
    #[arg(long)]
    no_check: bool,
    #[command(flatten)]
    decisions: DecisionFlags,
}

/// Runs until it is told to stop.
pub(crate) async fn run(args: Args) -> Result<(), Failure> {
    let project = Project::find(&args.folder)?;
    let decisions = args.decisions.read()?;
    let _lock = DevLock::take(&project)?;
    let port = args.port.or(project.settings.dev.port).unwrap_or(DEFAULT_PORT);
    let mut hub = start(&project, port).await?;
    let address = hub.address.clone();
    let served = async {
        let session =
            AdminClient::new(&address, None, "")?.login(DEV_EMAIL, DEV_PASSWORD, "ferry dev").await?;
        let admin = AdminClient::new(&address, Some(&session.session_token), "")?;
        let database = admin.database(&DEV_DATABASE.parse()?).await?.id;
        let functions = FunctionsClient::new(&address, &session.session_token, &database)?;
        let key = project.settings.dev.key.clone().unwrap_or_else(|| DEV_KEY.to_owned());
        show::welcome(&project, &address, &key)?;
        let ready = Ready::write(&project, &address, &key, DEV_DATABASE)?;
        let session = DevSession::new(project.clone(), functions, &args, decisions).await?;
        serve(session, ready).await
    };
    let ended = tokio::select! {
        biased;
        () = system::interrupted() => Ok(()),
        () = hub.ended() => Err(Failure::other("the hub ended by itself")),
        ended = served => ended,
    };
    tokio::spawn(async {
        system::interrupted().await;
        std::process::exit(130);
    });
    hub.stop().await;
    ended
}

async fn start(project: &Project, port: u16) -> Result<LocalHub, Failure> {
    let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    if let Err(error) = TcpListener::bind(listen)
        && error.kind() == io::ErrorKind::AddrInUse
    {
        return Err(Failure::other(format!(
            "port {port} of this machine is taken, by another hub perhaps: stop that program, or run ferry dev --port 0"
        )));
    }
    let folder = project.root.join(DEV_DIR);
    LocalHub::start(LocalHubOptions {
        dev: true,
        listen,
        data_dir: &folder.join("hub"),
        config: folder.join("ferry.toml"),
    })
    .await
}

/// Swaps functions at each change. `_ready` tells others that the hub serves, as long as it lives.
async fn serve(mut session: DevSession, _ready: Ready) -> Result<(), Failure> {
    let mut watched = Watched::new(session.project());
    watched.look();
    loop {
        let swap = session.swap().await?;
        watched.also(swap.outside.clone());
        show::swap(&swap)?;
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let looking = tokio::task::spawn_blocking(move || {
                let changed = watched.look();
                (watched, changed)
            });
            let looked = looking.await.map_err(|error| Failure::other(format!("watching: {error}")))?;
            watched = looked.0;
            if !looked.1.is_empty() {
                break;
            }
        }
    }
}
