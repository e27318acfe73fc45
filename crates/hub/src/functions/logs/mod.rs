//! What functions wrote to the console, and how their calls failed, for whoever administers them: the last lines of each
//! database, in memory.

mod follow;
mod rings;

pub(super) use follow::serve;
pub(super) use rings::LogRings;

use std::sync::Arc;

use ferry_functions::{CallFailure, FunctionLogLine, LogLevel, ThrownClass};
use serde_json::json;

use super::{call::CallDone, refusal::CallRefusal};
use crate::hub::Hub;

/// Longest text of a line, bytes; so of its stack.
const TEXT_MAX_BYTES: usize = 16 << 10;

/// A call whose lines are kept.
pub(super) struct LoggedCall<'a> {
    pub(super) hub: &'a Hub,
    pub(super) database: ferry_types::DatabaseId,
    pub(super) function: &'a str,
    pub(super) request_id: &'a str,
    pub(super) deployment: &'a str,
}

impl LoggedCall<'_> {
    /// Keeps what the call wrote.
    pub(super) fn wrote(&self, lines: &[FunctionLogLine]) {
        for FunctionLogLine { level, text } in lines {
            let level = match level {
                LogLevel::Debug => "debug",
                LogLevel::Info => "info",
                LogLevel::Warn => "warn",
                LogLevel::Error => "error",
            };
            self.keep(level, text, "");
        }
    }

    /// Keeps how it failed. What functions throw on purpose is a warning.
    pub(super) fn failed(&self, done: &CallDone, failure: &CallFailure, refusal: &CallRefusal) {
        let level = if refusal.code.status >= 500 { "error" } else { "warn" };
        match failure {
            CallFailure::Thrown { message, stack, .. } => self.keep(level, message, stack),
            // What is told of an end that the database brought may leave out what it was.
            CallFailure::Aborted if refusal.code.code == "INTERNAL" => {
                self.keep(level, &format!("{} {:?}", refusal.message, done.end), &done.outcome.ended_at);
            }
            CallFailure::Limit(_) | CallFailure::Aborted | CallFailure::Died => {
                self.keep(level, &refusal.message, &done.outcome.ended_at);
            }
        }
    }

    /// The same of a hook, whose caller is told nothing but that it failed.
    pub(super) fn hook_failed(&self, failure: &CallFailure) {
        match failure {
            CallFailure::Thrown { class: ThrownClass::Internal, message, stack } => {
                self.keep("error", message, stack);
            }
            CallFailure::Thrown { message, stack, .. } => self.keep("warn", message, stack),
            CallFailure::Limit(_) | CallFailure::Aborted | CallFailure::Died => {
                self.keep("error", &format!("{failure:?}"), "");
            }
        }
    }

    fn keep(&self, level: &str, text: &str, stack: &str) {
        let Self { hub, database, function, request_id, deployment } = self;
        let now = hub.clock.now();
        hub.services.functions.logs.push(*database, now, |n| {
            let mut line = json!({
                "n": n, "time": now.to_string(), "level": level, "function": function, "requestId": request_id,
                "deployment": deployment, "text": shortened(text),
            });
            if !stack.is_empty() {
                line["stack"] = shortened(stack).into();
            }
            Arc::from(line.to_string())
        });
    }
}

fn shortened(text: &str) -> String {
    if text.len() <= TEXT_MAX_BYTES {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(TEXT_MAX_BYTES);
    format!("{}… ({} bytes more)", &text[..end], text.len() - end)
}
