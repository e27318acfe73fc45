//! `ferry doctor`: what is wrong with a hub's settings, data, machine and the way to it, and what to do about it (OPR-88).
//! It may run beside the hub, and changes nothing but files of its own: one that it writes to measure the disk, and one on each
//! backup target, which it removes again.

mod hub;
mod machine;
mod mail;
mod targets;
mod way;

use std::collections::BTreeMap;

use ferry_hub::{
    config::{Config, ServeArgs},
    doctor::{DoctorFinding, Examining},
};
use serde_json::json;

use crate::{
    context::{Global, trust_named},
    failure::Failure,
    output,
};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Run it as the user of the hub, with the settings of the hub: its flags, variables and ferry.toml.\n\
    Exit codes: 0 nothing failed, 12 warnings with --strict, 78 a check failed.\n\n\
    Examples:\n  ferry doctor --data-dir /var/lib/ferry\n  \
    ferry doctor --strict --config /etc/ferry/ferry.toml --data-dir /var/lib/ferry"
)]
pub(crate) struct Args {
    /// Warnings too end with another exit code than 0
    #[arg(long)]
    strict: bool,
    #[command(flatten)]
    settings: ServeArgs,
}

/// How bad something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    /// As it should be.
    Ok,
    /// Somebody should look at it.
    Warn,
    /// The hub does not work, or not safely.
    Fail,
}

impl Level {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// What was found out.
struct Finding {
    level: Level,
    check: &'static str,
    /// What it is, and what to do.
    text: String,
}

/// All findings, in the order of the checks.
#[derive(Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn add(&mut self, level: Level, check: &'static str, text: impl Into<String>) {
        self.0.push(Finding { level, check, text: text.into() });
    }

    fn count(&self, level: Level) -> usize {
        self.0.iter().filter(|finding| finding.level == level).count()
    }
}

pub(crate) async fn run(global: Global, args: &Args) -> Result<(), Failure> {
    let environment: BTreeMap<_, _> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    let mut findings = Findings::default();
    if let Err(error) = trust_named(global.cacert) {
        findings.add(Level::Fail, "authorities", error.to_string());
    }
    match Config::load(&args.settings, &environment) {
        Ok(config) => check(&config, &mut findings).await,
        Err(error) => findings.add(Level::Fail, "configuration", error.to_string()),
    }
    show(global.json, &findings)?;
    let (failed, warned) = (findings.count(Level::Fail), findings.count(Level::Warn));
    match (failed, warned) {
        (1.., _) => Err(Failure::Configuration(format!("{failed} checks failed, {warned} warn"))),
        (0, 1..) if args.strict => Err(Failure::Attention(format!("{warned} checks warn"))),
        _ => Ok(()),
    }
}

/// The checks, for whoever asks the hub for them.
pub(crate) fn examine(config: Config) -> Examining {
    Box::pin(async move {
        let runtime = tokio::runtime::Handle::current();
        found_by(move || {
            let mut findings = Findings::default();
            runtime.block_on(check(&config, &mut findings));
            findings
        })
        .await
    })
}

/// What these checks find, which wait for the disk. Checks that break off find that.
async fn found_by(checks: impl FnOnce() -> Findings + Send + 'static) -> Vec<DoctorFinding> {
    let findings = tokio::task::spawn_blocking(checks).await.unwrap_or_else(|error| {
        let mut findings = Findings::default();
        let text = format!(
            "the checks broke off, and nothing of what they found is known ({error}): run ferry doctor on the hub's machine, \
             and report this with the hub's log"
        );
        findings.add(Level::Fail, "doctor", text);
        findings
    });
    let found = findings.0.into_iter();
    found.map(|Finding { level, check, text }| DoctorFinding { level: level.as_str(), check, text }).collect()
}

async fn check(config: &Config, findings: &mut Findings) {
    if config.warnings.is_empty() {
        findings.add(Level::Ok, "configuration", "the settings are read, and fit each other");
    }
    for warning in &config.warnings {
        findings.add(Level::Warn, "configuration", warning.clone());
    }
    hub::check(config, findings).await;
    machine::check(config, findings);
    way::check(config, findings).await;
    targets::check(config, findings).await;
    mail::check(config, findings).await;
}

fn show(json: bool, findings: &Findings) -> Result<(), Failure> {
    if json {
        let checks: Vec<_> = findings
            .0
            .iter()
            .map(|one| json!({ "level": one.level.as_str(), "check": one.check, "text": one.text }))
            .collect();
        return output::json(&json!({ "checks": checks }));
    }
    findings.0.iter().try_for_each(|one| output::row(&[one.level.as_str(), one.check, &one.text]))
}

#[cfg(test)]
mod tests {
    use super::*;

    // Verifies: OPR-88
    #[tokio::test]
    async fn checks_that_panic_have_failed() {
        let found = found_by(|| panic!("on purpose")).await;
        assert_eq!(found.iter().map(|one| (one.level, one.check)).collect::<Vec<_>>(), [("fail", "doctor")]);
        assert!(found[0].text.contains("broke off"), "{found:?}");
        let found = found_by(|| {
            let mut findings = Findings::default();
            findings.add(Level::Ok, "disk", "it is large");
            findings
        });
        assert_eq!(
            found.await,
            [DoctorFinding { level: "ok", check: "disk", text: "it is large".to_owned() }]
        );
    }
}
