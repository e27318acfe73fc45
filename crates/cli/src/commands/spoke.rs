//! `ferry spoke`: a daemon that keeps ops on this machine, answers apps over a socket, and syncs with a hub.

mod server;

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use clap::ValueEnum;
use ferry_auth::{Grant, macaroon};
use ferry_client::{
    ClientError, ServerUrl,
    spoke::{HubAddress, HubToken, RandomSource, SpokeDaemon, SpokeOptions},
};
use ferry_hub::clock::SystemClock;

use super::detach;
use crate::{
    context::{Global, trust_named},
    failure::Failure,
    output,
    system::{self, variable},
};

/// Shortest and longest interval.
const INTERVAL: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_hours(24);

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Mode {
    /// No network
    Local,
    /// Exchanges ops with the hub that --hub-url names
    Spoke,
    /// Is a hub itself, over the same store, for others to sync with
    Server,
    /// Keeps nothing, and passes calls on to a hub (not available yet)
    Client,
}

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  ferry spoke                                       ops on this machine alone\n  \
        ferry spoke --hub-url https://hub.example --token-file token\n  \
        ferry spoke --store notes.db --socket notes.sock --hub-url http://localhost:8787 --database notes\n  \
        ferry spoke --detach --hub-url http://localhost:8787    in the background, from the moment on that it listens\n  \
        ferry spoke --mode server                         a hub for other spokes of this machine\n  \
        ferry spoke --mode server --http-addr 0.0.0.0:8790 --token-file token   and for those that show the token\n\n\
        Apps speak JSON-RPC to the socket, and so does the command ops."
)]
pub(crate) struct Args {
    /// What it does beside keeping ops [default: spoke with --hub-url, else local]
    #[arg(long, value_enum)]
    mode: Option<Mode>,
    /// The SQLite file, made if it is missing [default: spoke.db in $XDG_DATA_HOME/ferry or ~/.local/share/ferry]
    #[arg(long, value_name = "FILE")]
    store: Option<PathBuf>,
    /// URL of the hub
    #[arg(long, value_name = "URL")]
    hub_url: Option<ServerUrl>,
    /// Id or name of the hub's database; -: the token's
    #[arg(long, value_name = "DB", default_value = "-")]
    database: String,
    /// File with the sync token, read again before each exchange; with --mode server, the token that others must show
    /// [default: FERRY_SYNC_TOKEN]
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Where the hub listens that mode server is [default: 127.0.0.1:8787]
    #[arg(long, value_name = "HOST:PORT")]
    http_addr: Option<String>,
    /// The socket [default: $XDG_RUNTIME_DIR/ferry/spoke.sock, else the store's name with .sock]
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// How often ops are exchanged unless something makes it sooner, such as 30s or 5m
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = interval)]
    interval: Duration,
    /// Go on in the background as soon as it listens; the log goes to the store's name with .log
    #[arg(long)]
    detach: bool,
}

pub(crate) async fn run(global: &Global, args: Args) -> Result<(), Failure> {
    if args.detach {
        let store = args.store.map_or_else(default_store, Ok)?;
        return detach::run(&beside(&store, ".log"));
    }
    if args.mode == Some(Mode::Server) {
        return server::run(args).await;
    }
    let hub = args.hub()?;
    let store = args.store.map_or_else(default_store, Ok)?;
    let socket = args.socket.unwrap_or_else(|| default_socket(&store));
    trust_named(global.cacert.clone())?;
    let about = match &hub {
        Some(hub) => format!("syncs with {} (database {})", hub.url, hub.database),
        None => "has no hub".to_owned(),
    };
    let options = SpokeOptions {
        database: hub.as_ref().and_then(database_of_token),
        store: store.clone(),
        socket: socket.clone(),
        hub,
        interval: args.interval,
        version: env!("CARGO_PKG_VERSION"),
    };
    let daemon = SpokeDaemon::open(options, Arc::new(SystemClock), random()?)?;
    // A closed stdout is no reason to stop.
    let _ = output::line(format_args!("spoke listens on {}", socket.display()));
    let _ = output::line(format_args!("ops in {}; it {about}", store.display()));
    daemon.run(system::interrupted()).await;
    Ok(())
}

