//! `ferry backup …`: through a hub with the operator token, or, with `--target`, at what lies there without any hub.

mod at_target;
mod failure;
mod restore;
mod through_hub;

use std::path::PathBuf;

use clap::Subcommand;
use ferry_core::backup::retention::Retention;

use super::admin;
use crate::{context::Context, failure::Failure, system::variable};

/// Where backups lie, as the hub's own setting names it.
const TARGET_VARIABLE: &str = "FERRY_BACKUP_TARGET";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// File with the operator token: operator.token of the hub's data directory [env: FERRY_OPERATOR_TOKEN, the
    /// token itself; else, for a hub on this machine, ./ferry-data/operator.token]
    #[arg(long, global = true, value_name = "FILE")]
    operator_token_file: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Take a backup on every target of the hub: its id, the bytes it added, the target
    #[command(after_help = "Examples:\n  ferry backup create\n  ferry backup create --database notes")]
    Create {
        /// Only this database, by id or name
        #[arg(long, value_name = "DB", default_value = "")]
        database: String,
        /// Print the id of the job and do not wait for its end
        #[arg(long)]
        no_wait: bool,
    },
    /// List backups, the newest first: id, time, what of, bytes, state; then the ranges to which a hub can be restored
    #[command(
        after_help = "Examples:\n  ferry backup list\n  ferry backup list --target file:///var/backups/ferry"
    )]
    List {
        /// Only those of this database alone, by id or name
        #[arg(long, value_name = "DB", default_value = "")]
        database: String,
        #[command(flatten)]
        at: TargetArgs,
    },
    /// Restore a backup into scratch files and compare it: each database and its root
    #[command(
        after_help = "Examples:\n  ferry backup verify\n  ferry backup verify 20261129T014200Z-7f3a9c21 --quick\n  \
        ferry backup verify --sample 10 --target file:///var/backups/ferry"
    )]
    Verify {
        /// Which one [default: the newest of the whole hub]
        id: Option<String>,
        /// Only look whether everything is there, packs with their length; a part of the log that was cut is not seen so
        #[arg(long, conflicts_with = "sample")]
        quick: bool,
        /// Only so many percent of the databases, others each time
        #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(1..=100))]
        sample: Option<u8>,
        #[command(flatten)]
        at: TargetArgs,
    },
    /// Restore a hub into a new folder; a database into a new file, as a new database, or in place of itself
    #[command(after_help = restore::EXAMPLES)]
    Restore(restore::Args),
    /// Remove the backups that are no longer kept, and what only they need
    #[command(after_help = "Examples:\n  ferry backup prune --dry-run\n  \
        ferry backup prune --target file:///var/backups/ferry --keep last=3,daily=7")]
    Prune {
        /// Only tell what would be removed
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        at: TargetArgs,
        /// With --target: which are kept, by UTC. Through a hub its setting backup.keep says it
        #[arg(long, value_name = "COUNTS", requires = "target")]
        keep: Option<Retention>,
        /// With --target: for how many days back all stays that was shipped between backups. Through a hub its setting
        /// backup.log_days says it
        #[arg(long, value_name = "DAYS", requires = "target", default_value_t = 7)]
        log_days: u32,
    },
    /// Try what a hub needs of a target: write, create once, read, list, remove
    #[command(after_help = "Examples:\n  ferry backup check-target s3://bucket/ferry\n  \
        ferry backup check-target file:///var/backups/ferry")]
    CheckTarget {
        /// file:///a/folder or s3://bucket/prefix [default: that of FERRY_BACKUP_TARGET]
        url: Option<String>,
    },
    /// Keys that backups are encrypted with
    #[command(subcommand)]
    Key(KeyCommand),
    /// Show when backups are taken, and how their targets are; pause them, and have them go on
    #[command(
        after_help = "Each target: its address, state, the last backup and the next, what is wrong, and the lag: how old what \
        it lacks is, in seconds.\n\nExamples:\n  ferry backup schedule\n  ferry backup schedule pause\n  \
        ferry backup schedule resume"
    )]
    Schedule {
        #[command(subcommand)]
        change: Option<ScheduleCommand>,
    },
}

#[derive(Debug, Subcommand)]
enum ScheduleCommand {
    /// Take, ship, remove and verify nothing by itself from now on, also after a start
    #[command(after_help = "Example:\n  ferry backup schedule pause")]
    Pause,
    /// Go on
    #[command(
        after_help = "Examples:\n  ferry backup schedule resume\n  ferry backup schedule resume --take-over"
    )]
    Resume {
        /// Also at a target that another hub has taken, which is this one's copy or original: this one goes on there, and
        /// the other one stops
        #[arg(long)]
        take_over: bool,
    },
}

#[derive(Debug, Subcommand)]
enum KeyCommand {
    /// Write a new key into a new file, for the setting backup.key_file; its fingerprint goes to stderr
    #[command(after_help = "Example:\n  ferry backup key create /etc/ferry/backup.key")]
    Create {
        /// The new file
        file: PathBuf,
    },
}

/// Where backups lie, without a hub.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct TargetArgs {
    /// Ask no hub, but look at this target: file:///a/folder, or s3://bucket/prefix, with AWS_ACCESS_KEY_ID and the like
    #[arg(long, value_name = "URL")]
    target: Option<String>,
}

impl TargetArgs {
    /// The one that is named, else that of the environment.
    fn needed(&self) -> Result<String, Failure> {
        self.target.clone().or_else(|| variable(TARGET_VARIABLE)).ok_or_else(|| {
            Failure::Usage(format!(
                "name where the backups lie: --target file:///a/folder, or set {TARGET_VARIABLE}; \
                 a hub tells its own by: ferry backup schedule"
            ))
        })
    }
}

pub(crate) async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    let hub = || admin::operator(context, args.operator_token_file.clone());
    match args.command {
        Command::Create { database, no_wait } => {
            through_hub::create(context, &hub()?, database, no_wait).await
        }
        Command::List { database, at } => match at.target {
            Some(url) => at_target::list(context, url, database).await,
            None => through_hub::list(context, &hub()?, database).await,
        },
        Command::Verify { id, quick, sample, at } => match at.target {
            Some(url) => at_target::verify(context, url, id, (quick, sample)).await,
            None => through_hub::verify(context, &hub()?, id, (quick, sample)).await,
        },
        Command::Restore(args) => match args.through_hub() {
            Some(wanted) => through_hub::restore(context, &hub()?, wanted).await,
            None => restore::run(context, args).await,
        },
        Command::Prune { dry_run, at, keep, log_days } => match at.target {
            Some(url) => at_target::prune(context, url, (keep, log_days), dry_run).await,
            None => through_hub::prune(context, &hub()?, dry_run).await,
        },
        Command::CheckTarget { url } => at_target::check(context, TargetArgs { target: url }.needed()?).await,
        Command::Key(KeyCommand::Create { file }) => at_target::create_key(context, &file),
        Command::Schedule { change } => {
            let change = change.map(|change| match change {
                ScheduleCommand::Pause => through_hub::ScheduleChange::Pause,
                ScheduleCommand::Resume { take_over } => through_hub::ScheduleChange::Resume(take_over),
            });
            through_hub::schedule(context, &hub()?, change).await
        }
    }
}
