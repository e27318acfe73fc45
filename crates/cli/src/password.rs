//! Where a password comes from (CLI-03): `--password-stdin`, FERRY_PASSWORD, EDGEREPLICA_PASSWORD, a prompt
//! without echo. Never from the command line, which other users of the machine can read.

use std::io::{BufRead as _, IsTerminal as _};

use crate::{failure::Failure, output, prompt};

const NEW_VARIABLE: &str = "FERRY_NEW_PASSWORD";
const VARIABLES: [&str; 2] = ["FERRY_PASSWORD", "EDGEREPLICA_PASSWORD"];

// What helps without a terminal, by what is asked for.
const GIVE: &str = "use --password-stdin or set FERRY_PASSWORD";
const GIVE_NEW: &str = "use --password-stdin or set FERRY_NEW_PASSWORD";
const GIVE_BOTH: &str = "set FERRY_PASSWORD to the present one and FERRY_NEW_PASSWORD to the new one, or use \
    --password-stdin with the present one in the first line and the new one in the second";

/// What every command that needs a password takes.
#[derive(Debug, clap::Args)]
pub(crate) struct PasswordArgs {
    /// Read the password from the first line of stdin [env: FERRY_PASSWORD, EDGEREPLICA_PASSWORD; else a prompt]
    #[arg(long)]
    password_stdin: bool,
}

impl PasswordArgs {
    /// The password; `twice` has a prompt ask again, so that a slip is not stored for ever.
    pub(crate) async fn read(&self, twice: bool) -> Result<String, Failure> {
        if self.password_stdin {
            return from_stdin();
        }
        match given() {
            Some(password) => Ok(password),
            None => asked("password", twice, GIVE).await,
        }
    }

    /// The password, or nothing where none is given and nobody can be asked: the account may have none.
    pub(crate) async fn read_if_any(&self) -> Result<String, Failure> {
        if self.password_stdin || given().is_some() { self.read(false).await } else { asked_if_any().await }
    }

    /// The present password, and then the new one: the second line of stdin, FERRY_NEW_PASSWORD, a prompt.
    pub(crate) async fn read_with_new(&self) -> Result<(String, String), Failure> {
        let current = match given() {
            None if !self.password_stdin => asked("password", false, GIVE_BOTH).await?,
            _ => self.read(false).await?,
        };
        Ok((current, new_password(self.password_stdin, GIVE_BOTH).await?))
    }
}

/// What a command takes that asks for a new password alone.
#[derive(Debug, clap::Args)]
pub(crate) struct NewPasswordArgs {
    /// Read the new password from the first line of stdin [env: FERRY_NEW_PASSWORD; else a prompt]
    #[arg(long)]
    password_stdin: bool,
}

impl NewPasswordArgs {
    pub(crate) async fn read(&self) -> Result<String, Failure> {
        new_password(self.password_stdin, GIVE_NEW).await
    }
}

fn given() -> Option<String> {
    VARIABLES.iter().find_map(|name| crate::system::variable(name))
}

async fn new_password(stdin: bool, otherwise: &str) -> Result<String, Failure> {
    match crate::system::variable(NEW_VARIABLE) {
        _ if stdin => from_stdin(),
        Some(password) => Ok(password),
        None => asked("new password", true, otherwise).await,
    }
}

fn from_stdin() -> Result<String, Failure> {
    let mut line = String::new();
    std::io::stdin()
        .lock()
        .read_line(&mut line)
        .map_err(|error| Failure::Usage(format!("cannot read the password from stdin: {error}")))?;
    let password = line.trim_end_matches(['\r', '\n']);
    if password.is_empty() {
        return Err(Failure::Usage(
            "--password-stdin was given, and stdin has no line left for the password".into(),
        ));
    }
    Ok(password.to_owned())
}

async fn asked_if_any() -> Result<String, Failure> {
    if !is_terminal() {
        return Ok(String::new());
    }
    Ok(prompt::password_or_none("password (none: Enter)").await?.unwrap_or_default())
}

/// `otherwise` is what to do where there is no terminal.
async fn asked(what: &str, twice: bool, otherwise: &str) -> Result<String, Failure> {
    if !is_terminal() {
        return Err(Failure::Usage(format!("there is no terminal to ask for the {what}: {otherwise}")));
    }
    loop {
        let password = prompt::password(what).await?;
        if !twice || prompt::password("password again").await? == password {
            return Ok(password);
        }
        output::note("the two differ; once more");
    }
}

fn is_terminal() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}
