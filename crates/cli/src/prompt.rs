//! Questions on the terminal. Ctrl-C ends them as any command (exit code 130), and the terminal is left as it was.

use std::io;

use ferry_types::printable;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use tokio::sync::oneshot;

use crate::{failure::Failure, output, system};

/// Says what is about to be done for good and has the person type the name of what it is done to (CLI-09).
pub(crate) async fn confirm_name(name: &str, warning: &str) -> Result<(), Failure> {
    let shown = printable(name).into_owned();
    let Some(typed) = answer(&format!("{warning}; type {shown} to go on")).await? else {
        return Err(Failure::Usage(format!("{name:?} was not typed: nothing was done")));
    };
    if typed.trim() == name || typed.trim() == shown {
        Ok(())
    } else {
        Err(Failure::Usage(format!("{typed:?} is not {name:?}: nothing was done")))
    }
}

/// A password, which is not shown.
pub(crate) async fn password(what: &str) -> Result<String, Failure> {
    loop {
        match password_or_none(what).await? {
            Some(password) if password.is_empty() => {}
            Some(password) => return Ok(password),
            None => return Err(Failure::Usage(format!("no {what} was given: nothing was done"))),
        }
    }
}

/// The same, which may be empty; `None` at Ctrl-D.
pub(crate) async fn password_or_none(what: &str) -> Result<Option<String>, Failure> {
    let silence = Silence::begin().map_err(|error| not_asked(&error))?;
    let typed = answer(what).await;
    drop(silence);
    if matches!(typed, Ok(Some(_))) {
        // The person's own line feed was not shown either.
        output::note("");
    }
    typed
}

/// A line; an empty one stands for `default`.
pub(crate) async fn line_or(question: &str, default: &str) -> Result<String, Failure> {
    let question = if default.is_empty() { question.to_owned() } else { format!("{question} [{default}]") };
    let typed = given(answer(&question).await?)?;
    Ok(if typed.is_empty() { default.to_owned() } else { typed })
}

/// One of `choices`, by its first letters or its number; an empty line stands for the first.
pub(crate) async fn choice(question: &str, choices: &[&str]) -> Result<usize, Failure> {
    let shown: Vec<String> =
        choices.iter().enumerate().map(|(at, choice)| format!("{} {choice}", at + 1)).collect();
    loop {
        let typed = given(answer(&format!("{question} ({}) [1]", shown.join(", "))).await?)?;
        if let Some(found) = chosen(&typed, choices) {
            return Ok(found);
        }
        output::note(format_args!("type one of {}, or its number", choices.join(", ")));
    }
}

/// Yes or no; an empty line means no.
pub(crate) async fn yes(question: &str) -> Result<bool, Failure> {
    let typed = given(answer(&format!("{question} [y/N]")).await?)?;
    Ok(matches!(typed.to_ascii_lowercase().as_str(), "y" | "yes"))
}

fn given(line: Option<String>) -> Result<String, Failure> {
    let line = line.ok_or_else(|| Failure::Usage("nothing was answered: nothing was done".into()))?;
    Ok(line.trim().to_owned())
}

fn chosen(typed: &str, choices: &[&str]) -> Option<usize> {
    if typed.is_empty() {
        return Some(0);
    }
    if let Ok(number) = typed.parse::<usize>() {
        return number.checked_sub(1).filter(|at| *at < choices.len());
    }
    let mut alike = choices.iter().enumerate().filter(|(_, choice)| choice.starts_with(typed));
    let found = alike.next()?;
    alike.next().is_none().then_some(found.0)
}

/// The next line, without its end; `None` at Ctrl-D.
async fn answer(question: &str) -> Result<Option<String>, Failure> {
    tokio::select! {
        // Signals are listened to before the question stands there.
        biased;
        () = system::interrupted() => {
            output::note("");
            Err(Failure::Interrupted(None))
        }
        line = read_line(question) => {
            let line = line.map_err(|error| not_asked(&error))?;
            if line.is_none() {
                output::note("");
            }
            Ok(line)
        }
    }
}

async fn read_line(question: &str) -> io::Result<Option<String>> {
    output::ask(question);
    let (send, receive) = oneshot::channel();
    // Not on a thread of the runtime, which waits for those when it ends.
    std::thread::spawn(move || {
        let mut line = String::new();
        let read = io::stdin().read_line(&mut line);
        let _ = send.send(read.map(|bytes| (bytes > 0).then_some(line)));
    });
    let line = receive.await.map_err(io::Error::other)??;
    Ok(line.map(|line| line.trim_end_matches(['\r', '\n']).to_owned()))
}

fn not_asked(error: &io::Error) -> Failure {
    Failure::Usage(format!("the terminal cannot be asked: {error}"))
}

/// The terminal of stdin shows nothing that is typed, as long as this lives.
struct Silence(Termios);

impl Silence {
    fn begin() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        tcsetattr(io::stdin(), OptionalActions::Flush, &silent)?;
        Ok(Self(before))
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        // A terminal that is gone needs no echo.
        let _ = tcsetattr(io::stdin(), OptionalActions::Flush, &self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::chosen;

    #[test]
    fn a_choice_is_named_or_numbered() {
        let choices = ["react", "plain", "renamed"];
        let found = ["", "1", "3", "p", "plain", "re", "0", "4", "x"].map(|typed| chosen(typed, &choices));
        assert_eq!(found, [Some(0), Some(0), Some(2), Some(1), Some(1), None, None, None, None]);
    }
}
