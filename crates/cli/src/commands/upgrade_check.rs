//! `ferry upgrade-check`: what this program would do to the data of an older one, without doing it (OPR-77).

use std::path::PathBuf;

use ferry_hub::data_dir::{self, SchemaStep};
use serde_json::json;

use crate::{failure::Failure, output};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit codes: 0 nothing is to be done, 12 steps are pending, 78 this version cannot take the data over.\n\n\
    Example:\n  ferry upgrade-check --data-dir /var/lib/ferry"
)]
pub(crate) struct Args {
    /// Data directory of the hub, which may run meanwhile
    #[arg(long, value_name = "DIR", env = "FERRY_DATA_DIR", default_value = "./ferry-data")]
    data_dir: PathBuf,
}

pub(crate) fn run(json: bool, args: &Args) -> Result<(), Failure> {
    let dir = &args.data_dir;
    let wrong = |error: ferry_hub::config::ConfigError| Failure::Configuration(error.to_string());
    let schema = data_dir::schema(dir).map_err(wrong)?.ok_or_else(|| {
        Failure::Configuration(format!(
            "{}: no hub has its data there: name the folder that holds control.db",
            dir.display()
        ))
    })?;
    let free = free_bytes(dir)?;
    let steps = match schema.step {
        SchemaStep::Migrate(count) => count,
        SchemaStep::Current | SchemaStep::Compatible => 0,
    };
    // Each step is one transaction: at the worst all of the file stands in the WAL as well, and in the file again.
    let bytes = if steps == 0 { 0 } else { schema.bytes };
    if json {
        output::json(
            &json!({ "steps": steps, "rewritten_bytes": bytes, "free_bytes": free, "newer": schema.step == SchemaStep::Compatible }),
        )?;
    } else {
        output::row(&["control.db", &told(schema.step)])?;
        output::row(&["rewritten", &format!("at most {}", output::bytes(bytes))])?;
        output::row(&["free", &output::bytes(free)])?;
        output::row(&["databases", "each is looked at when it is first used"])?;
    }
    if free < bytes.saturating_mul(2) {
        return Err(Failure::Configuration(format!(
            "{} has too little room for the steps: make {} free first",
            dir.display(),
            output::bytes(bytes.saturating_mul(2) - free)
        )));
    }
    match steps {
        0 => Ok(()),
        count => Err(Failure::Attention(format!(
            "{count} step{} pending: back up, then start this version",
            if count == 1 { " is" } else { "s are" }
        ))),
    }
}

fn told(step: SchemaStep) -> String {
    match step {
        SchemaStep::Current => "nothing to do".to_owned(),
        SchemaStep::Migrate(1) => "1 step".to_owned(),
        SchemaStep::Migrate(count) => format!("{count} steps"),
        SchemaStep::Compatible => {
            "nothing to do: a newer version wrote it, and this one may go on with it".to_owned()
        }
    }
}

fn free_bytes(dir: &std::path::Path) -> Result<u64, Failure> {
    let stat =
        rustix::fs::statvfs(dir).map_err(|error| Failure::other(format!("{}: {error}", dir.display())))?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}
