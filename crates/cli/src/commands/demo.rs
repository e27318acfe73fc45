//! `ferry demo [FILE]`: a hub in this process, an account, a database, a push, a pull, and the proof that both
//! files hold the same. The source is only read; everything else lies in a temporary directory.

mod proof;
mod source;

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use ferry_client::{
    admin::{AdminClient, Direction, TokenWish},
    pages::file::image::FileAccess,
    pages::{BareTransfer, NoTokens, PagesClient, PullOptions, Synchronised, bare_push},
};
use ferry_hub::clock::SystemClock;
use serde_json::json;

use self::{proof::Proof, source::Source};
use crate::{
    context::Context,
    failure::Failure,
    local_hub::{LocalHub, LocalHubOptions},
    output,
    progress::Bars,
    system::{self, Stopwatch},
};

const EMAIL: &str = "demo@ferry.local";
const DATABASE: &str = "demo";
/// How often the transfer is repeated because the source is written meanwhile.
const ROUNDS_MAX: u32 = 3;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  ferry demo                    on a sample that it makes itself\n  \
    ferry demo notes.db           on this file; it is only read\n  ferry demo --keep             and leave the hub running")]
pub(crate) struct Args {
    /// An SQLite file [default: a sample made for the purpose]
    file: Option<PathBuf>,
    /// Leave the hub running until Ctrl-C
    #[arg(long)]
    pub(crate) keep: bool,
    /// Where the hub listens
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
}

/// What one transfer there and back came to.
struct Trip {
    pushed: BareTransfer,
    push_time: Duration,
    pulled: Synchronised,
    pull_time: Duration,
    copy: PathBuf,
    proof: Proof,
}

pub(crate) async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    if !args.listen.ip().is_loopback() {
        return Err(Failure::Usage(format!(
            "the demo's hub listens on loopback only, not on {}: use ferry serve for more",
            args.listen
        )));
    }
    let dir = tempfile::Builder::new()
        .prefix("ferry-demo-")
        .tempdir()
        .map_err(|error| Failure::other(format!("cannot make a temporary directory: {error}")))?;
    let source = source::choose(args.file.as_deref(), dir.path())?;
    let starting = Stopwatch::start();
    let hub = LocalHub::start(LocalHubOptions {
        dev: false,
        listen: args.listen,
        data_dir: &dir.path().join("hub"),
        config: dir.path().join("ferry.toml"),
    })
    .await?;
    let started = starting.elapsed();
    let password = system::random_hex::<12>()?;
    let visitor = AdminClient::new(&hub.address, None, "")?;
    let session = visitor.signup(EMAIL, &password, "").await?.session_token;
    let admin = AdminClient::new(&hub.address, Some(&session), "")?;

    if !context.json {
        tell_start(&source, &hub, started)?;
    }
    let trip = travel(context, &admin, &source, dir.path().join("copy.db")).await?;
    if context.json {
        output::json(&document(&source, &hub, &trip))?;
    } else {
        tell_trip(&trip)?;
    }
    if !trip.proof.holds() {
        return Err(trip.proof.failure().into());
    }
    if args.keep {
        tell_kept(context, &hub, &password, &trip)?;
        system::interrupted().await;
    } else if !context.json {
        tell_next()?;
    }
    hub.stop().await;
    Ok(())
}

/// Push, pull and compare; again if the source's own program writes it meanwhile.
async fn travel(
    context: &Context,
    admin: &AdminClient,
    source: &Source,
    copy: PathBuf,
) -> Result<Trip, Failure> {
    let database = admin.create_database(DATABASE, "").await?;
    let wish = TokenWish { direction: Some(Direction::Push), label: "demo".into(), ..TokenWish::default() };
    let token = admin.issue_sync_token(&database.id, &wish).await?.token;
    let bars = Arc::new(Bars::new(context.json));
    let replica =
        PagesClient { admin, tokens: &NoTokens, clock: Arc::new(SystemClock), progress: bars.clone() };
    let name = DATABASE.parse()?;
    let mut round = 1;
    loop {
        let pushing = Stopwatch::start();
        // With a token alone nothing is written beside the source.
        let pushed =
            bare_push(admin.server(), &token, &source.path, FileAccess::ReadOnly, bars.clone()).await?;
        let push_time = pushing.elapsed();
        let pulling = Stopwatch::start();
        let pulled = replica.pull(&copy, Some(&name), PullOptions::default()).await?;
        let pull_time = pulling.elapsed();
        let proof = proof::compare(source.path.clone(), copy.clone(), pushed.root, pulled.root).await?;
        if !proof.source_moved || round == ROUNDS_MAX {
            return Ok(Trip { pushed, push_time, pulled, pull_time, copy, proof });
        }
        round += 1;
    }
}