/// Randomness. Asked once, so that a machine without any is told of before anything is written; then for many numbers at
/// a time, since each op takes two.
fn random() -> Result<RandomSource, Failure> {
    system::random_bytes::<8>()?;
    let drawn: Mutex<Vec<u64>> = Mutex::default();
    Ok(Arc::new(move || {
        let mut drawn = drawn.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(number) = drawn.pop() {
            return number;
        }
        let bytes: [u8; 512] = system::random_bytes().expect("BUG: the machine gave randomness before");
        let (numbers, _) = bytes.as_chunks();
        drawn.extend(numbers.iter().map(|number| u64::from_ne_bytes(*number)));
        drawn.pop().expect("BUG: there are 64 of them")
    }))
}

impl Args {
    /// The hub that is to be synced with; none in mode local.
    fn hub(&self) -> Result<Option<HubAddress>, Failure> {
        if self.mode == Some(Mode::Client) {
            return Err(Failure::Usage(
                "mode client is not available yet: run ferry spoke --hub-url URL, which keeps a copy here; or \
                 ferry ops --hub, which asks the hub directly"
                    .to_owned(),
            ));
        }
        if self.http_addr.is_some() {
            return Err(Failure::Usage("--http-addr goes with --mode server".to_owned()));
        }
        let Some(url) = &self.hub_url else {
            if self.mode == Some(Mode::Spoke) {
                return Err(Failure::Usage(
                    "mode spoke takes --hub-url URL: the hub to sync with".to_owned(),
                ));
            }
            return Ok(None);
        };
        let given = variable("FERRY_SYNC_TOKEN").map(HubToken::Given);
        let token = self.token_file.clone().map(HubToken::File).or(given).unwrap_or(HubToken::None);
        Ok(Some(HubAddress { url: url.clone(), database: self.database.clone(), token }))
    }
}

/// The database that a token is for, if it can be read from it: a store belongs to one database, whatever its token.
fn database_of_token(hub: &HubAddress) -> Option<String> {
    let token = match &hub.token {
        HubToken::None => return None,
        HubToken::Given(token) => token.clone(),
        HubToken::File(path) => std::fs::read_to_string(path).ok()?,
    };
    match &macaroon::decode(token.trim()).ok()?.claims().grant {
        Grant::Sync { database_id, .. } => Some(database_id.to_string()),
        Grant::Session => None,
    }
}

/// Where ops are kept unless a file is named.
pub(super) fn default_store() -> Result<PathBuf, Failure> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let data = set("XDG_DATA_HOME").or_else(|| set("HOME").map(|home| home.join(".local/share")));
    let folder = data.map(|data| data.join("ferry")).ok_or_else(|| {
        Failure::Configuration("no home directory is known: name the file with --store".to_owned())
    })?;
    ferry_sqlite::folder::create(&folder)
        .map_err(|error| ClientError::io(format!("the folder {}", folder.display()), &error))?;
    Ok(folder.join("spoke.db"))
}

/// Where apps find the spoke of `store` (OPS-61).
pub(super) fn default_socket(store: &std::path::Path) -> PathBuf {
    match variable("XDG_RUNTIME_DIR") {
        Some(folder) => PathBuf::from(folder).join("ferry/spoke.sock"),
        None => beside(store, ".sock"),
    }
}

/// `path` with `suffix` behind its last name.
pub(super) fn beside(path: &std::path::Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// `500ms`, `30s`, `5m`, `1h`.
fn interval(text: &str) -> Result<Duration, String> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let expected = || "expected a number and s, m or h, such as 30s".to_owned();
    let number: u64 = number.parse().map_err(|_| expected())?;
    let seconds = match unit {
        "s" => Some(number),
        "m" => number.checked_mul(60),
        "h" => number.checked_mul(3600),
        _ => return Err(expected()),
    };
    let interval = seconds.map(Duration::from_secs).filter(|interval| INTERVAL.contains(interval));
    interval.ok_or_else(|| "an interval is from 1s to 24h".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_read() {
        assert_eq!(interval("30s"), Ok(Duration::from_secs(30)));
        assert_eq!(interval("5m"), Ok(Duration::from_mins(5)));
        for bad in ["", "30", "s", "0s", "25h", "1d", "-1s"] {
            assert!(interval(bad).is_err(), "{bad}");
        }
    }
}
