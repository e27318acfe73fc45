//! `ferry push FILE [DB]`.

use std::{path::PathBuf, sync::Arc};

use ferry_client::{
    admin::DatabaseName,
    pages::file::image::FileAccess,
    pages::{PushOptions, Synchronised},
    progress::{Progress, TransferPhase},
};
use serde_json::json;

use crate::{INTERRUPT_GRACE, context::Context, failure::Failure, output, progress::Bars, system};

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  ferry push notes.db notes\n  ferry push notes.db              \
    to the database it was last synced with\n  \
    ferry push notes.db --watch      and again whenever it changes\n  ferry push notes.db --force      over whatever the hub has")]
pub(crate) struct Args {
    /// The SQLite file
    file: PathBuf,
    /// Id, name or org/name [default: the one the file was last synced with]
    db: Option<DatabaseName>,
    /// Push over what the hub has, whatever this file was made from
    #[arg(long)]
    force: bool,
    /// Keep no base copy beside the file, now and later: half the disk, longer pushes
    #[arg(long)]
    no_base: bool,
    /// Go on, and push whenever the file has changed, until interrupted
    #[arg(long)]
    watch: bool,
}

pub(crate) async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    let session = context.pages_session()?;
    let bars = Arc::new(Bars::new(context.json));
    let progress: Arc<dyn Progress> = Arc::<Bars>::clone(&bars);
    let client = session.client(progress);
    let options = PushOptions { force: args.force, access: FileAccess::Ordinary, no_base: args.no_base };
    if args.watch {
        let mut reported = Ok(());
        let mut told = |pushed: &Synchronised| {
            bars.rest();
            reported = report_line(context, "pushed", pushed);
            reported.is_ok()
        };
        uninterrupted(
            &bars,
            Box::pin(client.push_watching(&args.file, args.db.as_ref(), options, &mut told)),
        )
        .await?;
        return reported;
    }
    let pushed = uninterrupted(&bars, Box::pin(client.push(&args.file, args.db.as_ref(), options))).await?;
    report(context, "pushed", &pushed)
}

/// The outcome of a push, or where an interrupt left it. While the hub works on what it has, the interrupt waits for the
/// hub's word.
pub(super) async fn uninterrupted<T>(
    bars: &Bars,
    pushing: impl Future<Output = ferry_client::Result<T>>,
) -> Result<T, Failure> {
    let mut pushing = std::pin::pin!(pushing);
    // First the push: see `main`.
    tokio::select! {
        biased;
        pushed = &mut pushing => return Ok(pushed?),
        () = system::interrupted() => {}
    }
    if bars.is_idle() {
        let left = "nothing was under way; the hub has what was reported as pushed";
        return Err(Failure::Interrupted(Some(left.to_owned())));
    }
    let left = match bars.stage() {
        Some(TransferPhase::Sending) => "the hub keeps its version, and what arrived for the next push",
        Some(TransferPhase::Checking | TransferPhase::Committing) => {
            output::note("interrupted: waiting for what the hub says; once more ends it");
            tokio::select! {
                biased;
                pushed = &mut pushing => return Ok(pushed?),
                () = tokio::time::sleep(INTERRUPT_GRACE) => {}
                () = system::interrupted() => {}
            }
            if bars.stage() == Some(TransferPhase::Committing) {
                "the hub is about to have it; push again to see whether it does"
            } else {
                "the hub was still checking it and gives it up; push again, which sends only what it lacks"
            }
        }
        _ => "nothing was sent",
    };
    Err(Failure::Interrupted(Some(left.to_owned())))
}

/// The same as one line of a stream of them.
pub(super) fn report_line(context: &Context, verb: &str, done: &Synchronised) -> Result<(), Failure> {
    if context.json { output::line(document(done)) } else { report(context, verb, done) }
}

/// The last line of a transfer: `pushed 43-…: 3,649 pages, 14.9 MB as 21 KB`.
pub(super) fn report(context: &Context, verb: &str, done: &Synchronised) -> Result<(), Failure> {
    if context.json {
        return output::json(&document(done));
    }
    if let Some(backup) = &done.backup {
        output::note(format_args!("saved the local image as {}", backup.display()));
    }
    let tag = done.tag;
    if !done.changed {
        return output::line(format_args!("up to date {tag}: {}", output::pages(done.page_count.0.into())));
    }
    output::line(format_args!(
        "{verb} {tag}: {}, {} as {}",
        output::pages(done.pages),
        output::bytes(done.transferred.bytes),
        output::bytes(done.transferred.wire_bytes)
    ))
}

fn document(done: &Synchronised) -> serde_json::Value {
    json!({
        "database": done.database.to_string(),
        "name": done.name,
        "version": done.tag.version,
        "tag": done.tag.to_string(),
        "root": done.root.to_string(),
        "page_count": done.page_count.0,
        "changed": done.changed,
        "pages": done.pages,
        "bytes": done.transferred.bytes,
        "wire_bytes": done.transferred.wire_bytes,
        "backup": done.backup,
    })
}