fn tell_start(source: &Source, hub: &LocalHub, started: Duration) -> Result<(), Failure> {
    output::line(format_args!(
        "source   {}: {}, {}; only read",
        source.path.display(),
        output::bytes(source.bytes),
        source.origin
    ))?;
    output::line(format_args!("hub      {} in this process, up in {}", hub.address, millis(started)))
}

fn tell_trip(trip: &Trip) -> Result<(), Failure> {
    let moved = trip.pushed.transferred;
    output::line(format_args!(
        "push     {} to database {DATABASE}: {}, {} in {}",
        trip.pulled.tag,
        output::pages(moved.pages.into()),
        output::bytes(moved.bytes),
        millis(trip.push_time)
    ))?;
    output::line(format_args!(
        "pull     {}, {} in {} into {}",
        output::pages(trip.pulled.pages),
        output::bytes(trip.pulled.transferred.bytes),
        millis(trip.pull_time),
        trip.copy.display()
    ))?;
    output::line(format_args!("proof    {}", trip.proof))
}

fn tell_kept(context: &Context, hub: &LocalHub, password: &str, trip: &Trip) -> Result<(), Failure> {
    // Account and hub live as long as this command, on this machine alone.
    let text = format!(
        "\nThe hub runs until Ctrl-C. In another terminal:\n  \
         export FERRY_SERVER={address}\n  \
         FERRY_PASSWORD={password} ferry login {EMAIL}\n  \
         ferry db show {DATABASE}\n  \
         sqlite3 {copy}        # change something, then:\n  \
         ferry push {copy}",
        address = hub.address,
        copy = trip.copy.display(),
    );
    if context.json {
        output::note(text);
        Ok(())
    } else {
        output::block(text)
    }
}

fn tell_next() -> Result<(), Failure> {
    let text = "The hub is stopped and its data removed. To go on:\n  \
                ferry demo --keep                 leave it running and try the other commands\n  \
                ferry serve                       a hub that keeps its data, in ./ferry-data\n  \
                ferry signup me@example.com       then: ferry db create notes; ferry push notes.db notes";
    output::block(format_args!("\n{}{text}", way_to_ferry()))
}

/// How a shell comes to know this program, if it does not by its name.
fn way_to_ferry() -> String {
    let Ok(program) = std::env::current_exe() else { return String::new() };
    let path = system::variable("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join("ferry")).find(|found| found.is_file());
    let known = found.and_then(|found| found.canonicalize().ok());
    match program.parent() {
        Some(folder) if known != program.canonicalize().ok() => format!(
            "ferry is {}; so that a shell finds it:\n  export PATH=\"{}:$PATH\"\n\n",
            program.display(),
            folder.display()
        ),
        _ => String::new(),
    }
}

fn document(source: &Source, hub: &LocalHub, trip: &Trip) -> serde_json::Value {
    json!({
        "source": { "path": source.path, "bytes": source.bytes, "origin": source.origin },
        "server": hub.address.to_string(),
        "tag": trip.pulled.tag.to_string(),
        "push": {
            "pages": trip.pushed.transferred.pages,
            "bytes": trip.pushed.transferred.bytes,
            "wire_bytes": trip.pushed.transferred.wire_bytes,
            "ms": trip.push_time.as_secs_f64() * 1000.0,
        },
        "pull": {
            "pages": trip.pulled.pages,
            "bytes": trip.pulled.transferred.bytes,
            "wire_bytes": trip.pulled.transferred.wire_bytes,
            "ms": trip.pull_time.as_secs_f64() * 1000.0,
        },
        "proof": trip.proof.document(),
    })
}

fn millis(time: Duration) -> String {
    if time.as_millis() < 10_000 {
        format!("{} ms", time.as_millis().max(1))
    } else {
        format!("{:.1} s", time.as_secs_f64())
    }
}
