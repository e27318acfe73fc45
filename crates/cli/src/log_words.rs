//! Console lines of functions, as people read them, and following them.

use std::time::Duration;

use ferry_client::functions::{FunctionLogs, FunctionsClient, LogItem, LoggedLine};

use crate::{failure::Failure, output};

/// Pause before a stream that ended is opened again.
const RECONNECT_AFTER: Duration = Duration::from_secs(1);
/// How much of `2026-11-29T23:07:52.123Z` is the time of the day.
const TIME: std::ops::Range<usize> = 11..23;

/// How much of a line is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogStyle {
    /// Without the time, for who sees it happen.
    Short,
    Full,
}

/// Shows a line, and the stack of what was thrown.
pub(crate) fn tell(line: &LoggedLine, style: LogStyle) -> Result<(), Failure> {
    let LoggedLine { time, level, function, request_id, text, stack, .. } = line;
    let time = match style {
        LogStyle::Short => String::new(),
        LogStyle::Full => format!("{} ", time.get(TIME).unwrap_or(time)),
    };
    let mut lines = text.lines();
    let first = lines.next().unwrap_or_default();
    output::line(format_args!("{time}{level:<5} {function}: {first}  ({request_id})"))?;
    lines
        .chain(stack.iter().flat_map(|stack| stack.lines()))
        .try_for_each(|line| output::line(format_args!("      {}", line.trim_start())))
}

/// Tells that lines are missing.
pub(crate) fn tell_dropped(lines: Option<u64>) {
    let count = lines.map_or_else(
        || "lines may be missing here: the hub was restarted, or had to let them go".to_owned(),
        |lines| format!("{lines} lines are missing here: the hub keeps the newest"),
    );
    output::note(format_args!("({count})"));
}

/// Hands on every line from behind `since` on, over breaks of the connection, until `tell` fails.
pub(crate) async fn follow(
    client: &FunctionsClient,
    mut since: Option<u64>,
    mut tell: impl FnMut(&LoggedLine) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut is_lost = false;
    loop {
        match client.logs(since, true).await {
            Ok(mut logs) => {
                if std::mem::take(&mut is_lost) {
                    output::note("connected again");
                }
                since = hand_on(&mut logs, since, &mut tell).await?;
            }
            // Before anything was shown it is a mistake; later the hub may be on its way back.
            Err(error) if since.is_none() => return Err(error.into()),
            Err(error) if !is_lost => {
                output::note(format_args!("{error}; trying again"));
                is_lost = true;
            }
            Err(_) => {}
        }
        tokio::time::sleep(RECONNECT_AFTER).await;
    }
}

/// Hands on what a stream says until it ends; gives the number of the last line.
pub(crate) async fn hand_on(
    logs: &mut FunctionLogs,
    mut since: Option<u64>,
    tell: &mut impl FnMut(&LoggedLine) -> Result<(), Failure>,
) -> Result<Option<u64>, Failure> {
    while let Some(item) = logs.next().await? {
        match item {
            LogItem::Line(line) => {
                since = Some(line.n);
                tell(&line)?;
            }
            LogItem::Dropped(lines) => tell_dropped(lines),
            LogItem::Bye => break,
        }
    }
    Ok(since)
}
