//! The `ferry` command line as a person or a script calls it, with a configuration folder of its own.

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
};

use tempfile::TempDir;

use crate::{hub::clear_environment, rpc::PASSWORD, wait};

/// One person at one machine: a configuration folder, a working folder and the variables set there.
#[derive(Clone, Debug)]
pub struct Ferry {
    binary: PathBuf,
    home: Arc<TempDir>,
    environment: Vec<(String, String)>,
    input: Option<String>,
    is_nobody: bool,
    folder: Option<PathBuf>,
}

/// What a command left.
#[derive(Clone, Debug)]
pub struct Output {
    /// Exit code; `None`: ended by a signal.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Ferry {
    /// A person without any configuration, whose server is `server`.
    ///
    /// # Panics
    /// If no temporary folder can be made.
    #[must_use]
    pub fn new(binary: impl Into<PathBuf>, server: &str) -> Self {
        let home = tempfile::tempdir().expect("a temporary folder");
        std::fs::create_dir(home.path().join("files")).expect("a temporary folder");
        let ferry = Self {
            binary: binary.into(),
            home: Arc::new(home),
            environment: Vec::new(),
            input: None,
            is_nobody: false,
            folder: None,
        };
        ferry.env("FERRY_SERVER", server)
    }

    /// The same person who runs another program, as it stands in PATH.
    #[must_use]
    pub fn program(mut self, name: &str) -> Self {
        self.binary = name.into();
        self
    }

    /// The same person with one more variable, which replaces an older one of that name.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.retain(|(found, _)| found != name);
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The same person in another working folder.
    #[must_use]
    pub fn folder(mut self, folder: PathBuf) -> Self {
        self.folder = Some(folder);
        self
    }

    /// The same person with this text on standard input.
    #[must_use]
    pub fn input(mut self, text: &str) -> Self {
        self.input = Some(text.to_owned());
        self
    }

    /// The same person without the rights of the superuser, whom no mode of a file holds; who is not the superuser stays
    /// who they are.
    ///
    /// # Panics
    /// If the folders cannot be opened to others.
    #[must_use]
    pub fn as_nobody(mut self) -> Self {
        use std::os::unix::fs::PermissionsExt as _;
        self.is_nobody = rustix::process::geteuid().is_root();
        if self.is_nobody {
            std::fs::create_dir_all(self.config_dir()).expect("a temporary folder");
            for folder in [self.home.path().to_owned(), self.config_dir(), self.files()] {
                let open = std::fs::Permissions::from_mode(0o777);
                std::fs::set_permissions(folder, open).expect("the folder is ours");
            }
        }
        self
    }

    /// Where the configuration lies.
    #[must_use]
    pub fn config_dir(&self) -> PathBuf {
        self.home.path().join("config")
    }

    /// The working folder.
    #[must_use]
    pub fn files(&self) -> PathBuf {
        self.home.path().join("files")
    }

    /// A file of the working folder.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.files().join(name)
    }

    fn command<S: AsRef<std::ffi::OsStr>>(&self, arguments: &[S]) -> Command {
        let mut command = Command::new(&self.binary);
        clear_environment(&mut command);
        command
            .args(arguments)
            .current_dir(self.folder.clone().unwrap_or_else(|| self.files()))
            .env("FERRY_CONFIG_DIR", self.config_dir())
            .envs(self.environment.iter().map(|(name, value)| (name, value)));
        if self.is_nobody {
            // By convention the user and group that own nothing.
            std::os::unix::process::CommandExt::uid(&mut command, 65_534);
            std::os::unix::process::CommandExt::gid(&mut command, 65_534);
        }
        command
    }

    /// Starts a command.
    ///
    /// # Panics
    /// If the binary does not start.
    #[must_use]
    pub fn spawn<S: AsRef<std::ffi::OsStr>>(&self, arguments: &[S]) -> Child {
        let mut command = self.command(arguments);
        command
            .stdin(if self.input.is_some() { Stdio::piped() } else { Stdio::null() })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary starts");
        if let Some(text) = &self.input {
            let mut stdin = child.stdin.take().expect("BUG: stdin is piped");
            // A command that does not read its input is no failure of the test.
            let _ = stdin.write_all(text.as_bytes());
        }
        child
    }

    /// Runs a command to its end.
    ///
    /// # Panics
    /// If the binary does not start.
    #[must_use]
    pub fn run<S: AsRef<std::ffi::OsStr>>(&self, arguments: &[S]) -> Output {
        finish(self.spawn(arguments))
    }

    /// Runs a command on a terminal of `columns` columns; gives its exit code and what the terminal got.
    ///
    /// # Panics
    /// If there is no terminal to be had, or the binary does not start.
    #[must_use]
    pub fn on_terminal<S: AsRef<std::ffi::OsStr>>(
        &self,
        columns: u16,
        arguments: &[S],
    ) -> (Option<i32>, String) {
        let seen = on_terminal(columns, self.command(arguments), &[]);
        (seen.code, seen.shown)
    }

    /// Runs a command on a terminal of its own, and types there: of each pair the second, once the first is shown.
    ///
    /// # Panics
    /// If there is no terminal to be had, or the command does not end.
    #[must_use]
    pub fn typing(&self, arguments: &[&str], typed: &[(&str, &str)]) -> Seen {
        let binary = self.binary.to_str().expect("the binary's path is text");
        // Ctrl-C reaches only who has a terminal as the one that controls it (util-linux).
        let arguments = [&["--ctty", binary], arguments].concat();
        on_terminal(80, self.clone().program("setsid").command(&arguments), typed)
    }

    /// Runs a command that must succeed; gives its standard output.
    ///
    /// # Panics
    /// If it fails.
    pub fn ok<S: AsRef<std::ffi::OsStr> + std::fmt::Debug>(&self, arguments: &[S]) -> String {
        let output = self.run(arguments);
        assert_eq!(output.code, Some(0), "ferry {arguments:?}\n{}{}", output.stdout, output.stderr);
        output.stdout
    }

    /// Runs a command that must end with `code`; gives its standard error.
    ///
    /// # Panics
    /// If it ends otherwise.
    pub fn fails<S: AsRef<std::ffi::OsStr> + std::fmt::Debug>(&self, code: i32, arguments: &[S]) -> String {
        let output = self.run(arguments);
        assert_eq!(output.code, Some(code), "ferry {arguments:?}\n{}{}", output.stdout, output.stderr);
        output.stderr
    }

    /// Signs up `email`, which leaves this person logged in.
    ///
    /// # Panics
    /// If the hub refuses.
    pub fn signup(&self, email: &str) {
        self.clone().env("FERRY_PASSWORD", PASSWORD).ok(&["signup", email]);
    }
}

