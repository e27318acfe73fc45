//! What `ferry dev` shows.

use std::time::Duration;

use ferry_client::ServerUrl;

use super::session::{Swap, SwapEnd, SwapTimes};
use crate::{deploy_words, failure::Failure, output, project::Project};

/// Names of changed files that are shown.
const NAMES_MAX: usize = 3;

pub(super) fn welcome(project: &Project, address: &ServerUrl, key: &str) -> Result<(), Failure> {
    const VERSION: &str = env!("CARGO_PKG_VERSION");
    output::line(format_args!("ferry {VERSION} serves {}", project.settings.project.name))?;
    output::line(format_args!("hub    {address}, key {key}"))?;
    output::line(format_args!("watch  {} (Ctrl-C ends)", project.dir.display()))
}

pub(super) fn swap(swap: &Swap) -> Result<(), Failure> {
    match &swap.ended {
        SwapEnd::Same => return Ok(()),
        SwapEnd::Made(made) => {
            deploy_words::tell_steps(&made.steps)?;
            if let Some(backup) = &made.backup {
                output::line(format_args!("backup of before: {backup} (ferry migrations restore {backup})"))?;
            }
            return output::line(format_args!(
                "{} in {} ({}{}): {}",
                if swap.is_serving { "swapped" } else { "deployed" },
                millis(swap.total),
                changed(swap),
                times(&swap.times),
                functions(swap.function_count)
            ));
        }
        SwapEnd::Wrong(wrong) => {
            for diagnostic in wrong {
                output::block(diagnostic)?;
            }
        }
        SwapEnd::Told(text) => output::block(text)?,
        SwapEnd::Refused(refused) => deploy_words::tell_refusal(refused)?,
        SwapEnd::Declined => {}
    }
    output::line(if swap.is_serving {
        "not swapped: the functions of before go on"
    } else {
        "nothing is deployed yet: mend it and save"
    })
}

fn changed(swap: &Swap) -> String {
    // At the start all files are new.
    if !swap.is_serving || swap.changed.is_empty() {
        return String::new();
    }
    match swap.changed.len() {
        count @ 1..=NAMES_MAX => format!("{}; ", swap.changed[..count].join(", ")),
        count => format!("{count} files; "),
    }
}

fn times(times: &SwapTimes) -> String {
    let check = times.check.map_or_else(String::new, |check| format!(", types {}", millis(check)));
    format!("bundle {}{check}, deploy {}", millis(times.bundle), millis(times.deploy))
}

fn functions(count: usize) -> String {
    format!("{count} function{}", if count == 1 { "" } else { "s" })
}

fn millis(time: Duration) -> String {
    format!("{} ms", time.as_millis())
}
