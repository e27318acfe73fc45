//! `ferry backup restore`: from a target to this machine, without a hub; of one database also by a running one.

use std::path::PathBuf;

use ferry_backup::{
    HubRestore, JobProgress, RestoreReport, RestoreStamp, RestoredCredentials, WantedDatabase,
};
use ferry_core::backup::{SnapshotId, log::LogPlan};
use ferry_types::{Seq, UnixMillis};
use serde_json::json;

use super::{TargetArgs, at_target, failure, through_hub};
use crate::{context::Context, failure::Failure, output, system};

pub(super) const EXAMPLES: &str = "Examples:\n  \
    ferry backup restore --target file:///var/backups/ferry --to /var/lib/ferry\n  \
    ferry backup restore 20261129T014200Z-7f3a9c21 --target file:///var/backups/ferry --database notes --out notes.db\n  \
    ferry backup restore --at 2026-11-29T01:42:00Z --target file:///var/backups/ferry --to /var/lib/ferry\n  \
    ferry backup restore --database notes --as notes-before\n  \
    ferry backup restore 20261129T014200Z-7f3a9c21 --database notes --replace";

#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("place").required(true).args(["to", "out", "as", "replace"]))]
pub(crate) struct Args {
    /// Which backup [default: the newest of the whole hub; of one database the newest that has it]
    id: Option<String>,
    /// To which moment, as RFC 3339, where what changes between backups is shipped [default: latest; with an ID that backup alone]
    #[arg(long = "at", id = "moment", value_name = "TIME", value_parser = moment)]
    moment: Option<Moment>,
    #[command(flatten)]
    at: TargetArgs,
    /// New or empty folder for the whole hub: its data directory from then on
    #[arg(long, value_name = "DIR", conflicts_with = "database")]
    to: Option<PathBuf>,
    /// One database, by id or name
    #[arg(long, value_name = "DB", conflicts_with = "to")]
    database: Option<String>,
    /// New file for the database, as it was: a plain SQLite file
    #[arg(long, value_name = "FILE", requires = "database")]
    out: Option<PathBuf>,
    /// Through a running hub: name of a new database, beside the one that lives
    #[arg(long = "as", id = "as", value_name = "NAME", requires = "database", conflicts_with = "target")]
    new_name: Option<String>,
    /// Through a running hub: in place of the living database, whose clients are told; what it was goes to the trash
    #[arg(long, requires = "database", conflicts_with = "target")]
    replace: bool,
    /// With --replace: do not ask
    #[arg(long, requires = "replace")]
    yes: bool,
    /// Do not ask SQLite whether each file is sound
    #[arg(long)]
    no_verify: bool,
    /// What becomes of sessions, their tokens, invitations and reset codes
    #[arg(long, value_name = "WHAT", default_value = "end", value_parser = ["end", "keep"])]
    credentials: String,
}

impl Args {
    /// What a running hub is asked for; `None`: it is done without one.
    pub(super) fn through_hub(&self) -> Option<through_hub::Restore> {
        let database = self.database.clone().filter(|_| self.new_name.is_some() || self.replace)?;
        let (id, new_name) = (self.id.clone().unwrap_or_default(), self.new_name.clone());
        let at = self.moment.and_then(|Moment(at)| at).map(|at| at.to_string()).unwrap_or_default();
        Some(through_hub::Restore { id, database, at, new_name, is_asked: !self.yes })
    }
}

pub(super) async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    let url = args.at.needed()?;
    match (args.to, args.database, args.out) {
        (Some(to), ..) => {
            let credentials =
                if args.credentials == "keep" { RestoredCredentials::Keep } else { RestoredCredentials::End };
            let (check, stamp) = (!args.no_verify, stamp()?);
            let wanted = move |plan| HubRestore { plan, to, credentials, check, stamp };
            hub(context, url, (args.id, args.moment), wanted).await
        }
        (None, Some(name), Some(out)) => database(context, url, (args.id, name, args.moment), out).await,
        _ => Err(Failure::Usage("name --to DIR, or --database DB and --out FILE".to_owned())),
    }
}

fn stamp() -> Result<RestoreStamp, Failure> {
    let now = UnixMillis(i64::try_from(system::unix_millis()).unwrap_or(i64::MAX));
    Ok(RestoreStamp {
        epoch: system::random_hex::<8>()?,
        now,
        above: Seq(0),
        // As a hub numbers them: by their time.
        break_number: now.0,
        run: None,
        new_identity: None,
    })
}

