//! A hub as its users run it: the real binary, on a port of its own, over a data directory that survives restarts.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use tempfile::TempDir;

use crate::{http, process, rpc::Session, tls, wait};

/// How to start a hub.
#[derive(Clone, Debug)]
pub struct Options {
    binary: PathBuf,
    data_dir: Option<PathBuf>,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    fault: Option<String>,
    descriptors: Option<u32>,
    is_https: bool,
}

/// A start that ended instead of serving.
#[derive(Debug)]
pub struct Refused {
    /// Exit code; `None`: ended by a signal.
    pub code: Option<i32>,
    /// What it wrote to stdout and stderr.
    pub output: String,
}

/// A running hub. It is killed when dropped; its data directory goes with the last owner.
#[derive(Debug)]
pub struct Hub {
    options: Options,
    /// Keeps the data directory unless the test brought its own.
    home: Option<Arc<TempDir>>,
    child: Child,
    address: SocketAddr,
    log: Log,
}

/// What a process wrote, line by line, from both of its outputs.
#[derive(Clone, Debug, Default)]
struct Log(Arc<Mutex<String>>);

impl Log {
    fn follow(&self, source: impl Read + Send + 'static) {
        let log = self.clone();
        thread::spawn(move || {
            for line in BufReader::new(source).lines().map_while(Result::ok) {
                let mut text = log.0.lock().unwrap_or_else(PoisonError::into_inner);
                text.push_str(&line);
                text.push('\n');
            }
        });
    }

