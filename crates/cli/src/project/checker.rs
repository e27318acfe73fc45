//! The process that checks types: `@ferry/server`'s, with the project's own TypeScript kept warm. A line of JSON in, a line
//! out.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, ChildStdin, Command, Stdio},
    time::Duration,
};

use ferry_functions::Diagnostic;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::mpsc;

use super::Project;

/// What checks, below `node_modules`.
const PROGRAM: &str = "@ferry/server/dist/codegen/main.js";
/// Longest wait for an answer; the first one comes after TypeScript has read its own libraries.
const ANSWER_MAX: Duration = Duration::from_secs(60);
/// Answers that wait to be taken.
const LINES_MAX: usize = 16;

/// A running checker. Dropped, it ends.
#[derive(Debug)]
pub(crate) struct Checker {
    child: Child,
    stdin: ChildStdin,
    lines: mpsc::Receiver<String>,
    asked: u64,
}

/// What a check came to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Checked {
    /// The types of the functions, if they are right.
    pub(crate) api_types: String,
    /// What is wrong.
    pub(crate) wrong: Vec<Diagnostic>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    id: Option<u64>,
    ok: Option<bool>,
    api_dts: Option<String>,
    #[serde(default)]
    diagnostics: Vec<TypeDiagnostic>,
    fatal: Option<String>,
    error: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct TypeDiagnostic {
    file: Option<String>,
    #[serde(default)]
    line: u32,
    #[serde(default)]
    column: u32,
    message: String,
    #[serde(default)]
    source_line: String,
}

impl Checker {
    /// Starts one; else why there is none, and what to do.
    pub(crate) fn start(project: &Project) -> Result<Self, String> {
        let program = project
            .node_module(PROGRAM)
            .ok_or("node_modules has no @ferry/server (npm install puts it there)")?;
        let mut command = Command::new("node");
        command
            .arg(program)
            .arg(&project.dir)
            .current_dir(&project.root)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut child = command.spawn().map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => {
                "Node.js is not found (install it from https://nodejs.org)".to_owned()
            }
            _ => format!("node: {error}"),
        })?;
        let stdin = child.stdin.take().expect("BUG: stdin is piped");
        let stdout = child.stdout.take().expect("BUG: stdout is piped");
        let (send, lines) = mpsc::channel(LINES_MAX);
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if send.blocking_send(line).is_err() {
                    return;
                }
            }
        });
        Ok(Self { child, stdin, lines, asked: 0 })
    }

    /// Checks the project as it is now; else why the checker is of no use any more.
    pub(crate) async fn check(&mut self) -> Result<Checked, String> {
        self.asked += 1;
        let request = format!("{}\n", json!({ "id": self.asked, "check": true }));
        // One that has ended says why in its last line.
        let _ = self.stdin.write_all(request.as_bytes()).and_then(|()| self.stdin.flush());
        let answered = tokio::time::timeout(ANSWER_MAX, self.answer()).await;
        answered.map_err(|_| format!("it gave no answer within {} s", ANSWER_MAX.as_secs()))?
    }

    async fn answer(&mut self) -> Result<Checked, String> {
        loop {
            let line = self.lines.recv().await.ok_or("it ended")?;
            let answer: Answer =
                serde_json::from_str(&line).map_err(|_| "its answer cannot be read".to_owned())?;
            if let Some(fatal) = answer.fatal {
                return Err(fatal);
            }
            // An earlier question was given up.
            if answer.id != Some(self.asked) {
                continue;
            }
            if let Some(error) = answer.error {
                return Err(error);
            }
            let wrong: Vec<Diagnostic> = answer.diagnostics.into_iter().map(diagnostic).collect();
            if wrong.is_empty() && answer.ok == Some(false) {
                return Err("it found something wrong and did not say what".to_owned());
            }
            return Ok(Checked { api_types: answer.api_dts.unwrap_or_default(), wrong });
        }
    }
}

fn diagnostic(found: TypeDiagnostic) -> Diagnostic {
    let TypeDiagnostic { file, line, column, message, source_line } = found;
    let file = file.unwrap_or_else(|| "the project:".to_owned());
    Diagnostic { file, line, column, message, source_line, package: None }
}

impl Drop for Checker {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