/// A moment that was asked for; `None`: the latest.
#[derive(Clone, Copy, Debug)]
struct Moment(Option<UnixMillis>);

fn moment(text: &str) -> Result<Moment, String> {
    ferry_backup::moment(text).map(Moment).map_err(|error| error.to_string())
}

async fn hub(
    context: &Context,
    url: String,
    (id, moment): (Option<String>, Option<Moment>),
    wanted: impl FnOnce(LogPlan<SnapshotId>) -> HubRestore + Send + 'static,
) -> Result<(), Failure> {
    let (restore, report, note) = at_target::blocking(move || {
        let repository = at_target::open(&url)?;
        let id = id.as_deref().map(at_target::snapshot_id).transpose()?;
        // Who names a backup has chosen.
        let note = if id.is_none() { repository.history_note() } else { Ok(None) };
        let note = note.map_err(|error| failure::of(&error))?;
        let at = moment.and_then(|Moment(at)| at);
        let restore = wanted(repository.plan(id, at).map_err(|error| failure::of(&error))?);
        let restored = ferry_backup::restore_hub(&repository, &restore, &JobProgress::default());
        Ok((restore, restored.map_err(|error| failure::of(&error))?, note))
    })
    .await?;
    note.into_iter().for_each(|note| output::note(format_args!("# {note}")));
    let RestoreReport { databases, bytes, time_ms, has_keys, review, unread } = &report;
    let time = UnixMillis(*time_ms).to_string();
    let (id, to) = (restore.plan.base.name.to_string(), restore.to.display().to_string());
    if let Some(Moment(Some(at))) = moment
        && at.0 > *time_ms
    {
        output::note(format_args!("# the newest that lies there before that moment is of {time}"));
    }
    if context.json {
        return output::json(&json!({
            "id": id, "to": to, "time": time, "databases": databases, "bytes": bytes,
            "has_keys": has_keys, "review": review, "unread": unread,
        }));
    }
    output::row(&[&id, &time, &databases.to_string(), &bytes.to_string(), &to])?;
    if !has_keys {
        output::note(
            "# keyring.json and operator.token were not in it: the hub makes new ones, and what the old ones signed is void",
        );
    }
    if !unread.is_empty() {
        output::note(
            "# these databases could not be read when the backup was taken: they are of the time that stands behind them, or empty \
             where none does; an older backup, or the disk that they were on, may have more",
        );
        unread.iter().for_each(|line| output::note(format_args!("# {line}")));
    }
    if !review.is_empty() {
        output::note(
            "# valid again, whatever was revoked since: look through them, and revoke what must not be",
        );
        review.iter().for_each(|line| output::note(format_args!("# {line}")));
    }
    output::note(format_args!(
        "# start the hub with --data-dir {to}, as this user or with the files made its own; clients are told of what was lost as they connect"
    ));
    Ok(())
}

async fn database(
    context: &Context,
    url: String,
    (id, name, moment): (Option<String>, String, Option<Moment>),
    out: PathBuf,
) -> Result<(), Failure> {
    let id = id.as_deref().map(at_target::snapshot_id).transpose()?;
    let restored = at_target::blocking(move || {
        let repository = at_target::open(&url)?;
        let wanted = WantedDatabase { database: name, backup: id, at: moment.and_then(|Moment(at)| at) };
        let scratch =
            tempfile::tempdir().map_err(|error| Failure::other(format!("a scratch folder: {error}")))?;
        let to = (&*out, &*scratch.path().join("log"));
        let found = wanted.find(&repository).map_err(|error| failure::of(&error))?;
        let restored = found.restore(&repository, &wanted, to, false, &JobProgress::default());
        restored.map_err(|error| failure::of(&error))
    })
    .await?;
    let (entry, time) = (restored.entry, UnixMillis(restored.time_ms).to_string());
    let (id, root) = (entry.id.to_string(), entry.image().root.to_string());
    if context.json {
        return output::json(
            &json!({ "database": id, "name": entry.name, "root": root, "seq": entry.seq, "time": time }),
        );
    }
    if entry.unread.is_some() {
        output::note(format_args!(
            "# it could not be read when that backup was taken: this is what was there of {time}, at the latest"
        ));
    }
    output::row(&[&id, &entry.name, &root])
}
