//! The exchange with the hub, and how it stands.

use ferry_protocol::ops::{SpokeCall, SyncCounts, SyncNowParams, SyncStatus};
use ferry_types::UnixMillis;

use super::Calls;
use crate::{context::Context, failure::Failure, output};

/// How long an exchange that a person waits for may take; it goes on behind that.
const WAIT_MAX_MS: u64 = 300_000;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  ferry ops sync\n  \
        ferry ops sync --accept-hub 6f1d2c3b4a5968778695a4b3c2d1e0ff      go on with another hub's log")]
pub(super) struct SyncArgs {
    /// Go on with this hub's log, though it shares no op with the store: both are merged
    #[arg(long, value_name = "HUB_ID")]
    accept_hub: Option<String>,
}

/// Exchanges ops, beside what another command does.
pub(super) async fn exchange(calls: &mut Calls) -> Result<(), Failure> {
    let params = SyncNowParams { timeout_ms: Some(WAIT_MAX_MS), accept_hub: None };
    calls.call(&SpokeCall::SyncNow(params)).await.map(drop)
}

/// `pulled=1 applied=1 pushed=0`.
pub(super) async fn sync(context: &Context, mut calls: Calls, args: SyncArgs) -> Result<(), Failure> {
    let params = SyncNowParams { timeout_ms: Some(WAIT_MAX_MS), accept_hub: args.accept_hub };
    let done = calls.call(&SpokeCall::SyncNow(params)).await?;
    if context.json {
        return output::json(&done);
    }
    let counts: SyncCounts = super::shown(&done)?;
    let refused = match (counts.quarantined, counts.rejected) {
        (0, 0) => String::new(),
        (quarantined, rejected) => format!(" quarantined={quarantined} rejected={rejected}"),
    };
    output::line(format_args!(
        "pulled={} applied={} pushed={}{refused}",
        counts.pulled, counts.applied, counts.pushed
    ))
}

/// `key: value` lines.
pub(super) async fn status(context: &Context, mut calls: Calls) -> Result<(), Failure> {
    let status = calls.call(&SpokeCall::SyncStatus).await?;
    if context.json {
        return output::json(&status);
    }
    let status: SyncStatus = super::shown(&status)?;
    let none = || "-".to_owned();
    let time = |ms: Option<i64>| ms.map_or_else(none, |ms| UnixMillis(ms).to_string());
    let lines = [
        ("mode", status.mode),
        ("hub_url", status.hub_url.unwrap_or_else(none)),
        ("hub_id", status.hub_id.unwrap_or_else(none)),
        ("epoch", status.epoch.unwrap_or_else(none)),
        ("cursor", status.cursor.to_string()),
        ("pending", status.pending.to_string()),
        ("last_attempt", time(status.last_attempt_ms)),
        ("last_success", time(status.last_success_ms)),
        ("last_error", status.last_error.unwrap_or_else(none)),
        ("auth_failed", status.auth_failed.to_string()),
        ("next_attempt", time(status.next_attempt_ms)),
        ("clock_offset_ms", status.clock_offset_ms.to_string()),
        ("conflicts", status.conflicts.to_string()),
    ];
    lines.iter().try_for_each(|(key, value)| output::line(format_args!("{key}: {value}")))?;
    let problems = status.problems.iter();
    problems
        .map(|problem| (&problem.id, problem.code.as_str()))
        .try_for_each(|(id, code)| output::line(format_args!("problem: {id} {code}")))
}