/// What a command left on a terminal.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Exit code; `None`: ended by a signal.
    pub code: Option<i32>,
    /// All that was shown.
    pub shown: String,
    /// Whether the terminal still shows what is typed.
    pub echoes: bool,
}

fn on_terminal(columns: u16, mut command: Command, typed: &[(&str, &str)]) -> Seen {
    use rustix::{pty, termios};
    let master = pty::openpt(pty::OpenptFlags::RDWR | pty::OpenptFlags::NOCTTY).expect("a terminal");
    pty::grantpt(&master).expect("the terminal is ours");
    pty::unlockpt(&master).expect("the terminal is ours");
    let size = termios::Winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    termios::tcsetwinsize(&master, size).expect("a terminal has a size");
    let name = pty::ptsname(&master, Vec::new()).expect("the terminal has a name");
    let name = name.into_string().expect("the name is text");
    let slave = std::fs::File::options().read(true).write(true).open(name).expect("the terminal opens");
    // Ctrl-C has a terminal drop what was not read from it yet, and with it what the command says about being interrupted.
    let mut modes = termios::tcgetattr(&slave).expect("a terminal has modes");
    modes.local_modes |= termios::LocalModes::NOFLSH;
    termios::tcsetattr(&slave, termios::OptionalActions::Now, &modes).expect("modes can be set");
    let side = || Stdio::from(slave.try_clone().expect("a descriptor"));
    let mut child = command.stdin(side()).stdout(side()).stderr(side()).spawn().expect("the binary starts");
    // With our own ends closed, the terminal's end is the child's.
    drop((command, slave));
    let mut typed: std::collections::VecDeque<(String, String)> =
        typed.iter().map(|(after, keys)| ((*after).to_owned(), (*keys).to_owned())).collect();
    let (send, receive) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let (mut got, mut answered, mut piece) = (Vec::new(), 0, [0; 4096]);
        let mut master = std::fs::File::from(master);
        // A terminal whose last user has gone ends with an error.
        while let Ok(count @ 1..) = std::io::Read::read(&mut master, &mut piece) {
            got.extend_from_slice(&piece[..count]);
            let unanswered = String::from_utf8_lossy(&got[answered..]);
            if let Some((_, keys)) = typed.pop_front_if(|(after, _)| unanswered.contains(&**after)) {
                master.write_all(keys.as_bytes()).expect("the terminal takes what is typed");
                answered = got.len();
            }
        }
        let echoes = termios::tcgetattr(&master)
            .is_ok_and(|modes| modes.local_modes.contains(termios::LocalModes::ECHO));
        send.send((child.wait(), got, echoes))
    });
    let (status, got, echoes) =
        receive.recv_timeout(wait::LIMIT * 2).expect("the command on a terminal ends in time");
    Seen {
        code: status.expect("our own child can be waited for").code(),
        shown: String::from_utf8_lossy(&got).into_owned(),
        echoes,
    }
}

/// Waits for a command's end.
///
/// # Panics
/// If it does not end in time.
#[must_use]
pub fn finish(child: Child) -> Output {
    let (send, receive) = std::sync::mpsc::channel();
    std::thread::spawn(move || send.send(child.wait_with_output()));
    let output = receive.recv_timeout(wait::LIMIT * 2).expect("the command ends in time");
    let output = output.expect("the command's output is readable");
    Output {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// The names in `folder`, sorted.
///
/// # Panics
/// If the folder cannot be read.
#[must_use]
pub fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("the folder is readable");
    let mut names: Vec<String> = entries
        .map(|entry| entry.expect("the folder is readable").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}
