//! `ferry admin lineage …`: where a data directory comes from, and what its operator says of it, with the hub stopped
//! (OPR-32, OPR-37).

use std::path::{Path, PathBuf};

use clap::Subcommand;
use ferry_hub::{
    config::ConfigError,
    data_dir::lineage::{self, BreakRow, LineageAnswer, answer_lineage},
};
use ferry_types::UnixMillis;
use serde_json::json;

use crate::{failure::Failure, output};

#[derive(Debug, Subcommand)]
pub(crate) enum Lineage {
    /// Show run, state, what the next start finds, and all breaks; also while the hub runs
    #[command(
        after_help = "Each break: its number, when it was found, of which database (or hub), what showed it, from when \
        on writes may be lost, the number of the newest commit that it is known to have had.\n\n\
        Example:\n  ferry admin lineage show --data-dir /var/lib/ferry"
    )]
    Show(Place),
    /// Say that a data directory which was copied is the hub itself: nothing was written anywhere else since
    #[command(after_help = "Example:\n  ferry admin lineage moved --data-dir /var/lib/ferry")]
    Moved(Place),
    /// Say that a data directory is an older state: clients may have seen more, and are told at the next start
    #[command(after_help = "Example:\n  ferry admin lineage restored --data-dir /var/lib/ferry")]
    Restored(Place),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Place {
    /// Data directory of the hub
    #[arg(long, value_name = "DIR", env = "FERRY_DATA_DIR")]
    data_dir: PathBuf,
}

pub(crate) fn run(json: bool, command: Lineage) -> Result<(), Failure> {
    match command {
        Lineage::Show(place) => show(json, &place.data_dir),
        Lineage::Moved(place) => answer(json, &place.data_dir, LineageAnswer::Moved),
        Lineage::Restored(place) => answer(json, &place.data_dir, LineageAnswer::Restored),
    }
}

fn wrong(error: &ConfigError) -> Failure {
    Failure::Configuration(error.to_string())
}

fn show(json: bool, dir: &Path) -> Result<(), Failure> {
    let found = lineage::lineage(dir).map_err(|error| wrong(&error))?;
    let Some(hub_id) = &found.rows.control.hub_id else {
        let message = "no hub has its data there: name the folder that holds control.db";
        return Err(Failure::Configuration(format!("{}: {message}", dir.display())));
    };
    let run = found.rows.control.newest.map(|run| run.to_string());
    let state = found.record.as_ref().map(|record| record.state.as_str());
    let sign = found.verdict.sign().map(lineage::Sign::as_str);
    if json {
        let breaks: Vec<_> = found.rows.breaks.iter().map(told).collect();
        return output::json(&json!({
            "hub_id": hub_id, "run": run, "began_unix_ms": found.rows.began.map(|at| at.0), "state": state,
            "verdict": found.verdict.as_str(), "sign": sign, "breaks": breaks,
        }));
    }
    output::row(&["hub", hub_id])?;
    output::row(&["run", run.as_deref().unwrap_or("none"), &time(found.rows.began)])?;
    output::row(&["state", state.unwrap_or("unknown")])?;
    output::row(&["verdict", found.verdict.as_str(), sign.unwrap_or_default()])?;
    found.rows.breaks.iter().try_for_each(row)
}

fn told(row: &BreakRow) -> serde_json::Value {
    json!({
        "n": row.number, "at_unix_ms": row.at.0, "scope": row.scope, "reason": row.reason,
        "lost_since_unix_ms": row.since.map(|at| at.0), "known_seq": row.known_seq,
    })
}

fn row(row: &BreakRow) -> Result<(), Failure> {
    let (number, known_seq) = (row.number.to_string(), row.known_seq.to_string());
    let (at, since) = (row.at.to_string(), time(row.since));
    output::row(&["break", &number, &at, &row.scope, &row.reason, &since, &known_seq])
}

fn time(at: Option<UnixMillis>) -> String {
    at.map_or_else(String::new, |at| at.to_string())
}

fn answer(json: bool, dir: &Path, answer: LineageAnswer) -> Result<(), Failure> {
    let verdict = answer_lineage(dir, answer).map_err(|error| wrong(&error))?;
    let (word, next) = match answer {
        LineageAnswer::Moved => ("moved", "the next start goes on as if nothing had been copied"),
        LineageAnswer::Restored => (
            "restored",
            "the next start tells clients that the hub was put back: they send again what they hold, and event stores wait",
        ),
    };
    if json {
        return output::json(&json!({ "found": verdict.as_str(), "answer": word }));
    }
    output::row(&[word, next])
}
