//! `ferry dev`: a hub on this machine, and a project's functions on it, swapped at each change (FUN-71).

mod session;
mod show;

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use self::session::DevSession;
use crate::{
    decisions::DecisionFlags,
    failure::Failure,
    functions_hub::{self, DEV_DATABASE},
    local_hub::{LocalHub, LocalHubOptions},
    log_words::{self, LogStyle},
    project::{
        DEV_DIR, Project,
        dev_lock::{DevLock, Ready},
        sources::Watched,
    },
    system,
};

/// Where it listens unless the project or a flag says otherwise.
const DEFAULT_PORT: u16 = 8787;
/// The API key that a hub in dev mode has (CFG-04).
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
        let functions = match &project.settings.dev.key {
            Some(key) => functions_hub::of_dev_with_key(&address, DEV_DATABASE, key).await?,
            None => functions_hub::of_dev(&address, DEV_DATABASE).await?,
        };
        let functions = Arc::new(functions.client);
        let key = project.settings.dev.key.clone().unwrap_or_else(|| DEV_KEY.to_owned());
        show::welcome(&project, &address, &key)?;
        let session = DevSession::new(project.clone(), Arc::clone(&functions), &args, decisions).await?;
        tokio::select! {
            ended = serve(session, || Ready::write(&project, &address, &key, DEV_DATABASE)) => ended,
            ended = log_words::follow(&functions, None, |line| log_words::tell(line, LogStyle::Short)) => ended,
        }
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
            "port {port} of this machine is taken, by another hub perhaps: stop that program, or run ferry dev --port 0; \
             beside npm run dev, write ferry({{ args: [\"--port\", \"0\"] }}) in vite.config.ts"
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

/// Swaps functions at each change. `announce` tells others that the hub serves, once the first swap has ended: a page that opens
/// then finds its functions. What it gives takes that back when it goes.
async fn serve(
    mut session: DevSession,
    announce: impl Fn() -> Result<Ready, Failure>,
) -> Result<(), Failure> {
    let mut watched = Watched::new(session.project());
    watched.look();
    let mut announced: Option<Ready> = None;
    loop {
        let swap = session.swap().await?;
        watched.also(swap.outside.clone());
        show::swap(&swap)?;
        if announced.is_none() {
            announced = Some(announce()?);
        }
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