    fn text(&self) -> String {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Options {
    /// A hub of `binary` on an ephemeral port with a fresh data directory.
    #[must_use]
    pub fn new(binary: impl Into<PathBuf>) -> Self {
        Self {
            binary: binary.into(),
            data_dir: None,
            arguments: Vec::new(),
            environment: Vec::new(),
            fault: None,
            descriptors: None,
            is_https: false,
        }
    }

    /// One more argument of `ferry serve`.
    #[must_use]
    pub fn arg(mut self, argument: impl Into<String>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// One more environment variable.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// Fault points of this start (crates/sqlite/src/fault.rs); a restart has none.
    #[must_use]
    pub fn fault(mut self, plan: impl Into<String>) -> Self {
        self.fault = Some(plan.into());
        self
    }

    /// The same without fault points.
    #[must_use]
    pub fn without_faults(mut self) -> Self {
        self.fault = None;
        self
    }

    /// The limit of open files that it starts under and cannot raise, as `ulimit -n` sets it.
    #[must_use]
    pub const fn descriptors(mut self, limit: u32) -> Self {
        self.descriptors = Some(limit);
        self
    }

    /// HTTPS with these files.
    #[must_use]
    pub fn tls(mut self, files: &tls::Files) -> Self {
        self.is_https = true;
        self.arg("--tls-cert")
            .arg(files.cert.display().to_string())
            .arg("--tls-key")
            .arg(files.key.display().to_string())
    }

    /// A data directory of the test's own.
    #[must_use]
    pub fn data_dir(mut self, path: impl Into<PathBuf>) -> Self {
        self.data_dir = Some(path.into());
        self
    }

    /// Starts it and waits until it answers.
    ///
    /// # Panics
    /// If it ends instead.
    #[must_use]
    pub fn start(self) -> Hub {
        self.try_start()
            .unwrap_or_else(|refused| panic!("the hub ended with {:?}:\n{}", refused.code, refused.output))
    }

    /// Starts it and waits until it answers or has ended.
    ///
    /// # Errors
    /// When it ends by itself.
    ///
    /// # Panics
    /// If it does neither.
    pub fn try_start(self) -> Result<Hub, Refused> {
        let home = match self.data_dir {
            Some(_) => None,
            None => Some(Arc::new(tempfile::tempdir().expect("a temporary folder"))),
        };
        self.spawn(home)
    }

    fn spawn(self, home: Option<Arc<TempDir>>) -> Result<Hub, Refused> {
        let data_dir = match (&self.data_dir, &home) {
            (Some(path), _) => path.clone(),
            (None, Some(home)) => home.path().join("data"),
            (None, None) => unreachable!("BUG: one of both is set"),
        };
        let mut command = match self.descriptors {
            Some(limit) => {
                let mut shell = Command::new("/bin/sh");
                shell.arg("-c").arg(format!("ulimit -n {limit} && exec \"$0\" \"$@\"")).arg(&self.binary);
                shell
            }
            None => Command::new(&self.binary),
        };
        command.arg("serve");
        if !self.arguments.iter().any(|argument| argument.starts_with("--listen")) {
            command.args(["--listen", "127.0.0.1:0"]);
        }
        command.arg("--data-dir").arg(&data_dir).args(&self.arguments);
        clear_environment(&mut command);
        // Tests sign up more users per hour than a person; those of the throttle set the scale back to 1.
        command.env("FERRY_RATE_LIMIT_SCALE", "0");
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        if let Some(plan) = &self.fault {
            command.env("FERRY_FAULT", plan);
        }
        // Not where a ferry.toml of somebody else may lie.
        let folder = data_dir.parent().unwrap_or(&data_dir);
        let mut child = command
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let log = Log::default();
        log.follow(child.stdout.take().expect("BUG: stdout is piped"));
        log.follow(child.stderr.take().expect("BUG: stderr is piped"));
        let started = wait::until("the hub's start", || {
            if let Some(status) = child.try_wait().expect("our own child can be waited for") {
                return Some(Err(status));
            }
            let address = address_in(&log.text())?;
            let get = if self.is_https { tls::get } else { http::get };
            let ready = get(address, "/healthz").is_ok_and(|response| response.status == 200);
            ready.then_some(Ok(address))
        });
        match started {
            Ok(address) => Ok(Hub { options: self, home, child, address, log }),
            Err(status) => {
                // The pipes may still hold the last words.
                let output = wait::within(std::time::Duration::from_secs(2), || {
                    let text = log.text();
                    (!text.is_empty()).then_some(text)
                });
                Err(Refused { code: status.code(), output: output.unwrap_or_default() })
            }
        }
    }
}

/// Removes what the environment of the tests must not tell the program under test.
pub(crate) fn clear_environment(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        let ours = [
            "FERRY_",
            "EDGEREPLICA_",
            "EDGEPOD_",
            "SESSION_",
            "SYNC_TOKEN_",
            "JWKS_",
            "CORS_",
            "OAUTH_",
            "GITHUB_CLIENT_",
            "GOOGLE_CLIENT_",
        ];
        if ours.iter().any(|prefix| text.starts_with(prefix)) || text == "RUST_LOG" {
            command.env_remove(name);
        }
    }
}

/// The first loopback address with a port in `log`.
fn address_in(log: &str) -> Option<SocketAddr> {
    log.match_indices("127.0.0.1:").find_map(|(at, _)| {
        let digits = log[at + 10..].chars().take_while(char::is_ascii_digit).count();
        // The line may still be growing: the port is whole once something stands behind it.
        let whole = log.len() > at + 10 + digits;
        let address: SocketAddr = log[at..at + 10 + digits].parse().ok()?;
        (whole && address.port() != 0).then_some(address)
    })
}

impl Hub {
    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its base URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Its data directory.
    #[must_use]
    pub fn data_dir(&self) -> PathBuf {
        match (&self.options.data_dir, &self.home) {
            (Some(path), _) => path.clone(),
            (None, Some(home)) => home.path().join("data"),
            (None, None) => unreachable!("BUG: one of both is set"),
        }
    }

    /// What its operator shows to be one.
    ///
    /// # Panics
    /// If its data directory has none.
    #[must_use]
    pub fn operator_token(&self) -> String {
        let token = fs::read_to_string(self.data_dir().join("operator.token"));
        token.expect("a hub has an operator token").trim().to_owned()
    }

    /// The folder of database `id`.
    #[must_use]
    pub fn database_dir(&self, id: &str) -> PathBuf {
        self.data_dir().join("databases").join(id)
    }

    /// What it wrote so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.log.text()
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Signs up a user with a password that suits every test.
    ///
    /// # Panics
    /// If the hub refuses.
    pub fn signup(&self, email: &str) -> Session {
        Session::signup(self.address, email)
    }

    /// SIGTERM; waits for the end.
    ///
    /// # Panics
    /// If it does not end in time.
    pub fn stop(&mut self) -> ExitStatus {
        process::terminate(&self.child);
        self.ended()
    }

    /// SIGTERM without waiting.
    pub fn begin_stop(&self) {
        process::terminate(&self.child);
    }

    /// Runs `meanwhile` while the hub stands still.
    ///
    /// # Panics
    /// If it cannot be stopped.
    pub fn paused<T>(&self, meanwhile: impl FnOnce() -> T) -> T {
        process::pause(&self.child);
        let done = meanwhile();
        process::resume(&self.child);
        done
    }

    /// Waits until the process has ended by itself, as a fault point makes it.
    ///
    /// # Panics
    /// If it does not end in time.
    pub fn ended(&mut self) -> ExitStatus {
        let child = &mut self.child;
        wait::until("the hub's end", || child.try_wait().expect("our own child can be waited for"))
    }

    /// `kill -9`.
    ///
    /// # Panics
    /// If the operating system refuses.
    pub fn kill(&mut self) {
        // The process may have ended already.
        let _ = self.child.kill();
        self.child.wait().expect("our own child can be waited for");
    }

    /// Starts again over the same data directory, without fault points, after killing what still runs.
    ///
    /// # Panics
    /// If it does not come up.
    #[must_use]
    pub fn restart(self) -> Self {
        self.restart_with(|options| options)
    }

    /// The same with changed options.
    ///
    /// # Panics
    /// If it does not come up.
    #[must_use]
    pub fn restart_with(mut self, change: impl FnOnce(Options) -> Options) -> Self {
        self.kill();
        let options = change(Options { fault: None, ..self.options.clone() });
        let before = self.log();
        let hub = options.spawn(self.home.clone());
        hub.unwrap_or_else(|refused| {
            panic!("the hub did not come up again, {:?}:\n{before}\n--\n{}", refused.code, refused.output)
        })
    }

    /// Tries to start a second process over the same data directory.
    ///
    /// # Errors
    /// When that one ends by itself, as it should.
    pub fn second(&self) -> Result<Self, Refused> {
        self.options.clone().data_dir(self.data_dir()).spawn(None)
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("--- the hub's log ---\n{}", self.log());
        }
    }
}

/// Every file below `folder` with its length, sorted: what a refused action must leave as it was.
///
/// # Panics
/// If the folder cannot be read.
#[must_use]
pub fn listing(folder: &Path) -> Vec<(String, u64)> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).expect("the folder is readable") {
            let entry = entry.expect("the folder is readable");
            if entry.path().is_dir() {
                folders.push(entry.path());
            } else {
                let length = entry.metadata().expect("the file is readable").len();
                found.push((
                    entry.path().strip_prefix(folder).expect("BUG: below").display().to_string(),
                    length,
                ));
            }
        }
    }
    found.sort();
    found
}
